//! What ICMP errors do to connections (Linux `tcp_v4_err()` and what it asks).

use super::*;

/// The path's MTU is known to be smaller (`tcp_v4_mtu_reduced`): shorter segments, and what is
/// out goes again at once (RFC 1191 6.5).
pub(crate) fn tcp_v4_mtu_reduced(tp: &mut TcpSock, net: &mut Net, mtu: u32) {
    if tp.sk.ipv6_specific().is_some() {
        return tcp_v6_mtu_reduced(tp, net, mtu);
    }
    if matches!(tp.sk.sk_state, TcpState::Listen | TcpState::Close) {
        return;
    }
    let Some(dst) = inet_csk_update_pmtu(tp, net, mtu) else { return };
    let df = matches!(tp.sk.pmtudisc, IP_PMTUDISC_DO)
        || (tp.sk.pmtudisc == IP_PMTUDISC_WANT && !dst.mtu_locked);
    if mtu < dst.mtu && df {
        tp.sk.sk_err_soft = Some(Errno::EMSGSIZE);
    }
    if tp.sk.pmtudisc != IP_PMTUDISC_DONT && tp.icsk.icsk_pmtu_cookie > dst.mtu {
        tcp_sync_mss(tp, net, dst.mtu);
        tcp_simple_retransmit(tp, net);
    }
}

/// Tells routing of a path MTU and takes the route anew (`inet_csk_update_pmtu`).
fn inet_csk_update_pmtu(tp: &mut TcpSock, net: &mut Net, mtu: u32) -> Option<Dst> {
    let mut fl = flow_of(tp);
    let dst = match tp.sk.sk_dst.take() {
        Some(dst) => dst,
        None => ip_route_output_flow(net, &mut fl).ok()?,
    };
    ipv4_update_pmtu(net, &dst, tp.sk.inet_daddr, mtu);
    let dst = ip_route_output_flow(net, &mut fl).ok()?;
    tp.sk.sk_dst = Some(dst.clone());
    Some(dst)
}

/// An ICMP error about a segment of ours (`tcp_v4_err`).
pub(crate) fn tcp_v4_err(socks: &mut Socks, net: &mut Net, err: &IcmpErr) {
    let key = FourTuple { saddr: err.saddr, sport: err.sport, daddr: err.daddr, dport: err.dport };
    let (seq, ty, code) = (SeqNum(err.seq), err.icmp_type, err.code);
    let Some(id) = inet_lookup_established(socks, &key) else {
        net.mib.inc(Icmp::InErrors);
        return;
    };
    match socks.get(id) {
        Some(Sock::Req(_)) => tcp_req_err(socks, net, id, seq, ends_request(ty, code)),
        Some(Sock::Tcp(_)) => {
            if let Some(tp) = socks.tcp_mut(id) {
                err_for_connection(tp, net, seq, ty, code, err.info);
            }
            tcp_settle(socks, net, id);
        }
        _ => {}
    }
}

/// Whether an error about a SYN-ACK ends the request: only those that mean "never".
fn ends_request(ty: u8, code: u8) -> bool {
    matches!(ty, ICMP_PARAMETERPROB | ICMP_TIME_EXCEEDED)
        || (ty == ICMP_DEST_UNREACH && matches!(code, ICMP_NET_UNREACH | ICMP_HOST_UNREACH))
}

/// An error about a SYN-ACK (`tcp_req_err`).
pub(crate) fn tcp_req_err(socks: &mut Socks, net: &mut Net, id: SockId, seq: SeqNum, abort: bool) {
    let Some(req) = socks.req(id) else { return };
    let (listener, isn) = (req.listener, req.snt_isn);
    if seq != isn {
        net.mib.inc(TcpExt::OutOfWindowIcmps);
    } else if abort {
        inet_csk_reqsk_queue_drop(socks, net, listener, id);
        if let Some(tp) = socks.tcp_mut(listener) {
            tp.sk.sk_drops = tp.sk.sk_drops.wrapping_add(1);
        }
        net.mib.inc(TcpExt::ListenDrops);
    }
}

fn err_for_connection(tp: &mut TcpSock, net: &mut Net, seq: SeqNum, ty: u8, code: u8, info: u32) {
    if tp.sk.sk_state == TcpState::Close {
        return;
    }
    if !quotes_the_window(tp, net, seq) {
        return;
    }
    let owned = tp.sk.sk_lock_owned;
    if owned && !(ty == ICMP_DEST_UNREACH && code == ICMP_FRAG_NEEDED) {
        net.mib.inc(TcpExt::LockDroppedIcmps);
    }
    let err = match (ty, icmp_err_convert(code)) {
        (ICMP_PARAMETERPROB, _) => Errno::EPROTO,
        (ICMP_TIME_EXCEEDED, _) => Errno::EHOSTUNREACH,
        (ICMP_DEST_UNREACH, Some(_)) if code == ICMP_FRAG_NEEDED => {
            if owned {
                tp.deferred.mtu_reduced = Some(info);
            } else if tp.sk.sk_state != TcpState::Listen {
                // The clock of the last packet or call goes on: nothing reads it anew here.
                tcp_v4_mtu_reduced(tp, net, info);
            }
            return;
        }
        (ICMP_DEST_UNREACH, Some((err, _))) => {
            if tp.fastopen.fastopen_rsk.is_none()
                && matches!(code, ICMP_NET_UNREACH | ICMP_HOST_UNREACH)
            {
                tcp_ld_RTO_revert(tp, net, seq);
            }
            err
        }
        _ => return,
    };
    report_err(tp, net, err, tp.sk.recverr);
}

/// Whether what an error quotes is on its way; else it is an old one, or forged.
pub(crate) fn quotes_the_window(tp: &TcpSock, net: &mut Net, seq: SeqNum) -> bool {
    // A Fast Open child's SYN-ACK is still on its way.
    let snd_una = tp.fastopen.fastopen_rsk.as_ref().map_or(tp.snd_una, |req| req.snt_isn);
    let fits = tp.sk.sk_state == TcpState::Listen || seq.between(snd_una, tp.snd_nxt);
    if !fits {
        net.mib.inc(TcpExt::OutOfWindowIcmps);
    }
    fits
}

/// Tells a connection of an error: one that is opening ends, else it counts only if the
/// connection times out, unless the user asked for errors.
pub(crate) fn report_err(tp: &mut TcpSock, net: &mut Net, err: Errno, recverr: bool) {
    // A child that was accepted is a connection already.
    let accepted = tp.fastopen.fastopen_rsk.is_some() && tp.icsk.listener.is_none();
    let opening = matches!(tp.sk.sk_state, TcpState::SynSent | TcpState::SynRecv) && !accepted;
    if tp.sk.sk_lock_owned || !(opening || recverr) {
        tp.sk.sk_err_soft = Some(err);
        return;
    }
    tp.sk.sk_err = Some(err);
    net.sk_error_report(tp.sk.id);
    if opening {
        tcp_done(tp, net);
    }
}

/// The loss was a gap in connectivity, not congestion: one step of backoff is taken back
/// (`tcp_ld_RTO_revert`, RFC 6069).
#[allow(non_snake_case, reason = "Linux's name")]
pub(crate) fn tcp_ld_RTO_revert(tp: &mut TcpSock, net: &mut Net, seq: SeqNum) {
    if seq != tp.snd_una || tp.icsk.icsk_retransmits == 0 || tp.icsk.icsk_backoff == 0 {
        return;
    }
    let Some(sent) = tp.rtx_queue.front().map(tcp_skb_timestamp_us) else { return };
    tp.icsk.icsk_backoff -= 1;
    let max = tcp_rto_max(net);
    tp.icsk.icsk_rto = if tp.srtt_us != 0 { __tcp_set_rto(tp, net) } else { tcp_timeout_init(net) };
    tp.icsk.icsk_rto = inet_csk_rto_backoff(tp, max);
    tcp_mstamp_refresh(tp, net);
    let elapsed = net.time.usecs_to_jiffies(tp.tcp_mstamp.saturating_sub(sent));
    match tp.icsk.icsk_rto.checked_sub(elapsed).filter(|&left| left > 0) {
        Some(left) => inet_csk_reset_xmit_timer(tp, net, IcskPending::Retrans, left, max),
        None => super::super::tcp_timer::tcp_retransmit_timer(tp, net, 0),
    }
}
