//! Values that a script takes from one packet and uses in a later one.

use std::collections::BTreeMap;

use crate::run::matcher::Differences;
use crate::run::wire;
use crate::script::ast::{Body, HeaderField, Number, Packet, Tcp, TcpOption, TcpOptions, ValueRef};

/// The values by name, in the script's numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(BTreeMap<String, u32>);

/// A place in a packet whose number is not written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Field(HeaderField),
    /// The first number of the timestamp option.
    TsVal,
    /// The second one.
    TsEcr,
}

impl Place {
    /// The numbers that fit.
    fn mask(self) -> u32 {
        match self {
            Place::TsVal | Place::TsEcr => u32::MAX,
            Place::Field(HeaderField::Seq | HeaderField::Ack | HeaderField::IcmpMtu) => u32::MAX,
            Place::Field(_) => 0xffff,
        }
    }
}

impl Values {
    /// The value with its offset; `None` before a packet gave it.
    pub(crate) fn of(&self, value: &ValueRef) -> Option<u32> {
        self.0.get(&value.name).map(|n| n.wrapping_add(value.offset as u32))
    }

    fn take(&mut self, value: &ValueRef, number: u32) {
        self.0.insert(value.name.clone(), number.wrapping_sub(value.offset as u32));
    }

    /// A packet to be sent, its numbers written out. What is not known is 0: the parser refuses such a script.
    pub(crate) fn written_out(&self, packet: &Packet) -> Packet {
        fill(packet, |place, number| match number {
            Number::Is(n) => *n,
            Number::Any => 0,
            Number::Value(value) => self.of(value).unwrap_or(0) & place.mask(),
        })
    }

    /// An expected packet, its numbers written out: what is not known yet is what `actual` has, which from then on is known.
    pub(crate) fn met(
        &mut self,
        packet: &Packet,
        actual: &wire::Body,
        out: &mut Differences,
    ) -> Packet {
        let mut filled = fill(packet, |place, number| {
            let got = number_at(actual, place);
            match number {
                Number::Is(n) => *n,
                Number::Any => got,
                Number::Value(value) => {
                    let known = self.of(value).map(|n| n & place.mask());
                    if known.is_none() {
                        self.take(value, got);
                    }
                    let port = match place {
                        Place::Field(HeaderField::SourcePort) => Some("source_port"),
                        Place::Field(HeaderField::DestinationPort) => Some("destination_port"),
                        _ => None,
                    };
                    // The matcher looks at no ports: they are part of what makes the packet this socket's.
                    if let (Some(field), Some(known)) = (port, known) {
                        out.check("ports", field, known, got);
                    }
                    known.unwrap_or(got)
                }
            }
        });
        if let (Body::Tcp(expected), wire::Body::Tcp(actual)) = (&mut filled.body, actual) {
            take_sacks(expected, actual);
        }
        filled
    }
}

/// `sack auto` is what the packet has in its place.
fn take_sacks(expected: &mut Tcp, actual: &wire::Tcp) {
    let TcpOptions::List(list) = &mut expected.options else { return };
    for (option, have) in list.iter_mut().zip(&actual.options) {
        if *option == TcpOption::SackAny && have.kind == 5 {
            *option = TcpOption::Other { kind: 5, data: have.data.clone() };
        }
    }
}

/// A copy of the packet with a number in each open place.
fn fill(packet: &Packet, mut number: impl FnMut(Place, &Number) -> u32) -> Packet {
    let mut out = packet.clone();
    for loose in std::mem::take(&mut out.loose) {
        let n = number(Place::Field(loose.field), &loose.value);
        set(&mut out.body, loose.field, n);
    }
    if let Body::Tcp(Tcp { options: TcpOptions::List(list), .. }) = &mut out.body {
        for option in list {
            if let TcpOption::TimestampLoose { val, ecr } = option {
                *val = Number::Is(number(Place::TsVal, val));
                *ecr = Number::Is(number(Place::TsEcr, ecr));
            }
        }
    }
    out
}

fn set(body: &mut Body, field: HeaderField, n: u32) {
    let short = n as u16;
    match (body, field) {
        (Body::Tcp(t), HeaderField::Seq) => t.seq = n,
        (Body::Tcp(t), HeaderField::Ack) => t.ack = Some(n),
        (Body::Tcp(t), HeaderField::Window) => t.window = Some(short),
        (Body::Tcp(t), HeaderField::Urgent) => t.urgent = Some(short),
        (Body::Icmp(i), HeaderField::IcmpId) => i.id = Some(short),
        (Body::Icmp(i), HeaderField::IcmpMtu) => i.mtu = Some(n),
        (Body::Tcp(Tcp { ports: Some(p), .. }), HeaderField::SourcePort) => p.source = short,
        (Body::Tcp(Tcp { ports: Some(p), .. }), HeaderField::DestinationPort) => {
            p.destination = short;
        }
        (Body::Udp(u), HeaderField::SourcePort | HeaderField::DestinationPort) => {
            if let Some(p) = &mut u.ports {
                match field {
                    HeaderField::SourcePort => p.source = short,
                    _ => p.destination = short,
                }
            }
        }
        // The parser puts no other field into a body.
        _ => {}
    }
}

/// What the target's packet has in a place; 0 where it has no such place, which the comparison names.
fn number_at(actual: &wire::Body, place: Place) -> u32 {
    match (actual, place) {
        (wire::Body::Tcp(t), Place::TsVal | Place::TsEcr) => {
            let at = if place == Place::TsVal { 0 } else { 4 };
            let option = t.options.iter().find(|o| o.kind == 8);
            let bytes = option.and_then(|o| o.data.get(at..at + 4)).and_then(|b| b.try_into().ok());
            bytes.map_or(0, u32::from_be_bytes)
        }
        (wire::Body::Tcp(t), Place::Field(field)) => match field {
            HeaderField::Seq => t.seq,
            HeaderField::Ack => t.ack,
            HeaderField::Window => t.window.into(),
            HeaderField::Urgent => t.urgent.into(),
            HeaderField::SourcePort => t.source.into(),
            HeaderField::DestinationPort => t.destination.into(),
            HeaderField::IcmpId | HeaderField::IcmpMtu => 0,
        },
        (wire::Body::Udp(u), Place::Field(HeaderField::SourcePort)) => u.source.into(),
        (wire::Body::Udp(u), Place::Field(HeaderField::DestinationPort)) => u.destination.into(),
        (wire::Body::Icmp(i), Place::Field(HeaderField::IcmpId)) => {
            u16::from_be_bytes([i.rest[0], i.rest[1]]).into()
        }
        (wire::Body::Icmp(i), Place::Field(HeaderField::IcmpMtu)) => u32::from_be_bytes(i.rest),
        _ => 0,
    }
}
