//! A full disk: on a small file system of its own, where the machine lets us mount one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::Sandbox;
use crate::support::is_kept;

/// A mounted file system that goes with this.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, size: &str) -> Option<Small> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Small(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A repository on a file system of this size, if there can be one.
fn small_scene(size: &str) -> Option<(Sandbox, Small)> {
    let mut sandbox = Sandbox::new();
    let place = sandbox.root.join("small");
    let Some(small) = Small::mount(&place, size) else {
        eprintln!("skipped: no file system can be mounted here");
        return None;
    };
    sandbox.git(&["clone", "-q", ".", place.join("shop").to_str().unwrap()]);
    sandbox.repo = place.join("shop");
    sandbox.identify(&sandbox.repo.clone());
    sandbox.git(&["remote", "remove", "origin"]);
    sandbox.write("notes.txt", "the user's own\n");
    Some((sandbox, small))
}

/// Fills the file system to the last byte.
fn fill(sandbox: &Sandbox) -> PathBuf {
    let ballast = sandbox.root.join("small/ballast");
    let command = format!("cat /dev/zero > '{}' 2>/dev/null", ballast.display());
    let _ = Command::new("sh").args(["-c", &command]).status();
    ballast
}

#[test]
fn too_little_room_is_refused_with_the_numbers() {
    // 18
    let Some((sandbox, _small)) = small_scene("6m") else { return };
    sandbox.write("big", vec![b'x'; 1 << 20]);
    let before = sandbox.commit_all("big");
    let refs = sandbox.refs();
    let output = sandbox.run(&["a", "b", "c", "d", "e", "f"], &sandbox.simple_agent()).expect(3);
    output.tells(&["too little room for 6 checkouts", "MiB", "Nothing was created or changed"]);
    assert_eq!((sandbox.refs(), sandbox.oid("main")), (refs, before));
    assert!(!sandbox.worktrees().exists());
}

#[test]
fn a_disk_that_fills_up_while_agents_work_loses_nothing() {
    // 15: filled before the agents end, so that their exits, the journal and the landing all meet it.
    let Some((sandbox, _small)) = small_scene("8m") else { return };
    let before = sandbox.snapshot();
    let agent =
        sandbox.agent("echo $task >$task.txt; commit work-of-$task; mark up-$task; await full; exit 0");
    let running = sandbox.spawn_run(&["a", "b"], &agent);
    sandbox.await_mark("up-a");
    sandbox.await_mark("up-b");
    let ballast = fill(&sandbox);
    sandbox.mark("full");
    let output = running.wait();
    assert!(output.code != 0 && !output.all().contains("panicked"), "{}", output.all());
    let words = output.all();
    assert!(
        words.contains("No space left") || words.contains("couldn't write") || words.contains("df"),
        "{words}"
    );
    sandbox.check_processes();
    sandbox.parallel(&["status"]);
    // Room is made: all is there, and the run can be brought to its end.
    std::fs::remove_file(ballast).unwrap();
    assert!(is_kept(&sandbox, "work-of-a") && is_kept(&sandbox, "work-of-b"));
    if sandbox.status()["run"]["state"] == "interrupted" {
        sandbox.parallel(&["resume"]);
    } else {
        sandbox.parallel(&["land"]);
    }
    assert!(is_kept(&sandbox, "work-of-a") && is_kept(&sandbox, "work-of-b"));
    sandbox.check(&before);
    sandbox.run(&["fresh"], &sandbox.simple_agent()).expect(0);
    sandbox.check(&before);
}

#[test]
fn a_disk_that_is_full_from_the_start_ends_in_words() {
    // 15
    let Some((sandbox, _small)) = small_scene("4m") else { return };
    let before = sandbox.snapshot();
    let ballast = fill(&sandbox);
    let output = sandbox.run(&["a", "b"], &sandbox.simple_agent());
    assert!(matches!(output.code, 1 | 3) && output.stderr.contains("error: "), "{}", output.all());
    std::fs::remove_file(ballast).unwrap();
    // Whatever got begun is settled, and the next run works.
    let known = sandbox.parallel(&["status", "--json"]);
    if known.code == 0 && known.json()["run"]["state"] == "interrupted" {
        sandbox.parallel(&["abort"]).expect(0);
    }
    sandbox.run(&["--existing", "overwrite", "a", "b"], &sandbox.simple_agent()).expect(0);
    sandbox.check(&before);
}

#[test]
fn an_agent_that_fills_the_disk_fails_alone() {
    // 15: it takes all there is in its own worktree, and its siblings come after.
    let Some((sandbox, _small)) = small_scene("12m") else { return };
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        "if [ $task = hog ]; then cat /dev/zero >hog.bin 2>/dev/null || { echo no room; rm hog.bin; exit 1; }; fi; echo $task >$task.txt; commit",
    );
    let output = sandbox.run(&["-j1", "hog", "good"], &agent).expect(1);
    sandbox.expect_states(&[("hog", "failed"), ("good", "landed")]);
    sandbox.check_run(&before, &output);
}

#[test]
fn leftovers_that_do_not_fit_are_held_in_words() {
    // 15: the agent leaves a file that git's copy of has no room beside it.
    let Some((sandbox, _small)) = small_scene("24m") else { return };
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        "echo x >x; commit; if [ $task = big ]; then head -c 14000000 /dev/urandom >huge.bin; else await big; fi; exit 0",
    );
    sandbox.mark("big");
    let output = sandbox.run(&["-j1", "big", "good"], &agent);
    assert!(output.code == 1 && !output.all().contains("panicked"), "{}", output.all());
    assert_ne!(sandbox.state("big"), "landed", "{}", output.all());
    assert!(sandbox.worktree("big").join("huge.bin").metadata().unwrap().len() == 14_000_000);
    sandbox.check_commits();
    sandbox.check_processes();
    sandbox.check_users_things(&before);
}
