//! Runners that the user configures: commands that submit, tell and cancel, and a command in front of the agent's.

#![allow(clippy::disallowed_methods)]

mod common;

use std::path::Path;

use common::{Running, Sandbox};

/// A scheduler of sorts: a job is a process in a session of its own, in a file of its name.
const QUEUE: &str = r#"
mkdir -p "$IO/jobs"
case $1 in
submit)
    if rm "$IO/full" 2>/dev/null; then echo "the queue is full" >&2; exit 75; fi
    if [ -e "$IO/closed" ]; then echo "no such project" >&2; exit 1; fi
    setsid "$3" >"$4" 2>&1 </dev/null &
    echo $! >"$IO/jobs/$2"
    echo "submitted job $2";;
status)
    for job in $(ls "$IO/jobs"); do
        if kill -0 "$(cat "$IO/jobs/$job")" 2>/dev/null; then echo "$job RUNNING"; else echo "$job DONE"; fi
    done;;
cancel)
    echo "$2" >>"$IO/cancelled"
    kill -KILL -"$(cat "$IO/jobs/$2")" 2>/dev/null || :;;
esac"#;

fn shop() -> Sandbox {
    let sandbox = Sandbox::new();
    let queue = sandbox.script(&sandbox.root.join("bin/queue"), QUEUE);
    let queue = queue.to_str().expect("UTF-8");
    let set = |key: &str, value: &str| drop(sandbox.git(&["config", key, value]));
    set("parallel.runner", "mine");
    set("parallel.lostAfter", "30s");
    set("parallel.runner.mine.submit", &format!("'{queue}' submit {{job}} {{script}} {{log}}"));
    set("parallel.runner.mine.status", &format!("'{queue}' status"));
    set("parallel.runner.mine.cancel", &format!("'{queue}' cancel {{job}}"));
    sandbox
}

fn start(sandbox: &Sandbox, options_and_tasks: &[&str], agent: &Path) -> Running {
    let mut command = sandbox.command(&sandbox.repo, common::PROGRAM);
    command.args(sandbox.run_args(options_and_tasks, agent));
    sandbox.start(command)
}

fn ran(sandbox: &Sandbox) -> Vec<String> {
    let mut ran: Vec<String> = sandbox.read_io("ran").lines().map(str::to_owned).collect();
    ran.sort_unstable();
    ran
}

#[test]
fn tasks_land_by_the_user_s_own_commands() {
    let sandbox = shop();
    let before = sandbox.snapshot();
    sandbox.mark("full");
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran"; echo x > "$task.txt"; commit"#);
    let output = start(&sandbox, &["-j3", "a", "b", "c"], &agent).wait().expect(0);
    output.tells(&["submitted to mine (job gp-", "the queue is full", "3 landed"]);
    assert_eq!(ran(&sandbox), ["a", "b", "c"]);
    assert_eq!(sandbox.task("b")["runner"], "mine");
    sandbox.check(&before);
}

#[test]
fn a_dead_supervisor_s_jobs_are_found_again() {
    let sandbox = shop();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; mark "up-$task"; await end; echo x > "$task.txt"; commit; mark "done-$task""#,
    );
    let run = start(&sandbox, &["-j2", "a", "b"], &agent);
    sandbox.await_mark("up-a");
    sandbox.await_mark("up-b");
    run.signal(rustix::process::Signal::KILL);
    run.wait();
    sandbox.mark("end");
    sandbox.await_mark("done-a");
    sandbox.parallel(&["resume"]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    assert_eq!(ran(&sandbox), ["a", "b"]);
    sandbox.check(&before);
}

#[test]
fn abort_gives_the_agent_its_grace() {
    let sandbox = shop();
    let agent = sandbox.agent(
        r#"trap 'echo saved > saved; commit "saved"; exit 1' TERM; mark up; while :; do sleep 0.05; done"#,
    );
    let run = start(&sandbox, &["one"], &agent);
    sandbox.await_mark("up");
    sandbox.parallel(&["abort"]).expect(0);
    run.wait().expect(1);
    assert_eq!(sandbox.state("one"), "aborted");
    assert_eq!(sandbox.git(&["log", "--format=%s", "main..feature/one"]), "saved");
    assert_eq!(sandbox.read_io("cancelled"), "", "it ended as it was asked to");
}

#[test]
fn what_can_t_be_submitted_says_why() {
    let sandbox = shop();
    sandbox.mark("closed");
    let run = start(&sandbox, &["one"], &sandbox.simple_agent());
    run.wait().expect(1).tells(&["one: failed: submit: no such project"]);
}

#[test]
fn a_runner_that_is_half_configured_is_refused() {
    let sandbox = shop();
    let agent = sandbox.simple_agent();
    sandbox.git(&["config", "--unset", "parallel.runner.mine.status"]);
    let refused =
        |args: &[&str], words: &[&str]| drop(start(&sandbox, args, &agent).wait().expect(3).tells(words));
    refused(&["one"], &["'parallel.runner.mine.status' is not set"]);
    sandbox.parallel(&["doctor"]).expect(3).tells(&["'parallel.runner.mine.status' is not set"]);
    refused(&["--runner=his", "one"], &["no runner is known as 'his'", "local, slurm, ssh, mine"]);
    sandbox.git(&["config", "parallel.runner.mine.prefix", "nice"]);
    refused(&["one"], &["both a prefix and commands"]);
    sandbox.git(&["config", "parallel.runner.odd.prefix", "nice 'x"]);
    refused(&["--runner=odd", "one"], &["parallel.runner.odd.prefix", "quotes that are closed"]);
    sandbox.git(&["config", "parallel.runner.odd.prefix", "no-such-box -x"]);
    refused(&["--runner=odd", "one"], &["runner 'odd' was not found", "no-such-box"]);
    start(&sandbox, &["--runner=local", "one"], &agent).wait().expect(0);
}

#[test]
fn a_prefix_stands_in_front_of_the_agent_s_command() {
    let sandbox = shop();
    sandbox.git(&["config", "parallel.runner.box.prefix", "env 'BOX=of {task}'"]);
    let agent = sandbox.agent(r#"echo "$BOX" > "$task.txt"; commit"#);
    let plan = start(&sandbox, &["-n", "--runner", "box", "a", "b"], &agent).wait().expect(0);
    plan.tells(&["start each by box: env 'BOX=of {task}'"]);
    start(&sandbox, &["--runner", "box", "a"], &agent).wait().expect(0);
    assert_eq!(sandbox.show("main", "a.txt"), "of a\n");
}

/// A server and two workers of HyperQueue, ended with the test.
struct HyperQueue(Vec<std::process::Child>);

impl HyperQueue {
    fn start(sandbox: &Sandbox) -> Option<HyperQueue> {
        if sandbox.command(&sandbox.root, "hq").arg("--version").output().is_err() {
            eprintln!("skipped: hq (HyperQueue) is not on PATH");
            return None;
        }
        let start = |args: &[&str]| {
            let mut command = sandbox.command(&sandbox.root, "hq");
            command.args(args).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            command.spawn().expect("it can be started")
        };
        let mut all = HyperQueue(vec![start(&["server", "start"])]);
        let count = |what: &[&str]| sandbox.run_in(&sandbox.root, "hq", what);
        common::wait_until("its server answers", || count(&["server", "info"]).code == 0);
        all.0.extend([0, 1].map(|_| start(&["worker", "start", "--cpus=2"])));
        common::wait_until("its workers are there", || {
            count(&["worker", "list"]).stdout.matches("RUNNING").count() == 2
        });
        Some(all)
    }
}

impl Drop for HyperQueue {
    fn drop(&mut self) {
        for child in self.0.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn the_example_for_hyperqueue_works() {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("HQ_SERVER_DIR", sandbox.root.join("hq"));
    let Some(_queue) = HyperQueue::start(&sandbox) else { return };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hyperqueue");
    sandbox.run_in(&sandbox.repo, example, &[] as &[&str]).expect(0);
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; if [ "$task" = e ]; then mark up; while :; do sleep 0.05; done; fi
        echo x > "$task.txt"; commit"#,
    );
    let all = ["--runner=hq", "-j8", "a", "b", "c", "d", "e", "f", "g", "h"];
    let run = start(&sandbox, &all, &agent);
    sandbox.await_mark("up");
    common::wait_until("the others have landed", || run.so_far().0.matches(": landed").count() == 7);
    sandbox.parallel(&["status"]).expect(0).tells(&["on "]);
    sandbox.parallel(&["abort", "e"]).expect(0);
    run.wait().expect(1);
    assert_eq!(sandbox.state("e"), "aborted");
    assert_eq!(ran(&sandbox), ["a", "b", "c", "d", "e", "f", "g", "h"]);
    // One that waits for a worker that never comes is cancelled by its name.
    let more = "--cpus=64 --name=\"{job}\"";
    let submit = sandbox.git(&["config", "parallel.runner.hq.submit"]).replace("--name=\"{job}\"", more);
    sandbox.git(&["config", "parallel.runner.hq.submit", &submit]);
    let run = start(&sandbox, &["--runner=hq", "never"], &agent);
    common::wait_until("it is submitted", || run.so_far().0.contains("never: submitted to hq (job "));
    sandbox.parallel(&["abort"]).expect(0);
    run.wait().expect(1);
    let list = sandbox.run_in(&sandbox.root, "hq", &["job", "list", "--filter=waiting,running"]).expect(0);
    assert!(!list.stdout.contains("gp-"), "{}", list.stdout);
}

/// The supervisor is killed before one of its calls that may change something; `resume` has all land, and no agent
/// was started twice.
fn visit(library: &Path, kill_at: u64) {
    let sandbox = shop();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran"; echo x > "$task.txt"; commit"#);
    let mut command = sandbox.command(&sandbox.repo, common::PROGRAM);
    command.args(sandbox.run_args(&["-j2", "a", "b", "c"], &agent));
    command.env("LD_PRELOAD", library).env("KILL_AT", kill_at.to_string());
    command.env("KILL_COUNT", sandbox.io("count"));
    let died = sandbox.start(command).wait();
    let at = format!("killed before call {kill_at}\n{}", died.all());
    if sandbox.parallel(&["status"]).code != 0 {
        // There was no run yet.
        return;
    }
    let resumed = sandbox.parallel(&["resume"]);
    assert_eq!(resumed.code, 0, "{at}{}", resumed.all());
    assert_eq!(ran(&sandbox), ["a", "b", "c"], "{at}{}", resumed.all());
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
    sandbox.check(&before);
}

fn visit_every(step: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(library) = common::kill_library(dir.path()) else { return };
    let sandbox = shop();
    let mut command = sandbox.command(&sandbox.repo, common::PROGRAM);
    command.args(sandbox.run_args(&["-j2", "a", "b", "c"], &sandbox.simple_agent()));
    command.env("LD_PRELOAD", &library).env("KILL_AT", "0").env("KILL_COUNT", sandbox.io("count"));
    sandbox.start(command).wait().expect(0);
    let last: u64 = sandbox.read_io("count").trim().parse().expect("a number");
    assert!(last > 100, "the library counts too little: {last}");
    common::two_at_a_time((1..=last).skip(step / 2).step_by(step), |kill_at| visit(&library, kill_at));
    println!("{last} calls");
}

#[test]
fn killed_at_some_calls() {
    visit_every(47);
}

#[test]
#[ignore = "long: visits every call"]
fn killed_at_every_call() {
    visit_every(1);
}
