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

const EVERYTHING: &str = r#"
--ip_version=ipv4 // comment
--local_ip=192.168.0.1
--define=CC="reno"
--strict_segments
`./defaults.sh
 sysctl -q net.ipv4.tcp_ecn=1`
# a comment, too
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_TCP, TCP_CONGESTION, CC, 4) = 0
+.1 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)
+0...0.200 connect(3, {sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("1.2.3.4")}, ...) = -1 ETIMEDOUT (Timed out)
+0 > [ect0] SEWA 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>
+.01~+.02 > (tos 0x10, flowlabel 0xabcde) .5 1:1(0) ack 1 <...>
* > P5. 1:11(10) ack 1 win 5 urg 3 <nop,nop,sack 1:2 3:4>
+0 > 8080 > $p S 0:0(0)
+0 < [ttl 3] 80 > 8080 - 5:5(0) win 0 <ECN e0b 1 ceb 2 e1b 3,nop,FO,eol,eol>
+0 < S 0:3(3) win 65535 <FO 1122334455667788,nop,nop,md5 00112233445566778899aabbccddeeff,nop,nop,FOEXP,eol,nop,nop,nop>
+0 < icmp unreachable frag_needed mtu 1200 [1:1001(1000)]
+0 > [noecn] icmp echo_reply id 7 [udp (12)]
+0 < udp 5 > 6 (100)
/* a
   block */
+0 recvmsg(3, {msg_name(...)=..., msg_iov(2)=[{..., 10}, {..., 20}], msg_flags=MSG_A|MSG_B,
   msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data={scm_sec=0, scm_nsec=5}}]}, 0) = 30
+0 epoll_wait(5, {events=EPOLLIN, ptr=4}, 1, 0) = 1
+0 read(3, "ab\n"..., 3) = 3
+0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {.events=EPOLLIN|EPOLLET, .data.fd=3}) = 0
+0 getsockopt(3, SOL_TCP, TCP_INFO, {tcpi_state=TCP_ESTABLISHED, tcpi_rtt=...}, [sizeof(struct tcp_info)]) = 0
+0 setsockopt(3, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=1, tv_usec=(long)0}, CMSG_LEN(4)) = -1 EINVAL (Invalid argument)
+0 f({flags [checksum present, sequence# present], sum 0x12, off 3, key=7, seq 9}, {(label 5, tc 1, [S], ttl 3)}, {}) = 0
+0 > ipv4 [ttl 9] 1.2.3.4 > 5.6.7.8: ipv6 fd::1 > fd::2: gre flags 0x8001 sum 0 off 0 key 0 seq 0: gre: . 1:1(0) ack 1
+0 < mpls (label 1, tc 2, ttl 3) (label 4, tc 5, [S], ttl 6): encap psp spi 0x10 . 1:1(0) ack 1 win 9
+0 < udplite 5 > 6 (100, 8)
+0 > @4 S 0:0(0) ack $a win $w <mss 1000,sack auto,TS val $t ecr ...,md5 valid>
+0 < @peer $p-1 > 80 P. $a+1:$a+6(5) ack $a-3 win $w <opt 253 [de ad],raw [1e 04 0000]>
+0 > eth: [ff:ff:ff:ff:ff:ff 020000 ?? 4? 12 0806 ...]
+0 < raw: [45000014 00000000 ff01 0000 c0000201 c0a80001]
+0 < arp reply sender_mac=02:00:00:00:00:01 sender=192.0.2.1
+0 > igmp v3_report group=224.0.0.251 record=4
+0 < ndp neighbor_solicit target=fe80::1 lladdr=02:00:00:00:00:02 hop_limit=255
+0 link down eth0
+.1 link up
+0 fault rx_crc(3, 0x10)
+0 `sleep 1`
+0 %{ assert tcpi_rtt == 5, 'rtt=%d' % tcpi_rtt }%
`cleanup`
"#;

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
    for end in (0..EVERYTHING.len()).filter(|end| EVERYTHING.is_char_boundary(*end)) {
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
