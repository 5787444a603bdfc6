//! Scripts with one mistake each: every one is refused at the mistake's place, in words that name it.
//!
//! `¦` stands where the error has to point. It is taken out before the script is parsed.

use super::{Defines, Source, parse};

/// The script, and words that message or hint have to contain.
type Broken = (&'static str, &'static str);

/// The mark of the place.
const MARK: char = '¦';

/// A script's top, its end, and what may stand where.
const SECTIONS: &[Broken] = &[
    ("¦", "time"),
    ("// only a comment\n¦", "time"),
    ("`init`\n¦", "time"),
    ("--mss=1000\n¦", "time"),
    ("--mss=¦\n0 f() = 0", "a value for the option"),
    ("--mss ¦1000\n0 f() = 0", "a value follows `=`"),
    ("--define=¦5\n0 f() = 0", "NAME=value"),
    ("--define=¦\"X=5\"\n0 f() = 0", "NAME=value"),
    ("--define=X=¦[5]\n0 f() = 0", "a value"),
    ("0 f() = 0\n¦--mss=5", "after the first event"),
    ("`init`\n¦--mss=5\n0 f() = 0", "after the first event or command"),
    ("0 f() = 0\n¦`a`\n+0 f() = 0", "last thing"),
    ("`a`\n¦`b`\n0 f() = 0", "a second init command"),
    ("0 ¦`sleep 1", "no end"),
    ("¦/* comment", "no end"),
    ("0 f() = 0 *¦/", "a packet, a system call"),
    ("0 f(¦\u{e9}\u{fc}) = 0", "do not use"),
    ("0 f(¦\u{7}) = 0", "do not use"),
    ("¦hello", "time"),
    ("¦socket(..., SOCK_STREAM, IPPROTO_TCP) = 3", "time"),
    ("¦> S 0:0(0)", "time"),
    ("0 ¦", "a packet, a system call, a command or a code block"),
    ("0 ¦5", "a packet, a system call"),
    ("0 ¦+1 f() = 0", "a packet, a system call"),
];

/// Times.
const TIMES: &[Broken] = &[
    ("¦-1 f() = 0", "between 0"),
    ("+¦-1 f() = 0", "between 0"),
    ("¦1000001 f() = 0", "between 0 and 1000000"),
    ("+¦x f() = 0", "a time in seconds"),
    ("¦* read(3, ..., 1) = 0", "expected packets only"),
    ("¦* < . 1:1(0) win 5", "expected packets only"),
    ("¦0~1 f() = 0", "expected packets only"),
    ("¦+.2~+.1 > . 1:1(0)", "backwards"),
    ("¦2~1 > . 1:1(0)", "backwards"),
    ("+.1~¦.2 > . 1:1(0)", "`+`"),
    (".1~¦+.2 > . 1:1(0)", "a time in seconds"),
    ("+.1~+ ¦> . 1:1(0)", "a time in seconds"),
    ("0... ¦f() = 0", "a time in seconds"),
    ("0...¦x() = 0", "a time in seconds"),
    ("0...¦-1 f() = 0", "between 0"),
    ("+0...¦+1 f() = 0", "a time in seconds"),
    ("¦%{ }%", "time"),
    ("0 f() = 0\n+0.1 f() = 0\n¦: f() = 0", "time"),
    ("1.2¦.3 f() = 0", "a packet, a system call"),
    ("¦0x10 f() = 0", "time"),
];

/// TCP packets.
const TCP: &[Broken] = &[
    ("0 > ¦", "TCP flags"),
    ("0 > ¦1:1(0)", "TCP flags"),
    ("0 > ¦X. 1:1(0)", "not a TCP flag"),
    ("0 > S¦x. 1:1(0)", "not a TCP flag"),
    ("0 > ¦s 0:0(0)", "not a TCP flag"),
    ("0 > P.¦8 1:1(0)", "not a TCP flag"),
    ("0 > E.¦5 1:1(0)", "ACE digit"),
    ("0 > ¦5 . 1:1(0)", "TCP flags"),
    ("0 > P5¦E. 1:1(0)", "ACE digit"),
    ("0 > P5.¦6 1:1(0)", "no second digit"),
    ("0 > A¦CK 1:1(0)", "not a TCP flag"),
    ("0 > . ¦1:2(0)", "1 bytes, not 0"),
    ("0 > . ¦1001:1(1000)", "are -1000 bytes, not 1000"),
    ("0 > . ¦1:1001(100)", "1000 bytes, not 100"),
    ("0 > . 1¦(0)", "`:` after the first sequence number"),
    ("0 > . 1:¦(0)", "after the last byte"),
    ("0 > . 1:1 ¦ack 1", "payload length"),
    ("0 > . 1:1¦[0]", "payload length"),
    ("0 > . 1:1(¦) ack 1", "the payload length"),
    ("0 > . 1:1(0 ¦ack 1", "`)`"),
    ("0 > . ¦-1:0(1)", "between 0"),
    ("0 > . ¦4294967296:4294967296(0)", "between 0 and 4294967295"),
    ("0 > . 1:70001(¦70000)", "between 0 and 65535"),
    ("0 > S ¦ack 1", "first sequence number"),
    ("0 > . 1:1(0) ack ¦win 5", "acknowledgement number"),
    ("0 > . 1:1(0) ack ¦-1", "between 0"),
    ("0 > . 1:1(0) ¦acl 1", "time"),
    ("0 > . 1:1(0) win 5 ¦ack 1", "`ack`"),
    ("0 < . ¦1:1(0) ack 1", "window"),
    ("0 < S ¦0:0(0) <mss 1000>", "window"),
    ("0 < . 1:1(0) win ¦65536", "0 and 65535"),
    ("0 < . 1:1(0) win ¦-1", "0 and 65535"),
    ("0 < . 1:1(0) win ¦<nop,nop,nop,nop>", "the window"),
    ("0 > . 1:1(0) urg ¦70000", "0 and 65535"),
    ("0 < . 1:1(0) ack 1 win 5 ¦window 6", "time"),
    ("0 > ¦80 S 0:0(0)", "TCP flags"),
    ("0 > 80 > ¦S 0:0(0)", "destination port"),
    ("0 > ¦70000 > 80 S 0:0(0)", "0 and 65535"),
    ("0 > . 1:1(0) ack 1 +0 > . 1:1(0) ¦> 1", "time"),
];

/// TCP options.
const OPTIONS: &[Broken] = &[
    ("0 > S 0:0(0) ¦<mss 1460,sackOK>", "multiple of four"),
    ("0 > S 0:0(0) <¦foo>", "not a TCP option"),
    ("0 > S 0:0(0) <¦mms 1460>", "did you mean `mss`?"),
    ("0 > S 0:0(0) <¦sackok,nop,nop>", "did you mean `sackOK`?"),
    ("0 > S 0:0(0) <¦ts val 1 ecr 2,nop,nop>", "not a TCP option"),
    ("0 > S 0:0(0) <mss ¦70000>", "0 and 65535"),
    ("0 > S 0:0(0) <mss¦>", "maximum segment size"),
    ("0 > S 0:0(0) <mss¦=1460>", "maximum segment size"),
    ("0 > S 0:0(0) <nop,wscale ¦256>", "0 and 255"),
    ("0 > S 0:0(0) <mss 1460¦", "end of the script"),
    ("0 > S 0:0(0) <mss 1460 ¦sackOK,nop,nop>", "`>`"),
    ("0 > S 0:0(0) <mss 1460,¦>", "a TCP option"),
    ("0 > S 0:0(0) <¦,nop>", "a TCP option"),
    ("0 > S 0:0(0) <¦>", "a TCP option"),
    ("0 < S 0:0(0) win 1 ¦<...>", "expected packets only"),
    ("0 > S 0:0(0) <...¦,nop>", "`>`"),
    ("0 > . 1:1(0) <nop,nop,TS ¦1 ecr 2>", "`val`"),
    ("0 > . 1:1(0) <nop,nop,TS val 1 ¦ecn 2>", "did you mean `ecr`?"),
    ("0 > . 1:1(0) <nop,nop,TS val ¦ecr 2>", "the timestamp"),
    ("0 > . 1:1(0) <nop,nop,TS val 1¦>", "`ecr`"),
    ("0 > . 1:1(0) <nop,nop,TS val ¦4294967296 ecr 1>", "4294967295"),
    ("0 > . 1:1(0) <nop,nop,sack¦>", "left edge"),
    ("0 > . 1:1(0) <nop,nop,sack 1¦-2>", "`:` between the edges"),
    ("0 > . 1:1(0) <nop,nop,sack 1:¦>", "right edge"),
    ("0 > . 1:1(0) <nop,nop,sack 1:2, ¦3:4>", "no comma between"),
    ("0 < . 1:1(0) win 5 <nop,nop,sack ¦auto>", "expected packets only"),
    ("0 > . 1:1(0) ¦<nop,nop,sack 1:2 3:4 5:6 7:8 9:10>", "room for 40"),
    ("0 > S 0:0(0) <FO ¦123>", "hexadecimal"),
    ("0 > S 0:0(0) <FO ¦xyz1,nop,nop>", "hexadecimal"),
    ("0 > S 0:0(0) <FO ¦\"aabb\",nop,nop>", "hexadecimal digits"),
    ("0 > S 0:0(0) <md5 ¦aabb,nop,nop>", "16 bytes, not 2"),
    ("0 > S 0:0(0) <md5¦,nop,nop>", "hexadecimal digits"),
    ("0 > S 0:0(0) <ECN¦,nop,nop>", "`e0b` or `e1b`"),
    ("0 > S 0:0(0) <ECN ¦ceb 1,nop,nop,nop>", "`e0b` or `e1b`"),
    ("0 > S 0:0(0) <ECN e0b ¦16777216,nop,nop,nop>", "16777215"),
    ("0 > S 0:0(0) <opt ¦256 [00]>", "0 and 255"),
    ("0 > S 0:0(0) <opt 253 ¦00,nop,nop>", "`[`"),
    ("0 > S 0:0(0) <raw [0¦g 00]>", "hexadecimal bytes"),
    ("0 > S 0:0(0) <raw [¦000 00]>", "two hexadecimal digits"),
    ("0 > S 0:0(0) <raw [00 ¦?? 00 00]>", "expected packets only"),
];

/// IP headers, encapsulations, UDP and ICMP.
const OTHER_PACKETS: &[Broken] = &[
    ("0 > [¦foo] . 1:1(0)", "nothing that can be said of an IP header"),
    ("0 > [¦etc0] . 1:1(0)", "did you mean"),
    ("0 > [¦] . 1:1(0)", "ect0"),
    ("0 > [ect0 ¦. 1:1(0)", "`]`"),
    ("0 > [ect0¦) . 1:1(0)", "`]`"),
    ("0 > [ect0, ¦ce] . 1:1(0)", "after the ECN bits"),
    ("0 > [tos ¦16] . 1:1(0)", "16 is written 0x10"),
    ("0 > [tos ¦0x100] . 1:1(0)", "0 and 0xff"),
    ("0 > [ttl ¦256] . 1:1(0)", "0 and 255"),
    ("0 > [ttl 5, ¦ttl 6] . 1:1(0)", "said twice"),
    ("0 > [flowlabel ¦0x100000] . 1:1(0)", "0 and 0xfffff"),
    ("0 < ¦[ect01] . 1:1(0) win 5", "expected packets only"),
    ("0 > ¦[ect0] udp (5)", "TCP and ICMP packets only"),
    ("0 > ¦sctp: INIT", "SCTP is unsupported"),
    ("0 > ¦upd (5)", "did you mean `udp`?"),
    ("0 > ¦imcp unreachable", "did you mean `icmp`?"),
    ("0 > udp ¦5", "payload length"),
    ("0 > udp (¦65536)", "0 and 65535"),
    ("0 > udp (5¦", "`)`"),
    ("0 > udp 5 > ¦(5)", "destination port"),
    ("0 > udplite (5, ¦x)", "coverage"),
    ("0 < icmp ¦", "an ICMP type"),
    ("0 < icmp ¦3 1", "an ICMP type"),
    ("0 < icmp unreachable mtu ¦x", "the MTU"),
    ("0 < icmp unreachable frag_needed mtu 1200 [1:1001¦]", "payload length"),
    ("0 < icmp unreachable [¦1:1001(10)]", "1000 bytes, not 10"),
    ("0 < icmp unreachable [1:1(0)¦", "`]`"),
    ("0 < icmp unreachable [udp ¦5]", "payload length"),
    ("0 < icmp unreachable [¦tcp (5)]", "first sequence number"),
    ("0 < icmp echo_request id ¦70000", "0 and 65535"),
    ("0 > ipv4 1.2.3.4 > ¦fd::1: . 1:1(0)", "an IPv4 address"),
    ("0 > ipv6 fd::1 > ¦1.2.3.4: . 1:1(0)", "an IPv6 address"),
    ("0 > ipv4 1.2.3.4 ¦5.6.7.8: . 1:1(0)", "`>` between the addresses"),
    ("0 > ipv4 1.2.3.4 > 5.6.7.8 ¦. 1:1(0)", "`:` after the header"),
    ("0 > ipv4 ¦1.2.3 > 5.6.7.8: . 1:1(0)", "an IPv4 address"),
    ("0 > gre ¦key 5: . 1:1(0)", "`flags`"),
    ("0 > gre flags [¦csum present], sum 0, off 0, key 0, seq 0: . 1:1(0)", "`checksum`"),
    ("0 > gre flags [key ¦absent], sum 0, off 0, key 0, seq 0: . 1:1(0)", "`present`"),
    ("0 > gre flags 0, sum ¦70000, off 0, key 0, seq 0: . 1:1(0)", "65535"),
    ("0 > gre flags 0, sum 0, ¦key 0, seq 0: . 1:1(0)", "`off`"),
    ("0 > mpls (label 0, tc ¦8, ttl 0): . 1:1(0)", "0 and 7"),
    ("0 > mpls (label ¦1048576, tc 0, ttl 0): . 1:1(0)", "1048575"),
    ("0 > mpls (label 0, ¦ttl 0): . 1:1(0)", "`tc`"),
    ("0 > mpls (label 0, tc 0, [¦B], ttl 0): . 1:1(0)", "`S`"),
    ("0 > encap ¦esp spi 5 . 1:1(0)", "`psp`"),
    ("0 > encap psp ¦5 . 1:1(0)", "`spi`"),
];

/// Calls and their arguments.
const CALLS: &[Broken] = &[
    ("0 read(3, ..., 1)¦", "result"),
    ("0 read(3, ..., 1 ¦= 1", "`)`"),
    ("0 read(3 ¦..., 1) = 1", "`)`"),
    ("0 read(3,¦, 1) = 1", "an expression"),
    ("0 read(3, ¦) = 1", "an expression"),
    ("0 read ¦3 = 1", "`(`"),
    ("0 read(3) =¦= 3", "an expression"),
    ("0 read(3) =¦", "an expression"),
    ("0 read(3) = -1 EAGAIN (Resource¦", "words and a `)`"),
    ("0 read(3) = -1 EAGAIN (¦)", "words and a `)`"),
    ("0 read(3) = -1 EAGAIN ¦EINTR", "time"),
    ("0 read(3, ¦\"abc, 1) = 0", "no end"),
    ("0 f(¦99999999999999999999) = 0", "64 bits"),
    ("0 f(¦0x1ffffffffffffffff) = 0", "64 bits"),
    ("0 f(¦1.5) = 0", "an expression"),
    ("0 f(a | ¦) = 0", "an expression"),
    ("0 f(a ¦+ 1) = 0", "`)`"),
    ("0 f(¦& x) = 0", "an expression"),
    ("0 f([1, 2¦) = 0", "`]`"),
    ("0 f({fd=3¦) = 0", "`,` or `}`"),
    ("0 f({fd=3, ¦fd=4}) = 0", "given twice"),
    ("0 f({fd=¦}) = 0", "an expression"),
    ("0 poll([{fd=3, ¦evnts=POLLIN}], 1, 0) = 0", "`evnts` is no member of pollfd"),
    ("0 f({sa_family=AF_INET, ¦sin_prot=htons(80)}) = 0", "did you mean `sin_port`?"),
    ("0 f({sin_port=htons(¦80000)}) = 0", "0 and 65535"),
    ("0 f({sin_port=htons ¦80}) = 0", "`,` or `}`"),
    ("0 f({sin_addr=inet_addr(¦1.2.3.4)}) = 0", "double quotes"),
    ("0 f({sin_addr=inet_addr(¦\"1.2.3\")}) = 0", "not an IP address"),
    ("0 f(inet6_addr(¦\"1.2.3.4\")) = 0", "not an IP address"),
    ("0 recvmsg(3, {msg_iov(1)¦[{..., 5}]}, 0) = 5", "`=`"),
    ("0 recvmsg(3, {msg_iov(1¦=[{..., 5}]}, 0) = 5", "`)`"),
    ("0 recvmsg(3, {msg_flags=0, ¦cmsg_level=1}, 0) = 5", "no member of msghdr"),
    ("0 f((¦3)) = 0", "a type in parentheses"),
    ("0 f(sizeof(¦)) = 0", "a type"),
    ("0 f(CMSG_LEN(¦)) = 0", "an expression"),
    ("0 f((long ¦5) = 0", "`)`"),
    ("0 epoll_ctl(5, 1, 3, {¦.5=1}) = 0", "an expression"),
    ("0 f({flags [none]¦}) = 0", "`sum`"),
];

/// `%{ }%`: the error is in the block, at its place in the script.
const CODE: &[Broken] = &[
    ("0 ¦%{ assert", "no end"),
    ("0 %{ ¦import os }%", "`import` is not supported"),
    ("0 %{ ¦class X: pass }%", "`class` is not supported"),
    ("0 %{ ¦with x: pass }%", "`with` is not supported"),
    ("0 %{\nassert a ==¦\n}%", "expected an expression"),
    ("0 %{ assert a ¦= = 5 }%", "end of the statement"),
    ("0 %{ assert a ¦= 5 }%", "end of the statement"),
    ("0 %{ assert (a == 5 ¦}%", "`)`"),
    ("0 %{ assert a == ¦'x }%", "no end on its line"),
    ("0 %{ if a ¦assert b }%", "`:`"),
    ("0 %{\nif a:\n¦x = 1\n}%", "an indented line"),
    ("0 %{\nif a:\n    x = 1\n¦  y = 2\n}%", "indentation"),
    ("0 %{ for ¦1 in x: pass }%", "a name"),
    ("0 %{ for x ¦of y: pass }%", "`in`"),
    ("0 %{ ¦5 = x }%", "only a name"),
    ("0 %{ x = ¦0xzz }%", "not a number"),
    ("0 %{ x = 5 ¦! }%", "not supported"),
    ("0 %{ x = y ¦\\ z }%", "not at the end of its line"),
    ("0 %{ assert x ¦y }%", "end of the statement"),
];

/// What packetdrill does not have.
const OURS: &[Broken] = &[
    ("0 < . 1:1(0) ack ¦$a win 5", "no earlier packet captures"),
    ("0 > . 1:1(0) ack $ack\n+0 < . 1:1(0) ack ¦$akc win 5", "there is `$ack`"),
    ("0 f(¦$x) = 0", "no earlier packet captures"),
    ("0 > . ¦$a:$a+5(6)", "the end has to be the start and 6 bytes"),
    ("0 > . $a:¦5(5)", "`$a` with the end's offset"),
    ("0 > . 1:1(0) ack $a+¦x", "a number after `+`"),
    ("0 > . 1:1(0) ack $a+¦4294967296", "at most 32 bits"),
    ("0 < . 1:1(0) ack ¦... win 5", "expected packets only"),
    ("0 > @¦. 1:1(0)", "a descriptor or a name"),
    ("0 > eth ¦[00]", "`:` before the bytes"),
    ("0 > eth: ¦00 11", "`[`"),
    ("0 > eth: [00 1¦x]", "hexadecimal bytes"),
    ("0 > eth: [00 ¦123]", "two hexadecimal digits"),
    ("0 < eth: [00 ¦??]", "expected packets only"),
    ("0 < eth: [00 ¦...]", "hexadecimal bytes"),
    ("0 > eth: [00¦", "end of the script"),
    ("0 > ¦[ect0] eth: [00]", "nothing can be said"),
    ("0 < arp ¦ask target=1.2.3.4", "known are request, reply"),
    ("0 < arp request ¦targt=1.2.3.4", "did you mean `target`?"),
    ("0 < arp request target=¦fd::1", "an IPv4 address"),
    ("0 < arp request target=¦...", "an IPv4 address"),
    ("0 < arp request sender_mac=¦02:00:00:00:00", "a link-layer address"),
    ("0 < arp request target=1.2.3.4 ¦target=1.2.3.5", "said twice"),
    ("0 < igmp ¦v4_report", "known are query"),
    ("0 < igmp query max_resp=¦256", "0 and 255"),
    ("0 < ndp neighbor_solicit target=¦1.2.3.4", "an IPv6 address"),
    ("0 < ndp neighbor_solicit ¦prefix=fd::", "no field of `ndp neighbor_solicit`"),
    ("0 < ndp ¦solicit", "neighbor_solicit"),
    ("0 link ¦flap", "`up` or `down`"),
    ("0 fault ¦5", "the name of a fault"),
    ("0 fault ¦rx_crx(1)", "did you mean `rx_crc`?"),
    ("0 fault ¦explode", "known are rx_crc"),
    ("0 fault rx_crc(¦x)", "a fault's number"),
    ("0 fault rx_crc(3¦", "`)`"),
];

fn check(group: &[Broken], wrong: &mut Vec<String>) -> usize {
    for (marked, words) in group {
        let at = marked.find(MARK).expect("a place is marked");
        let text = marked.replacen(MARK, "", 1);
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let error = match parse(&Source::new("t.pkt", &text), &Defines::new()) {
            Ok(_) => {
                wrong.push(format!("{marked:?} is accepted"));
                continue;
            }
            Err(error) => error,
        };
        let help = miette::Diagnostic::help(&error).map(|h| h.to_string()).unwrap_or_default();
        let said = format!("{} ({help})", error.message());
        if error.place() != format!("t.pkt:{line}:{column}") || !said.contains(words) {
            wrong.push(format!("{marked:?}: {}: {said:?}", error.place()));
        }
    }
    group.len()
}

#[test]
fn every_mistake_is_named_at_its_place() {
    let groups = [SECTIONS, TIMES, TCP, OPTIONS, OTHER_PACKETS, CALLS, CODE, OURS];
    let mut wrong = Vec::new();
    let count: usize = groups.iter().map(|group| check(group, &mut wrong)).sum();
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 200, "{count} scripts");
}
