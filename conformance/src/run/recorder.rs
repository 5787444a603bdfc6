//! The last events of every layer, kept only in runs that somebody has to understand.

use std::collections::{BTreeMap, VecDeque};

use super::connection::Sockets;
use super::matcher;
use super::wire;
use crate::results::LayerEvent;

/// How many events of the script's own level are kept, and how many of each layer below.
const KEPT: (usize, usize) = (10, 4);

/// What happened.
#[derive(Debug)]
enum What {
    Text(String),
    /// A packet of the target: what its numbers are in the script is known later.
    Sent(Box<wire::Packet>),
}

#[derive(Debug)]
struct Kept {
    /// Its place in the order of all events.
    order: u64,
    at_ns: i64,
    what: What,
}

/// The events, a ring a layer.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    rings: BTreeMap<&'static str, VecDeque<Kept>>,
    next: u64,
}

impl Recorder {
    pub(crate) fn text(&mut self, at_ns: i64, layer: &'static str, text: String) {
        self.put(at_ns, layer, What::Text(text));
    }

    pub(crate) fn sent(&mut self, at_ns: i64, packet: &wire::Packet) {
        self.put(at_ns, "wire", What::Sent(Box::new(packet.clone())));
    }

    fn put(&mut self, at_ns: i64, layer: &'static str, what: What) {
        let most = if matches!(layer, "call" | "wire") { KEPT.0 } else { KEPT.1 };
        let ring = self.rings.entry(layer).or_default();
        if ring.len() == most {
            ring.pop_front();
        }
        ring.push_back(Kept { order: self.next, at_ns, what });
        self.next += 1;
    }

    /// The events in order, packets in the numbers of the script's sockets.
    pub(crate) fn events(&self, sockets: &Sockets) -> Vec<LayerEvent> {
        let mut all: Vec<(u64, LayerEvent)> = Vec::new();
        for (&layer, ring) in &self.rings {
            for kept in ring {
                let text = match &kept.what {
                    What::Text(text) => text.clone(),
                    What::Sent(packet) => packet_text(packet, sockets),
                };
                let event = LayerEvent { at_ns: kept.at_ns, layer: layer.to_owned(), text };
                all.push((kept.order, event));
            }
        }
        all.sort_by_key(|(order, _)| *order);
        all.into_iter().map(|(_, event)| event).collect()
    }
}

/// A packet of the target as the script language writes it, with everything that it says.
pub(crate) fn packet_text(packet: &wire::Packet, sockets: &Sockets) -> String {
    if let wire::Body::Tcp(segment) = &packet.body
        && let Some(socket) = sockets.list.iter().rev().find(|socket| socket.sent(packet))
    {
        return matcher::full_tcp_text(&packet.ip, &matcher::to_script(socket, segment));
    }
    format!("> {}", matcher::describe(packet))
}
