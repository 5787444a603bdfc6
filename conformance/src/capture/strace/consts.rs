//! Numbers of the symbols that strace prints: Linux's uapi for x86_64 and arm.

use super::value::{Value, parse_int};

/// Symbols of one argument position.
pub(super) type Table = &'static [(&'static str, i32)];

pub(super) const FAMILIES: Table = &[
    ("AF_UNSPEC", 0),
    ("AF_UNIX", 1),
    ("AF_LOCAL", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_ALG", 38),
];

pub(super) const TYPES: Table = &[
    ("SOCK_STREAM", 1),
    ("SOCK_DGRAM", 2),
    ("SOCK_RAW", 3),
    ("SOCK_SEQPACKET", 5),
    ("SOCK_PACKET", 10),
    ("SOCK_NONBLOCK", 0o4000),
    ("SOCK_CLOEXEC", 0o2_000_000),
];

pub(super) const PROTOCOLS: Table = &[
    ("IPPROTO_IP", 0),
    ("IPPROTO_ICMP", 1),
    ("IPPROTO_IGMP", 2),
    ("IPPROTO_TCP", 6),
    ("IPPROTO_UDP", 17),
    ("IPPROTO_IPV6", 41),
    ("IPPROTO_ICMPV6", 58),
    ("IPPROTO_UDPLITE", 136),
    ("IPPROTO_RAW", 255),
    ("IPPROTO_MPTCP", 262),
];

pub(super) const LEVELS: Table = &[
    ("SOL_SOCKET", 1),
    ("SOL_IP", 0),
    ("SOL_TCP", 6),
    ("SOL_UDP", 17),
    ("SOL_IPV6", 41),
    ("SOL_ICMPV6", 58),
    ("SOL_RAW", 255),
    ("SOL_PACKET", 263),
];

pub(super) const OPTIONS: &[(&str, Table)] = &[
    (
        "SOL_SOCKET",
        &[
            ("SO_DEBUG", 1),
            ("SO_REUSEADDR", 2),
            ("SO_TYPE", 3),
            ("SO_ERROR", 4),
            ("SO_DONTROUTE", 5),
            ("SO_BROADCAST", 6),
            ("SO_NO_CHECK", 11),
            ("SO_SNDBUF", 7),
            ("SO_RCVBUF", 8),
            ("SO_KEEPALIVE", 9),
            ("SO_OOBINLINE", 10),
            ("SO_NO_CHECK", 11),
            ("SO_PRIORITY", 12),
            ("SO_LINGER", 13),
            ("SO_REUSEPORT", 15),
            ("SO_RCVLOWAT", 18),
            ("SO_SNDLOWAT", 19),
            ("SO_RCVTIMEO_OLD", 20),
            ("SO_RCVTIMEO", 20),
            ("SO_SNDTIMEO_OLD", 21),
            ("SO_SNDTIMEO", 21),
            ("SO_BINDTODEVICE", 25),
            ("SO_TIMESTAMP_OLD", 29),
            ("SO_TIMESTAMP", 29),
            ("SO_ACCEPTCONN", 30),
            ("SO_SNDBUFFORCE", 32),
            ("SO_RCVBUFFORCE", 33),
            ("SO_MARK", 36),
            ("SO_PROTOCOL", 38),
            ("SO_DOMAIN", 39),
            ("SO_BUSY_POLL", 46),
            ("SO_MAX_PACING_RATE", 47),
        ],
    ),
    (
        "SOL_TCP",
        &[
            ("TCP_NODELAY", 1),
            ("TCP_MAXSEG", 2),
            ("TCP_CORK", 3),
            ("TCP_KEEPIDLE", 4),
            ("TCP_KEEPINTVL", 5),
            ("TCP_KEEPCNT", 6),
            ("TCP_SYNCNT", 7),
            ("TCP_LINGER2", 8),
            ("TCP_DEFER_ACCEPT", 9),
            ("TCP_WINDOW_CLAMP", 10),
            ("TCP_INFO", 11),
            ("TCP_QUICKACK", 12),
            ("TCP_CONGESTION", 13),
            ("TCP_MD5SIG", 14),
            ("TCP_THIN_LINEAR_TIMEOUTS", 16),
            ("TCP_USER_TIMEOUT", 18),
            ("TCP_FASTOPEN", 23),
            ("TCP_TIMESTAMP", 24),
            ("TCP_NOTSENT_LOWAT", 25),
            ("TCP_CC_INFO", 26),
            ("TCP_SAVE_SYN", 27),
            ("TCP_FASTOPEN_CONNECT", 30),
            ("TCP_ULP", 31),
            ("TCP_FASTOPEN_KEY", 33),
            ("TCP_FASTOPEN_NO_COOKIE", 34),
            ("TCP_ZEROCOPY_RECEIVE", 35),
            ("TCP_INQ", 36),
            ("TCP_TX_DELAY", 37),
        ],
    ),
    (
        "SOL_IP",
        &[
            ("IP_TOS", 1),
            ("IP_TTL", 2),
            ("IP_HDRINCL", 3),
            ("IP_OPTIONS", 4),
            ("IP_ROUTER_ALERT", 5),
            ("IP_RECVOPTS", 6),
            ("IP_RETOPTS", 7),
            ("IP_PKTINFO", 8),
            ("IP_MTU_DISCOVER", 10),
            ("IP_RECVERR", 11),
            ("IP_RECVTTL", 12),
            ("IP_RECVTOS", 13),
            ("IP_MTU", 14),
            ("IP_FREEBIND", 15),
            ("IP_TRANSPARENT", 19),
            ("IP_MINTTL", 21),
            ("IP_CHECKSUM", 23),
            ("IP_BIND_ADDRESS_NO_PORT", 24),
            ("IP_MULTICAST_IF", 32),
            ("IP_MULTICAST_TTL", 33),
            ("IP_MULTICAST_LOOP", 34),
            ("IP_ADD_MEMBERSHIP", 35),
            ("IP_DROP_MEMBERSHIP", 36),
        ],
    ),
    (
        "SOL_IPV6",
        &[
            ("IPV6_UNICAST_HOPS", 16),
            ("IPV6_MULTICAST_IF", 17),
            ("IPV6_MULTICAST_HOPS", 18),
            ("IPV6_MULTICAST_LOOP", 19),
            ("IPV6_ADD_MEMBERSHIP", 20),
            ("IPV6_DROP_MEMBERSHIP", 21),
            ("IPV6_MTU_DISCOVER", 23),
            ("IPV6_MTU", 24),
            ("IPV6_RECVERR", 25),
            ("IPV6_V6ONLY", 26),
            ("IPV6_RECVPKTINFO", 49),
            ("IPV6_RECVHOPLIMIT", 51),
            ("IPV6_DONTFRAG", 62),
            ("IPV6_RECVTCLASS", 66),
            ("IPV6_TCLASS", 67),
            ("IPV6_AUTOFLOWLABEL", 70),
        ],
    ),
    ("SOL_RAW", &[("ICMP_FILTER", 1)]),
    ("SOL_UDP", &[("UDP_CORK", 1), ("UDP_SEGMENT", 103), ("UDP_GRO", 104)]),
];

pub(super) const MSG_FLAGS: Table = &[
    ("MSG_OOB", 1),
    ("MSG_PEEK", 2),
    ("MSG_DONTROUTE", 4),
    ("MSG_CTRUNC", 8),
    ("MSG_TRUNC", 0x20),
    ("MSG_DONTWAIT", 0x40),
    ("MSG_EOR", 0x80),
    ("MSG_WAITALL", 0x100),
    ("MSG_CONFIRM", 0x800),
    ("MSG_ERRQUEUE", 0x2000),
    ("MSG_NOSIGNAL", 0x4000),
    ("MSG_MORE", 0x8000),
    ("MSG_WAITFORONE", 0x10000),
    ("MSG_ZEROCOPY", 0x0400_0000),
    ("MSG_FASTOPEN", 0x2000_0000),
    ("MSG_CMSG_CLOEXEC", 0x4000_0000),
];

pub(super) const SHUT: Table = &[("SHUT_RD", 0), ("SHUT_WR", 1), ("SHUT_RDWR", 2)];

pub(super) const POLL: Table = &[
    ("POLLIN", 1),
    ("POLLPRI", 2),
    ("POLLOUT", 4),
    ("POLLERR", 8),
    ("POLLHUP", 0x10),
    ("POLLNVAL", 0x20),
    ("POLLRDNORM", 0x40),
    ("POLLRDBAND", 0x80),
    ("POLLWRNORM", 0x100),
    ("POLLWRBAND", 0x200),
    ("POLLMSG", 0x400),
    ("POLLRDHUP", 0x2000),
    ("EPOLLIN", 1),
    ("EPOLLPRI", 2),
    ("EPOLLOUT", 4),
    ("EPOLLERR", 8),
    ("EPOLLHUP", 0x10),
    ("EPOLLRDHUP", 0x2000),
    ("EPOLLRDNORM", 0x40),
    ("EPOLLRDBAND", 0x80),
    ("EPOLLWRNORM", 0x100),
    ("EPOLLWRBAND", 0x200),
    ("EPOLLMSG", 0x400),
    ("EPOLLEXCLUSIVE", 1 << 28),
    ("EPOLLWAKEUP", 1 << 29),
    ("EPOLLONESHOT", 1 << 30),
    ("EPOLLET", i32::MIN),
];

/// ICMP types, as the filter's set names them.
pub(super) const ICMP_TYPES: Table = &[
    ("ICMP_ECHOREPLY", 0),
    ("ICMP_DEST_UNREACH", 3),
    ("ICMP_SOURCE_QUENCH", 4),
    ("ICMP_REDIRECT", 5),
    ("ICMP_ECHO", 8),
    ("ICMP_TIME_EXCEEDED", 11),
    ("ICMP_PARAMETERPROB", 12),
    ("ICMP_TIMESTAMP", 13),
    ("ICMP_TIMESTAMPREPLY", 14),
    ("ICMP_INFO_REQUEST", 15),
    ("ICMP_INFO_REPLY", 16),
    ("ICMP_ADDRESS", 17),
    ("ICMP_ADDRESSREPLY", 18),
];

/// Commands of fcntl and ioctl that are followed, and flags of clone and of new descriptors.
pub(super) const COMMANDS: Table = &[
    ("F_DUPFD", 0),
    ("F_SETFD", 2),
    ("F_SETFL", 4),
    ("F_DUPFD_CLOEXEC", 0x406),
    ("FIONBIO", 0x5421),
    ("FIOCLEX", 0x5451),
    ("FIONCLEX", 0x5450),
];

/// Whether a set of flags, by name or as a number, has one.
pub(super) fn has_flag(v: &Value, name: &str, bit: i64) -> bool {
    match v {
        Value::Sym(s) => {
            s.split('|').any(|w| w == name || parse_int(w).is_some_and(|n| n & bit != 0))
        }
        Value::Int(n) => n & bit != 0,
        _ => false,
    }
}

/// A value as a number: a literal, a symbol of `table`, or several joined by `|`.
pub(super) fn number(v: &Value, table: Table) -> Option<i32> {
    match v {
        Value::Int(i) => Some(*i as i32),
        Value::Sym(s) => s.split('|').try_fold(0, |acc, word| Some(acc | symbol(word, table)?)),
        Value::Change(before, _) => number(before, table),
        _ => None,
    }
}

pub(super) fn symbol(word: &str, table: Table) -> Option<i32> {
    table
        .iter()
        .find(|(n, _)| *n == word)
        .map(|&(_, v)| v)
        .or_else(|| parse_int(word).map(|i| i as i32))
}
