//! Fields whose value is not written out: `$name`, `$name+1`, `...`; and whose packet it is.

use super::super::ast::{Direction, HeaderField, Loose, Number, Owner, OwnerName, ValueRef};
use super::super::error::ScriptError;
use super::super::lexer::Tok;
use super::super::parser::Parser;
use super::super::text;

impl Parser<'_> {
    /// `@3` or `@name`
    pub(super) fn owner(&mut self) -> Result<Option<Owner>, ScriptError> {
        let start = self.span();
        if !self.eat('@') {
            return Ok(None);
        }
        let name = match self.peek() {
            Tok::Int(_) => {
                OwnerName::Fd(self.number("the descriptor of a socket", i32::MAX as u64)? as i32)
            }
            Tok::Word(word) => {
                self.bump();
                OwnerName::Name(word.to_string())
            }
            _ => return Err(self.unexpected("a descriptor or a name after `@`")),
        };
        Ok(Some(Owner { name, span: start.to(self.last_span()) }))
    }

    pub(super) fn loose_u16(&mut self, field: HeaderField, what: &str) -> Result<u16, ScriptError> {
        match self.loose_number()? {
            Some(value) => {
                self.loose.push(Loose { field, value });
                Ok(0)
            }
            None => self.number_u16(what),
        }
    }

    pub(super) fn loose_u32(&mut self, field: HeaderField, what: &str) -> Result<u32, ScriptError> {
        match self.loose_number()? {
            Some(value) => {
                self.loose.push(Loose { field, value });
                Ok(0)
            }
            None => self.number_u32(what),
        }
    }

    /// A number in a place that also takes a value.
    pub(super) fn number_or_value(&mut self, what: &str) -> Result<Number, ScriptError> {
        match self.loose_number()? {
            Some(value) => Ok(value),
            None => Ok(Number::Is(self.number_u32(what)?)),
        }
    }

    /// `seq:end(len)` or `$seq:$seq+len(len)`
    pub(super) fn loose_seq(&mut self) -> Result<(u32, u16), ScriptError> {
        if !matches!(self.peek(), Tok::Value(_)) {
            return self.seq();
        }
        let start = self.span();
        let first = self.value_ref()?;
        self.expect(':', "after the first sequence number")?;
        if !matches!(self.peek(), Tok::Value(_)) {
            return Err(self.unexpected(&format!("`${}` with the end's offset", first.name)));
        }
        let end = self.value_ref()?;
        let len = self.payload_len()?;
        if end.name != first.name || end.offset.checked_sub(first.offset) != Some(i64::from(len)) {
            let message = format!("the end has to be the start and {len} bytes");
            let help = format!("`${}` and an offset that is greater by {len}", first.name);
            return Err(self.error(start.to(self.last_span()), message).with_help(help));
        }
        self.loose.push(Loose { field: HeaderField::Seq, value: Number::Value(first) });
        Ok((0, len))
    }

    fn loose_number(&mut self) -> Result<Option<Number>, ScriptError> {
        match self.peek() {
            Tok::Value(_) => Ok(Some(Number::Value(self.value_ref()?))),
            Tok::Ellipsis if self.direction == Direction::Inbound => {
                Err(self.error(self.span(), "`...` in a field is for expected packets only"))
            }
            Tok::Ellipsis => {
                self.bump();
                Ok(Some(Number::Any))
            }
            _ => Ok(None),
        }
    }

    /// `$name`, `$name+N` or `$name-N`, without blanks: a blank and a `+` begin the next event.
    pub(crate) fn value_ref(&mut self) -> Result<ValueRef, ScriptError> {
        let start = self.span();
        let Tok::Value(name) = self.peek() else {
            return Err(self.unexpected("a value as `$name`"));
        };
        self.check_captured(name)?;
        self.bump();
        let mut offset = 0;
        let plus = self.peek() == Tok::Punct('+') && self.touches_last();
        if plus {
            self.bump();
        }
        let minus = matches!(self.peek(), Tok::Int(digits) if digits.starts_with('-'));
        if (plus || minus) && self.touches_last() {
            let Tok::Int(digits) = self.peek() else {
                return Err(self.unexpected("a number after `+`"));
            };
            offset = match digits.parse::<i64>() {
                Ok(n) if n.unsigned_abs() <= u64::from(u32::MAX) => n,
                _ => return Err(self.error(self.span(), "an offset has at most 32 bits")),
            };
            self.bump();
        } else if plus {
            return Err(self.unexpected("a number after `+`"));
        }
        Ok(ValueRef { name: name.to_string(), offset, span: start.to(self.last_span()) })
    }

    /// Expected packets capture; everything else needs the name to be captured before.
    fn check_captured(&mut self, name: &str) -> Result<(), ScriptError> {
        if self.captured.iter().any(|n| n == name) {
            return Ok(());
        }
        if self.direction == Direction::Outbound {
            self.captured.push(name.to_string());
            return Ok(());
        }
        let error = self.error(self.span(), format!("no earlier packet captures `${name}`"));
        let names: Vec<&str> = self.captured.iter().map(String::as_str).collect();
        Err(error.with_help(match text::nearest(name, &names) {
            Some(near) => format!("there is `${near}`"),
            None => "an expected packet with `$name` in a field captures its value".to_string(),
        }))
    }
}
