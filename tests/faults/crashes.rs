//! The supervisor, its shims, or everything is killed.

use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::common::{Running, Sandbox, Snapshot, pid, wait_until};
use crate::support::{agent_pid, descendants, is_kept, kill_supervisor, kill_tree, lives, record_of, scene};

/// Commits, leaves a file uncommitted, and goes on when it is told to.
const WAITING: &str = "echo $task >$task.txt; commit work-of-$task; echo said-early; echo more >more-$task; mark up-$task; await go; echo said-late";

struct Crash {
    sandbox: Sandbox,
    before: Snapshot,
    agents: Vec<u32>,
}

/// A run of `a`, `b` (both at work) and `c` (queued), and its supervisor.
#[track_caller]
fn started(body: &str) -> (Crash, Running) {
    let sandbox = scene();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["-j2", "a", "b", "c"], &sandbox.agent(body));
    let agents = ["a", "b"].map(|task| {
        sandbox.await_mark(&format!("up-{task}"));
        agent_pid(&sandbox, task)
    });
    (Crash { sandbox, before, agents: agents.to_vec() }, running)
}

impl Crash {
    #[track_caller]
    fn work_is_kept(&self) {
        for task in ["a", "b"] {
            assert!(is_kept(&self.sandbox, &format!("work-of-{task}")), "{task}");
            let file = self.sandbox.worktree(task).join(format!("more-{task}"));
            assert!(file.exists() || self.sandbox.has(&format!("more-{task}")), "{task}");
        }
    }

    /// `abort` ends the run, and once more does no harm.
    #[track_caller]
    fn abort(&self) {
        let sandbox = &self.sandbox;
        sandbox.parallel(&["abort"]).expect(0);
        assert!(self.agents.iter().all(|id| !lives(*id)), "I5");
        sandbox.check(&self.before);
        settled(sandbox, &["abort"]);
        settled(sandbox, &["resume"]);
        sandbox.check(&self.before);
    }
}

/// I9: doing it again changes nothing.
#[track_caller]
fn settled(sandbox: &Sandbox, args: &[&str]) {
    let (refs, status) = (sandbox.refs(), sandbox.status());
    let output = sandbox.parallel(args);
    assert!(matches!(output.code, 0 | 1) && !output.all().is_empty(), "{}", output.all());
    assert_eq!(sandbox.refs(), refs, "{args:?}: {}", output.all());
    assert_eq!(sandbox.status(), status, "{args:?}: {}", output.all());
}

#[test]
fn agents_outlive_the_supervisor_and_their_ends_are_recorded() {
    // 1
    let (crash, running) = started(WAITING);
    let sandbox = &crash.sandbox;
    kill_supervisor(running);
    assert!(crash.agents.iter().all(|id| lives(*id)), "they go on");
    sandbox.parallel(&["status"]).expect(0).tells(&[
        "interrupted",
        "git parallel resume",
        "git parallel abort",
    ]);
    assert_eq!(sandbox.status()["run"]["state"], "interrupted");
    let refs = sandbox.refs();
    let refused = sandbox.run(&["next"], &sandbox.simple_agent()).expect(3);
    refused.tells(&["was interrupted", "Nothing was created or changed", "git parallel abort"]);
    assert_eq!(sandbox.refs(), refs);
    // What else could do harm now is refused too.
    for args in [&["cleanup"][..], &["cleanup", "--force", "a"], &["land"], &["retry", "a"]] {
        let output = sandbox.parallel(args);
        assert!(matches!(output.code, 1 | 3), "{args:?}: {}", output.all());
        assert!(output.stderr.starts_with("error: "), "{args:?}: {}", output.all());
    }
    assert_eq!(sandbox.refs(), refs);
    sandbox.mark("go");
    wait_until("both are over", || crash.agents.iter().all(|id| !lives(*id)));
    for task in ["a", "b"] {
        let record = record_of(sandbox, task);
        wait_until("the exit is recorded", || record.join("exit.json").exists());
        let exit: serde_json::Value =
            serde_json::from_slice(&std::fs::read(record.join("exit.json")).unwrap()).unwrap();
        assert_eq!(exit["code"], 0);
        assert!(sandbox.parallel(&["logs", task]).expect(0).stdout.contains("said-late"));
    }
    crash.work_is_kept();
    crash.abort();
    crash.work_is_kept();
    // Their work was done when the run was ended: it can still be had.
    sandbox.run(&["next"], &sandbox.simple_agent()).expect(0);
}

#[test]
fn abort_ends_agents_that_outlived_the_supervisor() {
    // 1, I5, I9
    let (crash, running) = started(WAITING);
    kill_supervisor(running);
    crash.abort();
    crash.work_is_kept();
    crash.sandbox.expect_states(&[("a", "aborted"), ("b", "aborted"), ("c", "aborted")]);
}

#[test]
fn abort_kills_agents_that_ignore_it() {
    let (crash, running) = started(&format!("trap '' TERM INT HUP; {WAITING}"));
    kill_supervisor(running);
    crash.abort();
    crash.work_is_kept();
}

#[test]
fn agents_whose_shims_died_too_are_ended() {
    // 2, I5: only the agents live, and nobody knows them but by their mark.
    let (crash, running) = started(WAITING);
    let root = running.pid();
    let _ = kill_process(pid(root), Signal::STOP);
    let shims: Vec<u32> = descendants(root)
        .into_iter()
        .filter(|id| {
            std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|c| c.trim() == "git-parallel")
        })
        .collect();
    assert_eq!(shims.len(), 2);
    for id in shims {
        let _ = kill_process(pid(id), Signal::KILL);
    }
    kill_supervisor(running);
    assert!(crash.agents.iter().all(|id| lives(*id)));
    crash.abort();
    crash.work_is_kept();
}

#[test]
fn resume_takes_living_agents_over() {
    // 1, 4: adopted, landed, and the queue goes on.
    let (crash, running) = started(WAITING);
    let sandbox = &crash.sandbox;
    kill_supervisor(running);
    let resumed = sandbox.spawn(&["resume"]);
    wait_until("it has taken over", || sandbox.status()["run"]["state"] == "running");
    let second = sandbox.parallel(&["resume"]).expect(4);
    second.tells(&["is going here", "Nothing was created or changed"]);
    assert_eq!(crash.agents, [agent_pid(sandbox, "a"), agent_pid(sandbox, "b")], "the same agents");
    sandbox.mark("go");
    resumed.wait().expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
    for task in ["a", "b", "c"] {
        assert_eq!(
            sandbox.git(&["log", "--format=%s", "main"]).matches(&format!("work-of-{task}")).count(),
            1
        );
        assert!(sandbox.has(&format!("more-{task}")), "what it did not commit landed too");
    }
    sandbox.check(&crash.before);
    settled(sandbox, &["resume"]);
    settled(sandbox, &["abort"]);
}

#[test]
fn resume_lands_what_ended_meanwhile() {
    // 1, 4
    let (crash, running) = started(WAITING);
    let sandbox = &crash.sandbox;
    kill_supervisor(running);
    sandbox.mark("go");
    wait_until("both are over", || crash.agents.iter().all(|id| !lives(*id)));
    sandbox.parallel(&["resume"]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
    sandbox.check(&crash.before);
    settled(sandbox, &["resume"]);
}

#[test]
fn resume_after_a_whole_tree_died() {
    // 2: the agents' ends were not seen; what they made is kept, the queue goes on.
    let (crash, running) = started(WAITING);
    let sandbox = &crash.sandbox;
    kill_tree(running);
    wait_until("all are dead", || crash.agents.iter().all(|id| !lives(*id)));
    sandbox.mark("go");
    sandbox.parallel(&["resume"]).expect(1);
    sandbox.expect_states(&[("a", "failed"), ("b", "failed"), ("c", "landed")]);
    crash.work_is_kept();
    sandbox.check(&crash.before);
    settled(sandbox, &["resume"]);
    sandbox.parallel(&["retry", "a", "b"]);
    crash.work_is_kept();
    sandbox.check(&crash.before);
}

/// Where a hook of the user's holds a run up, and so where it is killed.
const PLACES: [(&str, &str); 5] = [
    // A worktree is being made.
    ("post-checkout", "[ \"${3-}\" = 1 ]"),
    // A branch is being made, or a pin.
    ("reference-transaction", "[ $1 = prepared ] && echo \"$refs\" | grep -q feature/a"),
    ("reference-transaction", "[ $1 = committed ] && echo \"$refs\" | grep -q refs/parallel"),
    // The target moves: before, and right after.
    ("reference-transaction", "[ $1 = prepared ] && echo \"$refs\" | grep -q refs/heads/main"),
    ("reference-transaction", "[ $1 = committed ] && echo \"$refs\" | grep -q refs/heads/main"),
];

#[test]
fn death_at_each_step_that_a_hook_can_see() {
    // 2, 5, 6
    std::thread::scope(|scope| {
        for (number, (hook, here)) in PLACES.into_iter().enumerate() {
            for settle in ["abort", "resume"] {
                scope.spawn(move || {
                    let sandbox = scene();
                    sandbox.hook(hook, &format!(
                        "refs=$(cat); if [ ! -e $IO/go ] && {here}; then mark held; until [ -e $IO/go ]; do sleep 0.02; done; fi; exit 0"
                    ));
                    let before = sandbox.snapshot();
                    let running = sandbox.spawn_run(&["a", "b"], &sandbox.simple_agent());
                    sandbox.await_mark("held");
                    kill_tree(running);
                    sandbox.mark("go");
                    let place = format!("{number} {settle}");
                    after_death(&sandbox, &before, settle, &place);
                });
            }
        }
    });
}

/// What happened before, for whoever looks at a failing test.
struct ToldOnPanic(String);

impl Drop for ToldOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Settles a run that was killed, and looks whether all is well and the next run works.
#[track_caller]
fn after_death(sandbox: &Sandbox, before: &Snapshot, settle: &str, place: &str) {
    let known = sandbox.parallel(&["status", "--json"]);
    if known.code == 0 && known.json()["run"]["state"] == "interrupted" {
        let output = sandbox.parallel(&[settle]);
        assert!(matches!(output.code, 0 | 1), "{place}: {}", output.all());
        assert!(!output.all().contains("panicked"), "{place}: {}", output.all());
        let _told = ToldOnPanic(format!("{place}:\n{}{}", output.all(), sandbox.parallel(&["status"]).all()));
        let told = sandbox.status();
        for task in told["tasks"].as_array().unwrap() {
            // A git that an agent had running, and that died with it, leaves its locks in the task's worktree.
            // The work did not land, then, and they are a person's to remove.
            let name = task["name"].as_str().unwrap();
            let open = matches!(task["state"].as_str(), Some("failed" | "held" | "aborted" | "finished"));
            let admin = sandbox.common_dir().join("worktrees").join(name);
            for entry in std::fs::read_dir(admin).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "lock") {
                    assert!(
                        open && task["attempt"] != 0,
                        "{place}: {} is left; {told:#}",
                        entry.path().display()
                    );
                    std::fs::remove_file(entry.path()).unwrap();
                }
            }
        }
        sandbox.check(before);
        settled(sandbox, &["resume"]);
        settled(sandbox, &["abort"]);
    }
    let _told = ToldOnPanic(format!("{place}: {}", known.all()));
    sandbox.run(&["fresh"], &sandbox.simple_agent()).expect(0);
    assert_eq!(sandbox.state("fresh"), "landed", "{place}");
    sandbox.check(before);
}

/// Kills a run of three quick tasks after `delay`, and settles it.
fn die_after(delay: Duration, settle: &str) {
    let sandbox = scene();
    let before = sandbox.snapshot();
    let body =
        "echo $task >$task.txt; commit; echo more >more-$task; sleep 0.03; echo x >>shared.txt; exit 0";
    let running = sandbox.spawn_run(&["-j2", "a", "b", "c"], &sandbox.agent(body));
    std::thread::sleep(delay);
    kill_tree(running);
    after_death(&sandbox, &before, settle, &format!("{delay:?}, {settle}"));
}

/// Delays over the whole length of such a run, at random but not equal.
fn die_often(count: u32) {
    use std::hash::{BuildHasher, Hasher};
    let seed = std::hash::RandomState::new().build_hasher().finish();
    let next = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let step = 600_000 / u64::from(count);
                    let micros = u64::from(n) * step + (seed >> (n % 32)) % step;
                    die_after(
                        Duration::from_micros(micros),
                        if n.is_multiple_of(2) { "abort" } else { "resume" },
                    );
                }
            });
        }
    });
}

#[test]
fn death_at_random_points() {
    // 2, I1 to I6, I9
    die_often(20);
}

#[test]
#[ignore = "long"]
fn death_at_many_random_points() {
    die_often(200);
}

#[test]
fn death_of_the_one_who_resumes() {
    // 4: again and again, and in the end it comes to its end.
    let (crash, running) = started(WAITING);
    let sandbox = &crash.sandbox;
    kill_supervisor(running);
    for _ in 0..3 {
        let resumed = sandbox.spawn(&["resume"]);
        wait_until("it has taken over", || sandbox.status()["run"]["state"] == "running");
        kill_supervisor(resumed);
    }
    sandbox.mark("go");
    sandbox.parallel(&["resume"]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
    sandbox.check(&crash.before);
}
