//! How agents and jobs end, or never start.

use std::fs;

use crate::bench::Shop;
use crate::common::{self, Sandbox};

fn commits_on(sandbox: &Sandbox, branch: &str) -> String {
    sandbox.git(&["log", "--format=%s", &format!("main..{branch}")])
}

#[test]
fn abort_lets_an_agent_commit() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"trap 'echo "TERM" >> "$IO/signals"; echo saved > saved; commit "saved at the end"; exit 1' TERM
        mark up; while :; do sleep 0.05; done"#,
    );
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    sandbox.parallel(&["abort"]).expect(0);
    run.wait().expect(1);
    assert_eq!(sandbox.state("one"), "aborted");
    assert_eq!(commits_on(sandbox, "feature/one"), "saved at the end");
    assert_eq!(sandbox.read_io("signals"), "TERM\n", "once");
    shop.await_empty_queue();
    sandbox.check(&before);
}

#[test]
fn an_agent_that_ignores_term_is_killed() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let agent = sandbox.agent(r#"trap '' TERM; mark up; while :; do sleep 0.05; done"#);
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    run.signal(rustix::process::Signal::INT);
    common::wait_until("it is told", || run.so_far().1.contains("Ctrl-C again"));
    run.signal(rustix::process::Signal::INT);
    run.wait().expect(130);
    assert_eq!(sandbox.state("one"), "aborted");
    shop.await_empty_queue();
}

#[test]
fn exits_are_those_of_the_agent() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; case $task in c75) exit 75;; c255) exit 255;; killed) kill -9 $$;; esac"#,
    );
    shop.start(&["-j4", "c75", "c255", "killed", "nothing"], &agent).wait().expect(1);
    sandbox.expect_states(&[
        ("c75", "failed"),
        ("c255", "failed"),
        ("killed", "failed"),
        ("nothing", "unchanged"),
    ]);
    assert_eq!(sandbox.task("c75")["exit_code"], 75);
    assert_eq!(sandbox.task("c255")["exit_code"], 255);
    assert_eq!(sandbox.task("killed")["reason"], "killed by signal 9");
    shop.expect_ran_once(&["c75", "c255", "killed", "nothing"]);
}

#[test]
fn a_job_that_is_refused_says_why() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.slurm.args", "--partition=nope"]);
    let run = shop.start(&["one"], &sandbox.simple_agent()).wait().expect(1);
    run.tells(&["one: failed: sbatch: invalid partition specified: nope"]);
}

#[test]
fn a_job_that_never_starts_is_seen_and_can_be_aborted() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.slurm.args", "--partition=closed"]);
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran""#);
    let run = shop.start(&["one"], &agent);
    common::wait_until("its reason is told", || run.so_far().0.contains("PartitionDown"));
    sandbox.parallel(&["status"]).expect(0).tells(&["waits for slurm (job ", "PartitionDown"]);
    sandbox.parallel(&["abort"]).expect(0);
    run.wait().expect(1);
    assert_eq!(sandbox.state("one"), "aborted");
    shop.await_empty_queue();
    shop.expect_ran_once(&[]);
}

/// Slurm itself would go to /tmp, and say that all went well.
#[test]
fn a_worktree_that_is_not_there_is_no_place_to_work() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.slurm.args", "--hold"]);
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran""#);
    let run = shop.start(&["-j2", "gone", "other"], &agent);
    let tokens = || shop.tokens();
    common::wait_until("both are held", || shop.queue(&tokens()).len() == 2);
    fs::rename(sandbox.worktree("gone"), sandbox.root.join("elsewhere")).expect("it is there");
    // What another file system has at that path.
    fs::write(sandbox.worktree("other").join(".git"), "gitdir: /another/one\n").expect("it is there");
    for token in tokens() {
        shop.cluster.scontrol(&["release", &format!("jobname={token}")]);
    }
    run.wait().expect(1).tells(&[
        "gone: failed",
        "other: failed",
        "is not the worktree that was made for the task",
    ]);
    shop.expect_ran_once(&[]);
}

#[test]
fn what_the_scheduler_ends_is_not_taken_for_an_abort() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran"; mark up; while :; do sleep 0.05; done"#);
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    let name = format!("--name={}", shop.tokens()[0]);
    sandbox.run_in(&sandbox.repo, "scancel", &[name]).expect(0);
    run.wait().expect(1).tells(&["one: failed: its job was cancelled on n", "(by slurm)"]);
    assert_eq!(sandbox.state("one"), "failed");
}

#[test]
fn a_node_that_dies_fails_its_task() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.slurm.args", "--partition=spare"]);
    sandbox.git(&["config", "parallel.lostAfter", "6s"]);
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran"; mark up; while :; do sleep 0.05; done"#);
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    // Its daemon, then what carries our path: what its daemon had started would tell of that otherwise.
    shop.cluster.daemon("stop", "slurmd.n4");
    shop.cluster.scontrol(&["update", "nodename=n4", "state=down", "reason=test"]);
    let supervisor = run.pid();
    for id in common::processes(&sandbox.root.join("shop")) {
        if id != supervisor {
            let _ = rustix::process::kill_process(common::pid(id), rustix::process::Signal::KILL);
        }
    }
    let output = run.wait();
    shop.cluster.daemon("start", "slurmd.n4");
    shop.cluster.scontrol(&["update", "nodename=n4", "state=resume"]);
    output.expect(1).tells(&["one: failed: its job ended because its node failed on n4"]);
    shop.expect_ran_once(&["one"]);
}

#[test]
fn what_the_queue_forgot_the_accounts_know() {
    let Some(mut shop) = Shop::open() else { return };
    shop.wrap("squeue", r#"real "$@" | sed '/CANCELLED/d'"#);
    let accounts = r#"for option; do case $option in --name=*) echo "${option#--name=}|CANCELLED by 0|0:0|n2";; esac; done"#;
    shop.wrap("sacct", accounts);
    shop.use_wrapped();
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.slurm.args", "--hold"]);
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran""#);
    let run = shop.start(&["one"], &agent);
    common::wait_until("it is held", || shop.queue(&shop.tokens()).len() == 1);
    let name = format!("--name={}", shop.tokens()[0]);
    sandbox.run_in(&sandbox.repo, "scancel", &[name]).expect(0);
    run.wait().expect(1).tells(&["one: failed: its job was cancelled on n2 before its agent started"]);
    shop.expect_ran_once(&[]);
}

#[test]
fn a_job_that_nobody_knows_and_that_is_silent_is_lost() {
    let Some(mut shop) = Shop::open() else { return };
    shop.wrap("squeue", r#"if [ -e "$IO/forgot" ]; then exit 0; fi; real "$@""#);
    shop.use_wrapped();
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.lostAfter", "3s"]);
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran"; mark up; while :; do sleep 0.05; done"#);
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    sandbox.mark("forgot");
    let supervisor = run.pid();
    for id in common::processes(&sandbox.root.join("shop")) {
        if id != supervisor {
            let _ = rustix::process::kill_process(common::pid(id), rustix::process::Signal::KILL);
        }
    }
    run.wait().expect(1).tells(&["one: failed: its job is gone, without a sign of life for 3 s"]);
    shop.await_empty_queue();
}
