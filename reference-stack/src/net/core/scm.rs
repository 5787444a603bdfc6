//! Control messages of sockets, both ways (`net/core/scm.c`, and `sock_cmsg_send` of `net/core/sock.c`).

use crate::errno::Errno;
use crate::net::ipv4::tcp_sock::RecvMsg;
use crate::syscalls::Cmsg;
use crate::uapi::{MSG_CTRUNC, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET};

/// `sizeof(struct cmsghdr)` and the alignment of control messages where `size_t` has 64 bits.
const CMSG_HDR: usize = 16;
const CMSG_ALIGN: usize = 8;

/// Puts a message into the room that the caller gave. One that does not fit is cut, or left out
/// where there is no room for a header, and the result's flags say MSG_CTRUNC (`put_cmsg`).
pub(crate) fn put_cmsg(msg: &mut RecvMsg, level: i32, ty: i32, data: &[u8]) {
    if msg.controllen < CMSG_HDR {
        msg.msg_flags |= MSG_CTRUNC;
        return;
    }
    let room = msg.controllen - CMSG_HDR;
    if room < data.len() {
        msg.msg_flags |= MSG_CTRUNC;
    }
    let data = data[..data.len().min(room)].to_vec();
    let space = CMSG_HDR + data.len().next_multiple_of(CMSG_ALIGN);
    msg.controllen = msg.controllen.saturating_sub(space);
    msg.control.push(Cmsg { level, ty, data });
}

/// Reads what a sender says at the level of sockets (`sock_cmsg_send`); other levels are their
/// protocols' own.
///
/// # Errors
/// EINVAL for a message that the level does not know. Marks, time stamps and transmit times need
/// options that are not built, and are refused like one.
pub(crate) fn sock_cmsg_send(control: &[Cmsg]) -> Result<(), Errno> {
    let known = |c: &Cmsg| c.level != SOL_SOCKET || matches!(c.ty, SCM_RIGHTS | SCM_CREDENTIALS);
    if control.iter().all(known) { Ok(()) } else { Err(Errno::EINVAL) }
}
