//! Searching the path's MTU by segments of growing size (Linux `tcp_mtu_probe()`; RFC 4821).
//!
//! The search is binary, between `search_low` (known to pass) and `search_high`. A probe is the
//! head of the write queue, joined into one segment; the rest follows in the usual size, so that a
//! lost probe is found by its successors.

use super::*;
use std::cmp::Ordering;

/// What came of asking for a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MtuProbe {
    /// It is not the time for one.
    No,
    /// One left.
    Sent,
    /// One is wanted, but windows have to drain first: nothing else is sent until then.
    Wait,
}

/// Begins the search anew some time after it ended (Linux `tcp_mtu_check_reprobe()`).
fn tcp_mtu_check_reprobe(tp: &mut TcpSock, net: &mut Net) {
    let now = net.jiffies();
    let interval = net.sysctl.tcp_probe_interval as u64 * u64::from(net.time.hz());
    if now.saturating_sub(tp.icsk.icsk_mtup.probe_timestamp) < interval {
        return;
    }
    let mss = tcp_current_mss(tp, net);
    let (high, low) = (mtup_search_high(tp), tcp_mss_to_mtu(tp, mss));
    let mtup = &mut tp.icsk.icsk_mtup;
    mtup.probe_size = 0;
    mtup.search_high = high;
    mtup.search_low = low;
    mtup.probe_timestamp = now;
}

/// Whether the first `len` bytes of the write queue may become one segment
/// (Linux `tcp_can_coalesce_send_queue_head()`).
fn tcp_can_coalesce_send_queue_head(tp: &TcpSock, mut len: u32) -> bool {
    for skb in &tp.write_queue {
        if len <= skb.len {
            break;
        }
        if skb.eor {
            return false;
        }
        len -= skb.len;
    }
    true
}

/// Whether the state of the connection admits a probe at all.
fn may_probe(tp: &TcpSock) -> bool {
    let mtup = &tp.icsk.icsk_mtup;
    mtup.enabled
        && mtup.probe_size == 0
        && tp.icsk.icsk_ca_state == CaState::Open
        && tp.snd_cwnd >= 11
        && tp.rx_opt.num_sacks == 0
        && !tp.rx_opt.dsack
}

/// Sends a larger segment than usual if there is data for it and for what has to follow
/// (Linux `tcp_mtu_probe()`).
#[traced]
pub(super) fn tcp_mtu_probe(tp: &mut TcpSock, net: &mut Net) -> MtuProbe {
    if !may_probe(tp) {
        return MtuProbe::No;
    }
    let mss_now = tcp_current_mss(tp, net);
    let (low, high) = (tp.icsk.icsk_mtup.search_low, tp.icsk.icsk_mtup.search_high);
    let probe_size = tcp_mtu_to_mss(tp, net, high.saturating_add(low) >> 1);
    let size_needed = probe_size.saturating_add((tp.reordering + 1).saturating_mul(tp.mss_cache));
    let threshold = net.sysctl.tcp_probe_threshold as u32;
    let found = i64::from(high) - i64::from(low) < i64::from(threshold);
    if probe_size > tcp_mtu_to_mss(tp, net, high) || found {
        tcp_mtu_check_reprobe(tp, net);
        return MtuProbe::No;
    }
    if tp.write_seq.since(tp.snd_nxt) < size_needed || tp.snd_wnd < size_needed {
        return MtuProbe::No;
    }
    if (tp.snd_nxt + size_needed).after(tp.wnd_end()) {
        return MtuProbe::Wait;
    }
    let in_flight = tp.packets_in_flight();
    if in_flight + 2 > tp.snd_cwnd {
        return if in_flight == 0 { MtuProbe::No } else { MtuProbe::Wait };
    }
    if !tcp_can_coalesce_send_queue_head(tp, probe_size) {
        return MtuProbe::No;
    }
    send_mtu_probe(tp, net, probe_size, mss_now)
}

/// Joins the head of the write queue into a probe and sends it.
fn send_mtu_probe(tp: &mut TcpSock, net: &mut Net, probe_size: u32, mss_now: u32) -> MtuProbe {
    let Some(mut probe) = take_probe(tp, net, probe_size, mss_now) else { return MtuProbe::No };
    if tcp_transmit_skb(tp, net, &mut probe, true).is_err() {
        // It will be cut to the usual size.
        tp.write_queue.push_front(probe);
        return MtuProbe::No;
    }
    // Its loss costs two segments of the usual size.
    tp.snd_cwnd = tp.snd_cwnd.saturating_sub(1).max(1);
    tp.icsk.icsk_mtup.probe_size = tcp_mss_to_mtu(tp, probe.len);
    tp.mtu_probe_start = probe.seq;
    tp.mtu_probe_end = probe.end_seq;
    tcp_event_new_data_sent(tp, net, probe);
    MtuProbe::Sent
}

fn take_probe(tp: &mut TcpSock, net: &mut Net, size: u32, mss_now: u32) -> Option<TcpSkb> {
    let seq = tp.write_queue.front()?.seq;
    let mut probe = TcpSkb {
        seq,
        end_seq: seq + size,
        tcp_flags: TCPHDR_ACK,
        truesize: net.profile.tcp_skb_head + size,
        ..sk_stream_alloc_skb(net)
    };
    while probe.len < size {
        let Some(skb) = tp.write_queue.front_mut() else { break };
        let copy = skb.len.min(size - probe.len);
        for f in &skb.frags {
            let take = f.len.min(size - probe.len);
            frags::append(&mut probe.frags, &f.buf, f.off, take);
            probe.len += take;
        }
        match skb.len.cmp(&copy) {
            Ordering::Greater => {
                probe.tcp_flags |= skb.tcp_flags & !(TCPHDR_FIN | TCPHDR_PSH);
                frags::trim_head(&mut skb.frags, copy);
                skb.len -= copy;
                skb.seq += copy;
                skb.truesize = skb.truesize.saturating_sub(copy);
                tcp_set_skb_tso_segs(skb, mss_now);
                tp.sk.sk_wmem_queued -= copy as i32;
                sk_mem_uncharge(&mut tp.sk, net, copy);
            }
            _ => {
                probe.tcp_flags |= skb.tcp_flags;
                probe.eor = skb.eor;
                let Some(whole) = tp.write_queue.pop_front() else { break };
                tcp_wmem_free_skb(tp, net, whole);
            }
        }
    }
    probe.gso_segs = 1;
    tcp_wmem_charge(tp, probe.truesize);
    Some(probe)
}

/// Retransmission does not get through: perhaps the path drops large packets and says nothing
/// (Linux `tcp_mtu_probing()`).
pub(crate) fn tcp_mtu_probing(tp: &mut TcpSock, net: &mut Net) {
    if net.sysctl.tcp_mtu_probing == 0 {
        return;
    }
    if tp.icsk.icsk_mtup.enabled {
        let mss = tcp_mtu_to_mss(tp, net, tp.icsk.icsk_mtup.search_low) >> 1;
        let mss = mss
            .min(net.sysctl.tcp_base_mss as u32)
            .max(net.sysctl.tcp_mtu_probe_floor as u32)
            .max(net.sysctl.tcp_min_snd_mss as u32);
        tp.icsk.icsk_mtup.search_low = tcp_mss_to_mtu(tp, mss);
    } else {
        tp.icsk.icsk_mtup.enabled = true;
        tp.icsk.icsk_mtup.probe_timestamp = net.jiffies();
    }
    let cookie = tp.icsk.icsk_pmtu_cookie;
    tcp_sync_mss(tp, net, cookie);
}
