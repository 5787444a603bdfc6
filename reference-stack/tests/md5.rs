//! Connections between two machines that sign their segments (RFC 2385).

use common::{Pair, address};
use reference_stack::Version;
use reference_stack::syscalls::{Call, Fd};
use reference_stack::uapi::{AF_INET, IPPROTO_TCP, TCP_MD5SIG};

mod common;

/// `struct tcp_md5sig` for the other machine.
fn set_key(pair: &mut Pair, machine: usize, fd: Fd, key: &[u8]) {
    let mut value = vec![0; 216];
    value[0..2].copy_from_slice(&AF_INET.to_ne_bytes());
    value[4..8].copy_from_slice(&address(1 - machine).octets());
    value[130..132].copy_from_slice(&(key.len() as u16).to_ne_bytes());
    value[136..136 + key.len()].copy_from_slice(key);
    pair.call(machine, Call::Setsockopt { fd, level: IPPROTO_TCP.into(), name: TCP_MD5SIG, value });
}

fn signed(keys: [&[u8]; 2]) -> (Pair, Option<[Fd; 2]>) {
    let mut pair = Pair::boot(Version::V5_15);
    pair.know_each_other();
    let listener = pair.listen();
    set_key(&mut pair, 1, listener, keys[1]);
    let client = pair.socket(0);
    set_key(&mut pair, 0, client, keys[0]);
    let waits = pair.start(0, Call::Connect { fd: client, addr: common::server() }).is_none();
    assert!(waits);
    pair.settle();
    if pair.machines[0].is_blocked(pair.tasks[0]) {
        return (pair, None);
    }
    pair.completed(0).expect("the connection is made");
    let accepted = pair.call(1, Call::Accept4 { fd: listener, flags: 0 }).value() as Fd;
    (pair, Some([client, accepted]))
}

#[test]
fn with_the_same_key_a_connection_is_made() {
    let (_, fds) = signed([b"secret", b"secret"]);
    assert!(fds.is_some());
}

#[test]
fn with_another_key_nobody_answers() {
    let (pair, fds) = signed([b"secret", b"another"]);
    assert!(fds.is_none());
    let counters = pair.machines[1].proc_net("netstat").expect("the counters");
    let mut rows = counters.lines().filter(|l| l.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, values) = (rows.next().expect("names"), rows.next().expect("values"));
    let failures = names.zip(values).find(|(name, _)| *name == "TCPMD5Failure");
    assert_eq!(failures.map(|(_, v)| v), Some("1"));
}
