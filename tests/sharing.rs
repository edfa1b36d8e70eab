//! Worktrees share the data of large files, on a file system that can: one of its own, where the machine lets us
//! mount one.

#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Sandbox;

/// A file system in a file; it goes with this.
struct Disk(PathBuf);

impl Disk {
    fn mount(kind: &str, at: &Path) -> Option<Disk> {
        let image = at.with_extension("image");
        fs::File::create(&image).expect("there is room").set_len(512 << 20).expect("it is sparse");
        fs::create_dir(at).expect("it is new");
        let works = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let made = works(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
        let mount = || works(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(at));
        (made && mount()).then(|| Disk(at.to_owned()))
    }

    /// How many bytes are taken, once all is on it.
    fn used(&self) -> u64 {
        let dir = fs::File::open(&self.0).expect("it is mounted");
        rustix::fs::syncfs(&dir).expect("there is room");
        let stat = rustix::fs::fstatvfs(&dir).expect("it is mounted");
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_large_file_is_there_once() {
    const SIZE: usize = 16 << 20;
    for kind in ["xfs", "btrfs"] {
        let sandbox = Sandbox::new();
        let place = sandbox.root.join(kind);
        let Some(disk) = Disk::mount(kind, &place) else {
            eprintln!("skipped: no {kind} can be made and mounted here");
            continue;
        };
        sandbox.git(&["config", "parallel.worktreeDir", place.to_str().expect("UTF-8")]);
        let line = |number: usize| format!("{number:x} of a line that no other line is like\n");
        let text: String = (0..)
            .map(line)
            .scan(0, |sum, line| {
                *sum += line.len();
                (*sum <= SIZE).then_some(line)
            })
            .collect();
        sandbox.write("large", &text);
        sandbox.write("small", "small\n");
        sandbox.commit_all("A large file");
        let before = disk.used();
        let agent = sandbox.agent("mark up-$task; await go; echo more >>large; commit");
        let running = sandbox.spawn_run(&["-j4", "--no-land", "a", "b", "c", "d"], &agent);
        let tasks = ["a", "b", "c", "d"];
        tasks.iter().for_each(|task| sandbox.await_mark(&format!("up-{task}")));
        let taken = disk.used() - before;
        assert!(taken < 2 * text.len() as u64, "{kind}: {taken} bytes for four times {}", text.len());
        let files = tasks.map(|task| place.join(task).join("large"));
        let inodes: std::collections::HashSet<u64> =
            files.iter().map(|file| fs::metadata(file).expect("it is there").ino()).collect();
        assert_eq!(inodes.len(), 4, "{kind}: data is shared, not files");
        sandbox.mark("go");
        running.wait().expect(0);
        // Who writes into one of them does so for itself.
        for file in files {
            assert_eq!(fs::read_to_string(file).expect("it is there"), format!("{text}more\n"), "{kind}");
        }
        assert_eq!(sandbox.read("large"), text);
    }
}
