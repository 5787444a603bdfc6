//! The values that strace prints as arguments.

/// Nesting that no real strace line comes near.
const MAX_DEPTH: u32 = 32;

/// One argument, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number: decimal, hexadecimal or octal.
    Int(i64),
    /// A string's bytes; `truncated` where strace cut it (`...`).
    Str {
        /// The bytes printed.
        bytes: Vec<u8>,
        /// Whether there are more.
        truncated: bool,
    },
    /// Anything symbolic: `NULL`, `O_RDWR|O_NONBLOCK`, `AF_INET`.
    Sym(String),
    /// `[a, b]`; a set `[a b]` gives the same.
    Array(Vec<Value>),
    /// `{name=value, ...}`; a part without a name has an empty one.
    Struct(Vec<(String, Value)>),
    /// `htons(80)`.
    Call(String, Vec<Value>),
    /// `128 => 16`: before and after the call.
    Change(Box<Value>, Box<Value>),
}

impl Value {
    /// A number, or the number after the call.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            Self::Change(_, after) => after.int(),
            Self::Array(v) if v.len() == 1 => v[0].int(),
            Self::Call(name, args) if matches!(name.as_str(), "htons" | "htonl") => {
                args.first()?.int()
            }
            _ => None,
        }
    }

    /// A member of a struct.
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(m) => m.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The bytes of a string.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Str { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// The text of a symbol.
    pub fn sym(&self) -> Option<&str> {
        match self {
            Self::Sym(s) => Some(s),
            _ => None,
        }
    }
}

/// Where a text stops being a value.
#[derive(Debug)]
pub(super) struct Bad {
    /// Byte offset in the text.
    pub(super) at: usize,
    /// What was expected.
    pub(super) what: &'static str,
}

/// A cursor over one call's text.
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    pub(super) pos: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), pos: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    fn starts(&self, s: &str) -> bool {
        self.text.get(self.pos..).is_some_and(|t| t.starts_with(s.as_bytes()))
    }

    pub(super) fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.pos += 1;
        }
        // strace's own remarks.
        while self.starts("/*") {
            let rest = self.text.get(self.pos..).unwrap_or_default();
            match rest.windows(2).position(|w| w == b"*/") {
                Some(n) => self.pos += n + 2,
                None => return,
            }
            while matches!(self.peek(), Some(b' ' | b'\t')) {
                self.pos += 1;
            }
        }
    }

    pub(super) fn eat(&mut self, c: u8) -> bool {
        let hit = self.peek() == Some(c);
        self.pos += usize::from(hit);
        hit
    }

    fn bad(&self, what: &'static str) -> Bad {
        Bad { at: self.pos, what }
    }

    /// Values separated by commas (or spaces, in a set) up to `end`, which is eaten.
    pub(super) fn list(&mut self, end: u8, depth: u32) -> Result<Vec<Value>, Bad> {
        let mut items = Vec::new();
        loop {
            self.spaces();
            if self.eat(end) {
                return Ok(items);
            }
            if self.eat(b',') {
                continue;
            }
            if self.starts("...") {
                self.pos += 3;
                continue;
            }
            if self.peek().is_none() {
                return Err(self.bad("the list of arguments does not end"));
            }
            let (_, value) = self.named(depth)?;
            items.push(value);
        }
    }

    /// `name=value` or a value alone.
    fn named(&mut self, depth: u32) -> Result<(String, Value), Bad> {
        let start = self.pos;
        while matches!(self.peek(), Some(c) if c.is_ascii_alphanumeric() || c == b'_') {
            self.pos += 1;
        }
        let is_name = self.pos > start
            && self.peek() == Some(b'=')
            && self.text.get(self.pos + 1) != Some(&b'>');
        if is_name {
            let name = String::from_utf8_lossy(&self.text[start..self.pos]).into_owned();
            self.pos += 1;
            Ok((name, self.value(depth)?))
        } else {
            self.pos = start;
            Ok((String::new(), self.value(depth)?))
        }
    }

    /// One value, with its value after the call where it changed.
    pub(super) fn value(&mut self, depth: u32) -> Result<Value, Bad> {
        if depth > MAX_DEPTH {
            return Err(self.bad("nested too deeply"));
        }
        self.spaces();
        let before = self.atom(depth)?;
        self.spaces();
        if self.starts("=>") {
            self.pos += 2;
            let after = self.value(depth + 1)?;
            return Ok(Value::Change(Box::new(before), Box::new(after)));
        }
        Ok(before)
    }

    fn atom(&mut self, depth: u32) -> Result<Value, Bad> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'[') => {
                self.pos += 1;
                Ok(Value::Array(self.list(b']', depth + 1)?))
            }
            Some(b'{') => {
                self.pos += 1;
                self.members(depth + 1)
            }
            Some(b'~') => {
                self.pos += 1;
                let of = self.atom(depth + 1)?;
                Ok(Value::Call("~".to_owned(), vec![of]))
            }
            Some(b'&') => {
                self.pos += 1;
                self.atom(depth + 1)
            }
            _ => self.word(depth),
        }
    }

    fn members(&mut self, depth: u32) -> Result<Value, Bad> {
        let mut members = Vec::new();
        loop {
            self.spaces();
            if self.eat(b'}') {
                return Ok(Value::Struct(members));
            }
            if self.eat(b',') {
                continue;
            }
            if self.starts("...") {
                self.pos += 3;
                continue;
            }
            if self.peek().is_none() {
                return Err(self.bad("a structure does not end"));
            }
            members.push(self.named(depth)?);
        }
    }

    /// A number, a symbol (with `|`), or a call like `htons(80)`.
    fn word(&mut self, depth: u32) -> Result<Value, Bad> {
        let start = self.pos;
        while let Some(c) = self.peek() {
            match c {
                b',' | b')' | b']' | b'}' | b' ' | b'(' | b'=' | b'"' | b'[' | b'{' => break,
                b'<' => {
                    // `5<socket:[123]>`: what -y adds to a descriptor.
                    if self.pos == start || !self.skip_annotation() {
                        break;
                    }
                    let digits = String::from_utf8_lossy(&self.text[start..]).into_owned();
                    let digits: String =
                        digits.chars().take_while(|c| c.is_ascii_digit()).collect();
                    return digits
                        .parse()
                        .map(Value::Int)
                        .map_err(|_| self.bad("a descriptor was expected"));
                }
                _ => self.pos += 1,
            }
        }
        let text = String::from_utf8_lossy(&self.text[start..self.pos]).into_owned();
        if text.is_empty() {
            return Err(self.bad("a value was expected"));
        }
        if self.peek() == Some(b'(') {
            self.pos += 1;
            let args = self.list(b')', depth + 1)?;
            return Ok(Value::Call(text, args));
        }
        Ok(parse_int(&text).map_or_else(|| Value::Sym(text), Value::Int))
    }

    fn skip_annotation(&mut self) -> bool {
        let rest = self.text.get(self.pos..).unwrap_or_default();
        // The address pairs of -yy contain "->".
        let mut i = 1;
        while let Some(&c) = rest.get(i) {
            if c == b'>' && rest.get(i.wrapping_sub(1)) != Some(&b'-') {
                self.pos += i + 1;
                return true;
            }
            i += 1;
        }
        false
    }

    fn string(&mut self) -> Result<Value, Bad> {
        let open = self.pos;
        self.pos += 1;
        let mut bytes = Vec::new();
        loop {
            let Some(c) = self.peek() else {
                self.pos = open;
                return Err(self.bad("a string does not end"));
            };
            self.pos += 1;
            match c {
                b'"' => break,
                b'\\' => bytes.push(self.escape()?),
                _ => bytes.push(c),
            }
        }
        let truncated = self.starts("...");
        if truncated {
            self.pos += 3;
        }
        Ok(Value::Str { bytes, truncated })
    }

    fn escape(&mut self) -> Result<u8, Bad> {
        let Some(c) = self.peek() else {
            return Err(self.bad("a string ends in a backslash"));
        };
        self.pos += 1;
        Ok(match c {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'a' => 0x07,
            b'b' => 0x08,
            b'x' => {
                let mut v: u8 = 0;
                for _ in 0..2 {
                    let Some(d) = self.peek().and_then(|d| (d as char).to_digit(16)) else { break };
                    v = v.wrapping_mul(16).wrapping_add(d as u8);
                    self.pos += 1;
                }
                v
            }
            b'0'..=b'7' => {
                let mut v = u32::from(c - b'0');
                for _ in 0..2 {
                    let Some(d) = self.peek().and_then(|d| (d as char).to_digit(8)) else { break };
                    v = v * 8 + d;
                    self.pos += 1;
                }
                v as u8
            }
            other => other,
        })
    }
}

/// A C integer literal.
pub(super) fn parse_int(s: &str) -> Option<i64> {
    let (neg, digits) = match s.strip_prefix('-') {
        Some(d) => (true, d),
        None => (false, s),
    };
    let magnitude = if let Some(hex) = digits.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit())
    {
        u64::from_str_radix(digits, 8).ok()?
    } else if digits.bytes().all(|b| b.is_ascii_digit()) {
        digits.parse().ok()?
    } else {
        return None;
    };
    let v = magnitude as i64;
    Some(if neg { v.wrapping_neg() } else { v })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<Value> {
        let mut c = Cursor::new(text);
        c.list(b')', 0).unwrap()
    }

    #[test]
    fn addresses_and_changes() {
        let a = args(
            "3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"1.2.3.4\")}, [128 => 16])",
        );
        assert_eq!(a[0], Value::Int(3));
        assert_eq!(a[1].member("sin_port").and_then(Value::int), Some(80));
        assert_eq!(a[2].int(), Some(16));
    }

    #[test]
    fn strings_keep_their_bytes() {
        let a = args(r#""a\0\1777\n\x41\"z"..., ~[ICMP_A ICMP_B], 5<TCP:[1.2.3.4:5->6.7.8.9:1]>)"#);
        assert_eq!(a[0], Value::Str { bytes: b"a\0\x7f7\nA\"z".to_vec(), truncated: true });
        assert_eq!(a[2], Value::Int(5));
    }

    #[test]
    fn nothing_panics_on_cut_text() {
        let whole =
            r#"3, {msg_iov=[{iov_base="a\12"..., iov_len=3}], msg_namelen=128 => 16}, ~[A B])"#;
        for n in 0..whole.len() {
            let mut c = Cursor::new(&whole[..n]);
            assert!(c.list(b')', 0).is_err());
        }
        let mut deep = Cursor::new("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
        assert!(deep.list(b')', 0).is_err());
    }
}
