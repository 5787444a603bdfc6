//! packetdrill's script language: text to syntax tree and back.
//!
//! A script is `--option` lines, an init command in back quotes, events, and a cleanup command. [`parse`] turns the
//! text into a [`Script`], whose every part knows its [`Span`] in the source, so that whatever fails later can show the
//! line. [`print()`] writes a tree as a script again; what it writes parses to an equal tree.
//!
//! [`format()`] gives a script the common layout and keeps its comments.
//!
//! The grammar is that of the public packetdrill tool (google/packetdrill, 2026-05), whole. Beyond it, `#` starts a
//! comment where a `//` may, and packets can be what docs/scripts.md lists: frames, ARP, captured values, owners.
//!
//! Scripts are hostile input: lexing is linear, nesting is bounded, numbers are checked, and nothing here panics.

pub mod ast;
pub mod code;
mod error;
mod expr;
mod format;
mod lexer;
mod packet;
mod parser;
mod printer;
mod span;
mod text;

#[cfg(test)]
mod broken;
#[cfg(test)]
mod tests;

pub use ast::Script;
pub use error::{Label, ScriptError};
pub use format::format;
pub use parser::{Defines, parse};
pub use printer::print;
pub use span::{Source, Span};
pub(crate) use text::seconds_to_ns;
pub use text::unescape;
