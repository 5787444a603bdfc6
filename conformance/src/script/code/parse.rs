//! Tokens of a block to statements.

use super::super::error::ScriptError;
use super::super::span::{Source, Span};
use super::lex::{Tok, lex};
use super::{BinOp, CmpOp, Node, NodeKind, Program, Stmt, StmtKind, UnOp};

/// How deep expressions and suites may be nested.
const MAX_DEPTH: u32 = 48;
/// How many operators a statement may have: chains of them make left-deep trees, which are walked by recursion.
const MAX_OPERATORS: u32 = 200;

/// Words that start a statement of Python which is not supported here.
const UNSUPPORTED: &[&str] = &[
    "import", "from", "def", "class", "while", "try", "with", "return", "raise", "lambda", "del",
    "global", "nonlocal", "break", "continue", "yield", "async", "await", "exec", "is",
];

/// Words that are no names.
const KEYWORDS: &[&str] =
    &["and", "or", "not", "in", "if", "else", "elif", "for", "assert", "pass"];

/// Parses the block `text`, which starts at byte `base` of the script.
pub(crate) fn parse(source: &Source, base: usize, text: &str) -> Result<Program, ScriptError> {
    let tokens = lex(source, base, text)?.tokens;
    let mut parser = Parser { source, tokens, at: 0, operators: 0 };
    let body = parser.block(0, |tok| *tok == Tok::End)?;
    Ok(Program { body })
}

struct Parser<'a> {
    source: &'a Source,
    tokens: Vec<(Tok, Span)>,
    at: usize,
    /// Operators of the statement so far.
    operators: u32,
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
            Tok::Str(_) => "a string".into(),
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
            "for" => return self.for_loop(start, depth),
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
        let body = self.suite(depth)?;
        Ok(Stmt { kind: StmtKind::For { name, list, body }, span: start.to(self.last_span()) })
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
                return Err(self.error(self.span(), "`is` is not supported in code blocks"));
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
            _ => return self.atom(depth),
        };
        let depth = self.deeper(depth)?;
        self.bump();
        let inner = self.unary(depth)?;
        Ok(Node { kind: NodeKind::Unary(op, Box::new(inner)), span: start.to(self.last_span()) })
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
        if let Tok::Op(op @ ("." | "[" | "**" | "/" | "@")) = self.peek() {
            return Err(
                self.error(self.span(), format!("`{op}` is not supported here in code blocks"))
            );
        }
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
