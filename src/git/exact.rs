//! Whether a worktree holds exactly what its HEAD has, told without git where that is certain.
//!
//! Most agents commit all they did. Then every file is one of the index, by its stat data or by its content,
//! and nothing else is there; that is quickly seen. In any other case, and where something is out of the
//! ordinary, the answer is no, which means: ask git.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bstr::{BStr, ByteSlice};
use gix::objs::Kind;

use super::index::{self, Entry, GITLINK};
use super::{Head, Repository, branch_tip, head};
use crate::run::Text;

/// So many bytes are read of files that their stat data does not tell unchanged: past that, git is as fast.
const MOST_BYTES: u64 = 8 << 20;

/// Whether the linked worktree at `path` certainly has no file that its HEAD does not have, be it ignored,
/// and each of those unchanged, in the index as well.
pub fn is_exactly_head(repo: &Repository, path: &Path, admin_dir: &Path) -> bool {
    look(repo, path, admin_dir).unwrap_or(false)
}

/// `None` if it can't be told here.
fn look(repo: &Repository, path: &Path, admin_dir: &Path) -> Option<bool> {
    let tip = match head(admin_dir).ok()? {
        Head::Branch(name) => branch_tip(repo, &name).ok()??,
        Head::Detached(commit) => commit,
    };
    let gix = repo.gix();
    let commit = gix.find_commit(Repository::gix_id(&tip).ok()?).ok()?;
    let tree = commit.tree_id().ok()?.detach();
    let file = admin_dir.join("index");
    if index::written_tree(&file, gix.object_hash())? != tree {
        return Some(false);
    }
    let entries = index::read_plain(&file, gix.object_hash())?;
    if entries.iter().any(|entry| entry.unmerged || entry.hidden) {
        return None;
    }
    let files = entries.iter().filter(|entry| entry.mode != GITLINK).count();
    let known = entries.iter().map(|entry| (entry.path.as_bstr().as_bstr(), entry)).collect();
    let mut walk = Walk { top: path, known, kind: gix.object_hash(), left: MOST_BYTES, seen: 0 };
    Some(walk.directory(b"".as_bstr())? && walk.seen == files)
}

struct Walk<'a> {
    top: &'a Path,
    known: HashMap<&'a BStr, &'a Entry>,
    kind: gix::hash::Kind,
    /// Bytes that may still be read.
    left: u64,
    /// Files of the index that were found.
    seen: usize,
}

impl Walk<'_> {
    /// Whether all below a directory is as it should be.
    fn directory(&mut self, below: &BStr) -> Option<bool> {
        let dir = self.top.join(Text::from(below.as_bytes()).as_path());
        for entry in fs::read_dir(dir).ok()? {
            let entry = entry.ok()?;
            let mut path = below.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(entry.file_name().as_bytes());
            if path == b".git" {
                continue;
            }
            let meta = entry.metadata().ok()?;
            let as_it_should_be = match (meta.is_dir(), self.known.get(path.as_bstr()).copied()) {
                // A submodule's directory, which must be empty.
                (true, Some(known)) if known.mode == GITLINK => {
                    fs::read_dir(entry.path()).ok()?.next().is_none()
                }
                (true, None) => self.directory(path.as_bstr())?,
                (false, Some(known)) => {
                    self.seen += 1;
                    known.is_surely(&meta) || self.has_content(known, &entry.path(), &meta)?
                }
                (true, Some(_)) | (false, None) => false,
            };
            if !as_it_should_be {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Whether the file holds the very bytes of the blob.
    fn has_content(&mut self, known: &Entry, path: &Path, meta: &fs::Metadata) -> Option<bool> {
        let mode = match meta.file_type() {
            kind if kind.is_symlink() => 0o120_000,
            kind if kind.is_file() && meta.mode() & 0o100 != 0 => 0o100_755,
            kind if kind.is_file() => 0o100_644,
            _ => return Some(false),
        };
        self.left = self.left.checked_sub(meta.len())?;
        let content = match mode {
            0o120_000 => fs::read_link(path).ok()?.into_os_string().as_bytes().to_vec(),
            _ => fs::read(path).ok()?,
        };
        let id = gix::objs::compute_hash(self.kind, Kind::Blob, &content).ok()?;
        Some(mode == known.mode && id == known.id)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::git::admin_dir;
    use crate::git::testing::{Sandbox, git_in};

    #[test]
    fn it_is_exact_after_a_commit_and_not_after_anything_else() {
        let sandbox = Sandbox::new();
        sandbox.write(".gitignore", "*.log\n");
        sandbox.write("dir/x", "x");
        sandbox.commit("files");
        let path = sandbox.root().join("wt");
        sandbox.git(&["worktree", "add", "-q", "-b", "b", path.to_str().unwrap()]);
        let admin = admin_dir(&path).unwrap();
        let repo = sandbox.repository();
        let is_exact = || is_exactly_head(&repo, &path, &admin);
        assert!(is_exact());
        fs::write(path.join("new"), "new").unwrap();
        assert!(!is_exact());
        git_in(&path, &["add", "new"]);
        assert!(!is_exact(), "in the index alone");
        git_in(&path, &["commit", "-q", "-m", "new"]);
        assert!(is_exact());
        let changes: [(&str, &dyn Fn()); 9] = [
            ("ignored", &|| fs::write(path.join("a.log"), "").unwrap()),
            ("changed, of the same size", &|| fs::write(path.join("new"), "old").unwrap()),
            ("executable", &|| {
                fs::set_permissions(path.join("new"), PermissionsExt::from_mode(0o755)).unwrap()
            }),
            ("deleted", &|| fs::remove_file(path.join("dir/x")).unwrap()),
            ("a link", &|| {
                fs::remove_file(path.join("new")).unwrap();
                symlink("new", path.join("new")).unwrap();
            }),
            ("a directory", &|| {
                fs::remove_file(path.join("new")).unwrap();
                fs::create_dir(path.join("new")).unwrap();
            }),
            ("a repository", &|| {
                git_in(&path, &["init", "-q", "nested"]);
            }),
            ("not to be seen", &|| {
                git_in(&path, &["update-index", "--assume-unchanged", "new"]);
            }),
            ("staged", &|| {
                git_in(&path, &["rm", "-q", "--cached", "new"]);
            }),
        ];
        for (what, change) in changes {
            change();
            assert!(!is_exact(), "{what}");
            git_in(&path, &["read-tree", "HEAD"]);
            let _ = fs::remove_dir_all(path.join("new"));
            git_in(&path, &["reset", "-q", "--hard"]);
            git_in(&path, &["clean", "-qffdx"]);
            assert!(is_exact(), "{what}, undone");
        }
        // Empty directories are nothing to git, and so is a time that changed.
        fs::create_dir_all(path.join("empty/er")).unwrap();
        fs::File::open(path.join("new")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert!(is_exact());
    }

    #[test]
    fn what_a_filter_made_is_for_git_to_tell() {
        let sandbox = Sandbox::new();
        sandbox.write(".gitattributes", "*.txt eol=crlf\n");
        sandbox.write("a.txt", "one\r\n");
        sandbox.commit("files");
        let path = sandbox.root().join("wt");
        sandbox.git(&["worktree", "add", "-q", "-b", "b", path.to_str().unwrap()]);
        fs::File::open(path.join("a.txt")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let admin = admin_dir(&path).unwrap();
        assert!(!is_exactly_head(&sandbox.repository(), &path, &admin));
        assert_eq!(git_in(&path, &["status", "--porcelain"]), "");
    }
}
