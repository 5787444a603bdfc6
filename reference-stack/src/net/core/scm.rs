//! Control messages of sockets, both ways (`net/core/scm.c`, and `sock_cmsg_send` of `net/core/sock.c`).

use super::sock::SockCommon;
use crate::errno::Errno;
use crate::net::ipv4::tcp_sock::RecvMsg;
use crate::syscalls::Cmsg;
use crate::uapi::{
    MSG_CTRUNC, SCM_CREDENTIALS, SCM_RIGHTS, SO_MARK, SO_TIMESTAMPING,
    SOF_TIMESTAMPING_TX_RECORD_MASK, SOL_SOCKET,
};

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

/// What a call says of itself by control messages (`struct sockcm_cookie`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SockcmCookie {
    /// `SOF_TIMESTAMPING_*`: the socket's, those that ask for stamps perhaps the call's own.
    pub(crate) tsflags: u32,
    /// The packets' mark.
    pub(crate) mark: u32,
}

impl SockcmCookie {
    /// What the socket says (`sockcm_init`).
    pub(crate) fn new(sk: &SockCommon) -> Self {
        Self { tsflags: sk.tstamp.tsflags, mark: sk.sk_mark }
    }
}

/// Reads what a sender says at the level of sockets (`sock_cmsg_send`); other levels are their
/// protocols' own.
///
/// # Errors
/// Those of [`__sock_cmsg_send`].
pub(crate) fn sock_cmsg_send(sk: &SockCommon, control: &[Cmsg]) -> Result<SockcmCookie, Errno> {
    let mut sockc = SockcmCookie::new(sk);
    for cmsg in control.iter().filter(|cmsg| cmsg.level == SOL_SOCKET) {
        __sock_cmsg_send(cmsg, &mut sockc)?;
    }
    Ok(sockc)
}

/// One message of the level SOL_SOCKET.
///
/// # Errors
/// EINVAL for one that the level does not know, or of a wrong size. A transmit time (SCM_TXTIME) is
/// refused as on a socket without SO_TXTIME.
pub(crate) fn __sock_cmsg_send(cmsg: &Cmsg, sockc: &mut SockcmCookie) -> Result<(), Errno> {
    let word = || {
        let bytes: [u8; 4] = cmsg.data.as_slice().try_into().map_err(|_| Errno::EINVAL)?;
        Ok::<_, Errno>(u32::from_ne_bytes(bytes))
    };
    match cmsg.ty {
        SO_MARK => sockc.mark = word()?,
        SO_TIMESTAMPING => {
            let tsflags = word()?;
            if tsflags & !SOF_TIMESTAMPING_TX_RECORD_MASK != 0 {
                return Err(Errno::EINVAL);
            }
            sockc.tsflags = (sockc.tsflags & !SOF_TIMESTAMPING_TX_RECORD_MASK) | tsflags;
        }
        SCM_RIGHTS | SCM_CREDENTIALS => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}
