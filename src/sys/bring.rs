//! Copying files from one tree into another, neither of which holds still meanwhile.
//!
//! Both trees are walked by open directories, one name at a time, and no symbolic link is followed on the
//! way: whoever can write in one of them can't lead a copy out of it. A file is written beside the tree and
//! gets its name in one step once it is whole; what has that name already stays.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self as at, AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

/// What a copy is called while it is made.
const UNFINISHED: &str = "file";
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Brings `paths`, which are below `from` and in the order of their bytes, to the same places below `to`:
/// regular files with their modes and times, as clones where the file system can; symbolic links as such.
/// `spare` is a name beside `to` for what is being made; whatever has it is removed. Asks `goes_on` between
/// files. Gives what could not be brought, and why; what is gone meanwhile, or there already, is neither.
///
/// # Errors
/// If `to` can't be written, or if it is not to go on.
pub fn bring(
    from: &Path,
    to: &Path,
    spare: &Path,
    paths: &[PathBuf],
    goes_on: impl Fn() -> bool,
) -> io::Result<Vec<(PathBuf, String)>> {
    discard(spare)?;
    at::mkdirat(at::CWD, spare, Mode::RWXU)?;
    let brought = bring_all(from, to, spare, paths, goes_on);
    discard(spare)?;
    brought
}

/// Removes what a copy that was cut off left under its spare name.
///
/// # Errors
/// If it can't be removed.
pub fn discard(spare: &Path) -> io::Result<()> {
    let removed = match spare.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(spare),
        Ok(_) => fs::remove_file(spare),
        Err(e) => Err(e),
    };
    removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

fn bring_all(
    from: &Path,
    to: &Path,
    spare: &Path,
    paths: &[PathBuf],
    goes_on: impl Fn() -> bool,
) -> io::Result<Vec<(PathBuf, String)>> {
    let open = |path: &Path| at::openat(at::CWD, path, DIRECTORY, Mode::empty());
    let top = Level { name: PathBuf::new(), from: open(from)?, to: open(to)?, made: None };
    let mut walk = Walk { levels: vec![top], spare: open(spare)? };
    let mut skipped = Vec::new();
    for path in paths {
        if !goes_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match walk.bring(path) {
            Ok(()) | Err(Trouble::Nothing) => {}
            Err(Trouble::Skipped(why)) => skipped.push((path.clone(), why)),
            Err(Trouble::Fatal(e)) => return Err(e),
        }
    }
    walk.leave(1);
    Ok(skipped)
}

/// Why a path was not brought.
enum Trouble {
    /// It is gone, or there is something in its place that stays.
    Nothing,
    /// This path can't be brought.
    Skipped(String),
    /// No other could be, either.
    Fatal(io::Error),
}

/// An error of the tree that is read, or of one file.
fn skipped(error: impl Into<io::Error>) -> Trouble {
    let error: io::Error = error.into();
    match error.kind() {
        io::ErrorKind::NotFound => Trouble::Nothing,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Fatal(error),
        _ => Trouble::Skipped(super::words(&error)),
    }
}

fn fatal(error: Errno) -> Trouble {
    Trouble::Fatal(error.into())
}

/// A directory on both sides.
struct Level {
    name: PathBuf,
    from: OwnedFd,
    to: OwnedFd,
    /// What the original looks like, if the copy was made here.
    made: Option<Stat>,
}

struct Walk {
    /// From the top to the directory that the last path was in.
    levels: Vec<Level>,
    spare: OwnedFd,
}

impl Walk {
    fn bring(&mut self, path: &Path) -> Result<(), Trouble> {
        let name = path.file_name().ok_or(Trouble::Nothing)?;
        self.enter(path.parent().unwrap_or(Path::new("")))?;
        let Some(level) = self.levels.last() else { return Err(Trouble::Nothing) };
        let stat = at::statat(&level.from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(skipped)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => bring_link(level, name, &stat),
            FileType::RegularFile => bring_file(level, self.spare.as_fd(), name),
            _ => Err(Trouble::Skipped("it is neither a file nor a symbolic link".to_owned())),
        }
    }

    /// Goes to the directory `dir`, and makes it if it is not there.
    fn enter(&mut self, dir: &Path) -> Result<(), Trouble> {
        let names: Vec<&OsStr> = dir
            .components()
            .map(|part| match part {
                Component::Normal(name) => Ok(name),
                _ => Err(Trouble::Skipped("its path leads elsewhere".to_owned())),
            })
            .collect::<Result<_, _>>()?;
        let here = self.levels.iter().skip(1).map(|level| level.name.as_os_str());
        let common = here.zip(&names).take_while(|(here, name)| here == *name).count();
        self.leave(common + 1);
        for name in &names[common..] {
            let Some(above) = self.levels.last() else { return Err(Trouble::Nothing) };
            let level = descend(above, name)?;
            self.levels.push(level);
        }
        Ok(())
    }

    /// Goes up until `depth` levels are left. Directories get their times last, for what is made in them
    /// changes those.
    fn leave(&mut self, depth: usize) {
        for level in self.levels.drain(depth..).rev() {
            if let Some(stat) = level.made {
                // Best effort: a mode or a time is no reason to do without the files.
                let _ = at::fchmod(&level.to, Mode::from_raw_mode(stat.st_mode) & permissions() | Mode::RWXU);
                let _ = at::futimens(&level.to, &times(&stat));
            }
        }
    }
}

fn descend(above: &Level, name: &OsStr) -> Result<Level, Trouble> {
    let from = at::openat(&above.from, name, DIRECTORY, Mode::empty()).map_err(skipped)?;
    let stat = at::fstat(&from).map_err(skipped)?;
    let made = match at::mkdirat(&above.to, name, Mode::RWXU) {
        Ok(()) => Some(stat),
        Err(Errno::EXIST) => None,
        Err(e) => return Err(fatal(e)),
    };
    let in_the_way = |_| Trouble::Skipped("something else is in its place".to_owned());
    let to = at::openat(&above.to, name, DIRECTORY, Mode::empty()).map_err(in_the_way)?;
    Ok(Level { name: name.into(), from, to, made })
}

fn bring_link(level: &Level, name: &OsStr, stat: &Stat) -> Result<(), Trouble> {
    let target = at::readlinkat(&level.from, name, Vec::new()).map_err(skipped)?;
    match at::symlinkat(&target, &level.to, name) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Err(Trouble::Nothing),
        Err(e) => return Err(fatal(e)),
    }
    // Not every file system keeps times of links.
    let _ = at::utimensat(&level.to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW);
    Ok(())
}

fn bring_file(level: &Level, spare: BorrowedFd, name: &OsStr) -> Result<(), Trouble> {
    if at::statat(&level.to, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Err(Trouble::Nothing);
    }
    // What is a file now may be a FIFO when it is opened, and must not hold us up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let input = File::from(at::openat(&level.from, name, flags, Mode::empty()).map_err(skipped)?);
    let stat = at::fstat(&input).map_err(skipped)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Trouble::Skipped("it is not a file any more".to_owned()));
    }
    let made = copy(&input, spare).and_then(|output| {
        at::fchmod(&output, Mode::from_raw_mode(stat.st_mode) & permissions())?;
        at::futimens(&output, &times(&stat))?;
        Ok(())
    });
    if let Err(e) = made {
        let _ = at::unlinkat(spare, UNFINISHED, AtFlags::empty());
        return Err(skipped(e));
    }
    match give_name(spare, level.to.as_fd(), name) {
        Ok(()) => Ok(()),
        Err(e) => {
            let _ = at::unlinkat(spare, UNFINISHED, AtFlags::empty());
            Err(if e == Errno::EXIST { Trouble::Nothing } else { fatal(e) })
        }
    }
}

/// Moves the finished copy to its place, unless something is there.
fn give_name(spare: BorrowedFd, dir: BorrowedFd, name: &OsStr) -> Result<(), Errno> {
    match at::renameat_with(spare, UNFINISHED, dir, name, RenameFlags::NOREPLACE) {
        // Not every file system knows how to refuse; a link never replaces anything.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            at::linkat(spare, UNFINISHED, dir, name, AtFlags::empty())?;
            at::unlinkat(spare, UNFINISHED, AtFlags::empty())
        }
        done => done,
    }
}

/// Makes a copy under the spare name; the data is shared where the file system can.
fn copy(input: &File, spare: BorrowedFd) -> io::Result<File> {
    #[cfg(target_vendor = "apple")]
    if at::fclonefileat(input, spare, UNFINISHED, at::CloneFlags::NOFOLLOW).is_ok() {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        return Ok(File::from(at::openat(spare, UNFINISHED, flags, Mode::empty())?));
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut output = File::from(at::openat(spare, UNFINISHED, flags, Mode::RUSR | Mode::WUSR)?);
    #[cfg(target_os = "linux")]
    if at::ioctl_ficlone(&output, input).is_ok() {
        return Ok(output);
    }
    let mut input = input;
    io::copy(&mut input, &mut output)?;
    Ok(output)
}

/// Whoever runs a copy runs it as themselves.
fn permissions() -> Mode {
    Mode::RWXU | Mode::RWXG | Mode::RWXO
}

fn times(stat: &Stat) -> Timestamps {
    let modified = Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ };
    let accessed = Timespec { tv_sec: 0, tv_nsec: at::UTIME_OMIT };
    Timestamps { last_access: accessed, last_modification: modified }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    struct Trees {
        from: PathBuf,
        to: PathBuf,
        _dir: tempfile::TempDir,
    }

    impl Trees {
        fn new() -> Trees {
            let dir = tempfile::tempdir().unwrap();
            let (from, to) = (dir.path().join("from"), dir.path().join("to"));
            fs::create_dir(&from).unwrap();
            fs::create_dir(&to).unwrap();
            Trees { from, to, _dir: dir }
        }

        fn write(&self, path: &str, text: &str) {
            fs::create_dir_all(self.from.join(path).parent().unwrap()).unwrap();
            fs::write(self.from.join(path), text).unwrap();
        }

        fn bring(&self, paths: &[&str]) -> Vec<(PathBuf, String)> {
            let mut paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            paths.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
            let spare = self.to.with_file_name("spare");
            let skipped = bring(&self.from, &self.to, &spare, &paths, || true).unwrap();
            assert!(!spare.exists());
            skipped
        }
    }

    #[test]
    fn files_links_modes_and_times_arrive() {
        let trees = Trees::new();
        trees.write("a/b/run", "x");
        trees.write("a.b", "y");
        symlink("/nowhere/at all", trees.from.join("a/link")).unwrap();
        fs::set_permissions(trees.from.join("a/b/run"), fs::Permissions::from_mode(0o4555)).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 7);
        File::open(trees.from.join("a/b/run")).unwrap().set_modified(old).unwrap();
        fs::set_permissions(trees.from.join("a/b"), fs::Permissions::from_mode(0o500)).unwrap();
        File::open(trees.from.join("a/b")).unwrap().set_modified(old).unwrap();
        assert_eq!(trees.bring(&["a/b/run", "a.b", "a/link", "gone", "a/gone/too"]), []);
        let run = trees.to.join("a/b/run").metadata().unwrap();
        assert_eq!((run.mode() & 0o7777, run.modified().unwrap()), (0o555, old));
        let dir = trees.to.join("a/b").metadata().unwrap();
        assert_eq!((dir.mode() & 0o777, dir.modified().unwrap()), (0o700, old));
        assert_eq!(fs::read_link(trees.to.join("a/link")).unwrap(), Path::new("/nowhere/at all"));
        assert_eq!(fs::read_to_string(trees.to.join("a.b")).unwrap(), "y");
        fs::set_permissions(trees.from.join("a/b"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn what_is_there_stays() {
        let trees = Trees::new();
        trees.write("a", "new");
        trees.write("b/c", "new");
        fs::write(trees.to.join("a"), "old").unwrap();
        fs::write(trees.to.join("b"), "a file").unwrap();
        assert_eq!(trees.bring(&["a", "b/c"]), [("b/c".into(), "something else is in its place".to_owned())]);
        assert_eq!(fs::read_to_string(trees.to.join("a")).unwrap(), "old");
        assert_eq!(fs::read_to_string(trees.to.join("b")).unwrap(), "a file");
    }

    #[test]
    fn no_link_leads_out_of_either_tree() {
        let trees = Trees::new();
        let outside = trees.to.with_file_name("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "s").unwrap();
        symlink(&outside, trees.from.join("in")).unwrap();
        trees.write("out/file", "x");
        symlink(&outside, trees.to.join("out")).unwrap();
        let told: Vec<PathBuf> = trees.bring(&["in/secret", "out/file"]).into_iter().map(|s| s.0).collect();
        assert_eq!(told, [Path::new("in/secret"), Path::new("out/file")]);
        assert!(!trees.to.join("in/secret").exists());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(trees.bring(&["../outside/secret"]).len(), 1);
        assert_eq!(trees.bring(&["/etc/passwd"]).len(), 1);
    }

    #[test]
    fn what_is_no_file_is_told_and_holds_nobody_up() {
        let trees = Trees::new();
        crate::sys::make_fifo(&trees.from.join("fifo")).unwrap();
        trees.write("plain", "x");
        let told = trees.bring(&["fifo", "plain"]);
        assert_eq!(told, [("fifo".into(), "it is neither a file nor a symbolic link".to_owned())]);
        assert!(trees.to.join("plain").exists() && !trees.to.join("fifo").exists());
    }

    /// Nobody can read the memory at address 0, whoever they are.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_can_not_be_read_is_told_and_the_rest_comes() {
        let trees = Trees { from: format!("/proc/{}", std::process::id()).into(), ..Trees::new() };
        let told = trees.bring(&["mem", "comm"]);
        assert_eq!(told, [("mem".into(), "Input/output error".to_owned())]);
        assert!(trees.to.join("comm").exists() && !trees.to.join("mem").exists());
    }

    #[test]
    fn it_ends_when_it_is_told_to_and_leaves_nothing_half_made() {
        let trees = Trees::new();
        trees.write("a", "x");
        let spare = trees.to.with_file_name("spare");
        symlink("/", &spare).unwrap();
        let paths = ["a".into()];
        let error = bring(&trees.from, &trees.to, &spare, &paths, || false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        assert!(!spare.exists() && !trees.to.join("a").exists());
    }
}
