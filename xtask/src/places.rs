//! Where the repository's folders are.

use std::path::{Path, PathBuf};

use crate::error::CouldNotRun;

/// The checkout that the command works on.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    root: PathBuf,
}

impl Places {
    /// The checkout: that of the running `cargo xtask`, else the one around the current folder,
    /// else the one from which this program was built.
    pub(crate) fn find() -> Result<Places, CouldNotRun> {
        let from_cargo = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let current = std::env::current_dir().ok();
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
        from_cargo
            .iter()
            .chain(current.iter())
            .chain([&built])
            .flat_map(|start| start.ancestors())
            .find(|folder| folder.join("conformance/Cargo.toml").is_file())
            .map(|root| Places { root: root.to_owned() })
            .ok_or_else(|| CouldNotRun::Usage {
                what: "this is not a checkout of Netplumb: no conformance/Cargo.toml here or above"
                    .to_owned(),
                help: Some("change into the checkout, or run it as `cargo xtask` there".to_owned()),
            })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Our own scripts.
    pub(crate) fn suites(&self) -> PathBuf {
        self.root.join("conformance/suites")
    }

    /// The known results of `target`.
    pub(crate) fn expected(&self, target: &str) -> PathBuf {
        self.root.join("conformance/expected").join(format!("{target}.toml"))
    }

    /// Seeds of a fuzz target.
    pub(crate) fn corpus(&self, target: &str) -> PathBuf {
        self.root.join("corpora").join(target)
    }

    /// Folders that may hold captures: the checkout's own, and the shared one beside it.
    pub(crate) fn captures(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.root.join("pcaps")];
        if let Some(beside) = self.root.parent() {
            folders.push(beside.join("shared/pcaps"));
        }
        folders
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |dir| self.root.join(dir))
    }

    /// Where the captures of runs that failed go.
    pub(crate) fn failures(&self) -> PathBuf {
        self.target().join("failures")
    }

    /// The user's cache folder for `what`: corpora that a fuzzer grew, oracles.
    pub(crate) fn cache(&self, what: &str) -> PathBuf {
        let base = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
            .unwrap_or_else(|| self.target());
        base.join("netplumb").join(what)
    }

    /// `path` as a user in the checkout would write it.
    pub(crate) fn short(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}
