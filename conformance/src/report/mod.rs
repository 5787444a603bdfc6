//! Views of a result document: lines and tables for the terminal, JSON, JUnit XML, KTAP, a page for captures.
//!
//! A view never adds knowledge: everything that it shows is in the
//! [`Document`](crate::results::Document) or in a case's `detail` and `story`.

pub mod evidence;
pub mod html;
pub mod json;
pub mod junit;
pub mod ktap;
pub mod matrix;
pub mod terminal;

#[cfg(test)]
mod tests;
