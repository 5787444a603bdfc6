//! The document as a JSON file.

use std::io;
use std::path::Path;

use crate::results::Document;

/// The document as text, indented, with a newline at its end.
///
/// # Errors
///
/// None that a document can cause; the serializer's signature has one.
pub fn to_string(document: &Document) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(document).map_err(io::Error::other)?;
    text.push('\n');
    Ok(text)
}

/// Writes the document to `path`, whole or not at all: a reader never sees half a file.
///
/// # Errors
///
/// Those of writing beside `path` and renaming over it.
pub fn write(document: &Document, path: &Path) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    std::fs::write(&beside, to_string(document)?)?;
    std::fs::rename(&beside, path)
}
