//! A shim that works on another machine than its supervisor. Pipes, FIFOs and locks end where a machine ends; files
//! of a shared file system do not:
//!
//! - `claim-<attempt>` is made once, by whoever comes first: the shim that is to run the attempt, or the supervisor
//!   that calls it off. So nothing runs twice, however often a scheduler starts the job.
//! - `beat` tells where the agent runs, and changes while the shim lives.
//! - `stop` is how the shim is asked to end its agent.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::control::Request;
use super::files::read_private;
use super::{ShimSpec, exit_record};
use crate::run::{Exit, Stop, Text};

/// How often a shim looks whether it is asked to stop.
const LOOK: Duration = Duration::from_secs(1);
/// The most that is read of any of these files.
const MAX: u64 = 4 << 10;

/// What a shim has to know beside its spec if it works far away.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Far {
    /// The name of its job.
    pub token: String,
    /// How often its heart beats, in milliseconds.
    pub beat_ms: u64,
    /// What the file `.git` says in the directory that the agent is to run in: another directory of that name, on a
    /// machine that does not share it, says something else.
    pub git_file: Option<Text>,
}

/// Whose an attempt is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Claim {
    /// The job; `None` if it was called off.
    token: Option<String>,
    /// The machine that it was claimed on.
    host: String,
}

/// A sign of life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Beat {
    /// The attempt.
    pub attempt: u32,
    /// The machine.
    pub host: String,
    /// The agent's process id there.
    pub pid: u32,
    /// Changes each time.
    pub count: u64,
}

/// What the files of an attempt tell.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Signs {
    /// A job took the attempt up.
    pub claimed: bool,
    /// Its latest sign of life.
    pub beat: Option<Beat>,
    /// How long the log is, of all attempts.
    pub log: u64,
    /// How it ended.
    pub exit: Option<Exit>,
}

/// Reads what there is of an attempt.
pub fn signs(dir: &Path, attempt: u32) -> io::Result<Signs> {
    // On a network file system, opening a directory is what makes new names in it be seen.
    drop(File::open(dir)?);
    let beat: Option<Beat> = read(&dir.join("beat"))?;
    let claim: Option<Claim> = read(&claim_of(dir, attempt))?;
    let log = fs::metadata(dir.join("output.log")).map_or(0, |meta| meta.len());
    Ok(Signs {
        claimed: claim.is_some_and(|claim| claim.token.is_some()),
        beat: beat.filter(|beat| beat.attempt == attempt),
        log,
        exit: exit_record(dir, attempt)?,
    })
}

/// Calls an attempt off that no job has taken up yet: none will any more. Returns whether that was so.
pub fn call_off(dir: &Path, attempt: u32) -> io::Result<bool> {
    let own = Claim { token: None, host: host() };
    if take(dir, attempt, &own)? {
        return Ok(true);
    }
    let there: Option<Claim> = read(&claim_of(dir, attempt))?;
    Ok(there.is_some_and(|claim| claim.token.is_none()))
}

/// Whether the shim of an attempt gave a sign of life not long ago. For who only watches: clocks of machines differ.
pub fn seems_alive(dir: &Path, attempt: u32) -> bool {
    const RECENT: Duration = Duration::from_secs(60);
    let age = || fs::metadata(dir.join("beat")).ok()?.modified().ok()?.elapsed().ok();
    let works = signs(dir, attempt).is_ok_and(|signs| signs.exit.is_none() && signs.beat.is_some());
    works && age().is_none_or(|age| age < RECENT)
}

/// The first attempt after those that are somebody's.
pub fn next_claim(dir: &Path) -> u32 {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let number = |name: std::ffi::OsString| name.to_str()?.strip_prefix("claim-")?.parse::<u32>().ok();
    names.filter_map(number).max().map_or(1, |last| last.saturating_add(1))
}

/// Asks the shim of an attempt to end its agent.
pub fn ask_to_stop(dir: &Path, attempt: u32, stop: Stop) -> io::Result<()> {
    let word = match stop {
        Stop::Term => "term",
        Stop::Kill => "kill",
    };
    replace(&dir.join("stop"), format!("{attempt} {word}\n").as_bytes())
}

/// Writes a sign of life down that came another way.
///
/// # Errors
/// If it can't be written.
pub fn pass_beat(dir: &Path, beat: &Beat) -> io::Result<()> {
    replace(&dir.join("beat"), &serde_json::to_vec(beat)?)
}

/// Writes a shim's spec where it can read it, and returns the file.
pub fn write_spec(spec: &ShimSpec) -> io::Result<PathBuf> {
    let path = spec.dir.as_path().join(format!("spec-{}.json", spec.attempt));
    replace(&path, &serde_json::to_vec(spec)?)?;
    Ok(path)
}

/// Takes the attempt up, in a shim; false if somebody has before.
pub(super) fn claim(spec: &ShimSpec, far: &Far) -> io::Result<bool> {
    take(spec.dir.as_path(), spec.attempt, &Claim { token: Some(far.token.clone()), host: host() })
}

/// Says what is wrong with the directory that the agent is to run in.
pub(super) fn check_worktree(spec: &ShimSpec, far: &Far) -> Result<(), String> {
    let Some(expected) = &far.git_file else { return Ok(()) };
    let found = fs::read(spec.cwd.as_path().join(".git")).ok();
    if found.as_deref() == Some(expected.as_bstr().as_ref()) {
        return Ok(());
    }
    let (cwd, host) = (&spec.cwd, host());
    Err(format!(
        "'{cwd}' on {host} is not the worktree that was made for the task; is the file system shared?"
    ))
}

/// One file, made by linking a whole one to its name: over a network, that says for certain who was first.
fn take(dir: &Path, attempt: u32, claim: &Claim) -> io::Result<bool> {
    let path = claim_of(dir, attempt);
    let own = dir.join(format!("claim.{}.{}", claim.host.replace('/', "_"), std::process::id()));
    let _ = fs::remove_file(&own);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own)?;
    file.write_all(&serde_json::to_vec(claim)?)?;
    file.sync_all()?;
    let linked = match fs::hard_link(&own, &path) {
        // Not every file system has links; a directory can be made but once as well, which all of them have.
        Err(error) if has_no_links(&error) => {
            fs::create_dir(path.with_extension("dir")).and_then(|()| fs::rename(&own, &path))
        }
        linked => linked,
    };
    // The answer to the link may have been lost on its way, and the link be there.
    let first = linked.is_ok() || file.metadata().is_ok_and(|meta| meta.nlink() == 2);
    let _ = fs::remove_file(&own);
    match linked {
        Err(error) if !first && error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(first),
    }
}

fn has_no_links(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errors = [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS, Errno::MLINK];
    errors.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether a later attempt was taken up: this one was given up, and what it does is not wanted any more.
pub(super) fn is_superseded(dir: &Path, attempt: u32) -> bool {
    drop(File::open(dir));
    claim_of(dir, attempt.saturating_add(1)).symlink_metadata().is_ok()
}

fn claim_of(dir: &Path, attempt: u32) -> PathBuf {
    dir.join(format!("claim-{attempt}"))
}

/// A file of ours; `None` if it isn't there or makes no sense (yet).
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<Option<T>> {
    let Some(file) = read_private(path)? else { return Ok(None) };
    let mut text = Vec::new();
    file.take(MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

/// Replaces a file as a whole. Of one writer alone.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    fs::rename(&new, path)
}

/// The name of this machine, as Slurm has it where there are several on one.
fn host() -> String {
    let known = std::env::var("SLURMD_NODENAME").ok().filter(|name| !name.is_empty());
    known.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// A shim's heart, which also listens.
pub(super) struct Heart {
    dir: PathBuf,
    attempt: u32,
    beat: Beat,
    period: Duration,
    next_beat: Instant,
    next_look: Instant,
    asked: Option<Stop>,
}

impl Heart {
    /// The first beat tells of the agent.
    pub(super) fn start(spec: &ShimSpec, far: &Far, pid: u32) -> Heart {
        let now = Instant::now();
        let mut heart = Heart {
            dir: spec.dir.as_path().to_owned(),
            attempt: spec.attempt,
            beat: Beat { attempt: spec.attempt, host: host(), pid, count: 0 },
            period: Duration::from_millis(far.beat_ms.max(1)),
            next_beat: now,
            next_look: now + LOOK,
            asked: None,
        };
        heart.beat(now);
        heart
    }

    /// Beats, and looks whether somebody asks for the agent's end. Nothing is lost if the future is dropped.
    pub(super) async fn live(&mut self) -> Request {
        loop {
            sleep_until(self.next_beat.min(self.next_look)).await;
            let now = Instant::now();
            if now >= self.next_beat {
                self.beat(now);
            }
            if now >= self.next_look {
                self.next_look = now + LOOK;
                if let Some(stop) = self.look() {
                    return Request::Stop(stop);
                }
            }
        }
    }

    fn beat(&mut self, now: Instant) {
        self.beat.count += 1;
        self.next_beat = now + self.period;
        // One that can't be written is missed; the next may be seen.
        if let Ok(json) = serde_json::to_vec(&self.beat) {
            let _ = replace(&self.dir.join("beat"), &json);
        }
    }

    /// What is asked for now and was not before.
    fn look(&mut self) -> Option<Stop> {
        let stop = match is_superseded(&self.dir, self.attempt) {
            true => Stop::Kill,
            false => self.asked_for()?,
        };
        (self.asked < Some(stop)).then(|| *self.asked.insert(stop))
    }

    fn asked_for(&self) -> Option<Stop> {
        let mut text = String::new();
        read_private(&self.dir.join("stop")).ok()??.take(MAX).read_to_string(&mut text).ok()?;
        let (attempt, word) = text.trim_end().split_once(' ')?;
        let stop = match word {
            "term" => Stop::Term,
            "kill" => Stop::Kill,
            _ => return None,
        };
        (attempt.parse() == Ok(self.attempt)).then_some(stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(dir: &Path, token: &str) -> (ShimSpec, Far) {
        let far = Far { token: token.to_owned(), beat_ms: 1, git_file: Some("gitdir: /x\n".into()) };
        let spec = ShimSpec {
            dir: dir.into(),
            attempt: 2,
            argv: Vec::new(),
            cwd: dir.into(),
            env: Vec::new(),
            scrub: Vec::new(),
            timeout_ms: None,
            grace_ms: 1,
            log_cap: 1,
            open_files: None,
            far: Some(far.clone()),
        };
        (spec, far)
    }

    #[test]
    fn an_attempt_is_one_job_s_or_called_off() {
        let dir = tempfile::tempdir().unwrap();
        let (spec, far) = spec(dir.path(), "one");
        assert!(claim(&spec, &far).unwrap());
        assert!(!claim(&spec, &far).unwrap(), "the same job, started again");
        assert!(!call_off(dir.path(), 2).unwrap() && signs(dir.path(), 2).unwrap().claimed);
        assert_eq!(next_claim(dir.path()), 3);
        assert!(call_off(dir.path(), 3).unwrap() && call_off(dir.path(), 3).unwrap());
        let late = ShimSpec { attempt: 3, ..spec };
        assert!(!claim(&late, &far).unwrap() && !signs(dir.path(), 3).unwrap().claimed);
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn of_many_who_claim_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let claim = |n: u32| Claim { token: Some(n.to_string()), host: format!("h{n}") };
        let first: u32 = std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..8).map(|n| scope.spawn(move || take(path, 1, &claim(n)).unwrap())).collect();
            all.into_iter().map(|thread| u32::from(thread.join().unwrap())).sum()
        });
        assert_eq!(first, 1);
    }

    #[test]
    fn a_worktree_of_the_same_name_elsewhere_is_told_from_the_right_one() {
        let dir = tempfile::tempdir().unwrap();
        let (spec, far) = spec(dir.path(), "one");
        assert!(check_worktree(&spec, &far).unwrap_err().contains("is not the worktree"));
        fs::write(dir.path().join(".git"), "gitdir: /y\n").unwrap();
        assert!(check_worktree(&spec, &far).is_err());
        fs::write(dir.path().join(".git"), "gitdir: /x\n").unwrap();
        assert_eq!(check_worktree(&spec, &far), Ok(()));
    }

    #[test]
    fn a_heart_beats_and_listens() {
        let dir = tempfile::tempdir().unwrap();
        let (spec, far) = spec(dir.path(), "one");
        let mut heart = Heart::start(&spec, &far, 7);
        let first = signs(dir.path(), 2).unwrap().beat.unwrap();
        assert_eq!((first.pid, first.count), (7, 1));
        ask_to_stop(dir.path(), 1, Stop::Kill).unwrap();
        assert_eq!(heart.look(), None, "another attempt is meant");
        ask_to_stop(dir.path(), 2, Stop::Term).unwrap();
        assert_eq!(heart.look(), Some(Stop::Term));
        assert_eq!(heart.look(), None, "once is enough");
        ask_to_stop(dir.path(), 2, Stop::Kill).unwrap();
        assert_eq!(heart.look(), Some(Stop::Kill));
        heart.beat(Instant::now());
        assert!(signs(dir.path(), 2).unwrap().beat.unwrap().count > first.count);
        let mut heart = Heart::start(&spec, &far, 7);
        heart.asked = Some(Stop::Term);
        fs::remove_file(dir.path().join("stop")).unwrap();
        assert_eq!(heart.look(), None);
        assert!(call_off(dir.path(), 3).unwrap());
        assert_eq!(heart.look(), Some(Stop::Kill), "a later attempt is under way");
        assert!(signs(dir.path(), 1).unwrap().beat.is_none());
    }
}
