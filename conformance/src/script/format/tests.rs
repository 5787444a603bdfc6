use super::*;

fn formatted(text: &str) -> String {
    match format(&Source::new("t.pkt", text), &Defines::new()) {
        Ok(out) => out,
        Err(error) => panic!("{}", error.one_line()),
    }
}

const MESSY: &str = r#"

#!/usr/bin/env packetdrill
// first

--mss = 5   // the size
--define=CC="reno"
  `./defaults.sh
 sysctl x=1`


0    socket( ... , SOCK_STREAM,IPPROTO_TCP )=3 // opens
   +0   setsockopt(3, SOL_TCP ,TCP_CONGESTION,CC, 4) = 0
+0...0.200   connect (3,...,...)  = -1   EINPROGRESS ( Operation now in progress )
/* a block
     comment */
+0  >  S  0 : 0( 0 )  <mss 1460 , sackOK,TS val 100 ecr 0,nop,wscale 8>
+.01  ~  +.02 > ( tos 0x10 ,flowlabel 0xabcde ) .5 1:1(0) ack 1 <...>
* > P5. 1:11(10) ack 1 win 5 urg 3 <nop,nop,sack 1:2  3:4>
+0 < [ttl 3] 80>8080 - 5:5(0) win 0 <opt 253 [ de ad ],nop,nop,nop,nop>
+0 < ipv4 1.2.3.4>5.6.7.8 :gre:udp 5 > 6(100)
+0 > @peer . 1:1(0) ack $a
+0 < @peer P . $a+1:$a+6( 5 ) ack $a-3 win 9
+0 > eth: [ ffffffffffff 02 ?? 4? ... ]
+0 recvmsg(3, {msg_name(...)=...,
  msg_iov(2) = [{..., 10}, {..., 20}], // two
      msg_flags=MSG_A | MSG_B, msg_control=[
   {cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ,
      // in between
   cmsg_data=5}]}, (socklen_t) 0) = 30
+0  %{ assert  x }%
+0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {.events=EPOLLIN, .data.fd=3}) = 0x2  (flags  O_RDWR)


`cleanup`
// last"#;

const TIDY: &str = r#"#!/usr/bin/env packetdrill
// first

--mss=5 // the size
--define=CC="reno"
`./defaults.sh
 sysctl x=1`

0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3 // opens
+0 setsockopt(3, SOL_TCP, TCP_CONGESTION, CC, 4) = 0
+0...0.200 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
/* a block
     comment */
+0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>
+.01~+.02 > (tos 0x10, flowlabel 0xabcde) .5 1:1(0) ack 1 <...>
* > P5. 1:11(10) ack 1 win 5 urg 3 <nop,nop,sack 1:2 3:4>
+0 < [ttl 3] 80 > 8080 - 5:5(0) win 0 <opt 253 [de ad],nop,nop,nop,nop>
+0 < ipv4 1.2.3.4 > 5.6.7.8: gre: udp 5 > 6(100)
+0 > @peer . 1:1(0) ack $a
+0 < @peer P. $a+1:$a+6(5) ack $a-3 win 9
+0 > eth: [ffffffffffff 02 ?? 4? ...]
+0 recvmsg(3, {msg_name(...)=...,
            msg_iov(2)=[{..., 10}, {..., 20}], // two
            msg_flags=MSG_A|MSG_B, msg_control=[
                {cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ,
                    // in between
                    cmsg_data=5}]}, (socklen_t)0) = 30
+0 %{ assert  x }%
+0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {.events=EPOLLIN, .data.fd=3}) = 0x2 (flags O_RDWR)

`cleanup`
// last
"#;

#[test]
fn the_layout() {
    let out = formatted(MESSY);
    similar_asserts(&out, TIDY);
    similar_asserts(&formatted(&out), TIDY);
}

fn similar_asserts(got: &str, expected: &str) {
    for (n, (a, b)) in got.lines().zip(expected.lines()).enumerate() {
        assert_eq!(a, b, "line {}", n + 1);
    }
    assert_eq!(got, expected);
}

/// What is formatted stays as it is, says the same, and keeps its comments.
#[test]
fn own_scripts_are_in_it() {
    let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("suites")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of scripts").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "pkt") {
                let text = std::fs::read_to_string(&path).expect("a script is readable");
                let out = formatted(&text);
                assert_eq!(out, text, "{}: run `cargo xtask fmt`", path.display());
            }
        }
    }
}

#[test]
fn a_broken_script_has_no_layout() {
    assert!(format(&Source::new("t", "0 f("), &Defines::new()).is_err());
}
