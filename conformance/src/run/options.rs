//! The public tool's options, all of them: what each takes, and what becomes of it here.

use crate::script::Source;

/// An option, as `--name` or `--name=value` in a script or on the command line.
#[derive(Clone, Copy, Debug)]
pub struct ToolOption {
    /// Without the dashes.
    pub name: &'static str,
    /// What its value is called; `None` for an option without one.
    pub value: Option<&'static str>,
    /// One line of help.
    pub help: &'static str,
    pub(crate) effect: Effect,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is one of the run's settings, or the parser's.
    Here,
    /// It says how upstream's own program goes about its work; nothing here depends on it.
    Nothing,
    /// It is refused, for this reason.
    Refused(&'static str),
}

const WIRE: Effect = Effect::Refused("upstream's wire mode, a run over two machines, is not built");
const PLUG_IN: Effect = Effect::Refused(
    "a stack in a shared library cannot be loaded; docs/ says how a target is written",
);

const fn takes(name: &'static str, value: &'static str, help: &'static str) -> ToolOption {
    ToolOption { name, value: Some(value), help, effect: Effect::Here }
}

const fn flag(name: &'static str, help: &'static str) -> ToolOption {
    ToolOption { name, value: None, help, effect: Effect::Here }
}

const fn with(effect: Effect, option: ToolOption) -> ToolOption {
    ToolOption { effect, ..option }
}

/// Every option, in upstream's order.
#[rustfmt::skip]
pub const OPTIONS: &[ToolOption] = &[
    takes("ip_version", "VERSION", "ipv4, ipv4-mapped-ipv6 or ipv6, and nothing else that --ip sets"),
    takes("bind_port", "PORT", "Port that `...` in bind() stands for [8080]"),
    with(Effect::Nothing, takes("code_command", "PROGRAM", "Without effect: code blocks run in this program")),
    with(Effect::Nothing, takes("code_format", "FORMAT", "Without effect")),
    with(Effect::Nothing, takes("code_sockopt", "NAME", "Without effect: code blocks see all that the target tells")),
    takes("connect_port", "PORT", "Port that `...` in connect() stands for [8080]"),
    takes("remote_ip", "IP[/LEN]", "The script's own address, and the prefix routed to it"),
    takes("local_ip", "IP", "The target's address"),
    takes("gateway_ip", "IP", "The router towards the remote prefix"),
    takes("netmask_ip", "MASK", "Netmask of the target's IPv4 address"),
    with(Effect::Nothing, takes("speed", "MBPS", "Without effect: what the device says of its speed")),
    takes("mss", "BYTES", "Inbound segments that are longer come as super-packets of this segment size"),
    takes("mtu", "BYTES", "MTU of the target's interface"),
    takes("init_scripts", "FILES", "Files of commands, separated by commas, that run before the init command"),
    takes("hz", "N", "Netplumb's own: ticks a second of the reference [1000]"),
    takes("arp_usecs", "USECS", "Netplumb's own: how late the far end of a link answers ARP [0]"),
    takes("tolerance_usecs", "USECS", "How early or late an event may be [4000]"),
    takes("tolerance_percent", "PERCENT", "Likewise, as a part of the time since the event before [12.5]"),
    with(WIRE, flag("wire_client", "Refused")),
    with(WIRE, flag("wire_server", "Refused")),
    with(WIRE, takes("wire_server_ip", "IP", "Refused")),
    with(WIRE, takes("wire_server_at", "IP", "Refused")),
    with(WIRE, takes("wire_server_port", "PORT", "Refused")),
    with(WIRE, takes("wire_client_dev", "DEVICE", "Refused")),
    with(WIRE, takes("wire_server_dev", "DEVICE", "Refused")),
    with(PLUG_IN, takes("so_filename", "FILE", "Refused")),
    with(PLUG_IN, takes("so_flags", "FLAGS", "Refused")),
    flag("tcp_ts_ecr_scaled", "An inbound TSecr that no packet had as its TSval is computed from the first one"),
    takes("tcp_ts_tick_usecs", "USECS", "A tick of outbound TSval, which is compared then [0: not compared]"),
    flag("strict_segments", "An expected packet is one packet, never several joined"),
    takes("non_fatal", "KINDS", "`packet`: an outbound packet that differs is noted, and the run goes on"),
    flag("dry_run", "Read the script and its settings, and do not run it"),
    with(Effect::Refused("local prefixes by `anyip` routes are not built"), flag("is_anyip", "Refused")),
    with(Effect::Nothing, flag("send_omit_free", "Without effect: no memory of a send is freed early")),
    with(Effect::Refused("PSP needs the wire mode"), takes("psp_udp_port", "PORT", "Refused")),
    with(Effect::Nothing, flag("debug", "Without effect")),
    takes("define", "NAME=VALUE", "A word of the script stands for an integer, a word, a \"string\" or a `command`"),
    flag("verbose", "Longer reports"),
];

/// The value of an option that decides how a target is booted: the command line's, else the script's last one.
pub(crate) fn before_boot(
    source: &Source,
    command_line: &[(String, Option<String>)],
    name: &str,
) -> Option<u32> {
    let given = command_line.iter().rev().find(|(n, _)| n == name).and_then(|(_, v)| v.as_deref());
    let own = || {
        let line = |line: &'_ str| {
            line.trim().strip_prefix("--")?.strip_prefix(name)?.strip_prefix('=').map(str::to_owned)
        };
        source.text().lines().filter_map(line).next_back()
    };
    given.map(str::to_owned).or_else(own)?.trim().parse().ok()
}

/// The option `name`.
pub(crate) fn find(name: &str) -> Option<&'static ToolOption> {
    OPTIONS.iter().find(|option| option.name == name)
}
