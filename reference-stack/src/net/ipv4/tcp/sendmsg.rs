//! Sending (Linux `tcp_sendmsg_locked()`): fills super-packets and pushes them.

use super::*;
use crate::drivers::net::ethernet::faraday::ftgmac100;
use crate::net::core::dev::NETIF_F_SG;
use crate::net::core::scm::sock_cmsg_send;
use crate::net::core::skbuff::MAX_SKB_FRAGS;
use crate::net::core::stream::{
    sk_forced_mem_schedule, sk_stream_error, sk_stream_is_writeable, sk_wmem_schedule,
};
use crate::net::core::timestamping::TxTstamp;
use crate::net::core::zerocopy::{UbufId, msg_zerocopy_realloc};
use crate::net::ipv4::mib::TcpExt;
use crate::net::ipv4::tcp_fastopen::tcp_passive_fastopen;
use crate::net::ipv4::tcp_output::*;
use crate::net::ipv4::tcp_rate::tcp_rate_check_app_limited;
use reference_stack_macros::traced;

/// Fullest a super-packet gets (Linux `tcp_xmit_size_goal()`): whole segments within the device's
/// limit and half of the largest window that the peer offered.
fn tcp_xmit_size_goal(tp: &mut TcpSock, net: &Net, mss_now: u32, large_allowed: bool) -> u32 {
    if !large_allowed {
        return mss_now;
    }
    let new_goal = tcp_bound_to_half_wnd(tp, sk_gso_payload(tp, net));
    let mut goal = u32::from(tp.gso_segs) * mss_now;
    if new_goal < goal || new_goal >= goal + mss_now {
        let segs = (new_goal / mss_now).min(tp.sk.sk_gso_max_segs.into());
        tp.gso_segs = segs as u16;
        goal = segs * mss_now;
    }
    goal.max(mss_now)
}

/// Segment size and size goal of now (Linux `tcp_send_mss()`).
fn tcp_send_mss(tp: &mut TcpSock, net: &mut Net, flags: i32) -> (u32, u32) {
    let mss_now = tcp_current_mss(tp, net);
    let goal = tcp_xmit_size_goal(tp, net, mss_now, flags & MSG_OOB == 0);
    (mss_now, goal)
}

/// Everything written up to here is to be pushed (`tcp_mark_push`).
fn tcp_mark_push(tp: &mut TcpSock) {
    if let Some(tail) = tp.write_queue.back_mut() {
        tail.tcp_flags |= TCPHDR_PSH;
    }
    tp.pushed_seq = tp.write_seq;
}

/// More than half the peer's largest window was written since the last push (`forced_push`).
fn forced_push(tp: &TcpSock) -> bool {
    tp.write_seq.after(tp.pushed_seq + (tp.max_window >> 1))
}

/// Whether to wait for more data while earlier packets still sit in the host's queues
/// (Linux `tcp_should_autocork()`).
fn tcp_should_autocork(tp: &TcpSock, net: &mut Net, size_goal: u32) -> bool {
    let Some(skb) = tp.write_queue.back() else { return false };
    let small = skb.len < size_goal
        && net.sysctl.tcp_autocorking != 0
        && !tp.rtx_queue.is_empty()
        && !skb.eor;
    let more_on_way = |net: &Net| sk_wmem_alloc(tp, net) > u64::from(skb.truesize);
    if !small || !more_on_way(net) {
        return false;
    }
    ftgmac100::complete_in_task(net);
    more_on_way(net)
}

/// Sends what a write left in the queue (Linux `tcp_push()`).
#[traced]
pub(crate) fn tcp_push(
    tp: &mut TcpSock,
    net: &mut Net,
    flags: i32,
    mss_now: u32,
    nonagle: u8,
    size_goal: u32,
) {
    if tp.write_queue.is_empty() {
        return;
    }
    if flags & MSG_MORE == 0 || forced_push(tp) {
        tcp_mark_push(tp);
    }
    if flags & MSG_OOB != 0 {
        tp.snd_up = tp.write_seq;
    }
    if tcp_should_autocork(tp, net, size_goal) {
        if !tp.tsq_throttled {
            net.mib.inc(TcpExt::TCPAutoCorking);
            tsq_throttle(tp, net);
        }
        return;
    }
    let nonagle = if flags & MSG_MORE != 0 { TCP_NAGLE_CORK } else { nonagle };
    __tcp_push_pending_frames(tp, net, mss_now, nonagle);
}

/// A fresh buffer at the end of the write queue (Linux `tcp_skb_entail()`).
fn tcp_skb_entail(tp: &mut TcpSock, net: &mut Net) {
    let skb = TcpSkb {
        seq: tp.write_seq,
        end_seq: tp.write_seq,
        tcp_flags: TCPHDR_ACK,
        ..sk_stream_alloc_skb(net)
    };
    tcp_wmem_charge(tp, skb.truesize);
    tcp_add_write_queue_tail(tp, net, skb);
    tp.nonagle &= !TCP_NAGLE_PUSH;
    tcp_slow_start_after_idle_check(tp, net);
}

/// How much of `copy` memory allows; the guaranteed minimum is always given
/// (Linux `tcp_wmem_schedule()`).
fn tcp_wmem_schedule(tp: &mut TcpSock, net: &mut Net, copy: u32) -> u32 {
    if sk_wmem_schedule(&mut tp.sk, net, copy) {
        return copy;
    }
    let left = net.sysctl.tcp_wmem[0] - tp.sk.sk_wmem_queued;
    if left > 0 {
        sk_forced_mem_schedule(&mut tp.sk, net, copy.min(left as u32));
    }
    copy.min(tp.sk.sk_forward_alloc.max(0) as u32)
}

/// A buffer that was begun and got nothing goes again (Linux `tcp_remove_empty_skb()`).
fn tcp_remove_empty_skb(tp: &mut TcpSock, net: &mut Net) {
    if tp.write_queue.back().is_some_and(|skb| skb.seq == skb.end_seq && skb.len == 0)
        && let Some(skb) = tp.write_queue.pop_back()
    {
        if tp.write_queue.is_empty() {
            tcp_chrono_stop(tp, net, TCP_CHRONO_BUSY);
        }
        tcp_wmem_free_skb(tp, net, skb);
    }
}

/// Notes which notification a call with MSG_ZEROCOPY belongs to, the first time that it is tried.
///
/// # Errors
/// ENOBUFS: too many are outstanding.
pub(crate) fn tcp_zerocopy_begin(
    tp: &mut TcpSock,
    net: &mut Net,
    msg: &mut SendMsg,
) -> Result<(), Errno> {
    let asked = msg.flags & MSG_ZEROCOPY != 0 && !msg.data.is_empty() && tp.sk.zerocopy;
    if asked && msg.uarg.is_none() {
        let tail = tp.write_queue.back().and_then(|skb| skb.uarg);
        msg.uarg = Some(msg_zerocopy_realloc(&mut tp.sk, net, msg.data.len(), tail)?);
        if !sk_can_sg(tp, net) {
            net.skbs.ubufs.set_copied(msg.uarg);
        }
    }
    Ok(())
}

/// Whether the route's device takes payload in pieces (`sk_route_caps & NETIF_F_SG`).
fn sk_can_sg(tp: &TcpSock, net: &Net) -> bool {
    let dev = tp.sk.sk_dst.as_ref().and_then(|dst| net.devs.get(dst.dev));
    dev.is_some_and(|dev| dev.features & NETIF_F_SG != 0)
}

/// What one turn of the filling loop came to.
enum Fill {
    More,
    Finished,
    NoSpace,
    /// The caller's buffer cannot be read.
    Fault,
}

/// Takes a message's bytes into the write queue and sends (Linux `tcp_sendmsg()`). A call that
/// has to wait keeps its progress in `msg` and is made again when the socket is woken.
///
/// # Errors
/// EPIPE or the connection's pending error; EAGAIN.
#[traced]
pub(crate) fn tcp_sendmsg(tp: &mut TcpSock, net: &mut Net, msg: &mut SendMsg) -> IoResult<usize> {
    if msg.done == 0 {
        tcp_rate_check_app_limited(tp, net);
    }
    if !matches!(tp.sk.sk_state, TcpState::Established | TcpState::CloseWait)
        && !tcp_passive_fastopen(tp)
        && let Some(wait) = sk_stream_wait_connect(tp, msg).transpose()
    {
        return match wait {
            Ok(()) => Ok(Progress::Wait),
            Err(err) => do_error(tp, net, msg, err, (0, 0)),
        };
    }
    msg.tsflags = sock_cmsg_send(&tp.sk, &msg.control).map_err(|_| Errno::EINVAL)?.tsflags;
    let waiting = msg.done > 0 && tp.sk.nospace && !memory_free(tp, net);
    let sizes = tcp_send_mss(tp, net, msg.flags);
    if tp.sk.sk_err.is_some() || tp.sk.sk_shutdown & SEND_SHUTDOWN != 0 {
        return do_error(tp, net, msg, Errno::EPIPE, sizes);
    }
    if waiting && !msg.nonblock {
        return Ok(Progress::Wait);
    }
    let mut sizes = sizes;
    while msg.taken() < msg.data.len() {
        match fill_one(tp, net, msg, sizes) {
            Fill::More => {}
            Fill::Finished => break,
            Fill::Fault => return do_error(tp, net, msg, Errno::EFAULT, sizes),
            Fill::NoSpace => {
                tp.sk.nospace = true;
                if msg.done > 0 {
                    let flags = msg.flags & !MSG_MORE;
                    tcp_push(tp, net, flags, sizes.0, TCP_NAGLE_PUSH, sizes.1);
                }
                // Sending may have failed for good, or an ACK in between made room.
                if tp.sk.sk_err.is_some() || tp.sk.sk_shutdown & SEND_SHUTDOWN != 0 {
                    return do_error(tp, net, msg, Errno::EPIPE, sizes);
                }
                if msg.nonblock {
                    return do_error(tp, net, msg, Errno::EAGAIN, sizes);
                }
                if !memory_free(tp, net) {
                    return Ok(Progress::Wait);
                }
                sizes = tcp_send_mss(tp, net, msg.flags);
            }
        }
    }
    Ok(Progress::Done(finish(tp, net, msg, sizes)))
}

/// Pushes at the end of a call; bytes taken.
fn finish(tp: &mut TcpSock, net: &mut Net, msg: &SendMsg, (mss, goal): (u32, u32)) -> usize {
    if msg.done > 0 {
        tcp_tx_timestamp(tp, msg.tsflags);
        let nonagle = tp.nonagle;
        tcp_push(tp, net, msg.flags, mss, nonagle, goal);
    }
    msg.taken()
}

/// The last byte of a call is the one that is stamped (Linux `tcp_tx_timestamp()`).
fn tcp_tx_timestamp(tp: &mut TcpSock, tsflags: u32) {
    let Some(tail) = tp.write_queue.back_mut().filter(|_| tsflags != 0) else { return };
    let record = tsflags & SOF_TIMESTAMPING_TX_RECORD_MASK != 0;
    let key = if record { (tail.seq + tail.len).0.wrapping_sub(1) } else { tail.tx_tstamp.key };
    let asked = TxTstamp::new(tsflags, key);
    tail.tx_tstamp = TxTstamp { flags: tail.tx_tstamp.flags | asked.flags, key };
    tail.txstamp_ack |= tsflags & SOF_TIMESTAMPING_TX_ACK != 0;
}

/// What was taken counts before an error does (Linux's `do_error`).
fn do_error(
    tp: &mut TcpSock,
    net: &mut Net,
    msg: &SendMsg,
    err: Errno,
    sizes: (u32, u32),
) -> IoResult<usize> {
    tcp_remove_empty_skb(tp, net);
    if msg.taken() > 0 {
        return Ok(Progress::Done(finish(tp, net, msg, sizes)));
    }
    let err = sk_stream_error(&mut tp.sk, err);
    if err == Errno::EAGAIN && tcp_rtx_and_write_queues_empty(tp) {
        // Nothing is left whose ACK would tell the writer.
        if sk_stream_is_writeable(&tp.sk, 0, u32::MAX) {
            tp.sk.nospace = false;
            net.sk_write_space(tp.sk.id);
        }
        tcp_chrono_stop(tp, net, TCP_CHRONO_SNDBUF_LIMITED);
    }
    Err(err)
}

/// Whether the handshake must be waited for (Linux `sk_stream_wait_connect()`): `Some` if so.
fn sk_stream_wait_connect(tp: &mut TcpSock, msg: &SendMsg) -> Result<Option<()>, Errno> {
    tp.sk.sock_error()?;
    if !matches!(tp.sk.sk_state, TcpState::SynSent | TcpState::SynRecv) {
        return Err(Errno::EPIPE);
    }
    if msg.nonblock {
        return Err(Errno::EAGAIN);
    }
    Ok(Some(()))
}

/// Bytes that the last unsent buffer still takes; one that is full of pieces, or whose pages belong
/// to another notification, is to be pushed.
fn room_in_tail(tp: &mut TcpSock, zerocopy: Option<UbufId>, goal: u32) -> u32 {
    let Some(tail) = tp.write_queue.back().filter(|tail| !tail.eor) else { return 0 };
    let other = zerocopy.is_some() && tail.uarg.is_some() && tail.uarg != zerocopy;
    if tail.len < goal && (other || tail.frags.len() >= MAX_SKB_FRAGS) {
        tcp_mark_push(tp);
        return 0;
    }
    goal.saturating_sub(tail.len)
}

/// Gives a buffer up to `len` bytes of the caller's own pages; how many, and what they weigh
/// (Linux `skb_zerocopy_iter_stream()`).
fn skb_zerocopy_iter_stream(
    net: &mut Net,
    skb: &mut TcpSkb,
    msg: &SendMsg,
    len: u32,
    uarg: UbufId,
) -> (u32, u32) {
    let given = frags::zerocopy_from_iter(&mut skb.frags, &msg.data, &msg.iov, msg.taken(), len);
    if skb.uarg.is_none() {
        net.skbs.ubufs.net_zcopy_get(Some(uarg));
        skb.uarg = Some(uarg);
    }
    given
}

/// Appends to the last unsent buffer, or begins one, and pushes full ones.
fn fill_one(tp: &mut TcpSock, net: &mut Net, msg: &mut SendMsg, (mss, goal): (u32, u32)) -> Fill {
    let zerocopy = msg.uarg.filter(|_| sk_can_sg(tp, net));
    let room = room_in_tail(tp, zerocopy, goal);
    let room = if room == 0 {
        if !memory_free(tp, net) {
            return Fill::NoSpace;
        }
        let head = net.profile.tcp_skb_head;
        if !sk_wmem_schedule(&mut tp.sk, net, head) {
            return Fill::NoSpace;
        }
        tcp_skb_entail(tp, net);
        goal
    } else {
        room
    };
    let left = msg.data.len() - msg.taken();
    let copy = tcp_wmem_schedule(tp, net, room.min(left.min(u32::MAX as usize) as u32));
    if copy == 0 {
        return Fill::NoSpace;
    }
    if msg.fault {
        return Fill::Fault;
    }
    let Some(tail) = tp.write_queue.back_mut() else { return Fill::NoSpace };
    let (copy, truesize) = match zerocopy {
        Some(uarg) => skb_zerocopy_iter_stream(net, tail, msg, copy, uarg),
        None => {
            frags::append(&mut tail.frags, &msg.data, msg.taken() as u32, copy);
            (copy, copy)
        }
    };
    if msg.done == 0 {
        tail.tcp_flags &= !TCPHDR_PSH;
    }
    tail.len += copy;
    tail.truesize += truesize;
    tail.end_seq += copy;
    // Counted anew when it is sent.
    tail.gso_segs = 0;
    let full = tail.len >= goal;
    tp.write_seq += copy;
    tcp_wmem_charge(tp, truesize);
    msg.done += copy as usize;
    if msg.taken() == msg.data.len() {
        if msg.flags & MSG_EOR != 0
            && let Some(tail) = tp.write_queue.back_mut()
        {
            tail.eor = true;
        }
        return Fill::Finished;
    }
    if full && msg.flags & MSG_OOB == 0 {
        if forced_push(tp) {
            tcp_mark_push(tp);
            __tcp_push_pending_frames(tp, net, mss, TCP_NAGLE_PUSH);
        } else if tp.write_queue.len() == 1 {
            tcp_push_one(tp, net, mss);
        }
    }
    Fill::More
}
