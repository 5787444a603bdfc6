//! TCP options of a received segment (Linux `tcp_parse_options()` and its fast forms, 5.15).

use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::net::ipv4::tcp_fastopen::TcpFastopenCookie;
use crate::net::ipv4::tcp_sock::{SackBlock, TCP_MAX_WSCALE, TcpOptionsReceived, TcpSock};

pub(crate) const TCPOPT_NOP: u8 = 1;
pub(crate) const TCPOPT_EOL: u8 = 0;
pub(crate) const TCPOPT_MSS: u8 = 2;
pub(crate) const TCPOPT_WINDOW: u8 = 3;
pub(crate) const TCPOPT_SACK_PERM: u8 = 4;
pub(crate) const TCPOPT_SACK: u8 = 5;
pub(crate) const TCPOPT_TIMESTAMP: u8 = 8;
pub(crate) const TCPOPT_FASTOPEN: u8 = 34;
pub(crate) const TCPOPT_EXP: u8 = 254;
/// Says that an experimental option is Fast Open's (RFC 6994).
pub(crate) const TCPOPT_FASTOPEN_MAGIC: [u8; 2] = [0xf9, 0x89];

const TCPOLEN_MSS: usize = 4;
const TCPOLEN_WINDOW: usize = 3;
const TCPOLEN_SACK_PERM: usize = 2;
const TCPOLEN_TIMESTAMP: usize = 10;
const TCPOLEN_SACK_BASE: usize = 2;
const TCPOLEN_SACK_PERBLOCK: usize = 8;
/// `TCPOLEN_TSTAMP_ALIGNED`: timestamp option with its two NOPs.
pub(crate) const TCPOLEN_TSTAMP_ALIGNED: usize = 12;
/// `TCP_NUM_SACKS`: more blocks do not fit beside a timestamp, and are not looked at.
const TCP_NUM_SACKS: usize = 4;

/// The SACK blocks of one segment, as they stand in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SackBlocks {
    n: u8,
    blocks: [SackBlock; TCP_NUM_SACKS],
}

impl SackBlocks {
    pub(crate) fn as_slice(&self) -> &[SackBlock] {
        &self.blocks[..usize::from(self.n)]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n == 0
    }

    fn parse(value: &[u8]) -> Self {
        let mut sack = Self::default();
        for (block, bytes) in sack.blocks.iter_mut().zip(value.chunks_exact(TCPOLEN_SACK_PERBLOCK))
        {
            *block =
                SackBlock { start_seq: SeqNum(be32(bytes, 0)), end_seq: SeqNum(be32(bytes, 4)) };
            sack.n += 1;
        }
        sack
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at + 4) {
        Some(b) => u32::from_be_bytes([b[0], b[1], b[2], b[3]]),
        None => 0,
    }
}

/// Reads the options of a segment into `opt_rx` (`tcp_parse_options`), and its SACK blocks.
///
/// `opts` are the header's bytes behind the fixed twenty. Parsing ends silently at the first
/// option whose length is below 2 or reaches beyond the header; an option of the wrong length
/// is passed over. `estab`: what was negotiated decides which options count.
pub(crate) fn tcp_parse_options(
    net: &Net,
    opts: &[u8],
    opt_rx: &mut TcpOptionsReceived,
    estab: bool,
    syn: bool,
) -> SackBlocks {
    parse(net, opts, opt_rx, estab, syn, &mut None)
}

/// The options of a SYN or SYN-ACK with the Fast Open cookie; the last one counts.
pub(crate) fn tcp_parse_syn_options(
    net: &Net,
    opts: &[u8],
    opt_rx: &mut TcpOptionsReceived,
    foc: &mut Option<TcpFastopenCookie>,
) -> SackBlocks {
    parse(net, opts, opt_rx, false, true, foc)
}

fn parse(
    net: &Net,
    opts: &[u8],
    opt_rx: &mut TcpOptionsReceived,
    estab: bool,
    syn: bool,
    foc: &mut Option<TcpFastopenCookie>,
) -> SackBlocks {
    let mut sack = SackBlocks::default();
    let mut rest = opts;
    opt_rx.saw_tstamp = false;
    while let [kind, after @ ..] = rest {
        match *kind {
            TCPOPT_EOL => break,
            TCPOPT_NOP => {
                rest = after;
                continue;
            }
            _ => {}
        }
        let Some(&opsize) = after.first() else { break };
        let opsize = usize::from(opsize);
        if opsize < 2 || opsize > rest.len() {
            break;
        }
        let value = &rest[2..opsize];
        match (*kind, opsize) {
            (TCPOPT_MSS, TCPOLEN_MSS) if syn && !estab => parse_mss(value, opt_rx),
            (TCPOPT_WINDOW, TCPOLEN_WINDOW)
                if syn && !estab && net.sysctl.tcp_window_scaling != 0 =>
            {
                opt_rx.wscale_ok = true;
                opt_rx.snd_wscale = value[0].min(TCP_MAX_WSCALE);
            }
            (TCPOPT_TIMESTAMP, TCPOLEN_TIMESTAMP)
                if (estab && opt_rx.tstamp_ok) || (!estab && net.sysctl.tcp_timestamps != 0) =>
            {
                opt_rx.saw_tstamp = true;
                opt_rx.rcv_tsval = be32(value, 0);
                opt_rx.rcv_tsecr = be32(value, 4);
            }
            (TCPOPT_SACK_PERM, TCPOLEN_SACK_PERM) if syn && !estab && net.sysctl.tcp_sack != 0 => {
                opt_rx.sack_ok = 1;
                tcp_sack_reset(opt_rx);
            }
            (TCPOPT_SACK, _)
                if opsize >= TCPOLEN_SACK_BASE + TCPOLEN_SACK_PERBLOCK
                    && (opsize - TCPOLEN_SACK_BASE).is_multiple_of(TCPOLEN_SACK_PERBLOCK)
                    && opt_rx.sack_ok != 0 =>
            {
                sack = SackBlocks::parse(value);
            }
            (TCPOPT_FASTOPEN | TCPOPT_EXP, _) if syn => parse_fastopen(*kind, value, foc),
            _ => {}
        }
        rest = &rest[opsize..];
    }
    sack
}

/// Option 34, or 254 with Fast Open's magic number. A cookie of odd length is as if not there,
/// one of another wrong length takes an earlier one away (`tcp_parse_fastopen_option`).
fn parse_fastopen(kind: u8, value: &[u8], foc: &mut Option<TcpFastopenCookie>) {
    let exp = kind == TCPOPT_EXP;
    let cookie = if exp { value.strip_prefix(&TCPOPT_FASTOPEN_MAGIC) } else { Some(value) };
    if let Some(cookie) = cookie.filter(|c| c.len().is_multiple_of(2)) {
        *foc = TcpFastopenCookie::parse(cookie, exp);
    }
}

fn parse_mss(value: &[u8], opt_rx: &mut TcpOptionsReceived) {
    let mut in_mss = u16::from_be_bytes([value[0], value[1]]);
    if in_mss == 0 {
        return;
    }
    if opt_rx.user_mss != 0 && opt_rx.user_mss < in_mss {
        in_mss = opt_rx.user_mss;
    }
    opt_rx.mss_clamp = in_mss;
}

/// `tcp_clear_options`: forgets what an earlier SYN negotiated.
pub(crate) fn tcp_clear_options(opt_rx: &mut TcpOptionsReceived) {
    opt_rx.tstamp_ok = false;
    opt_rx.sack_ok = 0;
    opt_rx.wscale_ok = false;
    opt_rx.snd_wscale = 0;
}

/// `tcp_sack_reset`.
pub(crate) fn tcp_sack_reset(opt_rx: &mut TcpOptionsReceived) {
    opt_rx.dsack = false;
    opt_rx.num_sacks = 0;
}

/// Reads a timestamp that stands alone, aligned by two NOPs (`tcp_parse_aligned_timestamp`).
pub(crate) fn tcp_parse_aligned_timestamp(tp: &mut TcpSock, opts: &[u8]) -> bool {
    let lead = [TCPOPT_NOP, TCPOPT_NOP, TCPOPT_TIMESTAMP, TCPOLEN_TIMESTAMP as u8];
    let Some(rest) = opts.strip_prefix(&lead) else { return false };
    if rest.len() < 8 {
        return false;
    }
    tp.rx_opt.saw_tstamp = true;
    tp.rx_opt.rcv_tsval = be32(rest, 0);
    tp.rx_opt.rcv_tsecr = without_offset(tp, be32(rest, 4));
    true
}

/// An echoed timestamp on the connection's own clock: zero stays zero.
fn without_offset(tp: &TcpSock, tsecr: u32) -> u32 {
    if tsecr == 0 { 0 } else { tsecr.wrapping_sub(tp.tsoffset) }
}

/// Options of a segment of a synchronized connection (`tcp_fast_parse_options`): whether it has
/// a timestamp, and its SACK blocks.
pub(crate) fn tcp_fast_parse_options(
    tp: &mut TcpSock,
    net: &Net,
    opts: &[u8],
) -> (bool, SackBlocks) {
    if opts.is_empty() {
        tp.rx_opt.saw_tstamp = false;
        return (false, SackBlocks::default());
    }
    if tp.rx_opt.tstamp_ok
        && opts.len() == TCPOLEN_TSTAMP_ALIGNED
        && tcp_parse_aligned_timestamp(tp, opts)
    {
        return (true, SackBlocks::default());
    }
    let sack = tcp_parse_options(net, opts, &mut tp.rx_opt, true, false);
    if tp.rx_opt.saw_tstamp {
        tp.rx_opt.rcv_tsecr = without_offset(tp, tp.rx_opt.rcv_tsecr);
    }
    (tp.rx_opt.saw_tstamp, sack)
}
