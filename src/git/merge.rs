//! Merges off to the side: no checkout is touched, no ref moves.

use anyhow::{Context, Result, anyhow};

use super::Repository;
use super::command::split_nul;
use super::foretell::conflict_paths;
use super::refs::{is_first_parent, merge_bases, parse_oid};
use crate::error::{Failure, exit};
use crate::run::{Oid, Text};

/// What a merge comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Merged {
    /// The target has it all already.
    UpToDate,
    /// The target may simply move to the branch's tip.
    FastForward,
    /// A merge commit was made.
    Commit(Oid),
    /// These paths collide.
    Conflicts(Vec<Text>),
    /// There is no sensible merge, for this reason.
    Refused(String),
}

/// How much differs between two trees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Files.
    pub files: u32,
    /// Lines added; those of binary files are not counted.
    pub insertions: u64,
    /// Lines deleted.
    pub deletions: u64,
}

/// Merges `tip` into `onto` with git's own engine (`git merge-tree --write-tree`), under the user's
/// configuration and the attributes of `onto`. With `no_ff` a merge commit is made even where the target
/// could simply move. Signs the commit if `commit.gpgSign` says so.
///
/// # Errors
/// If git fails, or a signature can't be had without asking somebody.
pub fn merge(repo: &Repository, onto: &Oid, tip: &Oid, no_ff: bool, message: &str) -> Result<Merged> {
    let bases = merge_bases(repo, onto, tip)?;
    if onto == tip || bases.contains(tip) {
        return Ok(Merged::UpToDate);
    }
    if bases.is_empty() {
        let reason = format!("{} and {} have no history in common", tip.short(), onto.short());
        return Ok(Merged::Refused(reason));
    }
    if bases.contains(onto) {
        // Where the branch has merged the target in, a fast-forward would turn the target's own history
        // into a side line.
        if !no_ff && is_first_parent(repo, onto, tip)? {
            return Ok(Merged::FastForward);
        }
        return commit(repo, &tree_of(repo, tip)?, onto, tip, message).map(Merged::Commit);
    }
    // Attributes (merge drivers, eol) are read from a checkout, and here is none.
    let git = repo.git().env("GIT_ATTR_SOURCE", onto.as_str());
    let git = git.args(["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"]);
    let output = git.args([onto.as_str(), tip.as_str()]).output()?;
    let mut fields = split_nul(&output.stdout);
    match output.code {
        Some(0) => {
            let tree = parse_oid(fields.next().context("git merge-tree gave no tree")?)?;
            commit(repo, &tree, onto, tip, message).map(Merged::Commit)
        }
        Some(1) => Ok(Merged::Conflicts(conflict_paths(fields.skip(1), [onto, tip]))),
        _ => Err(output.to_error("merge-tree").into()),
    }
}

/// The message of a merge commit, in the words of `git merge`. The target is always named: git leaves it
/// out for `main` and `master`, but here several branches may land in one go.
pub fn merge_message(branch_short: &Text, target_short: &Text) -> String {
    format!("Merge branch '{branch_short}' into {target_short}\n")
}

fn tree_of(repo: &Repository, commit: &Oid) -> Result<Oid> {
    let gix = repo.gix();
    let found = gix.find_commit(Repository::gix_id(commit)?);
    let tree = found.and_then(|commit| Ok(commit.tree_id()?.detach()));
    let tree = tree.map_err(|e| anyhow!("cannot read the commit {commit}: {e:#}"))?;
    parse_oid(tree.to_string().as_bytes())
}

/// Commits a tree. git knows the author, the committer and the date, as for any commit.
fn commit(repo: &Repository, tree: &Oid, onto: &Oid, tip: &Oid, message: &str) -> Result<Oid> {
    // `git commit-tree` does not look at commit.gpgSign itself.
    let sign = repo.config().context("the configuration can't be read")?.bool("commit.gpgsign");
    let sign = sign.ok().flatten().unwrap_or(false);
    let git = repo.git().args(["commit-tree", tree.as_str(), "-p", onto.as_str(), "-p", tip.as_str()]);
    let made = git.args(sign.then_some("-S")).args(["-F", "-"]).stdin(message).ok();
    match made {
        Ok(oid) => parse_oid(&oid),
        Err(error) if sign => Err(Failure::new(exit::FAILURE, format!("cannot sign the merge: {error}"))
            .hint("commit.gpgSign is on: unlock the key first, or run with: git -c commit.gpgSign=false parallel")
            .into()),
        Err(error) => Err(error),
    }
}

/// Paths that differ between two commits or trees, without looking for renames.
///
/// # Errors
/// If git can't tell.
pub fn changed_paths(repo: &Repository, from: &Oid, to: &Oid) -> Result<Vec<Text>> {
    let git = repo.git().args(["diff-tree", "-r", "-z", "--no-renames", "--name-only"]);
    git.args([from.as_str(), to.as_str()]).entries()
}

/// How much differs between two commits or trees; renames are found as `git diff --stat` does.
///
/// # Errors
/// If git can't tell.
pub fn diff_stat(repo: &Repository, from: &Oid, to: &Oid) -> Result<Stat> {
    let git = repo.git().env("GIT_ATTR_SOURCE", to.as_str());
    let output = git.args(["diff-tree", "-r", "-z", "-M", "--numstat", from.as_str(), to.as_str()]).ok()?;
    let mut stat = Stat::default();
    // `added TAB deleted TAB path NUL`, or `added TAB deleted TAB NUL old NUL new NUL`; `-` for binary.
    for entry in split_nul(&output) {
        let mut fields = entry.splitn(3, |&byte| byte == b'\t');
        let (Some(added), Some(deleted), Some(_)) = (fields.next(), fields.next(), fields.next()) else {
            continue; // the two names of a rename
        };
        let count = |field: &[u8]| String::from_utf8_lossy(field).parse::<u64>();
        if added != b"-" && count(added).is_err() {
            continue; // a name with tabs in it
        }
        stat.files += 1;
        stat.insertions += count(added).unwrap_or(0);
        stat.deletions += count(deleted).unwrap_or(0);
    }
    Ok(stat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    struct Fork {
        sandbox: Sandbox,
        repo: Repository,
        left: Oid,
        right: Oid,
    }

    fn fork(base: &str, left: &str, right: &str) -> Fork {
        let sandbox = Sandbox::new();
        let base = sandbox.commit_aside(&sandbox.oid("HEAD"), base);
        let (left, right) = (sandbox.commit_aside(&base, left), sandbox.commit_aside(&base, right));
        Fork { repo: sandbox.repository(), sandbox, left, right }
    }

    impl Fork {
        fn merge(&self, onto: &Oid, tip: &Oid, no_ff: bool) -> Merged {
            merge(&self.repo, onto, tip, no_ff, &merge_message(&"feature/a".into(), &"main".into())).unwrap()
        }

        fn show(&self, format: &str, commit: &Oid) -> String {
            self.sandbox.git(&["show", "-s", &format!("--format={format}"), commit.as_str()])
        }
    }

    #[test]
    fn the_shape_of_history_decides() {
        let f = fork("echo b >b", "echo l >l", "echo r >r");
        let first = f.sandbox.oid("main");
        assert_eq!(f.merge(&f.left, &first, false), Merged::UpToDate);
        assert_eq!(f.merge(&f.left, &f.left, true), Merged::UpToDate);
        assert_eq!(f.merge(&first, &f.left, false), Merged::FastForward);
        let Merged::Commit(made) = f.merge(&first, &f.left, true) else { panic!() };
        assert_eq!(f.show("%P", &made), format!("{first} {}", f.left));
        assert_eq!(f.show("%T", &made), f.show("%T", &f.left));
        let Merged::Commit(made) = f.merge(&f.left, &f.right, false) else { panic!() };
        assert_eq!(f.show("%s", &made), "Merge branch 'feature/a' into main");
        assert_eq!(f.show("%an <%ae>", &made), "A U Thor <author@example.com>");
        let tree = f.sandbox.git(&["ls-tree", "--name-only", made.as_str()]);
        assert_eq!(tree, "README\nb\nl\nr");
        let orphan = f.sandbox.git(&["commit-tree", "-m", "orphan", "HEAD^{tree}"]).try_into().unwrap();
        assert!(matches!(f.merge(&f.left, &orphan, false), Merged::Refused(_)));
        f.sandbox.fsck();
    }

    #[test]
    fn conflicts_are_named_once_each() {
        let f =
            fork("echo b >b; echo d >'d e'", "echo l >b; rm 'd e'; echo x >n", "echo r >b; echo e >'d e'");
        let expected = vec!["b".into(), "d e".into()];
        assert_eq!(f.merge(&f.left, &f.right, false), Merged::Conflicts(expected));
    }

    #[test]
    fn attributes_and_configuration_are_the_users() {
        let both = |attributes: &str| {
            let base = format!("echo '{attributes}' >.gitattributes; echo x >log");
            let f = fork(&base, "echo l >>log", "echo r >>log");
            f.sandbox.git(&["config", "merge.mine.driver", "echo merged >%A"]);
            match f.merge(&f.left, &f.right, false) {
                Merged::Commit(made) => Some(f.sandbox.git(&["show", &format!("{made}:log")])),
                _ => None,
            }
        };
        assert_eq!(both(""), None);
        assert_eq!(both("log merge=union").unwrap(), "x\nl\nr");
        assert_eq!(both("log merge=mine").unwrap(), "merged");
    }

    #[test]
    fn a_signer_that_fails_is_an_error_with_a_hint() {
        let f = fork("true", "echo l >l", "echo r >r");
        f.sandbox.git(&["config", "commit.gpgSign", "true"]);
        f.sandbox.git(&["config", "gpg.program", "false"]);
        let error = merge(&f.repo, &f.left, &f.right, false, "m").unwrap_err();
        assert!(error.to_string().starts_with("cannot sign the merge"), "{error}");
    }

    #[test]
    fn differences_are_counted() {
        let script = "git mv README 'new name'; printf '\\0' >bin; printf 'a\\nb\\n' >t; printf x >'1\t2\t3'";
        let f = fork("true", script, "true");
        let stat = diff_stat(&f.repo, &f.right, &f.left).unwrap();
        assert_eq!(stat, Stat { files: 4, insertions: 3, deletions: 0 });
        let paths = changed_paths(&f.repo, &f.right, &f.left).unwrap();
        assert_eq!(paths, ["1\t2\t3", "README", "bin", "new name", "t"].map(Text::from));
    }
}
