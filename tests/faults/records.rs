//! Agents that reach for the records in `.git/parallel`. Nothing is lost, nothing crashes, and what can't be
//! done is said in words.

use std::fs;

use crate::common::Sandbox;
use crate::support::{Story, hostile, is_kept, scene, sound, tell_in, users_things_are_there};

/// Where the agent finds the records; `$run` is the run's, `$mine` the task's.
const PATHS: &str =
    "all=$GIT_PARALLEL_ROOT/.git/parallel; run=$all/runs/$GIT_PARALLEL_RUN; mine=$run/tasks/bad;";

/// Runs a task that commits, and then does this to the records.
#[track_caller]
fn spoil(what: &str) -> Story {
    let sandbox = scene();
    let agent = hostile(&sandbox, &format!("{PATHS} echo x >x; commit spoilt-work; {what}"));
    let story = tell_in(sandbox, &agent, &[]);
    assert!(story.sandbox.has("good.txt"), "{what}: {}", story.output.all());
    story.sandbox.check_processes();
    story.sandbox.check_commits();
    story.sandbox.check_landings(&story.before);
    story.sandbox.check_users_things(&story.before);
    sound(&story.sandbox);
    story
}

/// Every command ends in words, and a new run can be made.
#[track_caller]
fn usable(sandbox: &Sandbox) {
    for args in [
        &["status"][..],
        &["list"],
        &["logs"],
        &["land"],
        &["abort"],
        &["cleanup", "-n"],
        &["status", "--json"],
    ] {
        let output = sandbox.parallel(args);
        assert!(matches!(output.code, 0 | 1 | 3), "{args:?}: {}", output.all());
        assert!(!output.stderr.contains("panicked"), "{args:?}: {}", output.all());
        assert!(!output.all().is_empty() || args == ["list"], "{args:?}");
    }
    sandbox.run(&["again"], &sandbox.simple_agent()).expect(0);
    assert_eq!(sandbox.state("again"), "landed");
}

#[test]
fn a_forged_exit_does_not_count() {
    let story = spoil("echo '{\"attempt\":1,\"code\":0,\"signal\":null}' >$mine/exit.json; exit 9");
    story.bad_is("failed", &["exit 9"]).kept();
}

#[test]
fn the_pipe_and_the_lock_of_a_shim_are_replaced() {
    let story = spoil("rm -f $mine/control $mine/alive; echo hi >$mine/control; echo hi >$mine/alive");
    story.bad_is("landed", &[]);
}

#[test]
fn a_shim_without_its_pipe_can_be_stopped() {
    let sandbox = scene();
    let agent = hostile(
        &sandbox,
        &format!(
            "{PATHS} echo x >x; commit; rm -f $mine/control $run/control $mine/alive; mark gone; sleep 300"
        ),
    );
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["bad", "good"], &agent);
    sandbox.await_mark("gone");
    // It can't be reached by its pipe any more: that is said; a signal still does.
    let output = sandbox.parallel(&["abort"]);
    assert!(output.code == 1 && output.stderr.starts_with("error: "), "{}", output.all());
    running.signal(rustix::process::Signal::TERM);
    running.wait().expect(143);
    sandbox.check(&before);
}

#[test]
fn a_garbled_specification_is_told() {
    let sandbox = scene();
    let agent = hostile(&sandbox, &format!("{PATHS} echo x >x; commit; echo garbage >$run/run.json"));
    sandbox.run(&["bad", "good"], &agent).expect(0);
    assert!(sandbox.has("x") && sandbox.has("good.txt"));
    let status = sandbox.parallel(&["status"]).expect(1);
    status.tells(&["can't be read", "run.json", "not touched"]);
    usable(&sandbox);
}

#[test]
fn a_cut_journal_is_told() {
    let story = spoil(": >$run/journal.jsonl");
    story.output.clone().expect(0);
    story.sandbox.parallel(&["status"]).expect(0).tells(&["bytes that make no sense"]);
    story.sandbox.parallel(&["abort"]);
    usable(&story.sandbox);
    sound(&story.sandbox);
}

#[test]
fn garbage_in_a_journal_is_told() {
    let story = spoil("printf 'gar\\000bage\\n{\"at\":1}\\n' >>$run/journal.jsonl");
    story.sandbox.parallel(&["status"]).expect(0).tells(&["bytes that make no sense"]);
    story.sandbox.parallel(&["abort"]);
    usable(&story.sandbox);
}

#[test]
fn records_that_are_gone_lose_no_work() {
    for what in ["rm -rf $mine", "rm -rf $run/tasks", "rm -rf $all", "mv $all $IO/away", "rm -f $all/lock"] {
        let sandbox = scene();
        let bad = format!("{PATHS} await good; echo x >x; commit spoilt-work; {what}");
        let agent = sandbox.agent(&format!(
            "if [ \"$task\" = bad ]; then\n{bad}\nelse\necho good >good.txt; commit; mark good\nfi"
        ));
        let Story { sandbox, output, .. } = tell_in(sandbox, &agent, &[]);
        assert!(sandbox.has("good.txt"), "{what}: {}", output.all());
        assert!(is_kept(&sandbox, "spoilt-work"), "{what}");
        sandbox.check_processes();
        users_things_are_there(&sandbox);
        sound(&sandbox);
        usable(&sandbox);
    }
}

#[test]
fn a_log_replaced_by_a_link_is_not_written_through() {
    let story = spoil(
        "echo precious >$IO/victim; rm $mine/output.log; ln -s $IO/victim $mine/output.log; echo noise",
    );
    assert_eq!(story.sandbox.read_io("victim"), "precious\n");
    // Neither are the next task's, nor a retry's.
    usable(&story.sandbox);
    assert_eq!(story.sandbox.read_io("victim"), "precious\n");
}

#[test]
fn records_behind_a_link_are_refused() {
    // `.git/parallel` itself becomes a link: nothing is written through it by the next command.
    let story =
        spoil("mkdir $IO/elsewhere; mv $all $IO/elsewhere/parallel; ln -s $IO/elsewhere/parallel $all");
    let sandbox = &story.sandbox;
    let output = sandbox.run(&["again"], &sandbox.simple_agent()).expect(3);
    output.tells(&["is a symbolic link"]);
    fs::remove_file(sandbox.common_dir().join("parallel")).unwrap();
    usable(sandbox);
}
