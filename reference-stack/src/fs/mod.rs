//! Linux's `fs/`: open files and the tables of descriptors.

mod eventfd;
pub(crate) mod eventpoll;
pub(crate) mod file;
mod open;
mod pipe;
mod ramfs;
pub(crate) mod read_write;
pub(crate) mod select;
pub(crate) mod splice;
pub(crate) mod wait;

pub(crate) use file::{File, FileId, FileKind, Fs};
pub(crate) use open::*;
