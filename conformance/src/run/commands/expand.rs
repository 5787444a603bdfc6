//! Integer arithmetic of `$(( ))`, and the patterns of grep.

/// The value of an arithmetic expression: decimal and `0x` integers, `+ - * / %`, parentheses, and variables by name.
///
/// # Errors
/// What is not such an expression, or overflows.
pub(super) fn arithmetic(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<i64, String> {
    let mut at = Arithmetic { rest: text, variable, depth: 0 };
    let value = at.sum().filter(|_| at.rest.trim().is_empty());
    value.ok_or_else(|| format!("`$(({text}))` is not supported: integers with + - * / % and ( )"))
}

struct Arithmetic<'a> {
    rest: &'a str,
    variable: &'a dyn Fn(&str) -> Option<String>,
    depth: u32,
}

impl Arithmetic<'_> {
    fn eat(&mut self, operators: &[char]) -> Option<char> {
        self.rest = self.rest.trim_start();
        let c = self.rest.chars().next().filter(|c| operators.contains(c))?;
        self.rest = &self.rest[1..];
        Some(c)
    }

    fn sum(&mut self) -> Option<i64> {
        let mut value = self.product()?;
        while let Some(operator) = self.eat(&['+', '-']) {
            let right = self.product()?;
            value = if operator == '+' {
                value.checked_add(right)?
            } else {
                value.checked_sub(right)?
            };
        }
        Some(value)
    }

    fn product(&mut self) -> Option<i64> {
        let mut value = self.factor()?;
        while let Some(operator) = self.eat(&['*', '/', '%']) {
            let right = self.factor()?;
            value = match operator {
                '*' => value.checked_mul(right)?,
                '/' => value.checked_div(right)?,
                _ => value.checked_rem(right)?,
            };
        }
        Some(value)
    }

    fn factor(&mut self) -> Option<i64> {
        self.depth += 1;
        if self.depth > 100 {
            return None;
        }
        if self.eat(&['-']).is_some() {
            return self.factor()?.checked_neg();
        }
        if self.eat(&['(']).is_some() {
            let value = self.sum()?;
            return self.eat(&[')']).map(|_| value);
        }
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let value = match word.chars().next()? {
            '0'..='9' => word.to_string(),
            _ => (self.variable)(word)?,
        };
        match value.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => value.trim().parse().ok(),
        }
    }
}

/// A basic regular expression as far as grep is given one: literals, `.`, `[set]`, `*` behind one of these, `^` and `$`
/// at the ends, and `\` before a character that stands for itself.
pub(super) struct Pattern {
    at_start: bool,
    at_end: bool,
    /// Each with whether it may repeat.
    atoms: Vec<(Atom, bool)>,
    ignore_case: bool,
}

enum Atom {
    Char(char),
    Any,
    Set { chars: Vec<(char, char)>, not: bool },
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// An operator that is not known here.
    pub(super) fn new(text: &str, fixed: bool, ignore_case: bool) -> Result<Pattern, String> {
        let lowered = if ignore_case { text.to_lowercase() } else { text.to_string() };
        let mut pattern =
            Pattern { at_start: false, at_end: false, atoms: Vec::new(), ignore_case };
        if fixed {
            pattern.atoms = lowered.chars().map(|c| (Atom::Char(c), false)).collect();
            return Ok(pattern);
        }
        let mut rest = lowered.as_str();
        if let Some(behind) = rest.strip_prefix('^') {
            (pattern.at_start, rest) = (true, behind);
        }
        let mut chars = rest.chars().peekable();
        while let Some(c) = chars.next() {
            let atom = match c {
                '$' if chars.peek().is_none() => {
                    pattern.at_end = true;
                    break;
                }
                '.' => Atom::Any,
                '[' => set(&mut chars).ok_or_else(|| format!("`{text}`: `[` has no `]`"))?,
                '\\' => match chars.next() {
                    Some(c) if !c.is_alphanumeric() && !"|+?(){}<>".contains(c) => Atom::Char(c),
                    _ => return Err(format!("`{text}`: this `\\` is not supported in a pattern")),
                },
                c => Atom::Char(c),
            };
            let many = chars.next_if_eq(&'*').is_some();
            pattern.atoms.push((atom, many));
        }
        Ok(pattern)
    }

    /// Whether a line holds the pattern.
    pub(super) fn matches(&self, line: &str) -> bool {
        let line = if self.ignore_case { line.to_lowercase() } else { line.to_string() };
        let chars: Vec<char> = line.chars().collect();
        let starts = if self.at_start { 0..=0 } else { 0..=chars.len() };
        // The positions that the atoms so far can end at, all at once: no backtracking, whatever the pattern.
        let mut open = vec![false; chars.len() + 1];
        starts.for_each(|at| open[at] = true);
        for (atom, many) in &self.atoms {
            let mut next = vec![false; chars.len() + 1];
            for at in 0..=chars.len() {
                if open[at] && *many {
                    next[at] = true;
                }
                let from = open[at] || (*many && next[at]);
                if from && chars.get(at).is_some_and(|c| atom.is(*c)) {
                    next[at + 1] = true;
                }
            }
            open = next;
        }
        if self.at_end { open[chars.len()] } else { open.contains(&true) }
    }
}

impl Atom {
    fn is(&self, c: char) -> bool {
        match self {
            Atom::Char(own) => *own == c,
            Atom::Any => true,
            Atom::Set { chars, not } => chars.iter().any(|(a, b)| (*a..=*b).contains(&c)) != *not,
        }
    }
}

/// The set behind `[`.
fn set(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Atom> {
    let not = chars.next_if_eq(&'^').is_some();
    let mut list = Vec::new();
    loop {
        let first = chars.next()?;
        if first == ']' && !list.is_empty() {
            return Some(Atom::Set { chars: list, not });
        }
        let ahead: Vec<char> = chars.clone().take(2).collect();
        match ahead.as_slice() {
            ['-', last] if *last != ']' => {
                list.push((first, *last));
                chars.nth(1);
            }
            _ => list.push((first, first)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_products() {
        let variable = |name: &str| (name == "X").then(|| "7".to_string());
        for (text, value) in
            [("15*1024*1024", 15 << 20), (" 1 + 2*3 - -1", 8), ("(1+2)*X % 4", 1), ("0x10/2", 8)]
        {
            assert_eq!(arithmetic(text, &variable), Ok(value), "{text}");
        }
        for text in ["", "1/0", "Y", "1<<2", "(1", "9223372036854775807+1"] {
            assert!(arithmetic(text, &variable).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns() {
        let is = |p: &str, line: &str| Pattern::new(p, false, false).unwrap().matches(line);
        for (pattern, line) in [
            (" 0A ", "x 0A y"),
            ("^Tcp.*Icmps *[1-9]", "TcpExtOutOfWindowIcmps   3"),
            ("1$", "x1"),
            ("a*b", "b"),
            ("[^0]$", "01"),
            ("\\.", "a.b"),
            ("", "anything"),
        ] {
            assert!(is(pattern, line), "{pattern} in {line}");
        }
        for (pattern, line) in [("^0A", "x0A"), ("1$", "12"), ("a.c", "ac"), ("[0-9]", "x")] {
            assert!(!is(pattern, line), "{pattern} in {line}");
        }
        assert!(Pattern::new("TCP", false, true).unwrap().matches("tcp"));
        assert!(Pattern::new("a.c", true, false).unwrap().matches("xa.cx"));
        for bad in ["a\\|b", "[ab", "\\w"] {
            assert!(Pattern::new(bad, false, false).is_err(), "{bad}");
        }
    }
}
