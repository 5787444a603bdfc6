use super::*;
use crate::script;

/// The settings of a script of these option lines.
fn config(lines: &str, variant: Option<Variant>, user: &[(&str, &str)]) -> Result<Config, String> {
    let text = format!("{lines}0 socket(..., SOCK_STREAM, 0) = 3\n");
    let source = Source::new("t.pkt", &text);
    let tree = script::parse(&source, &script::Defines::new()).expect("parses");
    let user: Vec<(String, Option<String>)> = user
        .iter()
        .map(|(n, v)| ((*n).to_string(), Some((*v).to_string()).filter(|v| !v.is_empty())))
        .collect();
    Config::new(&source, &tree.options, variant, &user).map_err(|error| error.one_line())
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn the_command_line_wins_over_the_script_and_the_script_over_defaults() {
    let lines = "--tolerance_usecs=10000\n--local_ip=192.168.3.4\n--mss=1000\n";
    let own = config(lines, None, &[]).unwrap();
    assert_eq!((own.tolerance_ns, own.addresses.local), (10_000_000, ip("192.168.3.4")));
    assert_eq!((own.mss, own.bind_port, own.addresses.remote_prefix), (1000, 8080, 24));
    let told = config(lines, Some(Variant::Ipv4), &[("tolerance_usecs", "7000")]).unwrap();
    assert_eq!((told.tolerance_ns, told.addresses.local), (7_000_000, ip("192.168.0.1")));
    // The runner names a host, not a network.
    assert_eq!(told.addresses.remote_prefix, 32);
}

#[test]
fn variants_have_upstreams_addresses() {
    let v6 = config("", Some(Variant::Ipv6), &[]).unwrap();
    assert_eq!(v6.addresses.local, ip("fd3d:a0b:17d6::1"));
    assert_eq!((v6.addresses.prefix, v6.addresses.mtu, v6.socket_family()), (48, 1520, 10));
    assert_eq!((v6.bind_ip(), v6.connect_ip()), (ip("fd3d:a0b:17d6::1"), ip("fd3d:fa7b:d17d::1")));
    let mapped = config("", Some(Variant::Ipv4MappedIpv6), &[]).unwrap();
    assert_eq!((mapped.addresses.local, mapped.addresses.mtu), (ip("192.168.0.1"), 1500));
    assert_eq!(mapped.socket_family(), 10);
    assert_eq!(mapped.connect_ip(), ip("::ffff:192.0.2.1"));
    let own = config("--ip_version=ipv6\n", None, &[]).unwrap();
    assert_eq!((own.addresses.remote, own.addresses.remote_prefix), (ip("2001:db8::1"), 32));
}

#[test]
fn addresses_have_to_be_of_the_version() {
    let error = config("--local_ip=::1\n", None, &[]).unwrap_err();
    assert!(error.contains("t.pkt:1:1") && error.contains("an IPv4 address"), "{error}");
    let error = config("", Some(Variant::Ipv6), &[("remote_ip", "1.2.3.4")]).unwrap_err();
    assert!(error.contains("on the command line"), "{error}");
}

#[test]
fn options_are_checked() {
    for (name, value, says) in [
        ("wire_client", "", "wire mode"),
        ("so_filename", "x.so", "not supported"),
        ("no_such", "1", "no option"),
        ("mss", "0", "from 1 to"),
        ("mss", "", "needs a value"),
        ("strict_segments", "yes", "takes no value"),
        ("netmask_ip", "255.0.255.0", "no netmask"),
        ("remote_ip", "192.0.2.1/33", "no prefix length"),
        ("non_fatal", "packets", "packet and syscall"),
        ("tolerance_percent", "101", "percentage"),
    ] {
        let error = config("", None, &[(name, value)]).unwrap_err();
        assert!(error.contains(says), "{name}: {error}");
    }
    for name in ["send_omit_free", "verbose", "debug"] {
        assert!(config(&format!("--{name}\n"), None, &[]).is_ok(), "{name}");
    }
    let config = config("--speed=100\n", None, &[("non_fatal", "packet, syscall")]).unwrap();
    assert!(config.non_fatal_packet);
}

#[test]
fn tolerance_is_the_larger_of_both() {
    let config = config("--tolerance_usecs=1000\n", None, &[]).unwrap();
    assert_eq!(config.tolerance(2_000_000_000, Some(1_000_000_000)), 125_000_000);
    assert_eq!(config.tolerance(1_000, Some(0)), 1_000_000);
    assert_eq!(config.tolerance(1_000_000_000, None), 1_000_000);
}
