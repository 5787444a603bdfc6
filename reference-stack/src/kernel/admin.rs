//! What an administrator does to a machine: sysctl(8), ip(8), faults.

use super::{Kernel, Port};
use crate::errno::Errno;
use crate::net::core::dev;
use crate::net::core::neighbour;
use crate::net::core::sysctl::{Sysctl, SysctlError};
pub use crate::net::ipv4::fib_frontend::RouteSpec;
use crate::net::ipv4::{arp, fib_frontend};
use crate::net::ipv6::addrconf;
pub use crate::net::ipv6::route::Route6Spec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Why an administrator's command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No interface of this name.
    #[error("no interface named `{0}`")]
    NoDevice(String),
    /// A sysctl is unknown or the value is not one of its.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// The kernel refused, with the errno that netlink answers.
    #[error("{0}")]
    Refused(Errno),
}

impl From<Errno> for AdminError {
    fn from(e: Errno) -> Self {
        Self::Refused(e)
    }
}

impl Kernel {
    /// Puts a file into the machine's file system, for open(2); one of this name gets new content.
    pub fn write_file(&mut self, path: &str, data: Vec<u8>) {
        self.fs.write_file(path, data);
    }

    /// Removes a file; false if there is none of this name.
    pub fn remove_file(&mut self, path: &str) -> bool {
        self.fs.unlink(path)
    }

    /// `sysctl NAME`.
    ///
    /// # Errors
    /// The name is unknown.
    pub fn sysctl(&self, name: &str) -> Result<String, SysctlError> {
        self.net.sysctl.get(name)
    }

    /// `sysctl -w NAME=VALUE`.
    ///
    /// # Errors
    /// The name is unknown, or the value is not one of its.
    pub fn sysctl_set(&mut self, name: &str, value: &str) -> Result<(), SysctlError> {
        let disabled = self.net.sysctl.disable_ipv6;
        Arc::make_mut(&mut self.net.sysctl).set(name, value)?;
        if self.net.sysctl.disable_ipv6 != disabled {
            addrconf::addrconf_disable_ipv6(&mut self.net);
            self.run_softirqs();
        }
        Ok(())
    }

    /// The names of all sysctls that hold one integer.
    pub fn sysctl_names() -> &'static [&'static str] {
        Sysctl::INTEGERS
    }

    /// `ip addr add ADDR/PLEN dev DEV` (with the broadcast address that `brd +` gives).
    ///
    /// # Errors
    /// No such interface, or the address is there already.
    pub fn ip_addr_add(&mut self, dev: &str, addr: Ipv4Addr, plen: u8) -> Result<(), AdminError> {
        let id = self.dev(dev)?;
        fib_frontend::ip_addr_add(&mut self.net, id, addr, plen)?;
        self.run_softirqs();
        Ok(())
    }

    /// `ip addr del ADDR/PLEN dev DEV`.
    ///
    /// # Errors
    /// No such interface, or no such address.
    pub fn ip_addr_del(&mut self, dev: &str, addr: Ipv4Addr, plen: u8) -> Result<(), AdminError> {
        let id = self.dev(dev)?;
        fib_frontend::ip_addr_del(&mut self.net, id, addr, plen)?;
        self.run_softirqs();
        Ok(())
    }

    /// `ip -6 addr add ADDR/PLEN dev DEV`, with `nodad` if duplicates are not to be looked for.
    ///
    /// # Errors
    /// No such interface, the address is there already, or IPv6 is disabled there.
    pub fn ip6_addr_add(
        &mut self,
        dev: &str,
        addr: Ipv6Addr,
        plen: u8,
        nodad: bool,
    ) -> Result<(), AdminError> {
        let id = self.dev(dev)?;
        addrconf::inet6_addr_add(&mut self.net, id, addr, plen, nodad)?;
        self.run_softirqs();
        Ok(())
    }

    /// `ip -6 addr del ADDR/PLEN dev DEV`.
    ///
    /// # Errors
    /// No such interface, or no such address.
    pub fn ip6_addr_del(&mut self, dev: &str, addr: Ipv6Addr, plen: u8) -> Result<(), AdminError> {
        let id = self.dev(dev)?;
        addrconf::inet6_addr_del(&mut self.net, id, addr, plen)?;
        self.run_softirqs();
        Ok(())
    }

    /// `ip -6 route add|replace|del ...`.
    ///
    /// # Errors
    /// No such interface, or the kernel refuses the route.
    pub fn ip6_route(&mut self, verb: RouteVerb, route: &Route6Spec) -> Result<(), AdminError> {
        use crate::net::ipv6::route::{ip6_route_add, ip6_route_del};
        match verb {
            RouteVerb::Add => ip6_route_add(&mut self.net, route, false)?,
            RouteVerb::Replace => ip6_route_add(&mut self.net, route, true)?,
            RouteVerb::Del => ip6_route_del(&mut self.net, route)?,
        }
        Ok(())
    }

    /// `ip link set DEV up|down`.
    ///
    /// # Errors
    /// No such interface.
    pub fn ip_link_set_up(&mut self, dev: &str, up: bool) -> Result<(), AdminError> {
        let id = self.dev(dev)?;
        match up {
            true => {
                dev::dev_open(&mut self.net, id);
                arp::arp_notify(&mut self.net, id);
            }
            false => dev::dev_close(&mut self.net, id),
        }
        self.run_softirqs();
        Ok(())
    }

    /// `ip link set DEV mtu MTU`.
    ///
    /// # Errors
    /// No such interface, or it does not take this MTU.
    pub fn ip_link_set_mtu(&mut self, dev: &str, mtu: u32) -> Result<(), AdminError> {
        let id = self.dev(dev)?;
        Ok(dev::dev_set_mtu(&mut self.net, id, mtu)?)
    }

    /// `ip route add|replace|del ...`.
    ///
    /// # Errors
    /// No such interface, or the kernel refuses the route.
    pub fn ip_route(&mut self, verb: RouteVerb, route: &RouteSpec) -> Result<(), AdminError> {
        match verb {
            RouteVerb::Add => fib_frontend::ip_route_add(&mut self.net, route, false)?,
            RouteVerb::Replace => fib_frontend::ip_route_add(&mut self.net, route, true)?,
            RouteVerb::Del => fib_frontend::ip_route_del(&mut self.net, route)?,
        }
        Ok(())
    }

    /// `ip neigh replace ADDR lladdr MAC dev DEV nud permanent`.
    ///
    /// # Errors
    /// No such interface.
    pub fn ip_neigh_add(
        &mut self,
        dev: &str,
        addr: impl Into<IpAddr>,
        lladdr: [u8; 6],
    ) -> Result<(), AdminError> {
        let id = self.dev(dev)?;
        neighbour::neigh_add_permanent(&mut self.net, id, addr.into(), lladdr);
        self.run_softirqs();
        Ok(())
    }

    /// `ip tcp_metrics flush all`.
    pub fn ip_tcp_metrics_flush(&mut self) {
        self.net.ip.tcp_metrics.flush();
    }

    /// Plugs the cable of a port in or out.
    pub fn set_link(&mut self, port: Port, up: bool) {
        dev::set_link(&mut self.net, port, up);
        self.run_softirqs();
    }

    pub(super) fn dev(&self, name: &str) -> Result<dev::DevId, AdminError> {
        self.net.devs.by_name(name).ok_or_else(|| AdminError::NoDevice(name.to_owned()))
    }
}

/// What is to be done with a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteVerb {
    /// Fails if there is one already.
    Add,
    /// Adds or replaces (also `change`).
    Replace,
    /// Removes.
    Del,
}
