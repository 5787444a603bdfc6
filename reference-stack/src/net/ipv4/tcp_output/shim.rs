//! Calls into TCP input.

use crate::net::Net;
use crate::net::ipv4::tcp_sock::TcpSock;

pub(crate) fn tcp_enter_cwr(_tp: &mut TcpSock, _net: &mut Net) {}
pub(crate) fn tcp_rearm_rto(_tp: &mut TcpSock, _net: &mut Net) {}
pub(crate) fn tcp_check_space(_tp: &mut TcpSock, _net: &mut Net) {}
pub(crate) fn tcp_initialize_rcv_mss(_tp: &mut TcpSock, _net: &mut Net) {}
pub(crate) fn tcp_clear_retrans(_tp: &mut TcpSock) {}
pub(crate) fn tcp_init_cwnd(_tp: &TcpSock) -> u32 {
    10
}
