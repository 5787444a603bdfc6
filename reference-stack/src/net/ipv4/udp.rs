//! UDP (Linux `udp.c`).

use crate::net::core::sock::SockCommon;

/// `struct udp_sock`.
#[derive(Clone, Debug)]
pub(crate) struct UdpSock {
    /// `struct sock` and `struct inet_sock`.
    pub(crate) sk: SockCommon,
}
