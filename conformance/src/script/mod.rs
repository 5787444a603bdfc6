//! packetdrill's script language: text to syntax tree and back.
//!
//! A script is `--option` lines, an init command in back quotes, events, and a cleanup command. [`parse`] turns the
//! text into a [`Script`], whose every part knows its [`Span`] in the source, so that whatever fails later can show the
//! line. [`print()`] writes a tree as a script again; what it writes parses to an equal tree.
//!
//! The grammar is that of the public packetdrill tool (google/packetdrill, 2026-05), without its wire-mode encapsulations
//! (IP-in-IP, GRE, MPLS, PSP): these are refused by name. Beyond it, `#` starts a comment where a `//` may.
//!
//! Scripts are hostile input: lexing is linear, nesting is bounded, numbers are checked, and nothing here panics.

pub mod ast;
pub mod code;
mod error;
mod expr;
mod lexer;
mod packet;
mod parser;
mod printer;
mod span;
mod text;

#[cfg(test)]
mod soup;
#[cfg(test)]
mod tests;

pub use ast::Script;
pub use error::{Label, ScriptError};
pub use parser::{Defines, parse};
pub use printer::print;
pub use span::{Source, Span};
pub(crate) use text::seconds_to_ns;
pub use text::unescape;
