//! Which scripts a command line means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::CouldNotRun;
use crate::places::Places;

/// A script to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// Path below the suites, or below the folder that the command line named.
    pub(crate) id: String,
    pub(crate) path: PathBuf,
}

/// The scripts that `select` names, in the order of their ids, each once; our own without any.
pub(crate) fn scripts(places: &Places, select: &[PathBuf]) -> Result<Vec<Script>, CouldNotRun> {
    let suites = places.suites();
    let mut found = BTreeMap::new();
    let everything = [suites.clone()];
    for name in if select.is_empty() { &everything } else { select } {
        let path = resolve(&suites, name)?;
        let base = if within(&path, &suites) {
            suites.clone()
        } else if path.is_dir() {
            path.clone()
        } else {
            path.parent().map(Path::to_owned).unwrap_or_default()
        };
        for file in files(&path, "pkt")? {
            let id = id(&base, &file);
            found.entry(id.clone()).or_insert(Script { id, path: file });
        }
    }
    if found.is_empty() {
        return Err(CouldNotRun::Usage {
            what: "no script there: a script is a file NAME.pkt".to_owned(),
            help: None,
        });
    }
    Ok(found.into_values().collect())
}

/// The path that a word of the command line means: one that exists, or an area or id of ours.
fn resolve(suites: &Path, name: &Path) -> Result<PathBuf, CouldNotRun> {
    let mut with_ending = name.as_os_str().to_owned();
    with_ending.push(".pkt");
    [name.to_owned(), suites.join(name), suites.join(&with_ending)]
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| CouldNotRun::MissingFile {
            path: name.to_owned(),
            help: Some(match similar(suites, name) {
                Some(id) => format!("did you mean `{id}`?"),
                None => {
                    "name a script, a folder, or an area or id below conformance/suites".to_owned()
                }
            }),
        })
}

fn within(path: &Path, folder: &Path) -> bool {
    match (path.canonicalize(), folder.canonicalize()) {
        (Ok(path), Ok(folder)) => path.starts_with(folder),
        _ => false,
    }
}

fn id(base: &Path, file: &Path) -> String {
    let (file, base) =
        (file.canonicalize().unwrap_or(file.into()), base.canonicalize().unwrap_or(base.into()));
    let below = file.strip_prefix(&base).unwrap_or(&file);
    let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// `path` itself, or every file below it whose name ends in `.ending`, sorted.
pub(crate) fn files(path: &Path, ending: &str) -> Result<Vec<PathBuf>, CouldNotRun> {
    if !path.is_dir() {
        return if path.exists() {
            Ok(vec![path.to_owned()])
        } else {
            Err(CouldNotRun::missing(path))
        };
    }
    let (mut found, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        let unreadable = || CouldNotRun::io(&folder, "cannot be listed");
        for entry in std::fs::read_dir(&folder).map_err(unreadable())? {
            let entry = entry.map_err(unreadable())?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable())?);
            // A link to a folder is not followed: it may lead in a circle.
            if kind.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) && path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The area or id of ours that looks most like `name`.
fn similar(suites: &Path, name: &Path) -> Option<String> {
    let name = name.to_string_lossy().trim_end_matches(".pkt").to_owned();
    let mut best: Option<(usize, String)> = None;
    for file in files(suites, "pkt").ok()? {
        let id = id(suites, &file);
        let folders = id.match_indices('/').map(|(at, _)| id[..at].to_owned());
        let last = id.rsplit('/').next().unwrap_or(&id).trim_end_matches(".pkt");
        if last == name {
            return Some(id);
        }
        for candidate in folders.chain([id.trim_end_matches(".pkt").to_owned()]) {
            let distance = distance(&candidate, &name);
            if best.as_ref().is_none_or(|(d, _)| distance < *d) {
                best = Some((distance, candidate));
            }
        }
    }
    best.filter(|(distance, _)| *distance <= 1 + name.len() / 4).map(|(_, id)| id)
}

/// How many characters must be put in, taken out or changed to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance() {
        assert_eq!(distance("tcp/close", "tcp/close"), 0);
        assert_eq!(distance("tcp/close", "tpc/close"), 2);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn a_missing_script_is_named_with_its_nearest() {
        let places = Places::find().unwrap();
        let error = scripts(&places, &["no/such/script.pkt".into()]).unwrap_err();
        assert_eq!(error.to_string(), "no/such/script.pkt: no such file or folder");
    }
}
