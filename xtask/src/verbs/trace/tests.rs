//! The recorded trees against the study of Linux 5.15 on the AST2500, and against the sources.

use std::path::Path;

use reference_stack::trace::Node;

use super::scene;
use crate::cli::TraceName;

/// What the study draws: each line is a chain of functions, each below the one before.
const STUDY: &[(TraceName, &[&str])] = &[
    (
        TraceName::Socket,
        &[
            "sys_socket __sys_socket sock_create __sock_create sock_alloc",
            "__sock_create inet_create tcp_v4_init_sock tcp_init_sock",
            "__sys_socket sock_map_fd",
        ],
    ),
    (
        TraceName::Bind,
        &[
            "sys_bind __sys_bind sockfd_lookup_light",
            "__sys_bind move_addr_to_kernel",
            "__sys_bind inet_bind __inet_bind inet_csk_get_port",
        ],
    ),
    (
        TraceName::Listen,
        &[
            "sys_listen __sys_listen sockfd_lookup_light",
            "__sys_listen inet_listen inet_csk_listen_start inet_csk_get_port",
            "inet_csk_listen_start inet_hash",
        ],
    ),
    (
        TraceName::Connect,
        &[
            "sys_connect __sys_connect move_addr_to_kernel",
            "__sys_connect __sys_connect_file inet_stream_connect __inet_stream_connect \
             tcp_v4_connect",
            "tcp_v4_connect ip_route_connect",
            "tcp_v4_connect inet_hash_connect",
            "tcp_v4_connect tcp_connect sk_stream_alloc_skb",
            "tcp_connect tcp_transmit_skb __tcp_transmit_skb",
            "tcp_connect inet_csk_reset_xmit_timer",
        ],
    ),
    (
        TraceName::Accept,
        &[
            "sys_accept __sys_accept4 __sys_accept4_file __get_unused_fd_flags",
            "__sys_accept4_file do_accept sock_alloc",
            "do_accept sock_alloc_file",
            "do_accept inet_accept inet_csk_accept reqsk_queue_remove",
            "__sys_accept4_file fd_install",
        ],
    ),
    (
        TraceName::Write,
        &[
            "sys_write ksys_write file_ppos",
            "ksys_write vfs_write new_sync_write call_write_iter sock_write_iter sock_sendmsg \
             sock_sendmsg_nosec inet_sendmsg tcp_sendmsg",
            "tcp_sendmsg sk_stream_alloc_skb",
            "tcp_sendmsg sk_page_frag_refill",
            "tcp_sendmsg skb_copy_to_page_nocache",
            "tcp_sendmsg skb_fill_page_desc",
            "tcp_sendmsg tcp_push __tcp_push_pending_frames tcp_write_xmit tcp_mtu_probe",
            "tcp_write_xmit tcp_transmit_skb __tcp_transmit_skb ip_queue_xmit __ip_queue_xmit \
             __sk_dst_check",
            "__ip_queue_xmit ip_local_out dst_output ip_output ip_finish_output \
             __ip_finish_output ip_skb_dst_mtu",
            "__ip_finish_output ip_finish_output2 ip_neigh_for_gw",
            "ip_finish_output2 neigh_output neigh_hh_output dev_queue_xmit __dev_queue_xmit \
             netdev_core_pick_tx",
            "__dev_queue_xmit dev_hard_start_xmit xmit_one netdev_start_xmit \
             __netdev_start_xmit ftgmac100_hard_start_xmit dma_map_single",
        ],
    ),
    (
        TraceName::Read,
        &[
            "sys_read ksys_read file_ppos",
            "ksys_read vfs_read new_sync_read call_read_iter sock_read_iter sock_recvmsg \
             sock_recvmsg_nosec inet_recvmsg tcp_recvmsg tcp_recvmsg_locked \
             skb_copy_datagram_msg",
        ],
    ),
    (
        TraceName::Receive,
        &[
            "ftgmac100_interrupt napi_schedule_prep",
            "ftgmac100_interrupt __napi_schedule_irqoff ____napi_schedule \
             __raise_softirq_irqoff",
            "ip_rcv ip_rcv_core",
            "ip_rcv ip_rcv_finish ip_rcv_finish_core",
            "ip_local_deliver ip_local_deliver_finish ip_protocol_deliver_rcu",
            "tcp_v4_rcv",
        ],
    ),
    (
        TraceName::Addr,
        &[
            "fib_inetaddr_event fib_add_ifaddr fib_magic fib_new_table fib_get_table",
            "fib_magic fib_table_insert",
        ],
    ),
];

/// Whether somewhere below `nodes` each name of the chain lies below the one before.
fn has(nodes: &[Node], chain: &[&str]) -> bool {
    let Some((first, rest)) = chain.split_first() else { return true };
    nodes
        .iter()
        .any(|node| (node.name == *first && has(&node.calls, rest)) || has(&node.calls, chain))
}

#[test]
fn the_trees_are_those_of_the_study() {
    let mut missing = Vec::new();
    for (name, chains) in STUDY {
        let recorded = scene::record(*name).expect("the scene plays");
        for chain in *chains {
            let names: Vec<&str> = chain.split_whitespace().collect();
            if !has(&recorded, &names) {
                missing.push(format!("{name:?}: {chain}"));
            }
        }
    }
    assert!(missing.is_empty(), "not recorded:\n{}", missing.join("\n"));
}

/// A recorded name is the name of a function that carries the attribute, not a string.
#[test]
fn every_recorded_name_is_a_marked_function_of_the_sources() {
    let mut marked = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../reference-stack/src"), &mut marked);
    for (name, _) in STUDY {
        for node in scene::record(*name).expect("the scene plays") {
            check(&node, &marked);
        }
    }
}

fn check(node: &Node, marked: &[String]) {
    assert!(marked.iter().any(|name| name == node.name), "{} is not marked", node.name);
    for call in &node.calls {
        check(call, marked);
    }
}

/// Names of the functions below `folder` that stand under the mark, by its short name or by its path.
fn collect(folder: &Path, marked: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the sources") {
        let path = entry.expect("the sources").path();
        if path.is_dir() {
            collect(&path, marked);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("the sources");
            for (at, mark) in text.match_indices("traced]\n") {
                let after = &text[at + mark.len()..];
                let name = after.split_once("fn ").map(|(_, rest)| rest);
                let end = |c: char| !(c.is_alphanumeric() || c == '_');
                marked.extend(name.and_then(|n| n.split(end).next()).map(str::to_owned));
            }
        }
    }
}
