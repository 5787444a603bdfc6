//! Calls into rooms that are not here yet.
#![allow(unused_variables, dead_code, missing_docs)]
pub(crate) mod tcp {
    use crate::errno::Errno;
    use crate::net::Net;
    use crate::net::core::sock::{SockId, Socks, TcpState};
    use crate::net::ipv4::tcp_sock::*;
    pub(crate) fn tcp_init_sock(net: &mut Net, id: SockId) -> TcpSock {
        panic!("not here yet")
    }
    pub(crate) fn tcp_done(tp: &mut TcpSock, net: &mut Net) {
        tp.sk.sk_state = TcpState::Close;
    }
    pub(crate) fn tcp_set_state(tp: &mut TcpSock, net: &mut Net, s: TcpState) {
        tp.sk.sk_state = s;
    }
    pub(crate) fn tcp_shutdown(tp: &mut TcpSock, net: &mut Net, how: i32) {}
    pub(crate) fn tcp_disconnect(tp: &mut TcpSock, net: &mut Net) -> Result<(), Errno> {
        Ok(())
    }
    pub(crate) fn tcp_write_queue_purge(tp: &mut TcpSock, net: &mut Net) {}
    pub(crate) fn tcp_close(socks: &mut Socks, net: &mut Net, id: SockId) {}
    pub(crate) fn tcp_sendmsg(tp: &mut TcpSock, net: &mut Net, m: &mut SendMsg) -> IoResult<usize> {
        Err(Errno::EINVAL)
    }
    pub(crate) fn tcp_recvmsg(tp: &mut TcpSock, net: &mut Net, m: &mut RecvMsg) -> IoResult<usize> {
        Err(Errno::EINVAL)
    }
    pub(crate) fn tcp_ioctl(tp: &mut TcpSock, net: &mut Net, r: u32) -> Result<i64, Errno> {
        Err(Errno::EINVAL)
    }
}
pub(crate) mod tcp_recovery {
    use crate::lib::seqnum::SeqNum;
    use crate::net::Net;
    use crate::net::ipv4::tcp_rate::RateSample;
    use crate::net::ipv4::tcp_sock::*;
    pub(crate) fn tcp_rack_skb_timeout(tp: &TcpSock, skb: &TcpSkb, reo_wnd: u32) -> i32 {
        0
    }
    pub(crate) fn tcp_rack_mark_lost(tp: &mut TcpSock, net: &mut Net) -> bool {
        false
    }
    pub(crate) fn tcp_rack_advance(tp: &mut TcpSock, sacked: u8, end_seq: SeqNum, xmit_time: u64) {}
    pub(crate) fn tcp_rack_update_reo_wnd(tp: &mut TcpSock, net: &mut Net, rs: &RateSample) {}
    pub(crate) fn tcp_newreno_mark_lost(tp: &mut TcpSock, net: &mut Net, snd_una_advanced: bool) {}
}
pub(crate) mod tcp_timer {
    use crate::net::Net;
    use crate::net::ipv4::tcp_sock::*;
    use crate::time::Jiffies;
    pub(crate) fn keepalive_time_when(tp: &TcpSock, net: &Net) -> Jiffies {
        0
    }
    pub(crate) fn tcp_retransmit_timer(tp: &mut TcpSock, net: &mut Net, orphans: u32) {}
}
