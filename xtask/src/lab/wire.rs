//! The wire as a calculation: when a frame comes out of it, how often, and altered in which way.
//! The clock and the devices are in `relay`.

use super::rules::{Action, Kind, Rule, Which};

/// A direction, as the captured host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dir {
    Out,
    In,
}

/// A wire with its delays and rules.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    delay_ns: u64,
    /// Nanoseconds that a byte takes; 0: none.
    byte_ns: f64,
    /// Frames that wait for the rate at most.
    queue: u64,
    /// When the last frame of each direction has left the sender.
    busy_until: [f64; 2],
    rules: Vec<(Rule, u64)>,
    random: u64,
    /// When the host's programs started; times of rules count from here.
    start_ns: Option<u64>,
}

/// A frame that comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) at_ns: u64,
    pub(crate) frame: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(
        delay_ms: f64,
        rate_mbit: f64,
        queue: usize,
        rules: &[Rule],
        seed: u64,
    ) -> Self {
        Wire {
            delay_ns: (delay_ms * 1e6) as u64,
            byte_ns: if rate_mbit > 0.0 { 8000.0 / rate_mbit } else { 0.0 },
            queue: queue as u64,
            busy_until: [0.0; 2],
            rules: rules.iter().map(|r| (r.clone(), 0)).collect(),
            // A generator of this kind must not start at 0.
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            start_ns: None,
        }
    }

    /// The host's programs start now.
    pub(crate) fn start(&mut self, now_ns: u64) {
        self.start_ns.get_or_insert(now_ns);
    }

    /// A frame gets on the wire.
    pub(crate) fn enter(&mut self, now_ns: u64, dir: Dir, mut frame: Vec<u8>) -> Vec<Due> {
        let Some(mut at_ns) = self.carried(now_ns, dir, frame.len()) else { return Vec::new() };
        let mut copies = 1;
        for action in self.actions(now_ns, dir, &frame) {
            match action {
                Action::Drop => return Vec::new(),
                Action::Dup => copies += 1,
                Action::Delay(ms) => at_ns = at_ns.saturating_add((ms * 1e6) as u64),
                Action::Ce => mark_ce(&mut frame),
                Action::Corrupt => {
                    frame.iter_mut().next_back().into_iter().for_each(|b| *b ^= 0x20);
                }
                Action::Vlan(tag) => tag_vlan(&mut frame, tag),
                Action::Ttl(ttl) => set_ttl(&mut frame, ttl),
            }
        }
        (0..copies).map(|_| Due { at_ns, frame: frame.clone() }).collect()
    }

    /// When a frame is over, by delay and rate; `None`: the queue is full.
    fn carried(&mut self, now_ns: u64, dir: Dir, len: usize) -> Option<u64> {
        let busy = &mut self.busy_until[dir as usize];
        let from = busy.max(now_ns as f64);
        let takes = self.byte_ns * len as f64;
        if takes > 0.0 && (from - now_ns as f64) / takes > self.queue as f64 {
            return None;
        }
        *busy = from + takes;
        Some((*busy as u64).saturating_add(self.delay_ns))
    }

    /// What the rules do to a frame.
    fn actions(&mut self, now_ns: u64, dir: Dir, frame: &[u8]) -> Vec<Action> {
        let facts = Facts::of(frame);
        let seconds = self.start_ns.map_or(0.0, |s| now_ns.saturating_sub(s) as f64 / 1e9);
        let mut actions = Vec::new();
        for (rule, count) in &mut self.rules {
            if rule.dir.is_some_and(|d| d != dir) || !facts.is(rule.kind) {
                continue;
            }
            *count += 1;
            let hit = match &rule.which {
                Which::All => true,
                Which::Numbers(list) => list.iter().any(|r| r.contains(count)),
                Which::Every(n) => count.is_multiple_of(*n),
                Which::Chance(p) => draw(&mut self.random) < *p,
                Which::Time(from, to) => self.start_ns.is_some() && (*from..*to).contains(&seconds),
            };
            if hit {
                actions.push(rule.action);
            }
        }
        actions
    }
}

/// A number in [0, 1): xorshift64*.
fn draw(state: &mut u64) -> f64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
}

/// What rules ask of a frame.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    ether_type: u16,
    protocol: u8,
    fragment: bool,
    tcp: Option<(u8, usize)>,
}

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// Next header of an IPv6 fragment.
const FRAGMENT: u8 = 44;
/// Length of an Ethernet header.
const ETH: usize = 14;

impl Facts {
    /// Reads as far as the frame reaches; what is cut off is not there.
    fn of(frame: &[u8]) -> Self {
        let byte = |at: usize| frame.get(at).copied().unwrap_or(0);
        let word = |at: usize| u16::from_be_bytes([byte(at), byte(at + 1)]);
        let ether_type = word(12);
        let (protocol, at, end, fragment) = match ether_type {
            IPV4 => {
                let header = usize::from(byte(ETH) & 15) * 4;
                let fragment = word(ETH + 6) & 0x3fff != 0;
                (byte(ETH + 9), ETH + header, ETH + usize::from(word(ETH + 2)), fragment)
            }
            IPV6 => {
                let next = byte(ETH + 6);
                let end = ETH + 40 + usize::from(word(ETH + 4));
                let inner = if next == FRAGMENT { byte(ETH + 40) } else { next };
                (inner, ETH + 40, end, next == FRAGMENT)
            }
            _ => (0, 0, 0, false),
        };
        let tcp = (protocol == 6 && !fragment).then(|| {
            let header = usize::from(byte(at + 12) >> 4) * 4;
            (byte(at + 13), end.saturating_sub(at + header))
        });
        Facts { ether_type, protocol, fragment, tcp }
    }

    fn is(self, kind: Kind) -> bool {
        let flags = |mask: u8, value: u8| self.tcp.is_some_and(|(f, _)| f & mask == value);
        match kind {
            Kind::Any => true,
            Kind::Arp => self.ether_type == ARP,
            Kind::Ip => matches!(self.ether_type, IPV4 | IPV6),
            Kind::Ipv6 => self.ether_type == IPV6,
            Kind::Icmp => matches!((self.ether_type, self.protocol), (IPV4, 1) | (IPV6, 58)),
            Kind::Udp => self.protocol == 17,
            Kind::Tcp => self.tcp.is_some(),
            Kind::Syn => flags(SYN | ACK, SYN),
            Kind::SynAck => flags(SYN | ACK, SYN | ACK),
            Kind::Data => self.tcp.is_some_and(|(_, len)| len > 0),
            Kind::Ack => {
                flags(SYN | FIN | RST | ACK, ACK) && self.tcp.is_some_and(|(_, len)| len == 0)
            }
            Kind::Fin => flags(FIN, FIN),
            Kind::Rst => flags(RST, RST),
            Kind::Fragment => self.fragment,
        }
    }
}

/// Sets Congestion Experienced where the transport is ECN-capable.
fn mark_ce(frame: &mut [u8]) {
    match (Facts::of(frame).ether_type, frame.get(15).copied()) {
        (IPV4, Some(tos)) if tos & 3 != 0 => {
            frame[15] = tos | 3;
            ip_checksum(frame);
        }
        (IPV6, Some(low)) if low & 0x30 != 0 => frame[15] = low | 0x30,
        _ => {}
    }
}

fn set_ttl(frame: &mut [u8], ttl: u8) {
    let at = match Facts::of(frame).ether_type {
        IPV4 => ETH + 8,
        IPV6 => ETH + 7,
        _ => return,
    };
    if let Some(field) = frame.get_mut(at) {
        *field = ttl;
        ip_checksum(frame);
    }
}

/// Puts an 802.1Q tag behind the addresses.
fn tag_vlan(frame: &mut Vec<u8>, tag: u16) {
    if frame.len() >= 12 {
        let [high, low] = tag.to_be_bytes();
        frame.splice(12..12, [0x81, 0, high, low]);
    }
}

/// Computes the checksum of an IPv4 header anew.
fn ip_checksum(frame: &mut [u8]) {
    if Facts::of(frame).ether_type != IPV4 {
        return;
    }
    let len = usize::from(frame.get(ETH).copied().unwrap_or(0) & 15) * 4;
    let Some(header) = frame.get_mut(ETH..ETH + len).filter(|h| h.len() >= 20) else { return };
    header[10..12].fill(0);
    let mut sum: u32 = header.chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 TCP frame with `len` bytes of payload.
    fn segment(flags: u8, len: u8) -> Vec<u8> {
        let mut f = vec![2; 12];
        f.extend([
            8,
            0,
            0x45,
            2,
            0,
            40 + len,
            0,
            1,
            0x40,
            0,
            64,
            6,
            0,
            0,
            10,
            9,
            0,
            1,
            10,
            9,
            0,
            2,
        ]);
        f.extend([0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        f.extend(vec![b'x'; usize::from(len)]);
        ip_checksum(&mut f);
        f
    }

    fn wire(rules: &[&str]) -> Wire {
        let rules: Vec<Rule> = rules.iter().map(|r| Rule::parse(r).unwrap()).collect();
        Wire::new(10.0, 0.0, 100, &rules, 1)
    }

    #[test]
    fn frames_are_counted_by_kind_and_direction() {
        let mut w = wire(&["out drop data 2", "in dup ack all"]);
        let data = segment(ACK, 9);
        let ack = segment(ACK, 0);
        let count = |w: &mut Wire, dir, f: &[u8]| w.enter(0, dir, f.to_vec()).len();
        assert_eq!(count(&mut w, Dir::Out, &data), 1);
        assert_eq!(count(&mut w, Dir::Out, &ack), 1);
        assert_eq!(count(&mut w, Dir::In, &data), 1);
        assert_eq!(count(&mut w, Dir::In, &ack), 2);
        assert_eq!(count(&mut w, Dir::Out, &data), 0);
        assert_eq!(count(&mut w, Dir::Out, &data), 1);
    }

    #[test]
    fn a_rate_makes_frames_wait_and_a_full_queue_drops_them() {
        let mut w = Wire::new(1.0, 8.0, 2, &[], 1);
        let due: Vec<u64> =
            (0..5).flat_map(|_| w.enter(0, Dir::Out, vec![0; 1000])).map(|d| d.at_ns).collect();
        // A byte takes a microsecond; after the delay of 1 ms they are over.
        assert_eq!(due, [2_000_000, 3_000_000, 4_000_000]);
    }

    #[test]
    fn altered_headers_have_the_right_checksum() {
        let mut w = wire(&["out ce data all", "out ttl:1 tcp all"]);
        let out = w.enter(0, Dir::Out, segment(ACK, 5)).remove(0).frame;
        assert_eq!((out[15] & 3, out[22]), (3, 1));
        let mut again = out.clone();
        ip_checksum(&mut again);
        assert_eq!(out, again);
    }

    #[test]
    fn times_count_from_the_start_and_lots_are_drawn_alike() {
        let mut w = wire(&["both drop any time:0.5-1"]);
        assert_eq!(w.enter(700_000_000, Dir::In, segment(SYN, 0)).len(), 1);
        w.start(0);
        assert_eq!(w.enter(700_000_000, Dir::In, segment(SYN, 0)).len(), 0);
        assert_eq!(w.enter(1_000_000_000, Dir::In, segment(SYN, 0)).len(), 1);
        let lots = || {
            let mut w = wire(&["out drop any p:0.3"]);
            (0..64).map(|_| w.enter(0, Dir::Out, vec![0; 60]).len()).collect::<Vec<_>>()
        };
        assert_eq!(lots(), lots());
        let lost = lots().iter().filter(|n| **n == 0).count();
        assert!((8..32).contains(&lost), "{lost}");
    }

    #[test]
    fn any_bytes_are_carried() {
        let mut w = wire(&[
            "both ce any all",
            "both ttl:3 any all",
            "both vlan:5 any all",
            "both corrupt any all",
        ]);
        for len in 0..80 {
            for fill in [0, 0x08, 0x45, 0x86, 0xff] {
                let mut f = vec![fill; len];
                if let Some(ether_type) = f.get_mut(12..14) {
                    ether_type.copy_from_slice(&IPV4.to_be_bytes());
                }
                assert_eq!(w.enter(0, Dir::In, f).len(), 1);
            }
        }
    }
}
