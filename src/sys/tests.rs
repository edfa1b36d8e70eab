use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::*;

fn grows<G>(watch: impl Fn(&Path) -> io::Result<G>, wait: impl Fn(&G, Duration) -> io::Result<bool> + Send)
where
    G: Send,
{
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let growth = watch(file.path()).unwrap();
    assert!(!wait(&growth, Duration::from_millis(1)).unwrap());
    file.write_all(b"before the wait").unwrap();
    assert!(wait(&growth, Duration::from_secs(60)).unwrap());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(move || while !wait(&growth, Duration::from_secs(60)).unwrap() {});
        file.write_all(b"during it").unwrap();
        waiter.join().unwrap();
    });
}

#[test]
fn growth_is_seen_before_and_during_the_wait() {
    grows(Growth::watch, Growth::wait);
    grows(portable::Growth::watch, portable::Growth::wait);
}

#[test]
fn fifos_are_made_for_the_owner_only() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let dir = tempfile::tempdir().unwrap();
    for (name, make) in [("a", make_fifo as fn(&Path) -> _), ("b", portable::make_fifo)] {
        let path = dir.path().join(name);
        make(&path).unwrap();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        assert!(meta.file_type().is_fifo());
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        assert!(make(&path).is_err());
    }
}

#[test]
fn room_and_limits_are_told() {
    assert!(free_space(Path::new("/")).unwrap().bytes > 0);
    assert!(free_space(Path::new("/no/such/place")).is_err());
    assert!(own_executable().unwrap().exists());
}

#[test]
fn init_and_our_own_group_can_t_be_signalled() {
    for bad in [0, 1, u32::MAX] {
        assert!(signal_group(bad, Signal::CONT).is_err());
        assert!(signal_child(bad, Signal::CONT).is_err());
    }
}

#[test]
fn arrivals_are_told_also_in_directories_that_come_later() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("not/yet");
    let arrivals = Arrivals::new().unwrap();
    arrivals.watch(&deep).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| arrivals.wait().unwrap());
        std::fs::create_dir(dir.path().join("not")).unwrap();
    });
    // Watched from below now.
    arrivals.watch(&deep).unwrap();
    arrivals.forget();
    std::fs::create_dir(&deep).unwrap();
    arrivals.wait().unwrap();
    arrivals.watch(&deep).unwrap();
    arrivals.forget();
    std::fs::write(dir.path().join("ref.lock"), "").unwrap();
    std::fs::rename(dir.path().join("ref.lock"), deep.join("ref")).unwrap();
    arrivals.wait().unwrap();
    arrivals.wake();
    arrivals.wait().unwrap();
    assert!(arrivals.watch(Path::new("/dev/null/x")).is_err());
    let portable = portable::Arrivals::new().unwrap();
    portable.watch(&deep).unwrap();
    portable.wake();
    portable.wait().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| portable.wait().unwrap());
        portable.wake();
    });
    portable.forget();
}
