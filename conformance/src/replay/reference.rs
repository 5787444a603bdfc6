//! The reference stack as the captured host.

use std::net::IpAddr;

use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report};
use reference_stack::syscalls::SysResult;
use reference_stack::{
    BootConfig, Call, FrameIn, Kernel, NicConfig, NicKind, Port, Profile, RandomDelay, Route6Spec,
    RouteSpec, RouteVerb, TaskId, Version,
};

use super::admin::Admin;
use super::case::Case;
use super::host::{Delay, Host, Sent};
use super::neighbours::{Known, known_before};
use super::plan::Plan;
use super::search::Boot;
use crate::capture::{Link, Manifest, sysctl_text};
use crate::results::story::Sample;

/// How long a host has been up before the capture where the manifest does not say.
const LONG_AGO_NS: u64 = 2_000_000_000;
/// Uptime at the machine's time 0: a multiple of the wheel's third level and of a millisecond.
const UPTIME_NS: u64 = 1_000_000_000_000;

/// A machine, with the thread that all others share their descriptors with.
#[derive(Clone)]
pub(crate) struct Reference {
    kernel: Kernel,
    first: Option<TaskId>,
    /// Frames have no link header inside, and one of zeros outside.
    raw: bool,
}

/// Boots reference machines for a capture.
pub(crate) struct ReferenceBoot {
    manifest: Manifest,
    source: NamedSource<String>,
    /// Capture clock at the first frame or call.
    start_ns: u64,
    /// Frames were captured without their link headers.
    raw: bool,
    /// What the host knew of its link before the capture began.
    neighbours: Vec<Known>,
    /// Profile to use instead of the manifest's.
    version: Option<Version>,
}

impl ReferenceBoot {
    /// Machines for a capture, of its manifest's version if none is given.
    pub(crate) fn new(case: &Case, version: Option<Version>) -> Self {
        Self {
            manifest: case.manifest.clone(),
            source: case.source.clone(),
            start_ns: case.start_ns(),
            raw: case.frames.iter().any(|f| f.link != Link::Ethernet),
            neighbours: known_before(case),
            version,
        }
    }
}

impl Boot for ReferenceBoot {
    type Machine = Reference;

    fn boot(&self, plan: &Plan) -> miette::Result<(Reference, u64)> {
        let m = &self.manifest;
        let version = match self.version {
            Some(v) => v,
            None => Version::from_name(m.kernel.get_ref()).ok_or_else(|| {
                let known: Vec<&str> = Version::ALL.iter().map(|v| v.name()).collect();
                let what = format!(
                    "there is no profile for kernel {:?}; there are {}",
                    m.kernel.get_ref(),
                    known.join(", ")
                );
                self.at(m.kernel.span(), &what)
            })?,
        };
        let hz = *m.hz.get_ref();
        let mut profile = Profile::new(version);
        profile.hz = hz;
        if let Some(mib) = m.mem_mib {
            profile.mem_mib = mib;
        }
        let up = m
            .interface
            .iter()
            .filter_map(|i| i.up_before_s)
            .fold(None, |a: Option<f64>, b| Some(a.map_or(b, |a| a.max(b))));
        let before = up.map_or(LONG_AGO_NS, |s| (s.clamp(0.0, 1e6) * 1e9) as u64);
        let base_ns = self.start_ns.saturating_sub(before);
        let raw = self.raw;
        let nics = m
            .interface
            .iter()
            .map(|i| NicConfig {
                name: i.name.clone(),
                kind: match i.driver.get_ref().as_str() {
                    // Nothing is known of the link: packets come and go without a header.
                    _ if raw => NicKind::Tun,
                    _ => match i.driver.get_ref().as_str() {
                        "veth" => NicKind::Veth,
                        "ftgmac100" => NicKind::Ftgmac100 { mac: 0 },
                        _ => NicKind::Tap,
                    },
                },
                mac: i.mac_bytes(),
                mtu: i.mtu,
            })
            .collect();
        let mut config = BootConfig::new(profile, nics);
        config.ipv6 = m.interface.iter().any(|i| i.ipv6);
        set_clocks(&mut config, plan, base_ns, hz);
        config.realtime = base_ns;
        let mut kernel = Kernel::boot(&config);
        self.configure(&mut kernel)?;
        kernel.hold_woken(true);
        Ok((Reference { kernel, first: None, raw }, base_ns))
    }
}

/// Sets the tick and the millisecond edge where the plan has them on the capture's clock.
fn set_clocks(config: &mut BootConfig, plan: &Plan, base_ns: u64, hz: u32) {
    let jiffy = 1_000_000_000 / u64::from(hz);
    let span = 512 * jiffy;
    // Time from the last moment at which jiffies was a multiple of 512 to time 0.
    let since = (base_ns % span + span - plan.jiffies_zero_ns % span) % span;
    config.jiffies_phase = (jiffy - since % jiffy) % jiffy;
    let whole = if config.jiffies_phase == 0 {
        // The tick at time 0 itself still counts.
        (since / jiffy + 511) % 512
    } else {
        since / jiffy
    };
    config.jiffies = (config.jiffies & !511) + whole;
    const MS: u64 = 1_000_000;
    config.monotonic_offset = UPTIME_NS + (base_ns % MS + MS - plan.ms_edge_ns % MS) % MS;
}

impl ReferenceBoot {
    fn at(&self, span: std::ops::Range<usize>, what: &str) -> Report {
        let label = LabeledSpan::at(span, "here");
        Report::new(MietteDiagnostic::new(what).with_label(label))
            .with_source_code(self.source.clone())
    }

    fn configure(&self, kernel: &mut Kernel) -> miette::Result<()> {
        let m = &self.manifest;
        for (name, value) in &m.sysctl {
            // Congestion control of the captured hosts is a metric of their routes.
            kernel
                .sysctl_set(name, &sysctl_text(value.get_ref()))
                .map_err(|e| self.at(value.span(), &e.to_string()))?;
        }
        for i in &m.interface {
            for (addr, len) in i.prefixes() {
                match addr {
                    IpAddr::V4(addr) => kernel.ip_addr_add(&i.name, addr, len),
                    IpAddr::V6(_) if !i.ipv6 => continue,
                    IpAddr::V6(addr) => kernel.ip6_addr_add(&i.name, addr, len, !i.dad),
                }
                .map_err(|e| self.at(i.mac.span(), &e.to_string()))?;
            }
        }
        for (port, addr, lladdr) in &self.neighbours {
            let Some(i) = m.interface.get(*port) else { continue };
            kernel
                .ip_neigh_add(&i.name, *addr, *lladdr)
                .map_err(|e| self.at(i.mac.span(), &e.to_string()))?;
        }
        for r in &m.route {
            match (r.prefix(), r.via) {
                (Some((IpAddr::V4(to), len)), IpAddr::V4(via)) => {
                    let dst = (len > 0).then_some((to, len));
                    let spec = RouteSpec { dst, via: Some(via), ..RouteSpec::default() };
                    kernel.ip_route(RouteVerb::Add, &spec)
                }
                (Some((IpAddr::V6(to), len)), IpAddr::V6(via)) => {
                    let dst = (len > 0).then_some((to, len));
                    let spec = Route6Spec { dst, via: Some(via), ..Route6Spec::default() };
                    kernel.ip6_route(RouteVerb::Add, &spec)
                }
                _ => return Err(self.at(r.to.span(), "the gateway is of the other family")),
            }
            .map_err(|e| self.at(r.to.span(), &e.to_string()))?;
        }
        Ok(())
    }
}

impl Host for Reference {
    fn now(&self) -> u64 {
        self.kernel.now()
    }

    fn next_event(&self) -> Option<u64> {
        self.kernel.next_event()
    }

    fn advance(&mut self, to: u64) {
        self.kernel.advance(to);
    }

    fn stall(&mut self, to: u64) {
        self.kernel.stall(to);
    }

    fn timer_name(&mut self) -> Option<&'static str> {
        self.kernel.take_timer_name()
    }

    fn frame_in(&mut self, port: usize, bytes: Vec<u8>) {
        let bytes = if self.raw { bytes.get(14..).unwrap_or_default().to_vec() } else { bytes };
        self.kernel.frame_in(Port(port as u32), FrameIn { bytes, gso_size: 0 });
    }

    fn frames_out(&mut self) -> Vec<Sent> {
        self.kernel
            .frames_out()
            .into_iter()
            .map(|f| {
                let bytes = if self.raw { with_link(&f.bytes) } else { f.bytes };
                Sent { port: f.port.0 as usize, at: f.at, bytes }
            })
            .collect()
    }

    fn new_task(&mut self) -> TaskId {
        match self.first {
            Some(first) => self.kernel.task_thread(first),
            None => {
                let task = self.kernel.task_new();
                self.first = Some(task);
                task
            }
        }
    }

    fn call(&mut self, task: TaskId, call: Call) -> Option<SysResult> {
        self.kernel.syscall(task, call)
    }

    fn woken(&self, task: TaskId) -> bool {
        self.kernel.is_woken(task)
    }

    fn resume(&mut self, task: TaskId) {
        self.kernel.run_woken(task);
    }

    fn lock_sock(&mut self, task: TaskId, fd: i32) {
        self.kernel.lock_sock(task, fd);
    }

    fn release_sock(&mut self, task: TaskId) {
        self.kernel.release_sock(task);
    }

    fn interrupt(&mut self, task: TaskId) {
        self.kernel.interrupt(task);
    }

    fn completed(&mut self) -> Vec<(TaskId, SysResult)> {
        self.kernel.completed().into_iter().map(|c| (c.task, c.result)).collect()
    }

    fn pause(&mut self, after: Option<(u32, u64)>) {
        self.kernel.pause(after);
    }

    fn random_delays(&self) -> Vec<Delay> {
        let delay = |d: RandomDelay| {
            let (earliest, latest) = d.span();
            Delay { number: d.number(), earliest, latest, handle: Some(d) }
        };
        self.kernel.random_delays().into_iter().map(delay).collect()
    }

    fn delay_fires_at(&self, jiffy: u64) -> u64 {
        self.kernel.delay_fires_at(jiffy)
    }

    fn choose_delay(&mut self, delay: &Delay, jiffy: u64) {
        if let Some(handle) = &delay.handle {
            self.kernel.choose_delay(handle, jiffy);
        }
    }

    fn admin(&mut self, command: &Admin) -> Result<(), String> {
        command.run(&mut self.kernel).map_err(|e| e.to_string())
    }

    fn sample(&self, task: TaskId, fd: i32) -> Option<Sample> {
        /// `TCP_INFINITE_SSTHRESH`
        const INFINITE: u32 = 0x7fff_ffff;
        let i = self.kernel.tcp_info(task, fd)?;
        Some(Sample {
            at_us: 0,
            socket: fd,
            ca_state: ca_name(i.tcpi_ca_state),
            cwnd: i.tcpi_snd_cwnd,
            ssthresh: Some(i.tcpi_snd_ssthresh).filter(|s| *s < INFINITE),
            unacked: i.tcpi_unacked,
            rto_us: i.tcpi_rto,
            srtt_us: i.tcpi_rtt,
        })
    }

    fn describe(&self, task: TaskId, fd: i32) -> Option<String> {
        let i = self.kernel.tcp_info(task, fd)?;
        let ms = |us: u32| f64::from(us) / 1000.0;
        Some(format!(
            "socket {fd}: {} {}, cwnd {}, ssthresh {}, rtt {:.3}+-{:.3} ms, rto {:.0} ms, backoff {}; \
             unacked {}, sacked {}, lost {}, retrans {}; snd_wnd {}, rcv_wnd {}, rcv_ssthresh {}, rcv_mss {}, ato {:.0} ms",
            state_name(i.tcpi_state),
            ca_name(i.tcpi_ca_state),
            i.tcpi_snd_cwnd,
            i.tcpi_snd_ssthresh,
            ms(i.tcpi_rtt),
            ms(i.tcpi_rttvar),
            ms(i.tcpi_rto),
            i.tcpi_backoff,
            i.tcpi_unacked,
            i.tcpi_sacked,
            i.tcpi_lost,
            i.tcpi_retrans,
            i.tcpi_snd_wnd,
            i.tcpi_rcv_wnd,
            i.tcpi_rcv_ssthresh,
            i.tcpi_rcv_mss,
            ms(i.tcpi_ato),
        ))
    }
}

/// States as RFC 9293 names them, by Linux's number.
fn state_name(state: u8) -> &'static str {
    const NAMES: [&str; 13] = [
        "?",
        "ESTABLISHED",
        "SYN-SENT",
        "SYN-RECEIVED",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "TIME-WAIT",
        "CLOSED",
        "CLOSE-WAIT",
        "LAST-ACK",
        "LISTEN",
        "CLOSING",
        "SYN-RECEIVED",
    ];
    NAMES.get(usize::from(state)).copied().unwrap_or("?")
}

fn ca_name(state: u8) -> &'static str {
    const NAMES: [&str; 5] = ["Open", "Disorder", "CWR", "Recovery", "Loss"];
    NAMES.get(usize::from(state)).copied().unwrap_or("?")
}

/// A packet behind an Ethernet header of zeros.
fn with_link(packet: &[u8]) -> Vec<u8> {
    let v6 = packet.first().is_some_and(|b| b >> 4 == 6);
    let mut out = vec![0; 12];
    out.extend(if v6 { [0x86, 0xdd] } else { [8, 0] });
    out.extend(packet);
    out
}
