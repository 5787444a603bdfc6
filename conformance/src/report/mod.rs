//! Views of a result document: lines and a table for the terminal, and the JSON file.
//!
//! A view never adds knowledge: everything that it shows is in the
//! [`Document`](crate::results::Document) or in a case's `detail`.

pub mod json;
pub mod terminal;
