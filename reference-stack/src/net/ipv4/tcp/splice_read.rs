//! Reading without copying (Linux `tcp_splice_read()`, `tcp_read_sock()`, 5.15).

use super::recvmsg::{Found, drop_up_to, find};
use super::*;
use crate::net::ipv4::tcp_input::tcp_rcv_space_adjust;
use hw_model::Frag;
use std::sync::Arc;

/// `PAGE_SIZE`: what one slot of a pipe holds.
const PAGE_SIZE: u32 = 4096;

/// Takes up to `len` bytes off the receive queue as slices, `slots` at most. A call that has
/// nothing yet (`first`) waits or says why there is nothing.
///
/// # Errors
/// ENOTCONN, EAGAIN, the connection's pending error.
pub(crate) fn tcp_splice_read(
    tp: &mut TcpSock,
    net: &mut Net,
    len: usize,
    slots: usize,
    nonblock: bool,
    first: bool,
) -> IoResult<Vec<Frag>> {
    let frags = tcp_read_sock(tp, net, len, slots)?;
    let over = tp.sk.sk_shutdown & RCV_SHUTDOWN != 0;
    if !frags.is_empty() || !first || tp.sk.done {
        return Ok(Progress::Done(frags));
    }
    tp.sk.sock_error()?;
    match () {
        () if over => Ok(Progress::Done(frags)),
        () if tp.sk.sk_state == TcpState::Close => Err(Errno::ENOTCONN),
        () if nonblock => Err(Errno::EAGAIN),
        // An urgent mark stops the read; waiting would not get past it.
        () if !tp.sk.sk_receive_queue.is_empty() => Ok(Progress::Done(frags)),
        () => Ok(Progress::Wait),
    }
}

/// Linux `tcp_read_sock()` with `tcp_splice_data_recv()`: stops at urgent data and at a FIN.
fn tcp_read_sock(
    tp: &mut TcpSock,
    net: &mut Net,
    len: usize,
    slots: usize,
) -> Result<Vec<Frag>, Errno> {
    if tp.sk.sk_state == TcpState::Listen {
        return Err(Errno::ENOTCONN);
    }
    let (mut found, mut copied) = (Vec::new(), 0);
    loop {
        let (at, offset) = match find(tp, tp.copied_seq) {
            Found::Data(at, offset) => (at, offset),
            Found::Fin(at) => {
                tp.copied_seq += 1;
                drop_up_to(tp, net, at);
                break;
            }
            Found::Nothing => break,
        };
        let Some(skb) = tp.sk.sk_receive_queue.get(at) else { break };
        let fin = skb.tcp_cb().tcp_flags & TCPHDR_FIN != 0;
        let skb_len = skb.len() as u32;
        let mut part = (skb_len - offset).min((len - copied).min(u32::MAX as usize) as u32);
        if tp.urg_data != 0 {
            part = part.min(tp.urg_seq.since(tp.copied_seq));
        }
        let room = slots - found.len();
        let used = skb_splice_bits(skb, offset, part, room, &mut found);
        if used == 0 {
            break;
        }
        tp.copied_seq += used;
        copied += used as usize;
        if offset + used == skb_len {
            if fin {
                tp.copied_seq += 1;
            }
            drop_up_to(tp, net, at);
            if fin {
                break;
            }
        }
        if copied == len || found.len() == slots {
            break;
        }
    }
    tcp_rcv_space_adjust(tp, net);
    if copied > 0 {
        tcp_cleanup_rbuf(tp, net, copied);
    }
    Ok(found)
}

/// Slices of a buffer's bytes, each within a page; how many bytes they have.
fn skb_splice_bits(
    skb: &crate::net::core::skbuff::SkBuff,
    offset: u32,
    len: u32,
    slots: usize,
    found: &mut Vec<Frag>,
) -> u32 {
    let (mut skip, mut left, mut used) = (offset as usize, len, 0);
    let before = found.len();
    let mut add = |frag: Frag| {
        let mut at = 0;
        while at < frag.len && found.len() - before < slots {
            let n = (frag.len - at).min(PAGE_SIZE);
            found.push(frag.slice(at, n));
            used += n;
            at += n;
        }
    };
    let linear = skb.linear();
    if skip < linear.len() {
        let n = (linear.len() - skip).min(left as usize);
        add(Frag::new(Arc::new(linear[skip..skip + n].to_vec())));
        left -= n as u32;
        skip = 0;
    } else {
        skip -= linear.len();
    }
    for frag in &skb.frags {
        if left == 0 {
            break;
        }
        if skip >= frag.len as usize {
            skip -= frag.len as usize;
            continue;
        }
        let part = frag.slice(skip as u32, left);
        left -= part.len;
        skip = 0;
        add(part);
    }
    used
}
