//! ping(8) over the loopback: a raw ICMP socket sends an echo request and gets the reply.

use std::sync::Arc;

use reference_stack::syscalls::SockAddr;
use reference_stack::{BootConfig, Call, Kernel, Profile, Ret, Version, uapi};

#[test]
fn an_echo_reply_reaches_a_raw_socket_with_its_ip_header() {
    let mut k = Kernel::boot(&BootConfig::new(Profile::new(Version::V5_15), Vec::new()));
    let task = k.task_new();
    let mut call = |c: Call| k.syscall(task, c).expect("does not wait");
    let icmp = i32::from(uapi::IPPROTO_ICMP);
    let socket = Call::Socket { family: 2, ty: uapi::SOCK_RAW, protocol: icmp };
    let Ok(Ret::Int(fd)) = call(socket) else { panic!("no socket") };
    let fd = fd as i32;
    // Everything but replies is kept away, the request itself among it.
    let value = (!1u32).to_le_bytes().to_vec();
    let filter = Call::Setsockopt { fd, level: uapi::SOL_RAW, name: uapi::ICMP_FILTER, value };
    assert_eq!(call(filter), Ok(Ret::Int(0)));
    let mut echo = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g'];
    let sum: u32 = echo.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    echo[2..4].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    let addr = Some(SockAddr::In { addr: [127, 0, 0, 1].into(), port: 0 });
    let send = Call::Sendto { fd, data: Arc::new(echo.clone()), flags: 0, addr };
    assert_eq!(call(send), Ok(Ret::Int(12)));
    let Ok(Ret::Data { data, len, .. }) = call(Call::Recvfrom { fd, len: 100, flags: 0 }) else {
        panic!("no reply");
    };
    assert_eq!((len, data[0] >> 4, data[20]), (32, 4, 0));
    assert_eq!(data[24..], echo[4..]);
    let again = Call::Recvfrom { fd, len: 100, flags: uapi::MSG_DONTWAIT };
    assert!(call(again).is_err(), "the request was not filtered");
    assert_eq!(call(Call::Close { fd }), Ok(Ret::Int(0)));
    assert_eq!(k.leak_check(), Vec::<String>::new());
}
