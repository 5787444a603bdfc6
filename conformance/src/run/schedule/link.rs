//! What a script says of the link: frames and packets as bytes, messages by name, the cable, faults of the device.

use super::{Run, Stop, Window};
use crate::results::Nic;
use crate::run::link::{self, Defaults};
use crate::run::matcher::{Differences, Mismatch};
use crate::run::report::{self, Failure};
use crate::run::wire;
use crate::script::ScriptError;
use crate::script::ast::{
    Action, Body, Bytes, Direction, Event, FaultEvent, LinkEvent, LinkMessage, LinkProtocol,
    LinkValue, Packet, PatternByte, Script,
};
use crate::target::{DeviceFault, Sent, Watch, ethernet};

/// How many frames that do not fit are shown.
const SHOWN: usize = 4;
/// Bytes of a frame that a report shows.
const SHOWN_BYTES: usize = 64;

/// Something that the target sent and no event has asked for yet.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) packet: wire::Packet,
    /// The frame, or the packet where the attachment has no link layer; empty if the script looks at none.
    frame: Vec<u8>,
    /// Whether it is the link's own business, which only lines about that can ask for.
    pub(super) of_link: bool,
}

impl Seen {
    pub(super) fn packet(sent: &Sent) -> Self {
        Seen { packet: wire::decode(sent), frame: Vec::new(), of_link: false }
    }

    fn frame(sent: Sent, framed: bool) -> Self {
        let of_link = link::is_link_packet(&sent.packet, framed);
        let ip = if framed { ethernet::ip_packet(&sent.packet) } else { Some(&*sent.packet) };
        let ip = Sent { at: sent.at, packet: ip.unwrap_or_default().to_vec() };
        Seen { packet: wire::decode(&ip), frame: sent.packet, of_link }
    }
}

/// What a script looks at besides the packets of its sockets: `None` if nothing.
pub(super) fn watched(script: &Script) -> Option<Watch> {
    let mut watch = Watch::default();
    let mut frames = false;
    for event in &script.events {
        let Action::Packet(packet) = &event.action else { continue };
        match &packet.body {
            Body::Eth(_) | Body::Raw(_) => frames |= packet.direction == Direction::Outbound,
            Body::Link(message) => {
                frames = true;
                watch.arp |= message.protocol == LinkProtocol::Arp;
                watch.ndp |= message.protocol == LinkProtocol::Ndp;
            }
            _ => {}
        }
    }
    frames.then_some(watch)
}

impl Run<'_> {
    /// Tells the target what the script looks at. A script that only sends bytes needs nothing of it.
    pub(super) fn watch(&mut self, script: &Script) -> Result<(), Stop> {
        let Some(watch) = watched(script) else { return Ok(()) };
        let first = script.events.first().map(|e| e.span).unwrap_or_default();
        self.target.watch(watch).map_err(|refusal| self.refused(first, refusal))
    }

    fn framed(&self) -> bool {
        matches!(self.target.nic(), Nic::Ftgmac100 | Nic::Tap)
    }

    /// Takes packets over from the target, or frames if the script looks at them.
    pub(super) fn poll_packets(&mut self) {
        let sent = self.target.sent();
        let framed = self.framed();
        let frames = self.target.frames();
        let seen = sent.iter().map(Seen::packet);
        for seen in seen.chain(frames.into_iter().map(|sent| Seen::frame(sent, framed))) {
            self.take_trace();
            let at = self.script_time(seen.packet.at);
            if let Some(recorder) = &mut self.recorder {
                recorder.sent(at, &seen.packet);
            }
            self.packets.push_back(seen);
        }
    }

    fn defaults(&self) -> Defaults {
        let addresses = &self.config.addresses;
        let on_link = addresses.gateway == addresses.local;
        let neighbour = if on_link { addresses.remote } else { addresses.gateway };
        Defaults { hardware: self.target.link_addresses(), local: addresses.local, neighbour }
    }

    /// Sends bytes or a message.
    pub(super) fn inbound_link(&mut self, packet: &Packet) -> Result<(), Stop> {
        self.note("wire", || packet.to_string());
        let sent = match &packet.body {
            Body::Eth(bytes) => self.target.inject_frame(&plain(bytes)),
            Body::Raw(bytes) => self.target.inject(&plain(bytes), 0),
            Body::Link(message) => match link::build(message, &self.defaults()) {
                // A packet goes where there is no link layer, too.
                (_, Some(packet)) if !self.framed() => self.target.inject(&packet, 0),
                (frame, _) => self.target.inject_frame(&frame),
            },
            Body::Tcp(_) | Body::Udp(_) | Body::Icmp(_) => Ok(()),
        };
        sent.map_err(|refusal| self.refused(packet.span, refusal))
    }

    /// Waits for bytes or a message, and compares.
    pub(super) fn outbound_link(
        &mut self,
        event: &Event,
        packet: &Packet,
        window: Window,
    ) -> Result<(), Stop> {
        if let (Body::Eth(_), false) = (&packet.body, self.framed()) {
            return Err(self.no_link_layer(packet));
        }
        let (at, text) = match &packet.body {
            Body::Eth(bytes) => self.expect_bytes(packet, bytes, window, true)?,
            Body::Raw(bytes) => self.expect_bytes(packet, bytes, window, false)?,
            Body::Link(message) => self.expect_message(packet, message, window)?,
            Body::Tcp(_) | Body::Udp(_) | Body::Icmp(_) => return Ok(()),
        };
        let at = self.script_time(at);
        self.note("wire", || text);
        self.check_time(event.time_span, "the packet", window, at, self.last.map(|(due, _)| due))
    }

    fn no_link_layer(&self, packet: &Packet) -> Stop {
        let what = "the attachment carries no frames: run it with --nic ftgmac100";
        Stop::Unsupported(format!("{}: {what}", self.source.place(packet.span)))
    }

    /// The first frame (`whole`) or packet that fits; the others stay for other lines.
    fn expect_bytes(
        &mut self,
        packet: &Packet,
        pattern: &Bytes,
        window: Window,
        whole: bool,
    ) -> Result<(u64, String), Stop> {
        let framed = self.framed();
        let part = |seen: &Seen| match (whole, framed) {
            (false, true) => ethernet::ip_packet(&seen.frame).unwrap_or_default().to_vec(),
            _ => seen.frame.clone(),
        };
        let found = self.wait_for(window, |run| {
            let fits = |seen: &Seen| link::first_difference(pattern, &part(seen)).is_none();
            run.packets.iter().position(fits).and_then(|at| run.packets.remove(at))
        })?;
        let name = if whole { "eth" } else { "raw" };
        if let Some(seen) = found {
            return Ok((seen.packet.at, format!("> {name}: {}", hex(&part(&seen)))));
        }
        let others: Vec<Vec<u8>> =
            self.packets.iter().map(part).filter(|bytes| !bytes.is_empty()).collect();
        let nearest = others
            .iter()
            .filter_map(|bytes| Some((link::first_difference(pattern, bytes)?, bytes)))
            .max_by_key(|(at, _)| *at);
        let mut lines: Vec<String> =
            others.iter().take(SHOWN).map(|bytes| format!("sent  {}", hex(bytes))).collect();
        let (message, first) = match nearest {
            Some((at, bytes)) => {
                let first = byte_mismatch(name, pattern, at, bytes);
                lines.push(format!("the nearest differs at byte {at}"));
                let message = format!(
                    "nothing that was sent fits: byte {at} of the nearest is {}",
                    first.got
                );
                (message, first)
            }
            None => ("nothing was sent".to_string(), nothing_came(name, packet)),
        };
        Err(Failure { notes: lines, ..self.failure(packet.span, message, first) }.into())
    }

    /// The next message of the protocol.
    fn expect_message(
        &mut self,
        packet: &Packet,
        expected: &LinkMessage,
        window: Window,
    ) -> Result<(u64, String), Stop> {
        let framed = self.framed();
        let of_protocol = |seen: &Seen| {
            link::read(&seen.frame, framed).filter(|m| m.protocol == expected.protocol)
        };
        let found = self.wait_for(window, |run| {
            let at = run.packets.iter().position(|seen| of_protocol(seen).is_some())?;
            run.packets.remove(at)
        })?;
        let name = expected.protocol.name();
        let Some((at, actual)) = found.and_then(|seen| Some((seen.packet.at, of_protocol(&seen)?)))
        else {
            let message = format!("no {name} message came");
            let first = nothing_came(name, packet);
            return Err(self.failure(packet.span, message, first).into());
        };
        let out = differences(expected, &actual);
        if let Some(first) = out.0.first().cloned() {
            let message = format!(
                "the message differs: {}.{} is {}, expected {}",
                first.layer, first.field, first.got, first.expected
            );
            return Err(Failure {
                packets: Some(report::aligned(&packet.to_string(), &actual.text())),
                differences: out.0,
                ..self.failure(packet.span, message, first)
            }
            .into());
        }
        Ok((at, actual.text()))
    }

    pub(super) fn link_event(&mut self, event: &LinkEvent) -> Result<(), Stop> {
        self.note("command", || event.to_string());
        self.target
            .set_carrier(event.device.as_deref(), event.up)
            .map_err(|refusal| self.refused(event.span, refusal))
    }

    pub(super) fn fault_event(&mut self, event: &FaultEvent) -> Result<(), Stop> {
        self.note("command", || event.to_string());
        let number = |default: i64| event.args.first().copied().unwrap_or(default);
        let fault = match event.name.as_str() {
            "rx_crc" => DeviceFault::RxCrc(u32::try_from(number(1)).unwrap_or(u32::MAX)),
            "stall" => {
                let us = u64::try_from(number(0)).unwrap_or(0);
                DeviceFault::Stall(us.saturating_mul(1000))
            }
            // The parser knows the names, and lets no other through.
            other => {
                let message = format!("there is no fault `{other}`");
                return Err(ScriptError::new(self.source, event.name_span, message, "").into());
            }
        };
        self.target.device_fault(fault).map_err(|refusal| self.refused(event.span, refusal))
    }
}

fn nothing_came(layer: &'static str, packet: &Packet) -> Mismatch {
    Mismatch { layer, field: "packet", expected: packet.to_string(), got: "no packet".into() }
}

/// Kind and written fields; what is not written may be anything.
fn differences(expected: &LinkMessage, actual: &link::Message) -> Differences {
    let layer = expected.protocol.name();
    let mut out = Differences::default();
    out.check(layer, "kind", expected.kind.clone(), actual.kind.clone());
    if let Some(fault) = actual.fault {
        out.add(layer, "format", "a right message", fault);
    }
    for (name, want) in expected.fields.iter().filter(|(_, want)| *want != LinkValue::Any) {
        match actual.field(name) {
            Some((_, got)) if got == want => {}
            Some((field, got)) => out.add(layer, field, want, got),
            None => out.add(layer, "fields", format!("{name}={want}"), format!("no {name}")),
        }
    }
    out
}

fn byte_mismatch(layer: &'static str, pattern: &Bytes, at: usize, bytes: &[u8]) -> Mismatch {
    let expected = match pattern.bytes.get(at) {
        Some(PatternByte { value, mask: 0xff }) => format!("{value:02x} at byte {at}"),
        Some(PatternByte { value, mask }) => format!("{value:02x}/{mask:02x} at byte {at}"),
        None => format!("{at} bytes"),
    };
    let got = match (pattern.bytes.get(at), bytes.get(at)) {
        (Some(_), Some(byte)) => format!("{byte:02x}"),
        (_, None) => "not there".to_string(),
        (None, Some(_)) => format!("one of {}", bytes.len()),
    };
    Mismatch { layer, field: "bytes", expected, got }
}

fn plain(bytes: &Bytes) -> Vec<u8> {
    bytes.bytes.iter().map(|b| b.value).collect()
}

fn hex(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(SHOWN_BYTES).map(|b| format!("{b:02x}")).collect();
    let more = if bytes.len() > SHOWN_BYTES { " ..." } else { "" };
    format!("[{}{more}]", shown.join(" "))
}
