//! Runs a block.

use std::collections::BTreeMap;
use std::fmt;

use super::super::span::Span;
use super::{BinOp, CmpOp, Node, NodeKind, Program, Stmt, StmtKind, UnOp};

/// How many statements and expressions a script's blocks may evaluate together.
const MAX_STEPS: u64 = 2_000_000;
/// The longest list, and the longest string in bytes.
const MAX_LEN: usize = 1 << 16;

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
    fn repr(&self) -> String {
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

    fn int(&self) -> Option<i128> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Bool(b) => Some(i128::from(*b)),
            _ => None,
        }
    }

    fn kind(&self) -> &'static str {
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
    printed: Vec<String>,
    steps: u64,
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
        self.block(&program.body)
    }

    fn block(&mut self, body: &[Stmt]) -> Result<(), CodeError> {
        body.iter().try_for_each(|stmt| self.statement(stmt))
    }

    fn step(&mut self, span: Span) -> Result<(), CodeError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(error(span, "the script's code blocks run too long"));
        }
        Ok(())
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<(), CodeError> {
        self.step(stmt.span)?;
        match &stmt.kind {
            StmtKind::Pass => Ok(()),
            StmtKind::Expr(node) => self.eval(node).map(|_| ()),
            StmtKind::Assert { test, message } => {
                if self.eval(test)?.truth() {
                    return Ok(());
                }
                let message =
                    message.as_ref().map(|m| self.eval(m)).transpose()?.map(|m| m.to_string());
                let mut values = Vec::new();
                self.names_in(test, &mut values);
                Err(CodeError { span: stmt.span, failure: Failure::Assert { message, values } })
            }
            StmtKind::Assign { name, op, value } => {
                let mut value_now = self.eval(value)?;
                if let Some(op) = op {
                    let before = self.look_up(name, stmt.span)?;
                    value_now = binary(*op, &before, &value_now, stmt.span)?;
                }
                self.names.insert(name.clone(), value_now);
                Ok(())
            }
            StmtKind::For { name, list, body } => {
                let Value::List(items) = self.eval(list)? else {
                    return Err(error(list.span, "`for` needs a list"));
                };
                for item in items {
                    self.step(stmt.span)?;
                    self.names.insert(name.clone(), item);
                    self.block(body)?;
                }
                Ok(())
            }
            StmtKind::If { arms, otherwise } => {
                for (test, body) in arms {
                    if self.eval(test)?.truth() {
                        return self.block(body);
                    }
                }
                self.block(otherwise)
            }
        }
    }

    fn look_up(&self, name: &str, span: Span) -> Result<Value, CodeError> {
        self.names
            .get(name)
            .cloned()
            .ok_or_else(|| error(span, format!("the name `{name}` is not known")))
    }

    /// The names of an expression with their values.
    fn names_in(&self, node: &Node, out: &mut Vec<(String, String)>) {
        let mut push = |name: &String| {
            if let Some(value) = self.names.get(name)
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
                self.call(name, &args, node.span)?
            }
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

fn error(span: Span, message: impl Into<String>) -> CodeError {
    CodeError { span, failure: Failure::Error(message.into()) }
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
    })
}

/// `'text %d' % values`: `%d %i %u %x %X %o %s %r %%`, with `-` and `0` flags and a width.
fn format_percent(text: &str, values: &Value, span: Span) -> Result<String, CodeError> {
    let single = [values.clone()];
    let mut values = match values {
        Value::List(list) => list.iter(),
        _ => single.iter(),
    };
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let (mut left, mut zero, mut width) = (false, false, 0usize);
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '0')) {
            left |= flag == '-';
            zero |= flag == '0';
        }
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            width = (width * 10 + digit as usize - '0' as usize).min(256);
        }
        let Some(kind) = chars.next() else {
            return Err(error(span, "`%` at the end of a format"));
        };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = values
            .next()
            .ok_or_else(|| error(span, "the format wants more values than there are"))?;
        let int =
            || value.int().ok_or_else(|| error(span, format!("`%{kind}` of {}", value.kind())));
        let piece = match kind {
            'd' | 'i' | 'u' => int()?.to_string(),
            'x' => format!("{:x}", int()?),
            'X' => format!("{:X}", int()?),
            'o' => format!("{:o}", int()?),
            's' => value.to_string(),
            'r' => value.repr(),
            _ => return Err(error(span, format!("the format `%{kind}` is not supported"))),
        };
        out.push_str(&match (left, zero) {
            (true, _) => format!("{piece:<width$}"),
            (false, true) => format!("{piece:0>width$}"),
            (false, false) => format!("{piece:>width$}"),
        });
        if out.len() > MAX_LEN {
            return Err(error(span, "the formatted string is too long"));
        }
    }
    if values.next().is_some() {
        return Err(error(span, "the format wants fewer values than there are"));
    }
    Ok(out)
}
