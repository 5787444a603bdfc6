//! Packets that the script expects.

use super::{ANY_TIME_LIMIT_NS, PATIENCE_NS, Run, Stop, Window};
use crate::results::{Nic, Packets};
use crate::run::connection::{Socket, State};
use crate::run::matcher::{self, Differences, Mismatch};
use crate::run::report::{self, Failure};
use crate::run::wire::{self, ACK, SYN};
use crate::script::ast::{Body, Event, Packet, Tcp};

impl Run<'_> {
    pub(super) fn outbound(
        &mut self,
        event: &Event,
        packet: &Packet,
        window: Window,
    ) -> Result<(), Stop> {
        self.expect_from(packet)?;
        let before = self.last.map(|(due, _)| due);
        let actual = match &packet.body {
            Body::Tcp(tcp) => self.segments(packet, tcp, window)?,
            _ => self.next_packet(packet, window)?,
        };
        let at = self.script_time(actual.at);
        let mut open = Differences::default();
        let met = packet.is_open().then(|| self.values.met(packet, &actual.body, &mut open));
        let packet = met.as_ref().unwrap_or(packet);
        let (mut out, actual_text) = self.compare(packet, &actual, window)?;
        out.0.extend(open.0);
        if let Some(fault) = &actual.fault {
            let first = Mismatch {
                layer: fault.layer,
                field: fault.field,
                expected: fault.expected.clone(),
                got: fault.got.clone(),
            };
            out.0.insert(0, first);
        }
        if let Some(first) = out.0.first().cloned() {
            let message = format!(
                "the packet differs: {}.{} is {}, expected {}",
                first.layer, first.field, first.got, first.expected
            );
            let label = format!("{}.{} is {}", first.layer, first.field, first.got);
            return Err(Failure {
                label,
                edits: self.edits_of_packet(packet, &actual, &actual_text, window),
                packets: Some(report::aligned(&packet.to_string(), &actual_text)),
                differences: out.0,
                timing: self.timing(window, at, before),
                ..self.failure(packet.span, message, first)
            }
            .into());
        }
        self.check_time(event.time_span, "the packet", window, at, before)
    }

    /// All differences, and the packet as the script language writes it.
    pub(super) fn compare(
        &mut self,
        packet: &Packet,
        actual: &wire::Packet,
        window: Window,
    ) -> Result<(Differences, String), Stop> {
        let mut out = Differences::default();
        let actual_text = match (&packet.body, &actual.body) {
            (Body::Tcp(tcp), wire::Body::Tcp(segment)) => {
                let mut mapped = segment.clone();
                if let Some(socket) = self.sockets.current_mut() {
                    matcher::map_timestamp(socket, tcp, &mut mapped);
                }
                matcher::compare_ip(&packet.ip, &actual.ip, &mut out);
                matcher::compare_tcp(tcp, &mapped, self.config, window.from, &mut out);
                matcher::tcp_text(&actual.ip, &mapped, packet)
            }
            (Body::Udp(udp), wire::Body::Udp(datagram)) => {
                matcher::compare_ip(&packet.ip, &actual.ip, &mut out);
                out.check("udp", "len", usize::from(udp.len), datagram.len);
                if !datagram.zeros {
                    out.add("payload", "bytes", "zeros", "other bytes");
                }
                format!(">{} udp ({})", matcher::ip_text(&actual.ip, &packet.ip), datagram.len)
            }
            (Body::Icmp(icmp), wire::Body::Icmp(message)) => {
                matcher::compare_ip(&packet.ip, &actual.ip, &mut out);
                let (kind, code, rest) = self.icmp_numbers(icmp, actual.ip.source.is_ipv4())?;
                out.check("icmp", "type", kind, message.kind);
                out.check("icmp", "code", code, message.code);
                if icmp.mtu.is_some() || icmp.id.is_some() {
                    out.check(
                        "icmp",
                        "rest",
                        format!("{rest:02x?}"),
                        format!("{:02x?}", message.rest),
                    );
                }
                format!(
                    ">{} icmp type {} code {}",
                    matcher::ip_text(&actual.ip, &packet.ip),
                    message.kind,
                    message.code
                )
            }
            _ => {
                out.add("ip", "protocol", protocol_name(&packet.body), "another");
                "> another protocol".to_string()
            }
        };
        Ok((out, actual_text))
    }

    /// Which socket the packet is expected of, and what the script says of its numbers.
    fn expect_from(&mut self, packet: &Packet) -> Result<(), Stop> {
        let Body::Tcp(tcp) = &packet.body else { return Ok(()) };
        if let Some(socket) = self.sockets.current_mut() {
            if socket.state == State::Connecting && tcp.flags.syn && !tcp.flags.ack {
                socket.state = State::SynSent;
                socket.script_local_isn = tcp.seq;
            } else if socket.state == State::PacketReceived && tcp.flags.syn && tcp.flags.ack {
                socket.script_local_isn = tcp.seq;
            }
        }
        Ok(())
    }

    /// Until when a packet is waited for.
    fn patience(&self, window: Window) -> i64 {
        if window.any {
            return self.elapsed().saturating_add(ANY_TIME_LIMIT_NS);
        }
        // Whole seconds of the expected delay, and two more.
        let before = self.last.map_or(0, |(due, _)| due);
        let whole = (window.to - before).max(0) / 1_000_000_000 * 1_000_000_000;
        self.elapsed().saturating_add(whole).saturating_add(PATIENCE_NS)
    }

    /// Lets time pass until `take` finds what it looks for, or the time for it is over.
    pub(super) fn wait_for<T>(
        &mut self,
        window: Window,
        mut take: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<Option<T>, Stop> {
        let limit = self.live_time(self.patience(window));
        loop {
            if let Some(found) = take(self) {
                return Ok(Some(found));
            }
            if self.target.now() >= limit || self.target.is_idle() {
                return Ok(None);
            }
            self.target.advance(limit);
            self.poll_target()?;
        }
    }

    /// Waits for the next packet of the socket under test; others fall away in silence.
    fn next_packet(&mut self, packet: &Packet, window: Window) -> Result<wire::Packet, Stop> {
        let mut others: Vec<String> = Vec::new();
        if let Some(found) = self.wait_for(window, |run| run.take_ours(packet, &mut others))? {
            return Ok(found);
        }
        let expected = if window.any {
            "at any time".to_string()
        } else {
            format!("at {} s", report::seconds(window.from))
        };
        let mismatch = Mismatch {
            layer: protocol_name(&packet.body),
            field: "packet",
            expected: packet.to_string(),
            got: "no packet".into(),
        };
        let message = format!("no packet came, expected {expected}");
        let edits = self.edits_of_missing();
        Err(Failure { notes: others, edits, ..self.failure(packet.span, message, mismatch) }.into())
    }

    /// The next packet of the socket under test. What is the link's own, or another owner's, stays for its lines.
    fn take_ours(&mut self, packet: &Packet, others: &mut Vec<String>) -> Option<wire::Packet> {
        let mut at = 0;
        while let Some(seen) = self.packets.get(at) {
            if seen.of_link || self.is_of_another_owner(&seen.packet) {
                at += 1;
                continue;
            }
            let found = self.packets.remove(at)?.packet;
            if self.is_ours(&found, packet) {
                return Some(found);
            }
            if others.len() < 4 {
                others.push(format!(
                    "at {} s came one that is not of the socket under test: {}",
                    report::seconds(self.script_time(found.at)),
                    matcher::describe(&found)
                ));
            }
        }
        None
    }

    fn is_ours(&mut self, found: &wire::Packet, expected: &Packet) -> bool {
        let addresses = &self.config.addresses;
        if let (Body::Icmp(_), wire::Body::Icmp(_)) = (&expected.body, &found.body) {
            return found.ip.source == addresses.local && found.ip.destination == addresses.remote;
        }
        self.sockets.current_mut().is_some_and(|socket| socket.sent(found) || socket.opens(found))
    }

    /// One segment, or as many in a row as make up the script's length, in the script's numbers.
    fn segments(
        &mut self,
        packet: &Packet,
        tcp: &Tcp,
        window: Window,
    ) -> Result<wire::Packet, Stop> {
        let expected = usize::from(tcp.len);
        // On a link that carries frames, a super-packet has to come in parts.
        let may_join =
            !self.config.strict_segments || matches!(self.target.nic(), Nic::Ftgmac100 | Nic::Tap);
        let mut parts: Vec<wire::Packet> = Vec::new();
        let mut total = 0;
        loop {
            let mut found = self.next_packet(packet, window)?;
            if let (wire::Body::Tcp(live), Some(socket)) =
                (&mut found.body, self.sockets.current_mut())
            {
                learn(socket, live, tcp);
                socket.remember_sent(live);
                *live = matcher::to_script(socket, live);
            }
            let len = match &found.body {
                wire::Body::Tcp(t) => t.len,
                _ => 0,
            };
            // A packet of another connection that looked like the first of this one falls away.
            if parts.last().is_some_and(|before| !matcher::same_connection(before, &found)) {
                parts.clear();
                total = 0;
            }
            if let Some(before) = parts.last()
                && let Err(first) = matcher::joins(before, &found, expected - total)
            {
                parts.push(found.clone());
                let message = format!(
                    "the packets do not join: {}.{} is {}, expected {}",
                    first.layer, first.field, first.got, first.expected
                );
                return Err(self.parts_differ(packet, window, &parts, message, first));
            }
            total += len;
            let of_burst = self.last_read == Some(found.at);
            self.last_read = Some(found.at);
            parts.push(found);
            if of_burst {
                self.target.burst_was_read();
            }
            if total >= expected || !may_join {
                break;
            }
        }
        if total != expected {
            let first = Mismatch {
                layer: "tcp",
                field: "len",
                expected: expected.to_string(),
                got: total.to_string(),
            };
            let message = format!("the packet has {total} bytes of payload, expected {expected}");
            return Err(self.parts_differ(packet, window, &parts, message, first));
        }
        let first_at = parts.first().map(|p| p.at);
        let mut whole = matcher::join(&parts).unwrap_or_else(|| parts.remove(0));
        // The parts of a super-packet follow each other as fast as the link takes them: it left when its first part did.
        whole.at = first_at.unwrap_or(whole.at);
        Ok(whole)
    }

    /// The failure of segments that do not make up the expected one.
    fn parts_differ(
        &mut self,
        packet: &Packet,
        window: Window,
        parts: &[wire::Packet],
        message: String,
        first: Mismatch,
    ) -> Stop {
        let texts: Vec<String> = parts.iter().map(|part| describe_like(part, packet)).collect();
        let edits = match parts {
            [one] => self.edits_of_packet(packet, one, &texts[0], window),
            _ => self.edits_of_parts(packet, &texts),
        };
        let packets = match texts.as_slice() {
            [one] => report::aligned(&packet.to_string(), one),
            _ => Packets { script: packet.to_string(), actual: texts, marks: String::new() },
        };
        let label = format!("{}.{} is {}", first.layer, first.field, first.got);
        let failure = self.failure(packet.span, message, first);
        Failure { label, packets: Some(packets), edits, ..failure }.into()
    }
}

/// The initial sequence number of a child is learned from its SYN-ACK.
fn learn(socket: &mut Socket, live: &wire::Tcp, expected: &Tcp) {
    let syn_ack = expected.flags.syn && expected.flags.ack;
    if socket.state == State::PacketReceived && syn_ack {
        socket.state = State::SynAckSent;
        socket.live_local_isn = live.seq;
    } else if socket.state == State::SynAckSent && live.has(SYN) && live.has(ACK) && syn_ack {
        socket.script_local_isn = expected.seq;
    }
}

fn protocol_name(body: &Body) -> &'static str {
    match body {
        Body::Tcp(_) => "tcp",
        Body::Udp(_) => "udp",
        Body::Icmp(_) => "icmp",
        Body::Eth(_) => "eth",
        Body::Raw(_) => "raw",
        Body::Link(message) => message.protocol.name(),
    }
}

fn describe_like(found: &wire::Packet, like: &Packet) -> String {
    match &found.body {
        wire::Body::Tcp(t) => matcher::tcp_text(&found.ip, t, like),
        _ => matcher::describe(found),
    }
}
