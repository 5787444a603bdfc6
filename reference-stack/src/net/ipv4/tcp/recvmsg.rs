//! Receiving (Linux `tcp_recvmsg_locked()`), and the ACKs that reading causes.

use super::*;
use crate::net::core::scm::put_cmsg;
use crate::net::core::skbuff::{DropReason, SkBuff};
use crate::net::core::timestamping::tcp_recv_timestamp;
use crate::net::ipv4::inet_connection_sock::{inet_csk_ack_scheduled, inet_csk_in_pingpong_mode};
use crate::net::ipv4::tcp_input::{sock_rfree, tcp_fast_path_check, tcp_rcv_space_adjust};
use crate::net::ipv4::tcp_output::{__tcp_select_window, tcp_mstamp_refresh, tcp_send_ack};
use reference_stack_macros::traced;

/// `TCP_URG_READ`.
const TCP_URG_READ: u16 = 0x400;

/// Where in the receive queue the next byte is.
pub(super) enum Found {
    /// In the buffer at this place, this far from its beginning.
    Data(usize, u32),
    /// The FIN of the buffer at this place is next.
    Fin(usize),
    Nothing,
}

pub(super) fn find(tp: &TcpSock, seq: SeqNum) -> Found {
    for (at, skb) in tp.sk.sk_receive_queue.iter().enumerate() {
        let cb = skb.tcp_cb();
        let mut offset = seq.diff(cb.seq);
        if offset < 0 {
            break;
        }
        if cb.tcp_flags & TCPHDR_SYN != 0 {
            offset -= 1;
        }
        let offset = offset.max(0) as u32;
        if (offset as usize) < skb.len() {
            return Found::Data(at, offset);
        }
        if cb.tcp_flags & TCPHDR_FIN != 0 {
            return Found::Fin(at);
        }
    }
    Found::Nothing
}

/// Ends the buffer at the front, which was read whole (`tcp_eat_recv_skb`).
fn tcp_eat_recv_skb(tp: &mut TcpSock, net: &mut Net) {
    if let Some(skb) = tp.sk.sk_receive_queue.pop_front() {
        sock_rfree(tp, net, skb, DropReason::Consumed);
    }
}

/// Reads (Linux `tcp_recvmsg()`). A call that has to wait keeps what it has in `msg` and is made
/// again when the socket is woken; the bytes are in `msg.buf`, except with MSG_TRUNC, which
/// discards them.
///
/// # Errors
/// ENOTCONN, EAGAIN, EINVAL (no urgent data), or the connection's pending error.
#[traced]
pub(crate) fn tcp_recvmsg(tp: &mut TcpSock, net: &mut Net, msg: &mut RecvMsg) -> IoResult<usize> {
    if tp.sk.sk_state == TcpState::Listen {
        return Err(Errno::ENOTCONN);
    }
    if msg.flags & MSG_OOB != 0 {
        return tcp_recv_urg(tp, msg);
    }
    let read = tcp_recvmsg_locked(tp, net, msg)?;
    if matches!(read, Progress::Done(_)) {
        tcp_recv_timestamp(&tp.sk, msg, msg.rx_tstamp);
    }
    if tp.recvmsg_inq && matches!(read, Progress::Done(_)) {
        let inq = tcp_inq_hint(tp);
        put_cmsg(msg, SOL_TCP, TCP_CM_INQ, &inq.to_ne_bytes());
    }
    Ok(read)
}

/// Bytes that are left to read; 1 after a FIN, so that who waits for data reads the end
/// (`tcp_inq_hint`).
fn tcp_inq_hint(tp: &TcpSock) -> i32 {
    match tp.rcv_nxt.diff(tp.copied_seq) {
        0 if tp.sk.done => 1,
        inq => inq,
    }
}

/// The reading itself.
#[traced]
fn tcp_recvmsg_locked(tp: &mut TcpSock, net: &mut Net, msg: &mut RecvMsg) -> IoResult<usize> {
    let peek = msg.flags & MSG_PEEK != 0;
    if peek {
        msg.buf.clear();
    }
    let waitall = msg.flags & MSG_WAITALL != 0;
    let len = msg.len.min(i32::MAX as usize);
    let target = sock_rcvlowat(tp, waitall, len as i32) as usize;
    let mut copied = msg.buf.len();
    let mut peek_seq = tp.copied_seq;
    while copied < len {
        let seq = if peek { peek_seq } else { tp.copied_seq };
        // A read stops at the urgent mark.
        if tp.urg_data != 0 && tp.urg_seq == seq && copied > 0 {
            break;
        }
        match find(tp, seq) {
            Found::Data(..) if msg.fault && msg.flags & MSG_TRUNC == 0 => {
                return Err(Errno::EFAULT);
            }
            Found::Data(at, offset) => {
                let step = read_from(tp, net, msg, at, offset, len - copied, seq);
                copied += step.copied as usize;
                peek_seq = seq + step.advance;
                if step.fin {
                    peek_seq += 1;
                    break;
                }
            }
            Found::Fin(at) => {
                if !peek {
                    tp.copied_seq += 1;
                    drop_up_to(tp, net, at);
                }
                break;
            }
            Found::Nothing => match nothing_queued(tp, net, msg, copied, target)? {
                Some(wait) => return Ok(wait),
                None => break,
            },
        }
    }
    tcp_cleanup_rbuf(tp, net, copied);
    Ok(Progress::Done(copied))
}

/// The queue is read empty: enough, an end, or a wait.
fn nothing_queued(
    tp: &mut TcpSock,
    net: &mut Net,
    msg: &RecvMsg,
    copied: usize,
    target: usize,
) -> Result<Option<Progress<usize>>, Errno> {
    // What waits in the backlog may be more of the same: the caller handles it and comes again.
    if copied >= target && tp.sk.sk_backlog.is_empty() {
        return Ok(None);
    }
    let shut = tp.sk.sk_shutdown & RCV_SHUTDOWN != 0;
    let discards = msg.flags & MSG_TRUNC != 0;
    if copied > 0 {
        let over = tp.sk.sk_err.is_some() || tp.sk.sk_state == TcpState::Close || shut;
        if over || msg.nonblock || discards {
            return Ok(None);
        }
    } else {
        if tp.sk.done {
            return Ok(None);
        }
        let failed = tp.sk.sock_error().err();
        let end = if shut { None } else { end_without_data(tp, msg) };
        if let Some(err) = failed.or(end) {
            tcp_cleanup_rbuf(tp, net, 0);
            return Err(err);
        }
        if shut {
            return Ok(None);
        }
    }
    tcp_cleanup_rbuf(tp, net, copied);
    Ok(Some(sk_wait_data()))
}

/// The call waits until the socket is woken (`sk_wait_data`).
#[traced]
fn sk_wait_data() -> Progress<usize> {
    Progress::Wait
}

/// Copies a buffer's bytes to the caller (`skb_copy_datagram_msg`).
#[traced]
fn skb_copy_datagram_msg(skb: &SkBuff, offset: u32, msg: &mut RecvMsg, len: u32) {
    msg.buf.reserve(len as usize);
    let (mut skip, mut left) = (offset as usize, len as usize);
    for part in skb.slices() {
        let from = skip.min(part.len());
        skip -= from;
        let part = &part[from..];
        let part = &part[..left.min(part.len())];
        msg.buf.extend_from_slice(part);
        left -= part.len();
    }
}

fn end_without_data(tp: &TcpSock, msg: &RecvMsg) -> Option<Errno> {
    if tp.sk.sk_state == TcpState::Close {
        return Some(Errno::ENOTCONN);
    }
    msg.nonblock.then_some(Errno::EAGAIN)
}

/// Progress through one buffer.
struct Step {
    copied: u32,
    /// Sequence numbers passed, an urgent byte left out included.
    advance: u32,
    /// The buffer ended with a FIN, which was passed too.
    fin: bool,
}

/// Copies from one buffer, up to its end, the caller's room, or the urgent mark.
fn read_from(
    tp: &mut TcpSock,
    net: &mut Net,
    msg: &mut RecvMsg,
    at: usize,
    offset: u32,
    room: usize,
    seq: SeqNum,
) -> Step {
    let peek = msg.flags & MSG_PEEK != 0;
    let Some(skb) = tp.sk.sk_receive_queue.get(at) else {
        return Step { copied: 0, advance: 0, fin: false };
    };
    let skb_len = skb.len() as u32;
    let fin_flag = skb.tcp_cb().tcp_flags & TCPHDR_FIN != 0;
    let (mut offset, mut skipped) = (offset, 0);
    let mut used = (skb_len - offset).min(room.min(u32::MAX as usize) as u32);
    if tp.urg_data != 0 {
        let to_mark = tp.urg_seq.since(seq);
        if to_mark == 0 && !tp.sk.oobinline && used > 0 {
            // The urgent byte is not part of the stream.
            (offset, used, skipped) = (offset + 1, used - 1, 1);
        } else if to_mark != 0 && to_mark < used {
            used = to_mark;
        }
    }
    if msg.flags & MSG_TRUNC == 0 && used > 0 {
        skb_copy_datagram_msg(skb, offset, msg, used);
    }
    if skb.tcp_cb().has_rxtstamp {
        msg.rx_tstamp = skb.tstamp;
    }
    if !peek {
        tp.copied_seq = seq + used + skipped;
    }
    if used > 0 {
        tcp_rcv_space_adjust(tp, net);
    }
    if tp.urg_data != 0 && tp.copied_seq.after(tp.urg_seq) {
        tp.urg_data = 0;
        tcp_fast_path_check(tp);
    }
    let whole = offset + used >= skb_len;
    if whole && !peek {
        if fin_flag {
            tp.copied_seq += 1;
        }
        drop_up_to(tp, net, at);
    }
    Step { copied: used, advance: used + skipped, fin: whole && fin_flag }
}

/// Ends the buffers up to and including this place.
pub(super) fn drop_up_to(tp: &mut TcpSock, net: &mut Net, at: usize) {
    for _ in 0..=at {
        tcp_eat_recv_skb(tp, net);
    }
}

/// The urgent byte (Linux `tcp_recv_urg()`).
fn tcp_recv_urg(tp: &mut TcpSock, msg: &mut RecvMsg) -> IoResult<usize> {
    if tp.sk.oobinline || tp.urg_data == 0 || tp.urg_data == TCP_URG_READ {
        return Err(Errno::EINVAL);
    }
    if tp.sk.sk_state == TcpState::Close && !tp.sk.done {
        return Err(Errno::ENOTCONN);
    }
    if tp.urg_data & TCP_URG_VALID == 0 {
        let over = tp.sk.sk_state == TcpState::Close || tp.sk.sk_shutdown & RCV_SHUTDOWN != 0;
        return if over { Ok(Progress::Done(0)) } else { Err(Errno::EAGAIN) };
    }
    let byte = tp.urg_data as u8;
    if msg.flags & MSG_PEEK == 0 {
        tp.urg_data = TCP_URG_READ;
    }
    msg.msg_flags |= MSG_OOB;
    if msg.len == 0 {
        msg.msg_flags |= MSG_TRUNC;
        return Ok(Progress::Done(0));
    }
    if msg.flags & MSG_TRUNC == 0 {
        msg.buf.push(byte);
    }
    Ok(Progress::Done(1))
}

/// After reading `copied` bytes: an ACK, if reading is what it waited for or the window has
/// grown much (Linux `tcp_cleanup_rbuf()`).
#[traced]
pub(crate) fn tcp_cleanup_rbuf(tp: &mut TcpSock, net: &mut Net, copied: usize) {
    let mut time_to_ack = false;
    if inet_csk_ack_scheduled(tp) {
        let pending = tp.icsk.icsk_ack.pending;
        let pushed = pending & ICSK_ACK_PUSHED2 != 0
            || (pending & ICSK_ACK_PUSHED != 0 && !inet_csk_in_pingpong_mode(tp, net));
        time_to_ack = tp.rcv_nxt.since(tp.rcv_wup) > tp.icsk.icsk_ack.rcv_mss.into()
            || (copied > 0 && pushed && tp.sk.sk_rmem_alloc == 0);
    }
    if copied > 0 && !time_to_ack && tp.sk.sk_shutdown & RCV_SHUTDOWN == 0 {
        let window_now = tp.receive_window();
        // Only a window that is small for this connection is worth an ACK of its own.
        if u64::from(window_now) * 2 <= tp.window_clamp.into() {
            let new_window = __tcp_select_window(tp, net);
            time_to_ack = new_window != 0 && u64::from(new_window) >= u64::from(window_now) * 2;
        }
    }
    if time_to_ack {
        tcp_mstamp_refresh(tp, net);
        tcp_send_ack(tp, net);
    }
}
