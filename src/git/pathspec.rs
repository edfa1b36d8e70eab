//! What a task changes: the paths that match pathspecs, and how large its files are.

use anyhow::{Result, anyhow, bail};

use super::command::split_nul;
use super::{Git, Repository};
use crate::run::{Oid, Text};

/// Pathspecs mean what the documentation says, whatever `git --literal-pathspecs` and its kin made of them
/// where we were started.
const MEANING: [&str; 4] =
    ["GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"];

fn diff(repo: &Repository, from: &Oid, to: &Oid, format: &str) -> Git {
    // Attributes are those that held before the change: it can't excuse itself.
    let git = repo.git().env("GIT_ATTR_SOURCE", from.as_str());
    let git = MEANING.iter().fold(git, |git, name| git.env(name, "0"));
    git.args(["diff-tree", "-r", "-z", "--no-renames", format, from.as_str(), to.as_str(), "--"])
}

/// Paths that differ between two commits and that the pathspecs match, by git's own rules; none without
/// pathspecs.
///
/// # Errors
/// git's words, if one of them is no pathspec.
pub fn changed_matching(repo: &Repository, from: &Oid, to: &Oid, pathspecs: &[Text]) -> Result<Vec<Text>> {
    if pathspecs.is_empty() {
        return Ok(Vec::new());
    }
    diff(repo, from, to, "--name-only").args(pathspecs.iter().map(Text::as_os_str)).entries()
}

/// The files of a commit that the pathspecs match, by git's own rules; none without pathspecs.
///
/// # Errors
/// git's words, if one of them is no pathspec.
pub fn tree_matching(repo: &Repository, commit: &Oid, pathspecs: &[Text]) -> Result<Vec<Text>> {
    let empty = gix::ObjectId::empty_tree(repo.gix().object_hash()).to_string();
    let empty = Oid::try_from(empty.as_str()).map_err(|_| anyhow!("no name for the empty tree"))?;
    changed_matching(repo, &empty, commit, pathspecs)
}

/// Checks that git takes these for pathspecs; `commit` may be any.
///
/// # Errors
/// git's words, if not.
pub fn check_pathspecs(repo: &Repository, commit: &Oid, pathspecs: &[Text]) -> Result<()> {
    changed_matching(repo, commit, commit, pathspecs).map(drop)
}

/// The files that were added or changed between two commits and that have more than `limit` bytes, with their
/// sizes. A file that Git LFS keeps is as large as its pointer.
///
/// # Errors
/// If git can't tell, or an object is not there.
pub fn larger_files(repo: &Repository, from: &Oid, to: &Oid, limit: u64) -> Result<Vec<(Text, u64)>> {
    let output = diff(repo, from, to, "--raw").ok()?;
    let gix = repo.gix();
    let mut fields = split_nul(&output);
    let mut found = Vec::new();
    // `:<old mode> SP <new mode> SP <old id> SP <new id> SP <status> NUL <path> NUL` (git-diff-tree(1))
    while let (Some(entry), Some(path)) = (fields.next(), fields.next()) {
        let entry: Vec<&[u8]> = entry.split(|&byte| byte == b' ').collect();
        let [_, mode, _, id, status] = entry[..] else { bail!("git diff-tree gave something unknown") };
        if status == b"D" || mode == b"160000" {
            continue;
        }
        let id = gix::ObjectId::from_hex(id)?;
        let header = gix.find_header(id).map_err(|e| anyhow!("cannot read {}: {e:#}", Text::from(path)))?;
        if header.size() > limit {
            found.push((Text::from(path), header.size()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    fn texts(paths: &[&str]) -> Vec<Text> {
        paths.iter().map(|&path| path.into()).collect()
    }

    #[test]
    fn pathspecs_match_as_gits_do() {
        let sandbox = Sandbox::new();
        sandbox.write("old.key", "x");
        sandbox.write(".gitattributes", "*.pem secret\n");
        let from = sandbox.commit("base");
        let script = "rm old.key; mkdir -p ci/deep; echo x >ci/a; echo x >ci/deep/b; echo x >A.PEM; \
                      echo x >x.pem; echo x >'*'; echo >.gitattributes";
        let to = sandbox.commit_aside(&from, script);
        let repo = sandbox.repository();
        let cases: [(&[&str], &[&str]); 9] = [
            (&["ci"], &["ci/a", "ci/deep/b"]),
            (&["ci/"], &["ci/a", "ci/deep/b"]),
            (&[":(glob)ci/*"], &["ci/a"]),
            (&[":(icase)*.pem"], &["A.PEM", "x.pem"]),
            (&[":(literal)*"], &["*"]),
            (&["ci", ":!ci/deep"], &["ci/a"]),
            (&["*.key"], &["old.key"]),
            (&[":(attr:secret)"], &["x.pem"]),
            (&["nothing"], &[]),
        ];
        for (specs, expected) in cases {
            assert_eq!(
                changed_matching(&repo, &from, &to, &texts(specs)).unwrap(),
                texts(expected),
                "{specs:?}"
            );
        }
        assert!(changed_matching(&repo, &from, &to, &[]).unwrap().is_empty());
        assert_eq!(tree_matching(&repo, &from, &texts(&["*.key"])).unwrap(), texts(&["old.key"]));
        assert_eq!(tree_matching(&repo, &to, &texts(&["ci", ":!ci/deep"])).unwrap(), texts(&["ci/a"]));
        for bad in ["", ":(bogus)x", "../x"] {
            assert!(check_pathspecs(&repo, &from, &texts(&[bad])).is_err(), "{bad}");
        }
    }

    #[test]
    fn large_files_are_found_by_their_size_alone() {
        let sandbox = Sandbox::new();
        sandbox.write("was-large", "x".repeat(5000));
        let from = sandbox.commit("base");
        let script = "head -c 1000 /dev/zero >exact; head -c 1001 /dev/zero >over; rm was-large; echo x >s; \
                      mkdir d; head -c 9000 /dev/urandom >'d/a b'; ln -s x link";
        let to = sandbox.commit_aside(&from, script);
        let found = larger_files(&sandbox.repository(), &from, &to, 1000).unwrap();
        assert_eq!(found, [("d/a b".into(), 9000), ("over".into(), 1001)]);
        sandbox.git(&["repack", "-q", "-a", "-d"]);
        assert_eq!(larger_files(&sandbox.repository(), &from, &to, 5000).unwrap().len(), 1);
    }
}
