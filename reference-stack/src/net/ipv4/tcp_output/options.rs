//! TCP options of what is sent (Linux `tcp_options_write()` and its helpers).

use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::net::ipv4::tcp_fastopen::TcpFastopenCookie;
use crate::net::ipv4::tcp_input::{TCPOPT_EXP, TCPOPT_FASTOPEN, TCPOPT_FASTOPEN_MAGIC, TCPOPT_NOP};
use crate::net::ipv4::tcp_md5::{
    TCPOLEN_MD5SIG, TCPOLEN_MD5SIG_ALIGNED, TCPOPT_MD5SIG, md5_key_of,
};
use crate::net::ipv4::tcp_sock::{RequestSock, SackBlock, TcpSock};
use smallvec::SmallVec;

/// Room for options in a header.
pub(crate) const MAX_TCP_OPTION_SPACE: u32 = 40;
const TCPOLEN_MSS: u32 = 4;
const TCPOLEN_TSTAMP_ALIGNED: u32 = 12;
const TCPOLEN_WSCALE_ALIGNED: u32 = 4;
const TCPOLEN_SACKPERM_ALIGNED: u32 = 4;
const TCPOLEN_SACK_BASE_ALIGNED: u32 = 4;
const TCPOLEN_SACK_PERBLOCK: u32 = 8;
const TCPOLEN_FASTOPEN_BASE: u32 = 2;
const TCPOLEN_EXP_FASTOPEN_BASE: u32 = 4;

/// The options of one segment (`struct tcp_out_options`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpOutOptions {
    /// Room for a signature, which is filled in when the rest of the segment is there.
    pub(crate) md5: bool,
    pub(crate) mss: Option<u16>,
    /// Timestamp value and echo reply.
    pub(crate) ts: Option<(u32, u32)>,
    pub(crate) ws: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) sack: SmallVec<[SackBlock; 4]>,
    pub(crate) fastopen_cookie: Option<TcpFastopenCookie>,
}

impl TcpOutOptions {
    /// Bytes in the header, always a multiple of four.
    pub(crate) fn len(&self) -> u32 {
        let mut size = if self.md5 { TCPOLEN_MD5SIG_ALIGNED } else { 0 };
        if self.mss.is_some() {
            size += TCPOLEN_MSS;
        }
        if self.ts.is_some() {
            size += TCPOLEN_TSTAMP_ALIGNED;
        } else if self.sack_permitted {
            size += TCPOLEN_SACKPERM_ALIGNED;
        }
        if self.ws.is_some() {
            size += TCPOLEN_WSCALE_ALIGNED;
        }
        if !self.sack.is_empty() {
            size += TCPOLEN_SACK_BASE_ALIGNED + TCPOLEN_SACK_PERBLOCK * self.sack.len() as u32;
        }
        size + self.fastopen_cookie.as_ref().map_or(0, fastopen_len).next_multiple_of(4)
    }
}

/// Options of a SYN (Linux `tcp_syn_options()`); `tsval` without the connection's offset.
pub(crate) fn tcp_syn_options(tp: &mut TcpSock, net: &mut Net, tsval: u32) -> TcpOutOptions {
    let md5 = md5_key_of(tp).is_some();
    // Both do not fit beside SACK and the rest.
    let timestamps = net.sysctl.tcp_timestamps != 0 && !md5;
    let mut opts = TcpOutOptions {
        md5,
        mss: Some(tcp_advertise_mss(tp, net)),
        ts: timestamps.then(|| (tsval.wrapping_add(tp.tsoffset), tp.rx_opt.ts_recent)),
        ws: (net.sysctl.tcp_window_scaling != 0).then_some(tp.rx_opt.rcv_wscale),
        sack_permitted: net.sysctl.tcp_sack != 0,
        ..TcpOutOptions::default()
    };
    let cookie = tp.fastopen.fastopen_req.as_ref().and_then(|req| req.cookie);
    if let Some(cookie) = add_cookie(&mut opts, cookie) {
        tp.fastopen.syn_fastopen = true;
        tp.fastopen.syn_fastopen_exp = cookie.exp;
    }
    opts
}

/// Bytes of a cookie's option, without padding.
fn fastopen_len(cookie: &TcpFastopenCookie) -> u32 {
    let base = if cookie.exp { TCPOLEN_EXP_FASTOPEN_BASE } else { TCPOLEN_FASTOPEN_BASE };
    base + cookie.bytes().len() as u32
}

/// Puts the cookie in, if there is room for it.
fn add_cookie(
    opts: &mut TcpOutOptions,
    cookie: Option<TcpFastopenCookie>,
) -> Option<TcpFastopenCookie> {
    let room = MAX_TCP_OPTION_SPACE - opts.len();
    opts.fastopen_cookie = cookie.filter(|c| fastopen_len(c).next_multiple_of(4) <= room);
    opts.fastopen_cookie
}

/// The segment size that a SYN announces (Linux `tcp_advertise_mss()`).
fn tcp_advertise_mss(tp: &mut TcpSock, net: &Net) -> u16 {
    if let Some(dst) = &tp.sk.sk_dst {
        let metric = dst.advmss(net).min(u32::from(u16::MAX)) as u16;
        tp.advmss = tp.advmss.min(metric);
    }
    tp.advmss
}

/// Options of a SYN-ACK (Linux `tcp_synack_options()`); `tsval` without the request's offset.
pub(crate) fn tcp_synack_options(
    req: &RequestSock,
    mss: u16,
    tsval: u32,
    foc: Option<TcpFastopenCookie>,
    md5: bool,
) -> TcpOutOptions {
    let mut opts = TcpOutOptions {
        md5,
        mss: Some(mss),
        ts: req.tstamp_ok.then(|| (tsval.wrapping_add(req.ts_off), req.ts_recent)),
        ws: req.wscale_ok.then_some(req.rcv_wscale),
        sack_permitted: req.sack_ok,
        ..TcpOutOptions::default()
    };
    add_cookie(&mut opts, foc);
    opts
}

/// How many SACK blocks a segment has room for now.
fn sack_blocks(tp: &TcpSock) -> u32 {
    let wanted = u32::from(tp.rx_opt.num_sacks) + u32::from(tp.rx_opt.dsack);
    if wanted == 0 {
        return 0;
    }
    let used = fixed_options_size(tp) + TCPOLEN_SACK_BASE_ALIGNED;
    wanted.min(MAX_TCP_OPTION_SPACE.saturating_sub(used) / TCPOLEN_SACK_PERBLOCK)
}

/// Bytes of what every segment of a connection carries.
fn fixed_options_size(tp: &TcpSock) -> u32 {
    let ts = if tp.rx_opt.tstamp_ok { TCPOLEN_TSTAMP_ALIGNED } else { 0 };
    let md5 = if md5_key_of(tp).is_some() { TCPOLEN_MD5SIG_ALIGNED } else { 0 };
    ts + md5
}

/// Bytes of options that a segment of an established connection carries now.
pub(crate) fn established_options_size(tp: &TcpSock) -> u32 {
    let fixed = fixed_options_size(tp);
    match sack_blocks(tp) {
        0 => fixed,
        n => fixed + TCPOLEN_SACK_BASE_ALIGNED + n * TCPOLEN_SACK_PERBLOCK,
    }
}

/// Options of any other segment (Linux `tcp_established_options()`).
pub(crate) fn tcp_established_options(tp: &TcpSock, tsval: u32) -> TcpOutOptions {
    let ts = tp.rx_opt.tstamp_ok.then(|| (tsval.wrapping_add(tp.tsoffset), tp.rx_opt.ts_recent));
    let md5 = md5_key_of(tp).is_some();
    let mut opts = TcpOutOptions { ts, md5, ..TcpOutOptions::default() };
    let n = sack_blocks(tp) as usize;
    if n > 0 {
        let dsack = tp.rx_opt.dsack.then_some(tp.duplicate_sack[0]);
        let blocks = dsack.into_iter().chain(tp.selective_acks.iter().copied());
        opts.sack.extend(blocks.take(n));
    }
    opts
}

/// Writes the options in Linux's order: signature, MSS, SACK permitted with timestamps, window scale, SACK,
/// Fast Open.
/// `to` is [`TcpOutOptions::len`] bytes long.
pub(crate) fn tcp_options_write(opts: &TcpOutOptions, mut to: &mut [u8]) {
    if opts.md5 {
        put(&mut to, [TCPOPT_NOP, TCPOPT_NOP, TCPOPT_MD5SIG, TCPOLEN_MD5SIG]);
        put(&mut to, [0; 16]);
    }
    if let Some(mss) = opts.mss {
        put(&mut to, [2, 4]);
        put(&mut to, mss.to_be_bytes());
    }
    if let Some((val, ecr)) = opts.ts {
        put(&mut to, if opts.sack_permitted { [4, 2, 8, 10] } else { [1, 1, 8, 10] });
        put(&mut to, val.to_be_bytes());
        put(&mut to, ecr.to_be_bytes());
    } else if opts.sack_permitted {
        put(&mut to, [1, 1, 4, 2]);
    }
    if let Some(ws) = opts.ws {
        put(&mut to, [1, 3, 3, ws]);
    }
    if !opts.sack.is_empty() {
        put(&mut to, [1, 1, 5, 2 + 8 * opts.sack.len() as u8]);
        for SackBlock { start_seq: SeqNum(start), end_seq: SeqNum(end) } in &opts.sack {
            put(&mut to, start.to_be_bytes());
            put(&mut to, end.to_be_bytes());
        }
    }
    if let Some(cookie) = &opts.fastopen_cookie {
        let len = fastopen_len(cookie);
        if cookie.exp {
            put(&mut to, [TCPOPT_EXP, len as u8]);
            put_slice(&mut to, &TCPOPT_FASTOPEN_MAGIC);
        } else {
            put(&mut to, [TCPOPT_FASTOPEN, len as u8]);
        }
        put_slice(&mut to, cookie.bytes());
        if len % 4 == 2 {
            put(&mut to, [TCPOPT_NOP; 2]);
        }
    }
}

/// Writes bytes at the front and goes on behind them; what has no room is left out.
fn put<const N: usize>(to: &mut &mut [u8], bytes: [u8; N]) {
    if let Some((front, rest)) = std::mem::take(to).split_first_chunk_mut() {
        *front = bytes;
        *to = rest;
    }
}

/// [`put`] of as many bytes as there are.
fn put_slice(to: &mut &mut [u8], bytes: &[u8]) {
    if let Some((front, rest)) = std::mem::take(to).split_at_mut_checked(bytes.len()) {
        front.copy_from_slice(bytes);
        *to = rest;
    }
}
