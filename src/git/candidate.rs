//! The commit that would become the target's next tip: which commits are made of a merge that git has found
//! clean. No checkout is touched, no ref moves.

use anyhow::{Context, Result};

use super::merge::{Verdict, by_history, tree_of, verdict};
use super::refs::{is_first_parent, parse_oid};
use super::{Git, Repository, objects, rebase, squash};
use crate::error::{Failure, exit};
use crate::run::{How, Oid, Strategy, Text};

/// What is to be landed, where, and how.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The commit that it lands on.
    pub onto: &'a Oid,
    /// The branch's tip.
    pub tip: &'a Oid,
    /// How.
    pub strategy: Strategy,
    /// With [`Strategy::Merge`]: make a merge commit even where the target could simply move.
    pub no_ff: bool,
    /// With [`Strategy::Squash`] and [`Strategy::Rebase`]: commits of the branch that `onto` has landed
    /// before in this way. Its history does not tell that it has them.
    pub landed: Vec<Oid>,
    /// Short name of the branch, for messages.
    pub branch: &'a Text,
    /// Short name of the target, for messages.
    pub target: &'a Text,
}

/// What the wish comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Merged {
    /// The target has it all already.
    UpToDate,
    /// This commit, made in this way.
    Candidate(Oid, How),
    /// These paths collide.
    Conflicts(Vec<Text>),
    /// The strategy can't do it, for this reason; if somebody rebases the branch, it can.
    RebaseFirst(String),
    /// There is no sensible merge, for this reason.
    Refused(String),
}

/// Makes the commit that the target would move to. What collides is for git to say, by `git merge-tree`,
/// whatever the strategy (but where nothing can, see [`super::trivial`]); and the tree is that of the merge, whatever the commits. Signs the commits if
/// `commit.gpgSign` says so.
///
/// # Errors
/// If git fails, or a signature can't be had without asking somebody.
pub fn candidate(repo: &Repository, wish: &Wish<'_>) -> Result<Merged> {
    match wish.strategy {
        Strategy::Merge => merge(repo, wish),
        Strategy::FfOnly => fast_forward(repo, wish),
        Strategy::Squash => squash(repo, wish),
        Strategy::Rebase => rebase(repo, wish),
    }
}

fn merge(repo: &Repository, wish: &Wish<'_>) -> Result<Merged> {
    let Wish { onto, tip, .. } = *wish;
    let tree = match verdict(repo, onto, tip)? {
        // Where the branch has merged the target in, a fast-forward would turn the target's own history
        // into a side line.
        Verdict::Ahead if !wish.no_ff && is_first_parent(repo, onto, tip)? => {
            return Ok(Merged::Candidate(tip.clone(), How::FastForward));
        }
        Verdict::Ahead => tree_of(repo, tip)?,
        Verdict::Clean(tree) => tree,
        other => return Ok(unclean(other)),
    };
    merge_of_tree(repo, wish, &tree)
}

fn merge_of_tree(repo: &Repository, wish: &Wish<'_>, tree: &Oid) -> Result<Merged> {
    let message = merge_message(wish.branch, wish.target);
    let parents = [wish.onto, wish.tip];
    let made = match objects::commit(repo, tree, &parents, message.as_bytes()) {
        Some(made) => made,
        None => commit(repo, repo.git(), tree, &parents, message.as_bytes())?,
    };
    Ok(Merged::Candidate(made, How::Merge))
}

/// Makes the commit that the target would move to of a merge that collides, and that somebody settled:
/// `tree` is what they came to.
///
/// # Errors
/// As [`candidate`].
pub fn settled_candidate(repo: &Repository, wish: &Wish<'_>, tree: &Oid) -> Result<Merged> {
    match wish.strategy {
        Strategy::Merge => merge_of_tree(repo, wish, tree),
        Strategy::Squash => squash_of_tree(repo, wish, &as_if_merged(repo, wish)?, tree),
        Strategy::FfOnly | Strategy::Rebase => {
            Ok(Merged::RebaseFirst(format!("a settled merge can't land by {}", wish.strategy.name())))
        }
    }
}

fn fast_forward(repo: &Repository, wish: &Wish<'_>) -> Result<Merged> {
    Ok(match by_history(repo, wish.onto, wish.tip)? {
        Some(Verdict::Ahead) => Merged::Candidate(wish.tip.clone(), How::FastForward),
        Some(other) => unclean(other),
        None => {
            let (branch, target) = (wish.branch, wish.target);
            Merged::RebaseFirst(format!("Not possible to fast-forward {target} to {branch}"))
        }
    })
}

fn squash(repo: &Repository, wish: &Wish<'_>) -> Result<Merged> {
    let onto = as_if_merged(repo, wish)?;
    let tree = match clean_tree(repo, &onto, wish.tip)? {
        Ok(tree) => tree,
        Err(unclean) => return Ok(unclean),
    };
    squash_of_tree(repo, wish, &onto, &tree)
}

fn squash_of_tree(repo: &Repository, wish: &Wish<'_>, onto: &Oid, tree: &Oid) -> Result<Merged> {
    if *tree == tree_of(repo, wish.onto)? {
        return Ok(Merged::UpToDate);
    }
    let squashed = squash::read(repo, onto, wish)?;
    let git = repo.git().env_all(squashed.author);
    let made = commit(repo, git, tree, &[wish.onto], &squashed.message)?;
    Ok(Merged::Candidate(made, How::Squash))
}

fn rebase(repo: &Repository, wish: &Wish<'_>) -> Result<Merged> {
    let onto = as_if_merged(repo, wish)?;
    let tree = match clean_tree(repo, &onto, wish.tip)? {
        Ok(tree) => tree,
        Err(unclean) => return Ok(unclean),
    };
    let made = match rebase::replay(repo, &onto, wish)? {
        Ok(made) => made,
        Err(why) => return Ok(Merged::RebaseFirst(why)),
    };
    if tree_of(repo, &made)? != tree {
        let why = "rebased commit by commit it does not come to what the merge comes to";
        return Ok(Merged::RebaseFirst(why.to_owned()));
    }
    Ok(match made {
        made if made == *wish.onto => Merged::UpToDate,
        made if made == *wish.tip => Merged::Candidate(made, How::FastForward),
        made => Merged::Candidate(made, How::Rebase),
    })
}

/// The tree of the merge, or what there is instead.
fn clean_tree(repo: &Repository, onto: &Oid, tip: &Oid) -> Result<Result<Oid, Merged>> {
    Ok(match verdict(repo, onto, tip)? {
        Verdict::Ahead => Ok(tree_of(repo, tip)?),
        Verdict::Clean(tree) => Ok(tree),
        other => Err(unclean(other)),
    })
}

/// What there is where no commit is to be made.
fn unclean(verdict: Verdict) -> Merged {
    match verdict {
        Verdict::Conflicts(paths) => Merged::Conflicts(paths),
        Verdict::Refused(why) => Merged::Refused(why),
        Verdict::UpToDate | Verdict::Ahead | Verdict::Clean(_) => Merged::UpToDate,
    }
}

/// The commit to merge into. Where part of the branch landed before as commits of another make, that part
/// would be merged with itself: so it is a commit, which no ref will ever have, that is as `onto` is and
/// tells git that all of that was merged.
fn as_if_merged(repo: &Repository, wish: &Wish<'_>) -> Result<Oid> {
    if wish.landed.is_empty() {
        return Ok(wish.onto.clone());
    }
    let tree = tree_of(repo, wish.onto)?;
    let mut git = repo.git().args(["commit-tree", tree.as_str(), "-p", wish.onto.as_str()]);
    for tip in &wish.landed {
        git = git.args(["-p", tip.as_str()]);
    }
    parse_oid(&git.args(["-F", "-"]).stdin("What landed before\n").ok()?)
}

/// The encoding that commits are made in (`i18n.commitEncoding`), as an option for `git rev-list`.
pub(super) fn encoding_option(repo: &Repository) -> String {
    let encoding = repo.config().and_then(|config| config.string("i18n.commitencoding"));
    format!("--encoding={}", encoding.unwrap_or_else(|| "UTF-8".into()))
}

/// The message of a merge commit, in the words of `git merge`. The target is always named: git leaves it
/// out for `main` and `master`, but here several branches may land in one go.
fn merge_message(branch: &Text, target: &Text) -> String {
    format!("Merge branch '{branch}' into {target}\n")
}

/// Commits a tree. git knows the author, the committer and the date, as for any commit, but for what `git`
/// has in its environment.
pub(super) fn commit(
    repo: &Repository,
    git: Git,
    tree: &Oid,
    parents: &[&Oid],
    message: &[u8],
) -> Result<Oid> {
    // `git commit-tree` does not look at commit.gpgSign itself.
    let sign = repo.config().context("the configuration can't be read")?.bool("commit.gpgsign");
    let sign = sign.ok().flatten().unwrap_or(false);
    let git = git.args(["commit-tree", tree.as_str()]);
    let git = git.args(parents.iter().flat_map(|parent| ["-p", parent.as_str()]));
    let made = git.args(sign.then_some("-S")).args(["-F", "-"]).stdin(message).ok();
    match made {
        Ok(oid) => parse_oid(&oid),
        Err(error) if sign => Err(Failure::new(exit::FAILURE, format!("cannot sign the commit: {error}"))
            .hint("commit.gpgSign is on: unlock the key first, or run with: git -c commit.gpgSign=false parallel")
            .into()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
