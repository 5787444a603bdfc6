//! What the wire does to single frames: `DIRECTION ACTION KIND WHICH`, one line each.
//!
//!     out drop data 5            the fifth data segment that leaves the host is lost
//!     in delay:7.5 data every:4  each fourth that comes is 7.5 ms late
//!     both drop any time:0.5-3   the path is dead from 0.5 s to 3 s
//!     in ce data p:0.05          each is marked with a chance of 5 %
//!
//! Frames are counted per rule, from 1, in the order in which they get on the wire; seconds count
//! from the first start of a program on the host.

use std::ops::RangeInclusive;

use serde::Deserialize;

use super::wire::Dir;

/// One rule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Rule {
    /// Which direction; both where absent.
    pub(crate) dir: Option<Dir>,
    pub(crate) action: Action,
    pub(crate) kind: Kind,
    pub(crate) which: Which,
    /// As it was written.
    text: String,
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    /// It is lost.
    Drop,
    /// It comes twice.
    Dup,
    /// It comes this much later, milliseconds, and others may pass it.
    Delay(f64),
    /// A router marks it: Congestion Experienced, if it is of an ECN-capable transport.
    Ce,
    /// Its last byte arrives changed.
    Corrupt,
    /// It gets a VLAN tag: identifier and priority.
    Vlan(u16),
    /// It gets this TTL or hop limit.
    Ttl(u8),
}

/// Kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Any,
    Arp,
    Ip,
    Ipv6,
    Icmp,
    Udp,
    Tcp,
    /// SYN without ACK.
    Syn,
    SynAck,
    /// TCP with payload.
    Data,
    /// TCP with ACK and nothing else.
    Ack,
    Fin,
    Rst,
    /// Part of a datagram.
    Fragment,
}

/// Which of the frames of that kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Which {
    All,
    /// These, counted from 1.
    Numbers(Vec<RangeInclusive<u64>>),
    /// Each n-th.
    Every(u64),
    /// Each with this chance.
    Chance(f64),
    /// Those that get on the wire between these seconds.
    Time(f64, f64),
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// What is not understood of it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [dir, action, kind, which] = words[..] else {
            return Err(format!("rule {text:?} is not DIRECTION ACTION KIND WHICH"));
        };
        let dir = match dir {
            "out" => Some(Dir::Out),
            "in" => Some(Dir::In),
            "both" => None,
            _ => return Err(format!("rule {text:?}: a direction is out, in or both")),
        };
        let bad = |what: &str| format!("rule {text:?}: {what}");
        let action = self::action(action).ok_or_else(|| bad("that is no action"))?;
        let kind = self::kind(kind).ok_or_else(|| bad("that is no kind of frame"))?;
        let which = self::which(which).ok_or_else(|| {
            bad("which is all, N, N-M, a list of them, every:N, p:CHANCE or time:FROM-TO")
        })?;
        Ok(Rule { dir, action, kind, which, text: text.to_owned() })
    }
}

impl TryFrom<String> for Rule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Rule::parse(&text)
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn action(word: &str) -> Option<Action> {
    let (name, value) = word.split_once(':').map_or((word, None), |(n, v)| (n, Some(v)));
    Some(match (name, value) {
        ("drop", None) => Action::Drop,
        ("dup", None) => Action::Dup,
        ("ce", None) => Action::Ce,
        ("corrupt", None) => Action::Corrupt,
        ("delay", Some(ms)) => {
            Action::Delay(ms.parse().ok().filter(|ms| (0.0..=60_000.0).contains(ms))?)
        }
        // Identifier, and priority after a dot.
        ("vlan", Some(tag)) => {
            let (id, priority) = tag.split_once('.').unwrap_or((tag, "0"));
            let id: u16 = id.parse().ok().filter(|id| *id < 4096)?;
            let priority: u16 = priority.parse().ok().filter(|p| *p < 8)?;
            Action::Vlan(priority << 13 | id)
        }
        ("ttl", Some(n)) => Action::Ttl(n.parse().ok()?),
        _ => return None,
    })
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "any" => Kind::Any,
        "arp" => Kind::Arp,
        "ip" => Kind::Ip,
        "ipv6" => Kind::Ipv6,
        "icmp" => Kind::Icmp,
        "udp" => Kind::Udp,
        "tcp" => Kind::Tcp,
        "syn" => Kind::Syn,
        "synack" => Kind::SynAck,
        "data" => Kind::Data,
        "ack" => Kind::Ack,
        "fin" => Kind::Fin,
        "rst" => Kind::Rst,
        "fragment" => Kind::Fragment,
        _ => return None,
    })
}

fn which(word: &str) -> Option<Which> {
    if word == "all" {
        return Some(Which::All);
    }
    match word.split_once(':') {
        Some(("every", n)) => Some(Which::Every(n.parse().ok().filter(|n| *n > 0)?)),
        Some(("p", p)) => Some(Which::Chance(p.parse().ok().filter(|p| (0.0..=1.0).contains(p))?)),
        Some(("time", span)) => {
            let (from, to) = span.split_once('-')?;
            Some(Which::Time(from.parse().ok()?, to.parse().ok()?))
        }
        Some(_) => None,
        None => word.split(',').map(numbers).collect::<Option<_>>().map(Which::Numbers),
    }
}

fn numbers(word: &str) -> Option<RangeInclusive<u64>> {
    let (from, to) = word.split_once('-').unwrap_or((word, word));
    Some(from.parse().ok()?..=to.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let r = Rule::parse("in delay:7.5 data 2,5-9").unwrap();
        assert_eq!((r.dir, r.action, r.kind), (Some(Dir::In), Action::Delay(7.5), Kind::Data));
        assert_eq!(r.which, Which::Numbers(vec![2..=2, 5..=9]));
        assert_eq!(r.to_string(), "in delay:7.5 data 2,5-9");
        let r = Rule::parse("both vlan:7.5 any time:0.5-3").unwrap();
        assert_eq!((r.dir, r.action), (None, Action::Vlan(0xa007)));
        assert_eq!(r.which, Which::Time(0.5, 3.0));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for bad in [
            "",
            "out drop data",
            "up drop data 1",
            "out lose data 1",
            "out drop cat 1",
            "out drop data x",
            "out drop data every:0",
            "out drop data p:2",
            "out delay data 1",
            "out delay:-1 data 1",
            "out vlan:4096 any all",
            "out drop data 1 2",
            "out ttl:300 any all",
        ] {
            assert!(Rule::parse(bad).is_err(), "{bad}");
        }
    }
}
