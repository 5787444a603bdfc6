//! Names of ICMP and ICMPv6 types and codes (RFC 792, RFC 1812, RFC 4443) in packetdrill's spelling.

use crate::script::ast::Icmp;
use crate::script::{ScriptError, Source};

type Names = &'static [(&'static str, u8)];

const V4_TYPES: Names = &[
    ("echo_reply", 0),
    ("unreachable", 3),
    ("source_quench", 4),
    ("redirect", 5),
    ("echo_request", 8),
    ("time_exceeded", 11),
    ("parameter_problem", 12),
    ("timestamp_request", 13),
    ("timestamp_reply", 14),
    ("information_request", 15),
    ("information_reply", 16),
    ("address_mask_request", 17),
    ("address_mask_reply", 18),
];

const V4_UNREACHABLE: Names = &[
    ("net_unreachable", 0),
    ("host_unreachable", 1),
    ("protocol_unreachable", 2),
    ("port_unreachable", 3),
    ("frag_needed", 4),
    ("source_route_failed", 5),
    ("net_unknown", 6),
    ("host_unknown", 7),
    ("source_host_isolated", 8),
    ("net_prohibited", 9),
    ("host_prohibited", 10),
    ("net_unreachable_for_tos", 11),
    ("host_unreachable_for_tos", 12),
    ("packet_filtered", 13),
    ("precedence_violation", 14),
    ("precedence_cutoff", 15),
];

const V6_TYPES: Names = &[
    ("unreachable", 1),
    ("packet_too_big", 2),
    ("time_exceeded", 3),
    ("parameter_problem", 4),
    ("echo_request", 128),
    ("echo_reply", 129),
];

const V6_UNREACHABLE: Names = &[
    ("no_route", 0),
    ("net_unreachable", 0),
    ("admin_prohibited", 1),
    ("not_neighbour", 2),
    ("address_unreachable", 3),
    ("port_unreachable", 4),
];

const V6_TIME: Names = &[("exceeded_hop_limit", 0), ("exceeded_frag_time", 1)];
const V6_PARAMETER: Names =
    &[("header_field", 0), ("unknown_next_header", 1), ("unknown_option", 2)];

/// Whether a message quotes a packet.
pub(crate) fn is_error(kind: u8, v4: bool) -> bool {
    if v4 { matches!(kind, 3 | 4 | 5 | 11 | 12) } else { kind < 128 }
}

/// Type and code of a message.
pub(crate) fn numbers(source: &Source, icmp: &Icmp, v4: bool) -> Result<(u8, u8), ScriptError> {
    let types = if v4 { V4_TYPES } else { V6_TYPES };
    let look_up =
        |names: Names, name: &str| names.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    let version = if v4 { "ICMP" } else { "ICMPv6" };
    let Some(kind) = look_up(types, &icmp.kind) else {
        let message = format!("`{}` is not an {version} type", icmp.kind);
        return Err(ScriptError::new(source, icmp.kind_span, message, ""));
    };
    let codes = match (v4, kind) {
        (true, 3) => V4_UNREACHABLE,
        (false, 1) => V6_UNREACHABLE,
        (false, 3) => V6_TIME,
        (false, 4) => V6_PARAMETER,
        _ => &[],
    };
    let Some(name) = &icmp.code else { return Ok((kind, 0)) };
    match look_up(codes, name) {
        Some(code) => Ok((kind, code)),
        None => {
            let message = format!("`{name}` is not a code of {version} {}", icmp.kind);
            Err(ScriptError::new(source, icmp.code_span, message, ""))
        }
    }
}

/// Bytes 4 to 7: the next hop's MTU or an echo's identifier.
pub(crate) fn rest(
    source: &Source,
    icmp: &Icmp,
    v4: bool,
    kind: u8,
    code: u8,
) -> Result<[u8; 4], ScriptError> {
    if let Some(mtu) = icmp.mtu {
        let fits = if v4 { (kind, code) == (3, 4) && mtu <= 0xffff } else { kind == 2 };
        if !fits {
            let message = if v4 {
                "an MTU up to 65535 goes with unreachable frag_needed"
            } else {
                "an MTU goes with packet_too_big"
            };
            return Err(ScriptError::new(source, icmp.kind_span, message, ""));
        }
        return Ok(mtu.to_be_bytes());
    }
    let id = icmp.id.unwrap_or(0).to_be_bytes();
    Ok([id[0], id[1], 0, 0])
}
