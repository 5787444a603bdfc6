//! The parsers of what was recorded: captures, straces, manifests. Any bytes give records or one
//! error with its place, and never a panic; what is read twice is read the same.

use crate::capture::{Manifest, PacketReader, parse_strace, socket_calls};
use crate::frames::decode;

/// A capture file, and every frame of it decoded.
pub fn pcap(bytes: &[u8]) {
    let read = || -> Vec<_> {
        match PacketReader::new("fuzz.pcap", std::io::Cursor::new(bytes.to_vec())) {
            Ok(reader) => reader.collect(),
            Err(e) => vec![Err(e)],
        }
    };
    let once = read();
    for (n, packet) in once.iter().enumerate() {
        match packet {
            Ok(p) => {
                assert_eq!(p.number, n as u64 + 1, "packets are numbered from 1");
                let _ = decode(&p.data).summary();
            }
            Err(e) => {
                assert_eq!(n + 1, once.len(), "nothing is read after an error");
                assert!(!e.to_string().is_empty());
            }
        }
    }
    assert_eq!(once.len(), read().len());
}

/// The text of a trace, and what happened to its sockets.
pub fn strace(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse_strace("fuzz.strace", &text) {
        Ok(records) => {
            let calls = socket_calls(&records);
            assert!(calls.is_sorted_by_key(|c| c.entry_ns), "calls are in order of entry");
        }
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}

/// A manifest's text.
pub fn manifest(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Manifest::parse("fuzz.toml", &text) {
        Ok(m) => {
            for i in &m.interface {
                assert_eq!(i.prefixes().len(), i.addresses.len(), "what was accepted is usable");
            }
        }
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}

/// The bytes as text where they are, else in hex.
pub fn describe(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes
            .chunks(16)
            .map(|row| row.iter().map(|b| format!("{b:02x} ")).collect::<String>() + "\n")
            .collect(),
    }
}

/// A header, then one frame: little-endian microseconds, and pcapng with a block of each kind.
pub fn pcap_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let frame = [2u8, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    let words = |big: bool, w: &[u32]| -> Vec<u8> {
        let bytes = |w: &u32| if big { w.to_be_bytes() } else { w.to_le_bytes() };
        w.iter().flat_map(bytes).collect()
    };
    let mut micro = words(false, &[0xa1b2_c3d4, 0x0004_0002, 0, 0, 64, 1, 7, 9, 22, 42]);
    micro.extend(frame);
    let mut cooked = words(true, &[0xa1b2_3c4d, 0x0002_0004, 0, 0, 64, 113, 7, 9, 22, 42]);
    cooked.extend(frame);
    let mut ng = words(true, &[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 0x0001_0000, !0, !0, 28]);
    ng.extend(words(true, &[1, 32, 0x0001_0000, 0, 0x0009_0001, 0x0300_0000, 0, 32]));
    ng.extend(words(true, &[6, 36, 0, 0, 5, 4, 1500, 0xdead_beef, 36]));
    vec![("micro", micro), ("cooked", cooked), ("pcapng", ng)]
}

/// Lines of every form.
pub fn strace_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let text = "7 1.000001 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3<TCP:[1]> <0.000001>\n\
        7 1.000002 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"10.0.2.2\")}, 16 <unfinished ...>\n\
        [pid 7] 00:00:01.0000025 poll([{fd=3, events=POLLIN}], 1, 5) = 1 ([{fd=3, revents=POLLIN}]) <0.000010>\n\
        7 1.000003 <... connect resumed>) = 0 <0.01>\n\
        7 1.000004 sendmsg(3, {msg_name=NULL, msg_iov=[{iov_base=\"a\\x20\\7\"..., iov_len=3}], msg_iovlen=1}, MSG_MORE) = 3\n\
        7 1.000005 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---\n\
        7 1.000006 clone(child_stack=NULL, flags=CLONE_FILES|SIGCHLD) = 9 <0.1>\n\
        7 1.000007 exit_group(0) = ?\n7 1.000008 +++ exited with 0 +++\n";
    vec![("forms", text.as_bytes().to_vec())]
}

/// Every key once.
pub fn manifest_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let text = "description = \"x\"\nkernel = \"6.18\"\narch = \"arm\"\nhz = 250\nmem_mib = 64\njiffies_phase = 0.1\n\
        strace = []\n[[interface]]\nname = \"eth0\"\ncapture = \"a.pcap\"\nmac = \"02:00:00:00:00:01\"\n\
        addresses = [\"10.0.2.15/24\", \"fd00::1/64\"]\ndriver = \"tun\"\noffloads = [\"gro\"]\nup_before_s = 2.0\n\
        [[route]]\nto = \"default\"\nvia = \"10.0.2.1\"\n[uncertainty]\nrx_us = 1000\n[sysctl]\n\"net.ipv4.tcp_sack\" = 0\n\
        [[event]]\nat_s = 1.0\nrun = \"ip link set eth0 down\"\n[[accept]]\nframe = 1\nfield = \"tcp.window\"\nreason = \"y\"\n";
    vec![("keys", text.as_bytes().to_vec())]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every seed, every prefix of it, and the seed with each byte changed in turn.
    #[test]
    fn seeds_cut_and_changed_are_read_or_refused() {
        type Body = fn(&[u8]);
        type Seeds = fn() -> Vec<(&'static str, Vec<u8>)>;
        let all: [(Body, Seeds); 3] =
            [(pcap, pcap_seeds), (strace, strace_seeds), (manifest, manifest_seeds)];
        for (run, seeds) in all {
            for (_, seed) in seeds() {
                run(&seed);
                for n in 0..seed.len() {
                    run(&seed[..n]);
                    let mut changed = seed.clone();
                    changed[n] ^= 1 << (n % 8);
                    run(&changed);
                }
            }
        }
    }

    #[test]
    fn the_seeds_are_what_they_should_be() {
        let text = String::from_utf8(manifest_seeds().remove(0).1).unwrap();
        Manifest::parse("seed", &text).unwrap();
        let text = String::from_utf8(strace_seeds().remove(0).1).unwrap();
        let calls = socket_calls(&parse_strace("seed", &text).unwrap());
        assert!(calls.len() >= 4, "{calls:?}");
    }
}
