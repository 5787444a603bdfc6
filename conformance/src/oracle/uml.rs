//! User-mode Linux: a real Linux kernel as a process, in virtual time.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::OracleError;

const SHIM: &str = include_str!("shim.c");
/// Memory of the guest. It decides on the sizes of hash tables and on the window scale, so it is part of an answer.
const MEMORY: &str = "mem=128M";
/// The guest's clock at boot, nanoseconds.
const START: &str = "time-travel-start=1000000000";
/// UML 6.1 keeps the older register set only, so the guest's C library must not use more than that.
const NO_AVX: &str = "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,\
                      -AVX_Fast_Unaligned_Load,-XSAVE,-XSAVEC";

/// A user-mode Linux kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Uml {
    kernel: PathBuf,
    release: String,
    shim: PathBuf,
}

impl Uml {
    /// Looks at the kernel and makes the library that it is run with, in `cache` unless it is there already.
    ///
    /// # Errors
    /// No kernel there, or one that does not run; no C compiler.
    pub fn new(kernel: &Path, cache: &Path) -> Result<Uml, OracleError> {
        let asked = Command::new(kernel).arg("--version").stdin(Stdio::null()).output();
        let said = match &asked {
            Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout),
            Ok(out) => {
                return Err(OracleError::kernel(kernel, format!("it ends with {}", out.status)));
            }
            Err(error) => return Err(OracleError::kernel(kernel, error.to_string())),
        };
        let release = said.split_whitespace().next().unwrap_or_default().to_owned();
        if version(&release).is_none() {
            return Err(OracleError::kernel(kernel, "it does not say its version".into()));
        }
        Ok(Uml { kernel: kernel.to_owned(), release, shim: shim(cache)? })
    }

    /// Its version, as `6.1.192`.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The process that boots it with `program`, given `arguments`, as its first process; it writes its console to
    /// `console`.
    pub(super) fn boot(
        &self,
        program: &Path,
        arguments: &[&str],
        console: &Path,
    ) -> io::Result<Command> {
        let output = File::create(console)?;
        let mut command = Command::new("setarch");
        command
            .arg("-R")
            .arg(&self.kernel)
            .args([MEMORY, START, "time-travel=inf-cpu", "umid=netplumb"])
            .args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"])
            .args(["con=null", "con0=null,fd:1", "quiet", "panic=-1", NO_AVX])
            .arg(format!("init={}", program.display()))
            .arg("--")
            .args(arguments)
            .env("LD_PRELOAD", &self.shim)
            .env("NETPLUMB_SHIM_SEED", "1")
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output);
        if version(&self.release).is_some_and(|v| v <= (6, 1)) {
            command.env("NETPLUMB_SHIM_FXSAVE", "1");
        }
        if Path::new("/dev/shm").is_dir() {
            command.env("TMPDIR", "/dev/shm");
        }
        Ok(command)
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The library of [`SHIM`], compiled once.
fn shim(cache: &Path) -> Result<PathBuf, OracleError> {
    let mut hash = DefaultHasher::new();
    SHIM.hash(&mut hash);
    let library = cache.join(format!("uml-shim-{:016x}.so", hash.finish()));
    if library.is_file() {
        return Ok(library);
    }
    let failed = |what: String| OracleError::Shim(what);
    std::fs::create_dir_all(cache).map_err(|e| failed(format!("{}: {e}", cache.display())))?;
    // Others may do the same at the same time: each compiles its own file and renames it.
    let (source, fresh) = {
        let name = |ending: &str| cache.join(format!("uml-shim-{}.{ending}", std::process::id()));
        (name("c"), name("so"))
    };
    std::fs::write(&source, SHIM).map_err(|e| failed(format!("{}: {e}", source.display())))?;
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let done = Command::new(&compiler)
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .args([&fresh, &source])
        .stdin(Stdio::null())
        .output();
    let result = match done {
        Err(error) => Err(failed(format!("{compiler}: {error} (apt install gcc)"))),
        Ok(out) if !out.status.success() => {
            Err(failed(format!("{compiler}: {}", String::from_utf8_lossy(&out.stderr))))
        }
        Ok(_) => std::fs::rename(&fresh, &library).map_err(|e| failed(e.to_string())),
    };
    let _ = std::fs::remove_file(&source);
    result.map(|()| library)
}
