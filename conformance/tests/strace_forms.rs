//! What strace 6.1 writes of one program in every form that people record: the calls on sockets
//! are the same. The program listens and serves its own child: fork, threads, dup, exec, epoll,
//! select, poll, signals with and without restarts, time-outs, writev, sendfile, sendmmsg.

use std::path::{Path, PathBuf};

use conformance::capture::{
    CallName, Outcome, Record, SocketCall, StraceError, parse_strace, socket_calls,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/strace")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// One word or two for a call, without what differs from run to run.
fn word(c: &SocketCall) -> String {
    let of = match &c.call {
        CallName::Socket { kind, .. } => format!("socket {}", kind & 0xf),
        CallName::Bind { addr, .. } => format!("bind {addr:?}"),
        CallName::Listen { backlog, .. } => format!("listen {backlog}"),
        CallName::Accept { new, peer, .. } => {
            format!("accept {} {}", new.is_some(), peer.is_some())
        }
        CallName::Connect { addr, .. } => format!("connect {addr:?}"),
        CallName::Setsockopt { level, name, value, .. } => {
            format!("setsockopt {level} {name} {}", value.len())
        }
        CallName::Shutdown { how, .. } => format!("shutdown {how}"),
        CallName::Send { len, to, .. } => format!("send {len} {}", to.is_some()),
        CallName::Recv { len, flags, .. } => format!("recv {len} {flags}"),
        CallName::Sendfile { len, .. } => format!("sendfile {len}"),
        CallName::SetNonblock { on, .. } => format!("nonblock {on}"),
        CallName::Poll { fds, timeout_ns, .. } => format!("poll {} {timeout_ns:?}", fds.len()),
        CallName::Select { read, others, timeout_ns, .. } => {
            format!("select {} {others} {timeout_ns:?}", read.asked.len())
        }
        CallName::EpollCreate { .. } => "epoll_create".to_owned(),
        CallName::EpollCtl { op, events, data, .. } => {
            format!("epoll_ctl {op} {events:#x} {data:#x}")
        }
        CallName::EpollWait { max, ready, others, .. } => {
            format!("epoll_wait {max} {ready:x?} {others}")
        }
        CallName::Close { .. } => "close".to_owned(),
        other => format!("{other:?}"),
    };
    let outcome = match &c.outcome {
        Outcome::Ret(_) => String::new(),
        Outcome::Err(e) => format!(" = {e}"),
        other => format!(" = {other:?}"),
    };
    format!("{of}{outcome}")
}

/// The calls of each thread, the threads in the order in which they made their first.
fn by_thread(calls: &[SocketCall]) -> Vec<Vec<String>> {
    let mut threads: Vec<(u32, Vec<String>)> = Vec::new();
    for c in calls {
        match threads.iter_mut().find(|t| t.0 == c.pid) {
            Some((_, list)) => list.push(word(c)),
            None => threads.push((c.pid, vec![word(c)])),
        }
    }
    threads.into_iter().map(|t| t.1).collect()
}

fn calls_of(name: &str) -> Vec<Vec<String>> {
    by_thread(&socket_calls(&parse_strace(name, &read(name)).unwrap()))
}

#[test]
fn one_program_is_read_alike_from_every_form() {
    let expected = calls_of("ttt-T.strace");
    let [main, child, thread] = expected.as_slice() else { panic!("{expected:#?}") };
    assert_eq!(
        main.join("\n"),
        "socket 1\n\
         setsockopt 1 2 4\n\
         setsockopt 6 99 4 = ENOPROTOOPT\n\
         bind Inet(127.0.0.1:7999)\n\
         listen 5\n\
         accept true true\n\
         epoll_create\n\
         epoll_ctl 1 0x2001 0x5500112233\n\
         epoll_wait 4 [(1, 5500112233)] 0\n\
         recv 100 2\n\
         recv 100 0\n\
         recv 100 0 = Restart(\"ERESTARTSYS\")\n\
         recv 100 0\n\
         setsockopt 1 20 16\n\
         recv 100 0 = EAGAIN\n\
         poll 1 Some(60000000) = Restart(\"ERESTART_RESTARTBLOCK\")\n\
         select 1 1 Some(10000000)\n\
         nonblock true\n\
         recv 10 0 = EAGAIN\n\
         nonblock false\n\
         sendfile 300\n\
         socket 2\n\
         send 3 true\n\
         send 4 true\n\
         close\n\
         setsockopt 1 20 16\n\
         recv 4096 0\n\
         close\n\
         close\n\
         close"
    );
    assert_eq!(
        child.join("\n"),
        "socket 1\nconnect Inet(127.0.0.1:7999)\nsend 12 false\nsend 5 false\nsend 4 false\n\
         recv 4096 0\nshutdown 1\nclose"
    );
    assert_eq!(thread.join("\n"), "recv 5 0");
    for form in ["tt.strace", "y.strace", "yy-xx.strace", "raw.strace", "stderr.strace"] {
        assert_eq!(calls_of(form), expected, "{form}");
    }
}

#[test]
fn a_file_for_each_thread_is_the_same_again() {
    let mut records = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let Some(pid) = path.extension().and_then(|e| e.to_str()?.parse().ok()) else { continue };
        let text = std::fs::read_to_string(&path).unwrap();
        let mut of_file = parse_strace("ff", &text).unwrap();
        of_file.iter_mut().for_each(|r| r.set_pid(pid));
        records.extend(of_file);
    }
    records.sort_by_key(Record::time_ns);
    assert_eq!(by_thread(&socket_calls(&records)), calls_of("ttt-T.strace"));
}

#[test]
fn a_call_without_a_duration_is_over_before_the_next() {
    let calls = socket_calls(&parse_strace("tt", &read("tt.strace")).unwrap());
    assert!(calls.iter().all(|c| c.exit_ns.is_some_and(|e| e >= c.entry_ns)));
}

/// Damaged in one way each: an error names the line, or what is whole is read.
#[test]
fn damaged_traces_have_an_error_with_its_line() {
    let whole = read("ttt-T.strace");
    let lines: Vec<&str> = whole.lines().collect();
    let at = |n: usize, line: &str| {
        let mut copy = lines.clone();
        copy[n] = line;
        copy.join("\n")
    };
    let cases: [(&str, String, Result<(), usize>); 9] = [
        ("whole", whole.clone(), Ok(())),
        ("empty", String::new(), Ok(())),
        ("cut in a line", whole[..whole.len() - 20].to_owned(), Err(lines.len())),
        ("a line without its time", at(4, "27412 socket(AF_INET, SOCK_STREAM, 0) = 3"), Err(5)),
        ("seconds alone", read("t.strace"), Err(1)),
        ("an argument list without end", at(5, "7 1795602295.1 close(3 = 0"), Err(6)),
        ("a result that is none", at(5, "7 1795602295.1 close(3) = maybe"), Err(6)),
        ("resumed but not begun", at(2, "7 1795602295.1 <... read resumed>) = 0"), Err(3)),
        ("another file", "MZ\u{90}\0\u{3}\0\0\0".to_owned(), Err(1)),
    ];
    for (what, text, expected) in cases {
        match (parse_strace("x.strace", &text), expected) {
            (Ok(records), Ok(())) => drop(socket_calls(&records)),
            (Err(StraceError::Line { message, .. }), Err(line)) => {
                assert!(message.starts_with(&format!("x.strace:{line}: ")), "{what}: {message}");
            }
            (got, expected) => panic!("{what}: {got:?}, expected {expected:?}"),
        }
    }
}
