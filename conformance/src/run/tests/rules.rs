//! The rules of matching, one a row: what the target does after the connection is open, what the script says, and whether
//! that fits.

use super::{Act, OPEN, Puppet, SYN_ACK, data, run};

/// `Ok`, or words of the failure.
type Fits = Result<(), &'static str>;

/// The rule, the target's acts, the script after [`OPEN`].
type Rule = (&'static str, &'static [Act], &'static str, Fits);

const NOPS: &[u8] = &[1, 1, 1, 1];
const TS: &[u8] = &[1, 1, 8, 10, 0, 0, 0, 50, 0, 0, 0, 7];

const fn with(options: &'static [u8]) -> Act {
    Act::Send { us: 100_000, flags: "P.", seq: 1, ack: 1, len: 5, options }
}

const FIVE: Act = with(&[]);
const LATE: Act = Act::Send { us: 120_000, flags: "P.", seq: 1, ack: 1, len: 5, options: &[] };
const NEXT: Act = Act::Send { us: 100_000, flags: "P.", seq: 6, ack: 1, len: 5, options: &[] };
const FIN: Act = Act::Send { us: 100_000, flags: "F.", seq: 1, ack: 1, len: 0, options: &[] };

const HEADERS: &[Rule] = &[
    ("a packet as it should be", &[FIVE], "+0 > P. 1:6(5) ack 1", Ok(())),
    ("PSH is compared", &[FIVE], "+0 > . 1:6(5) ack 1", Err("tcp.flags.psh")),
    ("FIN is compared", &[FIN], "+0 > . 1:1(0) ack 1", Err("tcp.flags.fin")),
    ("ECE is compared", &[FIVE], "+0 > PE. 1:6(5) ack 1", Err("tcp.flags.ece")),
    ("the ACE digit is compared", &[FIVE], "+0 > P.5 1:6(5) ack 1", Err("tcp.ace")),
    ("seq is compared", &[NEXT], "+0 > P. 1:6(5) ack 1", Err("tcp.seq")),
    ("ack is compared", &[FIVE], "+0 > P. 1:6(5) ack 2", Err("tcp.ack")),
    (
        "the length is compared",
        &[FIVE],
        "+0 > P. 1:5(4) ack 1",
        Err("5 bytes of payload, expected 4"),
    ),
    ("a window that is not written is not looked at", &[FIVE], "+0 > P. 1:6(5) ack 1", Ok(())),
    ("a window is the raw field", &[FIVE], "+0 > P. 1:6(5) ack 1 win 1000", Ok(())),
    ("a window is compared", &[FIVE], "+0 > P. 1:6(5) ack 1 win 999", Err("tcp.window")),
    ("the urgent pointer is compared", &[FIVE], "+0 > P. 1:6(5) ack 1 urg 1", Err("tcp.urgent")),
    ("ECN bits are compared if said", &[FIVE], "+0 > [ce] P. 1:6(5) ack 1", Err("ipv4.ecn")),
    ("noecn is compared", &[FIVE], "+0 > [noecn] P. 1:6(5) ack 1", Ok(())),
    (
        "the traffic class is compared if said",
        &[FIVE],
        "+0 > [tos 0x4] P. 1:6(5) ack 1",
        Err("ipv4.tos"),
    ),
    ("the TTL is compared if said", &[FIVE], "+0 > [ttl 63] P. 1:6(5) ack 1", Err("ipv4.ttl")),
    ("a TTL of 255 means any", &[FIVE], "+0 > [ttl 255] P. 1:6(5) ack 1", Ok(())),
    ("ports are not compared", &[FIVE], "+0 > 1 > 2 P. 1:6(5) ack 1", Ok(())),
];

const OPTIONS: &[Rule] = &[
    ("no list means no options", &[with(NOPS)], "+0 > P. 1:6(5) ack 1", Err("tcp.data_offset")),
    ("an ellipsis does not look", &[with(NOPS)], "+0 > P. 1:6(5) ack 1 <...>", Ok(())),
    ("NOPs count", &[with(NOPS)], "+0 > P. 1:6(5) ack 1 <nop,nop,nop,nop>", Ok(())),
    (
        "kinds are compared",
        &[with(NOPS)],
        "+0 > P. 1:6(5) ack 1 <nop,nop,nop,eol>",
        Err("tcp.options"),
    ),
    (
        "the order counts",
        &[with(TS)],
        "+0 > P. 1:6(5) ack 1 <TS val 5 ecr 7,nop,nop>",
        Err("tcp.options"),
    ),
    (
        "a TS val needs no tick",
        &[with(TS)],
        "+0 > P. 1:6(5) ack 1 <nop,nop,TS val 9 ecr 7>",
        Ok(()),
    ),
    (
        "a TS ecr is not compared",
        &[with(TS)],
        "+0 > P. 1:6(5) ack 1 <nop,nop,TS val 9 ecr 8>",
        Ok(()),
    ),
    (
        "an open TS is exact where it is a number",
        &[with(TS)],
        "+0 > P. 1:6(5) ack 1 <nop,nop,TS val ... ecr 8>",
        Err("tcp.options"),
    ),
    ("an open TS fits", &[with(TS)], "+0 > P. 1:6(5) ack 1 <nop,nop,TS val ... ecr 7>", Ok(())),
    (
        "bytes of an option",
        &[with(TS)],
        "+0 > P. 1:6(5) ack 1 <nop,nop,opt 8 [00000032 00000007]>",
        Ok(()),
    ),
];

const ORDER_AND_TIME: &[Rule] = &[
    (
        "packets come in the script's order",
        &[FIN, NEXT],
        "+0 > P. 6:11(5) ack 1\n+0 > F. 1:1(0) ack 1",
        Err("tcp."),
    ),
    ("what is left over is ignored", &[FIVE, NEXT], "+0 > P. 1:6(5) ack 1", Ok(())),
    ("late by less than 12.5 %", &[LATE], "+.02 > P. 1:6(5) ack 1", Ok(())),
    ("late by more than 4 ms", &[LATE], "+0 > P. 1:6(5) ack 1", Err("was due at")),
    ("an asterisk is any time", &[LATE], "* > P. 1:6(5) ack 1", Ok(())),
    ("a range has the tolerance at its start", &[LATE], "+.023~+.1 > P. 1:6(5) ack 1", Ok(())),
    ("and no more", &[LATE], "+.03~+.1 > P. 1:6(5) ack 1", Err("was due at")),
    ("a range has it at its end", &[LATE], "+0~+.017 > P. 1:6(5) ack 1", Ok(())),
    ("an absolute range", &[LATE], ".11~.13 > P. 1:6(5) ack 1", Ok(())),
    (
        "relative times count from the arrival",
        &[LATE],
        "+.021 > P. 1:6(5) ack 1\n+.1 write(4, ..., 0) = 0\n.22 write(4, ..., 0) = 0",
        Ok(()),
    ),
];

const VALUES: &[Rule] = &[
    (
        "a value is taken, and used in a packet",
        &[FIVE],
        "+0 > P. $s:$s+5(5) ack $a win $w\n+0 < . $a:$a(0) ack $s+5 win $w",
        Ok(()),
    ),
    (
        "a value has to be the same",
        &[FIVE, NEXT],
        "+0 > P. $s:$s+5(5) ack 1\n+0 > P. $s:$s+5(5) ack 1",
        Err("tcp.seq"),
    ),
    (
        "an offset is added",
        &[FIVE, NEXT],
        "+0 > P. $s:$s+5(5) ack 1\n+0 > P. $s+5:$s+10(5) ack 1",
        Ok(()),
    ),
    (
        "an offset is taken off where it is captured",
        &[FIVE, NEXT],
        "+0 > P. 1:6(5) ack 1 win $w+1\n+0 > P. 6:11(5) ack 1 win $w",
        Err("tcp.window"),
    ),
    (
        "ports are compared where they are values",
        &[FIVE, NEXT],
        "+0 > $p > 1 P. 1:6(5) ack 1\n+0 > $p+1 > 1 P. 6:11(5) ack 1",
        Err("ports.source_port"),
    ),
    ("an ellipsis is any number", &[FIVE], "+0 > P. 1:6(5) ack ... win ...", Ok(())),
    ("a descriptor owns its packets", &[FIVE], "+0 > @4 P. 1:6(5) ack 1", Ok(())),
    ("a listener has none", &[FIVE], "+0 > @3 P. 1:6(5) ack 1", Err("no packet came")),
    (
        "an owner has to be there",
        &[FIVE],
        "+0 > @9 P. 1:6(5) ack 1",
        Err("no socket of the script"),
    ),
];

fn hold(rules: &[Rule]) {
    for (rule, acts, text, fits) in rules {
        let acts: Vec<Act> = [SYN_ACK].iter().chain(*acts).cloned().collect();
        let result = run(&mut Puppet::new(&acts), &format!("{OPEN}{text}"));
        match (fits, &result) {
            (Ok(()), Ok(())) => {}
            (Err(words), Err(report)) if report.contains(words) => {}
            _ => panic!("{rule}: {text}: {result:?}"),
        }
    }
}

#[test]
fn headers_are_compared_by_the_rules() {
    hold(HEADERS);
}

#[test]
fn options_are_compared_by_the_rules() {
    hold(OPTIONS);
}

#[test]
fn order_and_time_follow_the_rules() {
    hold(ORDER_AND_TIME);
}

#[test]
fn values_and_owners_follow_the_rules() {
    hold(VALUES);
}

/// Options of the script change the tolerance.
#[test]
fn the_tolerance_is_an_option() {
    let late = [SYN_ACK, data(190_000, "P.", 1, 5)];
    for (option, fits) in [
        ("--tolerance_usecs=100000", true),
        ("--tolerance_usecs=80000", false),
        ("--tolerance_percent=50", false),
    ] {
        let text = format!("{option}\n{OPEN}+0 > P. 1:6(5) ack 1");
        assert_eq!(run(&mut Puppet::new(&late), &text).is_ok(), fits, "{option}");
    }
    let text = format!("--tolerance_percent=50\n{OPEN}+.06 > P. 1:6(5) ack 1");
    assert!(run(&mut Puppet::new(&late), &text).is_ok());
}
