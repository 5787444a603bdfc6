//! Syntax beyond plain packets and calls: headers around a packet, raw frames, messages of the link, captured values.

use std::net::IpAddr;

use crate::script::ast::{Body, IpInfo, Packet, Tcp, TcpOption, TcpOptions};
use crate::script::span::Span;

/// A header that encapsulates a packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Outer {
    /// `ipv4 A > B:` or `ipv6 A > B:`
    Ip {
        /// What is said of the header.
        info: IpInfo,
        /// Source address.
        source: IpAddr,
        /// Destination address, of the same family.
        destination: IpAddr,
    },
    /// `gre:` or `gre flags ...:`
    Gre(Option<Gre>),
    /// `mpls (label N, tc N, [S], ttl N):`
    Mpls(Vec<MplsEntry>),
}

/// A GRE header: `flags [checksum present, key present], sum 0, off 0, key 5, seq 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre {
    /// The flags and version field.
    pub flags: u16,
    /// Checksum.
    pub checksum: u16,
    /// Offset.
    pub offset: u16,
    /// Key.
    pub key: u32,
    /// Sequence number.
    pub sequence: u32,
}

impl Gre {
    /// The bits of `flags` with their names in a script (RFC 2784, RFC 2890).
    pub const FLAGS: [(&'static str, u16); 3] =
        [("checksum", 0x8000), ("key", 0x2000), ("sequence#", 0x1000)];
}

/// An entry of an MPLS label stack (RFC 3032).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MplsEntry {
    /// The label, 20 bits.
    pub label: u32,
    /// The traffic class, 3 bits.
    pub traffic_class: u8,
    /// `[S]`: the bottom of the stack.
    pub bottom: bool,
    /// Time to live.
    pub ttl: u8,
}

/// Whose packet it is: the descriptor of a socket, or a name that the script gives to a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// What follows the `@`.
    pub name: OwnerName,
    /// With the `@`.
    pub span: Span,
}

/// The two ways to name a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerName {
    /// A descriptor of the script.
    Fd(i32),
    /// A name of the script's own.
    Name(String),
}

/// A value that an earlier expected packet had, with an offset: `$isn`, `$isn+1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueRef {
    /// The name without the `$`.
    pub name: String,
    /// What is added, modulo the field's size.
    pub offset: i64,
    /// From the `$` to the offset.
    pub span: Span,
}

/// A number that need not be written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// It is written out.
    Is(u32),
    /// `...`: not compared (expected packets only).
    Any,
    /// Captured: the first expected packet with the name gives the value, later ones must have it.
    Value(ValueRef),
}

/// A field of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderField {
    /// TCP's first sequence number.
    Seq,
    /// TCP's acknowledgement number.
    Ack,
    /// TCP's window.
    Window,
    /// TCP's urgent pointer.
    Urgent,
    /// TCP's and UDP's source port.
    SourcePort,
    /// TCP's and UDP's destination port.
    DestinationPort,
    /// ICMP's echo identifier.
    IcmpId,
    /// ICMP's next-hop MTU.
    IcmpMtu,
}

/// A header field whose value is captured or not compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Loose {
    /// Which one.
    pub field: HeaderField,
    /// Its value; never [`Number::Is`].
    pub value: Number,
}

/// Bytes, some of which may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// The bytes in order.
    pub bytes: Vec<PatternByte>,
    /// `...` at the end: more may follow (expected packets only).
    pub open: bool,
}

/// A byte and the bits of it that count: `??` has none, `4?` the upper four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternByte {
    /// The value; bits outside the mask are 0.
    pub value: u8,
    /// The bits that count.
    pub mask: u8,
}

/// `arp request target=192.168.0.1`: a message by name, its other fields as they usually are.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkMessage {
    /// Which protocol.
    pub protocol: LinkProtocol,
    /// The message's name, one of the protocol's.
    pub kind: String,
    /// The fields that are written, in order, each of them one of the message's.
    pub fields: Vec<(String, LinkValue)>,
    /// From the protocol to the last field.
    pub span: Span,
}

/// The protocols of [`LinkMessage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkProtocol {
    /// RFC 826.
    Arp,
    /// RFC 1112, 2236, 3376.
    Igmp,
    /// RFC 4861.
    Ndp,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkValue {
    /// A number.
    Number(u32),
    /// A link-layer address.
    Mac([u8; 6]),
    /// An IP address.
    Ip(IpAddr),
    /// `...`: not compared (expected packets only).
    Any,
}

/// The carrier comes or goes.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkEvent {
    /// Whether it comes.
    pub up: bool,
    /// The device if there are several.
    pub device: Option<String>,
    /// The whole event.
    pub span: Span,
}

/// A fault in the device under the stack.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultEvent {
    /// Its name.
    pub name: String,
    /// The place of the name.
    pub name_span: Span,
    /// Numbers in parentheses after it.
    pub args: Vec<i64>,
    /// The whole event.
    pub span: Span,
}

impl Packet {
    /// Whether numbers of it are captured or not compared.
    pub fn is_open(&self) -> bool {
        let open = |option: &TcpOption| {
            matches!(option, TcpOption::TimestampLoose { .. } | TcpOption::SackAny)
        };
        !self.loose.is_empty() || self.tcp_options().iter().any(open)
    }

    /// The options that are written; none for other packets and for `<...>`.
    fn tcp_options(&self) -> &[TcpOption] {
        match &self.body {
            Body::Tcp(Tcp { options: TcpOptions::List(list), .. }) => list,
            _ => &[],
        }
    }

    /// What the runner does not have of the packet: headers around it, UDP-Lite, computed digests.
    pub fn beyond_plain(&self) -> Option<&'static str> {
        match (&self.body, self.outer.first()) {
            (_, Some(Outer::Ip { .. })) => return Some("IP-in-IP encapsulation"),
            (_, Some(Outer::Gre(_))) => return Some("GRE encapsulation"),
            (_, Some(Outer::Mpls(_))) => return Some("MPLS encapsulation"),
            (Body::Udp(udp), None) if udp.coverage.is_some() => return Some("UDP-Lite"),
            _ => {}
        }
        if self.psp.is_some() {
            return Some("PSP encapsulation");
        }
        let computed = |option: &TcpOption| matches!(option, TcpOption::Md5Computed { .. });
        self.tcp_options().iter().any(computed).then_some("a computed MD5 digest")
    }
}
