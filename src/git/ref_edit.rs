//! Writing the refs that are ours alone in this process, without starting git for each.
//!
//! Only the plain case is done here: what git would do just so, and what succeeds. Wherever git has a hook
//! to run, another ref to look after, or a reason to refuse, nothing is done, and the caller asks git:
//! then it is git that waits for locks, and git that finds the words.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bstr::ByteSlice;
use gix::lock::{Marker, acquire::Fail};
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};
use gix::refs::{FullName, Target, store::WriteReflog};

use super::Repository;
use super::hooks::may_run;
use super::refs::{Expect, Head, head};
use crate::run::{Oid, Text};

/// How long another's lock is waited for before git is asked, which waits longer.
const PATIENCE: Fail = Fail::AfterDurationWithBackoff(Duration::from_millis(100));

/// Whoever takes the lock of the packed refs has this alone: gix does so for all refs where any are packed.
static TURN: RwLock<()> = RwLock::new(());

/// What shall become of a ref.
#[derive(Clone, Copy)]
pub(super) enum Edit<'a> {
    /// It shall be at this commit.
    Set {
        /// The commit.
        new: &'a Oid,
        /// What it must be now.
        expect: Expect<'a>,
        /// For its reflog.
        message: &'a str,
    },
    /// It shall go, if it is at this commit.
    Delete(&'a Oid),
}

/// Writes a ref, durably, as `git update-ref --no-deref` would. `false`: nothing was done, ask git.
pub(super) fn write(repo: &Repository, name: &Text, edit: Edit<'_>) -> bool {
    // git would note it in the reflog of HEAD, too.
    let is_free = head(&repo.common_dir).is_ok_and(|head| head != Head::Branch(name.clone()));
    is_ours(name) && !has_hook(repo) && is_free && try_write(repo, name, edit).is_ok()
}

/// Moves a branch, durably, as a `git update-ref` in `git_dir` would, whose HEAD may be on it. `false`: it has
/// not moved, ask git.
pub(super) fn advance(
    repo: &Repository,
    git_dir: &Path,
    name: &Text,
    (old, new): (&Oid, &Oid),
    message: &str,
) -> bool {
    is_ours(name) && !has_hook(repo) && try_advance(repo, git_dir, name, (old, new), message).is_ok()
}

fn try_advance(
    repo: &Repository,
    git_dir: &Path,
    name: &Text,
    (old, new): (&Oid, &Oid),
    message: &str,
) -> Result<()> {
    let edit = Edit::Set { new, expect: Expect::Is(old), message };
    let is_on_it = || Ok::<bool, anyhow::Error>(head(git_dir)? == Head::Branch(name.clone()));
    if !is_on_it()? {
        return try_write(repo, name, edit);
    }
    // As git does it: nobody moves HEAD away meanwhile.
    let _lock = Marker::acquire_to_hold_resource(git_dir.join("HEAD"), PATIENCE, None, 0)?;
    let log = git_dir.join("logs/HEAD");
    let mut log = match reflogs(repo)? {
        WriteReflog::Disable => None,
        // Where there is none yet, git makes it.
        _ => Some(File::options().append(true).open(log)?),
    };
    let committer = repo.committer().context("git does not know who commits")?;
    if !is_on_it()? {
        bail!("HEAD has moved");
    }
    try_write(repo, name, edit)?;
    if let Some(log) = &mut log {
        end_last_line(&git_dir.join("logs/HEAD"));
        // The ref has moved, whatever becomes of this.
        let _ = log.write_all(&committer.reflog_line(old.as_str(), new.as_str(), message));
    }
    Ok(())
}

fn is_ours(name: &Text) -> bool {
    ["refs/heads/", "refs/parallel/"].iter().any(|prefix| name.as_bstr().starts_with(prefix.as_bytes()))
}

/// Whether git would run a hook.
fn has_hook(repo: &Repository) -> bool {
    let places = [Some(&repo.common_dir), repo.main_worktree.as_ref(), repo.workdir.as_ref()];
    places.iter().flatten().any(|place| may_run(repo, "reference-transaction", place))
}

fn try_write(repo: &Repository, name: &Text, edit: Edit<'_>) -> Result<()> {
    if repo.config().is_none_or(|config| config.string("core.sharedrepository").is_some()) {
        bail!("who may read and write the file is git's to say");
    }
    if repo.common_dir.join(name.as_path()).is_dir() {
        bail!("{name} is a folder of other refs, or was one");
    }
    // Our own threads need not find each other's locks, and wait for them a while too long.
    let _turn;
    let _alone;
    match edit {
        Edit::Set { .. } if !repo.common_dir.join("packed-refs").exists() => {
            _turn = TURN.read().unwrap_or_else(PoisonError::into_inner);
        }
        _ => _alone = TURN.write().unwrap_or_else(PoisonError::into_inner),
    }
    match edit {
        Edit::Set { new, expect, message } => try_set(repo, name, new, expect, message),
        Edit::Delete(old) => try_delete(repo, name, old),
    }
}

fn try_set(repo: &Repository, name: &Text, new: &Oid, expect: Expect<'_>, message: &str) -> Result<()> {
    let mut gix = repo.gix();
    gix.refs.write_reflog = reflogs(repo)?;
    let is_log = repo.common_dir.join("logs").join(name.as_path()).is_file();
    check_new(&gix, name, new)?;
    let logged = match gix.refs.write_reflog {
        WriteReflog::Disable if is_log => bail!("git goes on with a reflog that is there"),
        WriteReflog::Disable => false,
        WriteReflog::Normal => is_log || name.as_bstr().starts_with(b"refs/heads/"),
        WriteReflog::Always => true,
    };
    let change = set(new, expect, message)?;
    let change = RefEdit { change, name: FullName::try_from(name.as_bstr().to_owned())?, deref: false };
    let prepared = gix.refs.transaction().prepare([change], PATIENCE, PATIENCE)?;
    sync_new_value(repo, name)?;
    if logged {
        end_last_line(&repo.common_dir.join("logs").join(name.as_path()));
    }
    let done = match logged {
        true => {
            repo.committer().context("git does not know who commits")?.sign(|who| prepared.commit(who))?
        }
        false => prepared.commit(None)?,
    };
    let was_there = done.iter().any(|edit| edit.change.previous_value().is_some());
    if was_there && matches!(expect, Expect::MustNotExist) {
        bail!("it is there already"); // gix lets that pass, and writes nothing, if it is at the same commit
    }
    Ok(())
}

/// Holds both locks, as git does: a `git pack-refs` at work meanwhile would bring the ref back from what it has
/// read. gix would wait for a lock on the packed refs that is ours already, and takes none where there are none.
fn try_delete(repo: &Repository, name: &Text, old: &Oid) -> Result<()> {
    let path = repo.common_dir.join(name.as_path());
    let loose = Marker::acquire_to_hold_resource(&path, PATIENCE, None, 0)?;
    let packed = Marker::acquire_to_hold_resource(repo.common_dir.join("packed-refs"), PATIENCE, None, 0)?;
    if let Some(packed) = repo.gix().refs.open_packed_buffer()?
        && packed.try_find(name.as_bstr())?.is_some()
    {
        bail!("the packed refs are git's to write");
    }
    if !path.symlink_metadata()?.is_file() || fs::read(&path)?.trim_ascii_end() != old.as_str().as_bytes() {
        bail!("it is somewhere else");
    }
    let log = repo.common_dir.join("logs").join(name.as_path());
    match fs::remove_file(&log) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => fs::remove_file(&path)?,
    }
    drop((packed, loose));
    for file in [path, log] {
        let folders = file
            .ancestors()
            .skip(1)
            .take_while(|folder| !["refs", "refs/heads"].iter().any(|end| folder.ends_with(end)));
        // One that still has something in it stays, and with it all above.
        let _ = folders.map(fs::remove_dir).try_for_each(|removed| removed);
    }
    Ok(())
}

fn set(new: &Oid, expect: Expect<'_>, message: &str) -> Result<Change> {
    let expected = match expect {
        Expect::Any => PreviousValue::Any,
        Expect::MustNotExist => PreviousValue::MustNotExist,
        Expect::Is(old) => PreviousValue::MustExistAndMatch(Target::Object(Repository::gix_id(old)?)),
    };
    let log = LogChange { mode: RefLog::AndReference, force_create_reflog: false, message: message.into() };
    Ok(Change::Update { log, expected, new: Target::Object(Repository::gix_id(new)?) })
}

/// Who died while writing a reflog left half a line, and the next one must not be glued to it. git skips such a line.
fn end_last_line(log: &Path) {
    let Ok(mut log) = File::options().read(true).append(true).open(log) else { return };
    let mut last = [b'\n'];
    let read = log.seek(SeekFrom::End(-1)).and_then(|_| log.read_exact(&mut last));
    if read.is_ok() && last != [b'\n'] {
        // Best effort, as all of a reflog is.
        let _ = log.write_all(b"\n");
    }
}

/// Which refs have reflogs, by `core.logAllRefUpdates`.
fn reflogs(repo: &Repository) -> Result<WriteReflog> {
    const KEY: &str = "core.logallrefupdates";
    let config = repo.config().context("the configuration can't be read")?;
    if config.string(KEY).is_some_and(|value| value.as_bstr().eq_ignore_ascii_case(b"always")) {
        return Ok(WriteReflog::Always);
    }
    let normal = config.bool(KEY)?.unwrap_or(!repo.bare);
    Ok(if normal { WriteReflog::Normal } else { WriteReflog::Disable })
}

/// What gix does not look at: a branch is at a commit that is there, and no ref may be a folder of
/// another one, packed ones included.
fn check_new(gix: &gix::Repository, name: &Text, new: &Oid) -> Result<()> {
    if gix.find_header(Repository::gix_id(new)?)?.kind() != gix::objs::Kind::Commit {
        bail!("{new} is no commit");
    }
    let Some(packed) = gix.refs.cached_packed_buffer()? else { return Ok(()) };
    let name = name.as_bstr();
    for (end, _) in name.iter().enumerate().filter(|(_, byte)| **byte == b'/').skip(2) {
        if packed.try_find(name[..end].as_bstr())?.is_some() {
            bail!("{} is there already", name[..end].as_bstr());
        }
    }
    let below = [name.as_bytes(), b"/"].concat();
    if packed.iter_prefixed(below.into())?.next().is_some() {
        bail!("{name} is a folder of other refs");
    }
    Ok(())
}

/// gix does not sync refs. It has written the new value to the lock file by now, if there is one to write.
fn sync_new_value(repo: &Repository, name: &Text) -> Result<()> {
    let mut lock = repo.common_dir.join(name.as_path()).into_os_string();
    lock.push(".lock");
    match File::open(&lock) {
        Ok(file) => file.sync_all().context("cannot sync a ref"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context("cannot read a ref's lock"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;
    use crate::git::{branch_tip, delete_ref, set_ref};
    use std::os::unix::fs::PermissionsExt;

    const TOPIC: &str = "refs/heads/feature/topic";
    const PIN: &str = "refs/parallel/run/task/tip";

    fn create(repo: &Repository, name: &str, new: &Oid) -> bool {
        write(repo, &name.into(), Edit::Set { new, expect: Expect::MustNotExist, message: "made" })
    }

    fn update(repo: &Repository, name: &str, old: &Oid, new: &Oid) -> bool {
        write(repo, &name.into(), Edit::Set { new, expect: Expect::Is(old), message: "moved" })
    }

    fn delete(repo: &Repository, name: &str, old: &Oid) -> bool {
        write(repo, &name.into(), Edit::Delete(old))
    }

    #[test]
    fn files_and_reflogs_are_those_that_git_writes() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let (first, second) = (sandbox.oid("HEAD"), sandbox.commit("second"));
        for (name, other) in [(TOPIC, "refs/heads/feature/gits"), (PIN, "refs/parallel/run/task/gits")] {
            assert!(create(&repo, name, &first) && update(&repo, name, &first, &second));
            sandbox.git(&["update-ref", "-m", "made", other, first.as_str(), ""]);
            sandbox.git(&["update-ref", "-m", "moved", other, second.as_str(), first.as_str()]);
            let both = |prefix: &str| [name, other].map(|name| repo.common_dir.join(prefix).join(name));
            let [ours, gits] = both("");
            assert_eq!(fs::read(&ours).unwrap(), fs::read(&gits).unwrap());
            let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode();
            assert_eq!(mode(&ours), mode(&gits));
            let [ours, gits] = both("logs").map(|log| fs::read_to_string(log).ok());
            assert_eq!(ours.is_some(), gits.is_some(), "{name}");
            // But for the time, which is a fixed one for git in these tests.
            let words = |log: String| -> Vec<String> {
                let line = |line: &str| {
                    let (who, rest) = line.split_once("> ").unwrap();
                    format!("{who}> {}", rest.split_once('\t').unwrap().1)
                };
                log.lines().map(line).collect()
            };
            assert_eq!(ours.map(words), gits.map(words));
        }
        assert_eq!(sandbox.git(&["log", "-g", "--format=%gs", TOPIC]), "moved\nmade");
        assert!(delete(&repo, TOPIC, &second) && delete(&repo, PIN, &second));
        assert!(!repo.common_dir.join("logs").join(TOPIC).exists());
        sandbox.fsck();
    }

    #[test]
    fn nothing_is_written_unless_the_ref_is_what_it_should_be() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let (first, second) = (sandbox.oid("HEAD"), sandbox.commit("second"));
        assert!(!update(&repo, TOPIC, &first, &second) && !delete(&repo, TOPIC, &first));
        assert!(create(&repo, TOPIC, &first));
        for new in [&first, &second] {
            assert!(!create(&repo, TOPIC, new));
            assert!(set_ref(&repo, &TOPIC.into(), new, Expect::MustNotExist, "m").is_err());
        }
        assert!(!update(&repo, TOPIC, &second, &first) && !delete(&repo, TOPIC, &second));
        assert_eq!(branch_tip(&repo, &TOPIC.into()).unwrap(), Some(first.clone()));
        let tree: Oid = sandbox.rev("HEAD^{tree}").try_into().unwrap();
        let missing: Oid = "1234567890".repeat(4).try_into().unwrap();
        assert!(!update(&repo, TOPIC, &first, &tree) && !update(&repo, TOPIC, &first, &missing));
        assert!(!create(&repo, "refs/heads/bad..name", &first) && !create(&repo, "refs/tags/t", &first));
        assert!(!create(&repo, "refs/heads/feature", &first));
        assert!(!create(&repo, &format!("{TOPIC}/below"), &first));
        assert!(!repo.common_dir.join("logs/refs/heads/feature/topic/below").exists());
        assert_eq!(sandbox.git(&["log", "-g", "--format=%gs", TOPIC]), "made");
        sandbox.fsck();
    }

    #[test]
    fn packed_refs_are_seen() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let (first, second) = (sandbox.oid("HEAD"), sandbox.commit("second"));
        assert!(create(&repo, TOPIC, &first) && create(&repo, PIN, &first));
        sandbox.git(&["pack-refs", "--all", "--prune"]);
        assert!(!repo.common_dir.join(TOPIC).exists());
        assert!(!create(&repo, TOPIC, &first) && !create(&repo, TOPIC, &second));
        assert!(!create(&repo, "refs/heads/feature", &first));
        assert!(!create(&repo, &format!("{TOPIC}/below"), &first));
        assert!(!update(&repo, TOPIC, &second, &first));
        assert!(update(&repo, TOPIC, &first, &second));
        assert!(!delete(&repo, PIN, &first), "git rewrites the packed refs");
        delete_ref(&repo, &PIN.into(), &first).unwrap();
        delete_ref(&repo, &TOPIC.into(), &second).unwrap();
        for name in [PIN, TOPIC] {
            assert_eq!(branch_tip(&repo, &name.into()).unwrap(), None);
        }
        assert_eq!(sandbox.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
        assert!(create(&repo, "refs/heads/feature", &first), "no folder any more");
        assert!(delete(&repo, "refs/heads/feature", &first));
        assert!(repo.common_dir.join("refs/heads").is_dir());
        sandbox.fsck();
    }

    #[test]
    fn git_is_asked_where_it_does_more() {
        let sandbox = Sandbox::new();
        let first = sandbox.oid("HEAD");
        assert!(!create(&sandbox.repository(), "refs/heads/main", &first));
        sandbox.git(&["symbolic-ref", "HEAD", TOPIC]);
        assert!(!create(&sandbox.repository(), TOPIC, &first), "the reflog of HEAD is written too");
        sandbox.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
        sandbox.git(&["config", "core.sharedRepository", "group"]);
        assert!(!create(&sandbox.repository(), TOPIC, &first));
        sandbox.git(&["config", "--unset", "core.sharedRepository"]);
        let hook = sandbox.repo.join(".git/hooks/reference-transaction");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, "#!/bin/sh\necho $1 >>hooked\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let repo = sandbox.repository();
        assert!(!create(&repo, TOPIC, &first));
        set_ref(&repo, &TOPIC.into(), &first, Expect::MustNotExist, "m").unwrap();
        assert!(repo.common_dir.join("hooked").exists());
        fs::remove_file(hook).unwrap();
        assert!(delete(&repo, TOPIC, &first));
    }

    #[test]
    fn a_branch_moves_with_the_head_that_is_on_it() {
        let sandbox = Sandbox::new();
        let main = Text::from("refs/heads/main");
        let (first, second) = (sandbox.oid("HEAD"), sandbox.commit("second"));
        let logs = || {
            let log = |name| sandbox.git(&["log", "-g", "--format=%H %gn %ge %gs", name]);
            (log("HEAD"), log("main"))
        };
        let back = || sandbox.git(&["update-ref", "refs/heads/main", first.as_str()]);
        let forth = (&first, &second);
        let repo = sandbox.repository();
        back();
        assert!(advance(&repo, &repo.git_dir, &main, forth, "parallel: land x"));
        let ours = logs();
        for log in ["HEAD", "refs/heads/main"].map(|name| repo.common_dir.join("logs").join(name)) {
            let all = fs::read_to_string(&log).unwrap();
            let ends = all.match_indices('\n').map(|(at, _)| at + 1).rev().nth(2).unwrap();
            fs::write(log, &all[..ends]).unwrap();
        }
        back();
        let move_it = ["update-ref", "-m", "parallel: land x", "refs/heads/main"];
        sandbox.git(&[&move_it[..], &[second.as_str(), first.as_str()]].concat());
        assert_eq!(logs(), ours);
        assert!(!advance(&repo, &repo.git_dir, &main, forth, "it is there already"));
        back();
        for log in ["HEAD", "refs/heads/main"].map(|name| repo.common_dir.join("logs").join(name)) {
            let mut log = File::options().append(true).open(log).unwrap();
            log.write_all(&first.as_str().as_bytes()[..20]).unwrap();
        }
        assert!(advance(&repo, &repo.git_dir, &main, forth, "behind half a line"));
        for name in ["HEAD", "main"] {
            let latest = sandbox.git(&["reflog", "show", "--format=%H %gs", "-n1", name]);
            assert_eq!(latest, format!("{second} behind half a line"));
        }
        back();
        fs::write(repo.git_dir.join("HEAD.lock"), "").unwrap();
        assert!(!advance(&repo, &repo.git_dir, &main, forth, "somebody moves HEAD"));
        fs::remove_file(repo.git_dir.join("HEAD.lock")).unwrap();
        sandbox.git(&["config", "core.logAllRefUpdates", "false"]);
        let before = logs();
        assert!(!advance(&sandbox.repository(), &repo.git_dir, &main, forth, "git goes on with a reflog"));
        assert_eq!(logs(), before);
        sandbox.git(&["checkout", "-q", "--detach"]);
        sandbox.git(&["config", "--unset", "core.logAllRefUpdates"]);
        assert!(advance(&sandbox.repository(), &repo.git_dir, &main, forth, "no HEAD is on it"));
        assert!(!repo.git_dir.join("HEAD.lock").exists());
        sandbox.fsck();
    }

    #[test]
    fn reflogs_are_kept_where_the_configuration_says() {
        let sandbox = Sandbox::new();
        let first = sandbox.oid("HEAD");
        for (value, branch, pin) in [("always", true, true), ("true", true, false), ("false", false, false)] {
            sandbox.git(&["config", "core.logAllRefUpdates", value]);
            let repo = sandbox.repository();
            assert!(create(&repo, TOPIC, &first) && create(&repo, PIN, &first));
            let log = |name| repo.common_dir.join("logs").join(name).exists();
            assert_eq!((log(TOPIC), log(PIN)), (branch, pin), "{value}");
            assert!(delete(&repo, TOPIC, &first) && delete(&repo, PIN, &first));
        }
    }

    #[test]
    fn a_held_lock_is_waited_for_and_then_named() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let first = sandbox.oid("HEAD");
        let lock = repo.common_dir.join("refs/heads/feature/topic.lock");
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        fs::write(&lock, "").unwrap();
        let set = || set_ref(&repo, &TOPIC.into(), &first, Expect::MustNotExist, "m");
        let error = set().unwrap_err().to_string();
        assert!(error.contains("topic.lock"), "{error}");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                fs::remove_file(&lock).unwrap();
            });
            set().unwrap();
        });
    }

    #[test]
    fn deletions_wait_for_a_pack_refs_at_work() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let first = sandbox.oid("HEAD");
        assert!(create(&repo, TOPIC, &first) && create(&repo, PIN, &first));
        let lock = repo.common_dir.join("packed-refs.lock");
        fs::write(&lock, "").unwrap();
        assert!(!delete(&repo, TOPIC, &first), "it could be brought back");
        fs::remove_file(&lock).unwrap();
        assert!(delete(&repo, TOPIC, &first) && !lock.exists());
        sandbox.git(&["pack-refs", "--all", "--prune"]);
        assert!(update(&repo, PIN, &first, &sandbox.commit("second")) && create(&repo, TOPIC, &first));
        assert!(delete(&repo, TOPIC, &first), "not one of the packed refs");
        assert!(!repo.common_dir.join("refs/heads/feature").exists() && !lock.exists());
    }

    #[test]
    fn many_at_once_beside_git() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        let first = sandbox.oid("HEAD");
        std::thread::scope(|scope| {
            scope.spawn(|| (0..8).for_each(|_| drop(sandbox.git(&["pack-refs", "--all", "--prune"]))));
            for task in 0..6 {
                let (repo, first) = (&repo, &first);
                scope.spawn(move || {
                    for turn in 0..15 {
                        let name = Text::from(format!("refs/heads/x/t{task}/{turn}"));
                        set_ref(repo, &name, first, Expect::MustNotExist, "m").unwrap();
                        assert_eq!(branch_tip(repo, &name).unwrap().as_ref(), Some(first));
                        delete_ref(repo, &name, first).unwrap();
                        assert_eq!(branch_tip(repo, &name).unwrap(), None);
                    }
                });
            }
        });
        assert_eq!(sandbox.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
        sandbox.fsck();
    }
}
