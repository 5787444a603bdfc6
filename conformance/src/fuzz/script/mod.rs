//! The script language: any text, and scripts thrown together from its pieces.
//!
//! What is refused has its place inside the text. What is read prints to a script that reads as an equal tree, and has
//! a layout that is its own layout.

mod pieces;

use miette::Diagnostic;

use crate::script::{Defines, ScriptError, Source, format, parse, print};
use pieces::PIECES;

/// Any bytes as the text of a script.
pub fn parse_text(bytes: &[u8]) {
    check(&String::from_utf8_lossy(bytes));
}

/// A script of the language's pieces, one a byte.
pub fn print_pieces(bytes: &[u8]) {
    check(&script_of(bytes));
}

/// The script of an input of [`print_pieces`].
pub fn describe_pieces(bytes: &[u8]) -> String {
    script_of(bytes)
}

fn check(text: &str) {
    let source = Source::new("fuzz.pkt", text);
    let defines = Defines::new();
    let tree = match parse(&source, &defines) {
        Ok(tree) => tree,
        Err(error) => return check_place(&error, text),
    };
    let printed = print(&tree);
    match parse(&Source::new("printed.pkt", &printed), &defines) {
        Ok(again) => assert!(tree == again, "it means something else when printed:\n{printed}"),
        Err(error) => panic!("{} in the printed script:\n{printed}", error.one_line()),
    }
    let Ok(layout) = format(&source, &defines) else { panic!("a script without a layout") };
    let again = format(&Source::new("layout.pkt", &layout), &defines);
    assert!(again.is_ok_and(|again| again == layout), "the layout has another layout:\n{layout}");
}

/// An error says what is wrong, at a place in the text that can be shown.
fn check_place(error: &ScriptError, text: &str) {
    assert!(!error.message().is_empty());
    for label in error.labels().into_iter().flatten() {
        let (start, end) = (label.offset(), label.offset() + label.len());
        assert!(text.is_char_boundary(start) && text.is_char_boundary(end), "{start}..{end}");
    }
}

/// Bytes beyond the pieces stand for small numbers, so that lengths and sequence numbers can fit each other.
fn script_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match PIECES.get(usize::from(*byte)) {
            Some(piece) => text.push_str(piece),
            None => text.push_str(&(usize::from(*byte) - PIECES.len()).to_string()),
        }
    }
    text
}

/// The input of [`print_pieces`] for a script that is made of pieces; what fits longest is taken.
fn input_of(mut script: &str) -> Vec<u8> {
    let mut input = Vec::new();
    while !script.is_empty() {
        let fits = |(_, piece): &(usize, &&str)| script.starts_with(**piece);
        let longest = PIECES.iter().enumerate().filter(fits).max_by_key(|(_, piece)| piece.len());
        let Some((at, piece)) = longest else { break };
        input.extend(u8::try_from(at));
        script = script.get(piece.len()..).unwrap_or("");
    }
    input
}

/// A script with every construct.
const EVERYTHING: &str = include_str!("../../script/everything.pkt");

/// Whole scripts, small ones.
pub fn text_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let server = "--mss=1000\n`sysctl -q net.ipv4.tcp_sack=1`\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\
        +0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n+0 < S 0:0(0) win 1000 <mss 1000,sackOK,nop,nop>\n\
        +0 > S. 0:0(0) ack 1 <...>\n+.1 < . 1:1(0) ack 1 win 1000\n+0 accept(3, ..., ...) = 4\n\
        +0 %{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%\n`rm x`\n";
    vec![("everything", EVERYTHING.into()), ("server", server.into())]
}

/// Scripts of packets, of calls, of our own syntax.
pub fn piece_seeds() -> Vec<(&'static str, Vec<u8>)> {
    const SCRIPTS: [(&str, &str); 3] = [
        (
            "packets",
            "\n0 < S 0:0(0) win 100 <mss 1460,sackOK,nop,nop> \n1~2.5 > S. 0:0(0) ack 1 <...> \
             \n+.01 < [ect0] P5. 1:11(10) ack 1 win 100 urg 5 \n+0 > 80 > 90 .5 1:11(10) ack 1 \
             \n+0 < icmp unreachable host_unreachable [1:1001(1000)] \n* > udp (0)\
             \n+0 < ipv4 1.2.3.4 > 5.6.7.8: gre: encap psp spi 0x10 - 0:0(0) win 100 ",
        ),
        (
            "calls",
            "--mss=5\n--define=ZZ=7\n\n`sleep 1`\n0 read(3, ..., 10) = 5\
             \n+0...0.1 f({fd=3, events=POLLIN, revents=0}, [a|B|0x10, ZZ, CMSG_LEN(4)]) = 0// note\n\
             \n+0 %{ assert x == 1, 'a%d' % x }%\n+0 `sleep 1`\n`sleep 1`",
        ),
        (
            "ours",
            "\n0 > @peer $p > 90 S 0:0(0) <nop,nop,TS val $t ecr ...> \n+0 > . $a:$a+6(6) ack 1 \
             \n+0 < arp request target=1.2.3.4 \n+0 > eth: [ff:ff:ff:ff:ff:ff 020000 ?? 4? 12 0806 ...] \
             \n+0 link down eth0\n+0 fault rx_crc(3, 0x10)",
        ),
    ];
    SCRIPTS.map(|(name, script)| (name, input_of(script))).into()
}

#[cfg(test)]
mod tests;
