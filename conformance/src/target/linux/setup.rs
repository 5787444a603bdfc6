//! What an administrator does in the namespace: the interface, sysctls, commands. All of it runs on the thread that is in
//! the namespace.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::target::{Addresses, Ran, Refusal};

/// The name that upstream's scripts use for it.
pub(super) const DEVICE: &str = "tun0";
/// Where the programs of an administrator are, whatever the caller's path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CONGESTION_CONTROL: &str = "net.ipv4.tcp_congestion_control";

/// Addresses and routes, as upstream's tool sets them.
pub(super) fn interface(a: &Addresses) -> Result<(), Refusal> {
    let congctl = match cubic()? {
        true => "",
        false => " congctl cubic",
    };
    let Addresses { local, prefix, gateway, remote, remote_prefix, mtu } = a;
    let network = network(*remote, *remote_prefix);
    batch(&format!(
        "link set lo up\n\
         link set {DEVICE} mtu {mtu}\n\
         link set {DEVICE} up\n\
         addr add {local}/{prefix} dev {DEVICE}\n\
         route add {network}/{remote_prefix} dev {DEVICE} via {gateway}{congctl}\n"
    ))
}

/// Makes cubic the namespace's congestion control, if it may be chosen there. Scripts expect it; a kernel whose own
/// default is another and whose list of allowed ones lacks it wants it asked for by the route.
fn cubic() -> Result<bool, Refusal> {
    if sysctl(CONGESTION_CONTROL)? == "cubic" {
        return Ok(true);
    }
    Ok(set_sysctl(CONGESTION_CONTROL, "cubic").is_ok())
}

/// The network of `address`: `ip route` refuses bits below the prefix.
fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}

/// Runs `ip` with the words of `line`.
pub(super) fn ip(line: &str) -> Result<(), Refusal> {
    batch(&format!("{line}\n"))
}

fn batch(lines: &str) -> Result<(), Refusal> {
    let missing = |e: std::io::Error| Refusal::Absent(format!("ip (of iproute2): {e}"));
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .env("PATH", PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(lines.as_bytes()).map_err(missing)?;
    }
    let done = child.wait_with_output().map_err(missing)?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(Refusal::Invalid(format!("ip: {}", said.trim())))
}

/// The file of a sysctl: `net.ipv4.tcp_sack`, or the file itself.
fn file(name: &str) -> String {
    match name.strip_prefix("/proc/sys/") {
        Some(_) => name.to_owned(),
        // In a name, dots and slashes are exchanged.
        None => {
            let turned = |c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            };
            format!("/proc/sys/{}", name.chars().map(turned).collect::<String>())
        }
    }
}

pub(super) fn sysctl(name: &str) -> Result<String, Refusal> {
    let file = file(name);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(error) => Err(Refusal::Invalid(format!("{file}: {error}"))),
    }
}

pub(super) fn set_sysctl(name: &str, value: &str) -> Result<(), Refusal> {
    let file = file(name);
    std::fs::write(&file, value).map_err(|e| Refusal::Invalid(format!("{file}: {e}")))
}

/// Runs a command as upstream's tool does: in a shell, in the script's folder, with the number of this process in
/// `PACKETDRILL_PID`, by which `set_sysctls.py` names the file that undoes its work. The shell, and bash where a command
/// is a file for it, read the file `functions` first.
pub(super) fn shell(folder: &Path, text: &str, functions: Option<&str>) -> Result<Ran, Refusal> {
    let mut command = Command::new("/bin/sh");
    match functions {
        Some(file) => command.args(["-c", &format!(". {file}\n{text}")]).env("BASH_ENV", file),
        None => command.args(["-c", text]),
    };
    let done = command
        .current_dir(folder)
        .env("PATH", PATH)
        .env("PACKETDRILL_PID", std::process::id().to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Refusal::Absent(format!("/bin/sh in {}: {e}", folder.display())))?;
    let mut output = String::from_utf8_lossy(&done.stdout).into_owned();
    output.push_str(&String::from_utf8_lossy(&done.stderr));
    Ok(Ran { status: done.status.code().unwrap_or(-1), output })
}
