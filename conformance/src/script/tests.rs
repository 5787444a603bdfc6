use std::path::Path;

use super::ast::*;
use super::*;

fn parsed(text: &str) -> Script {
    match parse(&Source::new("t.pkt", text), &Defines::new()) {
        Ok(script) => script,
        Err(error) => panic!("{}", error.one_line()),
    }
}

fn refused(text: &str) -> (String, String) {
    match parse(&Source::new("t.pkt", text), &Defines::new()) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => (error.place().to_string(), error.message().to_string()),
    }
}

fn round_trip(name: &str, text: &str) {
    // What upstream's runner gives for IPv4.
    let defines: Defines = [
        ("TFO_COOKIE", "3021b9d889017eeb"),
        ("TFO_COOKIE_ZERO", "b7c12350a90dc8f5"),
        ("CODE", "host_unreachable"),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .into();
    let tree = match parse(&Source::new(name, text), &defines) {
        Ok(tree) => tree,
        Err(error) => panic!("{}", error.one_line()),
    };
    let printed = print(&tree);
    match parse(&Source::new(name, &printed), &Defines::new()) {
        Ok(again) => assert_eq!(tree, again, "{name} printed:\n{printed}"),
        Err(error) => panic!("{} in the printed\n{printed}", error.one_line()),
    }
}

fn packet_files(dir: &Path, out: &mut Vec<std::path::PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            packet_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "pkt") {
            out.push(path);
        }
    }
}

fn parse_all(dir: &Path) -> usize {
    let mut files = Vec::new();
    packet_files(dir, &mut files);
    for file in &files {
        let text = String::from_utf8_lossy(&std::fs::read(file).expect("a script is readable"))
            .into_owned();
        round_trip(&file.display().to_string(), &text);
    }
    files.len()
}

/// With NETPLUMB_UPSTREAM naming a checkout of google/packetdrill, or a folder of scripts in one, all of them parse.
#[test]
fn upstream_scripts_parse() {
    let Some(root) = std::env::var_os("NETPLUMB_UPSTREAM") else {
        println!("skipped: NETPLUMB_UPSTREAM does not name a folder of scripts");
        return;
    };
    let root = Path::new(&root);
    let tcp = root.join("gtests/net/tcp");
    let count = parse_all(if tcp.is_dir() { &tcp } else { root });
    println!("{count} scripts parsed");
    assert!(count > 0, "no scripts below {}", root.display());
}

#[test]
fn own_scripts_parse() {
    parse_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("suites"));
}

/// A script with every construct.
const EVERYTHING: &str = include_str!("everything.pkt");

#[test]
fn everything_survives_printing() {
    round_trip("everything", EVERYTHING);
    let script = parsed(EVERYTHING);
    assert_eq!(script.events.len(), 35);
    assert!(script.init.is_some() && script.cleanup.is_some());
    assert_eq!(script.events[3].time, Time::Relative(0));
    let Action::Call(call) = &script.events[1].action else { panic!() };
    assert_eq!(call.args[3].kind, ExprKind::Str(vec!["reno".into()]));
    let Action::Packet(packet) = &script.events[5].action else { panic!() };
    let Body::Tcp(tcp) = &packet.body else { panic!() };
    assert_eq!((tcp.flags.ace_value(), tcp.flags.ace, tcp.flags.ack), (5, true, true));
    assert_eq!((packet.ip.tos, packet.ip.flow_label), (Tos::Byte(0x10), Some(0xabcde)));
}

#[test]
fn defines_stand_for_words() {
    let defines: Defines = [
        ("COOKIE", "3021b9d889017eeb"),
        ("CODE", "host_unreachable"),
        ("CLEAN", "`rm x`"),
        ("N", "0x10"),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()))
    .into();
    let text = "0 > S 0:0(0) <FO COOKIE,nop,nop>\n+0 < icmp unreachable CODE\n+0 f(N) = 0\nCLEAN";
    let script = parse(&Source::new("t", text), &defines).expect("parses");
    let Action::Packet(packet) = &script.events[0].action else { panic!() };
    assert_eq!(packet.to_string(), "> S 0:0(0) <FO 3021b9d889017eeb,nop,nop>");
    assert_eq!(script.events[1].to_string(), "+0 < icmp unreachable host_unreachable");
    assert_eq!(script.events[2].to_string(), "+0 f(0x10) = 0");
    assert_eq!(script.cleanup.map(|c| c.text), Some("rm x".to_string()));
}

/// Text, place, and words that the message has to contain.
const BROKEN: &[(&str, &str, &str)] = &[
    ("", "1:1", "time"),
    ("0 > . 1:1(0) ack 1 <mss 1>\n\n+0 > X. 1:1(0)", "3:6", "not a TCP flag"),
    ("0 > . 1:2(0)", "1:7", "1 bytes, not 0"),
    ("0 < . 1:1(0) ack 1", "1:7", "window"),
    ("0 < . 1:1(0) win 65536", "1:18", "0 and 65535"),
    ("0 > S 0:0(0) <mss 1460,sackOK>", "1:14", "multiple of four"),
    ("0 > S 0:0(0) <foo>", "1:15", "not a TCP option"),
    ("0 > S 0:0(0) <mss 1460", "1:23", "end of the script"),
    ("* read(3, ..., 1) = 0", "1:1", "expected packets only"),
    ("+.2~+.1 > . 1:1(0)", "1:1", "backwards"),
    ("0 > ipv4 1.2.3.4 > fd::1: . 1:1(0)", "1:20", "an IPv4 address"),
    ("0 > sctp: INIT", "1:5", "SCTP is unsupported"),
    ("0 > mpls (label 0, tc 8, ttl 0): . 1:1(0)", "1:23", "0 and 7"),
    ("0 read(3, ..., 1)", "1:18", "result"),
    ("0 poll([{fd=3, evnts=POLLIN}], 1, 0) = 0", "1:16", "`evnts` is no member of pollfd"),
    ("0 < . 1:1(0) ack $a win 5", "1:18", "no earlier packet captures"),
    ("0 read(3, \"abc, 1) = 0", "1:11", "no end"),
    ("0 `sleep 1", "1:3", "no end"),
    ("/* x", "1:1", "no end"),
    ("0 %{ assert", "1:3", "no end"),
    ("0 %{ import os }%", "1:6", "`import` is not supported"),
    ("0 %{\nassert a ==\n}%", "2:12", "expected an expression"),
    ("0 f() = 0\n`a`\n+0 f() = 0", "2:1", "last thing"),
    ("0 f() = 0\n--mss=5", "2:1", "after the first event"),
    ("0 f() = 99999999999999999999", "1:9", "64 bits"),
    ("-1 f() = 0", "1:1", "between 0"),
    ("0 < [ect01] . 1:1(0) win 5", "1:5", "expected packets only"),
    ("0 > S 0:0(0) <FO 123>", "1:18", "hexadecimal"),
    ("0 f(\u{fc}) = 0", "1:5", "do not use"),
];

#[test]
fn errors_have_their_place() {
    for (text, place, words) in BROKEN {
        let (at, message) = refused(text);
        assert_eq!(at, format!("t.pkt:{place}"), "{text:?}: {message}");
        assert!(message.contains(words), "{text:?}: {message:?} lacks {words:?}");
    }
}

/// Every prefix of a script, and every script with one byte changed, is parsed or refused, never a panic.
#[test]
fn mutilated_scripts_do_not_panic() {
    for end in (0..EVERYTHING.len()).step_by(3) {
        let _ = parse(&Source::new("t", &EVERYTHING[..end]), &Defines::new());
        for replacement in ["(", "\"", "9", "{", "\u{e9}", "."] {
            let text = format!(
                "{}{replacement}{}",
                &EVERYTHING[..end],
                EVERYTHING.get(end + 1..).unwrap_or("")
            );
            let _ = parse(&Source::new("t", &text), &Defines::new());
        }
    }
    for deep in ["[", "{", "f(", "a=", "(", "-", "not ", "x if ", "1+"] {
        let nest = deep.repeat(100_000);
        let _ = parse(&Source::new("t", &format!("0 f({nest}")), &Defines::new());
        let _ = parse(&Source::new("t", &format!("0 %{{ assert {nest} }}%")), &Defines::new());
    }
}
