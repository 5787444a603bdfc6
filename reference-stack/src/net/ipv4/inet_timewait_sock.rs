//! TIME-WAIT sockets: what is left of a connection while old segments may come
//! (Linux `inet_timewait_sock.c`, 5.15).

use super::tcp_sock::{TcpSock, TimewaitSock, TwV6};
use crate::lib::shared::Arc;
use crate::net::Net;
use crate::net::core::sock::{Sock, SockId, Socks, TcpState};
use crate::net::ipv4::mib::TcpExt;
use crate::time::{Jiffies, TimerId};

/// Puts a TIME-WAIT socket in the place of a connection, under its tuple and its port
/// (`inet_twsk_alloc`, `inet_twsk_hashdance`), for `timeo` jiffies. `None`: there are too many.
pub(crate) fn inet_twsk_hashdance(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    state: TcpState,
    timeo: Jiffies,
) -> Option<SockId> {
    if i64::from(socks.tcp.tw_count) >= net.sysctl.tcp_max_tw_buckets {
        net.mib.inc(TcpExt::TCPTimeWaitOverflow);
        return None;
    }
    let tp = socks.tcp(id)?;
    let tw = from_socket(tp, state);
    let port = tw.tw_num;
    let tw_id =
        socks.insert(&net.wmem, |tw_id| Sock::Tw(Arc::new(TimewaitSock { id: tw_id, ..tw })));
    socks.ehash_remove(id);
    socks.ehash_insert(tw_id);
    socks.bhash_add(port, tw_id);
    socks.tcp.tw_count += 1;
    let at = net.jiffies() + timeo;
    net.mod_timer(TimerId::Timewait(tw_id), at);
    Some(tw_id)
}

fn from_socket(tp: &TcpSock, state: TcpState) -> TimewaitSock {
    TimewaitSock {
        tw_md5sig_info: tp.md5sig_info.clone(),
        id: tp.sk.id,
        tw_saddr: tp.sk.inet_rcv_saddr,
        tw_daddr: tp.sk.inet_daddr,
        tw_v6: tp.sk.ipv6_specific().map(|np| {
            Box::new(TwV6 {
                saddr: np.sk_v6_rcv_saddr,
                daddr: np.sk_v6_daddr,
                tw_tclass: np.tclass,
                tw_flowlabel: np.flow_label,
                tw_txhash: tp.sk.sk_txhash,
            })
        }),
        tw_num: tp.sk.inet_num,
        tw_dport: tp.sk.inet_dport,
        tw_substate: state,
        tw_rcv_nxt: tp.rcv_nxt,
        tw_snd_nxt: tp.snd_nxt,
        tw_rcv_wnd: tp.receive_window(),
        tw_rcv_wscale: tp.rx_opt.rcv_wscale,
        tw_ts_offset: tp.tsoffset,
        tw_last_oow_ack_time: None,
        tw_ts_recent: tp.rx_opt.ts_recent,
        tw_ts_recent_stamp: tp.rx_opt.ts_recent_stamp,
        tw_tos: tp.sk.tos,
        tw_mark: tp.sk.sk_mark,
        tw_reuse: tp.sk.sk_reuse,
        tw_bound_dev_if: tp.sk.bound_dev_if,
        tw_port_by_connect: tp.sk.port_by_connect,
    }
}

/// Ends a TIME-WAIT socket (`inet_twsk_kill`).
fn inet_twsk_kill(socks: &mut Socks, id: SockId) {
    let Some(Sock::Tw(tw)) = socks.get(id) else { return };
    let port = tw.tw_num;
    socks.ehash_remove(id);
    socks.bhash_remove(port, id);
    socks.remove(id);
    socks.tcp.tw_count = socks.tcp.tw_count.saturating_sub(1);
}

/// Ends a TIME-WAIT socket before its time (`inet_twsk_deschedule_put`).
pub(crate) fn inet_twsk_deschedule_put(socks: &mut Socks, net: &mut Net, id: SockId) {
    net.del_timer(TimerId::Timewait(id));
    inet_twsk_kill(socks, id);
}

/// The timer's end of a TIME-WAIT socket (`tw_timer_handler`).
pub(crate) fn tw_timer_handler(socks: &mut Socks, net: &mut Net, id: SockId) {
    net.mib.inc(TcpExt::TW);
    inet_twsk_kill(socks, id);
}

/// `inet_twsk_reschedule`.
pub(crate) fn inet_twsk_reschedule(net: &mut Net, id: SockId, timeo: Jiffies) {
    let at = net.jiffies() + timeo;
    net.mod_timer(TimerId::Timewait(id), at);
}
