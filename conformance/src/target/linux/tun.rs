//! The TUN device and the socket that sniffs on it.

use host_sys::{Clock, PollFd};

use super::absent;
use super::setup::DEVICE;
use crate::target::{Refusal, Sent};

/// Requests and flags of `linux/if_tun.h`.
const TUNSETIFF: u32 = 0x4004_54ca;
const TUNSETOFFLOAD: u32 = 0x4004_54d0;
const IFF_TUN: u16 = 0x0001;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
/// Checksums, TSO for both versions of IP, TSO with ECN: what an Ethernet device offers, and upstream's tool as well.
const OFFLOADS: u64 = 0x01 | 0x02 | 0x04 | 0x08;
/// Size of `struct ifreq`.
const IFREQ: usize = 40;

const O_RDWR: i32 = 2;
const O_NONBLOCK: i32 = 0o4000;
const O_CLOEXEC: i32 = 0o2_000_000;
const AF_PACKET: i32 = 17;
const SOCK_RAW: i32 = 3;
const ETH_P_ALL: u16 = 3;
const SOL_SOCKET: i32 = 1;
const SO_RCVBUFFORCE: i32 = 33;
const SO_TIMESTAMPNS: i32 = 35;
const SOL_PACKET: i32 = 263;
const PACKET_VNET_HDR: i32 = 15;
const MSG_DONTWAIT: i32 = 0x40;
/// `sll_pkttype` of a packet that the kernel sends.
const PACKET_OUTGOING: u8 = 4;

/// `struct virtio_net_hdr`: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset.
const VNET_HDR: usize = 10;
const NEEDS_CSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;

/// Room for a super-packet with its header.
const ROOM: usize = VNET_HDR + 65_536 + 128;
/// Bytes that the sniffer may be behind.
const BEHIND: i32 = 32 << 20;
const POLLIN: i16 = 1;

/// A TUN device; it goes with its descriptor.
pub(super) struct Tun {
    device: i32,
    sniffer: i32,
    buffer: Vec<u8>,
}

impl Tun {
    /// Makes the device in the calling thread's namespace.
    pub(super) fn open() -> Result<Tun, Refusal> {
        let missing = absent("/dev/net/tun cannot be opened");
        let device =
            host_sys::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC, 0).map_err(missing)?;
        // From here on the descriptors are closed with the value.
        let mut tun = Tun { device, sniffer: -1, buffer: vec![0; ROOM] };
        let mut request = [0; IFREQ];
        request[..DEVICE.len()].copy_from_slice(DEVICE.as_bytes());
        request[16..18].copy_from_slice(&(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR).to_ne_bytes());
        host_sys::ioctl(device, TUNSETIFF, &mut request).map_err(absent("TUNSETIFF"))?;
        host_sys::ioctl_number(device, TUNSETOFFLOAD, OFFLOADS).map_err(absent("TUNSETOFFLOAD"))?;
        tun.sniff().map_err(absent("the device cannot be sniffed on"))?;
        Ok(tun)
    }

    fn sniff(&mut self) -> host_sys::Result<()> {
        let ty = SOCK_RAW | O_CLOEXEC;
        let fd = host_sys::socket(AF_PACKET, ty, i32::from(ETH_P_ALL.to_be()))?;
        self.sniffer = fd;
        let on = 1_i32.to_ne_bytes();
        host_sys::setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on)?;
        host_sys::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on)?;
        host_sys::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &BEHIND.to_ne_bytes())?;
        // struct sockaddr_ll: family, protocol, interface, and what bind() does not look at.
        let mut addr = [0; 20];
        addr[..2].copy_from_slice(&(AF_PACKET as u16).to_ne_bytes());
        addr[2..4].copy_from_slice(&ETH_P_ALL.to_be_bytes());
        addr[4..8].copy_from_slice(&host_sys::if_index(DEVICE)?.to_ne_bytes());
        host_sys::bind(fd, &addr)
    }

    pub(super) fn readable(&self) -> PollFd {
        PollFd { fd: self.sniffer, events: POLLIN, revents: 0 }
    }

    /// The next packet that the kernel sent.
    pub(super) fn next(&mut self) -> Option<Sent> {
        loop {
            let got = host_sys::recvmsg(self.sniffer, &mut self.buffer, 128, MSG_DONTWAIT).ok()?;
            if got.addr.get(10) != Some(&PACKET_OUTGOING) {
                continue;
            }
            // What was sniffed waits in the device's queue as well, for whoever would send it on.
            let _ = host_sys::read(self.device, &mut [0; VNET_HDR + 1]);
            let bytes = self.buffer.get(..got.len.min(ROOM))?;
            let (head, packet) = bytes.split_at_checked(VNET_HDR)?;
            let at = stamp(&host_sys::control_messages(&got.control));
            return Some(Sent { at, packet: with_checksum(head, packet) });
        }
    }

    /// Gives the kernel a packet; it has been received when this returns.
    pub(super) fn write(&self, packet: &[u8], gso_size: u16) -> Result<(), Refusal> {
        let mut bytes = vec![0; VNET_HDR + packet.len()];
        if gso_size > 0 {
            let v6 = packet.first().is_some_and(|b| b >> 4 == 6);
            bytes[1] = if v6 { GSO_TCPV6 } else { GSO_TCPV4 };
            bytes[4..6].copy_from_slice(&gso_size.to_ne_bytes());
        }
        bytes[VNET_HDR..].copy_from_slice(packet);
        match host_sys::write(self.device, &bytes) {
            Ok(_) => Ok(()),
            Err(errno) => Err(Refusal::Unsupported(format!(
                "the TUN device does not take a packet of {} bytes: {errno}",
                packet.len()
            ))),
        }
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        for fd in [self.device, self.sniffer] {
            if fd >= 0 {
                let _ = host_sys::close(fd);
            }
        }
    }
}

/// The kernel's time stamp of a packet, else the present.
fn stamp(messages: &[host_sys::Control]) -> u64 {
    let stamp = messages.iter().find(|m| (m.level, m.ty) == (SOL_SOCKET, SO_TIMESTAMPNS));
    let word = |at: usize| -> Option<u64> {
        let bytes = stamp?.data.get(at..at + 8)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    };
    match (word(0), word(8)) {
        (Some(seconds), Some(nanos)) => seconds.saturating_mul(1_000_000_000).saturating_add(nanos),
        _ => host_sys::now_ns(Clock::Realtime),
    }
}

/// The packet with the checksum that the kernel left to the device, by the virtio header in front of it.
fn with_checksum(head: &[u8], packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let word = |at: usize| usize::from(u16::from_ne_bytes([head[at], head[at + 1]]));
    if head[0] & NEEDS_CSUM == 0 {
        return packet;
    }
    let (start, field) = (word(6), word(6) + word(8));
    let Some(covered) = packet.get(start..) else { return packet };
    // The field holds the pseudo header's sum already.
    let mut sum: u64 = 0;
    for pair in covered.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let value = match !(sum as u16) {
        0 => 0xffff,
        value => value,
    };
    if let Some(place) = packet.get_mut(field..field + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
    packet
}

#[cfg(test)]
mod tests {
    use super::with_checksum;

    #[test]
    fn checksums_left_to_the_device_are_filled_in() {
        // Bytes 2 and 3 are the field, with a pseudo header's sum in it.
        let packet = [0x45, 0, 0x12, 0x34, 0xff, 0xff, 7];
        let head = [1, 0, 0, 0, 0, 0, 2, 0, 0, 0];
        let filled = with_checksum(&head, &packet);
        let sum: u32 = 0x1234 + 0xffff + 0x0700;
        let folded = (sum & 0xffff) + (sum >> 16);
        assert_eq!(filled[2..4], (!(folded as u16)).to_be_bytes());
        assert_eq!(with_checksum(&[0; 10], &packet), packet);
        assert_eq!(with_checksum(&[1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], &packet), packet);
    }
}
