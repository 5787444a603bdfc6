//! The rows.

use crate::apply::Edit::{self, *};

/// One edit of one capture.
pub(crate) struct Row {
    /// Start of the capture's name.
    pub(crate) capture: &'static str,
    /// Which of the frames that the edit fits, from 0.
    pub(crate) nth: usize,
    pub(crate) edit: Edit,
    /// What the verdict names.
    pub(crate) field: &'static str,
}

const fn row(capture: &'static str, nth: usize, edit: Edit, field: &'static str) -> Row {
    Row { capture, nth, edit, field }
}

const TIME: &str = "frame.time_relative";
const MISSING: &str = "frame.missing";
const UNEXPECTED: &str = "frame.unexpected";

pub(crate) const TABLE: &[Row] = &[
    row("01-", 0, DataFlags(0x08), "tcp.flags.push"),
    row("03-", 9, DataFlags(0x08), "tcp.flags.push"),
    row("01-", 0, DataFlags(0x20), "tcp.flags.urg"),
    row("14-", 1, DataFlags(0x40), "tcp.flags.ece"),
    row("23-", 8, DataFlags(0x80), "tcp.flags.cwr"),
    row("01-", 1, AckFlags(0x01), "tcp.flags.fin"),
    row("11-", 1, AckFlags(0x08), "tcp.flags.push"),
    row("13-", 0, AckFlags(0x04), "tcp.flags.reset"),
    row("21-", 20, AckFlags(0x10), "tcp.flags.ack"),
    row("22-", 2, Reserved, "tcp.flags.res"),
    row("01-", 2, Window(0x4000), "tcp.window"),
    row("08-", 3, Window(0x1000), "tcp.window"),
    row("21-", 9, Window(0x0400), "tcp.window"),
    row("24-", 3, Seq(1), "tcp.seq_raw"),
    row("05-", 30, Seq(1448), "tcp.seq_raw"),
    row("04-", 3, Ack(1), "tcp.ack_raw"),
    row("11-", 1, Ack(5), "tcp.ack_raw"),
    row("21-", 0, SackLeft, "tcp.options.sack_le"),
    row("21-", 3, SackRight, "tcp.options.sack_re"),
    row("21-", 10, SackRight, "tcp.options.sack_re"),
    row("01-", 1, OptionOrder, "tcp.options"),
    row("05-", 12, OptionOrder, "tcp.options"),
    row("13-", 3, TsVal(5), "tcp.options.timestamp.tsval"),
    row("04-", 4, TsVal(40), "tcp.options.timestamp.tsval"),
    row("11-", 2, TsEcr(1), "tcp.options.timestamp.tsecr"),
    row("21-", 30, TsEcr(2), "tcp.options.timestamp.tsecr"),
    row("01-", 0, Mss, "tcp.options.mss_val"),
    row("08-", 0, Mss, "tcp.options.mss_val"),
    row("05-", 0, WindowScale, "tcp.options.wscale.shift"),
    row("13-", 0, NoSackPermitted, "tcp.options"),
    row("14-", 2, Urgent, "tcp.urgent_pointer"),
    row("01-", 2, Ttl, "ip.ttl"),
    row("15-", 1, Ttl, "ip.ttl"),
    row("10-", 0, Ttl, "ip.ttl"),
    row("05-", 7, Df, "ip.flags.df"),
    row("16-", 1, Df, "ip.flags.df"),
    row("15-", 0, Ecn, "ip.dsfield.ecn"),
    row("23-", 4, Ecn, "ip.dsfield.ecn"),
    row("13-", 5, Dscp, "ip.dsfield.dscp"),
    row("16-", 2, Dscp, "ip.dsfield.dscp"),
    row("13-", 4, IpId(1), "ip.id"),
    row("04-", 6, IpId(3), "ip.id"),
    row("21-", 40, IpId(0x8000), "ip.id"),
    row("16-", 0, IpSource, "ip.src"),
    row("17-", 0, MoreFragments, "ip.flags.mf"),
    row("17-", 7, FragmentOffset, "ip.frag_offset"),
    row("01-", 0, Payload(3), "tcp.payload"),
    row("14-", 0, Payload(20), "tcp.payload"),
    row("01-", 3, Port, "tcp.srcport"),
    row("03-", 3, EthDst, "eth.dst"),
    row("18-", 0, EthDst, "eth.dst"),
    row("16-", 0, IcmpCode, "icmp.code"),
    row("16-", 0, IcmpType, "icmp.type"),
    row("15-", 0, IcmpSeq, "icmp.seq"),
    row("16-", 0, IcmpQuote, "data.data"),
    row("16-", 0, UdpPayload, "udp.payload"),
    row("16-", 0, UdpPort, "udp.srcport"),
    row("18-", 0, ArpTarget, "arp.dst.proto_ipv4"),
    row("18-", 1, ArpOpcode, "arp.opcode"),
    row("13-", 0, ArpSenderMac, "arp.src.hw_mac"),
    row("05-", 20, TcpChecksum, "tcp.checksum"),
    row("13-", 3, IpChecksum, "ip.checksum"),
    row("16-", 1, UdpChecksum, "udp.checksum"),
    row("07-", 0, TimerMoved(150), TIME),
    row("07-", 1, TimerMoved(-150), TIME),
    row("06-", 0, TimerMoved(40), TIME),
    row("08-", 0, TimerMoved(12), TIME),
    row("08-", 1, TimerMoved(12), TIME),
    row("08-", 0, TimerMoved(-12), TIME),
    row("18-", 1, TimerMoved(150), TIME),
    row("20-", 0, TimerMoved(150), TIME),
    row("20-", 1, TimerMoved(-150), TIME),
    row("05-", 14, Drop, UNEXPECTED),
    row("03-", 20, Drop, UNEXPECTED),
    row("07-", 8, Drop, UNEXPECTED),
    row("15-", 1, Drop, UNEXPECTED),
    row("13-", 1, DropAck, UNEXPECTED),
    row("11-", 0, Again, MISSING),
    row("13-", 1, Again, MISSING),
    row("13-", 5, Again, MISSING),
];
