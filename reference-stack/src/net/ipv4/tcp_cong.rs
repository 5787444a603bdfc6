//! Congestion control modules (Linux `tcp_cong.c`).

/// The chosen module and its state (`icsk_ca_ops`, `icsk_ca_priv`).
#[derive(Clone, Debug, Default)]
pub(crate) enum CongestionOps {
    /// `reno`.
    #[default]
    Reno,
}
