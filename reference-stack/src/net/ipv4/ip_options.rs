//! IPv4 options of received packets (RFC 791 3.1; Linux `ip_options.c`).

use super::icmp::{ICMP_PARAMETERPROB, icmp_send};
use super::ip_input::Iphdr;
use super::ip_output::IP_HLEN;
use crate::net::Net;
use crate::net::core::skbuff::Skb;

const IPOPT_END: u8 = 0;
const IPOPT_NOOP: u8 = 1;
const IPOPT_RR: u8 = 7;
const IPOPT_TIMESTAMP: u8 = 68;
const IPOPT_LSRR: u8 = 131;
const IPOPT_SSRR: u8 = 137;
const IPOPT_RA: u8 = 148;

/// Looks at the options of a received packet; false: the packet is to be dropped, and its sender
/// was told which byte is wrong.
pub(crate) fn ip_rcv_options(net: &mut Net, skb: &mut Skb, iph: &Iphdr) -> bool {
    let header = skb.head_at(skb.network_header);
    let Some(options) = header.get(IP_HLEN..iph.ihl) else { return false };
    match ip_options_compile(options) {
        // accept_source_route is off on every interface that is not asked to be a router.
        Ok(source_route) => !source_route,
        Err(at) => {
            let pointer = (IP_HLEN + at) as u32;
            icmp_send(net, skb, ICMP_PARAMETERPROB, 0, pointer << 24);
            false
        }
    }
}

/// Checks the options' form: whether one is a source route, or the offset of the byte that is
/// wrong.
fn ip_options_compile(options: &[u8]) -> Result<bool, usize> {
    let mut source_route = false;
    let (mut rr, mut ts) = (false, false);
    let mut at = 0;
    while at < options.len() {
        match options[at] {
            IPOPT_END => return Ok(source_route),
            IPOPT_NOOP => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let len = match options.get(at + 1) {
            Some(&len) if len >= 2 && usize::from(len) <= options.len() - at => usize::from(len),
            _ => return Err(at),
        };
        let body = &options[at..at + len];
        match body[0] {
            IPOPT_SSRR | IPOPT_LSRR => {
                if len < 3 {
                    return Err(at + 1);
                }
                if body[2] < 4 {
                    return Err(at + 2);
                }
                // A second route; only one may be there.
                if source_route {
                    return Err(at);
                }
                source_route = true;
            }
            IPOPT_RR => {
                if rr {
                    return Err(at);
                }
                rr = true;
                check_pointer(at, body, 4, 3)?;
            }
            IPOPT_TIMESTAMP => {
                if ts {
                    return Err(at);
                }
                ts = true;
                if len < 4 {
                    return Err(at + 1);
                }
                check_timestamp(at, body)?;
            }
            IPOPT_RA if len < 4 => return Err(at + 1),
            _ => {}
        }
        at += len;
    }
    Ok(source_route)
}

/// A pointer that starts at `first` and leaves room for what is recorded next.
fn check_pointer(at: usize, body: &[u8], first: u8, need: usize) -> Result<(), usize> {
    if body.len() < 3 {
        return Err(at + 1);
    }
    let pointer = body[2];
    if pointer < first {
        return Err(at + 2);
    }
    if usize::from(pointer) <= body.len() && usize::from(pointer) + need > body.len() {
        return Err(at + 2);
    }
    Ok(())
}

fn check_timestamp(at: usize, body: &[u8]) -> Result<(), usize> {
    if body[2] < 5 {
        return Err(at + 2);
    }
    // Timestamps alone, with addresses, or at addresses that the sender named.
    let need = match body[3] & 0x0f {
        0 => 3,
        1 | 3 => 7,
        _ => return Err(at + 3),
    };
    if usize::from(body[2]) > body.len() {
        // Full: only the count of those that could not note theirs is left.
        return if body[3] >> 4 == 15 { Err(at + 3) } else { Ok(()) };
    }
    check_pointer(at, body, 5, need)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_that_is_wrong_is_named() {
        assert_eq!(ip_options_compile(&[1, 1, 0, 0]), Ok(false));
        assert_eq!(ip_options_compile(&[131, 7, 4, 10, 0, 0, 1, 0]), Ok(true));
        // Too long, too short, and a pointer in the option's own header.
        assert_eq!(ip_options_compile(&[1, 7, 9, 4]), Err(1));
        assert_eq!(ip_options_compile(&[7, 1, 4, 0]), Err(0));
        assert_eq!(ip_options_compile(&[7, 7, 3, 0, 0, 0, 0, 0]), Err(2));
    }
}
