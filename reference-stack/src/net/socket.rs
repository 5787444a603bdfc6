//! The socket layer (Linux `net/socket.c`): what stands between a file descriptor and a
//! protocol's socket.

use super::core::sock::SockId;

/// `socket->state`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum SocketState {
    /// `SS_UNCONNECTED`.
    #[default]
    Unconnected,
    /// `SS_CONNECTING`.
    Connecting,
    /// `SS_CONNECTED`.
    Connected,
    /// `SS_DISCONNECTING`.
    Disconnecting,
}

/// Whose calls a socket takes (`socket->ops`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProtoOps {
    /// `inet_stream_ops`.
    InetStream,
    /// `inet_dgram_ops`.
    InetDgram,
}

/// `struct socket`: the user's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    pub(crate) state: SocketState,
    /// `SOCK_STREAM` and so on.
    pub(crate) ty: i32,
    pub(crate) ops: ProtoOps,
    pub(crate) sk: SockId,
}
