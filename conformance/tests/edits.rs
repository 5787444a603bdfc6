//! A captured frame edited in one field is called diverged at that frame and that field.
//!
//! The captures are those of `pcaps/` and, where they are at hand, of the folder that
//! `NETPLUMB_CAPTURES` names (default `../shared/pcaps` beside the workspace). Each row names a
//! capture by the start of its name, which of its frames of a kind is edited and how, and what
//! the verdict has to say.

use std::path::{Path, PathBuf};

use conformance::capture::{Packet, read_packets};
use conformance::frames::{Frame, PcapWriter, decode};
use conformance::replay::{DiffOptions, diff_path};

#[path = "edits/apply.rs"]
mod apply;
#[path = "edits/table.rs"]
mod table;

use apply::{Edit, apply};
use table::{Row, TABLE};

fn folders() -> Vec<PathBuf> {
    let root = env!("CARGO_MANIFEST_DIR");
    let shared =
        std::env::var("NETPLUMB_CAPTURES").unwrap_or_else(|_| format!("{root}/../../shared/pcaps"));
    vec![PathBuf::from(format!("{root}/../pcaps")), PathBuf::from(shared)]
}

/// The manifest whose name starts so.
fn manifest(name: &str) -> Option<PathBuf> {
    folders().iter().filter_map(|f| std::fs::read_dir(f).ok()).flatten().flatten().find_map(|e| {
        let path = e.path();
        let file = path.file_name()?.to_str()?;
        (file.starts_with(name) && file.ends_with(".toml")).then_some(path)
    })
}

/// Runs one row; `None`: its capture is not at hand. Else what is wrong, if anything is.
fn run(n: usize, row: &Row) -> Option<Result<(), String>> {
    let from = manifest(row.capture)?;
    let stem = from.file_stem()?.to_str()?.to_owned();
    let dir = std::env::temp_dir().join(format!("netplumb-edits-{}-{n}", std::process::id()));
    let result = edited(&from, &stem, &dir, row);
    let _ = std::fs::remove_dir_all(&dir);
    Some(result.map_err(|e| format!("{} {:?}: {e}", row.capture, row.edit)))
}

fn edited(from: &Path, stem: &str, dir: &Path, row: &Row) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    std::fs::create_dir_all(dir).map_err(text)?;
    let beside = from.parent().unwrap_or(Path::new("."));
    for e in std::fs::read_dir(beside).map_err(text)?.flatten() {
        let name = e.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{stem}.")) && !name.ends_with(".pcap") {
            std::fs::copy(e.path(), dir.join(&name)).map_err(text)?;
        }
    }
    let mut packets = read_packets(&from.with_extension("pcap")).map_err(|e| e.to_string())?;
    let frames: Vec<Frame> = packets.iter().map(|p| decode(&p.data)).collect();
    let host = host_of(from)?;
    let at = (0..packets.len())
        .filter(|&i| frames[i].eth_src == host && row.edit.fits(&packets, &frames, i))
        .nth(row.nth)
        .ok_or("no such frame")?;
    let want = apply(row.edit, &mut packets, at);
    write(&dir.join(format!("{stem}.pcap")), &packets)?;
    let cases = diff_path(&dir.join(format!("{stem}.toml")), &DiffOptions::default())
        .map_err(|e| format!("{e:?}"))?;
    let got = cases.first().and_then(|c| c.divergence.clone());
    let Some(d) = got else { return Err(format!("frame {want}: called reproduced")) };
    let field = format!("{}.{}", d.layer, d.field);
    if (d.frame, field.as_str()) == (want, row.field) {
        Ok(())
    } else {
        Err(format!("expected frame {want} {}, called {d}", row.field))
    }
}

fn host_of(manifest: &Path) -> Result<[u8; 6], String> {
    let (m, _) = conformance::capture::Manifest::read(manifest).map_err(|e| e.to_string())?;
    m.interface.first().map(|i| i.mac_bytes()).ok_or_else(|| "no interface".to_owned())
}

fn write(path: &Path, packets: &[Packet]) -> Result<(), String> {
    let file = std::fs::File::create(path).map_err(|e| e.to_string())?;
    let mut w = PcapWriter::new(file).map_err(|e| e.to_string())?;
    packets.iter().try_for_each(|p| w.frame(p.time_ns, &p.data)).map_err(|e| e.to_string())
}

#[test]
fn every_edit_is_called_at_its_frame_and_field() {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let wrong = std::sync::Mutex::new(Vec::new());
    let ran = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|s| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            s.spawn(|| {
                loop {
                    let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(row) = TABLE.get(n) else { return };
                    let Some(result) = run(n, row) else { continue };
                    ran.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if let Err(e) = result {
                        wrong.lock().unwrap().push(e);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    println!("{} of {} edits ran", ran.into_inner(), TABLE.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_table_is_long_enough_and_of_every_kind() {
    assert!(TABLE.len() >= 60, "{}", TABLE.len());
    let kinds: std::collections::BTreeSet<String> =
        TABLE.iter().map(|r| format!("{:?}", r.edit)).collect();
    assert!(kinds.len() >= 35, "{}", kinds.len());
    assert!(TABLE.iter().any(|r| matches!(r.edit, Edit::Drop)));
}
