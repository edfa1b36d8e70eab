//! Which files attributes have converted on their way out. git itself is asked: it alone knows all the
//! files that attributes come from, and their macros.

use std::io::Write;

use anyhow::{Context, Result, bail};

use super::Blank;
use super::index;
use super::listing::{EXECUTABLE, Listing, PLAIN};
use super::settings::Settings;
use crate::git::Git;

/// What can make a file differ from its blob.
const ATTRIBUTES: [&str; 4] = ["eol", "ident", "filter", "working-tree-encoding"];

/// Marks the files that git is to write. Returns whether there are any.
///
/// # Errors
/// If git can't tell.
pub(super) fn mark(listing: &mut Listing, settings: &Settings, at: &Blank) -> Result<bool> {
    // git reads the attributes in the tree by way of an index: this one holds nothing else.
    let mut scratch = tempfile::NamedTempFile::with_prefix("git-parallel-").context("no temporary file")?;
    scratch.write_all(&index::of_attributes(listing, settings)?)?;
    let files = || listing.entries.iter().filter(|entry| [PLAIN, EXECUTABLE].contains(&entry.mode));
    let mut paths = Vec::new();
    for file in files() {
        paths.extend_from_slice(&file.path);
        paths.push(0);
    }
    let git = Git::new().work_tree(&at.path, &at.admin_dir).env("GIT_INDEX_FILE", scratch.path());
    let git = git.args(["check-attr", "--cached", "--stdin", "-z"]).args(ATTRIBUTES);
    let answer = git.stdin(paths).ok()?;
    let mut fields = answer.split(|&byte| byte == 0);
    let mut any = false;
    for entry in listing.entries.iter_mut().filter(|entry| [PLAIN, EXECUTABLE].contains(&entry.mode)) {
        for name in ATTRIBUTES {
            let (path, attribute, value) = (fields.next(), fields.next(), fields.next());
            if path != Some(&**entry.path) || attribute != Some(name.as_bytes()) {
                bail!("git check-attr gave something unknown");
            }
            entry.for_git |= converts(name, value.context("git check-attr ended early")?, settings);
        }
        any |= entry.for_git;
    }
    Ok(any)
}

/// Whether a file with this attribute is, or may be, another than its blob.
fn converts(attribute: &str, value: &[u8], settings: &Settings) -> bool {
    match attribute {
        "eol" => value == b"crlf",
        "ident" => value == b"set",
        "filter" => settings.filters.iter().any(|filter| filter.as_bytes() == value),
        _ => ![&b"unspecified"[..], b"unset"].contains(&value),
    }
}
