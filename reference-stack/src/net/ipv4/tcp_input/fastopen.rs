//! What a SYN-ACK says about Fast Open, and the third ACK of a Fast Open child
//! (Linux `tcp_rcv_fastopen_synack()`, `tcp_rcv_synrecv_state_fastopen()`, 5.15).

use super::*;
use crate::net::ipv4::tcp_fastopen::*;
use crate::net::ipv4::tcp_metrics::tcp_fastopen_cache_set;

/// The segment size that the SYN-ACK announced, even where TCP_MAXSEG is smaller.
fn announced_mss(tp: &TcpSock, net: &Net, skb: &Skb) -> u16 {
    let clamp = tp.rx_opt.mss_clamp;
    if clamp != tp.rx_opt.user_mss {
        return clamp;
    }
    let mut opt = TcpOptionsReceived::default();
    tcp_parse_options(net, tcp_options(skb), &mut opt, false, true);
    opt.mss_clamp
}

/// Remembers cookie and segment size, and sends data again that the SYN-ACK did not acknowledge
/// (`tcp_rcv_fastopen_synack`); then true: that carries the ACK.
pub(crate) fn tcp_rcv_fastopen_synack(
    tp: &mut TcpSock,
    net: &mut Net,
    skb: &Skb,
    cookie: Option<TcpFastopenCookie>,
) -> bool {
    let unacked = tp.fastopen.syn_data && !tp.rtx_queue.is_empty();
    let mss = announced_mss(tp, net, skb);
    let mut cookie = cookie;
    let (mut syn_drop, mut try_exp) = (false, 0);
    if !tp.fastopen.syn_fastopen {
        // Nobody asked.
        cookie = None;
    } else if tp.total_retrans != 0 {
        // The peer seems to have got only the plain SYN.
        syn_drop = cookie.is_none() && unacked;
    } else if cookie.is_none() && !tp.fastopen.syn_data {
        // No cookie by one form of the option: the other one next time, and then no more.
        try_exp = if tp.fastopen.syn_fastopen_exp { 2 } else { 1 };
    }
    tcp_fastopen_cache_set(tp, net, mss, cookie, syn_drop, try_exp);
    if unacked {
        tp.fastopen.fastopen_client_fail =
            if tp.total_retrans != 0 { TFO_SYN_RETRANSMITTED } else { TFO_DATA_NOT_ACKED };
        for i in 0..tp.rtx_queue.len() {
            tcp_mark_skb_lost(tp, net, i);
        }
        tcp_non_congestion_loss_retransmit(tp, net);
        net.mib.inc(TcpExt::TCPFastOpenActiveFail);
        return true;
    }
    tp.fastopen.syn_data_acked = tp.fastopen.syn_data;
    if tp.fastopen.syn_data_acked {
        net.mib.inc(TcpExt::TCPFastOpenActive);
        // SYN and data were counted as two.
        if tp.delivered > 1 {
            tp.delivered -= 1;
        }
    }
    tcp_fastopen_add_skb(tp, net, skb);
    false
}

/// The third ACK of a Fast Open child: its request is done with
/// (`tcp_rcv_synrecv_state_fastopen`).
pub(crate) fn tcp_rcv_synrecv_state_fastopen(tp: &mut TcpSock, net: &mut Net) {
    if tp.icsk.icsk_ca_state == CaState::Loss && tp.packets_out == 0 {
        tcp_try_undo_recovery(tp, net);
    }
    tp.icsk.icsk_retransmits = 0;
    tcp_retrans_stamp_cleanup(tp);
    reqsk_fastopen_remove(tp, false);
    // Data may have gone meanwhile.
    tcp_rearm_rto(tp, net);
}
