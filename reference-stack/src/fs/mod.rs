//! Linux's `fs/`: open files and the tables of descriptors.

pub(crate) mod file;
pub(crate) mod read_write;
pub(crate) mod select;

pub(crate) use file::{File, FileId, FileKind, Fs};
