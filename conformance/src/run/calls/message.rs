//! Control messages of sendmsg() and recvmsg(): those that a script writes, and those that came against them.

use reference_stack::syscalls::Cmsg;

use super::{CallError, Calls};
use crate::run::matcher::Mismatch;
use crate::script::ast::{Expr, ExprKind};

/// Bytes of `struct cmsghdr`, 64 bits.
const CMSG_HEADER: usize = 16;
/// Bytes of `struct scm_timestamping`: three times of two 64-bit numbers.
const SCM_TIMESTAMPING_LEN: usize = 48;
/// Bytes of `struct sock_extended_err`, and of the address that follows it in a message of each family.
const EXTENDED_ERR_LEN: usize = 16;
const SOCKADDR_IN_LEN: usize = 16;
const SOCKADDR_IN6_LEN: usize = 28;
const SOL_IP: i32 = 0;
const NS_PER_SECOND: i64 = 1_000_000_000;

/// A control message that a script expects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WantCmsg {
    level: i32,
    ty: i32,
    data: WantData,
}

#[derive(Clone, Debug, PartialEq)]
enum WantData {
    /// `N`
    Int(i32),
    /// `{scm_sec=S,scm_nsec=N}`: the software timestamp in nanoseconds of the script; 0: not compared.
    Timestamp(i64),
    /// `{ee_errno=..., ee_origin=..., ...}`, in the structure's order.
    ExtendedErr([u32; 6]),
}

/// The members of `struct sock_extended_err` as scripts write them, in order.
const EE_MEMBERS: [&str; 6] = ["ee_errno", "ee_origin", "ee_type", "ee_code", "ee_info", "ee_data"];

/// `CMSG_ALIGN`.
fn aligned(len: usize) -> usize {
    len.next_multiple_of(8)
}

impl WantCmsg {
    fn len(&self) -> usize {
        match self.data {
            WantData::Int(_) => 4,
            WantData::Timestamp(_) => SCM_TIMESTAMPING_LEN,
            WantData::ExtendedErr(_) if self.level == SOL_IP => EXTENDED_ERR_LEN + SOCKADDR_IN_LEN,
            WantData::ExtendedErr(_) => EXTENDED_ERR_LEN + SOCKADDR_IN6_LEN,
        }
    }
}

/// The room that these messages take: what a script gives recvmsg(), as upstream does (`CMSG_SPACE`).
pub(crate) fn space(messages: &[WantCmsg]) -> usize {
    messages.iter().map(|m| CMSG_HEADER + aligned(m.len())).sum()
}

impl Calls<'_> {
    /// The messages of a `msg_control` member; none without it.
    pub(super) fn control(&self, message: &Expr) -> Result<Vec<WantCmsg>, CallError> {
        let Some(list) = message.field("msg_control") else { return Ok(Vec::new()) };
        let ExprKind::List(items) = &list.kind else {
            return Err(self.error(list.span, "expected a list of control messages").into());
        };
        items.iter().map(|item| self.control_message(item)).collect()
    }

    fn control_message(&self, item: &Expr) -> Result<WantCmsg, CallError> {
        let number = |name| self.number(self.member(item, name)?);
        let level = number("cmsg_level")? as i32;
        let ty = number("cmsg_type")? as i32;
        let data = self.member(item, "cmsg_data")?;
        let data = if data.field("scm_sec").is_some() {
            let part = |name| self.number(self.member(data, name)?);
            WantData::Timestamp(part("scm_sec")?.saturating_mul(NS_PER_SECOND) + part("scm_nsec")?)
        } else if data.field("ee_errno").is_some() {
            let mut fields = [0; 6];
            for (field, name) in fields.iter_mut().zip(EE_MEMBERS) {
                *field = self.number(self.member(data, name)?)? as u32;
            }
            WantData::ExtendedErr(fields)
        } else if matches!(data.kind, ExprKind::List(_)) {
            return Err(CallError::Unsupported(
                "control messages that hold netlink attributes are not supported".into(),
            ));
        } else {
            WantData::Int(self.number(data)? as i32)
        };
        Ok(WantCmsg { level, ty, data })
    }

    /// The messages as sendmsg() takes them.
    pub(super) fn control_to_send(&self, message: &Expr) -> Result<Vec<Cmsg>, CallError> {
        let messages = self.control(message)?;
        Ok(messages
            .into_iter()
            .map(|m| Cmsg { level: m.level, ty: m.ty, data: bytes(&m) })
            .collect())
    }

    /// Compares the messages that came with those that the script expects, in order.
    pub(super) fn check_control(&self, want: &[WantCmsg], got: &[Cmsg]) -> Result<(), Mismatch> {
        let different = |field, expected: String, got: String| {
            Err(Mismatch { layer: "syscall", field, expected, got })
        };
        for (want, got) in want.iter().zip(got) {
            let kinds = [(want.level, want.ty), (got.level, got.ty)];
            if kinds[0] != kinds[1] {
                let text = |(level, ty): (i32, i32)| format!("level {level}, type {ty}");
                return different("control message", text(kinds[0]), text(kinds[1]));
            }
            if want.len() != got.data.len() {
                let text = |n: usize| format!("{n} bytes");
                return different("cmsg_data", text(want.len()), text(got.data.len()));
            }
            self.check_data(want, &got.data)?;
        }
        if want.len() != got.len() {
            let text = |n: usize| format!("{n} control messages");
            return different("msg_control", text(want.len()), text(got.len()));
        }
        Ok(())
    }

    fn check_data(&self, want: &WantCmsg, got: &[u8]) -> Result<(), Mismatch> {
        let mismatch = |field, expected: String, got: String| {
            Err(Mismatch { layer: "syscall", field, expected, got })
        };
        match &want.data {
            WantData::Int(n) => {
                let have = got.first_chunk().map_or(0, |b| i32::from_ne_bytes(*b));
                if have != *n {
                    return mismatch("cmsg_data", n.to_string(), have.to_string());
                }
            }
            WantData::Timestamp(0) => {}
            WantData::Timestamp(at) => {
                let part = |i: usize| {
                    let bytes = got.get(i * 8..).and_then(|b| b.first_chunk());
                    bytes.map_or(0, |b| i64::from_ne_bytes(*b))
                };
                let real = part(0).saturating_mul(NS_PER_SECOND).saturating_add(part(1));
                let have = real.saturating_sub(self.real_start);
                // Upstream counts in microseconds.
                if (have / 1000 - at / 1000).abs() > self.config.tolerance_ns / 1000 {
                    let text = crate::run::report::seconds;
                    return mismatch("scm_timestamping", text(*at), text(have));
                }
            }
            WantData::ExtendedErr(fields) => {
                let have = extended_err(got);
                for ((name, want), have) in EE_MEMBERS.iter().zip(fields).zip(have) {
                    if *want != have {
                        return mismatch(name, want.to_string(), have.to_string());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The six numbers of a `struct sock_extended_err` (its padding byte left out).
fn extended_err(bytes: &[u8]) -> [u32; 6] {
    let word = |at: usize| {
        bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_ne_bytes(*b))
    };
    let byte = |at: usize| bytes.get(at).map_or(0, |b| u32::from(*b));
    [word(0), byte(4), byte(5), byte(6), word(8), word(12)]
}

fn bytes(message: &WantCmsg) -> Vec<u8> {
    match &message.data {
        WantData::Int(n) => n.to_ne_bytes().to_vec(),
        WantData::Timestamp(at) => {
            let mut all = vec![0; SCM_TIMESTAMPING_LEN];
            all[..8].copy_from_slice(&(at / NS_PER_SECOND).to_ne_bytes());
            all[8..16].copy_from_slice(&(at % NS_PER_SECOND).to_ne_bytes());
            all
        }
        WantData::ExtendedErr(f) => {
            let mut all = f[0].to_ne_bytes().to_vec();
            all.extend([f[1] as u8, f[2] as u8, f[3] as u8, 0]);
            all.extend(f[4].to_ne_bytes());
            all.extend(f[5].to_ne_bytes());
            all.resize(message.len(), 0);
            all
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extended_error_reads_back_as_it_was_written() {
        let fields = [42, 5, 0, 1, 0x1_0000, 7];
        let message = WantCmsg { level: SOL_IP, ty: 11, data: WantData::ExtendedErr(fields) };
        let written = bytes(&message);
        assert_eq!(written.len(), 32);
        assert_eq!(extended_err(&written), fields);
        assert_eq!(space(&[message]), 48);
    }
}
