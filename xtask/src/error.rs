//! What keeps a verb from running: exit code 2, and one report that says where and what to do.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// A run that could not happen.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum CouldNotRun {
    /// A path of the command line that is not there.
    #[error("{}: no such file or folder", path.display())]
    #[diagnostic(code(netplumb::missing_file))]
    MissingFile {
        path: PathBuf,
        #[help]
        help: Option<String>,
    },
    /// A file that is there, but cannot be read or written.
    #[error("{}: {what}", path.display())]
    #[diagnostic(code(netplumb::io))]
    Io { path: PathBuf, what: &'static str, source: io::Error },
    /// A value of the command line that makes no sense.
    #[error("{what}")]
    #[diagnostic(code(netplumb::usage))]
    Usage {
        what: String,
        #[help]
        help: Option<String>,
    },
    /// A program that this verb needs did not do its part.
    #[error("{program}: {what}")]
    #[diagnostic(code(netplumb::program))]
    Program {
        program: String,
        what: String,
        #[help]
        help: Option<String>,
    },
}

impl CouldNotRun {
    /// A missing file, without advice.
    pub(crate) fn missing(path: &Path) -> CouldNotRun {
        CouldNotRun::MissingFile { path: path.to_owned(), help: None }
    }

    /// For `map_err`: `what` failed on `path`.
    pub(crate) fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> CouldNotRun {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotFound => CouldNotRun::MissingFile { path, help: None },
            _ => CouldNotRun::Io { path, what, source },
        }
    }
}

/// Reads a text file of the command line.
pub(crate) fn read_text(path: &Path) -> Result<String, CouldNotRun> {
    std::fs::read_to_string(path).map_err(CouldNotRun::io(path, "cannot be read as text"))
}
