//! Where things are on a host, all of it for its owner alone:
//!
//! ```text
//! <root>/<repository>/mirror.git          objects that supervisors sent; a cache
//! <root>/<repository>/jobs/<token>/       one attempt of a task
//!     git  worktree/<task>                its repository, which borrows the mirror's objects, and its files
//!     record                              what its shim writes
//!     order.json                          all of this is made
//! ```

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::super::words::{Order, Progress};
use crate::git::Git;
use crate::run::{Oid, Text};
use crate::shim;

/// How long another connection for the same job may still be busy with it.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
/// How long a shim lives that has nothing left to do.
const LAST_MOMENT: Duration = Duration::from_secs(10);

/// What the mirror keeps for later.
pub(super) const CACHED: &str = "refs/parallel/cached";

/// Where everything goes.
#[derive(Clone, Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    /// Where it was said, below the home directory; or else where caches go.
    pub(super) fn find(said: Option<&Text>) -> Result<Root> {
        let home = || {
            let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
            home.map(PathBuf::from).context("HOME is not set")
        };
        let dir = match said {
            Some(dir) => {
                let path = dir.as_path();
                let below = path.strip_prefix("~").unwrap_or(path);
                if below.is_absolute() { below.to_owned() } else { home()?.join(below) }
            }
            None => {
                let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
                let cache = cache.filter(|path| path.is_absolute());
                cache.map_or_else(|| home().map(|home| home.join(".cache")), Ok)?.join("git-parallel")
            }
        };
        make_private(&dir)?;
        Ok(Root(dir.canonicalize().with_context(|| format!("cannot look at {}", dir.display()))?))
    }
}

/// The place of a job.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// What belongs to the repository.
    pub(super) repository: PathBuf,
    pub(super) mirror: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) token: String,
    task: PathBuf,
    format: String,
}

/// Held by whoever changes a job.
pub(super) struct Held(#[expect(dead_code, reason = "a lock")] File);

impl Job {
    /// The place; its mirror is there after this.
    pub(super) fn open(root: &Root, repository: &str, format: &str, token: &str, task: &str) -> Result<Job> {
        for name in [repository, token] {
            if !is_one_name(Path::new(name)) {
                bail!("'{}' is no name for a directory", name.escape_debug());
            }
        }
        if !is_below(Path::new(task)) {
            bail!("'{}' is no path for a worktree", task.escape_debug());
        }
        let repository = root.0.join(repository);
        let job = Job {
            mirror: repository.join("mirror.git"),
            dir: repository.join("jobs").join(token),
            token: token.to_owned(),
            task: task.into(),
            format: format.to_owned(),
            repository,
        };
        make_private(&job.repository)?;
        let _held = hold(&job.repository)?;
        if !job.mirror.join("HEAD").exists() {
            job.init(&job.mirror, &["--bare"])?;
        }
        Ok(job)
    }

    /// Makes a repository, without anything that the user's templates have.
    pub(super) fn init(&self, path: &Path, more: &[&str]) -> Result<()> {
        let git = Git::new().in_dir(&self.repository).args(["init", "-q", "--template="]);
        let git = git.arg(format!("--object-format={}", self.format)).args(more);
        git.arg("--").arg(path).ok().map(drop)
    }

    /// Its own repository.
    pub(super) fn git_dir(&self) -> PathBuf {
        self.dir.join("git")
    }

    /// Its files.
    pub(super) fn worktree(&self) -> PathBuf {
        self.dir.join("worktree").join(&self.task)
    }

    /// What its shim writes.
    pub(super) fn record(&self) -> PathBuf {
        self.dir.join("record")
    }

    /// What the worktree's `.git` file says.
    pub(super) fn git_file(&self) -> Text {
        let line = [b"gitdir: ", self.git_dir().as_os_str().as_encoded_bytes(), b"\n"].concat();
        Text::from(line.as_slice())
    }

    pub(super) fn order_file(&self) -> PathBuf {
        self.dir.join("order.json")
    }

    /// What was ordered, if all of it is made.
    pub(super) fn order(&self) -> Result<Option<Order>> {
        match fs::read(self.order_file()) {
            Ok(json) => Ok(Some(serde_json::from_slice(&json).context("the job's order makes no sense")?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).context("cannot read the job's order"),
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Result<Progress> {
        let Some(order) = self.order()? else { return Ok(Progress::New) };
        let record = self.record();
        let claimed = shim::signs(&record, order.attempt).is_ok_and(|signs| signs.claimed);
        let started = claimed || shim::is_alive(&record).unwrap_or(false);
        Ok(if started { Progress::Started } else { Progress::Made })
    }

    /// What the mirror has.
    pub(super) fn had(&self) -> Result<Vec<Oid>> {
        let refs = Git::new().git_dir(&self.mirror).args(["for-each-ref", "--format=%(objectname)"]).ok()?;
        let refs = String::from_utf8_lossy(&refs).into_owned();
        let mut had: Vec<Oid> = refs.lines().filter_map(|id| Oid::try_from(id).ok()).collect();
        had.sort_unstable();
        had.dedup();
        Ok(had)
    }

    /// The ref of the mirror that keeps its base.
    pub(super) fn pin(&self) -> String {
        format!("refs/parallel/jobs/{}", self.token)
    }

    /// Waits for the end of its shim, which has written down how its agent ended.
    ///
    /// # Errors
    /// If it does not end.
    pub(super) fn await_end(&self) -> Result<()> {
        let begin = Instant::now();
        while shim::is_alive(&self.record()).unwrap_or(false) {
            if begin.elapsed() > LAST_MOMENT {
                bail!("its agent is still at work");
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits until no other connection is busy with it.
    pub(super) fn hold(&self) -> Result<Held> {
        make_private(&self.dir)?;
        hold(&self.dir)
    }
}

fn hold(dir: &Path) -> Result<Held> {
    let cannot = || format!("cannot lock {}", dir.display());
    let file = File::open(dir).with_context(cannot)?;
    let begin = Instant::now();
    loop {
        match fs2::FileExt::try_lock_exclusive(&file) {
            Ok(()) => return Ok(Held(file)),
            Err(e) if e.raw_os_error() != fs2::lock_contended_error().raw_os_error() => {
                return Err(e).with_context(cannot);
            }
            Err(_) if begin.elapsed() > PATIENCE => bail!("another connection is busy in {}", dir.display()),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Makes a directory, and those above it that are not there, for the owner alone.
pub(super) fn make_private(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot create {}", dir.display()))?;
    let tight = fs::Permissions::from_mode(0o700);
    fs::set_permissions(dir, tight).with_context(|| format!("cannot change {}", dir.display()))
}

fn is_one_name(path: &Path) -> bool {
    is_below(path) && path.components().count() == 1
}

/// Whether the path can't lead out of where it begins.
pub(super) fn is_below(path: &Path) -> bool {
    let mut parts = path.components();
    !path.as_os_str().is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}
