//! A landing taken back by a new commit, as `git revert` would, without a checkout.

use anyhow::{Context, Result};

use super::Repository;
use super::candidate::{commit, encoding_option};
use super::merge::{pick, tree_of};
use super::rebase::explained;
use super::refs::parse_oid;
use crate::run::{Landing, Oid, Text};

/// What is to be taken back, and of what.
#[derive(Clone, Copy, Debug)]
pub struct Reversal<'a> {
    /// The commit that is to be without it.
    pub tip: &'a Oid,
    /// The landing; `tip` has it.
    pub landing: &'a Landing,
    /// Short name of the branch that landed, for the message.
    pub branch: &'a Text,
    /// It is only to be known what comes of it: the commit is not signed, whatever `commit.gpgSign` says.
    pub trial: bool,
}

/// What comes of a [`Reversal`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reverted {
    /// This commit on top of the tip is without the landing.
    Commit(Oid),
    /// The tip has nothing of it any more: a commit would be empty.
    Nothing,
    /// Something that came later builds on it, in these paths.
    Conflicts(Vec<Text>),
}

/// Commits that a person may want to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The commit.
    pub id: Oid,
    /// The first line of its message.
    pub subject: String,
}

/// Makes one commit on top of the tip that takes the whole landing back: what its commit changed against
/// the commit that it landed on. That is `git revert -m 1` of a merge, `git revert` of a single commit, and of
/// several that landed together one revert of all of them, so that one more `git revert` brings them back.
///
/// # Errors
/// If git fails, is too old, or a signature can't be had without asking somebody.
pub fn revert(repo: &Repository, wish: &Reversal<'_>) -> Result<Reverted> {
    let Reversal { tip, landing, .. } = *wish;
    let picked = pick(repo, tip, &landing.commit, &landing.onto);
    let tree = match picked.map_err(|error| explained(error, "to revert"))? {
        Ok(tree) => tree,
        Err(paths) => return Ok(Reverted::Conflicts(paths)),
    };
    if tree == tree_of(repo, tip)? {
        return Ok(Reverted::Nothing);
    }
    let message = message(repo, wish)?;
    if wish.trial {
        let git = repo.git().args(["commit-tree", "--no-gpg-sign", tree.as_str(), "-p", tip.as_str()]);
        return Ok(Reverted::Commit(parse_oid(&git.args(["-F", "-"]).stdin(message).ok()?)?));
    }
    commit(repo, repo.git(), &tree, &[tip], &message).map(Reverted::Commit)
}

/// A commit that landed.
struct Landed {
    id: Oid,
    subject: Vec<u8>,
}

/// In the words of `git revert` (`sequencer.c`) for a commit; of several, their list.
fn message(repo: &Repository, wish: &Reversal<'_>) -> Result<Vec<u8>> {
    let Landing { onto, commit, .. } = wish.landing;
    let tip = read(repo, &["--no-walk", commit.as_str()])?.pop().context("the landing has no commit")?;
    let is_merge = wish.landing.how == crate::run::How::Merge;
    let range = format!("{onto}..{commit}");
    let all = if is_merge { Vec::new() } else { read(repo, &["--topo-order", &range])? };
    let mut text = Vec::new();
    if all.len() < 2 {
        text.extend_from_slice(&title(&tip.subject));
        text.extend_from_slice(format!("\n\nThis reverts commit {commit}").as_bytes());
        if is_merge {
            text.extend_from_slice(format!(", reversing\nchanges made to {onto}").as_bytes());
        }
        text.extend_from_slice(b".\n");
        return Ok(text);
    }
    text.extend_from_slice(b"Revert the landing of '");
    text.extend_from_slice(wish.branch.as_bstr());
    text.extend_from_slice(b"'\n\nThis reverts the commits that landed together:\n\n");
    for landed in all {
        text.extend_from_slice(format!("    {} ", landed.id).as_bytes());
        text.extend_from_slice(&landed.subject);
        text.push(b'\n');
    }
    Ok(text)
}

/// A revert of a revert applies again what that had reverted; further back git does not count either.
fn title(subject: &[u8]) -> Vec<u8> {
    const REVERT: &[u8] = b"Revert \"";
    let again = subject.strip_prefix(REVERT).filter(|original| !original.starts_with(REVERT));
    match again {
        Some(original) => [b"Reapply \"", original].concat(),
        None => [REVERT, subject, b"\""].concat(),
    }
}

fn read(repo: &Repository, which: &[&str]) -> Result<Vec<Landed>> {
    let git = repo.git().args(["rev-list", "--no-commit-header", "--format=%H%x00%B%x00"]);
    let output = git.arg(encoding_option(repo)).args(which).ok()?;
    let fields: Vec<&[u8]> = output.split(|&byte| byte == 0).collect();
    let commits = fields.chunks_exact(2).map(|fields| {
        let id = parse_oid(fields[0]).context("git rev-list gave no commit")?;
        let subject = fields[1].split(|&byte| byte == b'\n').next().unwrap_or_default().to_vec();
        Ok(Landed { id, subject })
    });
    commits.collect()
}

/// The commits that `tip` has and `from` has not, and that change one of the paths; the latest first.
///
/// # Errors
/// If git can't tell.
pub fn commits_that_change(repo: &Repository, from: &Oid, tip: &Oid, paths: &[Text]) -> Result<Vec<Named>> {
    /// As many as surely fit on a command line.
    const MOST: usize = 200;
    let git = repo.git().env("GIT_LITERAL_PATHSPECS", "1");
    let git = git.args(["rev-list", "--no-commit-header", "--format=%H%x00%s%x00"]);
    let git = git.arg(format!("{from}..{tip}")).arg("--");
    let output = git.args(paths.iter().take(MOST).map(Text::as_os_str)).ok()?;
    let fields: Vec<&[u8]> = output.split(|&byte| byte == 0).collect();
    let commits = fields.chunks_exact(2).map(|fields| {
        let id = parse_oid(fields[0]).context("git rev-list gave no commit")?;
        Ok(Named { id, subject: String::from_utf8_lossy(fields[1]).into_owned() })
    });
    commits.collect()
}

/// Whether there are merges among the commits that `to` has and `from` has not.
///
/// # Errors
/// If git can't tell.
pub fn has_merges(repo: &Repository, from: &Oid, to: &Oid) -> Result<bool> {
    let git = repo.git().args(["rev-list", "--merges", "-n1"]).arg(format!("{from}..{to}"));
    Ok(!git.ok()?.is_empty())
}

/// The commit that the target came to by the last landing that its reflog knows of; `None` without one.
pub fn last_landing(repo: &Repository, target: &Text) -> Option<Oid> {
    let log = std::fs::read(repo.common_dir.join("logs").join(target.as_path())).ok()?;
    // `<old id> SP <new id> SP <who> SP <when> TAB <why>` (gitrepository-layout(5))
    log.split(|&byte| byte == b'\n').rev().find_map(|line| {
        let tab = line.iter().position(|&byte| byte == b'\t')?;
        line[tab + 1..].starts_with(b"parallel: land ").then_some(())?;
        parse_oid(line.split(|&byte| byte == b' ').nth(1)?).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;
    use crate::run::How;

    fn landing(onto: &Oid, tip: &Oid, commit: &Oid, how: How) -> Landing {
        let (onto, tip, commit) = (onto.clone(), tip.clone(), commit.clone());
        Landing { onto, tip, commit, how, settled: None }
    }

    #[track_caller]
    fn made(sandbox: &Sandbox, tip: &Oid, landing: &Landing) -> Oid {
        let branch = Text::from("feature/a");
        let wish = Reversal { tip, landing, branch: &branch, trial: false };
        match revert(&sandbox.repository(), &wish).unwrap() {
            Reverted::Commit(commit) => commit,
            other => panic!("{other:?}"),
        }
    }

    fn told(sandbox: &Sandbox, commit: &Oid) -> String {
        sandbox.git(&["show", "-s", "--format=%B", commit.as_str()])
    }

    /// What git itself makes of it, in its words.
    fn by_git(sandbox: &Sandbox, arguments: &[&str]) -> (String, String) {
        sandbox.git(&[&["revert", "--no-edit"], arguments].concat());
        let head = sandbox.oid("HEAD");
        let made = (told(sandbox, &head), sandbox.rev("HEAD^{tree}"));
        sandbox.git(&["reset", "-q", "--hard", "HEAD^"]);
        made
    }

    #[test]
    fn a_merge_and_a_commit_are_reverted_as_git_does() {
        let sandbox = Sandbox::new();
        let first = sandbox.oid("HEAD");
        let tip = sandbox.commit_aside(&first, "echo a >a");
        sandbox.write("ours", "ours\n");
        let onto = sandbox.commit("Ours");
        sandbox.git(&["merge", "-q", "--no-ff", "-m", "Merge it", tip.as_str()]);
        let merge = sandbox.oid("HEAD");
        sandbox.write("later", "later\n");
        let later = sandbox.commit("Later \"on\"");
        for (landing, arguments) in [
            (landing(&onto, &tip, &merge, How::Merge), vec!["-m1", merge.as_str()]),
            (landing(&merge, &later, &later, How::FastForward), vec![later.as_str()]),
            (landing(&merge, &tip, &later, How::Squash), vec![later.as_str()]),
        ] {
            let ours = made(&sandbox, &later, &landing);
            let expected = by_git(&sandbox, &arguments);
            assert_eq!((told(&sandbox, &ours), sandbox.rev(&format!("{ours}^{{tree}}"))), expected);
            assert_eq!(sandbox.oid(&format!("{ours}^")), later);
        }
    }

    #[test]
    fn a_revert_of_a_revert_says_so() {
        assert_eq!(title(b"Work"), b"Revert \"Work\"");
        assert_eq!(title(b"Revert \"Work\""), b"Reapply \"Work\"");
        assert_eq!(title(b"Revert \"Revert \"Work\"\""), b"Revert \"Revert \"Revert \"Work\"\"\"");
    }

    #[test]
    fn several_commits_are_one_revert_that_names_them() {
        let sandbox = Sandbox::new();
        let onto = sandbox.oid("HEAD");
        sandbox.write("a", "a\n");
        let one = sandbox.commit("One");
        sandbox.write("a", "b\n");
        let two = sandbox.commit("Two");
        let ours = made(&sandbox, &two, &landing(&onto, &two, &two, How::FastForward));
        let expected = format!(
            "Revert the landing of 'feature/a'\n\nThis reverts the commits that landed together:\n\n    {two} Two\n    {one} One"
        );
        assert_eq!(told(&sandbox, &ours).trim_end(), expected);
        assert_eq!(sandbox.rev(&format!("{ours}^{{tree}}")), sandbox.rev(&format!("{onto}^{{tree}}")));
        let again = Reversal {
            tip: &ours,
            landing: &landing(&onto, &two, &two, How::FastForward),
            branch: &"feature/a".into(),
            trial: false,
        };
        assert_eq!(revert(&sandbox.repository(), &again).unwrap(), Reverted::Nothing);
    }

    #[test]
    fn what_builds_on_it_is_named() {
        let sandbox = Sandbox::new();
        let onto = sandbox.oid("HEAD");
        sandbox.write("a*", "a\n");
        let one = sandbox.commit("One");
        sandbox.write("ab", "not it\n");
        sandbox.commit("Other");
        sandbox.write("a*", "b\n");
        let later = sandbox.commit("Later");
        let repo = sandbox.repository();
        let landing = landing(&onto, &one, &one, How::FastForward);
        let wish = Reversal { tip: &later, landing: &landing, branch: &"a".into(), trial: true };
        assert_eq!(revert(&repo, &wish).unwrap(), Reverted::Conflicts(vec!["a*".into()]));
        let named = commits_that_change(&repo, &one, &later, &["a*".into()]).unwrap();
        assert_eq!(named, [Named { id: later, subject: "Later".into() }]);
    }

    #[test]
    fn the_last_landing_is_in_the_reflog() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let main = Text::from("refs/heads/main");
        assert_eq!(last_landing(&repo, &main), None);
        let landed = sandbox.commit_aside(&sandbox.oid("HEAD"), "echo a >a");
        sandbox.git(&["update-ref", "-m", "parallel: land a (merge)", "refs/heads/main", landed.as_str()]);
        sandbox.git(&["reset", "-q", "--hard"]);
        sandbox.commit("Later");
        assert_eq!(last_landing(&repo, &main), Some(landed));
        assert_eq!(last_landing(&repo, &"refs/heads/none".into()), None);
    }
}
