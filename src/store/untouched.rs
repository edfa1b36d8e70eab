//! Which ignored files a worktree had before its agent came: as long as they are as they were, none of them
//! is the agent's, and they need not be kept for its sake.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::write_atomically;
use crate::run::Text;

/// What a file looked like: all that changes with any change of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Look {
    inode: u64,
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    fn at(path: &Path) -> Option<Look> {
        let meta = path.symlink_metadata().ok()?;
        Some(Look {
            inode: meta.ino(),
            size: meta.len(),
            mode: meta.mode(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// Writes down at `record` what these files of a worktree look like.
///
/// # Errors
/// If it can't be written.
pub fn remember_files(record: &Path, worktree: &Path, files: &[Text]) -> io::Result<()> {
    let looks: Vec<(&Text, Look)> =
        files.iter().filter_map(|file| Some((file, Look::at(&worktree.join(file.as_path()))?))).collect();
    write_atomically(record, &serde_json::to_vec(&looks)?)
}

/// Those of the files that look as they did. Without a record that can be read, none does.
pub fn untouched_files(record: &Path, worktree: &Path) -> HashSet<Text> {
    let Ok(bytes) = std::fs::read(record) else { return HashSet::new() };
    let looks: Vec<(Text, Look)> = serde_json::from_slice(&bytes).unwrap_or_default();
    let same = |(file, look): &(Text, Look)| Look::at(&worktree.join(file.as_path())).as_ref() == Some(look);
    looks.into_iter().filter(same).map(|(file, _)| file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn any_change_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (record, tree) = (dir.path().join("record"), dir.path().join("tree"));
        fs::create_dir(&tree).unwrap();
        let names = ["same", "size", "content", "gone", "replaced"].map(Text::from);
        for name in &names {
            fs::write(tree.join(name.as_path()), "1").unwrap();
        }
        assert_eq!(untouched_files(&record, &tree), HashSet::new());
        remember_files(&record, &tree, &names).unwrap();
        assert_eq!(untouched_files(&record, &tree).len(), names.len());
        fs::write(tree.join("size"), "12").unwrap();
        let file = fs::File::options().write(true).open(tree.join("content")).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        // The clock of a file system may tick slowly.
        while tree.join("content").metadata().unwrap().ctime_nsec() == file.metadata().unwrap().mtime_nsec() {
            fs::write(tree.join("content"), "2").unwrap();
            file.set_modified(modified).unwrap();
        }
        fs::remove_file(tree.join("gone")).unwrap();
        std::os::unix::fs::symlink("same", tree.join("link")).unwrap();
        fs::rename(tree.join("link"), tree.join("replaced")).unwrap();
        assert_eq!(untouched_files(&record, &tree), HashSet::from(["same".into()]));
        fs::write(&record, "garbage").unwrap();
        assert_eq!(untouched_files(&record, &tree), HashSet::new());
    }
}
