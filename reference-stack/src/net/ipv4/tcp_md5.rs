//! TCP MD5 signatures (RFC 2385; Linux `tcp_md5sig` of `tcp_ipv4.c` and `tcp_ipv6.c`, 5.15).
//!
//! A socket holds a key for each peer, or network of peers. What it sends to one is signed, and
//! what comes from one without a right signature is dropped in silence.

use super::mib::TcpExt;
use super::tcp_sock::TcpSock;
use crate::errno::Errno;
use crate::lib::md5::Md5;
use crate::net::Net;
use crate::net::core::skbuff::{SkBuff, Skb};
use crate::net::core::sock::SockCommon;
use crate::uapi::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_MD5SIG_EXT};
use hw_model::Frag;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// The option's number.
pub(crate) const TCPOPT_MD5SIG: u8 = 19;
/// Bytes of the option.
pub(crate) const TCPOLEN_MD5SIG: u8 = 18;
/// The same with two NOPs before it.
pub(crate) const TCPOLEN_MD5SIG_ALIGNED: u32 = 20;
/// Longest key (`TCP_MD5SIG_MAXKEYLEN`).
const TCP_MD5SIG_MAXKEYLEN: usize = 80;
/// Where the signature is in a header of ours: it is the first option.
const SIGNATURE: std::ops::Range<usize> = 24..40;
/// Bytes of `struct tcp_md5sig`: an address of 128, flags, prefix length, key length, interface,
/// and the key.
const SIZEOF_TCP_MD5SIG: usize = 128 + 1 + 1 + 2 + 4 + TCP_MD5SIG_MAXKEYLEN;
/// `prefixlen` counts.
const TCP_MD5SIG_FLAG_PREFIX: u8 = 1;
/// The interface counts; only a VRF's would be one.
const TCP_MD5SIG_FLAG_IFINDEX: u8 = 2;

/// `struct tcp_md5sig_key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Md5Key {
    addr: IpAddr,
    prefixlen: u8,
    key: Vec<u8>,
}

/// A socket's keys (`struct tcp_md5sig_info`); most have none.
pub(crate) type Md5Info = Option<Arc<Vec<Md5Key>>>;

/// An address as the tables hold it: a mapped one is IPv4's.
fn unmapped(addr: IpAddr) -> IpAddr {
    addr.to_canonical()
}

impl Md5Key {
    fn covers(&self, addr: IpAddr) -> bool {
        match (self.addr, addr) {
            (IpAddr::V4(net), IpAddr::V4(a)) => {
                let host = 32u32.saturating_sub(self.prefixlen.into());
                (net.to_bits() ^ a.to_bits()).checked_shr(host).unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(a)) => {
                let host = 128u32.saturating_sub(self.prefixlen.into());
                (net.to_bits() ^ a.to_bits()).checked_shr(host).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The key for a peer: that of the longest prefix (`tcp_md5_do_lookup`).
pub(crate) fn tcp_md5_do_lookup(info: &Md5Info, addr: IpAddr) -> Option<&Md5Key> {
    let addr = unmapped(addr);
    info.as_ref()?.iter().filter(|k| k.covers(addr)).max_by_key(|k| k.prefixlen)
}

/// The peer's address of a socket.
fn peer(sk: &SockCommon) -> IpAddr {
    ends_of(sk).daddr
}

/// The addresses of what a socket sends.
pub(crate) fn ends_of(sk: &SockCommon) -> Ends {
    match sk.ipv6_specific() {
        Some(np) => Ends { saddr: np.saddr.into(), daddr: np.sk_v6_daddr.into() },
        None => Ends { saddr: sk.inet_saddr.into(), daddr: sk.inet_daddr.into() },
    }
}

/// The key that a socket's segments are signed with (`md5_lookup`).
pub(crate) fn md5_key_of(tp: &TcpSock) -> Option<&Md5Key> {
    tp.md5sig_info.as_ref()?;
    tcp_md5_do_lookup(&tp.md5sig_info, peer(&tp.sk))
}

/// Sets or removes a key (`tcp_v4_parse_md5_keys`, `tcp_v6_parse_md5_keys`).
///
/// # Errors
/// EINVAL: too short, another family, a key or prefix too long, an interface that is no VRF's;
/// ENOENT: there is no key to remove.
pub(crate) fn tcp_parse_md5_keys(tp: &mut TcpSock, name: i32, value: &[u8]) -> Result<(), Errno> {
    let v: &[u8; SIZEOF_TCP_MD5SIG] = value.first_chunk().ok_or(Errno::EINVAL)?;
    let family = u16::from_ne_bytes([v[0], v[1]]);
    let word = |at: usize| u16::from_ne_bytes([v[at], v[at + 1]]);
    let addr = if family == AF_INET {
        IpAddr::from([v[4], v[5], v[6], v[7]])
    } else if family == AF_INET6 && tp.sk.sk_family == AF_INET6 {
        let bytes: [u8; 16] = v[8..24].try_into().map_err(|_| Errno::EINVAL)?;
        IpAddr::from(bytes)
    } else {
        return Err(Errno::EINVAL);
    };
    if (family == AF_INET) != (tp.sk.sk_family == AF_INET) {
        return Err(Errno::EINVAL);
    }
    let mapped = matches!(addr, IpAddr::V6(a) if a.to_ipv4_mapped().is_some());
    let addr = unmapped(addr);
    let host = if addr.is_ipv4() { 32 } else { 128 };
    let (flags, mut prefixlen) = (v[128], host);
    if name == TCP_MD5SIG_EXT && flags & TCP_MD5SIG_FLAG_PREFIX != 0 {
        prefixlen = v[129];
        if prefixlen > host || (mapped && prefixlen > 32) {
            return Err(Errno::EINVAL);
        }
    }
    if name == TCP_MD5SIG_EXT && flags & TCP_MD5SIG_FLAG_IFINDEX != 0 {
        return Err(Errno::EINVAL);
    }
    let keylen = usize::from(word(130));
    let mut keys = tp.md5sig_info.take().map(Arc::unwrap_or_clone).unwrap_or_default();
    let at = keys.iter().position(|k| k.addr == addr && k.prefixlen == prefixlen);
    let done = match (keylen, at) {
        (0, None) => Err(Errno::ENOENT),
        (0, Some(at)) => {
            keys.remove(at);
            Ok(())
        }
        (n, _) if n > TCP_MD5SIG_MAXKEYLEN => Err(Errno::EINVAL),
        (n, at) => {
            let key = Md5Key { addr, prefixlen, key: v[136..136 + n].to_vec() };
            match at {
                Some(at) => keys[at] = key,
                None => keys.push(key),
            }
            Ok(())
        }
    };
    tp.md5sig_info = (!keys.is_empty()).then(|| Arc::new(keys));
    done
}

/// What a child keeps of its listener's keys: the one for its peer (`tcp_v4_syn_recv_sock`).
pub(crate) fn md5_for_child(tp: &mut TcpSock) {
    let peer = peer(&tp.sk);
    let key = tcp_md5_do_lookup(&tp.md5sig_info, peer).cloned();
    tp.md5sig_info = key.map(|key| {
        let addr = unmapped(peer);
        let prefixlen = if addr.is_ipv4() { 32 } else { 128 };
        Arc::new(vec![Md5Key { addr, prefixlen, ..key }])
    });
    if tp.md5sig_info.is_some() {
        tp.tcp_header_len += TCPOLEN_MD5SIG_ALIGNED as u16;
        sk_gso_disable(tp);
    }
}

/// Every segment has a signature of its own, so none is cut below TCP (`sk_gso_disable`).
pub(crate) fn sk_gso_disable(tp: &mut TcpSock) {
    tp.sk.sk_gso_max_segs = 1;
}

/// The addresses of a segment, from its sender's side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) saddr: IpAddr,
    pub(crate) daddr: IpAddr,
}

/// The signature of a segment (`tcp_v4_md5_hash_skb`): over a pseudo-header, the header without
/// options and with no checksum, the payload, and the key.
pub(crate) fn tcp_md5_hash<'a>(
    key: &Md5Key,
    ends: Ends,
    header: &[u8],
    payload: impl Iterator<Item = &'a [u8]>,
    len: u32,
) -> [u8; 16] {
    let mut md5 = Md5::default();
    match (unmapped(ends.saddr), unmapped(ends.daddr)) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            md5.update(&s.octets());
            md5.update(&d.octets());
            md5.update(&[0, IPPROTO_TCP]);
            md5.update(&(len as u16).to_be_bytes());
        }
        (s, d) => {
            md5.update(&as_v6(s).octets());
            md5.update(&as_v6(d).octets());
            md5.update(&len.to_be_bytes());
            md5.update(&u32::from(IPPROTO_TCP).to_be_bytes());
        }
    }
    let mut fixed = [0; 20];
    for (to, from) in fixed.iter_mut().zip(header) {
        *to = *from;
    }
    fixed[16..18].fill(0);
    md5.update(&fixed);
    payload.for_each(|part| md5.update(part));
    md5.update(&key.key);
    md5.finish()
}

/// Fills the room for the signature of a segment that is ready to be sent; its transport header is
/// set, and there is nothing in front of it.
pub(crate) fn tcp_md5_sign(skb: &mut Skb, key: &Md5Key, ends: Ends) {
    let mark = skb.transport_header;
    let header = skb.head_at(mark);
    let payload = skb.frags.iter().map(Frag::bytes);
    let hash = tcp_md5_hash(key, ends, header, payload, skb.len() as u32);
    if let Some(room) = skb.head_at_mut(mark).get_mut(SIGNATURE) {
        room.copy_from_slice(&hash);
    }
}

fn as_v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(a) => a.to_ipv6_mapped(),
        IpAddr::V6(a) => a,
    }
}

/// The signature that a segment's options hold (`tcp_parse_md5sig_option`).
pub(crate) fn tcp_parse_md5sig_option(mut opts: &[u8]) -> Option<[u8; 16]> {
    // Shorter ones have no room for it.
    while let [kind, rest @ ..] = opts {
        match *kind {
            0 => return None,
            1 => opts = rest,
            kind => {
                let size = usize::from(*rest.first()?);
                let value = opts.get(2..size)?;
                if kind == TCPOPT_MD5SIG {
                    return value.try_into().ok();
                }
                opts = &opts[size..];
            }
        }
    }
    None
}

/// Whether a segment from a peer may pass: signed as its key says, or not at all if there is none
/// (`tcp_v4_inbound_md5_hash`).
pub(crate) fn tcp_inbound_md5_hash(
    info: &Md5Info,
    net: &mut Net,
    skb: &SkBuff,
    ends: Ends,
    opts: &[u8],
) -> bool {
    // Nearly every segment has neither.
    let signature =
        if opts.len() < TCPOLEN_MD5SIG.into() { None } else { tcp_parse_md5sig_option(opts) };
    let key = tcp_md5_do_lookup(info, ends.saddr);
    let fault = match (key, signature) {
        (None, None) => return true,
        (Some(_), None) => TcpExt::TCPMD5NotFound,
        (None, Some(_)) => TcpExt::TCPMD5Unexpected,
        (Some(key), Some(signature)) => {
            if hash_of(key, ends, skb) == signature {
                return true;
            }
            TcpExt::TCPMD5Failure
        }
    };
    net.mib.inc(fault);
    false
}

/// The signature that a received segment ought to have.
fn hash_of(key: &Md5Key, ends: Ends, skb: &SkBuff) -> [u8; 16] {
    let doff = usize::from(skb.tcp_cb().doff);
    let mut skip = doff;
    let payload = skb.slices().filter_map(move |part| {
        let take = skip.min(part.len());
        skip -= take;
        Some(&part[take..]).filter(|p| !p.is_empty())
    });
    let header = skb.head_at(skb.transport_header);
    tcp_md5_hash(key, ends, header, payload, skb.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment that Linux 6.18 sent to itself with the key "netplumb".
    #[test]
    fn a_signature_is_what_linux_signs() {
        let header = [
            0x9f, 0x76, 0x45, 0xec, 0x57, 0xd8, 0xca, 0x06, 0x54, 0x81, 0x33, 0x9e, 0xa0, 0x18,
            0x00, 0x40, 0xfe, 0x35, 0x00, 0x00,
        ];
        let signature = [
            0x8f, 0x7f, 0x1f, 0xf6, 0xaf, 0x14, 0xe0, 0xfd, 0x0d, 0xa4, 0x04, 0xc6, 0x5e, 0xad,
            0x36, 0xd3,
        ];
        let local = IpAddr::from([127, 0, 0, 1]);
        let key = Md5Key { addr: local, prefixlen: 32, key: b"netplumb".to_vec() };
        let ends = Ends { saddr: local, daddr: local };
        let payload = std::iter::once(&b"hello"[..]);
        assert_eq!(tcp_md5_hash(&key, ends, &header, payload, 45), signature);
    }

    #[test]
    fn the_longest_prefix_has_the_key() {
        let key = |addr: [u8; 4], prefixlen| Md5Key {
            addr: addr.into(),
            prefixlen,
            key: vec![prefixlen],
        };
        let info: Md5Info =
            Some(Arc::new(vec![key([10, 0, 0, 0], 8), key([10, 1, 0, 0], 16), key([0; 4], 0)]));
        let of = |a: [u8; 4]| tcp_md5_do_lookup(&info, a.into()).map(|k| k.prefixlen);
        assert_eq!(
            [of([10, 1, 9, 9]), of([10, 2, 0, 1]), of([192, 0, 2, 1])],
            [Some(16), Some(8), Some(0)]
        );
    }

    #[test]
    fn the_option_is_found_behind_others_and_never_beyond_them() {
        let mut opts = vec![1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, TCPOPT_MD5SIG, TCPOLEN_MD5SIG];
        assert_eq!(tcp_parse_md5sig_option(&opts), None);
        opts.extend([7; 16]);
        assert_eq!(tcp_parse_md5sig_option(&opts), Some([7; 16]));
        assert_eq!(tcp_parse_md5sig_option(&[5, 0, TCPOPT_MD5SIG]), None);
    }
}
