//! The reference stack as a target, in virtual time.
//!
//! `tun`: IP packets into and out of the stack's TUN device, super-packets included. `ftgmac100`: the same packets as
//! Ethernet frames on the MAC's wire; the far end answers ARP and neighbour discovery, and a packet counts as received when the rings and
//! interrupts that it causes have been worked off.

mod link;
mod recording;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use reference_stack::syscalls::SysResult;
use reference_stack::{
    AdminError, BootConfig, Call, FrameIn, FrameOut, Kernel, Nanos, NicConfig, NicKind, Port,
    Profile, QdiscKind, Route6Spec, RouteSpec, RouteVerb as KernelVerb, TaskId,
};

use super::ethernet::{self, Frame, OWN};
use super::{
    Addresses, Admin, DeviceFault, Finished, Qdisc, Refusal, RouteVerb, Sent, Target, Thread,
    Traced, Watch,
};
use crate::frames::PcapWriter;
use crate::results::Nic;
use crate::run::RunOptions;
use recording::Recording;
pub(crate) use recording::{CA_STATES, STATES};

/// Which of HyStart's two signals end slow start: here always both.
const HYSTART_DETECT: &str = "/sys/module/tcp_cubic/parameters/hystart_detect";
const PORT: Port = Port(0);
/// How long after a frame's arrival its interrupts may come, nanoseconds: longer than the interrupt mitigation waits.
const SETTLE_NS: Nanos = 200_000;
/// What looking at a packet takes: a quarter of what upstream's tool was measured to take.
const PACKET_READ_NS: u64 = 1_000;
/// How long an interface has before the run, nanoseconds: the PHY's state machine runs once a second.
const BRING_UP_NS: Nanos = 3_000_000_000;

/// A booted reference stack with a process of two threads.
pub struct Reference {
    kernel: Kernel,
    nic: Nic,
    device: &'static str,
    mtu: usize,
    own: IpAddr,
    main: TaskId,
    blocking: TaskId,
    sent: Vec<Sent>,
    finished: Vec<Finished>,
    /// What the script speaks itself, if it looks at frames; and the frames.
    watch: Option<Watch>,
    frames: Vec<Sent>,
    /// How many of the next frames arrive damaged.
    damaged: u32,
    /// Every frame with its time, if a capture is wanted.
    capture: Option<Vec<(Nanos, Vec<u8>)>>,
    /// What the layers do, if that is wanted.
    recording: Option<Box<Recording>>,
    /// How late the far end answers ARP, and its answers that are under way.
    arp_ns: Nanos,
    answers: VecDeque<(Nanos, Vec<u8>)>,
}

impl Reference {
    /// Boots the stack and sets its interface up.
    ///
    /// # Errors
    /// Addresses that the stack does not take.
    pub fn new(addresses: &Addresses, options: &RunOptions) -> Result<Self, Refusal> {
        let (device, kind) = match options.nic {
            Nic::Tun => ("tun0", NicKind::Tun),
            Nic::Tap => ("tap0", NicKind::Tap),
            Nic::Ftgmac100 => ("eth0", NicKind::Ftgmac100 { mac: 0 }),
            Nic::None => {
                return Err(Refusal::Invalid(
                    "the reference needs an attachment: tun, tap or ftgmac100".into(),
                ));
            }
        };
        let nic = NicConfig { name: device.to_string(), kind, mac: OWN, mtu: addresses.mtu };
        let mut profile = Profile::new(options.version);
        profile.hz = options.hz.unwrap_or(profile.hz);
        let mut config = BootConfig::new(profile, vec![nic]);
        config.seed = options.seed;
        config.ipv6 = addresses.local.is_ipv6();
        let mut kernel = Kernel::boot(&config);
        kernel.record_events();
        let main = kernel.task_new();
        let blocking = kernel.task_thread(main);
        let mut target = Reference {
            kernel,
            nic: options.nic,
            device,
            mtu: addresses.mtu as usize,
            own: addresses.local,
            main,
            blocking,
            sent: Vec::new(),
            finished: Vec::new(),
            watch: None,
            frames: Vec::new(),
            damaged: 0,
            capture: options.captures().then(Vec::new),
            recording: None,
            arp_ns: Nanos::from(options.arp_usecs) * 1000,
            answers: VecDeque::new(),
        };
        target.set_up(addresses)?;
        if options.record {
            target.recording = Some(Box::new(Recording::new(&mut target.kernel, options)));
        }
        Ok(target)
    }

    fn set_up(&mut self, addresses: &Addresses) -> Result<(), Refusal> {
        // packetdrill sees what is sent by a packet socket, and its scripts know that it does.
        self.kernel.packet_tap(self.device).map_err(refused)?;
        self.administrate(&Admin::Address {
            add: true,
            address: addresses.local,
            prefix: addresses.prefix,
        })?;
        let via = Some(addresses.gateway).filter(|gateway| *gateway != addresses.local);
        let to = Some((addresses.remote, addresses.remote_prefix));
        self.administrate(&Admin::Route {
            verb: RouteVerb::Replace,
            to,
            via,
            metrics: Vec::new(),
        })?;
        let until = self.kernel.now() + BRING_UP_NS;
        while self.kernel.now() < until {
            self.advance(until);
        }
        self.sent.clear();
        Ok(())
    }

    fn task(&self, thread: Thread) -> TaskId {
        match thread {
            Thread::Main => self.main,
            Thread::Blocking => self.blocking,
        }
    }

    /// Takes over what left the stack and which calls returned. True if there was anything.
    fn collect(&mut self) -> bool {
        let mut any = false;
        self.look();
        loop {
            // An answer to ARP may send off what waited for it.
            let frames = self.kernel.frames_out();
            if frames.is_empty() {
                break;
            }
            for frame in frames {
                any |= self.frame_out(frame);
            }
        }
        for done in self.kernel.completed() {
            let thread = if done.task == self.main { Thread::Main } else { Thread::Blocking };
            self.finished.push(Finished { thread, at: done.at, result: done.result });
            any = true;
        }
        any
    }

    /// Takes a frame of the stack. True if it is a packet for the script.
    fn frame_out(&mut self, frame: FrameOut) -> bool {
        self.record(frame.at, &frame.bytes);
        if let Some(watch) = self.watch {
            self.watched(watch, frame);
            return true;
        }
        let packet = match self.nic {
            Nic::Ftgmac100 | Nic::Tap => match ethernet::open(&frame.bytes, self.own) {
                Frame::Ip(packet) => packet,
                Frame::Ask(answer) if self.arp_ns > 0 => {
                    self.answers.push_back((frame.at.saturating_add(self.arp_ns), answer));
                    return false;
                }
                Frame::Ask(answer) => {
                    self.frame_in(answer, 0);
                    return false;
                }
                Frame::Other => return false,
            },
            // What a link does for itself is below a script.
            Nic::Tun | Nic::None if ethernet::is_discovery(&frame.bytes) => return false,
            Nic::Tun | Nic::None => frame.bytes,
        };
        self.sent.push(Sent { at: frame.at, packet });
        true
    }

    fn frame_in(&mut self, bytes: Vec<u8>, gso_size: u16) {
        let now = self.kernel.now();
        self.record(now, &bytes);
        if self.damaged > 0 {
            self.damaged -= 1;
            self.kernel.frame_in_damaged(PORT, bytes);
            return;
        }
        self.kernel.frame_in(PORT, FrameIn { bytes, gso_size });
    }

    fn record(&mut self, at: Nanos, bytes: &[u8]) {
        let Some(capture) = &mut self.capture else { return };
        let framed = match self.nic {
            Nic::Ftgmac100 | Nic::Tap => bytes.to_vec(),
            Nic::Tun | Nic::None => ethernet::frame(OWN, bytes),
        };
        capture.push((at, framed));
    }

    /// Notes which layers did something since the last look.
    fn look(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.look(&mut self.kernel);
        }
    }

    /// One event, or on to `until` without one.
    fn step(&mut self, until: Nanos) {
        let answer = self.answers.front().map(|(at, _)| *at);
        let next = self.kernel.next_event().into_iter().chain(answer).min();
        self.kernel.advance(next.filter(|at| *at <= until).unwrap_or(until));
        while let Some((_, answer)) = self.answers.pop_front_if(|(at, _)| *at <= self.kernel.now())
        {
            self.frame_in(answer, 0);
        }
    }

    /// Lets the rings and interrupts of what just arrived be worked off.
    fn settle(&mut self) {
        let until = self.kernel.now() + SETTLE_NS;
        self.collect();
        while let Some(at) = self.kernel.next_event().filter(|at| *at <= until) {
            self.kernel.advance(at);
            self.collect();
        }
    }

    /// What concerns the device, its neighbours, and files.
    fn administrate_link(&mut self, what: &Admin) -> Result<(), Refusal> {
        match what {
            Admin::Qdisc(qdisc) => {
                let kind = match *qdisc {
                    Qdisc::Default => QdiscKind::Default,
                    Qdisc::Pfifo { limit } => QdiscKind::Pfifo(limit),
                    Qdisc::Fq { limit } => QdiscKind::Fq(limit),
                    Qdisc::FqCodel { .. } => {
                        let why = "the reference has no qdisc but fq, pfifo and pfifo_fast";
                        return Err(Refusal::Unsupported(why.into()));
                    }
                };
                self.kernel.tc_qdisc(self.device, kind).map_err(refused)
            }
            Admin::Feature { name, on } => {
                self.kernel.ethtool_feature(self.device, name, *on).map_err(|error| {
                    Refusal::Unsupported(format!("ethtool's feature {name}: {error}"))
                })
            }
            Admin::Neighbour { address, lladdr: Some(mac) } => {
                self.kernel.ip_neigh_add(self.device, *address, *mac).map_err(refused)
            }
            _ => Err(Refusal::Unsupported(format!("the reference has no {what:?} yet"))),
        }
    }

    fn route(
        &mut self,
        verb: RouteVerb,
        to: Option<(IpAddr, u8)>,
        via: Option<IpAddr>,
        metrics: &[(String, String)],
    ) -> Result<(), Refusal> {
        let mut route = RouteSpec { dev: Some(self.device.to_string()), ..RouteSpec::default() };
        let mut src = None;
        for (name, value) in metrics {
            let invalid =
                || Refusal::Invalid(format!("`{value}` is no value of a route's `{name}`"));
            let number = || value.parse::<u32>().map_err(|_| invalid());
            match name.as_str() {
                "mtu" => route.mtu = Some(number()?),
                "mtu lock" => (route.mtu, route.mtu_locked) = (Some(number()?), true),
                "advmss" => route.advmss = Some(number()?),
                "initcwnd" => route.initcwnd = Some(number()?),
                "initrwnd" => route.initrwnd = Some(number()?),
                "window" => route.window = Some(number()?),
                "metric" => route.metric = number()?,
                "quickack" => route.quickack = number()? != 0,
                "hoplimit" => route.hoplimit = Some(value.parse().map_err(|_| invalid())?),
                "congctl" => route.congctl = Some(value.clone()),
                "rto_min" => route.rto_min_ms = Some(milliseconds(value).ok_or_else(invalid)?),
                "src" => src = Some(value.parse::<IpAddr>().map_err(|_| invalid())?),
                _ => {
                    return Err(Refusal::Unsupported(format!(
                        "a route's `{name}` is not supported"
                    )));
                }
            }
        }
        let verb = match verb {
            RouteVerb::Add => KernelVerb::Add,
            RouteVerb::Replace | RouteVerb::Change => KernelVerb::Replace,
            RouteVerb::Delete => KernelVerb::Del,
        };
        let family = to.map(|(ip, _)| ip).or(via).or(src).unwrap_or(self.own);
        if family.is_ipv6() {
            return self.route6(verb, route, to, via, src);
        }
        let (to, plen) = match to {
            Some((ip, plen)) => (v4(ip)?, plen.min(32)),
            None => (Ipv4Addr::UNSPECIFIED, 0),
        };
        let mask = u32::MAX.checked_shl(32 - u32::from(plen)).unwrap_or(0);
        route.dst = Some((Ipv4Addr::from_bits(to.to_bits() & mask), plen));
        // As in set_up(): on Ethernet nobody would answer for an address of one's own.
        route.via = via.filter(|via| *via != self.own).map(v4).transpose()?;
        route.src = src.map(v4).transpose()?;
        self.kernel.ip_route(verb, &route).map_err(refused)
    }

    /// A route of IPv6 with the attributes of `like`.
    fn route6(
        &mut self,
        verb: KernelVerb,
        like: RouteSpec,
        to: Option<(IpAddr, u8)>,
        via: Option<IpAddr>,
        src: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        let route = Route6Spec {
            dst: to.map(|(ip, plen)| Ok::<_, Refusal>((v6(ip)?, plen.min(128)))).transpose()?,
            via: via.map(v6).transpose()?,
            dev: like.dev,
            src: src.map(v6).transpose()?,
            metric: like.metric,
            mtu: like.mtu,
            mtu_locked: like.mtu_locked,
            advmss: like.advmss,
            window: like.window,
            hoplimit: like.hoplimit,
            initcwnd: like.initcwnd,
            initrwnd: like.initrwnd,
            quickack: like.quickack,
            congctl: like.congctl,
            rto_min_ms: like.rto_min_ms,
        };
        self.kernel.ip6_route(verb, &route).map_err(refused)
    }
}

/// iproute2's times: `40ms`, `2s`; a bare number is milliseconds.
fn milliseconds(text: &str) -> Option<u32> {
    if let Some(ms) = text.strip_suffix("ms") {
        return ms.parse().ok();
    }
    match text.strip_suffix('s') {
        Some(seconds) => seconds.parse::<u32>().ok()?.checked_mul(1000),
        None => text.parse().ok(),
    }
}

fn v4(ip: IpAddr) -> Result<Ipv4Addr, Refusal> {
    match ip {
        IpAddr::V4(ip) => Ok(ip),
        IpAddr::V6(ip) => Err(Refusal::Invalid(format!("{ip} is no IPv4 address"))),
    }
}

fn v6(ip: IpAddr) -> Result<Ipv6Addr, Refusal> {
    match ip {
        IpAddr::V6(ip) => Ok(ip),
        IpAddr::V4(ip) => Err(Refusal::Invalid(format!("{ip} is no IPv6 address"))),
    }
}

fn refused(error: AdminError) -> Refusal {
    Refusal::Invalid(error.to_string())
}

impl Target for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn nic(&self) -> Nic {
        self.nic
    }

    fn now(&self) -> Nanos {
        self.kernel.now()
    }

    fn real_time(&self) -> i64 {
        i64::try_from(self.kernel.real_time()).unwrap_or(i64::MAX)
    }

    fn advance(&mut self, until: Nanos) {
        if self.collect() {
            return;
        }
        while self.kernel.now() < until {
            self.step(until);
            if self.collect() {
                return;
            }
        }
    }

    fn burst_was_read(&mut self) {
        let until = self.kernel.now() + PACKET_READ_NS;
        while self.kernel.now() < until {
            self.step(until);
        }
        self.collect();
    }

    fn is_idle(&self) -> bool {
        self.kernel.next_event().is_none() && self.answers.is_empty()
    }

    fn inject(&mut self, packet: &[u8], gso_size: u16) -> Result<(), Refusal> {
        if self.nic == Nic::Tun {
            self.frame_in(packet.to_vec(), gso_size);
            self.collect();
            return Ok(());
        }
        if packet.len() > self.mtu {
            return Err(Refusal::Unsupported(format!(
                "a packet of {} bytes does not fit a frame (MTU {}): run it with --nic tun",
                packet.len(),
                self.mtu
            )));
        }
        self.frame_in(ethernet::frame(OWN, packet), 0);
        if self.nic == Nic::Tap {
            self.collect();
        } else {
            self.settle();
        }
        Ok(())
    }

    fn watch(&mut self, watch: Watch) -> Result<(), Refusal> {
        if !matches!(self.nic, Nic::Ftgmac100 | Nic::Tap) && watch != Watch::default() {
            let why = "a TUN device has no neighbours to discover: run it with --nic ftgmac100";
            return Err(Refusal::Unsupported(why.into()));
        }
        self.watch = Some(watch);
        Ok(())
    }

    fn frames(&mut self) -> Vec<Sent> {
        self.collect();
        std::mem::take(&mut self.frames)
    }

    fn inject_frame(&mut self, frame: &[u8]) -> Result<(), Refusal> {
        self.deliver_frame(frame)
    }

    fn set_carrier(&mut self, device: Option<&str>, up: bool) -> Result<(), Refusal> {
        self.plug(device, up)
    }

    fn device_fault(&mut self, fault: DeviceFault) -> Result<(), Refusal> {
        self.go_wrong(fault)
    }

    fn sent(&mut self) -> Vec<Sent> {
        self.collect();
        std::mem::take(&mut self.sent)
    }

    fn call(&mut self, thread: Thread, call: Call) -> Result<Option<SysResult>, Refusal> {
        let task = self.task(thread);
        if self.kernel.is_blocked(task) {
            return Err(Refusal::Invalid(
                "a call is made while another one of its thread waits".into(),
            ));
        }
        let result = self.kernel.syscall(task, call);
        self.look();
        Ok(result)
    }

    fn finished(&mut self) -> Vec<Finished> {
        self.collect();
        std::mem::take(&mut self.finished)
    }

    fn give_up(&mut self, thread: Thread) {
        let task = self.task(thread);
        self.kernel.interrupt(task);
        self.collect();
        self.finished.retain(|done| done.thread != thread);
    }

    fn sysctl(&mut self, name: &str) -> Result<String, Refusal> {
        if name == HYSTART_DETECT {
            return Ok("3".into());
        }
        self.kernel.sysctl(name).map_err(|error| Refusal::Invalid(error.to_string()))
    }

    fn set_sysctl(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        if name == HYSTART_DETECT {
            return match value.trim() {
                "3" => Ok(()),
                _ => Err(Refusal::Unsupported("the reference's hystart_detect is always 3".into())),
            };
        }
        self.kernel.sysctl_set(name, value).map_err(|error| Refusal::Invalid(error.to_string()))
    }

    fn administrate(&mut self, what: &Admin) -> Result<(), Refusal> {
        match what {
            Admin::FlushTcpMetrics => {
                self.kernel.ip_tcp_metrics_flush();
                Ok(())
            }
            Admin::Route { verb, to, via, metrics } => self.route(*verb, *to, *via, metrics),
            Admin::Address { add, address, prefix } => {
                let (device, prefix) = (self.device, *prefix);
                let done = match (*address, add) {
                    (IpAddr::V4(a), true) => self.kernel.ip_addr_add(device, a, prefix),
                    (IpAddr::V4(a), false) => self.kernel.ip_addr_del(device, a, prefix),
                    // Nobody else is on the link: duplicates are not looked for.
                    (IpAddr::V6(a), true) => self.kernel.ip6_addr_add(device, a, prefix, true),
                    (IpAddr::V6(a), false) => self.kernel.ip6_addr_del(device, a, prefix),
                };
                done.map_err(refused)
            }
            Admin::LinkMtu(mtu) => {
                self.mtu = *mtu as usize;
                self.kernel.ip_link_set_mtu(self.device, *mtu).map_err(refused)
            }
            Admin::WriteFile { path, bytes } => {
                self.kernel.write_file(path, bytes.clone());
                Ok(())
            }
            Admin::RemoveFile(path) => {
                self.kernel.remove_file(path);
                Ok(())
            }
            Admin::LinkUp(up) => self.kernel.ip_link_set_up(self.device, *up).map_err(refused),
            other => self.administrate_link(other),
        }
    }

    fn proc_net(&mut self, name: &str) -> Result<String, Refusal> {
        let text = self.kernel.proc_net(name);
        text.ok_or_else(|| Refusal::Unsupported(format!("the reference has no /proc/net/{name}")))
    }

    fn event_log(&self) -> Option<String> {
        Some(format!("{:016x}", self.kernel.event_log().hash()))
    }

    fn trace(&mut self) -> Vec<Traced> {
        self.recording.as_mut().map_or_else(Vec::new, |recording| recording.take())
    }

    fn environment(&mut self) -> Vec<(String, String)> {
        self.recording
            .as_ref()
            .map_or_else(Vec::new, |recording| recording.environment(&self.kernel))
    }

    fn leaks(&self) -> Vec<String> {
        self.kernel.leak_check()
    }

    fn write_pcap(&self, path: &Path) -> io::Result<()> {
        let mut writer = PcapWriter::new(io::BufWriter::new(File::create(path)?))?;
        for (at, frame) in self.capture.iter().flatten() {
            writer.frame(*at, frame)?;
        }
        Ok(())
    }
}
