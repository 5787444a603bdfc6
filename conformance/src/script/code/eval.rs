//! Runs a block.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::super::span::Span;
use super::text::{format_braces, format_percent, with_spec};
use super::{BinOp, CmpOp, Function, Node, NodeKind, Piece, Program, Stmt, StmtKind, UnOp};

/// How many statements and expressions a script's blocks may evaluate together.
const MAX_STEPS: u64 = 2_000_000;
/// How many calls of functions may be open: each one nests the evaluation.
const MAX_CALLS: usize = 16;
/// The longest list, and the longest string in bytes.
pub(super) const MAX_LEN: usize = 1 << 16;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An integer.
    Int(i128),
    /// A string.
    Str(String),
    /// `True` or `False`.
    Bool(bool),
    /// `None`.
    None,
    /// A list or a tuple.
    List(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(n) => write!(f, "{n}"),
            Value::Str(s) => f.write_str(s),
            Value::Bool(b) => f.write_str(if *b { "True" } else { "False" }),
            Value::None => f.write_str("None"),
            Value::List(list) => {
                let items: Vec<String> = list.iter().map(Value::repr).collect();
                write!(f, "[{}]", items.join(", "))
            }
        }
    }
}

impl Value {
    pub(super) fn repr(&self) -> String {
        match self {
            Value::Str(s) => format!("'{s}'"),
            other => other.to_string(),
        }
    }

    fn truth(&self) -> bool {
        match self {
            Value::Int(n) => *n != 0,
            Value::Str(s) => !s.is_empty(),
            Value::Bool(b) => *b,
            Value::None => false,
            Value::List(list) => !list.is_empty(),
        }
    }

    pub(super) fn int(&self) -> Option<i128> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Bool(b) => Some(i128::from(*b)),
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Int(_) => "an integer",
            Value::Str(_) => "a string",
            Value::Bool(_) => "a truth value",
            Value::None => "None",
            Value::List(_) => "a list",
        }
    }
}

/// Why a block stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An assertion does not hold: its message if it has one, and the values of the names in it.
    Assert {
        /// The assertion's own message, evaluated.
        message: Option<String>,
        /// The names in the condition with their values, in order of appearance.
        values: Vec<(String, String)>,
    },
    /// The block cannot be evaluated.
    Error(String),
}

/// A failure and its place in the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeError {
    /// The statement, or the expression for an error.
    pub span: Span,
    /// What happened.
    pub failure: Failure,
}

/// The names of a script's blocks, and what they printed. All blocks of a script share one.
#[derive(Clone, Debug, Default)]
pub struct Env {
    names: BTreeMap<String, Value>,
    functions: BTreeMap<String, Arc<Function>>,
    /// The names of the functions that are being called, the innermost last.
    locals: Vec<BTreeMap<String, Value>>,
    printed: Vec<String>,
    steps: u64,
}

/// How a statement ended.
enum Flow {
    /// The next one follows.
    On,
    Break,
    Continue,
    Return(Value),
}

impl Env {
    /// Gives `name` a value.
    pub fn set(&mut self, name: &str, value: i128) {
        self.names.insert(name.to_string(), Value::Int(value));
    }

    /// The value of `name`.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.names.get(name)
    }

    /// What `print` wrote, a line each.
    pub fn printed(&self) -> &[String] {
        &self.printed
    }

    /// Runs a block.
    ///
    /// # Errors
    /// The first assertion that does not hold, or what cannot be evaluated.
    pub fn run(&mut self, program: &Program) -> Result<(), CodeError> {
        self.locals.clear();
        self.block(&program.body).map(|_| ())
    }

    /// Statements up to the first that leaves.
    fn block(&mut self, body: &[Stmt]) -> Result<Flow, CodeError> {
        for stmt in body {
            match self.statement(stmt)? {
                Flow::On => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::On)
    }

    fn step(&mut self, span: Span) -> Result<(), CodeError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(error(span, "the script's code blocks run too long"));
        }
        Ok(())
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<Flow, CodeError> {
        self.step(stmt.span)?;
        match &stmt.kind {
            StmtKind::Pass => {}
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
            StmtKind::Return(None) => return Ok(Flow::Return(Value::None)),
            StmtKind::Return(Some(value)) => return Ok(Flow::Return(self.eval(value)?)),
            StmtKind::Def(function) => {
                self.functions.insert(function.name.clone(), function.clone());
            }
            StmtKind::Expr(node) => {
                self.eval(node)?;
            }
            StmtKind::Assert { test, message } => self.assert(stmt.span, test, message.as_ref())?,
            StmtKind::Assign { name, op, value } => {
                let mut value_now = self.eval(value)?;
                if let Some(op) = op {
                    let before = self.own_name(name, stmt.span)?;
                    value_now = binary(*op, &before, &value_now, stmt.span)?;
                }
                self.assign(name, value_now);
            }
            StmtKind::For { name, list, body } => {
                let items = match self.eval(list)? {
                    Value::List(items) => items,
                    Value::Str(text) => text.chars().map(|c| Value::Str(c.to_string())).collect(),
                    _ => return Err(error(list.span, "`for` needs a list")),
                };
                for item in items {
                    self.step(stmt.span)?;
                    self.assign(name, item);
                    match self.block(body)? {
                        Flow::Break => break,
                        flow @ Flow::Return(_) => return Ok(flow),
                        Flow::On | Flow::Continue => {}
                    }
                }
            }
            StmtKind::While { test, body } => {
                while self.eval(test)?.truth() {
                    self.step(stmt.span)?;
                    match self.block(body)? {
                        Flow::Break => break,
                        flow @ Flow::Return(_) => return Ok(flow),
                        Flow::On | Flow::Continue => {}
                    }
                }
            }
            StmtKind::If { arms, otherwise } => {
                for (test, body) in arms {
                    if self.eval(test)?.truth() {
                        return self.block(body);
                    }
                }
                return self.block(otherwise);
            }
        }
        Ok(Flow::On)
    }

    fn assert(&mut self, span: Span, test: &Node, message: Option<&Node>) -> Result<(), CodeError> {
        if self.eval(test)?.truth() {
            return Ok(());
        }
        let message = message.map(|m| self.eval(m)).transpose()?.map(|m| m.to_string());
        let mut values = Vec::new();
        self.names_in(test, &mut values);
        Err(CodeError { span, failure: Failure::Assert { message, values } })
    }

    /// A name that is assigned to is the function's own, if one is being called.
    fn assign(&mut self, name: &str, value: Value) {
        let names = self.locals.last_mut().unwrap_or(&mut self.names);
        names.insert(name.to_string(), value);
    }

    /// The value of a name that is assigned to: those of the block are not a function's to change.
    fn own_name(&self, name: &str, span: Span) -> Result<Value, CodeError> {
        match self.locals.last() {
            None => self.look_up(name, span),
            Some(names) => names.get(name).cloned().ok_or_else(|| {
                error(span, format!("the name `{name}` is assigned to before it has a value"))
            }),
        }
    }

    /// Calls a function of the blocks' own.
    fn call_own(
        &mut self,
        function: &Function,
        args: Vec<Value>,
        span: Span,
    ) -> Result<Value, CodeError> {
        let (name, wanted) = (&function.name, function.parameters.len());
        if args.len() != wanted {
            let message = format!("`{name}` takes {wanted} arguments, not {}", args.len());
            return Err(error(span, message));
        }
        if self.locals.len() >= MAX_CALLS {
            return Err(error(span, format!("more than {MAX_CALLS} calls inside each other")));
        }
        self.locals.push(function.parameters.iter().cloned().zip(args).collect());
        let flow = self.block(&function.body);
        self.locals.pop();
        match flow? {
            Flow::Return(value) => Ok(value),
            _ => Ok(Value::None),
        }
    }

    fn look_up(&self, name: &str, span: Span) -> Result<Value, CodeError> {
        let local = self.locals.last().and_then(|names| names.get(name));
        local
            .or_else(|| self.names.get(name))
            .cloned()
            .ok_or_else(|| error(span, format!("the name `{name}` is not known")))
    }

    /// The names of an expression with their values.
    fn names_in(&self, node: &Node, out: &mut Vec<(String, String)>) {
        let mut push = |name: &String| {
            if let Ok(value) = self.look_up(name, Span::default())
                && !out.iter().any(|(n, _)| n == name)
            {
                out.push((name.clone(), value.repr()));
            }
        };
        match &node.kind {
            NodeKind::Name(name) => push(name),
            NodeKind::List(nodes) | NodeKind::Call(_, nodes) => {
                nodes.iter().for_each(|n| self.names_in(n, out));
            }
            NodeKind::Unary(_, a) | NodeKind::Not(a) => self.names_in(a, out),
            NodeKind::Binary(_, a, b) | NodeKind::And(a, b) | NodeKind::Or(a, b) => {
                self.names_in(a, out);
                self.names_in(b, out);
            }
            NodeKind::Compare(a, rest) => {
                self.names_in(a, out);
                rest.iter().for_each(|(_, n)| self.names_in(n, out));
            }
            NodeKind::IfElse(a, b, c) => [a, b, c].into_iter().for_each(|n| self.names_in(n, out)),
            NodeKind::Index(a, b) => [a, b].into_iter().for_each(|n| self.names_in(n, out)),
            NodeKind::Format(a, nodes) => {
                self.names_in(a, out);
                nodes.iter().for_each(|n| self.names_in(n, out));
            }
            NodeKind::Pieces(pieces) => {
                for piece in pieces {
                    if let Piece::Value(node, _) = piece {
                        self.names_in(node, out);
                    }
                }
            }
            NodeKind::Int(_) | NodeKind::Str(_) | NodeKind::Bool(_) | NodeKind::None => {}
        }
    }

    fn eval(&mut self, node: &Node) -> Result<Value, CodeError> {
        self.step(node.span)?;
        Ok(match &node.kind {
            NodeKind::Int(n) => Value::Int(*n),
            NodeKind::Str(s) => Value::Str(s.clone()),
            NodeKind::Bool(b) => Value::Bool(*b),
            NodeKind::None => Value::None,
            NodeKind::Name(name) => self.look_up(name, node.span)?,
            NodeKind::List(nodes) => {
                Value::List(nodes.iter().map(|n| self.eval(n)).collect::<Result<_, _>>()?)
            }
            NodeKind::Call(name, args) => {
                let args: Vec<Value> =
                    args.iter().map(|n| self.eval(n)).collect::<Result<_, _>>()?;
                match self.functions.get(name).cloned() {
                    Some(function) => self.call_own(&function, args, node.span)?,
                    None => self.call(name, &args, node.span)?,
                }
            }
            NodeKind::Index(list, index) => {
                let (list, index) = (self.eval(list)?, self.eval(index)?);
                element(&list, &index, node.span)?
            }
            NodeKind::Format(text, args) => {
                let Value::Str(text) = self.eval(text)? else {
                    return Err(error(node.span, "`.format()` is for strings"));
                };
                let args: Vec<Value> =
                    args.iter().map(|n| self.eval(n)).collect::<Result<_, _>>()?;
                Value::Str(format_braces(&text, &args, node.span)?)
            }
            NodeKind::Pieces(pieces) => self.pieces(pieces)?,
            NodeKind::Unary(op, inner) => unary(*op, &self.eval(inner)?, node.span)?,
            NodeKind::Binary(op, a, b) => {
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                binary(*op, &a, &b, node.span)?
            }
            NodeKind::And(a, b) => {
                let a = self.eval(a)?;
                if a.truth() { self.eval(b)? } else { a }
            }
            NodeKind::Or(a, b) => {
                let a = self.eval(a)?;
                if a.truth() { a } else { self.eval(b)? }
            }
            NodeKind::Not(a) => Value::Bool(!self.eval(a)?.truth()),
            NodeKind::IfElse(test, a, b) => {
                if self.eval(test)?.truth() {
                    self.eval(a)?
                } else {
                    self.eval(b)?
                }
            }
            NodeKind::Compare(first, rest) => {
                let mut left = self.eval(first)?;
                for (op, node) in rest {
                    let right = self.eval(node)?;
                    if !compare(*op, &left, &right, node.span)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
        })
    }

    fn pieces(&mut self, pieces: &[Piece]) -> Result<Value, CodeError> {
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(node, spec) => {
                    let value = self.eval(node)?;
                    out.push_str(&with_spec(&value, spec, node.span)?);
                    if out.len() > MAX_LEN {
                        return Err(error(node.span, "the formatted string is too long"));
                    }
                }
            }
        }
        Ok(Value::Str(out))
    }

    fn call(&mut self, name: &str, args: &[Value], span: Span) -> Result<Value, CodeError> {
        let ints = |values: &[Value]| -> Result<Vec<i128>, CodeError> {
            let all: Option<Vec<i128>> = values.iter().map(Value::int).collect();
            all.ok_or_else(|| error(span, format!("`{name}` needs integers")))
        };
        let operands = match args {
            [Value::List(list)] => list.as_slice(),
            other => other,
        };
        Ok(match (name, args) {
            ("print", _) => {
                let line: Vec<String> = args.iter().map(ToString::to_string).collect();
                if self.printed.len() < MAX_LEN {
                    self.printed.push(line.join(" "));
                }
                Value::None
            }
            ("min" | "max", _) => {
                let all = ints(operands)?;
                let found =
                    if name == "min" { all.into_iter().min() } else { all.into_iter().max() };
                Value::Int(found.ok_or_else(|| error(span, format!("`{name}` of nothing")))?)
            }
            ("sum", [Value::List(list)]) => {
                let sum = ints(list)?.into_iter().try_fold(0i128, i128::checked_add);
                Value::Int(sum.ok_or_else(|| error(span, "the integer is too large"))?)
            }
            ("abs", [value]) => {
                let n = value.int().ok_or_else(|| error(span, "`abs` needs an integer"))?;
                Value::Int(n.checked_abs().ok_or_else(|| error(span, "the integer is too large"))?)
            }
            ("len", [Value::List(list)]) => Value::Int(list.len() as i128),
            ("len", [Value::Str(s)]) => Value::Int(s.chars().count() as i128),
            ("int", [value]) => match (value.int(), value) {
                (Some(n), _) => Value::Int(n),
                (None, Value::Str(s)) => Value::Int(
                    s.trim().parse().map_err(|_| error(span, "the string is not an integer"))?,
                ),
                _ => return Err(error(span, format!("`int` of {}", value.kind()))),
            },
            ("str", [value]) => Value::Str(value.to_string()),
            ("bool", [value]) => Value::Bool(value.truth()),
            ("range", [_] | [_, _] | [_, _, _]) => range(&ints(args)?, span)?,
            ("sum" | "abs" | "len" | "int" | "str" | "bool" | "range", _) => {
                return Err(error(span, format!("`{name}` does not take these arguments")));
            }
            _ => {
                return Err(error(
                    span,
                    format!("the function `{name}` is not supported in code blocks"),
                ));
            }
        })
    }
}

pub(super) fn error(span: Span, message: impl Into<String>) -> CodeError {
    CodeError { span, failure: Failure::Error(message.into()) }
}

/// `list[index]`; a negative index counts from the end.
fn element(list: &Value, index: &Value, span: Span) -> Result<Value, CodeError> {
    let chars: Vec<Value>;
    let items = match list {
        Value::List(items) => items,
        Value::Str(text) => {
            chars = text.chars().map(|c| Value::Str(c.to_string())).collect();
            &chars
        }
        _ => return Err(error(span, format!("{} has no elements", list.kind()))),
    };
    let Some(at) = index.int() else {
        return Err(error(span, format!("an element's number is {}", index.kind())));
    };
    let at = if at < 0 { at.saturating_add(items.len() as i128) } else { at };
    let found = usize::try_from(at).ok().and_then(|at| items.get(at));
    found.cloned().ok_or_else(|| error(span, "there is no element of this number"))
}

fn range(args: &[i128], span: Span) -> Result<Value, CodeError> {
    let (from, to, step) = match *args {
        [to] => (0, to, 1),
        [from, to] => (from, to, 1),
        [from, to, step] => (from, to, step),
        _ => (0, 0, 1),
    };
    if step == 0 {
        return Err(error(span, "`range` with a step of 0"));
    }
    let mut list = Vec::new();
    let mut at = from;
    while if step > 0 { at < to } else { at > to } {
        if list.len() >= MAX_LEN {
            return Err(error(span, format!("a range of more than {MAX_LEN} values")));
        }
        list.push(Value::Int(at));
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    Ok(Value::List(list))
}

fn unary(op: UnOp, value: &Value, span: Span) -> Result<Value, CodeError> {
    let Some(n) = value.int() else {
        return Err(error(span, format!("the sign of {}", value.kind())));
    };
    let result = match op {
        UnOp::Neg => n.checked_neg(),
        UnOp::Plus => Some(n),
        UnOp::Invert => Some(!n),
    };
    result.map(Value::Int).ok_or_else(|| error(span, "the integer is too large"))
}

fn binary(op: BinOp, a: &Value, b: &Value, span: Span) -> Result<Value, CodeError> {
    match (op, a, b) {
        (BinOp::Mod, Value::Str(text), _) => return format_percent(text, b, span).map(Value::Str),
        (BinOp::Add, Value::Str(x), Value::Str(y)) if x.len() + y.len() <= MAX_LEN => {
            return Ok(Value::Str(format!("{x}{y}")));
        }
        (BinOp::Add, Value::List(x), Value::List(y)) if x.len() + y.len() <= MAX_LEN => {
            return Ok(Value::List(x.iter().chain(y).cloned().collect()));
        }
        _ => {}
    }
    let (Some(x), Some(y)) = (a.int(), b.int()) else {
        return Err(error(span, format!("arithmetic with {} and {}", a.kind(), b.kind())));
    };
    if matches!(op, BinOp::FloorDiv | BinOp::Mod) && y == 0 {
        return Err(error(span, "division by zero"));
    }
    let shift = u32::try_from(y).ok().filter(|s| *s < 127);
    let result = match op {
        BinOp::Add => x.checked_add(y),
        BinOp::Sub => x.checked_sub(y),
        BinOp::Mul => x.checked_mul(y),
        // Python rounds towards minus infinity, and the remainder has the divisor's sign.
        BinOp::FloorDiv => {
            x.checked_div(y).map(|q| if x % y != 0 && (x < 0) != (y < 0) { q - 1 } else { q })
        }
        BinOp::Mod => {
            x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r })
        }
        BinOp::Pow => match u32::try_from(y) {
            Ok(y) => x.checked_pow(y),
            Err(_) if y < 0 => return Err(error(span, "a power below 0 is a fraction")),
            Err(_) => None,
        },
        BinOp::And => Some(x & y),
        BinOp::Or => Some(x | y),
        BinOp::Xor => Some(x ^ y),
        BinOp::Shl => shift.and_then(|s| x.checked_mul(1i128 << s)),
        BinOp::Shr => shift.map(|s| x >> s),
    };
    result.map(Value::Int).ok_or_else(|| error(span, "the integer is too large"))
}

fn compare(op: CmpOp, a: &Value, b: &Value, span: Span) -> Result<bool, CodeError> {
    let equal = |x: &Value, y: &Value| match (x.int(), y.int()) {
        (Some(x), Some(y)) => x == y,
        _ => x == y,
    };
    let ordering = match (a, b) {
        (Value::Str(x), Value::Str(y)) => Some(x.cmp(y)),
        _ => a.int().zip(b.int()).map(|(x, y)| x.cmp(&y)),
    };
    let contains = |list: &Value| match (list, a) {
        (Value::List(list), _) => Ok(list.iter().any(|item| equal(item, a))),
        (Value::Str(text), Value::Str(part)) => Ok(text.contains(part.as_str())),
        _ => Err(error(span, format!("`in` {}", list.kind()))),
    };
    let ordered =
        ordering.ok_or_else(|| error(span, format!("{} and {} have no order", a.kind(), b.kind())));
    Ok(match op {
        CmpOp::Eq => equal(a, b),
        CmpOp::Ne => !equal(a, b),
        CmpOp::Lt => ordered?.is_lt(),
        CmpOp::Le => ordered?.is_le(),
        CmpOp::Gt => ordered?.is_gt(),
        CmpOp::Ge => ordered?.is_ge(),
        CmpOp::In => contains(b)?,
        CmpOp::NotIn => !contains(b)?,
        CmpOp::Is => a == b,
        CmpOp::IsNot => a != b,
    })
}
