//! What `ast::extra` holds, as a script.

use std::fmt;

use super::super::ast::{
    Bytes, FaultEvent, Gre, LinkEvent, LinkMessage, LinkValue, MplsEntry, Number, Outer, Owner,
    OwnerName, ValueRef,
};

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            OwnerName::Fd(fd) => write!(f, "@{fd}"),
            OwnerName::Name(name) => write!(f, "@{name}"),
        }
    }
}

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outer::Ip { info, source, destination } => {
                // An IPv6 address may end in a colon, and then needs a blank before the next one.
                let (name, end) = if source.is_ipv4() { ("ipv4", ":") } else { ("ipv6", " :") };
                write!(f, "{name}{info} {source} > {destination}{end}")
            }
            Outer::Gre(None) => f.write_str("gre:"),
            Outer::Gre(Some(header)) => write!(f, "gre {header}:"),
            Outer::Mpls(stack) => {
                f.write_str("mpls ")?;
                labels(f, stack)?;
                f.write_str(":")
            }
        }
    }
}

impl fmt::Display for Gre {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: u16 = Gre::FLAGS.iter().map(|(_, bit)| bit).sum();
        if self.flags & !named != 0 {
            write!(f, "flags {:#06x}", self.flags)?;
        } else {
            let set = Gre::FLAGS.iter().filter(|(_, bit)| self.flags & bit != 0);
            let names: Vec<String> = set.map(|(name, _)| format!("{name} present")).collect();
            let names = if names.is_empty() { "none".into() } else { names.join(", ") };
            write!(f, "flags [{names}]")?;
        }
        let (key, sequence) = (self.key, self.sequence);
        write!(f, ", sum {:#x}, off {}, key {key}, seq {sequence}", self.checksum, self.offset)
    }
}

/// The entries of a label stack.
pub(super) fn labels(f: &mut fmt::Formatter<'_>, stack: &[MplsEntry]) -> fmt::Result {
    stack.iter().enumerate().try_for_each(|(at, entry)| {
        let blank = if at > 0 { " " } else { "" };
        let bottom = if entry.bottom { "[S], " } else { "" };
        let MplsEntry { label, traffic_class, ttl, .. } = entry;
        write!(f, "{blank}(label {label}, tc {traffic_class}, {bottom}ttl {ttl})")
    })
}

impl fmt::Display for ValueRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            0 => write!(f, "${}", self.name),
            offset => write!(f, "${}{offset:+}", self.name),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Is(n) => write!(f, "{n}"),
            Number::Any => f.write_str("..."),
            Number::Value(value) => write!(f, "{value}"),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (at, byte) in self.bytes.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            for shift in [4, 0] {
                match byte.mask >> shift & 0xf {
                    0 => f.write_str("?")?,
                    _ => write!(f, "{:x}", byte.value >> shift & 0xf)?,
                }
            }
        }
        match (self.open, self.bytes.is_empty()) {
            (true, true) => f.write_str("...]"),
            (true, false) => f.write_str(" ...]"),
            (false, _) => f.write_str("]"),
        }
    }
}

impl fmt::Display for LinkMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol.name(), self.kind)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl fmt::Display for LinkValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkValue::Number(n) => write!(f, "{n}"),
            LinkValue::Mac(bytes) => {
                let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
                f.write_str(&pairs.join(":"))
            }
            LinkValue::Ip(ip) => write!(f, "{ip}"),
            LinkValue::Any => f.write_str("..."),
        }
    }
}

impl fmt::Display for LinkEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", if self.up { "up" } else { "down" })?;
        match &self.device {
            Some(device) => write!(f, " {device}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FaultEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {}", self.name)?;
        if self.args.is_empty() {
            return Ok(());
        }
        let args: Vec<String> = self.args.iter().map(i64::to_string).collect();
        write!(f, "({})", args.join(", "))
    }
}
