//! Tokens of a block to statements.

use std::sync::Arc;

use super::super::error::ScriptError;
use super::super::span::{Source, Span};
use super::lex::{Tok, lex};
use super::{BinOp, CmpOp, Function, Node, NodeKind, Program, Stmt, StmtKind, UnOp, fstring};

/// How deep expressions and suites may be nested.
const MAX_DEPTH: u32 = 48;
/// How many operators a statement may have: chains of them make left-deep trees, which are walked by recursion.
const MAX_OPERATORS: u32 = 200;

/// Words that start a statement of Python which is not supported here.
const UNSUPPORTED: &[&str] = &[
    "import", "from", "class", "try", "with", "raise", "lambda", "del", "global", "nonlocal",
    "yield", "async", "await", "exec", "match",
];

/// Words that are no names.
const KEYWORDS: &[&str] = &[
    "and", "or", "not", "in", "is", "if", "else", "elif", "for", "while", "assert", "pass", "def",
    "return", "break", "continue",
];

/// Parses the block `text`, which starts at byte `base` of the script.
pub(crate) fn parse(source: &Source, base: usize, text: &str) -> Result<Program, ScriptError> {
    let tokens = lex(source, base, text)?.tokens;
    let mut parser = Parser::new(source, tokens);
    let body = parser.block(0, |tok| *tok == Tok::End)?;
    Ok(Program { body })
}

/// Parses an expression that is a part of a block: what stands in the braces of an `f''` string.
pub(super) fn parse_expression(
    source: &Source,
    base: usize,
    text: &str,
    depth: u32,
) -> Result<Node, ScriptError> {
    let mut parser = Parser::new(source, lex(source, base, text)?.tokens);
    let node = parser.expr(depth)?;
    match parser.peek() {
        Tok::Newline | Tok::End => Ok(node),
        _ => Err(parser.unexpected("`}`")),
    }
}

struct Parser<'a> {
    source: &'a Source,
    tokens: Vec<(Tok, Span)>,
    at: usize,
    /// Operators of the statement so far.
    operators: u32,
    /// Loops around the statement, and whether a function is.
    loops: u32,
    in_function: bool,
}

/// Binary operators by rising precedence, comparisons and above excluded.
const LEVELS: &[&[(&str, BinOp)]] = &[
    &[("|", BinOp::Or)],
    &[("^", BinOp::Xor)],
    &[("&", BinOp::And)],
    &[("<<", BinOp::Shl), (">>", BinOp::Shr)],
    &[("+", BinOp::Add), ("-", BinOp::Sub)],
    &[("*", BinOp::Mul), ("//", BinOp::FloorDiv), ("%", BinOp::Mod)],
];

impl<'a> Parser<'a> {
    fn new(source: &'a Source, tokens: Vec<(Tok, Span)>) -> Self {
        Parser { source, tokens, at: 0, operators: 0, loops: 0, in_function: false }
    }
}

impl Parser<'_> {
    fn peek(&self) -> &Tok {
        self.tokens.get(self.at).map_or(&Tok::End, |t| &t.0)
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).or(self.tokens.last()).map(|t| t.1).unwrap_or_default()
    }

    fn last_span(&self) -> Span {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map(|t| t.1).unwrap_or_default()
    }

    fn bump(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len());
    }

    fn eat(&mut self, op: &str) -> bool {
        let is = matches!(self.peek(), Tok::Op(o) if *o == op);
        if is {
            self.bump();
        }
        is
    }

    fn eat_name(&mut self, name: &str) -> bool {
        let is = self.is_name(name);
        if is {
            self.bump();
        }
        is
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Tok::Name(n) if n == name)
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ScriptError {
        ScriptError::new(self.source, span, message, "in this code block")
    }

    fn unexpected(&self, expected: &str) -> ScriptError {
        let found = match self.peek() {
            Tok::Name(name) => format!("`{name}`"),
            Tok::Int(n) => format!("`{n}`"),
            Tok::Str(_) | Tok::FStr(_) => "a string".into(),
            Tok::Op(op) => format!("`{op}`"),
            Tok::Newline => "the end of the statement".into(),
            Tok::Indent => "an indented line".into(),
            Tok::Dedent | Tok::End => "the end of the block".into(),
        };
        self.error(self.span(), format!("expected {expected}, found {found}"))
    }

    fn deeper(&self, depth: u32) -> Result<u32, ScriptError> {
        if depth >= MAX_DEPTH {
            return Err(
                self.error(self.span(), format!("this is nested more than {MAX_DEPTH} deep"))
            );
        }
        Ok(depth + 1)
    }

    fn operator(&mut self) -> Result<(), ScriptError> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(self.error(
                self.span(),
                format!("a statement of more than {MAX_OPERATORS} operators"),
            ));
        }
        Ok(())
    }

    fn block(&mut self, depth: u32, end: impl Fn(&Tok) -> bool) -> Result<Vec<Stmt>, ScriptError> {
        let mut body = Vec::new();
        loop {
            match self.peek() {
                Tok::Newline => self.bump(),
                tok if end(tok) => return Ok(body),
                _ => body.push(self.statement(depth)?),
            }
        }
    }

    fn statement(&mut self, depth: u32) -> Result<Stmt, ScriptError> {
        let start = self.span();
        self.operators = 0;
        let name = match self.peek() {
            Tok::Name(name) => name.clone(),
            _ => String::new(),
        };
        if UNSUPPORTED.contains(&name.as_str()) {
            return Err(self.error(start, format!("`{name}` is not supported in code blocks")));
        }
        let kind = match name.as_str() {
            "assert" => {
                self.bump();
                let test = self.expr(depth)?;
                let message = if self.eat(",") { Some(self.expr(depth)?) } else { None };
                StmtKind::Assert { test, message }
            }
            "pass" => {
                self.bump();
                StmtKind::Pass
            }
            "break" | "continue" if self.loops == 0 => {
                return Err(self.error(start, format!("`{name}` outside of a loop")));
            }
            "break" => {
                self.bump();
                StmtKind::Break
            }
            "continue" => {
                self.bump();
                StmtKind::Continue
            }
            "return" => self.return_statement(start, depth)?,
            "for" => return self.for_loop(start, depth),
            "while" => return self.while_loop(start, depth),
            "def" => return self.function(start, depth),
            "if" => return self.if_else(start, depth),
            _ => self.simple(depth)?,
        };
        let span = start.to(self.last_span());
        match self.peek() {
            Tok::Newline => self.bump(),
            Tok::End | Tok::Dedent => {}
            _ => return Err(self.unexpected("the end of the statement")),
        }
        Ok(Stmt { kind, span })
    }

    /// An assignment or a bare expression.
    fn simple(&mut self, depth: u32) -> Result<StmtKind, ScriptError> {
        const ASSIGN: &[(&str, Option<BinOp>)] = &[
            ("=", None),
            ("+=", Some(BinOp::Add)),
            ("-=", Some(BinOp::Sub)),
            ("*=", Some(BinOp::Mul)),
            ("//=", Some(BinOp::FloorDiv)),
            ("%=", Some(BinOp::Mod)),
            ("**=", Some(BinOp::Pow)),
            ("&=", Some(BinOp::And)),
            ("|=", Some(BinOp::Or)),
            ("^=", Some(BinOp::Xor)),
            ("<<=", Some(BinOp::Shl)),
            (">>=", Some(BinOp::Shr)),
        ];
        let target = self.expr(depth)?;
        let op = match self.peek() {
            Tok::Op(op) => ASSIGN.iter().find(|(text, _)| text == op),
            _ => None,
        };
        let Some((_, op)) = op else { return Ok(StmtKind::Expr(target)) };
        let NodeKind::Name(name) = target.kind else {
            return Err(self.error(target.span, "only a name can be assigned to"));
        };
        self.bump();
        Ok(StmtKind::Assign { name, op: *op, value: self.expr(depth)? })
    }

    fn suite(&mut self, depth: u32) -> Result<Vec<Stmt>, ScriptError> {
        let depth = self.deeper(depth)?;
        if !self.eat(":") {
            return Err(self.unexpected("`:`"));
        }
        if *self.peek() != Tok::Newline {
            return Ok(vec![self.statement(depth)?]);
        }
        while *self.peek() == Tok::Newline {
            self.bump();
        }
        if *self.peek() != Tok::Indent {
            return Err(self.unexpected("an indented line"));
        }
        self.bump();
        let body = self.block(depth, |tok| matches!(tok, Tok::Dedent | Tok::End))?;
        if *self.peek() == Tok::Dedent {
            self.bump();
        }
        Ok(body)
    }

    fn for_loop(&mut self, start: Span, depth: u32) -> Result<Stmt, ScriptError> {
        self.bump();
        let Tok::Name(name) = self.peek().clone() else { return Err(self.unexpected("a name")) };
        self.bump();
        if !self.eat_name("in") {
            return Err(self.unexpected("`in`"));
        }
        let list = self.expr(depth)?;
        let body = self.loop_body(depth)?;
        Ok(Stmt { kind: StmtKind::For { name, list, body }, span: start.to(self.last_span()) })
    }

    fn while_loop(&mut self, start: Span, depth: u32) -> Result<Stmt, ScriptError> {
        self.bump();
        let test = self.expr(depth)?;
        let body = self.loop_body(depth)?;
        Ok(Stmt { kind: StmtKind::While { test, body }, span: start.to(self.last_span()) })
    }

    fn loop_body(&mut self, depth: u32) -> Result<Vec<Stmt>, ScriptError> {
        self.loops += 1;
        let body = self.suite(depth)?;
        self.loops -= 1;
        if self.is_name("else") {
            return Err(self.error(self.span(), "`else` of a loop is not supported"));
        }
        Ok(body)
    }

    fn return_statement(&mut self, start: Span, depth: u32) -> Result<StmtKind, ScriptError> {
        if !self.in_function {
            return Err(self.error(start, "`return` outside of a function"));
        }
        self.bump();
        let value = match self.peek() {
            Tok::Newline | Tok::Dedent | Tok::End => None,
            _ => Some(self.expr(depth)?),
        };
        Ok(StmtKind::Return(value))
    }

    /// `def name(a, b):` with positional parameters.
    fn function(&mut self, start: Span, depth: u32) -> Result<Stmt, ScriptError> {
        if self.in_function || self.loops > 0 {
            return Err(self.error(start, "`def` inside of a function or loop is not supported"));
        }
        self.bump();
        let name = self.new_name("the function's name")?;
        if !self.eat("(") {
            return Err(self.unexpected("`(`"));
        }
        let mut parameters = Vec::new();
        while !self.eat(")") {
            let span = self.span();
            let parameter = self.new_name("a parameter or `)`")?;
            if parameters.contains(&parameter) {
                return Err(self.error(span, format!("the parameter `{parameter}` is there twice")));
            }
            parameters.push(parameter);
            if !self.eat(",") && !matches!(self.peek(), Tok::Op(")")) {
                return Err(self.unexpected("`,` or `)` (defaults are not supported)"));
            }
        }
        self.in_function = true;
        let body = self.suite(depth)?;
        self.in_function = false;
        let function = Function { name, parameters, body };
        let kind = StmtKind::Def(Arc::new(function));
        Ok(Stmt { kind, span: start.to(self.last_span()) })
    }

    fn new_name(&mut self, what: &str) -> Result<String, ScriptError> {
        match self.peek().clone() {
            Tok::Name(name) if !KEYWORDS.contains(&&*name) && !UNSUPPORTED.contains(&&*name) => {
                self.bump();
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    fn if_else(&mut self, start: Span, depth: u32) -> Result<Stmt, ScriptError> {
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        self.bump();
        loop {
            let test = self.expr(depth)?;
            arms.push((test, self.suite(depth)?));
            if self.eat_name("elif") {
                continue;
            }
            if self.eat_name("else") {
                otherwise = self.suite(depth)?;
            }
            return Ok(Stmt {
                kind: StmtKind::If { arms, otherwise },
                span: start.to(self.last_span()),
            });
        }
    }

    fn expr(&mut self, depth: u32) -> Result<Node, ScriptError> {
        let depth = self.deeper(depth)?;
        let start = self.span();
        let value = self.or_expr(depth)?;
        if !self.eat_name("if") {
            return Ok(value);
        }
        let test = self.or_expr(depth)?;
        if !self.eat_name("else") {
            return Err(self.unexpected("`else`"));
        }
        let otherwise = self.expr(depth)?;
        let kind = NodeKind::IfElse(Box::new(test), Box::new(value), Box::new(otherwise));
        Ok(Node { kind, span: start.to(self.last_span()) })
    }

    fn or_expr(&mut self, depth: u32) -> Result<Node, ScriptError> {
        let start = self.span();
        let mut left = self.and_expr(depth)?;
        while self.eat_name("or") {
            self.operator()?;
            let right = self.and_expr(depth)?;
            let kind = NodeKind::Or(Box::new(left), Box::new(right));
            left = Node { kind, span: start.to(self.last_span()) };
        }
        Ok(left)
    }

    fn and_expr(&mut self, depth: u32) -> Result<Node, ScriptError> {
        let start = self.span();
        let mut left = self.not_expr(depth)?;
        while self.eat_name("and") {
            self.operator()?;
            let right = self.not_expr(depth)?;
            let kind = NodeKind::And(Box::new(left), Box::new(right));
            left = Node { kind, span: start.to(self.last_span()) };
        }
        Ok(left)
    }

    fn not_expr(&mut self, depth: u32) -> Result<Node, ScriptError> {
        let start = self.span();
        if self.is_name("not") {
            let depth = self.deeper(depth)?;
            self.bump();
            let inner = self.not_expr(depth)?;
            return Ok(Node {
                kind: NodeKind::Not(Box::new(inner)),
                span: start.to(self.last_span()),
            });
        }
        self.comparison(depth)
    }

    fn comparison(&mut self, depth: u32) -> Result<Node, ScriptError> {
        let start = self.span();
        let first = self.binary(depth, 0)?;
        let mut rest = Vec::new();
        while let Some(op) = self.comparison_op()? {
            rest.push((op, self.binary(depth, 0)?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Node {
            kind: NodeKind::Compare(Box::new(first), rest),
            span: start.to(self.last_span()),
        })
    }

    fn comparison_op(&mut self) -> Result<Option<CmpOp>, ScriptError> {
        let op = match self.peek() {
            Tok::Op("==") => CmpOp::Eq,
            Tok::Op("!=") => CmpOp::Ne,
            Tok::Op("<") => CmpOp::Lt,
            Tok::Op("<=") => CmpOp::Le,
            Tok::Op(">") => CmpOp::Gt,
            Tok::Op(">=") => CmpOp::Ge,
            Tok::Name(name) if name == "in" => CmpOp::In,
            Tok::Name(name) if name == "not" => {
                self.bump();
                if !self.is_name("in") {
                    return Err(self.unexpected("`in`"));
                }
                CmpOp::NotIn
            }
            Tok::Name(name) if name == "is" => {
                self.bump();
                return Ok(Some(if self.eat_name("not") { CmpOp::IsNot } else { CmpOp::Is }));
            }
            _ => return Ok(None),
        };
        self.bump();
        Ok(Some(op))
    }

    fn binary(&mut self, depth: u32, level: usize) -> Result<Node, ScriptError> {
        let Some(ops) = LEVELS.get(level) else { return self.unary(depth) };
        let start = self.span();
        let mut left = self.binary(depth, level + 1)?;
        loop {
            let op = match self.peek() {
                Tok::Op(text) => ops.iter().find(|(op, _)| op == text).map(|(_, op)| *op),
                _ => None,
            };
            let Some(op) = op else { return Ok(left) };
            self.operator()?;
            self.bump();
            let right = self.binary(depth, level + 1)?;
            let kind = NodeKind::Binary(op, Box::new(left), Box::new(right));
            left = Node { kind, span: start.to(self.last_span()) };
        }
    }

    fn unary(&mut self, depth: u32) -> Result<Node, ScriptError> {
        let start = self.span();
        let op = match self.peek() {
            Tok::Op("-") => UnOp::Neg,
            Tok::Op("+") => UnOp::Plus,
            Tok::Op("~") => UnOp::Invert,
            _ => return self.power(depth),
        };
        let depth = self.deeper(depth)?;
        self.bump();
        let inner = self.unary(depth)?;
        Ok(Node { kind: NodeKind::Unary(op, Box::new(inner)), span: start.to(self.last_span()) })
    }

    /// `a ** b`: it binds tighter than a sign before it, and to the right.
    fn power(&mut self, depth: u32) -> Result<Node, ScriptError> {
        let start = self.span();
        let base = self.postfix(depth)?;
        if !self.eat("**") {
            return Ok(base);
        }
        self.operator()?;
        let exponent = self.unary(self.deeper(depth)?)?;
        let kind = NodeKind::Binary(BinOp::Pow, Box::new(base), Box::new(exponent));
        Ok(Node { kind, span: start.to(self.last_span()) })
    }

    /// `value[index]`, `text.format(values)`
    fn postfix(&mut self, depth: u32) -> Result<Node, ScriptError> {
        let start = self.span();
        let mut node = self.atom(depth)?;
        loop {
            let kind = match self.peek() {
                Tok::Op("[") => {
                    self.operator()?;
                    self.bump();
                    let index = self.expr(depth)?;
                    if !self.eat("]") {
                        return Err(self.unexpected("`]` (slices are not supported)"));
                    }
                    NodeKind::Index(Box::new(node), Box::new(index))
                }
                Tok::Op(".") => {
                    let dot = self.span();
                    self.bump();
                    if !self.eat_name("format") {
                        let message =
                            "`.` is not supported here in code blocks, but for `.format()`";
                        return Err(self.error(dot, message));
                    }
                    self.operator()?;
                    if !self.eat("(") {
                        return Err(self.unexpected("`(`"));
                    }
                    NodeKind::Format(Box::new(node), self.items(")", depth)?)
                }
                Tok::Op(op @ ("/" | "@")) => {
                    let message = format!("`{op}` is not supported here in code blocks");
                    return Err(self.error(self.span(), message));
                }
                _ => return Ok(node),
            };
            node = Node { kind, span: start.to(self.last_span()) };
        }
    }

    fn atom(&mut self, depth: u32) -> Result<Node, ScriptError> {
        let start = self.span();
        let kind = match self.peek().clone() {
            Tok::Int(n) => {
                self.bump();
                NodeKind::Int(n)
            }
            Tok::Str(mut text) => {
                self.bump();
                while let Tok::Str(more) = self.peek() {
                    text.push_str(more);
                    self.bump();
                }
                NodeKind::Str(text)
            }
            Tok::FStr(text) => {
                self.bump();
                let inside = start.start as usize + 2;
                NodeKind::Pieces(fstring::pieces(self.source, inside, &text, self.deeper(depth)?)?)
            }
            Tok::Name(name) if UNSUPPORTED.contains(&name.as_str()) => {
                return Err(self.error(start, format!("`{name}` is not supported in code blocks")));
            }
            Tok::Name(name) if !KEYWORDS.contains(&name.as_str()) => {
                self.bump();
                self.name(name, depth)?
            }
            Tok::Op("(") => {
                self.bump();
                self.parenthesis(depth)?
            }
            Tok::Op("[") => {
                self.bump();
                NodeKind::List(self.items("]", depth)?)
            }
            _ => return Err(self.unexpected("an expression")),
        };
        Ok(Node { kind, span: start.to(self.last_span()) })
    }

    fn name(&mut self, name: String, depth: u32) -> Result<NodeKind, ScriptError> {
        if self.eat("(") {
            return Ok(NodeKind::Call(name, self.items(")", depth)?));
        }
        Ok(match name.as_str() {
            "True" => NodeKind::Bool(true),
            "False" => NodeKind::Bool(false),
            "None" => NodeKind::None,
            _ => NodeKind::Name(name),
        })
    }

    /// After `(`: a tuple if there is a comma, else the expression itself.
    fn parenthesis(&mut self, depth: u32) -> Result<NodeKind, ScriptError> {
        if self.eat(")") {
            return Ok(NodeKind::List(Vec::new()));
        }
        let first = self.expr(depth)?;
        if self.eat(")") {
            return Ok(first.kind);
        }
        if !self.eat(",") {
            return Err(self.unexpected("`)`"));
        }
        let mut list = vec![first];
        list.extend(self.items(")", depth)?);
        Ok(NodeKind::List(list))
    }

    fn items(&mut self, close: &str, depth: u32) -> Result<Vec<Node>, ScriptError> {
        let mut list = Vec::new();
        loop {
            if self.eat(close) {
                return Ok(list);
            }
            list.push(self.expr(depth)?);
            if !self.eat(",") && !self.eat(close) {
                return Err(self.unexpected(&format!("`{close}`")));
            } else if self.last_is(close) {
                return Ok(list);
            }
        }
    }

    fn last_is(&self, op: &str) -> bool {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        matches!(last, Some((Tok::Op(o), _)) if *o == op)
    }
}
