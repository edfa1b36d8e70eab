//! Supervisors and controllers that die, and queries that fail.

use crate::bench::Shop;
use crate::common;

const TASKS: [&str; 3] = ["one", "two", "three"];

#[track_caller]
fn expect_landed(shop: &Shop) {
    shop.expect_ran_once(&TASKS);
    shop.sandbox.expect_states(&TASKS.map(|task| (task, "landed")));
    shop.await_empty_queue();
    let again = shop.sandbox.parallel(&["resume"]).expect(0);
    again.tells(&["there is nothing to resume"]);
}

/// The supervisor dies while it submits: before the job is there, or after that and before it knows.
#[test]
fn killed_between_submitting_and_knowing() {
    for after in [false, true] {
        let Some(mut shop) = Shop::open() else { return };
        let die = r#"if mkdir "$IO/died" 2>/dev/null; then kill -9 $PPID; fi"#;
        let body = if after { format!("real \"$@\"\n{die}") } else { format!("{die}\nreal \"$@\"") };
        // Without `set -e` what comes after the kill is not reached: its job is never submitted.
        let body = if after { body } else { body.replace("$PPID; fi", "$PPID; exit 1; fi") };
        shop.wrap("sbatch", &body);
        shop.use_wrapped();
        let sandbox = &shop.sandbox;
        let before = sandbox.snapshot();
        let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran"; echo x > "$task.txt"; commit"#);
        let args: Vec<&str> = ["-j3"].into_iter().chain(TASKS).collect();
        assert_eq!(shop.start(&args, &agent).wait().code, 137);
        sandbox.parallel(&["resume"]).expect(0);
        expect_landed(&shop);
        sandbox.check(&before);
    }
}

#[test]
fn killed_while_jobs_run() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    sandbox.gate("two");
    // One ends while nobody looks, one goes on, one has not started.
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; echo "$task is up"; mark "up-$task"
        case $task in one) await end;; two) pass two; echo "$task goes on";; esac
        echo x > "$task.txt"; commit; mark "done-$task""#,
    );
    let run = shop.start(&["-j2", "one", "two", "three"], &agent);
    sandbox.await_mark("up-one");
    sandbox.await_mark("up-two");
    shop.kill(run);
    sandbox.mark("end");
    sandbox.await_mark("done-one");
    sandbox.parallel(&["status"]).expect(0).tells(&["interrupted"]);
    let mut logs = sandbox.command(&sandbox.repo, common::PROGRAM);
    logs.args(["logs", "-f", "two"]);
    let logs = sandbox.start(logs);
    common::wait_until("logs -f tells it", || logs.so_far().0.contains("two is up"));
    let mut resume = sandbox.command(&sandbox.repo, common::PROGRAM);
    resume.arg("resume");
    let resume = sandbox.start(resume);
    sandbox.await_mark("done-three");
    sandbox.open_gate("two");
    resume.wait().expect(0);
    logs.wait().expect(0).tells(&["two goes on"]);
    expect_landed(&shop);
    sandbox.check(&before);
}

#[test]
fn an_interrupted_run_is_aborted_with_its_jobs() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; trap 'echo x > x; commit "saved"; exit 1' TERM
        mark up; while :; do sleep 0.05; done"#,
    );
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    shop.kill(run);
    sandbox.parallel(&["abort"]).expect(0);
    assert_eq!(sandbox.state("one"), "aborted");
    assert_eq!(sandbox.git(&["log", "--format=%s", "main..feature/one"]), "saved");
    shop.await_empty_queue();
}

#[test]
fn the_controller_dies_and_comes_back() {
    let Some(shop) = Shop::alone() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; mark "up-$task"; await end; echo x > "$task.txt"; commit; mark "done-$task""#,
    );
    let run = shop.start(&["-j2", "one", "two", "three"], &agent);
    sandbox.await_mark("up-one");
    sandbox.await_mark("up-two");
    shop.cluster.await_saved();
    shop.cluster.daemon("stop", "slurmctld");
    // Two end, and the third is to be submitted, while there is nobody who takes it.
    sandbox.mark("end");
    sandbox.await_mark("done-one");
    sandbox.await_mark("done-two");
    common::wait_until("it is told", || run.so_far().0.contains("three: waits for slurm"));
    shop.cluster.daemon("start", "slurmctld");
    run.wait().expect(0);
    expect_landed(&shop);
    sandbox.check(&before);
}

#[test]
fn a_query_that_fails_means_nothing() {
    let Some(mut shop) = Shop::open() else { return };
    shop.wrap(
        "squeue",
        r#"if [ -e "$IO/deaf" ]; then echo "squeue: error: no" >&2; : > "$IO/asked"; exit 1; fi; real "$@""#,
    );
    shop.use_wrapped();
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.slurm.args", "--hold"]);
    sandbox.git(&["config", "parallel.lostAfter", "1s"]);
    sandbox.mark("deaf");
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran"; echo x > "$task.txt"; commit"#);
    let args: Vec<&str> = ["-j3"].into_iter().chain(TASKS).collect();
    let run = shop.start(&args, &agent);
    sandbox.await_mark("asked");
    std::fs::remove_file(sandbox.io("asked")).expect("it is there");
    sandbox.await_mark("asked");
    std::fs::remove_file(sandbox.io("deaf")).expect("it is there");
    common::wait_until("all are held", || shop.queue(&shop.tokens()).len() == 3);
    for token in shop.tokens() {
        shop.cluster.scontrol(&["release", &format!("jobname={token}")]);
    }
    run.wait().expect(0);
    expect_landed(&shop);
}
