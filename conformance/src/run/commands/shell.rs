//! A command's text to simple commands.

/// When a command runs, by how it is joined to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    Always,
    /// `&&`
    IfOk,
    /// `||`
    IfFailed,
}

/// A command with its words and the file that its output goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Simple {
    pub(super) join: Join,
    pub(super) words: Vec<String>,
    pub(super) output: Option<String>,
}

/// Splits a text into commands.
///
/// # Errors
/// What of the shell is not known here.
pub(super) fn parse(text: &str) -> Result<Vec<Simple>, String> {
    let mut parser =
        Parser { chars: text.chars().collect(), at: 0, commands: Vec::new(), join: Join::Always };
    parser.run()?;
    Ok(parser.commands)
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    commands: Vec<Simple>,
    join: Join,
}

impl Parser {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn run(&mut self) -> Result<(), String> {
        let mut words = Vec::new();
        let mut output = None;
        while let Some(c) = self.peek(0) {
            let two = (c, self.peek(1));
            match two {
                (' ' | '\t' | '\r', _) => self.at += 1,
                ('\\', Some('\n')) => self.at += 2,
                ('#', _) => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                ('\n' | ';', _) => self.end(&mut words, &mut output, Join::Always, 1),
                ('&', Some('&')) => self.end(&mut words, &mut output, Join::IfOk, 2),
                ('|', Some('|')) => self.end(&mut words, &mut output, Join::IfFailed, 2),
                ('&', Some('>')) | ('>', _) => {
                    self.at += if c == '&' { 2 } else { 1 };
                    output = self.target_of_redirection()?.or(output);
                }
                ('1' | '2', Some('>')) => {
                    self.at += 2;
                    let file = self.target_of_redirection()?;
                    if c == '1' {
                        output = file.or(output);
                    } else if file.is_some_and(|f| f != "/dev/null") {
                        return Err("standard error can only go to /dev/null".into());
                    }
                }
                ('|', _) => return Err("a pipe in a command is not supported yet".into()),
                ('&', _) => return Err("a command in the background is not supported".into()),
                ('<' | '(' | ')', _) => return Err(format!("`{c}` in a command is not supported")),
                _ => words.push(self.word()?),
            }
        }
        self.end(&mut words, &mut output, Join::Always, 0);
        Ok(())
    }

    fn end(
        &mut self,
        words: &mut Vec<String>,
        output: &mut Option<String>,
        next: Join,
        skip: usize,
    ) {
        self.at += skip;
        if words.is_empty() {
            // An empty line does not end a list that goes on.
            return;
        }
        self.commands.push(Simple {
            join: self.join,
            words: std::mem::take(words),
            output: output.take(),
        });
        self.join = next;
    }

    /// After `>`: the file; `None` for another descriptor.
    fn target_of_redirection(&mut self) -> Result<Option<String>, String> {
        if self.peek(0) == Some('>') {
            return Err("appending to a file is not supported".into());
        }
        if self.peek(0) == Some('&') {
            self.at += 1;
            self.word()?;
            return Ok(None);
        }
        while self.peek(0) == Some(' ') {
            self.at += 1;
        }
        Ok(Some(self.word()?))
    }

    fn word(&mut self) -> Result<String, String> {
        let mut word = String::new();
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '>' | '<' | '(' | ')' => break,
                '\'' => {
                    self.at += 1;
                    loop {
                        match self.peek(0) {
                            None => return Err("a quote in a command has no end".into()),
                            Some('\'') => break,
                            Some(c) => word.push(c),
                        }
                        self.at += 1;
                    }
                    self.at += 1;
                }
                '"' => {
                    self.at += 1;
                    self.double_quoted(&mut word)?;
                }
                '\\' => {
                    if self.peek(1) == Some('\n') {
                        break;
                    }
                    word.extend(self.peek(1));
                    self.at += 2;
                }
                '$' => self.dollar(&mut word)?,
                c => {
                    word.push(c);
                    self.at += 1;
                }
            }
        }
        Ok(word)
    }

    fn double_quoted(&mut self, word: &mut String) -> Result<(), String> {
        loop {
            match self.peek(0) {
                None => return Err("a quote in a command has no end".into()),
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('$') => self.dollar(word)?,
                Some('\\') if matches!(self.peek(1), Some('"' | '\\' | '$')) => {
                    word.extend(self.peek(1));
                    self.at += 2;
                }
                Some(c) => {
                    word.push(c);
                    self.at += 1;
                }
            }
        }
    }

    /// `$((expression))`, or `$NAME` and `${NAME}`, of which only PPID is known: it stands for itself.
    fn dollar(&mut self, word: &mut String) -> Result<(), String> {
        let rest: String = self.chars.iter().skip(self.at).take(256).collect();
        if let Some(inside) = rest.strip_prefix("$((") {
            let Some(end) = inside.find("))") else {
                return Err("`$((` in a command has no end".into());
            };
            word.push_str(&arithmetic(&inside[..end])?.to_string());
            self.at += 3 + inside[..end].chars().count() + 2;
            return Ok(());
        }
        for form in ["${PPID}", "$PPID"] {
            if rest.starts_with(form) {
                word.push_str("PPID");
                self.at += form.len();
                return Ok(());
            }
        }
        let name: String = rest.chars().take_while(|c| !c.is_whitespace()).take(24).collect();
        Err(format!("`{name}` in a command is not supported"))
    }
}

/// Sums of products of decimal integers.
fn arithmetic(text: &str) -> Result<i64, String> {
    let error = || format!("`$(({text}))` is not supported: only integers with + and *");
    let mut sum: i64 = 0;
    for term in text.split('+') {
        let mut product: i64 = 1;
        for factor in term.split('*') {
            let factor: i64 = factor.trim().parse().map_err(|_| error())?;
            product = product.checked_mul(factor).ok_or_else(error)?;
        }
        sum = sum.checked_add(product).ok_or_else(error)?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        parse(text).expect("parses").into_iter().map(|c| c.words).collect()
    }

    #[test]
    fn lists_quotes_and_arithmetic() {
        let text = "sysctl -q a=\"1 $((2*3))\" \\\n b='x y' # note\n\nfoo; bar && baz || qux > /dev/null 2>&1";
        let expected = [
            vec!["sysctl", "-q", "a=1 6", "b=x y"],
            vec!["foo"],
            vec!["bar"],
            vec!["baz"],
            vec!["qux"],
        ];
        assert_eq!(words(text), expected);
        let joins: Vec<Join> = parse(text).unwrap().iter().map(|c| c.join).collect();
        assert_eq!(joins, [Join::Always, Join::Always, Join::Always, Join::IfOk, Join::IfFailed]);
        assert_eq!(
            parse("echo 3 > /proc/sys/x").unwrap()[0].output.as_deref(),
            Some("/proc/sys/x")
        );
    }

    #[test]
    fn what_is_not_known_is_named() {
        for text in [
            "nstat | grep x",
            "sleep 1 &",
            "a >> b",
            "$(date)",
            "a < b",
            "echo \"x",
            "echo $((1/0))",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
