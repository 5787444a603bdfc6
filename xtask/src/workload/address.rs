//! Socket addresses as the bytes of `struct sockaddr_in` and `sockaddr_in6`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// The address as the kernel takes it. A link-local one gets the scope of `eth0`.
pub(super) fn sockaddr(addr: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(28);
    match addr.ip() {
        IpAddr::V4(ip) => {
            bytes.extend(AF_INET.to_ne_bytes());
            bytes.extend(addr.port().to_be_bytes());
            bytes.extend(ip.octets());
            bytes.resize(16, 0);
        }
        IpAddr::V6(ip) => {
            bytes.extend(AF_INET6.to_ne_bytes());
            bytes.extend(addr.port().to_be_bytes());
            // Flow information.
            bytes.extend([0; 4]);
            bytes.extend(ip.octets());
            bytes.extend(scope(ip).to_ne_bytes());
        }
    }
    bytes
}

/// The interface that an address without a global meaning belongs to.
fn scope(ip: Ipv6Addr) -> u32 {
    if ip.is_unicast_link_local() { host_sys::if_index("eth0").unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::sockaddr;

    #[test]
    fn addresses_are_laid_out_as_the_kernel_reads_them() {
        let v4 = sockaddr("10.9.0.2:7001".parse().unwrap());
        assert_eq!(v4[2..8], [0x1b, 0x59, 10, 9, 0, 2]);
        assert_eq!(v4.len(), 16);
        let v6 = sockaddr("[fd09::2]:80".parse().unwrap());
        assert_eq!(
            (&v6[2..4], &v6[8..10], v6[23], v6.len()),
            (&[0, 80][..], &[0xfd, 9][..], 2, 28)
        );
    }
}
