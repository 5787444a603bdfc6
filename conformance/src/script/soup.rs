//! Scripts thrown together from pieces of the language: read or refused, never a panic; and what is read prints to the same.

use proptest::prelude::*;

use super::{Defines, Source, parse, print};

const PIECES: &[&str] = &[
    "0",
    "+0",
    "+.01",
    "+0.1~+0.2",
    "1~2",
    "*",
    "...",
    "<",
    ">",
    "S",
    "S.",
    ".",
    "P.",
    "F.",
    "-",
    "SEWA",
    "P5.",
    ".5",
    "U.",
    "E.",
    "0:0(0)",
    "1:1001(1000)",
    "ack 1",
    "ack",
    "win 100",
    "urg 5",
    "<mss 1460,sackOK,nop,nop>",
    "<...>",
    "<nop,nop,sack 1:2 3:4>",
    "<nop,nop,TS val 1 ecr 2>",
    "<FO,nop,nop>",
    "<FO 0011aabb,nop,nop>",
    "<ECN e1b 1 ceb 2,eol,eol,eol,eol>",
    "<md5 00112233445566778899aabbccddeeff,nop,nop>",
    "[ect0]",
    "(tos 0x10)",
    "[ttl 5]",
    "[ce,flowlabel 0x12345]",
    "80 > 90",
    "icmp unreachable",
    "host_unreachable",
    "mtu 1200",
    "id 7",
    "[1:1001(1000)]",
    "[udp (5)]",
    "[raw (9)]",
    "udp",
    "(5)",
    "read(3, ..., 10) = 5",
    "close(3) = -1 EBADF (Bad file descriptor)",
    "f(a|b|0x10, [1, 2], \"x\\n\" \"y\", \"z\"...) = 0",
    "g({fd=3, events=POLLIN, revents=0}, {msg_name(...)=..., msg_iov(1)=[{..., 5}], msg_flags=0}) = 0x2 (flags O_RDWR)",
    "connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"1.2.3.4\")}, ...) = 0",
    "h(X=5) = 0",
    "setsockopt(3, A, B, {onoff=1, linger=2}, 8) = 0",
    "`sleep 1`",
    "%{ assert x == 1, 'a%d' % x }%",
    "%{\nfor i in [1]:\n  print(i)\n}%",
    "--mss=5",
    "--define=X=\"y\"",
    "--strict_segments",
    "// note\n",
    "/* note */",
    "# note\n",
    "\n",
    "`",
    "\"",
    "%{",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ",",
    "=",
    "|",
    ":",
    "~",
    "+",
    "18446744073709551616",
    "4294967296",
    "-1",
    "fd::1",
    "1.2.3.4",
    "\u{e9}",
    "inet6_addr(\"::1\")",
];

fn check(text: &str) -> Result<(), TestCaseError> {
    let source = Source::new("soup", text);
    let Ok(tree) = parse(&source, &Defines::new()) else { return Ok(()) };
    let printed = print(&tree);
    match parse(&Source::new("printed", &printed), &Defines::new()) {
        Ok(again) => prop_assert_eq!(tree, again, "{} printed as {}", text, printed),
        Err(error) => prop_assert!(false, "{text:?} printed as {printed:?}: {}", error.one_line()),
    }
    Ok(())
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_order(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24)) {
        check(&pieces.join(" "))?;
    }

    /// Packets and calls in an order that has a chance.
    #[test]
    fn mostly_right(events in prop::collection::vec((0..6usize, prop::collection::vec(prop::sample::select(PIECES), 0..8)), 1..4)) {
        let mut text = String::new();
        for (kind, pieces) in events {
            text.push_str(["+0 > ", "+0 < ", "+0...0.1 ", "* > [ect0] ", "0 ", "+.5 > P. 1:2(1) "][kind]);
            text.push_str(&pieces.join(" "));
            text.push('\n');
        }
        check(&text)?;
    }

    #[test]
    fn any_bytes(text in "\\PC{0,80}") {
        check(&text)?;
    }
}
