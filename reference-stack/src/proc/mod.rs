//! The texts of /proc (Linux `net/ipv4/proc.c`, `net/core/net-procfs.c`).

mod net;

pub(crate) use net::net_file;
