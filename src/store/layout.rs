//! Where things are: see `design.md`, "Where things are on disk".

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::error::{Failure, exit};
use crate::run::{Oid, RunId, TaskName};

use super::Passed;

/// `<git-common-dir>/parallel`.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The layout of the repository with this common git directory.
    pub fn new(common_dir: &Path) -> Self {
        Layout { dir: common_dir.join("parallel") }
    }

    /// The lock that a supervisor holds while it lives.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// Which trees passed which check.
    pub fn passed(&self) -> Passed {
        Passed::new(self.dir.join("passed"))
    }

    /// The parent of all records.
    pub fn runs(&self) -> PathBuf {
        self.dir.join("runs")
    }

    /// The record of one run.
    pub fn run(&self, id: &RunId) -> RunDir {
        RunDir { dir: self.runs().join(&id.0) }
    }

    /// Refuses a directory that is a symbolic link, not a directory, or someone else's: what we write
    /// must not end up in a place that another user chose.
    pub fn check(&self) -> Result<()> {
        for dir in [self.dir.clone(), self.runs()] {
            match dir.symlink_metadata() {
                Ok(found) => check_private(&dir, &found)?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e).with_context(|| format!("cannot look at {}", dir.display())),
            }
        }
        Ok(())
    }

    /// Makes the directories, for the owner alone whatever the umask.
    pub fn create(&self) -> Result<()> {
        self.check()?;
        for dir in [self.dir.clone(), self.runs()] {
            make_private_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        Ok(())
    }
}

fn check_private(dir: &Path, found: &Metadata) -> Result<()> {
    let why = if found.is_symlink() {
        "is a symbolic link"
    } else if !found.is_dir() {
        "is not a directory"
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else {
        return Ok(());
    };
    let message = format!("{} {why}", dir.display());
    Err(Failure::new(exit::REFUSED, message)
        .safe("Nothing was created or changed.")
        .hint("git parallel keeps its records there; move it away if it isn't yours to keep")
        .into())
}

/// Makes a directory for the owner alone; fine if it is there, and then tightened.
fn make_private_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let found = dir.symlink_metadata()?;
            if !found.is_dir() {
                return Err(io::Error::new(io::ErrorKind::NotADirectory, "something else is there"));
            }
        }
        Err(e) => return Err(e),
    }
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
}

/// `runs/<id>`: the record of one run.
#[derive(Clone, Debug)]
pub struct RunDir {
    dir: PathBuf,
}

impl RunDir {
    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What was asked.
    pub fn spec(&self) -> PathBuf {
        self.dir.join("run.json")
    }

    /// What happened.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal.jsonl")
    }

    /// The named pipe that the supervisor listens on for requests.
    pub fn control(&self) -> PathBuf {
        self.dir.join("control")
    }

    /// What the supervisor of a detached run prints.
    pub fn supervisor_log(&self) -> PathBuf {
        self.dir.join("supervisor.log")
    }

    /// What belongs to one task.
    pub fn task(&self, name: &TaskName) -> PathBuf {
        self.dir.join("tasks").join(&name.0)
    }

    /// What belongs to the resolver of a task's conflict.
    pub fn resolver(&self, name: &TaskName) -> PathBuf {
        self.task(name).join("resolver")
    }

    /// Makes that directory, for the owner alone.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn make_resolver_dir(&self, name: &TaskName) -> Result<PathBuf> {
        let dir = self.resolver(name);
        make_private_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// What belongs to the setup of a task's worktree.
    pub fn setup(&self, name: &TaskName) -> PathBuf {
        self.task(name).join("setup")
    }

    /// Makes that directory, for the owner alone.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn make_setup_dir(&self, name: &TaskName) -> Result<PathBuf> {
        let dir = self.setup(name);
        make_private_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// The parent of what belongs to checks.
    pub fn checks(&self) -> PathBuf {
        self.dir.join("verify")
    }

    /// What belongs to the check of a candidate.
    pub fn check_of(&self, candidate: &Oid) -> PathBuf {
        self.checks().join(candidate.as_str())
    }

    /// Makes the directory of a candidate's check, for the owner alone.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn make_check_dir(&self, candidate: &Oid) -> Result<PathBuf> {
        let dir = self.check_of(candidate);
        for dir in [self.checks(), dir.clone()] {
            make_private_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        Ok(dir)
    }

    /// A task's log.
    pub fn log(&self, name: &TaskName) -> PathBuf {
        self.task(name).join("output.log")
    }

    /// A task's prompt.
    pub fn prompt(&self, name: &TaskName) -> PathBuf {
        self.task(name).join("prompt.md")
    }

    /// Where branches and tags were before the task's agent was started.
    pub fn refs(&self, name: &TaskName) -> PathBuf {
        self.task(name).join("refs")
    }

    /// The branches and tags that [`RunDir::refs`] speaks of: one file for all tasks that saw the same.
    pub fn refs_seen(&self, which: &str) -> PathBuf {
        self.dir.join(format!("refs-{which}"))
    }

    /// Which ignored files the task's worktree had before its agent came.
    pub fn ignored(&self, name: &TaskName) -> PathBuf {
        self.task(name).join("ignored.json")
    }

    /// Makes the directory of a task.
    pub fn create_task(&self, name: &TaskName) -> io::Result<PathBuf> {
        let dir = self.task(name);
        let mut path = self.dir.join("tasks");
        make_private_dir(&path)?;
        for part in name.0.split('/') {
            path.push(part);
            make_private_dir(&path)?;
        }
        Ok(dir)
    }

    /// The records of commands from the configuration that were run, in no order.
    pub fn commands(&self) -> Vec<PathBuf> {
        entries(&self.dir.join("commands"))
    }

    /// Makes the directory of one more command.
    pub fn new_command(&self) -> io::Result<PathBuf> {
        make_next(&self.dir.join("commands"))
    }

    /// The records of hooks that were run, in no order.
    pub fn hooks(&self) -> Vec<PathBuf> {
        entries(&self.dir.join("hooks"))
    }

    /// Makes the directory of one more hook.
    pub fn new_hook(&self) -> io::Result<PathBuf> {
        make_next(&self.dir.join("hooks"))
    }

    pub(super) fn create(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.dir)?;
        std::fs::set_permissions(&self.dir, std::fs::Permissions::from_mode(0o700))
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Makes the first directory in `all`, of those with numbers for their names, that is not there yet.
fn make_next(all: &Path) -> io::Result<PathBuf> {
    make_private_dir(all)?;
    for number in 1u32.. {
        match DirBuilder::new().mode(0o700).create(all.join(number.to_string())) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| all.join(number.to_string())),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_private_whatever_the_umask() {
        let tmp = tempfile::tempdir().unwrap();
        let layout = Layout::new(tmp.path());
        layout.create().unwrap();
        layout.create().unwrap();
        let task = "a/b".into();
        let run = layout.run(&RunId("r".into()));
        run.create().unwrap();
        run.create_task(&task).unwrap();
        for dir in [layout.dir.as_path(), run.dir(), &run.task(&task), &run.dir().join("tasks/a")] {
            assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700, "{}", dir.display());
        }
    }

    #[test]
    fn a_symbolic_link_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::create_dir(tmp.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", tmp.path().join("parallel")).unwrap();
        let layout = Layout::new(tmp.path());
        assert!(layout.create().is_err());
        assert_eq!(std::fs::read_dir(tmp.path().join("elsewhere")).unwrap().count(), 0);
    }
}
