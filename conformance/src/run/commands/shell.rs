//! A command's text to pipelines of simple commands, as POSIX sh reads them.
//!
//! Known are lists (newline, `;`, `&&`, `||`), pipes, `!`, quotes, line continuation, comments, assignments, variables,
//! `$(commands)`, `$((arithmetic))` and redirections. Compound commands, functions and background jobs are refused by name.

use std::ops::Range;

/// When a pipeline runs, by how it is joined to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    Always,
    /// `&&`
    IfOk,
    /// `||`
    IfFailed,
}

/// Commands, each reading what the one before it writes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline {
    pub(super) join: Join,
    /// `!`
    pub(super) negated: bool,
    pub(super) stages: Vec<Simple>,
}

/// A command with what stands before and behind its words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Simple {
    /// Its bytes in the text.
    pub(super) at: Range<usize>,
    pub(super) assignments: Vec<(String, Word)>,
    pub(super) words: Vec<Word>,
    pub(super) redirections: Vec<Redirection>,
}

/// Where a descriptor goes to or comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Redirection {
    /// `> FILE`, `>> FILE`
    Output { file: Word, append: bool },
    /// `2> FILE`, `2>&1`: what a program complains of is an error here, so there is nothing to write.
    Errors,
    /// `&> FILE`
    Both { file: Word },
    /// `< FILE`
    Input { file: Word },
    /// `> &2`: the output goes where errors go.
    OutputToErrors,
}

/// A word before expansion.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
}

/// A piece of a word. What is not quoted is split at blanks after expansion.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text { text: String, quoted: bool },
    Variable { name: String, quoted: bool },
    Output { commands: String, quoted: bool },
    Arithmetic(String),
}

/// What of the shell is not known, and where.
pub(super) type Refused = (Range<usize>, String);

/// Words of the shell's grammar that start what is not known here.
const KEYWORDS: &[&str] =
    &["if", "for", "while", "until", "case", "function", "{", "}", "select", "[[", "((", "time"];

/// Splits a text into pipelines.
///
/// # Errors
/// What of the shell is not known here.
pub(super) fn parse(text: &str) -> Result<Vec<Pipeline>, Refused> {
    let mut parser = Parser {
        text,
        at: 0,
        pipelines: Vec::new(),
        join: Join::Always,
        negated: false,
        stages: Vec::new(),
        now: Simple::default(),
    };
    parser.run()?;
    Ok(parser.pipelines)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    pipelines: Vec<Pipeline>,
    join: Join,
    negated: bool,
    stages: Vec<Simple>,
    now: Simple,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn refuse<T>(&self, len: usize, message: impl Into<String>) -> Result<T, Refused> {
        Err((self.at..(self.at + len).min(self.text.len()), message.into()))
    }

    fn run(&mut self) -> Result<(), Refused> {
        const TOKENS: &[&str] =
            &["\\\n", "&&", "||", ";;", "&>", "1>", "2>", "\n", ";", "|", ">", "<", "&", "(", ")"];
        while let Some(c) = self.peek() {
            if matches!(c, ' ' | '\t' | '\r') {
                self.at += 1;
                continue;
            }
            if c == '#' {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                continue;
            }
            let token = TOKENS.iter().copied().find(|t| self.rest().starts_with(t));
            match token {
                Some("\\\n") => self.at += 2,
                Some("\n" | ";") => self.end(Join::Always, 1)?,
                Some("&&") => self.end(Join::IfOk, 2)?,
                Some("||") => self.end(Join::IfFailed, 2)?,
                Some("|") => self.pipe()?,
                Some(token @ (">" | "1>" | "2>" | "&>" | "<")) => self.redirection(token)?,
                Some("&") => return self.refuse(1, "a command in the background is not supported"),
                Some(other) => {
                    return self
                        .refuse(other.len(), format!("`{other}` in a command is not supported"));
                }
                None => self.add_word()?,
            }
        }
        self.end(Join::Always, 0)
    }

    fn add_word(&mut self) -> Result<(), Refused> {
        let start = self.at;
        if self.now == Simple::default() {
            self.now.at.start = start;
            let first: String = self.rest().chars().take_while(|c| !c.is_whitespace()).collect();
            if first == "!" && self.stages.is_empty() {
                self.negated = !self.negated;
                self.at += 1;
                return Ok(());
            }
            if KEYWORDS.contains(&first.as_str()) {
                return self
                    .refuse(first.len(), format!("`{first}` of the shell is not supported"));
            }
        }
        let assigned = assignment(self.rest()).filter(|_| self.now.words.is_empty());
        if let Some(name) = assigned {
            let name = name.to_string();
            self.at += name.len() + 1;
            let value = self.word()?;
            self.now.assignments.push((name, value));
        } else {
            let word = self.word()?;
            self.now.words.push(word);
        }
        self.now.at.end = self.at;
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let now = &self.now;
        now.words.is_empty() && now.assignments.is_empty() && now.redirections.is_empty()
    }

    fn pipe(&mut self) -> Result<(), Refused> {
        if self.is_empty() {
            return self.refuse(1, "a pipe without a command before it");
        }
        self.stages.push(std::mem::take(&mut self.now));
        self.at += 1;
        Ok(())
    }

    fn end(&mut self, next: Join, skip: usize) -> Result<(), Refused> {
        if self.is_empty() {
            // A pipe or a list may go on in the next line; an empty line ends nothing.
            let newline = skip == 0 || self.rest().starts_with('\n');
            let dangling = !self.stages.is_empty() || (skip == 0 && self.join != Join::Always);
            if (skip == 0 && dangling) || !newline {
                return self.refuse(skip.max(1), "a command is missing here");
            }
            self.at += skip;
            return Ok(());
        }
        self.stages.push(std::mem::take(&mut self.now));
        self.pipelines.push(Pipeline {
            join: self.join,
            negated: std::mem::take(&mut self.negated),
            stages: std::mem::take(&mut self.stages),
        });
        self.join = next;
        self.at += skip;
        Ok(())
    }

    fn redirection(&mut self, token: &str) -> Result<(), Refused> {
        if self.is_empty() {
            self.now.at.start = self.at;
        }
        self.at += token.len();
        let append = token != "<" && self.rest().starts_with('>');
        self.at += usize::from(append);
        if token != "<" && self.rest().starts_with('&') {
            self.at += 1;
            let to: String = self.rest().chars().take_while(char::is_ascii_digit).collect();
            self.at += to.len();
            match (token, to.as_str()) {
                ("2>", "1") => self.now.redirections.push(Redirection::Errors),
                (">" | "1>", "2") => self.now.redirections.push(Redirection::OutputToErrors),
                _ => {
                    return self.refuse(1, format!("`{token}&{to}` in a command is not supported"));
                }
            }
            self.now.at.end = self.at;
            return Ok(());
        }
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.at += 1;
        }
        let file = self.word()?;
        if file.parts.is_empty() {
            return self.refuse(1, format!("`{token}` needs a file"));
        }
        self.now.redirections.push(match token {
            "<" => Redirection::Input { file },
            "&>" => Redirection::Both { file },
            "2>" => Redirection::Errors,
            _ => Redirection::Output { file, append },
        });
        self.now.at.end = self.at;
        Ok(())
    }

    fn word(&mut self) -> Result<Word, Refused> {
        let mut word = Word::default();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '>' | '<' | '(' | ')' => break,
                '\'' => {
                    let inside = &self.rest()[1..];
                    let Some(end) = inside.find('\'') else {
                        return self.refuse(1, "a quote in a command has no end");
                    };
                    word.push(&inside[..end], true);
                    self.at += end + 2;
                }
                '"' => self.double_quoted(&mut word)?,
                '`' => {
                    return self
                        .refuse(1, "a back quote in a command is not supported: use $(...)");
                }
                '\\' if self.rest().starts_with("\\\n") => {
                    self.at += 2;
                }
                '\\' => {
                    let next = self.rest().chars().nth(1).map(String::from).unwrap_or_default();
                    word.push(&next, true);
                    self.at += 1 + next.len();
                }
                '$' => self.dollar(&mut word, false)?,
                c => {
                    word.push(c.encode_utf8(&mut [0; 4]), false);
                    self.at += c.len_utf8();
                }
            }
        }
        Ok(word)
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), Refused> {
        let start = self.at;
        self.at += 1;
        word.push("", true);
        loop {
            match self.peek() {
                None => return Err((start..start + 1, "a quote in a command has no end".into())),
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('$') => self.dollar(word, true)?,
                Some('\\') => {
                    let next = self.rest().chars().nth(1);
                    match next {
                        Some('\n') => {}
                        Some(c @ ('"' | '\\' | '$')) => word.push(c.encode_utf8(&mut [0; 4]), true),
                        _ => word.push("\\", true),
                    }
                    self.at += if matches!(next, Some('\n' | '"' | '\\' | '$')) { 2 } else { 1 };
                }
                Some(c) => {
                    word.push(c.encode_utf8(&mut [0; 4]), true);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    /// `$((expression))`, `$(commands)`, `$NAME`, `${NAME}`, `$?`.
    fn dollar(&mut self, word: &mut Word, quoted: bool) -> Result<(), Refused> {
        let rest = self.rest();
        if let Some(inside) = rest.strip_prefix("$((") {
            let Some(end) = inside.find("))") else {
                return self.refuse(3, "`$((` in a command has no end");
            };
            word.parts.push(Part::Arithmetic(inside[..end].to_string()));
            self.at += 3 + end + 2;
            return Ok(());
        }
        if let Some(inside) = rest.strip_prefix("$(") {
            let Some(end) = closing(inside) else {
                return self.refuse(2, "`$(` in a command has no end");
            };
            word.parts.push(Part::Output { commands: inside[..end].to_string(), quoted });
            self.at += 2 + end + 1;
            return Ok(());
        }
        let (name, len) = if let Some(inside) = rest.strip_prefix("${") {
            let end = inside.find('}').unwrap_or(0);
            (inside[..end].to_string(), end + 3)
        } else if rest.starts_with("$?") {
            ("?".to_string(), 2)
        } else {
            let name: String = rest[1..].chars().take_while(|c| is_name_char(*c)).collect();
            let len = 1 + name.len();
            (name, len)
        };
        if name != "?" && (name.is_empty() || !name.chars().all(is_name_char)) {
            let shown: String = rest.chars().take_while(|c| !c.is_whitespace()).take(24).collect();
            return self.refuse(shown.len(), format!("`{shown}` in a command is not supported"));
        }
        word.parts.push(Part::Variable { name, quoted });
        self.at += len;
        Ok(())
    }
}

impl Word {
    fn push(&mut self, piece: &str, is_quoted: bool) {
        match self.parts.last_mut() {
            Some(Part::Text { text, quoted }) if *quoted == is_quoted => text.push_str(piece),
            _ => self.parts.push(Part::Text { text: piece.to_string(), quoted: is_quoted }),
        }
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The name of an assignment that a text starts with.
fn assignment(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('=')?;
    let first = name.chars().next()?;
    (name.chars().all(is_name_char) && !first.is_ascii_digit()).then_some(name)
}

/// The parenthesis that closes the one before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return Some(at),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(word: &Word) -> String {
        let part = |p: &Part| match p {
            Part::Text { text, .. } => text.clone(),
            Part::Variable { name, .. } => format!("<{name}>"),
            Part::Output { commands, .. } => format!("<({commands})>"),
            Part::Arithmetic(text) => format!("<{text}>"),
        };
        word.parts.iter().map(part).collect()
    }

    fn words(source: &str) -> Vec<Vec<Vec<String>>> {
        let of = |s: &Simple| s.words.iter().map(text).collect();
        let lists = parse(source).expect("parses");
        lists.iter().map(|p| p.stages.iter().map(of).collect()).collect()
    }

    #[test]
    fn lists_pipes_and_quotes() {
        let source = "sysctl -q a=\"1 $((2*3))\" \\\n b='x y' # note\n\nfoo; nstat | grep x &&\n baz || qux > /dev/null 2>&1";
        assert_eq!(
            words(source),
            [
                vec![vec!["sysctl", "-q", "a=1 <2*3>", "b=x y"]],
                vec![vec!["foo"]],
                vec![vec!["nstat"], vec!["grep", "x"]],
                vec![vec!["baz"]],
                vec![vec!["qux"]],
            ]
        );
        let joins: Vec<Join> = parse(source).unwrap().iter().map(|p| p.join).collect();
        use Join::{Always, IfFailed, IfOk};
        assert_eq!(joins, [Always, Always, Always, IfOk, IfFailed]);
        assert_eq!(words("echo \"a$X\" $(cat $Y)"), [[["echo", "a<X>", "<(cat $Y)>"]]]);
        let first = &parse("A=1 B='2 3' cmd < in >> out &> all").unwrap()[0].stages[0];
        assert_eq!((first.assignments.len(), first.words.len()), (2, 1));
        assert_eq!(first.redirections.len(), 3);
        assert!(parse("! grep x").unwrap()[0].negated);
    }

    #[test]
    fn what_is_not_known_is_named_with_its_place() {
        for (source, at, says) in [
            ("sleep 1 &", 8..9, "background"),
            ("a; if true", 3..5, "`if`"),
            ("echo \"x", 5..6, "no end"),
            ("a && ", 5..5, "missing"),
            ("| a", 0..1, "without a command"),
            ("a ; ; b", 4..5, "missing"),
            ("(a)", 0..1, "`(`"),
            ("echo ${x:-1}", 5..12, "${x:-1}"),
            ("echo $((1", 5..8, "no end"),
            ("a >", 3..3, "needs a file"),
        ] {
            let (place, message) = parse(source).expect_err(source);
            assert!(message.contains(says), "{source}: {message}");
            assert_eq!(place, at, "{source}");
        }
    }
}
