//! TCP Fast Open (RFC 7413; Linux `tcp_fastopen.c`, 5.15): cookies and their keys, the listener's
//! side, and when the connecting side may use it. What the connecting side sends is in
//! `tcp_output/connect.rs`, what it does with the answer in `tcp_input/fastopen.rs`.

use super::inet_connection_sock::{inet_csk_reset_xmit_timer, tcp_rto_max, tcp_timeout_init};
use super::mib::TcpExt;
use super::tcp_input::{Seg, rx_charge, tcp_fin, tcp_init_transfer};
use super::tcp_ipv4::{addresses, tcp_v4_syn_recv_sock};
use super::tcp_metrics::tcp_fastopen_cache_get;
use super::tcp_minisocks::tcp_segs_in;
use super::tcp_sock::*;
use crate::lib::siphash::{SipKey, siphash};
use crate::net::Net;
use crate::net::core::skbuff::{Cb, Skb};
use crate::net::core::sock::{SockId, Socks, TcpState};
use crate::net::core::stream::sk_forced_mem_schedule;
use crate::net::core::zerocopy::UbufId;
use crate::time::Jiffies;
use std::net::IpAddr;
use std::sync::Arc;

/// Bits of `net.ipv4.tcp_fastopen`.
pub(crate) const TFO_CLIENT_ENABLE: i64 = 0x1;
pub(crate) const TFO_SERVER_ENABLE: i64 = 0x2;
/// Data goes with the SYN without a cookie.
pub(crate) const TFO_CLIENT_NO_COOKIE: i64 = 0x4;
/// Data of a SYN is taken without a cookie.
pub(crate) const TFO_SERVER_COOKIE_NOT_REQD: i64 = 0x200;
/// Every listener does Fast Open, without the socket option.
pub(crate) const TFO_SERVER_WO_SOCKOPT1: i64 = 0x400;

/// Bytes that others' cookies may have; ours have eight.
const TCP_FASTOPEN_COOKIE_MIN: usize = 4;
pub(crate) const TCP_FASTOPEN_COOKIE_MAX: usize = 16;
/// Bytes of a key.
pub(crate) const TCP_FASTOPEN_KEY_LENGTH: usize = 16;

/// `tcpi_fastopen_client_fail`.
pub(crate) const TFO_COOKIE_UNAVAILABLE: u8 = 1;
pub(crate) const TFO_DATA_NOT_ACKED: u8 = 2;
pub(crate) const TFO_SYN_RETRANSMITTED: u8 = 3;

/// `struct tcp_fastopen_cookie`; of length 0 it asks for one. "None" is Linux's length of -1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct TcpFastopenCookie {
    val: [u8; TCP_FASTOPEN_COOKIE_MAX],
    len: u8,
    /// In the experimental option (254 with a magic number) instead of option 34.
    pub(crate) exp: bool,
}

impl TcpFastopenCookie {
    /// The cookie in an option's value: empty, or an even number of 4 to 16 bytes
    /// (`tcp_parse_fastopen_option`).
    pub(crate) fn parse(value: &[u8], exp: bool) -> Option<Self> {
        let fits = (TCP_FASTOPEN_COOKIE_MIN..=TCP_FASTOPEN_COOKIE_MAX).contains(&value.len());
        if !value.is_empty() && !fits {
            return None;
        }
        let mut cookie = Self { len: value.len() as u8, exp, ..Self::default() };
        cookie.val[..value.len()].copy_from_slice(value);
        Some(cookie)
    }

    /// What asks for a cookie of the same form.
    pub(crate) fn request(&self) -> Self {
        Self { exp: self.exp, ..Self::default() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.val[..usize::from(self.len).min(TCP_FASTOPEN_COOKIE_MAX)]
    }

    /// Whether it only asks for a cookie.
    pub(crate) fn is_request(&self) -> bool {
        self.len == 0
    }
}

/// `struct tcp_fastopen_context`: the key that cookies are made with, and an older one whose
/// cookies are still taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TcpFastopenContext {
    primary: [u8; TCP_FASTOPEN_KEY_LENGTH],
    backup: Option<[u8; TCP_FASTOPEN_KEY_LENGTH]>,
}

impl TcpFastopenContext {
    /// From the bytes of one or two keys, as TCP_FASTOPEN_KEY takes them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let primary = *bytes.first_chunk()?;
        let backup = match &bytes[TCP_FASTOPEN_KEY_LENGTH..] {
            [] => None,
            rest => Some(rest.try_into().ok()?),
        };
        Some(Self { primary, backup })
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        self.keys().flatten().copied().collect()
    }

    /// From the text of `net.ipv4.tcp_fastopen_key`: a key is four words in hexadecimal, a comma
    /// before the second.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let key = |text: &str| -> Option<Vec<u8>> {
            let words: Vec<u32> = text
                .trim()
                .split('-')
                .map(|word| u32::from_str_radix(word, 16).ok())
                .collect::<Option<_>>()?;
            (words.len() == 4).then(|| words.iter().flat_map(|w| w.to_le_bytes()).collect())
        };
        let keys: Vec<Vec<u8>> = text.split(',').map(key).collect::<Option<_>>()?;
        Self::from_bytes(&keys.concat())
    }

    pub(crate) fn to_text(self) -> String {
        let key = |bytes: &[u8; TCP_FASTOPEN_KEY_LENGTH]| {
            let words = bytes.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w));
            words.map(|w| format!("{w:08x}")).collect::<Vec<_>>().join("-")
        };
        self.keys().map(key).collect::<Vec<_>>().join(",")
    }

    fn keys(&self) -> impl Iterator<Item = &[u8; TCP_FASTOPEN_KEY_LENGTH]> {
        std::iter::once(&self.primary).chain(self.backup.iter())
    }
}

/// `struct fastopen_queue` of a listener.
#[derive(Clone, Debug, Default)]
pub(crate) struct FastopenQueue {
    /// Most connections that may wait for their third ACK; 0: no Fast Open.
    pub(crate) max_qlen: u32,
    pub(crate) qlen: u32,
    /// When connections that were reset stop to count, oldest first (`rskq_rst_head`).
    rskq_rst: std::collections::VecDeque<Jiffies>,
    /// The listener's own keys (TCP_FASTOPEN_KEY).
    pub(crate) ctx: Option<TcpFastopenContext>,
}

/// `struct tcp_fastopen_request`: a connecting socket's SYN is to carry a cookie or ask for one.
#[derive(Clone, Debug, Default)]
pub(crate) struct TcpFastopenRequest {
    /// `None`: no option in the SYN (also: in the next one).
    pub(crate) cookie: Option<TcpFastopenCookie>,
    /// What the caller wants to send.
    pub(crate) data: Arc<Vec<u8>>,
    /// The caller's buffer cannot be read.
    pub(crate) fault: bool,
    /// Bytes that went with the SYN.
    pub(crate) copied: usize,
    /// What the data's pages are referred to by, with MSG_ZEROCOPY.
    pub(crate) uarg: Option<UbufId>,
}

/// What a socket has to do with Fast Open: the fields of `struct tcp_sock` of that name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fastopen {
    /// TCP_FASTOPEN_CONNECT.
    pub(crate) fastopen_connect: bool,
    /// TCP_FASTOPEN_NO_COOKIE.
    pub(crate) fastopen_no_cookie: bool,
    /// connect() returned without a SYN: it goes with the first data (`inet_sk()->defer_connect`).
    pub(crate) defer_connect: bool,
    /// The SYN had the option.
    pub(crate) syn_fastopen: bool,
    /// In its experimental form.
    pub(crate) syn_fastopen_exp: bool,
    /// Whether the path still eats such SYNs is to be found out.
    pub(crate) syn_fastopen_ch: bool,
    /// Data went with the SYN.
    pub(crate) syn_data: bool,
    /// ... and was acknowledged by the SYN-ACK, or came with the peer's SYN.
    pub(crate) syn_data_acked: bool,
    /// The socket was made from a SYN with a cookie.
    pub(crate) tfo_child: bool,
    /// `TFO_*`.
    pub(crate) fastopen_client_fail: u8,
    pub(crate) fastopen_req: Option<Box<TcpFastopenRequest>>,
    /// A child's request until the third ACK; the SYN-ACK is sent again from it.
    pub(crate) fastopen_rsk: Option<Box<RequestSock>>,
    /// The request is gone and its listener does not know yet: see [`tcp_fastopen_settle`].
    pub(crate) removed: Option<FastopenRemoved>,
}

/// A request that no longer counts at its listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastopenRemoved {
    listener: SockId,
    /// It was reset after accept(): it counts for another minute, against forged SYNs.
    reset: bool,
}

/// How active Fast Open fared (`net->ipv4.tfo_active_disable_*`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TfoActive {
    /// Black holes found since the last success.
    pub(crate) disable_times: u32,
    disable_stamp: Jiffies,
}

/// `tcp_passive_fastopen`: a child that waits for its third ACK, and may send meanwhile.
pub(crate) fn tcp_passive_fastopen(tp: &TcpSock) -> bool {
    tp.sk.sk_state == TcpState::SynRecv && tp.fastopen.fastopen_rsk.is_some()
}

/// Draws the machine's key if there is none (`tcp_fastopen_init_key_once`).
pub(crate) fn tcp_fastopen_init_key_once(net: &mut Net) {
    if net.sysctl.tcp_fastopen_key.is_some() {
        return;
    }
    let mut key = [0; TCP_FASTOPEN_KEY_LENGTH];
    for word in key.as_chunks_mut::<4>().0 {
        *word = net.rng.next_u32().to_le_bytes();
    }
    let ctx = TcpFastopenContext { primary: key, backup: None };
    Arc::make_mut(&mut net.sysctl).tcp_fastopen_key = Some(ctx);
}

/// Sets how many connections may wait for their third ACK (`fastopen_queue_tune`).
pub(crate) fn fastopen_queue_tune(tp: &mut TcpSock, net: &Net, backlog: u32) {
    let most = i64::from(backlog).min(net.sysctl.somaxconn);
    tp.icsk.fastopenq_mut().max_qlen = most as u32;
}

/// Most connections that may wait (`fastopenq.max_qlen`).
pub(crate) fn fastopen_max_qlen(tp: &TcpSock) -> u32 {
    tp.icsk.fastopenq.as_ref().map_or(0, |q| q.max_qlen)
}

/// The keys of a listener, or the machine's (`tcp_fastopen_get_ctx`).
pub(crate) fn tcp_fastopen_get_ctx(tp: &TcpSock, net: &Net) -> Option<TcpFastopenContext> {
    tp.icsk.fastopenq.as_ref().and_then(|q| q.ctx).or(net.sysctl.tcp_fastopen_key)
}

/// The cookie of a pair of addresses (`__tcp_fastopen_cookie_gen_cipher`): their bytes, the
/// client's first, under SipHash.
fn cookie_gen(key: &[u8; TCP_FASTOPEN_KEY_LENGTH], saddr: IpAddr, daddr: IpAddr) -> [u8; 8] {
    let bytes = [octets(saddr), octets(daddr)].concat();
    let words: Vec<u64> = bytes.as_chunks().0.iter().map(|w| u64::from_le_bytes(*w)).collect();
    let half = |at: usize| {
        let part: [u8; 8] = std::array::from_fn(|i| key[at + i]);
        u64::from_le_bytes(part)
    };
    siphash(&words, SipKey([half(0), half(8)])).to_le_bytes()
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn cookie_of(key: &[u8; TCP_FASTOPEN_KEY_LENGTH], skb: &Skb) -> Option<TcpFastopenCookie> {
    let (saddr, daddr) = addresses(skb)?;
    TcpFastopenCookie::parse(&cookie_gen(key, saddr, daddr), false)
}

/// Whether one more child may wait (`tcp_fastopen_queue_check`). Resets of the last minute count
/// too, until the oldest has aged.
fn tcp_fastopen_queue_check(tp: &mut TcpSock, net: &mut Net) -> bool {
    let now = net.jiffies();
    let Some(queue) = tp.icsk.fastopenq.as_mut().filter(|q| q.max_qlen != 0) else { return false };
    if queue.qlen < queue.max_qlen {
        return true;
    }
    if queue.rskq_rst.front().is_none_or(|&expires| expires > now) {
        net.mib.inc(TcpExt::TCPFastOpenListenOverflow);
        return false;
    }
    queue.rskq_rst.pop_front();
    queue.qlen -= 1;
    true
}

/// Whether cookies are not needed, by sysctl or socket (`tcp_fastopen_no_cookie`).
fn tcp_fastopen_no_cookie(tp: &TcpSock, net: &Net, flag: i64) -> bool {
    net.sysctl.tcp_fastopen & flag != 0 || tp.fastopen.fastopen_no_cookie
}

/// What a SYN's cookie came to at a listener.
pub(crate) enum TryFastopen {
    /// The child that has the SYN's data, and a new cookie if the old key made the one it came
    /// with.
    Child(SockId, Option<TcpFastopenCookie>),
    /// An ordinary handshake; the SYN-ACK brings a cookie.
    No(Option<TcpFastopenCookie>),
}

/// Opens at once if the SYN's cookie is right (`tcp_try_fastopen`).
pub(crate) fn tcp_try_fastopen(
    socks: &mut Socks,
    net: &mut Net,
    listener: SockId,
    skb: &Skb,
    req: &mut RequestSock,
    foc: Option<TcpFastopenCookie>,
) -> TryFastopen {
    let seg = Seg::new(skb);
    let syn_data = seg.end_seq != seg.seq + 1;
    if foc.is_some_and(|c| c.is_request()) {
        net.mib.inc(TcpExt::TCPFastOpenCookieReqd);
    }
    let Some(tp) = socks.tcp_mut(listener) else { return TryFastopen::No(None) };
    let asked = syn_data || foc.is_some();
    let enabled = net.sysctl.tcp_fastopen & TFO_SERVER_ENABLE != 0;
    if !enabled || !asked || !tcp_fastopen_queue_check(tp, net) {
        return TryFastopen::No(None);
    }
    let mut valid = None;
    let mut old_key = false;
    if !tcp_fastopen_no_cookie(tp, net, TFO_SERVER_COOKIE_NOT_REQD) {
        let Some(foc) = foc else { return TryFastopen::No(None) };
        let ctx = tcp_fastopen_get_ctx(tp, net);
        valid = ctx.and_then(|ctx| cookie_of(&ctx.primary, skb));
        if let Some(valid) = &mut valid {
            valid.exp = foc.exp;
        }
        if foc.is_request() {
            return TryFastopen::No(valid);
        }
        // tcp_fastopen_cookie_gen_check()
        let matches = ctx.and_then(|ctx| {
            ctx.keys().position(|key| cookie_of(key, skb).is_some_and(|c| c.bytes() == foc.bytes()))
        });
        let Some(key) = matches else {
            net.mib.inc(TcpExt::TCPFastOpenPassiveFail);
            return TryFastopen::No(valid);
        };
        old_key = key > 0;
    }
    let Some(child) = tcp_fastopen_create_child(socks, net, skb, req) else {
        net.mib.inc(TcpExt::TCPFastOpenPassiveFail);
        return TryFastopen::No(valid);
    };
    if old_key {
        net.mib.inc(TcpExt::TCPFastOpenPassiveAltKey);
    }
    net.mib.inc(TcpExt::TCPFastOpenPassive);
    TryFastopen::Child(child, valid.filter(|_| old_key))
}

/// Makes the socket before the third ACK, with the SYN's data (`tcp_fastopen_create_child`).
fn tcp_fastopen_create_child(
    socks: &mut Socks,
    net: &mut Net,
    skb: &Skb,
    req: &mut RequestSock,
) -> Option<SockId> {
    let seg = Seg::new(skb);
    let child = tcp_v4_syn_recv_sock(socks, net, req, &seg)?;
    if let Some(listener) = socks.tcp_mut(req.listener) {
        listener.icsk.fastopenq_mut().qlen += 1;
    }
    let tp = socks.tcp_mut(child)?;
    // RFC 7323 2.2: the window of a SYN is not scaled.
    tp.snd_wnd = seg.th.window.into();
    tp.max_window = tp.snd_wnd;
    req.timeout = tcp_timeout_init(net);
    let max = tcp_rto_max(net);
    inet_csk_reset_xmit_timer(tp, net, IcskPending::Retrans, req.timeout, max);
    tcp_init_transfer(tp, net);
    tp.rcv_nxt = seg.seq + 1;
    tp.fastopen.tfo_child = true;
    tcp_fastopen_add_skb(tp, net, skb);
    req.rcv_nxt = tp.rcv_nxt;
    tp.rcv_wup = tp.rcv_nxt;
    tp.fastopen.fastopen_rsk = Some(Box::new(req.clone()));
    Some(child)
}

/// Puts the data of a SYN or SYN-ACK into the receive queue (`tcp_fastopen_add_skb`).
pub(crate) fn tcp_fastopen_add_skb(tp: &mut TcpSock, net: &mut Net, skb: &Skb) {
    let mut cb = skb.tcp_cb();
    if cb.end_seq == tp.rcv_nxt {
        return;
    }
    // It was counted when the socket was made.
    tp.segs_in = 0;
    tcp_segs_in(tp, skb);
    let mut skb = skb.copy(&mut net.skbs);
    skb.pull(usize::from(cb.doff));
    sk_forced_mem_schedule(&mut tp.sk, net, skb.truesize);
    rx_charge(tp, skb.truesize);
    cb.seq += 1;
    cb.tcp_flags &= !TCPHDR_SYN;
    skb.cb = Cb::Tcp(cb);
    tp.rcv_nxt = cb.end_seq;
    tp.bytes_received = skb.len() as u64;
    tp.sk.sk_receive_queue.push_back(skb);
    tp.fastopen.syn_data_acked = true;
    if cb.tcp_flags & TCPHDR_FIN != 0 {
        tcp_fin(tp, net);
    }
}

/// The handshake of a child is over, well or not (`reqsk_fastopen_remove`).
pub(crate) fn reqsk_fastopen_remove(tp: &mut TcpSock, reset: bool) {
    let Some(req) = tp.fastopen.fastopen_rsk.take() else { return };
    let accepted = tp.icsk.listener.is_none();
    tp.fastopen.removed =
        Some(FastopenRemoved { listener: req.listener, reset: reset && accepted });
}

/// Brings what [`reqsk_fastopen_remove`] left to the listener.
pub(crate) fn tcp_fastopen_settle(socks: &mut Socks, net: &Net, id: SockId) {
    let Some(removed) = socks.tcp_mut(id).and_then(|tp| tp.fastopen.removed.take()) else { return };
    let minute = 60 * Jiffies::from(net.time.hz());
    let Some(listener) = socks.tcp_mut(removed.listener) else { return };
    let listening = listener.sk.sk_state == TcpState::Listen;
    let Some(queue) = &mut listener.icsk.fastopenq else { return };
    if removed.reset && listening {
        queue.rskq_rst.push_back(net.jiffies() + minute);
    } else {
        queue.qlen = queue.qlen.saturating_sub(1);
    }
}

/// The listener ends: its accepted children have nobody to tell any more.
pub(crate) fn tcp_fastopen_forget_listener(socks: &mut Socks, id: SockId) {
    let of_listener =
        |tp: &TcpSock| tp.fastopen.fastopen_rsk.as_ref().is_some_and(|r| r.listener == id);
    let children: Vec<SockId> = socks
        .iter()
        .filter(|&(at, _)| socks.tcp(at).is_some_and(of_listener))
        .map(|(at, _)| at)
        .collect();
    for child in children {
        if let Some(req) = socks.tcp_mut(child).and_then(|tp| tp.fastopen.fastopen_rsk.as_mut()) {
            req.listener = SockId(u32::MAX);
        }
    }
}

/// Whether the SYN may carry data: there is a cookie, or none is needed
/// (`tcp_fastopen_cookie_check`). `cookie` and `mss` are the remembered ones.
pub(crate) fn tcp_fastopen_cookie_check(
    tp: &mut TcpSock,
    net: &mut Net,
    mss: &mut u16,
    cookie: &mut Option<TcpFastopenCookie>,
) -> bool {
    tcp_fastopen_cache_get(tp, net, mss, cookie);
    if tcp_fastopen_active_should_disable(tp, net) {
        *cookie = None;
        return false;
    }
    if tcp_fastopen_no_cookie(tp, net, TFO_CLIENT_NO_COOKIE) {
        *cookie = None;
        return true;
    }
    if cookie.is_some_and(|c| !c.is_request()) {
        return true;
    }
    tp.fastopen.fastopen_client_fail = TFO_COOKIE_UNAVAILABLE;
    false
}

/// connect() with TCP_FASTOPEN_CONNECT: with a cookie at hand the SYN waits for data, else it asks
/// for one (`tcp_fastopen_defer_connect`).
pub(crate) fn tcp_fastopen_defer_connect(tp: &mut TcpSock, net: &mut Net) -> bool {
    if !tp.fastopen.fastopen_connect || tp.fastopen.fastopen_req.is_some() {
        return false;
    }
    let mut cookie = Some(TcpFastopenCookie::default());
    if tcp_fastopen_cookie_check(tp, net, &mut 0, &mut cookie) {
        tp.fastopen.defer_connect = true;
        return true;
    }
    tp.fastopen.fastopen_req =
        Some(Box::new(TcpFastopenRequest { cookie, ..TcpFastopenRequest::default() }));
    false
}

/// A middlebox eats Fast Open: connect without it for a while (`tcp_fastopen_active_disable`).
pub(crate) fn tcp_fastopen_active_disable(net: &mut Net) {
    if net.sysctl.tcp_fastopen_blackhole_timeout == 0 {
        return;
    }
    net.ip.tfo_active.disable_stamp = net.jiffies();
    net.ip.tfo_active.disable_times = net.ip.tfo_active.disable_times.saturating_add(1);
    net.mib.inc(TcpExt::TCPFastOpenBlackhole);
}

/// Whether that while lasts (`tcp_fastopen_active_should_disable`): doubled with each black hole
/// in a row, at most 64 times the sysctl's.
fn tcp_fastopen_active_should_disable(tp: &mut TcpSock, net: &Net) -> bool {
    let timeout = net.sysctl.tcp_fastopen_blackhole_timeout;
    let active = net.ip.tfo_active;
    if timeout == 0 || active.disable_times == 0 {
        return false;
    }
    let multiplier = 1u64 << (active.disable_times - 1).min(6);
    let lasts = multiplier * timeout as u64 * u64::from(net.time.hz());
    if net.jiffies() < active.disable_stamp + lasts {
        return true;
    }
    tp.fastopen.syn_fastopen_ch = true;
    false
}

/// At a socket's end: a lone FIN out of order and no data is a black hole's sign; data proves
/// that there is none (`tcp_fastopen_active_disable_ofo_check`).
pub(crate) fn tcp_fastopen_active_disable_ofo_check(tp: &TcpSock, net: &mut Net) {
    if !tp.fastopen.syn_fastopen {
        return;
    }
    if tp.data_segs_in == 0 {
        let lone = tp.out_of_order_queue.front().filter(|_| tp.out_of_order_queue.len() == 1);
        if lone.is_some_and(|skb| skb.tcp_cb().tcp_flags & TCPHDR_FIN != 0) {
            tcp_fastopen_active_disable(net);
        }
    } else if tp.fastopen.syn_fastopen_ch && !tp.sk.daddr().is_loopback() {
        net.ip.tfo_active.disable_times = 0;
    }
}

/// Time-outs in a row on a connection with Fast Open (`tcp_fastopen_active_detect_blackhole`).
pub(crate) fn tcp_fastopen_active_detect_blackhole(tp: &TcpSock, net: &mut Net, expired: bool) {
    let timeouts = tp.icsk.icsk_retransmits;
    let f = &tp.fastopen;
    if (f.syn_fastopen || f.syn_data || f.syn_data_acked)
        && (timeouts == 2 || (timeouts < 2 && expired))
    {
        tcp_fastopen_active_disable(net);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4";

    fn cookie(key: &str, saddr: &str, daddr: &str) -> u64 {
        let ctx = TcpFastopenContext::from_text(key).unwrap();
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        u64::from_be_bytes(cookie_gen(&ctx.primary, addr(saddr), addr(daddr)))
    }

    /// The cookies that the public packetdrill suite expects of Linux for its addresses.
    #[test]
    fn cookies_are_linuxs() {
        let zero = "00000000-00000000-00000000-00000000";
        let v4 = ("192.0.2.1", "192.168.0.1");
        assert_eq!(cookie(KEY, v4.0, v4.1), 0x3021_b9d8_8901_7eeb);
        assert_eq!(cookie(zero, v4.0, v4.1), 0xb7c1_2350_a90d_c8f5);
        let v6 = ("fd3d:fa7b:d17d::1", "fd3d:a0b:17d6::1");
        assert_eq!(cookie(KEY, v6.0, v6.1), 0xc1d1_e974_2a47_a9bc);
        assert_eq!(cookie(zero, v6.0, v6.1), 0x82af_1a8f_9a20_5c34);
    }

    #[test]
    fn keys_read_back_as_text_and_bytes() {
        let two = format!("{KEY},00000001-00000002-00000003-00000004");
        for text in [KEY, &two] {
            let ctx = TcpFastopenContext::from_text(text).unwrap();
            assert_eq!(ctx.to_text(), text);
            assert_eq!(TcpFastopenContext::from_bytes(&ctx.to_bytes()), Some(ctx));
        }
        for bad in ["", "1-2-3", "1-2-3-4-5", "1-2-3-x", "1-2-3-4,", "1-2-3-4,1-2-3-4,1-2-3-4"] {
            assert_eq!(TcpFastopenContext::from_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_cookie_has_an_allowed_length() {
        assert!(TcpFastopenCookie::parse(&[], false).is_some_and(|c| c.is_request()));
        assert_eq!(TcpFastopenCookie::parse(&[1; 3], false), None);
        assert_eq!(TcpFastopenCookie::parse(&[1; 17], false), None);
        assert_eq!(TcpFastopenCookie::parse(&[7; 16], true).unwrap().bytes(), [7; 16]);
    }
}
