//! `%{ }%` blocks: the part of Python that assertions use.
//!
//! Supported: `assert`, `print`, assignments with and without an operator, `for` over lists, tuples and `range`, `while`,
//! `break`, `continue`, `if`, `pass`, functions of positional parameters with `return`, comparisons (chained too),
//! `and or not`, `is`, integer arithmetic and bit operations, strings with `%`, `.format()` and `f''`, elements by number,
//! conditional expressions, `min max abs len sum int str bool range`, comments, and backslash continuation. Anything
//! else is an error that names it. Integers have 128 bits where Python's have no end; overflow is an error.
//!
//! The parser is our own: docs/decisions says why.

mod eval;
mod fstring;
mod lex;
mod parse;
mod text;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::span::Span;

pub use eval::{CodeError, Env, Failure, Value};
pub(crate) use parse::parse;

/// A parsed block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    pub(crate) body: Vec<Stmt>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stmt {
    pub(crate) kind: StmtKind,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StmtKind {
    Assert { test: Node, message: Option<Node> },
    Assign { name: String, op: Option<BinOp>, value: Node },
    For { name: String, list: Node, body: Vec<Stmt> },
    While { test: Node, body: Vec<Stmt> },
    Def(Arc<Function>),
    Return(Option<Node>),
    Break,
    Continue,
    If { arms: Vec<(Node, Vec<Stmt>)>, otherwise: Vec<Stmt> },
    Expr(Node),
    Pass,
}

/// A function of the block's own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) parameters: Vec<String>,
    pub(crate) body: Vec<Stmt>,
}

/// A part of an `f''` string.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    /// `{value:spec}`
    Value(Node, String),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NodeKind {
    Int(i128),
    Str(String),
    Bool(bool),
    None,
    Name(String),
    List(Vec<Node>),
    Call(String, Vec<Node>),
    Unary(UnOp, Box<Node>),
    Binary(BinOp, Box<Node>, Box<Node>),
    Compare(Box<Node>, Vec<(CmpOp, Node)>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    IfElse(Box<Node>, Box<Node>, Box<Node>),
    /// `list[index]`
    Index(Box<Node>, Box<Node>),
    /// `text.format(values)`
    Format(Box<Node>, Vec<Node>),
    /// `f'...'`
    Pieces(Vec<Piece>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnOp {
    Neg,
    Plus,
    Invert,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinOp {
    Add,
    Sub,
    Mul,
    FloorDiv,
    Mod,
    Pow,
    And,
    Or,
    Xor,
    Shl,
    Shr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CmpOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
    Is,
    IsNot,
}
