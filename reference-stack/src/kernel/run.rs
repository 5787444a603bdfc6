//! The machine's motion: frames in, time forward, softirqs until nothing is left to do.

use super::{FrameIn, FrameOut, Kernel, Port};
use crate::Nanos;
use crate::net::core::dev::xmit::qdisc_watchdog;
use crate::net::core::dev::{self, PacketType};
use crate::net::core::neighbour::neigh_timer_handler;
use crate::net::core::skbuff::{DropReason, Skb, kfree_skb};
use crate::net::core::sock::SockId;
use crate::net::core::timestamping::skb_complete_tx_timestamps;
use crate::net::core::zerocopy::msg_zerocopy_complete;
use crate::net::ipv4::icmp::{IcmpErr, icmp_rcv};
use crate::net::ipv4::inet_timewait_sock::tw_timer_handler;
use crate::net::ipv4::ip_input::{IpRcv, ip_rcv};
use crate::net::ipv4::{
    arp, inet_csk_listen, ip_fragment, raw, tcp_ipv4, tcp_output, tcp_timer, udp,
};
use crate::net::ipv6::icmp::icmpv6_rcv;
use crate::net::ipv6::ip6_input::{Ip6Rcv, ipv6_rcv};
use crate::net::ipv6::{self, addrconf, mcast, tcp_ipv6};
use crate::time::{HrtimerId, TimerId};
use crate::uapi::{IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP};

impl Kernel {
    /// Virtual time since boot, ns.
    pub fn now(&self) -> Nanos {
        self.net.time.now()
    }

    /// CLOCK_REALTIME, ns.
    pub fn real_time(&self) -> Nanos {
        self.net.time.ktime_get_real_ns()
    }

    /// A frame reaches a port from outside, now. An unknown port loses it.
    pub fn frame_in(&mut self, port: Port, frame: FrameIn) {
        self.net.log.frame_in(port, self.net.time.now(), &frame.bytes);
        dev::frame_in(&mut self.net, port, frame);
        self.run_softirqs();
    }

    /// The same with a frame that was damaged on its way: its FCS does not fit. Ports without an FCS lose it.
    pub fn frame_in_damaged(&mut self, port: Port, bytes: Vec<u8>) {
        self.net.log.frame_in(port, self.net.time.now(), &bytes);
        dev::frame_in_damaged(&mut self.net, port, bytes);
        self.run_softirqs();
    }

    /// Takes the frames that left since the last call, in order.
    pub fn frames_out(&mut self) -> Vec<FrameOut> {
        let frames = dev::frames_out(&mut self.net);
        for frame in &frames {
            self.net.log.frame_out(frame);
        }
        frames
    }

    /// When the machine has something to do next without being asked, if ever.
    pub fn next_event(&self) -> Option<Nanos> {
        let hardware = dev::next_event(&self.net);
        [self.net.time.next_event(), hardware]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(self.net.time.now()))
    }

    /// Lets time go on to `to`: every event up to and at that time happens, each at its own
    /// time. A time in the past does nothing.
    pub fn advance(&mut self, to: Nanos) {
        while let Some(at) = self.next_event().filter(|&at| at <= to) {
            self.net.time.set_now(at);
            dev::advance(&mut self.net);
            self.run_softirqs();
            self.run_hrtimers();
            self.run_timers();
        }
        self.net.time.set_now(to);
    }

    /// Lets time go on to `to` while the processor is busy elsewhere: what falls due meanwhile
    /// waits for the next [`Kernel::advance`], and happens then.
    pub fn stall(&mut self, to: Nanos) {
        if to > self.net.time.now() {
            self.net.time.set_now(to);
        }
    }

    /// Runs what interrupts and calls left behind (`do_softirq`): transmit completion, receive
    /// polls, small-queue work, and the waiters that all this woke.
    #[inline]
    pub(crate) fn run_softirqs(&mut self) {
        if self.softirq_pending() {
            self.__do_softirq();
        }
    }

    fn __do_softirq(&mut self) {
        while self.softirq_pending() {
            if self.net.softnet.pending() {
                self.net_rx_action();
            }
            if self.net.skbs.ubufs.is_done() {
                msg_zerocopy_complete(&mut self.socks, &mut self.net);
            }
            if !self.net.skbs.tx_events.is_empty() {
                skb_complete_tx_timestamps(&mut self.socks, &mut self.net);
            }
            if !self.net.wmem.tsq.is_empty() {
                for sk in std::mem::take(&mut self.net.wmem.tsq) {
                    self.small_queue_work(sk);
                }
            }
            if !self.net.wake.is_empty() || !self.fs.wakes.is_empty() {
                self.run_wakes();
            }
        }
    }

    // On its own, because its lists are large and most packets wake nobody who waits.
    #[inline(never)]
    fn run_wakes(&mut self) {
        let mut woken = std::mem::take(&mut self.net.wake);
        woken.extend(self.fs.wakes.drain(..));
        self.wake_waiters(woken);
    }

    fn softirq_pending(&self) -> bool {
        let net = &self.net;
        net.softnet.pending()
            || !net.wmem.tsq.is_empty()
            || net.skbs.ubufs.is_done()
            || !net.skbs.tx_events.is_empty()
            || !net.wake.is_empty()
            || !self.fs.wakes.is_empty()
    }

    fn net_rx_action(&mut self) {
        let mut received = std::mem::take(&mut self.net.softnet.received);
        dev::net_rx_action(&mut self.net, &mut received);
        while let Some(skb) = received.pop_front() {
            self.netif_receive(skb);
        }
        self.net.softnet.received = received;
    }

    /// A socket's packets left the host, so that it may send again (`tcp_tasklet_func`,
    /// `sock_wfree`).
    fn small_queue_work(&mut self, sk: SockId) {
        match self.socks.tcp_mut(sk) {
            Some(tp) if tp.sk.sk_lock_owned => tp.deferred.tsq = true,
            Some(tp) => tcp_output::tcp_tsq_handler(tp, &mut self.net),
            None => self.net.sk_write_space(sk),
        }
    }

    /// Hands a packet to its protocol (`deliver_skb` to the registered `packet_type`).
    fn netif_receive(&mut self, mut skb: Skb) {
        if self.net.softnet.netstamp_needed {
            skb.tstamp = self.net.time.ktime_get_real_ns();
        }
        match dev::__netif_receive_skb_core(&mut skb) {
            Ok(PacketType::Ip) => match ip_rcv(&mut self.net, skb) {
                IpRcv::Local { proto, skb } => self.local_deliver(proto, skb),
                IpRcv::Done => {}
            },
            Ok(PacketType::Arp) => arp::arp_rcv(&mut self.net, skb),
            Ok(PacketType::Ipv6) => match ipv6_rcv(&mut self.net, skb) {
                Ip6Rcv::Local { proto, skb } => self.local_deliver6(proto, skb),
                Ip6Rcv::Done => {}
            },
            Err(why) => kfree_skb(&mut self.net, skb, why),
        }
    }

    fn local_deliver(&mut self, proto: u8, skb: Skb) {
        match proto {
            IPPROTO_TCP => tcp_ipv4::tcp_v4_rcv(&mut self.socks, &mut self.net, skb),
            IPPROTO_UDP => udp::udp_rcv(&mut self.socks, &mut self.net, skb),
            IPPROTO_ICMP => {
                if !self.socks.raw.is_empty() {
                    raw::raw_local_deliver(&mut self.socks, &mut self.net, &skb);
                }
                if let Some(err) = icmp_rcv(&mut self.net, skb) {
                    self.icmp_error(&err);
                }
            }
            _ => kfree_skb(&mut self.net, skb, DropReason::IpNoProto),
        }
    }

    /// Tells the transport whose packet an ICMP error quotes (`icmp_socket_deliver`).
    fn icmp_error(&mut self, err: &IcmpErr) {
        match err.proto {
            IPPROTO_TCP => tcp_ipv4::tcp_v4_err(&mut self.socks, &mut self.net, err),
            IPPROTO_UDP => udp::udp_err(&mut self.socks, &mut self.net, err),
            IPPROTO_ICMP => raw::raw_err(&mut self.socks, &mut self.net, err),
            _ => {}
        }
    }

    fn local_deliver6(&mut self, proto: u8, skb: Skb) {
        let Self { socks, net, .. } = self;
        match proto {
            IPPROTO_TCP => tcp_ipv6::tcp_v6_rcv(socks, net, skb),
            IPPROTO_UDP => ipv6::udp::udpv6_rcv(socks, net, skb),
            IPPROTO_ICMPV6 => {
                if let Some(err) = icmpv6_rcv(net, skb) {
                    match err.proto {
                        IPPROTO_TCP => tcp_ipv6::tcp_v6_err(socks, net, &err),
                        IPPROTO_UDP => ipv6::udp::udpv6_err(socks, net, &err),
                        _ => {}
                    }
                }
            }
            _ => kfree_skb(net, skb, DropReason::IpNoProto),
        }
    }

    /// `run_timer_softirq`.
    fn run_timers(&mut self) {
        while let Some(id) = {
            let now = self.net.time.jiffies();
            self.net.time.timers.pop_due(now)
        } {
            self.timer(id);
            self.run_softirqs();
        }
    }

    fn timer(&mut self, id: TimerId) {
        self.last_timer = Some(timer_name(id));
        let Self { socks, net, .. } = self;
        match id {
            TimerId::Retransmit(sk) => tcp_timer::tcp_write_timer(socks, net, sk),
            TimerId::Delack(sk) => tcp_timer::tcp_delack_timer(socks, net, sk),
            TimerId::Keepalive(sk) => tcp_timer::tcp_keepalive_timer(socks, net, sk),
            TimerId::Reqsk(sk) => inet_csk_listen::reqsk_timer_handler(socks, net, sk),
            TimerId::Timewait(sk) => tw_timer_handler(socks, net, sk),
            TimerId::Neigh(neigh) => neigh_timer_handler(net, neigh),
            TimerId::Frag(queue) => ip_fragment::ip_expire(net, queue),
            TimerId::Dad(dev, ifa) => addrconf::addrconf_dad_work(net, dev, ifa),
            TimerId::RouterSolicit(dev) => addrconf::addrconf_rs_timer(net, dev),
            TimerId::MldIfc(dev) => mcast::mld_ifc_work(net, dev),
            TimerId::MldDad(dev) => mcast::mld_dad_work(net, dev),
            TimerId::Frag6(queue) => ipv6::reassembly::ip6_frag_expire(net, queue),
            TimerId::Watchdog(dev) => dev::dev_watchdog(net, dev),
            TimerId::Phy(dev) => dev::phy_state_machine(net, dev),
            TimerId::Task(task) => self.task_timeout(task),
        }
    }

    /// The timer that ran last, by name, for a report; nothing if none did since this was asked.
    pub fn take_timer_name(&mut self) -> Option<&'static str> {
        self.last_timer.take()
    }

    /// `hrtimer_interrupt`.
    fn run_hrtimers(&mut self) {
        while let Some(id) = {
            let now = self.net.time.now();
            self.net.time.hrtimers.pop_due(now)
        } {
            self.last_timer = Some(match id {
                HrtimerId::Pacing(_) => "pacing",
                HrtimerId::CompressedAck(_) => "compressed ACK",
                HrtimerId::Task(_) => "a call's time-out",
                HrtimerId::Qdisc(_) => "a queueing discipline",
            });
            let Self { socks, net, .. } = self;
            match id {
                HrtimerId::Pacing(sk) => match socks.tcp_mut(sk) {
                    Some(tp) if tp.sk.sk_lock_owned => tp.deferred.tsq = true,
                    Some(tp) => tcp_output::tcp_pace_kick(tp, net),
                    None => {}
                },
                HrtimerId::CompressedAck(sk) => {
                    tcp_timer::tcp_compressed_ack_kick(socks, net, sk);
                }
                HrtimerId::Task(task) => self.task_timeout(task),
                HrtimerId::Qdisc(dev) => qdisc_watchdog(net, dev),
            }
            self.run_softirqs();
        }
    }
}

fn timer_name(id: TimerId) -> &'static str {
    match id {
        TimerId::Retransmit(_) => "retransmission, loss probe or window probe",
        TimerId::Delack(_) => "delayed ACK",
        TimerId::Keepalive(_) => "keepalive or FIN-WAIT-2",
        TimerId::Reqsk(_) => "SYN-ACK",
        TimerId::Timewait(_) => "TIME-WAIT",
        TimerId::Neigh(_) => "neighbour",
        TimerId::Frag(_) => "reassembly",
        TimerId::Watchdog(_) => "transmit watchdog",
        TimerId::Phy(_) => "PHY",
        TimerId::Task(_) => "a call's time-out",
        TimerId::Dad(..) => "duplicate address detection",
        TimerId::RouterSolicit(_) => "router solicitation",
        TimerId::MldIfc(_) | TimerId::MldDad(_) => "a multicast report",
        TimerId::Frag6(_) => "reassembly of IPv6",
    }
}
