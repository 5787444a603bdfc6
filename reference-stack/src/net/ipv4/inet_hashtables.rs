//! The tables that find a TCP socket (Linux `inet_hashtables.c`): bound ports, listeners, and
//! connections (established, request and TIME-WAIT sockets alike) by their four-tuple.

use crate::lib::hash::DetHashMap;
use crate::net::core::sock::SockId;
use smallvec::SmallVec;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A connection's key, seen from this host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FourTuple {
    pub(crate) saddr: Ipv4Addr,
    pub(crate) sport: u16,
    pub(crate) daddr: Ipv4Addr,
    pub(crate) dport: u16,
}

/// `struct inet_hashinfo`. Shared with snapshots until changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct InetHashinfo {
    /// `ehash`.
    pub(crate) ehash: Arc<DetHashMap<FourTuple, SockId>>,
    /// `lhash2`, by local port; most recent last.
    pub(crate) lhash: Arc<DetHashMap<u16, SmallVec<[SockId; 2]>>>,
    /// `bhash`: every socket that holds a local port.
    pub(crate) bhash: Arc<DetHashMap<u16, SmallVec<[SockId; 2]>>>,
}
