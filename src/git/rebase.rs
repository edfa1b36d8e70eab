//! A branch's commits made anew on top of the target, as `git rebase` would, without a checkout.

use anyhow::{Context, Result};

use super::Repository;
use super::candidate::{Wish, commit, encoding_option};
use super::merge::{pick, tree_of};
use super::refs::parse_oid;
use super::repository::git_version;
use crate::error::{Failure, exit};
use crate::run::{Oid, Text, name_some};

/// The first git whose `merge-tree` has `--merge-base`.
pub const OLDEST_GIT_FOR_REBASE: (u32, u32, u32) = (2, 40, 0);

/// A commit of the branch.
struct Made {
    id: Oid,
    /// None for one that begins a history.
    parent: Option<Oid>,
    name: Text,
    email: Text,
    /// `seconds offset`.
    date: Text,
    message: Vec<u8>,
}

/// Makes the commits that the branch has beyond `onto` anew on top of `wish.onto`, and gives the last one:
/// `wish.onto` itself if nothing is left of them. `Err` says why it can't be done.
///
/// As with `git rebase`, merges are left out, and so is what the target has already (by `git patch-id`, or
/// because nothing is left of it); what was empty before stays. A commit that is in its place is taken as
/// it is.
///
/// # Errors
/// If git fails, or is too old.
pub(super) fn replay(repo: &Repository, onto: &Oid, wish: &Wish<'_>) -> Result<Result<Oid, String>> {
    let mut last = wish.onto.clone();
    for made in commits(repo, onto, wish.tip)? {
        let Some(parent) = &made.parent else {
            return Ok(Err(format!("{} begins a history of its own", told(&made))));
        };
        if *parent == last {
            last = made.id;
            continue;
        }
        let tree = match pick(repo, &last, parent, &made.id) {
            Ok(Ok(tree)) => tree,
            Ok(Err(paths)) => {
                let (told, paths) = (told(&made), name_some(&paths));
                return Ok(Err(format!("rebased by itself, {told} has a conflict in {paths}")));
            }
            Err(error) => return Err(explained(error, "to rebase")),
        };
        if tree == tree_of(repo, &last)? && tree_of(repo, &made.id)? != tree_of(repo, parent)? {
            continue;
        }
        let mut date = b"@".to_vec();
        date.extend_from_slice(made.date.as_bstr());
        let date = Text::from(&date[..]);
        let author =
            [("GIT_AUTHOR_NAME", made.name), ("GIT_AUTHOR_EMAIL", made.email), ("GIT_AUTHOR_DATE", date)];
        last = commit(repo, repo.git().env_all(author), &tree, &[&last], &made.message)?;
    }
    Ok(Ok(last))
}

fn told(made: &Made) -> String {
    let subject = String::from_utf8_lossy(&made.message);
    format!("{} ({})", made.id.short(), subject.lines().next().unwrap_or_default())
}

/// What `git rebase` would pick, oldest first.
fn commits(repo: &Repository, onto: &Oid, tip: &Oid) -> Result<Vec<Made>> {
    let git = repo.git().args(["rev-list", "--reverse", "--topo-order", "--no-merges", "--no-commit-header"]);
    let git = git.args(["--cherry-pick", "--right-only", "--date=raw"]).arg(encoding_option(repo));
    let git = git.arg("--format=%H%x00%P%x00%an%x00%ae%x00%ad%x00%B%x00");
    let output = git.arg(format!("{onto}...{tip}")).ok()?;
    let fields: Vec<&[u8]> = output.split(|&byte| byte == 0).collect();
    // The last of the pieces is what stands behind the last commit; each id has the line feed before it that
    // ends the commit before it.
    fields.chunks_exact(6).map(read).collect()
}

fn read(fields: &[&[u8]]) -> Result<Made> {
    let parent = fields[1].split(|&b| b == b' ').next().filter(|parent| !parent.is_empty());
    Ok(Made {
        id: parse_oid(fields[0]).context("git rev-list gave no commit")?,
        parent: parent.map(parse_oid).transpose()?,
        name: fields[2].into(),
        email: fields[3].into(),
        date: fields[4].into(),
        message: fields[5].to_vec(),
    })
}

/// A git that is too old says only that it does not know the option.
pub(super) fn explained(error: anyhow::Error, what_for: &str) -> anyhow::Error {
    match git_version() {
        Ok(found) if found < OLDEST_GIT_FOR_REBASE => {
            let (major, minor, patch) = found;
            let message = format!("git is {major}.{minor}.{patch}: {what_for}, 2.40 or newer is needed");
            Failure::new(exit::FAILURE, message).into()
        }
        _ => error,
    }
}
