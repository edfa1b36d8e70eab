//! Writing objects in this process, durably, as git with `core.fsync=all` does it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use gix::objs::Kind;
use gix::objs::encode::loose_header;
use gix::zlib::{Compression, stream::deflate};
use tempfile::Builder;

use super::Repository;
use super::refs::parse_oid;
use crate::run::Oid;

/// Writes objects of one kind. `false`: none was written, since that is for git to do.
///
/// They are written even if they are there: what nothing refers to, and is old, a `git gc` may be about to throw
/// away.
///
/// # Errors
/// If they can't be written or synced.
pub(super) fn write(repo: &Repository, kind: Kind, objects: &[impl AsRef<[u8]>]) -> Result<bool> {
    // Who may read and write the files is git's to say.
    if repo.config().is_none_or(|config| config.string("core.sharedrepository").is_some()) {
        return Ok(false);
    }
    for object in objects {
        write_one(repo, kind, object.as_ref())?;
    }
    Ok(true)
}

/// The directory is not synced, as with git: that comes before a branch gets to hold the object.
fn write_one(repo: &Repository, kind: Kind, object: &[u8]) -> Result<()> {
    let id = gix::objs::compute_hash(repo.gix().object_hash(), kind, object)?.to_string();
    let directory = repo.common_dir.join("objects").join(&id[..2]);
    let path = directory.join(&id[2..]);
    let made = || -> Result<()> {
        fs::create_dir_all(&directory)?;
        let permissions = fs::Permissions::from_mode(0o444);
        // By this name `git gc` knows it for what was cut off, and clears it away.
        let file = Builder::new().prefix("tmp_obj_").permissions(permissions).tempfile_in(&directory)?;
        let mut packed = deflate::Write::new(file, Compression::BEST_SPEED);
        packed.write_all(&loose_header(kind, object.len() as u64))?;
        packed.write_all(object)?;
        packed.flush()?;
        let file = packed.into_inner();
        file.as_file().sync_data()?;
        file.persist(&path)?;
        Ok(())
    };
    made().with_context(|| format!("cannot write {}", path.display()))
}

/// Commits a tree in the user's name, byte for byte as `git commit-tree` would. `None`: nothing was written,
/// since that is for git to do, or git's to refuse.
pub(super) fn commit(repo: &Repository, tree: &Oid, parents: &[&Oid], message: &[u8]) -> Option<Oid> {
    let config = repo.config()?;
    let encoding = config.string("i18n.commitencoding").unwrap_or_else(|| "UTF-8".into());
    let is_utf8 =
        ["utf-8", "utf8"].iter().any(|name| encoding.as_bstr().eq_ignore_ascii_case(name.as_bytes()));
    let signs = config.bool("commit.gpgsign").ok()?.unwrap_or(false);
    if !is_utf8 || signs {
        return None;
    }
    let (author, committer) = (repo.author()?.line(), repo.committer()?.line());
    let mut commit = format!("tree {tree}\n").into_bytes();
    for parent in parents {
        commit.extend_from_slice(format!("parent {parent}\n").as_bytes());
    }
    for (name, who) in [("author", author), ("committer", committer)] {
        commit.extend_from_slice([name.as_bytes(), b" ", &who, b"\n"].concat().as_slice());
    }
    commit.push(b'\n');
    commit.extend_from_slice(message);
    // git warns of other encodings, and does not take NULs.
    if std::str::from_utf8(&commit).is_err() || commit.contains(&0) {
        return None;
    }
    let id = gix::objs::compute_hash(repo.gix().object_hash(), Kind::Commit, &commit).ok()?;
    let written = write(repo, Kind::Commit, &[commit]).ok()?;
    written.then(|| parse_oid(id.to_string().as_bytes()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    /// The lines of a commit less their times: git's is a fixed one in these tests.
    fn timeless(commit: &str) -> String {
        let line = |line: &str| match line.split_once("> ") {
            Some((who, time)) => format!("{who}> {}", time.split_once(' ').unwrap().1),
            None => line.to_owned(),
        };
        commit.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_commit_is_what_git_makes() {
        let sandbox = Sandbox::new();
        sandbox.git(&["config", "user.name", " Jürgen <O'Neill>. "]);
        sandbox.git(&["config", "author.email", "other@example.com"]);
        let (first, second) = (sandbox.oid("HEAD"), sandbox.commit("second"));
        let (repo, tree) = (sandbox.repository(), sandbox.oid("HEAD^{tree}"));
        let ours = commit(&repo, &tree, &[&second, &first], "Merge branch 'ü'\n".as_bytes()).unwrap();
        let parents = ["-p", second.as_str(), "-p", first.as_str()];
        let gits = sandbox
            .git(&[&["commit-tree"], &parents[..], &["-m", "Merge branch 'ü'", tree.as_str()]].concat());
        let text = |id: &str| timeless(&sandbox.git(&["cat-file", "commit", id]));
        assert_eq!(text(ours.as_str()), text(&gits));
        let mode = |id: &str| {
            let path = repo.common_dir.join("objects").join(&id[..2]).join(&id[2..]);
            path.metadata().unwrap().permissions().mode()
        };
        assert_eq!(mode(ours.as_str()), mode(&gits));
    }

    #[test]
    fn what_git_does_otherwise_is_left_to_it() {
        for (key, value) in [
            ("commit.gpgSign", "true"),
            ("i18n.commitEncoding", "latin1"),
            ("core.sharedRepository", "group"),
        ] {
            let sandbox = Sandbox::new();
            sandbox.git(&["config", key, value]);
            let tree = sandbox.oid("HEAD^{tree}");
            assert_eq!(commit(&sandbox.repository(), &tree, &[], b"m\n"), None, "{key}");
        }
        let sandbox = Sandbox::new();
        let tree = sandbox.oid("HEAD^{tree}");
        for message in [&b"a\0b\n"[..], b"\xff\n"] {
            assert_eq!(commit(&sandbox.repository(), &tree, &[], message), None);
        }
    }
}
