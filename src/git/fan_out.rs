//! Writing the files of several new worktrees in one pass.
//!
//! `git worktree add` inflates every blob again for each worktree. Here each is decoded once and written
//! to all of them, over several threads, and the index of each is made from what the files then are. That
//! is done for the plain case alone, where it comes out as `git reset --hard` would do it. Paths that
//! attributes have converted, and worktrees or whole repositories that are out of the ordinary, are left
//! to git: its `reset --hard` writes what is missing, and finds the words where it can't.
//!
//! A path can't lead out of its worktree: that must be empty, every directory in it is made here and must
//! be new, every file must be new, and the symbolic links come last. Where the files of a worktree that is
//! done with are taken over, what is left of them after a sweep is what was made here.

mod attributes;
mod index;
mod listing;
mod reuse;
mod settings;
#[cfg(test)]
mod tests;
mod write;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use self::listing::Listing;
pub use self::reuse::{Filled, Known, Spare};
use self::settings::{Attributes, Settings};
use self::write::{Target, Trouble, Written};
use super::hooks::may_run;
use super::threads::in_parallel;
use super::{Config, Git, Head, Repository, branch_tip, head};
use crate::run::Oid;

/// So many worktrees are written together: each keeps a descriptor open.
const TOGETHER: usize = 32;

/// A worktree that is registered and has no files yet.
#[derive(Clone)]
pub struct Blank {
    /// Its top directory.
    pub path: PathBuf,
    /// Its git directory.
    pub admin_dir: PathBuf,
    /// Whose files are in its top directory, if it is not empty.
    pub spare: Option<Arc<Spare>>,
}

/// What became of a worktree: nothing is known of its files if git wrote them.
type Outcome = Result<Option<Filled>>;

/// Writes worktrees, and remembers what is in them from one time to the next.
#[derive(Default)]
pub struct FanOut {
    last: Mutex<Option<Arc<Contents>>>,
}

impl FanOut {
    /// Writes the files and the index of each worktree, whose HEAD is at `commit`: one result for each, in
    /// their order. One that fails does not keep the others from being written. A folder that is not empty is
    /// left to git, which writes what is missing or different, as after a crash; but see [`Blank::spare`].
    ///
    /// # Errors
    /// Where a file can't be written, or in git's words. What was written stays.
    pub fn write(&self, repo: &Repository, commit: &Oid, worktrees: &[Blank]) -> Vec<Outcome> {
        match self.contents(repo, commit, worktrees) {
            Ok(contents) => {
                let plan = Plan::make(repo, &contents);
                worktrees.chunks(TOGETHER).flat_map(|some| plan.write(some)).collect()
            }
            // Whatever it is, git knows what to do, or says why it can't be done.
            Err(_) => in_parallel(worktrees, instead),
        }
    }

    /// An error means that all is git's to do.
    fn contents(&self, repo: &Repository, commit: &Oid, worktrees: &[Blank]) -> Result<Arc<Contents>> {
        let (settings, attributes) = (Settings::of(repo)?, Attributes::of(repo));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && (&last.commit, &last.settings, &last.attributes) == (commit, &settings, &attributes)
        {
            return Ok(last.clone());
        }
        let mut listing = Listing::of(repo, commit)?;
        let first = worktrees.first().context("nothing to do")?;
        let some_for_git = attributes::mark(&mut listing, &settings, first)?;
        let (commit, listing) = (commit.clone(), Arc::new(listing));
        let contents = Arc::new(Contents { commit, settings, attributes, listing, some_for_git });
        *last = Some(contents.clone());
        Ok(contents)
    }
}

/// Writes all of it by git, though it was to be written here.
fn instead(blank: &Blank) -> Outcome {
    if blank.spare.is_some() {
        let place = || format!("cannot empty {}", blank.path.display());
        reuse::empty(&blank.path).with_context(place)?;
    }
    by_git(blank)
}

/// Writes what is missing or different, by git.
fn by_git(blank: &Blank) -> Outcome {
    let mut git = Git::new().work_tree(&blank.path, &blank.admin_dir).retry_locks();
    if !blank.admin_dir.join("logs/HEAD").exists() {
        // None is kept, or it is written later, for a worktree that is made aside.
        git = git.args(["-c", "core.logAllRefUpdates=false"]);
    }
    git.args(["reset", "--hard", "--no-recurse-submodules", "-q"]).ok()?;
    Ok(None)
}

/// Removes what is neither tracked nor ignored, where not all of that was removed before.
fn clean(blank: &Blank) -> Result<()> {
    if blank.spare.as_ref().is_some_and(|spare| spare.warm) {
        Git::new().work_tree(&blank.path, &blank.admin_dir).args(["clean", "-ffdq"]).ok()?;
    }
    Ok(())
}

/// What is in every worktree of a commit.
struct Contents {
    commit: Oid,
    settings: Settings,
    /// The repository's own, which agents can change.
    attributes: Attributes,
    listing: Arc<Listing>,
    /// Whether some of the files are for git to write.
    some_for_git: bool,
}

/// What is to be written in every worktree.
struct Plan<'a> {
    repo: &'a Repository,
    commit: &'a Oid,
    settings: &'a Settings,
    /// What is included depends on where the git directory is, or on its branch.
    settings_vary: bool,
    listing: &'a Arc<Listing>,
    some_for_git: bool,
}

impl<'a> Plan<'a> {
    fn make(repo: &'a Repository, contents: &'a Contents) -> Plan<'a> {
        let settings_vary = repo.config().is_none_or(|config| config.has_section("includeif"));
        let Contents { commit, settings, attributes: _, listing, some_for_git } = contents;
        Plan { repo, commit, settings, settings_vary, listing, some_for_git: *some_for_git }
    }

    fn write(&self, worktrees: &[Blank]) -> Vec<Outcome> {
        let targets = in_parallel(worktrees, |blank| self.target(blank).ok());
        let open: Vec<&Target> = targets.iter().flatten().collect();
        let mut written = write::write(self.repo, self.listing, &open).into_iter();
        let written = targets.into_iter().map(|target| {
            let written = target.as_ref().and_then(|_| written.next());
            target.zip(written)
        });
        in_parallel(worktrees.iter().zip(written.collect::<Vec<_>>()), |(blank, written)| {
            let Some((target, written)) = written else { return instead(blank) };
            let outcome = match target.into_trouble() {
                None => self.conclude(blank, written),
                Some(Trouble::ForGit) => by_git(blank),
                Some(Trouble::Failed(error)) => Err(error),
            }?;
            clean(blank).map(|()| outcome)
        })
    }

    /// The worktree, opened; an error means that it is git's.
    fn target(&self, blank: &Blank) -> Result<Target> {
        let tip = match head(&blank.admin_dir)? {
            Head::Branch(name) => branch_tip(self.repo, &name)?,
            Head::Detached(oid) => Some(oid),
        };
        if tip.as_ref() != Some(self.commit) {
            bail!("its branch has moved");
        }
        for name in ["index", "index.lock", "config.worktree"] {
            if blank.admin_dir.join(name).symlink_metadata().is_ok() {
                bail!("it has '{name}'");
            }
        }
        if self.settings_vary {
            let config = Config::list(Git::new().work_tree(&blank.path, &blank.admin_dir))?;
            if Settings::read(&config)? != *self.settings {
                bail!("other settings are in force in it");
            }
        }
        Target::open(&blank.path, blank.spare.as_deref(), self.listing)
    }

    /// Gives a worktree whose files are written its index, and what else `git reset --hard` leaves.
    fn conclude(&self, blank: &Blank, written: Written) -> Outcome {
        let Written { files, dirs } = written;
        let place = || format!("cannot write the index of {}", blank.path.display());
        let bytes = index::encode(self.listing, &files, self.settings).with_context(place)?;
        put(&blank.admin_dir, "index", &bytes).with_context(place)?;
        let hooks = ["reference-transaction", "post-index-change"];
        let hook = hooks.iter().any(|hook| may_run(self.repo, hook, &blank.path));
        if self.some_for_git || hook || self.note_reset(&blank.admin_dir).is_err() {
            // It writes what is missing or different: what is there is ours all the same.
            by_git(blank)?;
        }
        Ok(Some(Filled { listing: self.listing.clone(), files, dirs }))
    }

    /// `ORIG_HEAD` and the line in the reflog, as `git worktree add` leaves them.
    fn note_reset(&self, admin_dir: &Path) -> Result<()> {
        let committer = self.repo.committer().context("git does not know who commits")?;
        let tip = self.commit.as_str();
        let line = committer.reflog_line(tip, tip, "reset: moving to HEAD");
        let orig_head = format!("{}\n", self.commit).into_bytes();
        if fs::read(admin_dir.join("ORIG_HEAD")).ok().as_ref() != Some(&orig_head) {
            put(admin_dir, "ORIG_HEAD", &orig_head)?;
        }
        match File::options().append(true).open(admin_dir.join("logs/HEAD")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()), // none is kept
            log => Ok(log?.write_all(&line)?),
        }
    }
}

/// Writes a file of a git directory by way of its lock file. Who may read it is as for its HEAD, which
/// git has made.
fn put(admin_dir: &Path, name: &str, content: &[u8]) -> Result<()> {
    let (lock, path) = (admin_dir.join(format!("{name}.lock")), admin_dir.join(name));
    let cannot = || format!("cannot write {}", lock.display());
    let mut file = File::options().write(true).create_new(true).open(&lock).with_context(cannot)?;
    let written = (|| {
        file.write_all(content)?;
        let permissions = fs::metadata(admin_dir.join("HEAD"))?.permissions();
        if file.metadata()?.permissions() != permissions {
            file.set_permissions(permissions)?;
        }
        fs::rename(&lock, &path)
    })();
    if written.is_err() {
        // The error is what the user gets to see.
        let _ = fs::remove_file(&lock);
    }
    written.with_context(cannot)
}
