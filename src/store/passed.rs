//! Which trees passed which check, in any run: what need not be checked again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use super::{open_private, write_atomically};
use crate::run::{Oid, Text};

/// So many are remembered at least.
const KEPT: usize = 1000;

/// The record of a repository: a line each, the tree and the command as JSON.
#[derive(Clone, Debug)]
pub struct Passed {
    path: PathBuf,
}

impl Passed {
    pub(super) fn new(path: PathBuf) -> Passed {
        Passed { path }
    }

    /// Whether this tree passed this command. A record that can't be read knows of nothing.
    pub fn contains(&self, tree: &Oid, command: &Text) -> bool {
        let entry = entry(tree, command);
        self.read().is_ok_and(|record| record.lines().any(|line| line == entry.trim_end()))
    }

    /// Remembers that it did; the oldest are forgotten when there are too many.
    ///
    /// # Errors
    /// If it can't be written. It is as it was then.
    pub fn add(&self, tree: &Oid, command: &Text) -> io::Result<()> {
        let record = self.read()?;
        let count = record.lines().count();
        // A line that a full disk cut off must not swallow the next one.
        let end = if record.ends_with('\n') || record.is_empty() { "" } else { "\n" };
        let line = format!("{end}{}", entry(tree, command));
        if count < 2 * KEPT {
            let mut file = open_private(&self.path, OpenOptions::new().append(true).create(true))?;
            return file.write_all(line.as_bytes());
        }
        let kept: String = record.lines().skip(count - KEPT).flat_map(|line| [line, "\n"]).collect();
        write_atomically(&self.path, (kept + line.trim_start()).as_bytes())
    }

    fn read(&self) -> io::Result<String> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(e),
        }
    }
}

fn entry(tree: &Oid, command: &Text) -> String {
    format!("{tree} {}\n", serde_json::to_string(command).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(n: usize) -> Oid {
        format!("{n:040x}").as_str().try_into().unwrap()
    }

    #[test]
    fn remembers_tree_and_command_together() {
        let dir = tempfile::tempdir().unwrap();
        let passed = Passed::new(dir.path().join("passed"));
        let (make, odd) = (Text::from("make test"), Text::from(&b"x\xff\ny"[..]));
        assert!(!passed.contains(&tree(1), &make));
        passed.add(&tree(1), &make).unwrap();
        passed.add(&tree(2), &odd).unwrap();
        assert!(passed.contains(&tree(1), &make) && passed.contains(&tree(2), &odd));
        assert!(!passed.contains(&tree(2), &make) && !passed.contains(&tree(1), &"make".into()));
    }

    #[test]
    fn is_bounded_and_survives_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passed");
        let passed = Passed::new(path.clone());
        let command = Text::from("true");
        let lines: String = (0..2 * KEPT).map(|n| entry(&tree(n), &command)).collect();
        fs::write(&path, lines.trim_end()).unwrap();
        passed.add(&tree(5000), &command).unwrap();
        assert!(passed.contains(&tree(5000), &command) && passed.contains(&tree(2 * KEPT - 1), &command));
        assert!(!passed.contains(&tree(0), &command));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), KEPT + 1);
        fs::write(&path, "torn").unwrap();
        passed.add(&tree(1), &command).unwrap();
        assert!(passed.contains(&tree(1), &command));
    }
}
