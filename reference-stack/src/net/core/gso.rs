//! Generic segmentation offload (Linux `net/core/gso.c`, `skb_segment`, `tcp_offload.c`): a
//! super-packet is cut into the segments that go on the wire.

use super::skbuff::{IpSummed, Skb};
use super::sock::SkbQueue;
use crate::lib::checksum::{Csum, csum_ipv6_pseudo, csum_pseudo};
use crate::net::Net;
use crate::net::ethernet::ETH_P_IPV6;
use crate::net::ipv4::ip_input::{Iphdr, ip_hdr, tcp_header_len};
use crate::net::ipv4::ip_output::ip_set_len;
use crate::net::ipv4::tcp_sock::{TCPHDR_CWR, TCPHDR_FIN, TCPHDR_PSH};
use crate::net::ipv6::ip6_input::{IPV6_HLEN, Ipv6hdr, ipv6_hdr};
use crate::net::ipv6::ip6_output::ip6_set_len;
use crate::uapi::IPPROTO_TCP;

/// Longest headers, link to TCP, that a super-packet can have.
const MAX_HEADERS: usize = 18 + 60 + 60;

/// Cuts a TCP super-packet into segments of `gso_size` bytes of payload. Identifications count
/// up, PSH and FIN stay on the last segment, CWR on the first (Linux `tcp_gso_segment`,
/// `inet_gso_segment`). Each segment's charge is a part of the whole's, and the checksums are
/// left `Partial`.
///
/// # Errors
/// The packet itself, if it is not one that can be cut.
pub(crate) fn skb_gso_segment(net: &mut Net, mut skb: Skb) -> Result<SkbQueue, Skb> {
    let Some((addrs, headers, tcp_len)) = measure(&mut skb) else { return Err(skb) };
    let mss = usize::from(skb.gso_size);
    let payload = skb.len() - headers;
    let count = payload.div_ceil(mss).max(1);
    let mut head = [0; MAX_HEADERS];
    skb.copy_bits(0, &mut head[..headers]);
    let data = skb.data_offset();
    let (ip_at, tcp_at) =
        (usize::from(skb.network_header - data), usize::from(skb.transport_header - data));
    let seq = u32::from_be_bytes([
        head[tcp_at + 4],
        head[tcp_at + 5],
        head[tcp_at + 6],
        head[tcp_at + 7],
    ]);
    let flags = head[tcp_at + 13];
    skb.pull(headers);
    let mut list = SkbQueue::default();
    let mut charge = skb.truesize;
    for i in 0..count {
        let (first, last) = (i == 0, i + 1 == count);
        let len = if last { payload - i * mss } else { mss };
        let mut seg = Skb::alloc(&mut net.skbs, 160.max(headers));
        for frag in skb.take_payload(len) {
            seg.add_frag(frag);
        }
        seg.push(headers).copy_from_slice(&head[..headers]);
        let base = seg.data_offset();
        seg.mac_header = base;
        seg.network_header = base + ip_at as u16;
        seg.transport_header = base + tcp_at as u16;
        seg.protocol = skb.protocol;
        seg.dev = skb.dev;
        seg.priority = skb.priority;
        seg.tstamp = skb.tstamp;
        seg.hash = skb.hash;
        seg.vlan_tci = skb.vlan_tci;
        seg.rt = skb.rt;
        seg.ignore_df = skb.ignore_df;
        seg.cb = skb.cb;
        seg.owner = skb.owner;
        seg.uarg = skb.uarg;
        net.skbs.ubufs.net_zcopy_get(skb.uarg);
        seg.truesize = if last { charge } else { skb.truesize / count as u32 };
        charge -= seg.truesize.min(charge);
        let header = seg.linear_mut();
        if let Addrs::V4(iph) = &addrs {
            let id = iph.id.wrapping_add(i as u16);
            header[ip_at + 4..ip_at + 6].copy_from_slice(&id.to_be_bytes());
        }
        let at = seq.wrapping_add((i * mss) as u32);
        header[tcp_at + 4..tcp_at + 8].copy_from_slice(&at.to_be_bytes());
        let mut f = flags;
        if !last {
            f &= !(TCPHDR_FIN | TCPHDR_PSH);
        }
        if !first {
            f &= !TCPHDR_CWR;
        }
        header[tcp_at + 13] = f;
        let sum = addrs.pseudo(tcp_len + len).folded();
        header[tcp_at + 16..tcp_at + 18].copy_from_slice(&sum.to_be_bytes());
        seg.tx_tstamp = skb.tx_tstamp.of_segment(at, len as u32);
        seg.ip_summed = IpSummed::Partial { offset: 16 };
        match &addrs {
            Addrs::V4(iph) => ip_set_len(&mut seg, (iph.ihl + tcp_len + len) as u16),
            Addrs::V6(_) => ip6_set_len(&mut seg, (headers - ip_at - IPV6_HLEN + len) as u16),
        }
        list.push_back(seg);
    }
    // The segments carry the whole charge.
    skb.owner = None;
    super::skbuff::consume_skb(net, skb);
    Ok(list)
}

/// The packet's network header.
enum Addrs {
    V4(Iphdr),
    V6(Ipv6hdr),
}

impl Addrs {
    fn pseudo(&self, len: usize) -> Csum {
        match self {
            Self::V4(ip) => csum_pseudo(ip.saddr, ip.daddr, len, IPPROTO_TCP),
            Self::V6(ip) => csum_ipv6_pseudo(ip.saddr, ip.daddr, len, IPPROTO_TCP),
        }
    }
}

/// The network header, the bytes of all headers, and those of TCP's, if the packet can be cut.
fn measure(skb: &mut Skb) -> Option<(Addrs, usize, usize)> {
    let data = skb.data_offset();
    let (addrs, protocol, ip_len) = if skb.protocol == ETH_P_IPV6 {
        let ip = ipv6_hdr(skb)?;
        (Addrs::V6(ip), ip.nexthdr, IPV6_HLEN)
    } else {
        let iph = ip_hdr(skb)?;
        (Addrs::V4(iph), iph.protocol, iph.ihl)
    };
    let ip_at = usize::from(skb.network_header.checked_sub(data)?);
    let tcp_at = usize::from(skb.transport_header.checked_sub(data)?);
    if protocol != IPPROTO_TCP || skb.gso_size == 0 || tcp_at < ip_at + ip_len {
        return None;
    }
    if !skb.may_pull(tcp_at + 20) {
        return None;
    }
    let tcp_len = tcp_header_len(skb);
    let headers = tcp_at + tcp_len;
    let fits = tcp_len >= 20 && headers <= MAX_HEADERS && skb.may_pull(headers);
    fits.then_some((addrs, headers, tcp_len))
}
