//! The input language of `wire_rx`: a list of operations, a byte for the kind and its fields.
//!
//! Reading goes through [`arbitrary::Unstructured`], so any bytes are an input and an input that
//! ends early has zeros for what is missing. [`Op::put`] writes what reading takes, for seeds.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Operations of one input at most: what comes after has no effect.
pub(super) const MAX_OPS: usize = 64;

/// Longest run of bytes in one field.
const MAX_BYTES: u16 = 1600;

/// A field that can be read from an input and written to one.
trait Field: Sized {
    fn take(u: &mut Unstructured<'_>) -> Result<Self>;
    fn put(&self, out: &mut Vec<u8>);
}

macro_rules! number {
    ($($t:ty)*) => { $(impl Field for $t {
        fn take(u: &mut Unstructured<'_>) -> Result<Self> { <$t>::arbitrary(u) }
        fn put(&self, out: &mut Vec<u8>) { out.extend_from_slice(&self.to_le_bytes()); }
    })* };
}
number!(u8 u16 u32 i16);

impl Field for Vec<u8> {
    fn take(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let len = usize::from(u16::arbitrary(u)? % (MAX_BYTES + 1)).min(u.len());
        Ok(u.bytes(len)?.to_vec())
    }

    fn put(&self, out: &mut Vec<u8>) {
        let len = self.len().min(usize::from(MAX_BYTES));
        (len as u16).put(out);
        out.extend_from_slice(&self[..len]);
    }
}

/// One enum: its kinds are numbered by place, read from a byte modulo their count.
macro_rules! coded {
    ($(#[$meta:meta])* enum $name:ident {
        $($(#[$doc:meta])* $kind:ident $({ $($field:ident: $t:ty),* $(,)? })?,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($(#[$doc])* $kind $({ $($field: $t),* })?,)* }

        impl Field for $name {
            fn take(u: &mut Unstructured<'_>) -> Result<Self> {
                const KINDS: &[fn(&mut Unstructured<'_>) -> Result<$name>] = &[
                    $(|_u| Ok($name::$kind $({ $($field: <$t>::take(_u)?),* })?)),*
                ];
                let kind = usize::from(u8::arbitrary(u)?) % KINDS.len();
                KINDS[kind](u)
            }

            fn put(&self, out: &mut Vec<u8>) {
                let names = [$(stringify!($kind)),*];
                match self {
                    $($name::$kind $({ $($field),* })? => {
                        // Found: the name is that of an arm.
                        let at = names.iter().position(|n| *n == stringify!($kind));
                        out.push(at.unwrap_or(0) as u8);
                        $($($field.put(out);)*)?
                    })*
                }
            }
        }
    };
}

coded! {
    /// How an IPv4 frame is spoilt after its checksums were set.
    enum Spoil {
        /// Not at all.
        No,
        /// One byte is changed: `xor` at `at`, counted from the frame's start.
        Byte { at: u16, xor: u8 },
        /// Bytes are missing at the end.
        Cut { by: u16 },
        /// Bytes follow that no header counts.
        Trail { bytes: u8 },
    }
}

coded! {
    /// Whom a frame names: the board, its peer, or somebody else.
    enum Host {
        /// The board.
        Board,
        /// The peer that the connection is with.
        Peer,
        /// Another host of the link, by the last byte of its address.
        Neighbour { last: u8 },
        /// Anybody.
        Any { addr: u32 },
        /// The broadcast address.
        Broadcast,
    }
}

coded! {
    /// The socket that a segment is for.
    enum Flow {
        /// The established connection.
        Established,
        /// A new connection to the listening socket from this port.
        Listener { from: u8 },
        /// A port with nothing behind it.
        Closed { to: u16 },
    }
}

coded! {
    /// TCP options of a segment.
    enum TcpOptions {
        /// None.
        None,
        /// NOP, NOP, timestamp: our clock moved by this much, their last one echoed less this.
        Timestamp { clock: u16, echo_back: u16 },
        /// What a SYN carries.
        Syn { mss: u16, scale: u8 },
        /// SACK blocks relative to what the board may have in flight.
        Sack { left: u16, right: u16, more: u8 },
        /// These bytes, padded to a multiple of four.
        Raw { bytes: Vec<u8> },
    }
}

coded! {
    /// One operation.
    enum Op {
        /// A frame of these bytes.
        Raw { frame: Vec<u8> },
        /// An IPv4 packet of these bytes in a right Ethernet header.
        RawIp { packet: Vec<u8> },
        /// ARP.
        Arp { operation: u8, sender: Host, target: Host, lengths: u8, spoil: Spoil },
        /// ICMP of this type and code; `quote` puts the board's last packet into it.
        Icmp { kind: u8, code: u8, rest: u32, quote: u8, payload: u16, spoil: Spoil },
        /// UDP to the bound socket (`port` 0), or to a port near it.
        Udp { from: Host, port: u8, checksum: u8, length: i16, payload: u16, spoil: Spoil },
        /// A TCP segment: sequence and acknowledgement relative to what is expected next.
        Tcp {
            flow: Flow, flags: u8, seq: i16, ack: i16, window: u16, urgent: u8,
            options: TcpOptions, payload: u16, spoil: Spoil,
        },
        /// A fragment of a UDP, TCP or ICMP packet; offset in units of eight bytes.
        Fragment { proto: u8, id: u8, offset: u16, more: u8, payload: u16, spoil: Spoil },
        /// A frame with IPv4 options: an echo request.
        IpOptions { options: Vec<u8>, payload: u8, spoil: Spoil },
        /// Time passes: `us` doubled `scale` times (modulo 12), so up to two minutes.
        Wait { scale: u8, us: u16 },
        /// Time passes until the board wants to run.
        WaitForEvent,
        /// read(2) of the connection, or recv(2) of the UDP socket.
        Read { udp: u8, len: u16 },
        /// write(2) to the connection.
        Write { len: u16 },
        /// accept(2) of the listening socket.
        Accept,
        /// shutdown(2) of the connection.
        Shutdown { how: u8 },
        /// close(2) of the connection.
        Close,
        /// The cable is pulled or put in again.
        Link { up: u8 },
        /// The process ends, and its connections run down in the time that is left.
        Exit,
    }
}

impl Op {
    /// The operations of an input.
    pub(super) fn read_all(data: &[u8]) -> Vec<Op> {
        let mut u = Unstructured::new(data);
        let mut ops = Vec::new();
        while !u.is_empty() && ops.len() < MAX_OPS {
            match Op::take(&mut u) {
                Ok(op) => ops.push(op),
                Err(_) => break,
            }
        }
        ops
    }

    /// The input that holds these operations.
    pub(super) fn write_all(ops: &[Op]) -> Vec<u8> {
        let mut out = Vec::new();
        for op in ops {
            op.put(&mut out);
        }
        out
    }
}
