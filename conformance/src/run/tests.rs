//! The runner against a target that does what a test tells it to.

mod rules;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;

use reference_stack::syscalls::{Ret, SockAddr, SysResult};
use reference_stack::{Call, Errno, Nanos};

use super::build::{self, IpParts, TcpParts};
use super::commands::Shell;
use super::config::Config;
use super::schedule::{Run, Stop};
use super::wire;
use crate::report;
use crate::results::{CaseResult, Nic};
use crate::script::ast::TcpFlags;
use crate::script::{self, Defines, Source};
use crate::target::{Admin, Finished, Refusal, Sent, Target, Thread};

const ISN: u32 = 0xffff_fff0;
const LOCAL: [u8; 4] = [192, 168, 0, 1];
const REMOTE: [u8; 4] = [192, 0, 2, 1];

/// What the target does on its own.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends a segment so many microseconds after the connection's first packet came.
    Send { us: u64, flags: &'static str, seq: u32, ack: u32, len: usize, options: &'static [u8] },
    /// Lets the waiting call return.
    Return { us: u64, value: i64 },
}

/// A target with a script of its own.
pub(crate) struct Puppet {
    now: Nanos,
    start: Nanos,
    acts: VecDeque<Act>,
    results: BTreeMap<&'static str, VecDeque<Option<Result<i64, Errno>>>>,
    peer_port: u16,
    out: Vec<Sent>,
    done: Vec<Finished>,
    injected: Vec<wire::Packet>,
    sysctls: BTreeMap<String, String>,
    nic: Nic,
}

impl Puppet {
    pub(crate) fn new(acts: &[Act]) -> Self {
        Puppet {
            now: 5_000_000_000,
            start: 5_000_000_000,
            acts: acts.iter().cloned().collect(),
            results: BTreeMap::new(),
            peer_port: 0,
            out: Vec::new(),
            done: Vec::new(),
            injected: Vec::new(),
            sysctls: BTreeMap::from([("net.ipv4.tcp_sack".into(), "1".into())]),
            nic: Nic::Tun,
        }
    }

    fn due(&self) -> Option<Nanos> {
        match self.acts.front()? {
            Act::Send { us, .. } | Act::Return { us, .. } => Some(self.start + us * 1000),
        }
    }
}

fn flags(text: &str) -> TcpFlags {
    TcpFlags {
        syn: text.contains('S'),
        fin: text.contains('F'),
        psh: text.contains('P'),
        ack: text.contains('.'),
        ..TcpFlags::default()
    }
}

impl Target for Puppet {
    fn name(&self) -> &'static str {
        "puppet"
    }

    fn nic(&self) -> Nic {
        self.nic
    }

    fn now(&self) -> Nanos {
        self.now
    }

    fn advance(&mut self, until: Nanos) {
        let Some(due) = self.due().filter(|d| *d <= until) else {
            self.now = self.now.max(until);
            return;
        };
        self.now = self.now.max(due);
        match self.acts.pop_front() {
            Some(Act::Send { flags: f, seq, ack, len, options, .. }) => {
                let ip = IpParts {
                    source: IpAddr::from(LOCAL),
                    destination: IpAddr::from(REMOTE),
                    tos: 0,
                    ttl: 64,
                    flow_label: 0,
                };
                let parts = TcpParts {
                    source: 8080,
                    destination: self.peer_port,
                    seq: ISN.wrapping_add(seq),
                    ack,
                    flags: flags(f),
                    window: 1000,
                    urgent: 0,
                    options,
                    len,
                };
                self.out.push(Sent { at: self.now, packet: build::tcp(&ip, &parts) });
            }
            Some(Act::Return { value, .. }) => {
                self.done.push(Finished {
                    thread: Thread::Blocking,
                    at: self.now,
                    result: Ok(Ret::Int(value)),
                });
            }
            None => {}
        }
    }

    fn is_idle(&self) -> bool {
        self.acts.is_empty()
    }

    fn inject(&mut self, packet: &[u8], _: u16) -> Result<(), Refusal> {
        let decoded = wire::decode(&Sent { at: self.now, packet: packet.to_vec() });
        assert_eq!(decoded.fault, None);
        if let wire::Body::Tcp(t) = &decoded.body {
            self.peer_port = t.source;
        }
        self.injected.push(decoded);
        Ok(())
    }

    fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.out)
    }

    fn call(&mut self, _: Thread, call: Call) -> Result<Option<SysResult>, Refusal> {
        let name = match &call {
            Call::Socket { .. } => return Ok(Some(Ok(Ret::Int(7)))),
            Call::Accept4 { .. } => {
                let peer = SockAddr::In { addr: REMOTE.into(), port: self.peer_port };
                return Ok(Some(Ok(Ret::Accepted { fd: 9, peer })));
            }
            Call::Getsockopt { .. } => {
                let mut info = vec![0; 240];
                info[80] = 10;
                return Ok(Some(Ok(Ret::Opt(info))));
            }
            Call::Read { .. } => "read",
            Call::Write { .. } => "write",
            _ => return Ok(Some(Ok(Ret::Int(0)))),
        };
        let next = self.results.get_mut(name).and_then(VecDeque::pop_front);
        Ok(next.unwrap_or(Some(Ok(0))).map(|r| r.map(Ret::Int)))
    }

    fn finished(&mut self) -> Vec<Finished> {
        std::mem::take(&mut self.done)
    }

    fn give_up(&mut self, _: Thread) {}

    fn sysctl(&mut self, name: &str) -> Result<String, Refusal> {
        self.sysctls
            .get(name.trim_start_matches("/proc/sys/").replace('/', ".").as_str())
            .cloned()
            .ok_or_else(|| Refusal::Invalid(format!("unknown sysctl {name}")))
    }

    fn set_sysctl(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        self.sysctl(name)?;
        let name = name.trim_start_matches("/proc/sys/").replace('/', ".");
        self.sysctls.insert(name, value.into());
        Ok(())
    }

    fn administrate(&mut self, _: &Admin) -> Result<(), Refusal> {
        Ok(())
    }

    fn proc_net(&mut self, name: &str) -> Result<String, Refusal> {
        match name {
            "snmp" => Ok("Tcp: RtoMin MaxConn InSegs\nTcp: 200 -1 7\n".into()),
            _ => Ok("TcpExt: OutOfWindowIcmps SyncookiesSent\nTcpExt: 2 0\n".into()),
        }
    }

    fn event_log(&self) -> Option<String> {
        None
    }
}

/// Runs a script on a puppet: `Ok`, or what stopped it.
fn run(puppet: &mut Puppet, text: &str) -> Result<(), String> {
    let source = Source::new("t.pkt", text);
    let tree = script::parse(&source, &Defines::new()).map_err(|e| e.one_line())?;
    let config = Config::new(&source, &tree.options, None, &[]).map_err(|e| e.one_line())?;
    let mut run = Run::new(&source, &config, puppet, Shell::new(Path::new("."))).recorded();
    run.script(&tree).map_err(|stop| match stop {
        Stop::Fail(failure) => {
            let message = failure.message.clone();
            let evidence = Some(Box::new(failure.evidence(&source)));
            let case = CaseResult { evidence, ..CaseResult::new("t.pkt", "puppet") };
            format!("{message}\n{}", report::evidence::text(&case).unwrap_or_default())
        }
        Stop::Unsupported(what) => format!("unsupported: {what}"),
        Stop::Broken(error) => error.one_line(),
    })
}

const OPEN: &str = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 1000 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
+.1 < . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 4
";

const SYN_ACK: Act =
    Act::Send { us: 0, flags: "S.", seq: 0, ack: 1, len: 0, options: &[2, 4, 5, 180] };

fn data(us: u64, flags: &'static str, seq: u32, len: usize) -> Act {
    Act::Send { us, flags, seq, ack: 1, len, options: &[] }
}

#[test]
fn numbers_are_mapped_both_ways() {
    let mut puppet = Puppet::new(&[SYN_ACK, data(100_000, "P.", 1, 5)]);
    assert_eq!(
        run(&mut puppet, &format!("{OPEN}+0 > P. 1:6(5) ack 1\n+0 < . 1:1(0) ack 6 win 9")),
        Ok(())
    );
    let wire::Body::Tcp(last) = &puppet.injected[2].body else { panic!() };
    assert_eq!((last.seq, last.ack), (1, ISN.wrapping_add(6)));
    // At the end the connection is reset with numbers that fit.
    let wire::Body::Tcp(reset) = &puppet.injected.last().expect("a reset").body else { panic!() };
    assert_eq!(
        (reset.flags, reset.seq, reset.ack),
        (wire::RST | wire::ACK, 1, ISN.wrapping_add(6))
    );
}

#[test]
fn the_field_that_differs_is_named() {
    let mut puppet = Puppet::new(&[SYN_ACK, data(100_000, ".", 1, 5)]);
    let report = run(&mut puppet, &format!("{OPEN}+0 > P. 1:6(5) ack 2")).expect_err("differs");
    assert!(report.starts_with("the packet differs: tcp.flags.psh is 0, expected 1"), "{report}");
    assert!(report.contains("tcp.ack        expected 2, got 1"), "{report}");
    assert!(report.contains("t.pkt:8:4"), "{report}");
}

#[test]
fn segments_make_up_a_super_packet() {
    let parts = [
        SYN_ACK,
        data(100_000, ".", 1, 1000),
        data(100_010, ".", 1001, 1000),
        data(100_020, "P.", 2001, 500),
    ];
    assert_eq!(run(&mut Puppet::new(&parts), &format!("{OPEN}+0 > P. 1:2501(2500) ack 1")), Ok(()));
    let report = run(&mut Puppet::new(&parts), &format!("{OPEN}+0 > P. 1:2401(2400) ack 1"))
        .expect_err("too long");
    assert!(report.starts_with("the packet has 2500 bytes of payload, expected 2400"), "{report}");
    let gap = [SYN_ACK, data(100_000, ".", 1, 1000), data(100_010, ".", 1101, 1000)];
    let report = run(&mut Puppet::new(&gap), &format!("{OPEN}+0 > P. 1:2001(2000) ack 1"))
        .expect_err("a gap");
    assert!(report.starts_with("the packets do not join: tcp.seq"), "{report}");
    let strict = format!("--strict_segments\n{OPEN}+0 > P. 1:2501(2500) ack 1");
    assert!(run(&mut Puppet::new(&parts), &strict).is_err());
}

#[test]
fn time_has_a_tolerance() {
    // Due 0.2 s after the event before: 12.5 % of that are 25 ms.
    for (late_us, fits) in [(24_000, true), (26_000, false)] {
        let mut puppet = Puppet::new(&[SYN_ACK, data(300_000 + late_us, "P.", 1, 5)]);
        let result = run(&mut puppet, &format!("{OPEN}+.2 > P. 1:6(5) ack 1"));
        assert_eq!(result.is_ok(), fits, "{result:?}");
    }
    // And never less than 4 ms.
    for (late_us, fits) in [(3_900, true), (4_100, false)] {
        let mut puppet = Puppet::new(&[SYN_ACK, data(100_000 + late_us, "P.", 1, 5)]);
        assert_eq!(run(&mut puppet, &format!("{OPEN}+0 > P. 1:6(5) ack 1")).is_ok(), fits);
    }
    let mut puppet = Puppet::new(&[SYN_ACK, data(900_000, "P.", 1, 5)]);
    assert_eq!(run(&mut puppet, &format!("{OPEN}* > P. 1:6(5) ack 1")), Ok(()));
    let mut puppet = Puppet::new(&[SYN_ACK, data(350_000, "P.", 1, 5)]);
    assert_eq!(run(&mut puppet, &format!("{OPEN}+.2~+.3 > P. 1:6(5) ack 1")), Ok(()));
    let report = run(&mut Puppet::new(&[SYN_ACK]), &format!("{OPEN}+.2 > P. 1:6(5) ack 1"))
        .expect_err("none");
    assert!(report.starts_with("no packet came, expected at 0.300000 s"), "{report}");
}

#[test]
fn blocking_calls_return_in_time() {
    for (us, fits) in [(200_000, true), (250_000, false)] {
        let mut puppet = Puppet::new(&[SYN_ACK, Act::Return { us, value: 5 }]);
        puppet.results.insert("read", VecDeque::from([None]));
        let result = run(
            &mut puppet,
            &format!("{OPEN}+0...0.1 read(4, ..., 10) = 5\n+.2 write(4, ..., 0) = 0"),
        );
        assert_eq!(result.is_ok(), fits, "{result:?}");
    }
    let mut puppet = Puppet::new(&[SYN_ACK]);
    puppet.results.insert("read", VecDeque::from([None]));
    let report =
        run(&mut puppet, &format!("{OPEN}+0...0.1 read(4, ..., 10) = 5")).expect_err("waits");
    assert!(report.contains("waits still"), "{report}");
}

#[test]
fn results_and_errnos_are_compared() {
    let mut puppet = Puppet::new(&[SYN_ACK]);
    puppet
        .results
        .insert("write", VecDeque::from([Some(Err(Errno::EPIPE)), Some(Err(Errno::EPIPE))]));
    let text = format!(
        "{OPEN}+0 write(4, ..., 5) = -1 EPIPE (Broken pipe)\n+0 write(4, ..., 5) = -1 EAGAIN (x)"
    );
    let report = run(&mut puppet, &text).expect_err("another errno");
    assert!(report.starts_with("write(): errno is EPIPE"), "{report}");
    let mut puppet = Puppet::new(&[SYN_ACK]);
    puppet.results.insert("write", VecDeque::from([Some(Ok(5))]));
    let report =
        run(&mut puppet, &format!("{OPEN}+0 write(4, ..., 5) = 6")).expect_err("another number");
    assert!(report.starts_with("write(): result is 5, expected 6"), "{report}");
    let report = run(&mut Puppet::new(&[SYN_ACK]), &format!("{OPEN}+0 write(8, ..., 5) = 6"));
    assert!(report.expect_err("no descriptor").contains("descriptor 8"));
}

#[test]
fn timestamps_are_mapped() {
    const TS: &[u8] = &[1, 1, 8, 10, 0, 0, 0x27, 0x10, 0, 0, 0, 100];
    let acts = [
        Act::Send {
            us: 0,
            flags: "S.",
            seq: 0,
            ack: 1,
            len: 0,
            options: &[2, 4, 5, 180, 8, 10, 0, 0, 0x27, 0x10, 0, 0, 0, 100, 1, 1],
        },
        Act::Send { us: 100_000, flags: "P.", seq: 1, ack: 1, len: 5, options: TS },
    ];
    let text = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 1000 <mss 1000,TS val 100 ecr 0,nop,nop>
+0 > S. 0:0(0) ack 1 <mss 1460,TS val 500 ecr 100,nop,nop>
+.1 < . 1:1(0) ack 1 win 1000 <nop,nop,TS val 200 ecr 500>
+0 > P. 1:6(5) ack 1 <nop,nop,TS val 500 ecr 100>
";
    let mut puppet = Puppet::new(&acts);
    assert_eq!(run(&mut puppet, text), Ok(()));
    let wire::Body::Tcp(ack) = &puppet.injected[1].body else { panic!() };
    assert_eq!(ack.options[2].data[4..], 10_000u32.to_be_bytes());
    let unknown = text.replace("TS val 200 ecr 500", "TS val 200 ecr 501");
    assert!(run(&mut Puppet::new(&acts), &unknown).expect_err("unknown").contains("TS ecr 501"));
}

#[test]
fn commands_and_code() {
    let init = "`sysctl -q net.ipv4.tcp_sack=0`\n";
    let text = format!(
        "{init}{OPEN}+0 %{{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }}%\n+0 `sleep 0.5`\n`true`"
    );
    let mut puppet = Puppet::new(&[SYN_ACK]);
    assert_eq!(run(&mut puppet, &text), Ok(()));
    assert_eq!(puppet.sysctls["net.ipv4.tcp_sack"], "0");
    assert_eq!(puppet.now - puppet.start, 600_000_000);
    let wrong = format!("{init}{OPEN}+0 %{{ assert tcpi_snd_cwnd == 11 }}%");
    let report = run(&mut Puppet::new(&[SYN_ACK]), &wrong).expect_err("does not hold");
    assert!(report.contains("tcpi_snd_cwnd = 10") && report.contains("t.pkt:9:7"), "{report}");
    for (init, words) in [
        ("`sysctl -q net.ipv4.tcp_sakc=0`", "unknown sysctl net.ipv4.tcp_sakc"),
        ("`true; frob x`", "unsupported: t.pkt:1:8: the command `frob`"),
        ("`./nothing.sh`", "nothing.sh"),
        ("`false`", "fails with status 1"),
    ] {
        let report = run(&mut Puppet::new(&[SYN_ACK]), &format!("{init}\n{OPEN}")).expect_err(init);
        assert!(report.contains(words), "{init}: {report}");
    }
    assert_eq!(run(&mut Puppet::new(&[SYN_ACK]), &format!("`sysctl x=1 || true`\n{OPEN}")), Ok(()));
}

#[test]
fn the_first_event_is_at_zero_and_time_goes_on() {
    assert!(
        run(&mut Puppet::new(&[]), "0.1 socket(..., SOCK_STREAM, 0) = 3")
            .expect_err("late")
            .contains("at time 0")
    );
    let back = "0 socket(..., SOCK_STREAM, 0) = 3\n1 listen(3, 1) = 0\n0.5 close(3) = 0";
    assert!(run(&mut Puppet::new(&[]), back).expect_err("back").contains("backwards"));
}
