//! Linux: `/proc`, child subreapers, pidfds and inotify.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, WaitOptions};

use super::{Process, Scope, pid, was_there};

/// Makes orphaned descendants children of this process, however thoroughly they daemonise.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// A path to run this very program again, even if its file was replaced meanwhile.
pub fn own_executable() -> io::Result<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { Ok(own) } else { std::env::current_exe() }
}

/// Sets the short name that `ps` and `top` show (a program run through `/proc/self/exe` is "exe").
pub fn set_own_name(name: &str) {
    let _ = fs::write("/proc/self/comm", name);
}

/// Makes a FIFO that only its owner may use.
pub fn make_fifo(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?)
}

/// What `/proc/<pid>/stat` says of a process.
#[derive(Clone, Copy)]
struct Stat {
    parent: u32,
    start: u64,
    group: u32,
    /// Dead, and waiting to be reaped.
    zombie: bool,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(line: &[u8]) -> Option<Stat> {
    // The second field is the program's name in parentheses and may hold anything, even `) R 1`.
    let end = line.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(&line[end + 1..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    // Fields 3 to 5 are taken; the start time is field 22.
    let start = fields.nth(16)?.parse().ok()?;
    Some(Stat { parent, start, group, zombie: matches!(state, "Z" | "X" | "x") })
}

fn all() -> io::Result<HashMap<u32, Stat>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(stat) = stat(pid) {
            found.insert(pid, stat);
        }
    }
    Ok(found)
}

/// Whether the chain of parents of `pid` meets a process that `wanted` knows.
///
/// A parent is never younger than its child: where it seems to be, the process id was given to
/// another between two looks.
fn descends(pid: u32, lookup: impl Fn(u32) -> Option<Stat>, wanted: impl Fn(u32) -> bool) -> bool {
    let Some(mut at) = lookup(pid) else { return false };
    while at.parent > 0 {
        match lookup(at.parent) {
            Some(parent) if parent.start <= at.start => {
                if wanted(at.parent) {
                    return true;
                }
                at = parent;
            }
            _ => return false,
        }
    }
    false
}

/// The living descendants of this process. The argument is for platforms that know groups only.
pub fn descendants(_leader: u32) -> io::Result<Vec<Process>> {
    let table = all()?;
    let me = std::process::id();
    Ok(living(&table).filter(|p| descends(p.pid, |pid| table.get(&pid).copied(), |pid| pid == me)).collect())
}

fn living(table: &HashMap<u32, Stat>) -> impl Iterator<Item = Process> {
    table.iter().filter(|(_, stat)| !stat.zombie).map(|(&pid, stat)| Process {
        pid,
        start: stat.start,
        group: stat.group,
    })
}

/// Whether git started this process.
pub fn parent_may_be_git() -> bool {
    let parent = std::os::unix::process::parent_id();
    std::fs::read(format!("/proc/{parent}/comm")).is_ok_and(|name| name == b"git\n")
}

/// Whether a living process called `git` stands in one of the directories.
pub fn git_at_work(places: &[PathBuf]) -> bool {
    let Ok(table) = all() else { return true };
    living(&table).any(|process| {
        let of = |what: &str| format!("/proc/{}/{what}", process.pid);
        let is_git = std::fs::read(of("comm")).is_ok_and(|name| name == b"git\n");
        let stands = || std::fs::read_link(of("cwd")).ok();
        is_git && stands().is_none_or(|cwd| places.iter().any(|place| cwd.starts_with(place)))
    })
}

/// Gives an empty file the data of another, which they share until one is written to; `false` where the file
/// system can't.
pub fn share_data(file: impl rustix::fd::AsFd, of: impl rustix::fd::AsFd) -> bool {
    rustix::fs::ioctl_ficlone(file, of).is_ok()
}

/// Gives memory back that was freed: the C library keeps what the highest peak took.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "no safe name for it in the standard library or rustix")]
pub fn give_memory_back() {
    // SAFETY: it may be called at any time, from any thread (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}

/// There is nothing to be done for that.
#[cfg(not(target_env = "gnu"))]
pub fn give_memory_back() {}

/// Has the file system put what is below each directory in this one into a place of its own on the disk, where it
/// has a say (ext4's `chattr +T`). Each name that ext4 gives to a new file in a group of inodes is looked for among all
/// that were deleted there a moment before, over and over: with the files of several worktrees in one group that
/// is most of the time that it takes to write them.
pub fn spread(dir: &Path) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    // A hint, and no more: without it, it is slower.
    let _ = fs::File::open(dir).is_ok_and(|dir| {
        let set = |flags: IFlags| ioctl_setflags(&dir, flags | IFlags::TOPDIR).is_ok();
        ioctl_getflags(&dir).is_ok_and(set)
    });
}

/// Whether a living process, as far as we may look at them, stands in the directory or below it.
pub fn somebody_stands_in(place: &Path) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return true };
    let stands =
        |pid: &str| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(place));
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()) && stands(name))
    })
}

/// The time that a file gets now, where a file system has none of its own: seconds and nanoseconds, the low 32
/// bits of each. It may tick slower than files' times do, never faster.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the low 32 bits are asked for")]
pub fn file_clock() -> Option<[u32; 2]> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    Some([now.tv_sec as u32, now.tv_nsec as u32])
}

/// Whether a directory has no access list or other attribute that a new one would not have.
pub fn is_plain_directory(dir: impl rustix::fd::AsFd) -> bool {
    let mut names = [0_u8; 64];
    match rustix::fs::flistxattr(dir, &mut names) {
        Ok(length) => [&b""[..], b"security.selinux\0"].contains(&&names[..length]),
        Err(error) => error == rustix::io::Errno::NOTSUP,
    }
}

/// The load average of the last minute: how many processes ran or wanted to.
pub fn load_average() -> Option<f64> {
    // The kernel counts in 65536ths (sysinfo(2)).
    Some(rustix::system::sysinfo().loads[0] as f64 / 65536.0)
}

/// How many bytes of memory the machine has.
pub fn total_memory() -> Option<u64> {
    let info = rustix::system::sysinfo();
    // A machine word, whatever its size is here.
    #[allow(clippy::useless_conversion)]
    u64::from(info.totalram).checked_mul(u64::from(info.mem_unit))
}

/// How many bytes of memory a new program could have without swapping; `None` before Linux 3.14.
pub fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The living processes in `scope` that started with `name=value` in their environment, and all
/// their descendants, with or without it.
pub fn marked(name: &str, value: &OsStr, scope: Scope) -> io::Result<Vec<Process>> {
    let mark = [name.as_bytes(), b"=", value.as_bytes()].concat();
    let me = std::process::id();
    if scope == Scope::User && bears(me, &mark) {
        // We run inside what is to be ended; our own helpers bear the mark as well.
        return Ok(Vec::new());
    }
    let table = all()?;
    let lookup = |pid: u32| table.get(&pid).copied();
    let candidates = living(&table).filter(|p| match scope {
        Scope::Descendants => descends(p.pid, lookup, |pid| pid == me),
        Scope::User => p.pid != me && !descends(me, lookup, |ancestor| ancestor == p.pid) && is_own(p.pid),
    });
    let candidates: Vec<Process> = candidates.collect();
    let seeds: Vec<u32> = candidates.iter().map(|p| p.pid).filter(|&pid| bears(pid, &mark)).collect();
    let belongs = |p: &Process| seeds.contains(&p.pid) || descends(p.pid, lookup, |pid| seeds.contains(&pid));
    Ok(candidates.into_iter().filter(belongs).collect())
}

fn is_own(pid: u32) -> bool {
    let me = rustix::process::geteuid().as_raw();
    fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() == me)
}

fn bears(pid: u32, mark: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|&b| b == 0).any(|var| var == mark))
}

/// Signals exactly this process; returns whether it was still there.
///
/// The pidfd is opened first and the identity checked after: whatever then takes over the process id,
/// the signal goes to the process that was looked at or to none.
pub fn signal(process: &Process, signal: Signal) -> io::Result<bool> {
    let id = pid(process.pid)?;
    let handle = match rustix::process::pidfd_open(id, PidfdFlags::empty()) {
        Ok(handle) => Some(handle),
        Err(Errno::SRCH) => return Ok(false),
        Err(_) => None,
    };
    let Some(now) = stat(process.pid).filter(|now| now.start == process.start && !now.zombie) else {
        return Ok(false);
    };
    match handle {
        Some(handle) => was_there(rustix::process::pidfd_send_signal(handle, signal)),
        // Without pidfds only an unreaped child's id is safe. Deeper ones become children as their
        // parents die.
        None if now.parent == std::process::id() => was_there(rustix::process::kill_process(id, signal)),
        None => Ok(true),
    }
}

/// Reaps exactly this process, if it died as our child (an orphan that came to us).
pub fn reap(process: &Process) {
    let ours = |now: &Stat| now.start == process.start && now.zombie && now.parent == std::process::id();
    if let (Some(_), Ok(id)) = (stat(process.pid).filter(ours), pid(process.pid)) {
        let _ = rustix::process::waitpid(Some(id), WaitOptions::NOHANG);
    }
}

/// Waits for a file to grow.
pub struct Growth(OwnedFd);

impl Growth {
    /// Watches the file at `path` from now on: watch first, read then, wait after.
    pub fn watch(path: &Path) -> io::Result<Self> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags =
            WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        inotify::add_watch(&queue, path, flags)?;
        Ok(Growth(queue))
    }

    /// Waits until something happened to the file since the last call, at most for `timeout`;
    /// returns whether it did.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(timeout).ok();
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut events = [0; 4096];
        while rustix::io::read(&self.0, &mut events).is_ok_and(|n| n == events.len()) {}
        Ok(true)
    }
}

/// Tells when something is put into one of several directories.
pub struct Arrivals {
    queue: OwnedFd,
    wake: OwnedFd,
}

impl Arrivals {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Self> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arrivals { queue, wake })
    }

    /// Watches a directory for files that are moved to their place in it, as git writes refs. One that is not
    /// there is waited for. Watching it again does no harm.
    pub fn watch(&self, directory: &Path) -> io::Result<()> {
        let gone = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        let flags = WatchFlags::MOVED_TO | gone | WatchFlags::ONLYDIR | WatchFlags::MASK_ADD;
        let add = |directory, flags| match inotify::add_watch(&self.queue, directory, flags) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(io::Error::from(error)),
        };
        if add(directory, flags)? {
            return Ok(());
        }
        for above in directory.ancestors().skip(1) {
            if add(above, flags | WatchFlags::CREATE)? {
                // It may have come in between.
                return add(directory, flags).map(drop);
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Lets [`Arrivals::wait`] return.
    pub fn wake(&self) {
        // It fails only if it was woken very often already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Waits until something arrived, or somebody called [`Arrivals::wake`], since the last time.
    pub fn wait(&self) -> io::Result<()> {
        let mut fds = [&self.queue, &self.wake].map(|fd| PollFd::new(fd, PollFlags::IN));
        loop {
            match rustix::event::poll(&mut fds, None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        self.forget();
        Ok(())
    }

    /// Forgets what has arrived so far, and calls of [`Arrivals::wake`].
    pub fn forget(&self) {
        for fd in [&self.queue, &self.wake] {
            let mut bytes = [0; 4096];
            while rustix::io::read(fd, &mut bytes).is_ok_and(|n| n > 8) {}
        }
    }
}

/// Lets others go first: this thread, and what it starts.
pub fn lower_own_priority() {
    // On Linux that is the thread's own.
    let _ = rustix::process::nice(10);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_program_name_does_not_confuse_the_parser() {
        let line = b"42 (a) R 1 1 1) S 7 8 9 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0\n";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.parent, stat.group, stat.start, stat.zombie), (7, 8, 12345, false));
        assert!(parse_stat(b"").is_none());
        assert!(parse_stat(b"1 (x) Z").is_none());
    }

    #[test]
    fn a_parent_that_is_younger_than_its_child_is_not_its_parent() {
        let stat = |parent, start| Stat { parent, start, group: 1, zombie: false };
        let table = HashMap::from([(2, stat(1, 5)), (3, stat(2, 9)), (4, stat(3, 7))]);
        let lookup = |pid: u32| table.get(&pid).copied();
        assert!(descends(3, lookup, |pid| pid == 2));
        assert!(!descends(4, lookup, |pid| pid == 2));
        assert!(!descends(9, lookup, |_| true));
    }

    #[test]
    fn our_own_stat_is_readable() {
        let me = stat(std::process::id()).unwrap();
        assert!(me.start > 0 && !me.zombie);
    }
}
