//! Boot's initcalls, in Linux's order: each protocol family registers itself and says so on the
//! console.

use crate::kernel::{BootConfig, Kernel, NicKind, Port};
use crate::net::core::dev;
use crate::net::socket::{Family, sock_register};
use crate::uapi::{AF_ALG, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX};
use reference_stack_macros::traced;

/// Runs every initcall (`do_initcalls`), then brings the configured interfaces up as user space
/// does first thing.
pub(crate) fn do_initcalls(k: &mut Kernel, config: &BootConfig) {
    // core_initcall
    netlink_proto_init(k);
    // subsys_initcall
    dev::net_dev_init(&mut k.net);
    // fs_initcall
    inet_init(k);
    af_unix_init(k);
    // device_initcall and module_init, in link order
    af_alg_init(k);
    for (i, nic) in config.nics.iter().enumerate() {
        let lines = dev::register_nic(&mut k.net, Port(i as u32), nic);
        for line in lines {
            k.printk(line);
        }
    }
    inet6_init(k);
    packet_init(k);
    dev::dev_open_all(&mut k.net);
    for (i, nic) in config.nics.iter().enumerate() {
        if let NicKind::Ftgmac100 { .. } = nic.kind {
            let line = dev::phy_link_line(&k.net, Port(i as u32));
            k.printk(line);
        }
    }
}

fn register(k: &mut Kernel, number: u16, family: Family, name: &str) {
    match sock_register(&mut k.families, number, family) {
        Ok(()) => k.printk(format!("NET: Registered {name} protocol family")),
        Err(e) => k.printk(format!("NET: protocol {number} not registered: {e}")),
    }
}

#[traced]
fn netlink_proto_init(k: &mut Kernel) {
    register(k, AF_NETLINK, Family::NotBuilt, "PF_NETLINK/PF_ROUTE");
}

#[traced]
fn inet_init(k: &mut Kernel) {
    register(k, AF_INET, Family::Inet, "PF_INET");
}

#[traced]
fn af_unix_init(k: &mut Kernel) {
    register(k, AF_UNIX, Family::NotBuilt, "PF_UNIX/PF_LOCAL");
}

#[traced]
fn af_alg_init(k: &mut Kernel) {
    register(k, AF_ALG, Family::NotBuilt, "PF_ALG");
}

#[traced]
fn inet6_init(k: &mut Kernel) {
    register(k, AF_INET6, Family::Inet6, "PF_INET6");
}

#[traced]
fn packet_init(k: &mut Kernel) {
    register(k, AF_PACKET, Family::NotBuilt, "PF_PACKET");
}
