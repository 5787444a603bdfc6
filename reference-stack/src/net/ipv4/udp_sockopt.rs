//! Socket options of the level SOL_UDP (Linux `udp_lib_setsockopt`, `udp_lib_getsockopt`).

use super::tcp_sock::{FastopenSend, SendMsg};
use super::udp::{UdpSock, udp_sendmsg};
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::sockopt::int_value;
use crate::net::ipv6::udp::udpv6_sendmsg;
use crate::uapi::UDP_CORK;

/// setsockopt(2), level SOL_UDP.
pub(crate) fn udp_setsockopt(
    up: &mut UdpSock,
    net: &mut Net,
    name: i32,
    value: &[u8],
) -> Result<(), Errno> {
    let on = int_value(value)? != 0;
    match name {
        UDP_CORK => {
            up.corkflag = on;
            if !on {
                udp_push_pending_frames(up, net);
            }
            Ok(())
        }
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// getsockopt(2), level SOL_UDP.
pub(crate) fn udp_getsockopt(up: &UdpSock, name: i32) -> Result<Vec<u8>, Errno> {
    match name {
        UDP_CORK => Ok(i32::from(up.corkflag).to_ne_bytes().to_vec()),
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// Sends what was gathered. Nobody hears of an error, as the calls that gave the bytes have
/// returned.
fn udp_push_pending_frames(up: &mut UdpSock, net: &mut Net) {
    if up.pending.is_none() {
        return;
    }
    let mut rest = SendMsg {
        data: Default::default(),
        done: 0,
        copied_syn: 0,
        fastopen: FastopenSend::default(),
        flags: 0,
        nonblock: true,
        addr: None,
        control: Vec::new(),
        fault: false,
        iov: Vec::new(),
        uarg: None,
        tsflags: 0,
    };
    let _ = match up.sk.pinet6.is_some() {
        true => udpv6_sendmsg(up, net, &mut rest),
        false => udp_sendmsg(up, net, &mut rest),
    };
}
