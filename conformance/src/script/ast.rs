//! The syntax tree of a script.

use std::net::IpAddr;

use super::span::Span;

mod extra;

pub use extra::{
    Bytes, FaultEvent, Gre, HeaderField, LinkEvent, LinkMessage, LinkProtocol, LinkValue, Loose,
    MplsEntry, Number, Outer, Owner, OwnerName, PatternByte, ValueRef,
};

/// A whole script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// `--name=value` lines, in order.
    pub options: Vec<OptionLine>,
    /// The command that runs before time zero.
    pub init: Option<Command>,
    /// The events, in order; at least one.
    pub events: Vec<Event>,
    /// The command that runs at the end, after success and failure alike.
    pub cleanup: Option<Command>,
}

/// `--name` or `--name=value`.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionLine {
    /// Without the dashes.
    pub name: String,
    /// As written, quotes included.
    pub value: Option<String>,
    /// The whole line.
    pub span: Span,
}

/// A shell command, as written between back quotes.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The text between the quotes.
    pub text: String,
    /// With the quotes.
    pub span: Span,
}

/// Something that happens, or has to happen, at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub time: Time,
    /// The place of the time.
    pub time_span: Span,
    /// What.
    pub action: Action,
    /// The whole event.
    pub span: Span,
}

/// An event's time, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// `0.5`: since the script's start.
    Absolute(i64),
    /// `+0.5`: since the event before.
    Relative(i64),
    /// `0.5~0.7`: somewhere between (expected packets only).
    AbsoluteRange(i64, i64),
    /// `+0.5~+0.7`: likewise, since the event before.
    RelativeRange(i64, i64),
    /// `*`: at any time (expected packets only).
    Any,
}

/// What an event does or expects.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A packet to inject or to expect.
    Packet(Box<Packet>),
    /// A system call.
    Call(Box<Call>),
    /// A shell command.
    Command(Command),
    /// A block of assertions.
    Code(Code),
    /// `link up` or `link down`: the carrier.
    Link(LinkEvent),
    /// `fault NAME`: something goes wrong in the device.
    Fault(FaultEvent),
}

/// A `%{ }%` block.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// The text between the marks, as written.
    pub text: String,
    /// The parsed program.
    pub program: super::code::Program,
    /// With the marks.
    pub span: Span,
}

/// Which way a packet travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `<`: the script sends it to the stack.
    Inbound,
    /// `>`: the stack has to send it.
    Outbound,
}

/// A packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// Which way.
    pub direction: Direction,
    /// `@NAME`: whose packet it is, where a script has several sockets.
    pub owner: Option<Owner>,
    /// Headers before the packet's own IP header, the outermost first.
    pub outer: Vec<Outer>,
    /// What is said of its IP header.
    pub ip: IpInfo,
    /// `encap psp spi N`: the security parameter index of its PSP header.
    pub psp: Option<u32>,
    /// What it carries.
    pub body: Body,
    /// The header fields that are written as `$name` or `...`; they are 0 in `body`.
    pub loose: Vec<Loose>,
    /// From the direction to the last option.
    pub span: Span,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A TCP segment.
    Tcp(Tcp),
    /// A UDP datagram.
    Udp(Udp),
    /// An ICMP or ICMPv6 message.
    Icmp(Icmp),
    /// `eth: [..]`: a frame, from the destination address on.
    Eth(Bytes),
    /// `raw: [..]`: an IP packet, from its version on.
    Raw(Bytes),
    /// `arp ...`, `igmp ...`, `ndp ...`: a message of the link's own business.
    Link(LinkMessage),
}

/// `[ect0]`, `(tos 0x10)`, `[ttl 3]`, `[ce, flowlabel 0x12345]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpInfo {
    /// ECN bits or the whole traffic class.
    pub tos: Tos,
    /// TTL or hop limit.
    pub ttl: Option<u8>,
    /// IPv6 flow label.
    pub flow_label: Option<u32>,
}

/// What is said of the ECN bits and the traffic class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tos {
    /// Nothing: zero when sent, not compared when expected.
    #[default]
    Unchecked,
    /// The two ECN bits: 0 is Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE.
    Ecn(u8),
    /// ECT(0) or ECT(1) (expected packets only).
    Ect01,
    /// The whole byte.
    Byte(u8),
}

/// Explicit ports, `8080 > 4000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
}

/// A TCP segment. Sequence numbers are relative to the connection's first one unless SYN is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Tcp {
    /// Ports if written.
    pub ports: Option<Ports>,
    /// Header flags.
    pub flags: TcpFlags,
    /// The place of the flags.
    pub flags_span: Span,
    /// First sequence number.
    pub seq: u32,
    /// Payload length in bytes.
    pub len: u16,
    /// The place of `seq:end(len)`.
    pub seq_span: Span,
    /// Acknowledgement number.
    pub ack: Option<u32>,
    /// The raw window field.
    pub window: Option<u16>,
    /// Urgent pointer.
    pub urgent: Option<u16>,
    /// Options.
    pub options: TcpOptions,
}

/// TCP header flags as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags {
    /// `F`.
    pub fin: bool,
    /// `S`.
    pub syn: bool,
    /// `R`.
    pub rst: bool,
    /// `P`.
    pub psh: bool,
    /// `.`
    pub ack: bool,
    /// `U`.
    pub urg: bool,
    /// `E`, or bit 0 of the ACE digit.
    pub ece: bool,
    /// `W`, or bit 1 of the ACE digit.
    pub cwr: bool,
    /// `A`, or bit 2 of the ACE digit.
    pub ae: bool,
    /// Whether the three bits were written as a digit (AccECN's ACE counter).
    pub ace: bool,
}

impl TcpFlags {
    /// AE, CWR and ECE as a number, the ACE counter of AccECN.
    pub fn ace_value(self) -> u8 {
        u8::from(self.ae) << 2 | u8::from(self.cwr) << 1 | u8::from(self.ece)
    }
}

/// The option part of a TCP segment.
#[derive(Clone, Debug, PartialEq)]
pub enum TcpOptions {
    /// `<...>`: not compared.
    Unchecked,
    /// Exactly these, in this order; none if nothing is written.
    List(Vec<TcpOption>),
}

/// A TCP option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// `eol`
    Eol,
    /// `nop`
    Nop,
    /// `mss N`
    Mss(u16),
    /// `wscale N`
    Wscale(u8),
    /// `sackOK`
    SackOk,
    /// `sack L:R L:R ...`
    Sack(Vec<(u32, u32)>),
    /// `TS val V ecr E`
    Timestamp {
        /// The sender's clock.
        val: u32,
        /// The echoed clock.
        ecr: u32,
    },
    /// `FO [cookie]`: TCP Fast Open.
    FastOpen(Vec<u8>),
    /// `FOEXP [cookie]`: the experimental form of Fast Open.
    FastOpenExp(Vec<u8>),
    /// `md5 DIGEST`; empty for `md5 none`, an option without a digest.
    Md5(Vec<u8>),
    /// `md5 valid`: the digest that the connection's key gives, or `md5 invalid`, another one.
    Md5Computed {
        /// Whether it is the right one.
        valid: bool,
    },
    /// `sack auto`: any blocks (expected packets only).
    SackAny,
    /// `TS val V ecr E` with a value that is captured or not compared.
    TimestampLoose {
        /// The sender's clock.
        val: Number,
        /// The echoed clock.
        ecr: Number,
    },
    /// `opt KIND [bytes]`: any option, its length byte filled in.
    Other {
        /// The option's kind.
        kind: u8,
        /// What follows the length byte.
        data: Vec<u8>,
    },
    /// `raw [bytes]`: bytes of the option area, good or bad.
    Raw(Vec<u8>),
    /// `ECN e0b N [ceb N [e1b N]]` or with `e1b` first: AccECN's byte counters.
    AccEcn {
        /// Whether `e0b` comes first (option kind 172) or `e1b` (174).
        e0b_first: bool,
        /// The one to three counters, 24 bits each, in order.
        fields: Vec<u32>,
    },
}

/// A UDP datagram, `udp (LEN)`, or a UDP-Lite one.
#[derive(Clone, Debug, PartialEq)]
pub struct Udp {
    /// Ports if written.
    pub ports: Option<Ports>,
    /// Payload length in bytes.
    pub len: u16,
    /// `udplite (LEN, COVERAGE)`: it is UDP-Lite (RFC 3828), and its checksum covers so many bytes.
    pub coverage: Option<u16>,
}

/// An ICMP message, `icmp TYPE [CODE] [mtu N] [id N] [echoed]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Icmp {
    /// The type's name or number.
    pub kind: String,
    /// The place of the type.
    pub kind_span: Span,
    /// The code's name or number.
    pub code: Option<String>,
    /// The place of the code.
    pub code_span: Span,
    /// Next-hop MTU.
    pub mtu: Option<u32>,
    /// Echo identifier.
    pub id: Option<u16>,
    /// What the message quotes.
    pub echoed: Echoed,
}

/// The packet that an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echoed {
    /// Not written: a TCP header with sequence number 0.
    Default,
    /// `[seq:end(len)]`
    Tcp {
        /// First sequence number, relative to the stack's initial one.
        seq: u32,
        /// Payload length.
        len: u16,
    },
    /// `[udp (len)]`
    Udp(u16),
    /// `[raw (len)]`
    Raw(u16),
}

/// A system call with its expected result.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `...end`: the call blocks until then.
    pub end: Option<i64>,
    /// Name of the call.
    pub name: String,
    /// The place of the name.
    pub name_span: Span,
    /// Arguments.
    pub args: Vec<Expr>,
    /// Expected return value.
    pub result: Expr,
    /// Expected errno by name.
    pub errno: Option<String>,
    /// The place of the errno.
    pub errno_span: Span,
    /// Text in parentheses; never compared.
    pub note: Option<String>,
    /// The whole call.
    pub span: Span,
}

/// An expression in a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where.
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `...`: the runner fills it in, or it is not compared.
    Ellipsis,
    /// A decimal number.
    Int(i64),
    /// A number written `0x...`.
    Hex(u64),
    /// A name.
    Word(String),
    /// One or more adjacent strings, escapes as written.
    Str(Vec<String>),
    /// `"start"...`
    StrPrefix(String),
    /// `a | b | c`
    Or(Vec<Expr>),
    /// `name = value`
    Assign(String, Box<Expr>),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `{...}`: a structure or a list in braces.
    Struct(Vec<Field>),
    /// `htons(N)`
    Htons(u16),
    /// `inet_addr("A")` or `inet6_addr("A")`
    Address(IpAddr),
    /// `htonl(N)`, `CMSG_LEN(N)`, `CMSG_SPACE(N)`: a function of the C library.
    Apply(String, Vec<Expr>),
    /// `sizeof(TYPE)`, the type's words with one blank between them.
    Sizeof(String),
    /// `(TYPE)value`
    Cast(String, Box<Expr>),
    /// `{flags [...], sum N, off N, key N, seq N}`: a GRE header.
    Gre(Gre),
    /// `{(label N, tc N, [S], ttl N) ...}`: an MPLS label stack.
    Mpls(Vec<MplsEntry>),
    /// `$name`: what an earlier packet had.
    Value(ValueRef),
}

/// A member of a structure literal.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// `name = ...` or `.name = ...`, a `data.` before it left out; `None` for a bare value.
    pub name: Option<String>,
    /// The count in `msg_iov(2)=[...]`.
    pub arg: Option<Expr>,
    /// The value.
    pub value: Expr,
    /// The whole member.
    pub span: Span,
}

impl Expr {
    /// The value of the member `name` of a structure literal.
    pub fn field(&self, name: &str) -> Option<&Expr> {
        match &self.kind {
            ExprKind::Struct(fields) => {
                fields.iter().find(|f| f.name.as_deref() == Some(name)).map(|f| &f.value)
            }
            _ => None,
        }
    }
}
