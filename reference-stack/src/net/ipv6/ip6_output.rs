//! IPv6 output (Linux `ip6_output.c`, `inet6_connection_sock.c`, 5.15).

use super::icmp::{ICMPV6_PKT_TOOBIG, icmpv6_send};
use super::ip6_input::IPV6_HLEN;
use super::route::{Flow6, ip6_route_output_flow};
use super::{Ipv6Pinfo, addr};
use crate::errno::Errno;
use crate::lib::siphash::siphash;
use crate::net::Net;
use crate::net::core::dev::{LOOPBACK_DEV, skb_checksum_help};
use crate::net::core::neighbour::{neigh_lookup_or_create, neigh_output};
use crate::net::core::skbuff::{Cb, DropReason, Ip6Cb, SkBuff, Skb, consume_skb, kfree_skb};
use crate::net::core::sock::SockCommon;
use crate::net::ethernet::ETH_P_IPV6;
use crate::net::ipv4::inet_hashtables::halves;
use crate::net::ipv4::ip_input::{dev_loopback_xmit, tcp_header_len};
use crate::net::ipv4::mib::Ip6;
use crate::net::ipv4::route::{__sk_dst_check, Dst, RtType, dst_confirm_neigh};
use crate::uapi::{IPPROTO_FRAGMENT, IPPROTO_TCP};
use reference_stack_macros::traced;
use std::net::Ipv6Addr;

/// Bytes of a fragment header.
const FRAG_HLEN: usize = 8;

/// The fields of an IPv6 header that the sender chooses, addresses aside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip6Args {
    pub(crate) tclass: u8,
    pub(crate) hop_limit: u8,
    pub(crate) label: u32,
    pub(crate) nexthdr: u8,
}

/// Puts an IPv6 header in front; its length comes in [`ip6_local_out`].
pub(crate) fn push_ip6_header(skb: &mut SkBuff, saddr: Ipv6Addr, daddr: Ipv6Addr, h: &Ip6Args) {
    let b = skb.push(IPV6_HLEN);
    let word = 6 << 28 | u32::from(h.tclass) << 20 | h.label & 0xf_ffff;
    b[0..4].copy_from_slice(&word.to_be_bytes());
    b[6] = h.nexthdr;
    b[7] = h.hop_limit;
    b[8..24].copy_from_slice(&saddr.octets());
    b[24..40].copy_from_slice(&daddr.octets());
    skb.reset_network_header();
}

/// The flow label of a packet (`ip6_make_flowlabel`): the one that the flow has, else one by the
/// hash of the flow, where that is wanted. `hash` is the socket's (`sk_txhash`).
pub(crate) fn ip6_make_flowlabel(
    net: &Net,
    hash: Option<u32>,
    fl: &Flow6,
    np: Option<&Ipv6Pinfo>,
) -> u32 {
    // IP6_AUTO_FLOW_LABEL_OFF, OPTOUT, OPTIN, FORCED.
    let auto = match net.sysctl.auto_flowlabels {
        0 => false,
        3 => true,
        by_default => np.and_then(|np| np.autoflowlabel).unwrap_or(by_default == 1),
    };
    if fl.flowlabel != 0 || !auto {
        return fl.flowlabel;
    }
    let hash = hash.filter(|&h| h != 0).unwrap_or_else(|| flow_hash(net, fl));
    // In the byte order of the wire.
    hash.rotate_left(16).swap_bytes() & 0xf_ffff
}

/// `skb_get_hash_flowi6`: a keyed hash of addresses, protocol and ports.
fn flow_hash(net: &Net, fl: &Flow6) -> u32 {
    let ([s1, s2], [d1, d2]) = (halves(fl.saddr), halves(fl.daddr));
    let ports = u64::from(fl.sport) << 32 | u64::from(fl.dport) << 16 | u64::from(fl.proto);
    (siphash(&[s1, s2, d1, d2, ports], net.ip.secrets.port_secret) as u32).max(1)
}

/// The flow of a connected socket.
pub(crate) fn flow_of(sk: &SockCommon, np: &Ipv6Pinfo) -> Flow6 {
    Flow6 {
        saddr: np.saddr,
        daddr: np.sk_v6_daddr,
        oif: sk.bound_dev_if,
        proto: sk.sk_protocol,
        sport: sk.inet_num,
        dport: sk.inet_dport,
        flowlabel: np.flow_label,
    }
}

/// Sends a segment of a connection (`inet6_csk_xmit`): its route is kept in the socket.
///
/// # Errors
/// What routing says; EMSGSIZE for a packet longer than the path takes.
#[traced]
pub(crate) fn inet6_csk_xmit(net: &mut Net, sk: &mut SockCommon, skb: Skb) -> Result<(), Errno> {
    let Some(np) = sk.pinet6.as_deref() else {
        kfree_skb(net, skb, DropReason::NotSpecified);
        return Err(Errno::EINVAL);
    };
    let mut fl = flow_of(sk, np);
    let dst = match __sk_dst_check(net, sk) {
        Some(dst) => dst,
        None => match ip6_route_output_flow(net, &mut fl) {
            Ok(dst) => {
                sk.sk_dst = Some(dst.clone());
                dst
            }
            Err(e) => {
                sk.sk_err_soft = Some(e);
                kfree_skb(net, skb, DropReason::IpOutNoRoutes);
                return Err(e);
            }
        },
    };
    if sk.dst_pending_confirm {
        // sock_confirm_neigh(): an acknowledgment showed that the next hop hears us.
        sk.dst_pending_confirm = false;
        dst_confirm_neigh(net, &dst, fl.daddr.into());
    }
    let tclass = sk.pinet6.as_deref().map_or(0, |np| np.tclass);
    ip6_xmit(net, Some(sk), skb, &fl, &dst, tclass)
}

/// Puts the IPv6 header in front and passes the packet down (`ip6_xmit`). `sk` gives hop limit
/// and flow label; a packet without one has the route's and the label of its hash.
///
/// # Errors
/// EMSGSIZE: it is longer than the path takes. Else what the way down says.
#[traced]
pub(crate) fn ip6_xmit(
    net: &mut Net,
    sk: Option<&SockCommon>,
    skb: Skb,
    fl: &Flow6,
    dst: &Dst,
    tclass: u8,
) -> Result<(), Errno> {
    ip6_xmit_hops(net, sk, skb, fl, dst, (tclass, None))
}

/// The same with the hop limit of this packet alone, if it has one, beside the traffic class.
///
/// # Errors
/// Those of [`ip6_xmit`].
pub(crate) fn ip6_xmit_hops(
    net: &mut Net,
    sk: Option<&SockCommon>,
    mut skb: Skb,
    fl: &Flow6,
    dst: &Dst,
    (tclass, hop_limit): (u8, Option<u8>),
) -> Result<(), Errno> {
    let np = sk.and_then(|sk| sk.pinet6.as_deref());
    let hash = Some(skb.hash).filter(|&h| h != 0);
    let args = Ip6Args {
        tclass,
        hop_limit: hop_limit.or(np.and_then(|np| np.hop_limit)).unwrap_or(dst.hoplimit),
        label: ip6_make_flowlabel(net, hash, fl, np),
        nexthdr: fl.proto,
    };
    push_ip6_header(&mut skb, fl.saddr, fl.daddr, &args);
    if let Some(sk) = sk {
        skb.priority = sk.sk_priority;
    }
    if skb.len() > dst.mtu as usize && skb.gso_size == 0 && !skb.ignore_df {
        net.mib.inc(Ip6::FragFails);
        kfree_skb(net, skb, DropReason::PktTooBig);
        return Err(Errno::EMSGSIZE);
    }
    ip6_local_out(net, skb, dst)
}

/// Completes the header of a packet of this host (its length) and sends it.
///
/// # Errors
/// What the way down says.
#[traced]
pub(crate) fn ip6_local_out(net: &mut Net, mut skb: Skb, dst: &Dst) -> Result<(), Errno> {
    net.mib.inc(Ip6::OutRequests);
    let len = skb.len() - IPV6_HLEN.min(skb.len());
    // A super-packet may be longer than the field says; it is cut before it is seen.
    ip6_set_len(&mut skb, if len > 0xffff { 0 } else { len as u16 });
    skb.protocol = ETH_P_IPV6;
    skb.rt = Some(dst.skb_rt());
    skb.cb = Cb::Ip6(Ip6Cb { nhoff: 6, fragmented: false });
    ip6_output(net, skb, dst)
}

/// Writes the payload length.
pub(crate) fn ip6_set_len(skb: &mut SkBuff, len: u16) {
    let at = skb.network_header;
    if let Some(field) = skb.head_at_mut(at).get_mut(4..6) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

#[traced]
fn ip6_output(net: &mut Net, mut skb: Skb, dst: &Dst) -> Result<(), Errno> {
    skb.dev = Some(dst.dev);
    skb.protocol = ETH_P_IPV6;
    if !net.devs[dst.dev].ip6_ptr.up {
        net.mib.inc(Ip6::OutDiscards);
        kfree_skb(net, skb, DropReason::Ipv6Disabled);
        return Ok(());
    }
    ip6_finish_output(net, skb, dst)
}

#[traced]
fn ip6_finish_output(net: &mut Net, skb: Skb, dst: &Dst) -> Result<(), Errno> {
    let mtu = dst.mtu.min(net.devs[dst.dev].mtu.max(super::route::IPV6_MIN_MTU)) as usize;
    if skb.gso_size > 0 {
        let headers = usize::from(skb.transport_header.saturating_sub(skb.network_header))
            + tcp_header_len(&skb);
        if headers + usize::from(skb.gso_size) <= mtu {
            return ip6_finish_output2(net, skb, dst);
        }
        return ip6_finish_output_gso(net, skb, dst, mtu);
    }
    match skb.len() > mtu {
        true => ip6_fragment(net, skb, dst, mtu),
        false => ip6_finish_output2(net, skb, dst),
    }
}

/// The path's MTU became smaller than a super-packet's segments: they are cut and fragmented.
fn ip6_finish_output_gso(net: &mut Net, skb: Skb, dst: &Dst, mtu: usize) -> Result<(), Errno> {
    match crate::net::core::gso::skb_gso_segment(net, skb) {
        Ok(mut list) => {
            let mut result = Ok(());
            while let Some(mut segment) = list.pop_front() {
                segment.ignore_df = true;
                result = result.and(ip6_fragment(net, segment, dst, mtu));
            }
            result
        }
        Err(skb) => {
            kfree_skb(net, skb, DropReason::SkbCsum);
            Err(Errno::EINVAL)
        }
    }
}

/// Hands a packet that fits to the next hop; one to a group that this host is in comes back.
#[traced]
fn ip6_finish_output2(net: &mut Net, skb: Skb, dst: &Dst) -> Result<(), Errno> {
    net.mib.add(Ip6::OutOctets, skb.len() as u64);
    if dst.rt_type == RtType::Multicast {
        net.mib.inc(Ip6::OutMcastPkts);
        net.mib.add(Ip6::OutMcastOctets, skb.len() as u64);
        let group = skb.head_at(skb.network_header).get(24..).and_then(addr::read);
        let ours = group.is_some_and(|g| net.devs[dst.dev].ip6_ptr.has_group(g));
        // What discovery sends is for the others alone.
        let udp = skb.owner.is_some();
        if ours && udp && dst.dev != LOOPBACK_DEV {
            let copy = skb.copy(&mut net.skbs);
            dev_loopback_xmit(net, copy);
        }
    }
    match neigh_lookup_or_create(net, dst.dev, dst.nexthop) {
        Ok(neigh) => neigh_output(net, neigh, skb),
        Err(e) => {
            kfree_skb(net, skb, DropReason::NeighCreateFail);
            Err(e)
        }
    }
}

/// Cuts a packet that is too long (`ip6_fragment`), or tells its sender if that may not be.
fn ip6_fragment(net: &mut Net, mut skb: Skb, dst: &Dst, mtu: usize) -> Result<(), Errno> {
    if skb.len() <= mtu {
        return ip6_finish_output2(net, skb, dst);
    }
    if !skb.ignore_df {
        net.mib.inc(Ip6::FragFails);
        icmpv6_send(net, &skb, ICMPV6_PKT_TOOBIG, 0, mtu as u32);
        kfree_skb(net, skb, DropReason::PktTooBig);
        return Err(Errno::EMSGSIZE);
    }
    skb_checksum_help(&mut skb);
    let mut header = [0; IPV6_HLEN];
    skb.copy_bits(0, &mut header);
    let nexthdr = std::mem::replace(&mut header[6], IPPROTO_FRAGMENT);
    skb.pull(IPV6_HLEN);
    // ipv6_select_ident(): random.
    let id = net.rng.next_u32().max(1);
    let most = (mtu.saturating_sub(IPV6_HLEN + FRAG_HLEN) & !7).max(8);
    let mut offset = 0;
    let mut charge = skb.truesize;
    let mut result = Ok(());
    while skb.len() > 0 {
        let len = skb.len().min(most);
        let more = skb.len() > len;
        let mut fragment = Skb::alloc(&mut net.skbs, crate::net::core::skbuff::SKB_HEADROOM);
        for frag in skb.take_payload(len) {
            fragment.add_frag(frag);
        }
        let word = (offset as u16) | u16::from(more);
        let fh = fragment.push(FRAG_HLEN);
        fh[0] = nexthdr;
        fh[2..4].copy_from_slice(&word.to_be_bytes());
        fh[4..8].copy_from_slice(&id.to_be_bytes());
        fragment.push(IPV6_HLEN).copy_from_slice(&header);
        fragment.reset_network_header();
        ip6_set_len(&mut fragment, (len + FRAG_HLEN) as u16);
        fragment.protocol = ETH_P_IPV6;
        fragment.dev = skb.dev;
        fragment.priority = skb.priority;
        fragment.hash = skb.hash;
        fragment.rt = skb.rt;
        fragment.cb = skb.cb;
        // The fragments carry the whole charge.
        fragment.owner = skb.owner;
        fragment.truesize = if more { (len as u32 + 512).min(charge) } else { charge };
        charge -= fragment.truesize;
        offset += len;
        net.mib.inc(Ip6::FragCreates);
        result = result.and(ip6_finish_output2(net, fragment, dst));
    }
    skb.owner = None;
    net.mib.inc(Ip6::FragOKs);
    consume_skb(net, skb);
    result
}

/// Puts the pseudo-header's sum into a TCP header's checksum field and leaves the rest to the
/// device (`tcp_v6_send_check`).
pub(crate) fn tcp_v6_send_check(skb: &mut Skb, saddr: Ipv6Addr, daddr: Ipv6Addr) {
    use crate::net::core::skbuff::IpSummed;
    let sum = crate::lib::checksum::csum_ipv6_pseudo(saddr, daddr, skb.len(), IPPROTO_TCP).folded();
    let mark = skb.transport_header;
    if let Some(field) = skb.head_at_mut(mark).get_mut(16..18) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    skb.ip_summed = IpSummed::Partial { offset: 16 };
}
