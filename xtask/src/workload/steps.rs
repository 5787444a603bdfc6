//! The steps of a workload: what their words mean.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// One step. Those that use a socket use the current one: the last that was opened, accepted or
/// taken up with `use`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `tcp`, `tcp6`, `udp`, `udp6`, `ping`, `raw PROTO`, `packet`: socket().
    Socket { family: i32, ty: i32, protocol: i32 },
    /// `name X`: the current socket is called X from now on.
    Name(String),
    /// `use X`: X is the current socket.
    Use(String),
    /// `nonblock`: O_NONBLOCK.
    Nonblock,
    /// `opt NAME VALUE`: setsockopt() of an int.
    Opt { level: i32, name: i32, value: Vec<u8> },
    /// `bind ADDR:PORT`
    Bind(SocketAddr),
    /// `listen N`
    Listen(i32),
    /// `accept`: the new socket is the current one, the listening one is `listener`.
    Accept,
    /// `connect ADDR:PORT`
    Connect(SocketAddr),
    /// `send N [COUNT [GAP_MS]]`: COUNT writes of N bytes.
    Send { len: usize, count: usize, gap: Duration },
    /// `flags FLAG[|FLAG] N`: send() with flags.
    SendFlags { flags: i32, len: usize },
    /// `writev N,N,...`
    Writev(Vec<usize>),
    /// `recv N`: reads of up to 4096 bytes until N came, or the end.
    Recv(usize),
    /// `read SIZE [COUNT [GAP_MS]]`: COUNT reads of up to SIZE bytes.
    Read { size: usize, count: usize, gap: Duration },
    /// `peek SIZE` and `oob`: recv() with a flag.
    RecvFlags { flags: i32, size: usize },
    /// `drain [SIZE]`: reads until the end or an error.
    Drain(usize),
    /// `sendto ADDR:PORT N [COUNT [GAP_MS]]`
    SendTo { to: SocketAddr, len: usize, count: usize, gap: Duration },
    /// `recvfrom [COUNT]`
    RecvFrom(usize),
    /// `echo COUNT`: COUNT datagrams go back to where they came from.
    Echo(usize),
    /// `poll in|out MS`
    Poll { events: i16, timeout: Duration },
    /// `shutdown rd|wr|rdwr`
    Shutdown(i32),
    /// `close`
    Close,
    /// `sleep MS`
    Sleep(Duration),
    /// `error`: getsockopt(SO_ERROR)
    Error,
    /// `frame HEX`: an Ethernet frame out of `eth0`, by a packet socket.
    Frame(Vec<u8>),
    /// `repeat COUNT STEP, STEP, ...`: steps with commas between them.
    Repeat(usize, Vec<Step>),
}

const SOCK_STREAM: i32 = 1;
const SOCK_DGRAM: i32 = 2;
const SOCK_RAW: i32 = 3;
const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
const IPPROTO_ICMP: i32 = 1;
const IPPROTO_ICMPV6: i32 = 58;
const MSG_OOB: i32 = 1;
const MSG_PEEK: i32 = 2;

/// Options by name: level and number (`include/uapi`).
const OPTIONS: &[(&str, i32, i32)] = &[
    ("SO_REUSEADDR", 1, 2),
    ("SO_BROADCAST", 1, 6),
    ("SO_SNDBUF", 1, 7),
    ("SO_RCVBUF", 1, 8),
    ("SO_KEEPALIVE", 1, 9),
    ("SO_OOBINLINE", 1, 10),
    ("SO_NO_CHECK", 1, 11),
    ("SO_PRIORITY", 1, 12),
    ("SO_RCVLOWAT", 1, 18),
    ("IP_TOS", 0, 1),
    ("IP_TTL", 0, 2),
    ("IP_MTU_DISCOVER", 0, 10),
    ("IP_RECVERR", 0, 11),
    ("IP_MULTICAST_TTL", 0, 33),
    ("IP_MULTICAST_LOOP", 0, 34),
    ("IPV6_UNICAST_HOPS", 41, 16),
    ("IPV6_MTU_DISCOVER", 41, 23),
    ("IPV6_V6ONLY", 41, 26),
    ("IPV6_TCLASS", 41, 67),
    ("TCP_NODELAY", 6, 1),
    ("TCP_MAXSEG", 6, 2),
    ("TCP_CORK", 6, 3),
    ("TCP_KEEPIDLE", 6, 4),
    ("TCP_KEEPINTVL", 6, 5),
    ("TCP_KEEPCNT", 6, 6),
    ("TCP_SYNCNT", 6, 7),
    ("TCP_LINGER2", 6, 8),
    ("TCP_DEFER_ACCEPT", 6, 9),
    ("TCP_WINDOW_CLAMP", 6, 10),
    ("TCP_QUICKACK", 6, 12),
    ("TCP_USER_TIMEOUT", 6, 18),
    ("TCP_FASTOPEN", 6, 23),
    ("TCP_NOTSENT_LOWAT", 6, 25),
    ("TCP_FASTOPEN_CONNECT", 6, 30),
    ("UDP_CORK", 17, 1),
];

/// Flags of send() by name.
const FLAGS: &[(&str, i32)] =
    &[("MSG_OOB", MSG_OOB), ("MSG_DONTWAIT", 0x40), ("MSG_NOSIGNAL", 0x4000), ("MSG_MORE", 0x8000)];

/// Reads the steps of a workload.
///
/// # Errors
/// The step that is not understood, and why.
pub(crate) fn parse(text: &str) -> Result<Vec<Step>, String> {
    let steps = text.split(';').map(str::trim).filter(|s| !s.is_empty());
    steps.map(|s| step(s).map_err(|why| format!("step {s:?}: {why}"))).collect()
}

fn step(text: &str) -> Result<Step, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (&verb, rest) = words.split_first().ok_or("it is empty")?;
    if let Some(step) = socket(verb, rest)? {
        return Ok(step);
    }
    if let Some(step) = data(verb, rest)? {
        return Ok(step);
    }
    Ok(match (verb, rest) {
        ("name", [name]) => Step::Name((*name).to_owned()),
        ("use", [name]) => Step::Use((*name).to_owned()),
        ("nonblock", []) => Step::Nonblock,
        ("opt", [name, value]) => {
            let value: i32 = number(value)?;
            opt(name, value.to_ne_bytes().to_vec())?
        }
        ("linger", [seconds]) => {
            let seconds: i32 = number(seconds)?;
            // struct linger: on, seconds.
            let value = [1_i32.to_ne_bytes(), seconds.to_ne_bytes()].concat();
            Step::Opt { level: 1, name: 13, value }
        }
        ("congestion", [name]) => Step::Opt { level: 6, name: 13, value: name.as_bytes().to_vec() },
        ("rcvtimeo", [ms]) => timeo(20, ms)?,
        ("sndtimeo", [ms]) => timeo(21, ms)?,
        ("join" | "leave", [group]) => membership(verb == "join", group)?,
        // IP_MULTICAST_IF, as a membership of no group.
        ("multicast", []) => Step::Opt { level: 0, name: 32, value: vec![0; 8] },
        ("bind", [addr]) => Step::Bind(address(addr)?),
        ("listen", [backlog]) => Step::Listen(number(backlog)?),
        ("accept", []) => Step::Accept,
        ("connect", [addr]) => Step::Connect(address(addr)?),
        ("poll", ["in", ms]) => Step::Poll { events: 1, timeout: millis(ms)? },
        ("poll", ["out", ms]) => Step::Poll { events: 4, timeout: millis(ms)? },
        ("shutdown", ["rd"]) => Step::Shutdown(0),
        ("shutdown", ["wr"]) => Step::Shutdown(1),
        ("shutdown", ["rdwr"]) => Step::Shutdown(2),
        ("close", []) => Step::Close,
        ("sleep", [ms]) => Step::Sleep(millis(ms)?),
        ("error", []) => Step::Error,
        ("frame", digits) => Step::Frame(hex(&digits.concat())?),
        ("repeat", [count, ..]) => {
            let body = text.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
            let steps = body.split(',').map(|s| step(s.trim())).collect::<Result<_, _>>()?;
            Step::Repeat(number(count)?, steps)
        }
        _ => return Err("there is no such step".to_owned()),
    })
}

fn socket(verb: &str, rest: &[&str]) -> Result<Option<Step>, String> {
    let (family, ty, protocol) = match (verb, rest) {
        ("tcp", []) => (AF_INET, SOCK_STREAM, 0),
        ("tcp6", []) => (AF_INET6, SOCK_STREAM, 0),
        ("udp", []) => (AF_INET, SOCK_DGRAM, 0),
        ("udp6", []) => (AF_INET6, SOCK_DGRAM, 0),
        ("ping", []) => (AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
        ("ping6", []) => (AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6),
        ("raw", [protocol]) => (AF_INET, SOCK_RAW, number(protocol)?),
        _ => return Ok(None),
    };
    Ok(Some(Step::Socket { family, ty, protocol }))
}

fn data(verb: &str, rest: &[&str]) -> Result<Option<Step>, String> {
    Ok(Some(match (verb, rest) {
        ("send", [len, more @ ..]) => {
            let (count, gap) = times(more)?;
            Step::Send { len: number(len)?, count, gap }
        }
        ("flags", [flags, len]) => {
            let one = |name: &str| FLAGS.iter().find(|f| f.0 == name).map(|f| f.1);
            let all: Option<Vec<i32>> = flags.split('|').map(one).collect();
            let all = all.ok_or_else(|| format!("{flags:?} has a flag that is not known"))?;
            Step::SendFlags { flags: all.iter().fold(0, |a, b| a | b), len: number(len)? }
        }
        ("writev", [lens]) => Step::Writev(lens.split(',').map(number).collect::<Result<_, _>>()?),
        ("recv", [len]) => Step::Recv(number(len)?),
        ("read", [size, more @ ..]) => {
            let (count, gap) = times(more)?;
            Step::Read { size: number(size)?, count, gap }
        }
        ("peek", [size]) => Step::RecvFlags { flags: MSG_PEEK, size: number(size)? },
        ("oob", []) => Step::RecvFlags { flags: MSG_OOB, size: 1 },
        ("drain", []) => Step::Drain(4096),
        ("drain", [size]) => Step::Drain(number(size)?),
        ("sendto", [to, len, more @ ..]) => {
            let (count, gap) = times(more)?;
            Step::SendTo { to: address(to)?, len: number(len)?, count, gap }
        }
        ("recvfrom", []) => Step::RecvFrom(1),
        ("recvfrom", [count]) => Step::RecvFrom(number(count)?),
        ("echo", [count]) => Step::Echo(number(count)?),
        _ => return Ok(None),
    }))
}

/// `[COUNT [GAP_MS]]`
fn times(words: &[&str]) -> Result<(usize, Duration), String> {
    match words {
        [] => Ok((1, Duration::ZERO)),
        [count] => Ok((number(count)?, Duration::ZERO)),
        [count, gap] => Ok((number(count)?, millis(gap)?)),
        _ => Err("there are too many words".to_owned()),
    }
}

fn number<N: std::str::FromStr>(word: &str) -> Result<N, String> {
    word.parse().map_err(|_| format!("{word:?} is not a number that fits"))
}

fn millis(word: &str) -> Result<Duration, String> {
    let ms: f64 = number(word)?;
    Duration::try_from_secs_f64(ms / 1000.0).map_err(|_| format!("{word:?} is no time"))
}

fn address(word: &str) -> Result<SocketAddr, String> {
    word.parse().map_err(|_| format!("{word:?} is not ADDRESS:PORT"))
}

fn hex(digits: &str) -> Result<Vec<u8>, String> {
    let byte = |pair: &[u8]| -> Option<u8> {
        u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|p| p.len() == 2)?, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    bytes.ok_or_else(|| "a frame is pairs of hexadecimal digits".to_owned())
}

fn opt(name: &str, value: Vec<u8>) -> Result<Step, String> {
    let (_, level, number) =
        OPTIONS.iter().find(|o| o.0 == name).ok_or_else(|| format!("{name:?} is not known"))?;
    Ok(Step::Opt { level: *level, name: *number, value })
}

/// SO_RCVTIMEO or SO_SNDTIMEO: `struct timeval`.
fn timeo(name: i32, ms: &str) -> Result<Step, String> {
    let time = millis(ms)?;
    let seconds = time.as_secs().to_ne_bytes();
    let micros = u64::from(time.subsec_micros()).to_ne_bytes();
    Ok(Step::Opt { level: 1, name, value: [seconds, micros].concat() })
}

/// IP_ADD_MEMBERSHIP or IPV6_JOIN_GROUP and their opposites, on `eth0`, whose number is asked for
/// when it runs.
fn membership(join: bool, group: &str) -> Result<Step, String> {
    let group: IpAddr = group.parse().map_err(|_| format!("{group:?} is no address"))?;
    Ok(match group {
        // struct ip_mreqn: group, interface's address (any), interface's number.
        IpAddr::V4(g) => Step::Opt {
            level: 0,
            name: if join { 35 } else { 36 },
            value: [g.octets(), [0; 4]].concat(),
        },
        // struct ipv6_mreq: group, interface's number.
        IpAddr::V6(g) => {
            Step::Opt { level: 41, name: if join { 20 } else { 21 }, value: g.octets().to_vec() }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        let got =
            parse("tcp; opt TCP_NODELAY 1; connect 10.9.0.2:7000; send 100 3 2.5; drain").unwrap();
        let to = "10.9.0.2:7000".parse().unwrap();
        assert_eq!(
            got,
            [
                Step::Socket { family: 2, ty: 1, protocol: 0 },
                Step::Opt { level: 6, name: 1, value: 1_i32.to_ne_bytes().to_vec() },
                Step::Connect(to),
                Step::Send { len: 100, count: 3, gap: Duration::from_micros(2500) },
                Step::Drain(4096),
            ]
        );
        let repeated = parse("repeat 2 send 10, recv 20").unwrap();
        let send = Step::Send { len: 10, count: 1, gap: Duration::ZERO };
        assert_eq!(repeated, [Step::Repeat(2, vec![send, Step::Recv(20)])]);
    }

    #[test]
    fn what_is_no_step_is_named() {
        for bad in [
            "dance",
            "send",
            "send x",
            "send -1",
            "connect 10.9.0.2",
            "opt SO_NONE 1",
            "frame 1",
            "sleep -5",
            "flags MSG_NONE 1",
            "send 1 2 3 4",
            "repeat 2 dance",
            "frame \u{e9}\u{e9}",
        ] {
            let why = parse(bad).unwrap_err();
            assert!(why.contains(bad), "{why}");
        }
    }
}
