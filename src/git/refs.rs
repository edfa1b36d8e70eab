//! Refs and history: read with gix. Refs of our own are written in this process (see [`super::ref_edit`])
//! where that comes out as `git update-ref` would do it; everything else is left to git.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::command::GitError;
use super::ref_edit::{self, Edit};
use super::{Git, Repository};
use crate::error::{Failure, exit};
use crate::run::{Oid, Text, full_branch_name};

/// What a worktree's HEAD is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Head {
    /// On a branch, by its full name; the branch need not exist yet.
    Branch(Text),
    /// On a commit.
    Detached(Oid),
}

/// What a ref must be for a write to go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect<'a> {
    /// Anything.
    Any,
    /// Not there.
    MustNotExist,
    /// At this object.
    Is(&'a Oid),
}

/// The commit that a revision names, as the user would write it (`main~2`, `origin/main`, `@{u}`), seen
/// from the worktree we were called in.
///
/// # Errors
/// If it names no commit.
pub fn resolve(repo: &Repository, revision: &Text) -> Result<Oid> {
    let mut peeled = revision.as_bstr().to_vec();
    peeled.extend_from_slice(b"^{commit}");
    let git =
        Git::new().git_dir(&repo.git_dir).args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
    let output = git.arg(Text::from(peeled.as_slice()).as_os_str()).output()?;
    match output.code {
        Some(0) => parse_oid(&output.stdout),
        Some(1) => Err(Failure::new(exit::FAILURE, format!("'{revision}' does not name a commit")).into()),
        _ => Err(output.to_error("rev-parse").into()),
    }
}

/// Where a branch (or any ref, by its full name) is; `None` if there is none.
///
/// # Errors
/// If the ref can't be read.
pub fn branch_tip(repo: &Repository, name: &Text) -> Result<Option<Oid>> {
    let gix = repo.gix();
    let Some(mut found) = gix.try_find_reference(name.as_bstr()).map_err(|e| wrong(name, &e))? else {
        return Ok(None);
    };
    if found.name().as_bstr() != name.as_bstr() {
        return Ok(None); // gix also looks for a short name in `refs/tags/` and elsewhere
    }
    let id = match found.target().try_id() {
        Some(id) => id.to_owned(),
        None => match found.follow_to_object() {
            Ok(id) => id.detach(),
            // A symbolic ref to a branch that is not born yet.
            Err(_) => return Ok(None),
        },
    };
    oid(id).map(Some)
}

/// The tip of the local branch of this short name; `None` if there is none, or can't be.
///
/// # Errors
/// If the ref can't be read.
pub fn local_branch(repo: &Repository, short: &Text) -> Result<Option<Oid>> {
    let full = full_branch_name(short);
    if gix::validate::reference::branch_name(full.as_bstr()).is_err() {
        return Ok(None);
    }
    branch_tip(repo, &full)
}

/// Whether a ref stands for another one (`git symbolic-ref`).
///
/// # Errors
/// If the ref can't be read.
pub fn is_symbolic(repo: &Repository, name: &Text) -> Result<bool> {
    let gix = repo.gix();
    let found = gix.try_find_reference(name.as_bstr()).map_err(|e| wrong(name, &e))?;
    Ok(found.is_some_and(|found| found.target().try_name().is_some()))
}

/// All refs below a prefix that ends with a slash, with what they point to. Symbolic ones are left out.
///
/// # Errors
/// If they can't be read.
pub fn list(repo: &Repository, prefix: &str) -> Result<Vec<(Text, Oid)>> {
    let gix = repo.gix();
    let refs = gix.references().map_err(|e| anyhow!("cannot read refs: {e:#}"))?;
    let refs = refs.prefixed(prefix).map_err(|e| anyhow!("cannot read refs: {e:#}"))?;
    let mut found = Vec::new();
    for reference in refs {
        let reference = reference.map_err(|e| anyhow!("cannot read a ref below {prefix}: {e:#}"))?;
        if let Some(id) = reference.target().try_id() {
            found.push((Text::from(reference.name().as_bstr().to_owned()), oid(id.to_owned())?));
        }
    }
    Ok(found)
}

/// The HEAD of the worktree with this git directory (`.git`, or `.git/worktrees/NAME`).
///
/// # Errors
/// If there is none or it is damaged.
pub fn head(git_dir: &Path) -> Result<Head> {
    let path = git_dir.join("HEAD");
    // `core.preferSymlinkRefs` of old makes HEAD a symbolic link.
    if let Ok(target) = std::fs::read_link(&path) {
        return Ok(Head::Branch(Text::from(target)));
    }
    let content = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    match content.strip_prefix(b"ref:") {
        Some(name) => Ok(Head::Branch(Text::from(name.trim_ascii()))),
        None => parse_oid(&content).map(Head::Detached).with_context(|| format!("{}", path.display())),
    }
}

/// Moves or creates a ref, durably and only if it still is what it should be. `message` goes into its
/// reflog. The ref itself is written even if it is symbolic.
///
/// # Errors
/// git's own words; compare with [`branch_tip`] afterwards to learn whether the ref had moved.
pub fn set_ref(repo: &Repository, name: &Text, new: &Oid, expect: Expect<'_>, message: &str) -> Result<()> {
    if ref_edit::write(repo, name, Edit::Set { new, expect, message }) {
        return Ok(());
    }
    let git = repo.git().retry_locks().args(["update-ref", "--no-deref", "-m", message]);
    let git = git.arg(name.as_os_str()).arg(new.as_str());
    match expect {
        Expect::Any => git,
        Expect::MustNotExist => git.arg(repo.null_oid()),
        Expect::Is(old) => git.arg(old.as_str()),
    }
    .ok()?;
    Ok(())
}

/// Deletes a ref if it still is at `old`. One that is gone already is fine.
///
/// # Errors
/// git's own words, if it is somewhere else or can't be deleted.
pub fn delete_ref(repo: &Repository, name: &Text, old: &Oid) -> Result<()> {
    if ref_edit::write(repo, name, Edit::Delete(old)) {
        return Ok(());
    }
    let git = repo.git().retry_locks().args(["update-ref", "--no-deref", "-d"]);
    let deleted = git.arg(name.as_os_str()).arg(old.as_str()).ok();
    match deleted {
        Err(error) if error.is::<GitError>() && branch_tip(repo, name)?.is_none() => Ok(()),
        other => other.map(drop),
    }
}

/// Whether `ancestor` is `commit` or in its history.
///
/// # Errors
/// If the history can't be read.
pub fn is_ancestor(repo: &Repository, ancestor: &Oid, commit: &Oid) -> Result<bool> {
    Ok(ancestor == commit
        || is_near(repo, ancestor, commit)?
        || merge_bases(repo, ancestor, commit)?.contains(ancestor))
}

/// Whether `ancestor` is among the nearest ancestors. Mostly it is asked of what was made just now, and an answer by
/// merge bases is a walk past all that is younger than the oldest of both branches.
fn is_near(repo: &Repository, ancestor: &Oid, commit: &Oid) -> Result<bool> {
    const NEAR: usize = 64;
    let gix = repo.history();
    let (ancestor, mut next) = (Repository::gix_id(ancestor)?, vec![Repository::gix_id(commit)?]);
    let mut at = 0;
    while at < next.len().min(NEAR) {
        // One that is missing is for the whole walk to tell of.
        let Ok(commit) = gix.find_commit(next[at]) else { return Ok(false) };
        for parent in commit.parent_ids().map(gix::Id::detach) {
            if parent == ancestor {
                return Ok(true);
            }
            if !next.contains(&parent) {
                next.push(parent);
            }
        }
        at += 1;
    }
    Ok(false)
}

/// The best common ancestors of two commits; none if their histories are unrelated. It is quickest if `one` is
/// the target.
///
/// # Errors
/// If the history can't be read.
pub fn merge_bases(repo: &Repository, one: &Oid, other: &Oid) -> Result<Vec<Oid>> {
    let gix = repo.history();
    let (one_id, other_id) = (Repository::gix_id(one)?, Repository::gix_id(other)?);
    if let Some(base) = repo.trunk().merge_base(&gix, one_id, other_id) {
        return Ok(vec![oid(base)?]);
    }
    let bases = gix.merge_bases_many(one_id, &[other_id]);
    let bases = bases.map_err(|e| anyhow!("cannot read the history of {one} and {other}: {e:#}"))?;
    if let [base] = bases[..] {
        repo.trunk().remember(&gix, one_id, base.detach());
    }
    bases.into_iter().map(|id| oid(id.detach())).collect()
}

/// How many commits `tip` has that none of `others` has.
///
/// # Errors
/// If the history can't be read.
pub fn count_commits(repo: &Repository, tip: &Oid, others: &[&Oid]) -> Result<u32> {
    let mut count = 0;
    walk(repo, tip, others, |_| count += 1)?;
    Ok(count)
}

/// The commits that `tip` has and `onto` has not.
///
/// # Errors
/// If the history can't be read.
pub fn new_commits(repo: &Repository, tip: &Oid, onto: &Oid) -> Result<HashSet<Oid>> {
    let mut ids = Vec::new();
    walk(repo, tip, &[onto], |id| ids.push(id))?;
    ids.into_iter().map(oid).collect()
}

fn walk(repo: &Repository, tip: &Oid, others: &[&Oid], mut see: impl FnMut(gix::ObjectId)) -> Result<()> {
    let gix = repo.history();
    let hidden = others.iter().map(|other| Repository::gix_id(other)).collect::<Result<Vec<_>>>()?;
    let start = Repository::gix_id(tip)?;
    if let Some(beyond) = repo.trunk().beyond(&gix, &hidden, start) {
        beyond.into_iter().for_each(see);
        return Ok(());
    }
    let walk = gix.rev_walk([start]).with_hidden(hidden);
    for commit in walk.all().map_err(|e| anyhow!("cannot read the history of {tip}: {e:#}"))? {
        see(commit.map_err(|e| anyhow!("cannot read the history of {tip}: {e:#}"))?.id);
    }
    Ok(())
}

/// Whether going back from `tip` by first parents alone leads to `onto`, one of its ancestors.
///
/// # Errors
/// If history can't be read.
pub(super) fn is_first_parent(repo: &Repository, onto: &Oid, tip: &Oid) -> Result<bool> {
    let gix = repo.gix();
    let mut commit = Repository::gix_id(tip)?;
    let onto_id = Repository::gix_id(onto)?;
    for _ in 0..=count_commits(repo, tip, &[onto])? {
        if commit == onto_id {
            return Ok(true);
        }
        match gix.find_commit(commit)?.parent_ids().next() {
            Some(parent) => commit = parent.detach(),
            None => return Ok(false),
        }
    }
    Ok(false)
}

/// Whether the commit is a merge with exactly these two parents, in whichever order.
///
/// # Errors
/// If it can't be read.
pub fn is_merge_of(repo: &Repository, commit: &Oid, one: &Oid, other: &Oid) -> Result<bool> {
    let gix = repo.gix();
    let found = gix.find_commit(Repository::gix_id(commit)?);
    let found = found.map_err(|e| anyhow!("cannot read the commit {commit}: {e:#}"))?;
    let parents: Vec<_> = found.parent_ids().map(|id| id.detach()).collect();
    let (one, other) = (Repository::gix_id(one)?, Repository::gix_id(other)?);
    Ok(parents == [one, other] || parents == [other, one])
}

/// `git log --stat` of what `to` has and `from` has not, for a person or an agent to read.
///
/// # Errors
/// If git can't tell.
pub fn log(repo: &Repository, from: &Oid, to: &Oid) -> Result<Vec<u8>> {
    let git = repo.git().args(["log", "--stat", "--no-color", "--no-decorate"]);
    git.arg(format!("{from}..{to}")).ok()
}

/// The commit that a worktree's HEAD was on last, by the last line of its reflog: what is left of a
/// branch that was deleted under it. `None` without a reflog.
///
/// # Errors
/// If the reflog is there but can't be read.
pub fn commits_of_reflog_head(admin_dir: &Path) -> Result<Option<Oid>> {
    Ok(reflog_of_head(admin_dir)?.into_iter().next())
}

/// What a worktree's HEAD was on, by its reflog, the latest first. Empty without one.
///
/// # Errors
/// If the reflog is there but can't be read.
pub(super) fn reflog_of_head(admin_dir: &Path) -> Result<Vec<Oid>> {
    let path = admin_dir.join("logs/HEAD");
    let log = match std::fs::read(&path) {
        Ok(log) => log,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    // `<old id> SP <new id> SP <who> SP <when> TAB <why>` (gitrepository-layout(5)). `git branch -D` and
    // `git symbolic-ref` may leave lines with a null id.
    let ids = log.split(|&byte| byte == b'\n').rev().filter_map(|line| line.split(|&b| b == b' ').nth(1));
    let ids = ids.filter_map(|id| parse_oid(id).ok());
    Ok(ids.filter(|id| id.as_str().bytes().any(|digit| digit != b'0')).collect())
}

/// Checks a branch's short name, by the rules of `git check-ref-format --branch` less its `@{-1}`.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_branch_name(name: &str) -> Result<()> {
    if name.starts_with('-') {
        bail!("'{name}' is not a valid branch name: it begins with a dash");
    }
    let full = format!("refs/heads/{name}");
    match gix::validate::reference::branch_name(full.as_str().into()) {
        Ok(_) => Ok(()),
        Err(error) => bail!("'{name}' is not a valid branch name: {error}"),
    }
}

/// Reads an object id that git printed.
pub(super) fn parse_oid(bytes: &[u8]) -> Result<Oid> {
    String::from_utf8_lossy(bytes.trim_ascii())
        .into_owned()
        .try_into()
        .map_err(|error: String| anyhow!(error))
}

fn oid(id: gix::ObjectId) -> Result<Oid> {
    id.to_string().try_into().map_err(|error: String| anyhow!(error))
}

fn wrong(name: &Text, error: &impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot read {name}: {error:#}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    #[test]
    fn refs_move_only_from_where_they_should_be() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let (first, second) = (sandbox.oid("HEAD"), sandbox.commit("second"));
        let pin = Text::from("refs/parallel/r/t/tip");
        assert_eq!(branch_tip(&repo, &pin).unwrap(), None);
        set_ref(&repo, &pin, &first, Expect::MustNotExist, "pin").unwrap();
        assert!(set_ref(&repo, &pin, &second, Expect::MustNotExist, "pin").is_err());
        assert!(set_ref(&repo, &pin, &second, Expect::Is(&second), "pin").is_err());
        set_ref(&repo, &pin, &second, Expect::Is(&first), "pin").unwrap();
        assert_eq!(branch_tip(&repo, &pin).unwrap(), Some(second.clone()));
        assert_eq!(list(&repo, "refs/parallel/").unwrap(), [(pin.clone(), second.clone())]);
        assert!(delete_ref(&repo, &pin, &first).is_err());
        delete_ref(&repo, &pin, &second).unwrap();
        delete_ref(&repo, &pin, &second).unwrap();
        set_ref(&repo, &pin, &first, Expect::Any, "pin").unwrap();
        sandbox.fsck();
    }

    #[test]
    fn short_names_and_tags_are_not_taken_for_branches() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        sandbox.git(&["tag", "v1"]);
        sandbox.git(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
        assert_eq!(branch_tip(&repo, &"refs/heads/v1".into()).unwrap(), None);
        assert_eq!(local_branch(&repo, &"alias".into()).unwrap(), Some(sandbox.oid("HEAD")));
        assert_eq!(local_branch(&repo, &"main~0".into()).unwrap(), None);
        assert_eq!(branch_tip(&repo, &"refs/heads/alias".into()).unwrap(), Some(sandbox.oid("HEAD")));
        assert!(is_symbolic(&repo, &"refs/heads/alias".into()).unwrap());
        assert!(!is_symbolic(&repo, &"refs/heads/main".into()).unwrap());
    }

    #[test]
    fn revisions_are_resolved_where_we_stand() {
        let sandbox = Sandbox::new();
        let first = sandbox.oid("HEAD");
        let second = sandbox.commit("second");
        let linked = sandbox.root().join("linked");
        sandbox.git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap(), "HEAD~1"]);
        let (repo, there) = (sandbox.repository(), Repository::discover(&linked).unwrap());
        assert_eq!(resolve(&repo, &"HEAD".into()).unwrap(), second);
        assert_eq!(resolve(&there, &"HEAD".into()).unwrap(), first);
        assert_eq!(resolve(&repo, &"main~1".into()).unwrap(), first);
        for bad in ["nope", "--all", "main:README", ""] {
            let error = resolve(&repo, &bad.into()).unwrap_err().to_string();
            assert!(error.contains("does not name a commit"), "{bad}: {error}");
        }
        assert_eq!(head(&repo.git_dir).unwrap(), Head::Branch("refs/heads/main".into()));
        assert_eq!(head(&there.git_dir).unwrap(), Head::Detached(first));
    }

    #[test]
    fn history_is_counted_and_compared() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let first = sandbox.oid("HEAD");
        let left = sandbox.commit_aside(&first, "echo l >l");
        let right = sandbox.commit_aside(&sandbox.commit_aside(&first, "echo 1 >r"), "echo 2 >r");
        assert!(is_ancestor(&repo, &first, &right).unwrap());
        assert!(!is_ancestor(&repo, &left, &right).unwrap());
        assert_eq!(merge_bases(&repo, &left, &right).unwrap(), std::slice::from_ref(&first));
        assert_eq!(count_commits(&repo, &right, &[&left]).unwrap(), 2);
        assert_eq!(count_commits(&repo, &first, &[&left]).unwrap(), 0);
        let orphan = sandbox.git(&["commit-tree", "-m", "orphan", "HEAD^{tree}"]).try_into().unwrap();
        assert!(merge_bases(&repo, &orphan, &left).unwrap().is_empty());
    }

    #[test]
    fn a_deleted_branch_is_found_in_the_reflog() {
        let sandbox = Sandbox::new();
        let second = sandbox.commit("second");
        sandbox.git(&["update-ref", "-d", "refs/heads/main"]);
        assert_eq!(commits_of_reflog_head(&sandbox.repo.join(".git")).unwrap(), Some(second));
        assert_eq!(commits_of_reflog_head(sandbox.root()).unwrap(), None);
    }

    #[test]
    fn branch_names_are_judged_as_git_does() {
        for name in ["a", "feature/a", "größe", "a;b", "$(x)", "-", "-a", "HEAD", "a..b", "a b", "a/", "/a"]
            .into_iter()
            .chain(["a.lock", "a/.b", "@", "a@{b", "a\\b", "", "a//b", "a~1", "a.", "x/HEAD"])
        {
            let git = Git::new().args(["check-ref-format", "--branch", name]).output().unwrap();
            assert_eq!(check_branch_name(name).is_ok(), git.code == Some(0), "{name:?}");
        }
    }
}
