use super::*;
use crate::run::tests::Puppet;

/// Runs commands; their status and output.
fn run(text: &str) -> Result<(i32, Vec<String>), CommandError> {
    let mut shell = Shell::new(Path::new("."));
    let status = shell.run(&mut Puppet::new(&[]), text)?;
    Ok((status, shell.notes))
}

fn output(text: &str) -> String {
    let (status, lines) = run(text).expect(text);
    format!("{status}:{}", lines.join("|"))
}

#[test]
fn programs_join_by_pipes_files_and_variables() {
    for (text, expected) in [
        ("sysctl net.ipv4.tcp_sack", "0:net.ipv4.tcp_sack = 1"),
        ("sysctl -n net.ipv4.tcp_sack | grep -q 0 || echo no", "0:no"),
        ("cat /proc/sys/net/ipv4/tcp_sack", "0:1"),
        ("echo 0 > /proc/sys/net/ipv4/tcp_sack && sysctl -n net.ipv4.tcp_sack", "0:0"),
        ("X=$(sysctl -n net.ipv4.tcp_sack); test $X -eq 1 && echo \"it is $((X+1))\"", "0:it is 2"),
        ("echo 'a b' > /tmp/f; echo c >> /tmp/f; cat /tmp/f | wc -l; rm /tmp/f; rm /tmp/f", "1:2"),
        ("echo a b c | awk '{print $3, $1}' | head -n 1", "0:c a"),
        ("! false", "0:"),
        ("false; echo $?", "0:1"),
        ("[ a = b ] || [ -n x ]", "0:"),
        ("sh -c 'echo x | tail -1'", "0:x"),
        ("X='1 2'; echo $X \"$X\" | wc -w", "0:4"),
        ("echo x >&2", "0:x"),
        ("grep -c x < /dev/null", "1:0"),
        ("dd if=/dev/zero of=/tmp/z bs=5 count=2 status=none; cat /tmp/z | wc -c", "0:10"),
        ("sysctl -e -q net.ipv4.no_such=1", "0:"),
    ] {
        assert_eq!(output(text), expected, "{text}");
    }
}

#[test]
fn counters_are_shown_by_what_they_grew() {
    let text = "nstat -az TcpExt*Icmps | tail -1 | awk '{print $2}'; nstat | grep -c Icmps";
    assert_eq!(output(text), "1:2|0");
    assert_eq!(output("nstat -n; nstat"), "0:#kernel");
}

#[test]
fn errors_name_what_is_wrong_and_where() {
    for (text, unsupported, at, says) in [
        ("true; frobnicate -x", true, 6..19, "`frobnicate`"),
        ("sysctl -p", true, 0..9, "`sysctl -p`"),
        ("sysctl net.ipv4.no_such", false, 0..23, "no_such"),
        ("echo $NOPE", false, 0..10, "`NOPE` is not set"),
        ("ip rule add table 3", true, 0..19, "ip rule"),
        ("cat /proc/cpuinfo", true, 0..17, "/proc/cpuinfo"),
        ("echo x > /etc/passwd", true, 0..20, "/etc/passwd"),
        ("grep 'a\\|b' /dev/null", true, 0..21, "pattern"),
        ("./nothing.sh", false, 0..12, "nothing.sh"),
        ("sleep x", false, 0..7, "no time"),
        ("tc qdisc add dev tun0 root netem loss 1%", true, 0..40, "netem"),
        ("ethtool -K tun0 gso", true, 0..19, "ethtool"),
    ] {
        let error = run(text).expect_err(text);
        assert_eq!((error.unsupported, error.at), (unsupported, Some(at)), "{text}");
        assert!(error.message.contains(says), "{text}: {}", error.message);
    }
}

#[test]
fn a_shell_goes_on_in_files_and_where_a_failure_is_caught() {
    assert_eq!(output("sysctl x=1 || true").split_once(':').map(|(status, _)| status), Some("0"));
}
