//! Blanks between the tokens of a statement.

use super::super::lexer::{Tok, Token};

/// What kind of statement it is, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `--name=value`
    Option,
    /// The event's time, up to the action.
    Time,
    /// `<` or `>` and what follows.
    Packet,
    /// Anything else.
    Call,
}

/// The state between two tokens of a statement.
pub(super) struct Spacing<'a> {
    kind: Kind,
    /// The last token and the one before it.
    last: Tok<'a>,
    before: Tok<'a>,
    /// Brackets that are open.
    open: Vec<Bracket>,
    /// How many are open around the last token.
    depth: usize,
    /// Whether the call's own `=` is passed.
    result: bool,
    /// Whether the packet's direction is passed: a further `<` opens its options.
    directed: bool,
    /// Whether a GRE header is open, whose last number a colon follows.
    gre: bool,
    /// Whether the last colon ended a header; else it is in a range of sequence numbers.
    header: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bracket {
    /// `( [ {`
    Plain,
    /// `<` of TCP options: no blank after a comma.
    Options,
    /// Bytes and notes: blanks stay where they are.
    AsWritten,
}

impl<'a> Spacing<'a> {
    pub(super) fn new(first: &Token<'a>) -> Self {
        let kind = match first.tok {
            Tok::Option(_) => Kind::Option,
            _ => Kind::Time,
        };
        Spacing {
            kind,
            last: first.tok,
            before: Tok::End,
            open: Vec::new(),
            depth: 0,
            result: false,
            directed: false,
            gre: false,
            header: false,
        }
    }

    pub(super) fn is_option(&self) -> bool {
        self.kind == Kind::Option
    }

    /// Brackets that are open around the token that `next` was last asked for.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Brackets that are open.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Whether a blank stands before `token`, which follows the last one without a gap if `touches`.
    pub(super) fn next(&mut self, token: &Token<'a>, touches: bool) -> bool {
        let blank = match self.kind {
            Kind::Option => false,
            Kind::Time => self.time(&token.tok),
            Kind::Packet => self.packet(&token.tok, touches),
            Kind::Call => self.call(&token.tok, touches),
        };
        self.step(token.tok);
        blank
    }

    /// `+0`, `+.1~+.2` and `0...0.2` are written together.
    fn time(&mut self, tok: &Tok<'a>) -> bool {
        let number = |t: &Tok<'_>| matches!(t, Tok::Int(_) | Tok::Float(_));
        match tok {
            Tok::Punct('~') | Tok::Ellipsis => false,
            Tok::Punct('+') => self.last != Tok::Punct('~'),
            t if number(t) => false,
            Tok::Punct('<' | '>') => {
                self.kind = Kind::Packet;
                true
            }
            _ => {
                self.kind = Kind::Call;
                true
            }
        }
    }

    fn inside(&self, bracket: Bracket) -> bool {
        self.open.last() == Some(&bracket)
    }

    fn packet(&self, tok: &Tok<'a>, touches: bool) -> bool {
        if self.inside(Bracket::AsWritten) {
            let edge = self.last == Tok::Punct('[') || *tok == Tok::Punct(']');
            return !touches && !edge;
        }
        match (&self.last, tok) {
            (Tok::Punct('(' | '[' | '@' | '='), _) => false,
            (_, Tok::Punct(')' | ']' | ',' | ':' | '=')) => false,
            (_, Tok::Punct('>')) => !self.inside(Bracket::Options),
            (Tok::Punct('<'), _) => !self.inside(Bracket::Options),
            (Tok::Punct(','), _) => !self.inside(Bracket::Options),
            // `0:0(0)`, or a length or what is said of the IP header.
            (_, Tok::Punct('(')) => {
                self.before != Tok::Punct(':') && !(touches && matches!(self.last, Tok::Int(_)))
            }
            // A range of sequence numbers, or the end of an outer header.
            (Tok::Punct(':'), _) => self.header,
            // `S.` and `P.5`, but not `@name .`
            (Tok::Word(_), Tok::Punct('.') | Tok::Float(_)) => self.before == Tok::Punct('@'),
            (Tok::Punct('.'), Tok::Float(_)) => false,
            // `$name+1`
            (Tok::Value(_), Tok::Punct('+') | Tok::Int(_)) | (Tok::Punct('+'), _) => !touches,
            _ => true,
        }
    }

    fn call(&self, tok: &Tok<'a>, touches: bool) -> bool {
        if self.inside(Bracket::AsWritten) {
            let edge = self.last == Tok::Punct('(') || *tok == Tok::Punct(')');
            return !touches && !edge;
        }
        let top = self.open.is_empty();
        match (&self.last, tok) {
            (Tok::Punct('='), _) | (_, Tok::Punct('=')) => top,
            (Tok::Punct('(' | '[' | '{' | '|' | '.' | '@'), _) => false,
            (_, Tok::Punct(')' | ']' | '}' | ',' | '|')) => false,
            // A member's path, or its first name.
            (last, Tok::Punct('.')) => *last == Tok::Punct(','),
            (Tok::Punct(')'), Tok::Punct('(')) => !touches,
            // A function's arguments, or the note after a result.
            (Tok::Word(_), Tok::Punct('(')) => self.result && top,
            // A cast.
            (Tok::Punct(')'), _) => false,
            (Tok::Punct('*'), Tok::Punct('*')) => false,
            (Tok::Str(_), Tok::Ellipsis) => false,
            (Tok::Value(_), Tok::Punct('+') | Tok::Int(_)) | (Tok::Punct('+'), _) => !touches,
            _ => true,
        }
    }

    fn step(&mut self, tok: Tok<'a>) {
        self.depth = self.open.len();
        let end = if self.kind == Kind::Call { ')' } else { ']' };
        match tok {
            // What a note or bytes hold is no bracket to count.
            _ if self.inside(Bracket::AsWritten) && tok != Tok::Punct(end) => {}
            Tok::Punct('(') => {
                let note = self.kind == Kind::Call
                    && self.result
                    && self.open.is_empty()
                    && self.last != Tok::Punct('=');
                self.open.push(if note { Bracket::AsWritten } else { Bracket::Plain });
            }
            Tok::Punct('[') => {
                let bytes = self.kind == Kind::Packet
                    && (self.inside(Bracket::Options) || self.last == Tok::Punct(':'))
                    && !self.inside(Bracket::AsWritten);
                self.open.push(if bytes { Bracket::AsWritten } else { Bracket::Plain });
            }
            Tok::Punct('{') => self.open.push(Bracket::Plain),
            Tok::Punct('<' | '>') if self.kind == Kind::Packet && !self.directed => {
                self.directed = true;
            }
            Tok::Punct('<') if self.kind == Kind::Packet => self.open.push(Bracket::Options),
            Tok::Punct('>') if self.inside(Bracket::Options) => {
                self.open.pop();
                self.depth = self.open.len();
            }
            Tok::Punct(')' | ']' | '}') => {
                self.open.pop();
                self.depth = self.open.len();
            }
            Tok::Punct('=') if self.open.is_empty() => self.result = true,
            Tok::Word("gre" | "GREv0") => self.gre = true,
            Tok::Punct(':') => {
                let number = matches!(self.last, Tok::Int(_) | Tok::Value(_));
                self.header = self.gre || !number;
                self.gre = false;
            }
            _ => {}
        }
        self.before = self.last;
        self.last = tok;
    }
}
