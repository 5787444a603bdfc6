//! Building a user-mode Linux from Debian's source package, once.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use miette::Diagnostic;

/// Options beyond user-mode Linux's own defaults.
const FRAGMENT: &str = include_str!("uml.config");
/// Ticks a second: the scripts' times are in milliseconds.
const HZ: &str = "1000";
/// What a build calls, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 6] = [
    ("make", "make"),
    ("gcc", "gcc"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("xz", "xz-utils"),
];
/// How much of a log an error shows, in lines.
const TAIL: usize = 15;

/// What to build, from what, where.
#[derive(Clone, Debug)]
pub struct Build {
    /// The version, as `6.1`.
    pub version: String,
    /// A source tree or its archive; `None`: Debian's package, fetched by apt.
    pub source: Option<PathBuf>,
    /// The folder that gets the kernel, and in which it is built.
    pub cache: PathBuf,
    /// How many compilers run at a time.
    pub jobs: NonZeroUsize,
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum BuildError {
    /// A program is missing.
    #[error("{program} is not installed")]
    #[diagnostic(code(netplumb::oracle::build::program), help("apt install {package}"))]
    Missing {
        /// The program.
        program: &'static str,
        /// Debian's package.
        package: &'static str,
    },
    /// A step failed.
    #[error("{step} ends with {status}")]
    #[diagnostic(code(netplumb::oracle::build::step))]
    Step {
        /// Its command line.
        step: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote.
        #[help]
        log: String,
    },
    /// The source is not as expected.
    #[error("{}: {what}", path.display())]
    #[diagnostic(code(netplumb::oracle::build::source))]
    Source {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file cannot be read or written.
    #[error("the build's folder: {0}")]
    #[diagnostic(code(netplumb::oracle::build::io))]
    Io(#[from] io::Error),
}

impl Build {
    /// The kernel's path, whether or not it is there.
    pub fn kernel(&self) -> PathBuf {
        self.cache.join(format!("linux-uml-{}", self.version))
    }

    /// Builds the kernel and returns its path; `say` is told each step. The build's folder goes when it is done.
    ///
    /// # Errors
    /// A program or the source is missing, or a step fails; the build's folder stays with its log.
    pub fn run(&self, say: &dyn Fn(&str)) -> Result<PathBuf, BuildError> {
        for (program, package) in PROGRAMS {
            let found = Command::new(program).arg("--version").stdin(Stdio::null()).output();
            if found.is_err() {
                return Err(BuildError::Missing { program, package });
            }
        }
        let work = self.cache.join(format!("build-{}", self.version));
        std::fs::create_dir_all(&work)?;
        let steps = Steps { log: work.join("log"), say };
        File::create(&steps.log)?;
        let tree = self.tree(&work, &steps)?;
        ticks(&tree)?;
        self.compile(&tree, &work.join("out"), &steps)?;
        let fresh = self.cache.join(format!("linux-uml-{}.new", self.version));
        let strip = [OsStr::new("-o"), fresh.as_os_str()];
        steps.run("strip", &strip, Some(&work.join("out/linux")), &work)?;
        std::fs::rename(&fresh, self.kernel())?;
        std::fs::remove_dir_all(&work)?;
        Ok(self.kernel())
    }

    /// The source tree: the one that was named, or one that is unpacked.
    fn tree(&self, work: &Path, steps: &Steps<'_>) -> Result<PathBuf, BuildError> {
        let archive = match &self.source {
            Some(tree) if tree.is_dir() => return Ok(tree.clone()),
            Some(archive) => archive.clone(),
            None => self.fetch(work, steps)?,
        };
        let tree = work.join("source");
        std::fs::create_dir_all(&tree)?;
        let into = ["--extract", "--strip-components=1", "--file"].map(OsStr::new);
        steps.run("tar", &into, Some(&std::path::absolute(archive)?), &tree)?;
        Ok(tree)
    }

    /// Debian's package with the source, by the apt of this machine; no root is needed.
    fn fetch(&self, work: &Path, steps: &Steps<'_>) -> Result<PathBuf, BuildError> {
        let package = format!("linux-source-{}", self.version);
        steps.run("apt-get", &["download", &package].map(OsStr::new), None, work)?;
        let debian = find(work, &package, ".deb")?;
        let unpacked = work.join("package");
        let (extract, unpacked_arg) = (OsStr::new("--extract"), unpacked.as_os_str());
        steps.run("dpkg-deb", &[extract, debian.as_os_str(), unpacked_arg], None, work)?;
        find(&unpacked.join("usr/src"), &package, ".tar.xz")
    }

    fn compile(&self, tree: &Path, out: &Path, steps: &Steps<'_>) -> Result<(), BuildError> {
        std::fs::create_dir_all(out)?;
        let out_arg = format!("O={}", out.display());
        let make = |goals: &[&str]| {
            let common = ["ARCH=um", out_arg.as_str()];
            let arguments: Vec<&OsStr> = common.iter().chain(goals).map(OsStr::new).collect();
            steps.run("make", &arguments, None, tree)
        };
        make(&["defconfig"])?;
        OpenOptions::new()
            .append(true)
            .open(out.join(".config"))?
            .write_all(FRAGMENT.as_bytes())?;
        make(&["olddefconfig"])?;
        make(&[&format!("-j{}", self.jobs), "linux"])
    }
}

/// Older versions fix user-mode Linux's ticks without a choice: the default in its Kconfig is changed.
fn ticks(tree: &Path) -> Result<(), BuildError> {
    let path = tree.join("arch/um/Kconfig");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| BuildError::Source { path: path.clone(), what: error.to_string() })?;
    let changed = with_ticks(&text);
    if changed != text {
        std::fs::write(&path, changed)?;
    }
    Ok(())
}

/// The text with the default of `config HZ` set; the same where there is no such entry.
fn with_ticks(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.starts_with("config ") {
            inside = line.trim_end() == "config HZ";
        }
        match line.trim_start().strip_prefix("default ") {
            Some(value) if inside && value.trim().bytes().all(|b| b.is_ascii_digit()) => {
                out.push_str(&line.replace(value.trim(), HZ));
            }
            _ => out.push_str(line),
        }
    }
    out
}

/// The file in `folder` whose name starts and ends so.
fn find(folder: &Path, start: &str, end: &str) -> Result<PathBuf, BuildError> {
    let fits = |path: &PathBuf| {
        let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        name.starts_with(start) && name.ends_with(end)
    };
    let mut files = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    files.find(fits).ok_or_else(|| BuildError::Source {
        path: folder.to_owned(),
        what: format!("there is no {start}*{end}"),
    })
}

/// The steps of a build, with one log.
struct Steps<'a> {
    log: PathBuf,
    say: &'a dyn Fn(&str),
}

impl Steps<'_> {
    /// Runs a program with `arguments`, and `last` after them, in `folder`.
    fn run(
        &self,
        program: &str,
        arguments: &[&OsStr],
        last: Option<&Path>,
        folder: &Path,
    ) -> Result<(), BuildError> {
        let mut command = Command::new(program);
        command.args(arguments).args(last).current_dir(folder).stdin(Stdio::null());
        let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        let step = format!("{program} {}", words.join(" "));
        (self.say)(&step);
        let log = OpenOptions::new().append(true).open(&self.log)?;
        let status = command.stderr(log.try_clone()?).stdout(log).status()?;
        if status.success() {
            return Ok(());
        }
        let text = std::fs::read(&self.log)?;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        let log = format!("{tail}\n(all of it: {})", self.log.display());
        Err(BuildError::Step { step, status: status.to_string(), log })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_is_set_where_it_is_fixed() {
        let kconfig = "config TTY\n\tdefault 7\n\nconfig HZ\n\tint\n\tdefault 100\n\nconfig X\n\tdefault 100\n";
        let changed = with_ticks(kconfig);
        assert_eq!(changed, kconfig.replacen("default 100", "default 1000", 1));
        // Later ones ask, and the fragment answers.
        assert_eq!(with_ticks("source \"kernel/Kconfig.hz\"\n"), "source \"kernel/Kconfig.hz\"\n");
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = std::env::temp_dir().join(format!("netplumb-build-{}", std::process::id()));
        let build = Build {
            version: "6.1".into(),
            source: Some(folder.join("no-such-tree")),
            cache: folder.clone(),
            jobs: NonZeroUsize::MIN,
        };
        let error = build.run(&|_| {}).unwrap_err();
        // A machine without compilers says that first.
        assert!(matches!(error, BuildError::Step { .. } | BuildError::Missing { .. }), "{error}");
        std::fs::remove_dir_all(folder).unwrap_or_default();
    }
}
