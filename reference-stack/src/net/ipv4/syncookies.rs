//! SYN cookies (Linux `syncookies.c` of IPv4 and IPv6, 5.15): a SYN-ACK whose number says what a
//! request would have kept, so that a full queue of requests turns nobody away.
//!
//! The number holds the peer's segment size and a count of minutes under a keyed hash; window
//! scale, SACK and ECN travel in the low bits of the timestamp, and are lost without one.

use super::inet_csk_listen::reqsk_queue_add;
use super::inet_hashtables::ConnKey;
use super::mib::TcpExt;
use super::route::Dst;
use super::tcp_input::{Seg, tcp_clear_options, tcp_options, tcp_parse_options};
use super::tcp_ipv4::{inet_csk_route_req, secure_tcp_seq_and_ts_off, tcp_v4_syn_recv_sock};
use super::tcp_output::{tcp_full_space, tcp_select_initial_window};
use super::tcp_sock::*;
use crate::lib::seqnum::SeqNum;
use crate::lib::siphash::{SipKey, siphash};
use crate::net::Net;
use crate::net::core::skbuff::Skb;
use crate::net::core::sock::{SOCK_RCVBUF_LOCK, SockId, Socks};
use crate::time::{Jiffies, NSEC_PER_MSEC};

/// Bits of the number below the count of minutes (`COOKIEBITS`).
const COOKIEBITS: u32 = 24;
const COOKIEMASK: u32 = (1 << COOKIEBITS) - 1;
/// Periods that a cookie is good for (`MAX_SYNCOOKIE_AGE`).
const MAX_SYNCOOKIE_AGE: u32 = 2;
/// `TCP_SYNCOOKIE_PERIOD`, seconds.
const TCP_SYNCOOKIE_PERIOD: u64 = 60;
/// Low bits of the timestamp that tell options (`TSBITS`).
const TSBITS: u32 = 6;
/// The peer's window scale; all ones: it scales not (`TS_OPT_WSCALE_MASK`).
const TS_OPT_WSCALE_MASK: u32 = 0xf;
const TS_OPT_SACK: u32 = 1 << 4;
const TS_OPT_ECN: u32 = 1 << 5;
/// The segment sizes that a cookie can tell, IPv4 (`msstab`).
const MSSTAB_V4: [u16; 4] = [536, 1300, 1440, 1460];
/// The same for IPv6: what MTUs of 1280, 1480, 1500 and 9000 leave.
const MSSTAB_V6: [u16; 4] = [1220, 1420, 1440, 8940];

fn msstab(key: &ConnKey) -> &'static [u16; 4] {
    match key {
        ConnKey::V4(_) => &MSSTAB_V4,
        ConnKey::V6(_) => &MSSTAB_V6,
    }
}

/// Minutes since boot (`tcp_cookie_time`).
fn tcp_cookie_time(net: &Net) -> u32 {
    (net.jiffies() / (TCP_SYNCOOKIE_PERIOD * u64::from(net.time.hz()))) as u32
}

/// `cookie_hash`; `c`: which of the two secrets, both drawn from the one of initial numbers.
fn cookie_hash(net: &Net, key: &ConnKey, count: u32, c: u64) -> u32 {
    let secret = net.ip.secrets.net_secret;
    let secret = SipKey([siphash(&[c, 0], secret), siphash(&[c, 1], secret)]);
    let (addrs, sport, dport) = match key {
        ConnKey::V4(k) => {
            ([u32::from(k.saddr).into(), u32::from(k.daddr).into()], k.sport, k.dport)
        }
        ConnKey::V6(k) => ([u128::from(k.saddr), u128::from(k.daddr)], k.sport, k.dport),
    };
    let [[s1, s2], [d1, d2]] = addrs.map(|a: u128| [(a >> 64) as u64, a as u64]);
    let ports = u64::from(sport) << 48 | u64::from(dport) << 32 | u64::from(count);
    siphash(&[s1, s2, d1, d2, ports], secret) as u32
}

/// The number that holds `data` (`secure_tcp_syn_cookie`).
fn secure_tcp_syn_cookie(net: &Net, key: &ConnKey, sseq: SeqNum, data: u32) -> SeqNum {
    let count = tcp_cookie_time(net);
    let low = cookie_hash(net, key, count, 1).wrapping_add(data) & COOKIEMASK;
    let sum = cookie_hash(net, key, 0, 0).wrapping_add(sseq.0).wrapping_add(count << COOKIEBITS);
    SeqNum(sum.wrapping_add(low))
}

/// What a number holds (`check_tcp_syn_cookie`); `None`: it is too old. Of a number that is no
/// cookie, anything comes out.
fn check_tcp_syn_cookie(net: &Net, key: &ConnKey, cookie: SeqNum, sseq: SeqNum) -> Option<u32> {
    let rest = cookie.0.wrapping_sub(cookie_hash(net, key, 0, 0)).wrapping_sub(sseq.0);
    let count = tcp_cookie_time(net);
    let diff = count.wrapping_sub(rest >> COOKIEBITS) & (u32::MAX >> COOKIEBITS);
    if diff >= MAX_SYNCOOKIE_AGE {
        return None;
    }
    let hash = cookie_hash(net, key, count.wrapping_sub(diff), 1);
    Some(rest.wrapping_sub(hash) & COOKIEMASK)
}

/// Notes that a queue of requests was full: only then are cookies looked for (`tcp_synq_overflow`).
fn tcp_synq_overflow(tp: &mut TcpSock, net: &Net) {
    let now = net.jiffies();
    let second = Jiffies::from(net.time.hz());
    if tp.icsk.synq_overflow.is_none_or(|then| now > then + second) {
        tp.icsk.synq_overflow = Some(now);
    }
}

/// `tcp_synq_no_recent_overflow`.
fn tcp_synq_no_recent_overflow(tp: &TcpSock, net: &Net) -> bool {
    let valid = u64::from(MAX_SYNCOOKIE_AGE) * TCP_SYNCOOKIE_PERIOD * u64::from(net.time.hz());
    tp.icsk.synq_overflow.is_none_or(|then| net.jiffies() > then + valid)
}

/// The initial number of a request that is not kept (`cookie_init_sequence`); its segment size is
/// rounded down to one that a cookie can tell.
pub(crate) fn cookie_init_sequence(
    tp: &mut TcpSock,
    net: &mut Net,
    req: &mut RequestSock,
) -> SeqNum {
    tcp_synq_overflow(tp, net);
    net.mib.inc(TcpExt::SyncookiesSent);
    let key = req.key();
    let table = msstab(&key);
    let at = table.iter().rposition(|&mss| req.mss >= mss).unwrap_or(0);
    req.mss = table[at];
    secure_tcp_syn_cookie(net, &key, req.rcv_isn, at as u32)
}

/// The timestamp of such a SYN-ACK, milliseconds: its low bits tell the options, and it is not
/// ahead of the clock (`cookie_init_timestamp`).
pub(crate) fn cookie_init_timestamp(req: &RequestSock, now_ns: u64) -> u32 {
    let mut options = if req.wscale_ok { u32::from(req.snd_wscale) } else { TS_OPT_WSCALE_MASK };
    if req.sack_ok {
        options |= TS_OPT_SACK;
    }
    if req.ecn_ok {
        options |= TS_OPT_ECN;
    }
    let ts_now = (now_ns / NSEC_PER_MSEC) as u32;
    let ts = ts_now >> TSBITS << TSBITS | options;
    if ts > ts_now { ts.wrapping_sub(1 << TSBITS) } else { ts }
}

/// Takes the options out of an echoed timestamp, the offset removed (`cookie_timestamp_decode`);
/// whether this host still allows what they say.
fn cookie_timestamp_decode(net: &Net, opt: &mut TcpOptionsReceived) -> bool {
    let options = opt.rcv_tsecr;
    if !opt.saw_tstamp {
        tcp_clear_options(opt);
        return true;
    }
    if net.sysctl.tcp_timestamps == 0 {
        return false;
    }
    opt.sack_ok = u8::from(options & TS_OPT_SACK != 0);
    if opt.sack_ok != 0 && net.sysctl.tcp_sack == 0 {
        return false;
    }
    if options & TS_OPT_WSCALE_MASK == TS_OPT_WSCALE_MASK {
        return true;
    }
    opt.wscale_ok = true;
    opt.snd_wscale = (options & TS_OPT_WSCALE_MASK) as u8;
    net.sysctl.tcp_window_scaling != 0
}

/// What the ACK of a cookie came to.
pub(crate) enum CookieCheck {
    /// It is no answer to a cookie: the listener's.
    Listener,
    /// It was one, but no connection came of it.
    Drop,
    /// The connection that it completes, already in the accept queue.
    Child(SockId),
}

/// Whether a segment at a listener completes a handshake that nothing was kept of
/// (`cookie_v4_check`, `cookie_v6_check`).
pub(crate) fn cookie_v4_check(
    socks: &mut Socks,
    net: &mut Net,
    listener: SockId,
    skb: &Skb,
) -> CookieCheck {
    let seg = Seg::new(skb);
    let Some(tp) = socks.tcp(listener) else { return CookieCheck::Listener };
    if net.sysctl.tcp_syncookies == 0
        || !seg.th.ack()
        || seg.th.rst()
        || tcp_synq_no_recent_overflow(tp, net)
    {
        return CookieCheck::Listener;
    }
    let mut opt = TcpOptionsReceived::default();
    tcp_parse_options(net, tcp_options(skb), &mut opt, false, false);
    let Some(mut req) = super::tcp_input::reqsk_alloc(tp, skb, &opt) else {
        return CookieCheck::Listener;
    };
    let key = req.key();
    (req.rcv_isn, req.rcv_nxt) = (seg.seq - 1, seg.seq);
    req.snt_isn = seg.ack_seq - 1;
    let held = check_tcp_syn_cookie(net, &key, req.snt_isn, req.rcv_isn);
    let Some(&mss) = held.and_then(|at| msstab(&key).get(at as usize)) else {
        net.mib.inc(TcpExt::SyncookiesFailed);
        return CookieCheck::Listener;
    };
    net.mib.inc(TcpExt::SyncookiesRecv);
    req.mss = mss;
    let mut ts_off = 0;
    if opt.saw_tstamp && opt.rcv_tsecr != 0 {
        ts_off = secure_tcp_seq_and_ts_off(net, key).1;
        opt.rcv_tsecr = opt.rcv_tsecr.wrapping_sub(ts_off);
    }
    if !cookie_timestamp_decode(net, &mut opt) {
        return CookieCheck::Listener;
    }
    req.sack_ok = opt.sack_ok != 0;
    (req.wscale_ok, req.snd_wscale) = (opt.wscale_ok, opt.snd_wscale);
    req.ecn_ok = opt.saw_tstamp && opt.rcv_tsecr & TS_OPT_ECN != 0 && net.sysctl.tcp_ecn != 0;
    req.ts_off = ts_off;
    req.txhash = net.rng.next_u32().max(1);
    tcp_get_cookie_sock(socks, net, req, &seg)
}

/// Makes the child and lets it be accepted (`tcp_get_cookie_sock`).
fn tcp_get_cookie_sock(
    socks: &mut Socks,
    net: &mut Net,
    mut req: RequestSock,
    seg: &Seg,
) -> CookieCheck {
    let Some(tp) = socks.tcp(req.listener) else { return CookieCheck::Listener };
    let Ok(dst) = inet_csk_route_req(tp, net, &req) else { return CookieCheck::Drop };
    choose_window(&mut req, tp, net, &dst);
    let Some(child) = tcp_v4_syn_recv_sock(socks, net, &req, seg) else {
        return CookieCheck::Drop;
    };
    reqsk_queue_add(socks, req.listener, child);
    CookieCheck::Child(child)
}

/// The window that the SYN-ACK told, chosen once more from the same facts.
fn choose_window(req: &mut RequestSock, tp: &TcpSock, net: &Net, dst: &Dst) {
    let full_space = tcp_full_space(tp, net);
    let mut clamp = if tp.window_clamp != 0 { tp.window_clamp } else { dst.metric_window };
    let bounded = tp.sk.sk_userlocks & SOCK_RCVBUF_LOCK != 0;
    if bounded && (i64::from(clamp) > i64::from(full_space) || clamp == 0) {
        clamp = full_space.max(0) as u32;
    }
    let mss = req.mss.into();
    let first = tcp_select_initial_window(net, full_space, mss, clamp, req.wscale_ok, dst.initrwnd);
    req.rsk_rcv_wnd = first.rcv_wnd;
    req.rsk_window_clamp = first.window_clamp;
    req.rcv_wscale = first.rcv_wscale;
}
