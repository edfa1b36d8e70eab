//! When agents are started: pauses between tries, rate limits, a busy machine.

#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{Sandbox, wait_until};
use rustix::process::Signal;
use serde_json::Value;

fn configure(sandbox: &Sandbox, values: &[(&str, &str)]) {
    for (key, value) in values {
        sandbox.git(&["config", "--add", key, value]);
    }
}

fn events(sandbox: &Sandbox) -> Vec<Value> {
    let journal = fs::read_to_string(sandbox.record().join("journal.jsonl")).unwrap();
    journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_rate_limit_is_waited_out_and_is_no_failure() {
    let sandbox = Sandbox::new();
    configure(&sandbox, &[("parallel.rateLimitPause", "100ms")]);
    let agent = sandbox.agent(
        r#"if [ $GIT_PARALLEL_ATTEMPT -lt 3 ]; then echo "API Error: 429 Too Many Requests" >&2; exit 1; fi
           echo x >x.txt; commit"#,
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["a"], &agent).expect(0);
    let output = output.tells(&["rate limited: API Error: 429 Too Many Requests", "tried again in 0.1s"]);
    assert!(output.all().contains("tried again in 0.2s"), "the pause grows: {}", output.all());
    assert_eq!(sandbox.task("a")["attempt"], 3);
    sandbox.expect_states(&[("a", "landed")]);
    sandbox.check(&before);
}

#[test]
fn a_rate_limit_leaves_fewer_at_once_for_a_while() {
    let sandbox = Sandbox::new();
    configure(&sandbox, &[("parallel.rateLimitPause", "50ms")]);
    let agent = sandbox.agent(
        r#"mark "up-$task-$GIT_PARALLEL_ATTEMPT"
           if [ $task = a ] && [ $GIT_PARALLEL_ATTEMPT = 1 ]; then await go; echo overloaded; exit 1; fi
           [ $task = a ] || await "end-$task"; echo $task >$task.txt; commit"#,
    );
    let running = sandbox.spawn_run(&["-j4", "a", "b", "c", "d", "e"], &agent);
    ["a", "b", "c", "d"].iter().for_each(|task| sandbox.await_mark(&format!("up-{task}-1")));
    sandbox.mark("go");
    wait_until("it is told", || running.so_far().0.contains("2 agents at once meanwhile"));
    wait_until("the pause is over", || events(&sandbox).iter().any(|event| event["event"] == "pause-over"));
    let more = || ["up-a-2", "up-e-1"].iter().filter(|mark| sandbox.io(mark).exists()).count();
    assert_eq!(more(), 0, "three are at work, and two may be");
    sandbox.mark("end-b");
    wait_until("three may be, and two are", || more() > 0);
    ["end-c", "end-d", "end-e"].iter().for_each(|mark| sandbox.mark(mark));
    running.wait().expect(0);
}

#[test]
fn own_patterns_take_the_place_of_those_that_are_known() {
    let sandbox = Sandbox::new();
    configure(
        &sandbox,
        &[("parallel.rateLimitPause", "10ms"), ("parallel.rateLimitPattern", "try (again )?later")],
    );
    let agent = sandbox.agent(
        r#"[ $task = known ] && { echo 429; exit 1; }
           [ $GIT_PARALLEL_ATTEMPT = 1 ] && { echo "Please TRY LATER"; exit 1; }; echo x >x.txt; commit"#,
    );
    sandbox.run(&["own", "known"], &agent).expect(1);
    sandbox.expect_states(&[("own", "landed"), ("known", "failed")]);
    configure(&sandbox, &[("parallel.rateLimitPattern", "(")]);
    sandbox.run(&["other"], &agent).expect(3).tells(&["parallel.rateLimitPattern", "regular expression"]);
}

#[test]
fn retries_pause_and_ctrl_c_does_not_wait_for_them() {
    let sandbox = Sandbox::new();
    configure(&sandbox, &[("parallel.retryPause", "1h")]);
    let before = sandbox.snapshot();
    let agent = sandbox.agent("mark up; exit 1");
    let running = sandbox.spawn_run(&["--retries", "2", "a", "b"], &agent);
    wait_until("it is told", || running.so_far().0.matches("tried again in 1h").count() == 2);
    sandbox.parallel(&["status"]).tells(&["tried again in 59m", "exit 1"]);
    sandbox.parallel(&["abort", "b"]).expect(0);
    let begun = Instant::now();
    running.signal(Signal::INT);
    running.wait().expect(130);
    assert!(begun.elapsed() < Duration::from_secs(5));
    sandbox.expect_states(&[("a", "failed"), ("b", "failed")]);
    sandbox.check(&before);
}

#[test]
fn a_pause_goes_on_under_the_next_supervisor() {
    let sandbox = Sandbox::new();
    configure(&sandbox, &[("parallel.rateLimitPause", "2s")]);
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"[ $GIT_PARALLEL_ATTEMPT = 1 ] && { echo "usage limit reached"; exit 1; }; echo x >x.txt; commit"#,
    );
    let running = sandbox.spawn_run(&["a"], &agent);
    wait_until("it waits", || running.so_far().0.contains("tried again in 2s"));
    running.signal(Signal::KILL);
    running.wait();
    sandbox.parallel(&["resume"]).expect(0);
    sandbox.expect_states(&[("a", "landed")]);
    let over = events(&sandbox).iter().filter(|event| event["event"] == "pause-over").count();
    assert_eq!(over, 1);
    sandbox.check(&before);
}

#[test]
fn a_limit_that_stays_ends_the_tries_when_asked() {
    let sandbox = Sandbox::new();
    configure(&sandbox, &[("parallel.rateLimitPause", "0")]);
    let before = sandbox.snapshot();
    let agent = sandbox.agent("echo 'rate limit'; exit 1");
    sandbox.run(&["a"], &agent).expect(1).tells(&["rate limited: rate limit", "git parallel retry a"]);
    sandbox.expect_states(&[("a", "rate-limited")]);
    assert_eq!(sandbox.task("a")["attempt"], 14);
    sandbox.check(&before);
}

#[test]
fn a_busy_machine_gets_no_more_agents() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent("mark up-$task; await go; echo $task >$task.txt; commit");
    // The load of a minute does not rise at once: the first agent counts for one all the same.
    let running = sandbox.spawn_run(&["--max-load", "1000", "-j2", "a", "b"], &agent);
    ["up-a", "up-b"].iter().for_each(|mark| sandbox.await_mark(mark));
    sandbox.mark("go");
    running.wait().expect(0);
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["--max-load", "0.000001", "c", "d"], &agent);
    wait_until("it is told", || running.so_far().0.contains("no agent is started for now: the load is"));
    sandbox.parallel(&["status"]).tells(&["--max-load 0.000001"]);
    running.signal(Signal::INT);
    running.wait().expect(130);
    assert!(!sandbox.io("up-d").exists());
    sandbox.check(&before);
}

#[test]
fn memory_that_can_not_be_free_is_refused() {
    let sandbox = Sandbox::new();
    let agent = sandbox.simple_agent();
    let refused = sandbox.run(&["--min-free-memory", "999999g", "a"], &agent).expect(3);
    refused.tells(&["could never have", "--min-free-memory"]);
    for (option, value) in [("--min-free-memory", "lots"), ("--max-load", "-1"), ("--max-cost", "0")] {
        sandbox.run(&[&format!("{option}={value}"), "a"], &agent).expect(2).tells(&[option]);
    }
    configure(&sandbox, &[("parallel.maxLoad", "high")]);
    sandbox.run(&["a"], &agent).expect(3).tells(&["parallel.maxLoad", "high"]);
    configure(&sandbox, &[("parallel.maxLoad", "100000"), ("parallel.minFreeMemory", "1m")]);
    sandbox.run(&["a"], &agent).expect(0);
}

/// Writes a plan and runs it.
fn planned(sandbox: &Sandbox, plan: &str, options: &[&str]) -> common::Output {
    sandbox.write("../plan.toml", plan);
    sandbox.parallel(&[&["run", "-y", "-f", "../plan.toml"], options].concat())
}

#[test]
fn agents_that_can_not_start_give_way() {
    let sandbox = Sandbox::new();
    configure(
        &sandbox,
        &[
            ("parallel.agent.gone.cmd", "no-such-program-here"),
            ("parallel.agent.works.cmd", "echo \"$GIT_PARALLEL_TASK\" >\"$GIT_PARALLEL_TASK.txt\""),
        ],
    );
    let before = sandbox.snapshot();
    let output =
        planned(&sandbox, "[defaults]\nagent = 'gone'\nfallback = ['works']\n[[task]]\nname = 'a'\n", &[]);
    output.expect(0).tells(&["exit 127", "works takes its place", "started again (works, attempt 2"]);
    assert_eq!((sandbox.state("a"), sandbox.read("a.txt")), ("landed".to_owned(), "a\n".to_owned()));
    sandbox.check(&before);
    // One that is not even on PATH has no turn.
    let output = planned(
        &sandbox,
        "[[task]]\nname = 'b'\nprompt = 'x'\nagent = 'auggie'\nfallback = ['works']\n",
        &[],
    );
    output.expect(0).tells(&["auggie is not on PATH; works takes its place"]);
    let refused = planned(&sandbox, "[[task]]\nname = 'c'\nagent = 'works'\nfallback = ['claud']\n", &[]);
    refused.expect(2).tells(&["plan.toml:1: task 'c': fallback: no agent is known as 'claud'", "'claude'?"]);
}

#[test]
fn a_plan_sets_up_worktrees_and_runs_hooks() {
    let sandbox = Sandbox::new();
    let agent =
        sandbox.agent(r#"cat setup.txt >"$task.txt"; rm setup.txt; commit; echo "$task" >>"$IO/order""#);
    let order = sandbox.io("order");
    let plan = format!(
        "[hooks]\nsetup = 'echo general >setup.txt'\nbefore_group = 'echo before $GIT_PARALLEL_GROUP >>{order}'\n\
         after_land = 'echo landed {{task}} >>{order}'\non_finish = 'echo end $GIT_PARALLEL_EXIT_CODE >>{order}'\n\
         [defaults]\ncommand = ['{}']\n\
         [[task]]\nname = 'a'\ngroup = 'first'\n[[task]]\nname = 'b'\ngroup = 'second'\nsetup = 'echo own >setup.txt'\n",
        agent.display(),
        order = order.display()
    );
    let before = sandbox.snapshot();
    planned(&sandbox, &plan, &[]).expect(0);
    sandbox.check(&before);
    assert_eq!((sandbox.read("a.txt"), sandbox.read("b.txt")), ("general\n".to_owned(), "own\n".to_owned()));
    let order = sandbox.read_io("order");
    let place =
        |what: &str| order.lines().position(|line| line == what).unwrap_or_else(|| panic!("{what}: {order}"));
    for (first, then) in [
        ("before first", "a"),
        ("a", "landed a"),
        ("a", "before second"),
        ("before second", "b"),
        ("b", "landed b"),
        ("landed b", "end 0"),
    ] {
        assert!(place(first) < place(then), "{first}, then {then}: {order}");
    }
}

#[test]
fn nothing_more_starts_once_it_cost_enough() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"echo "$task" >"$task.txt"; commit
           printf '{"type":"result","total_cost_usd":0.6,"usage":{"input_tokens":1000,"output_tokens":10}}\n'"#,
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--sequential", "--max-cost", "1", "a", "b", "c"], &agent).expect(1);
    output.tells(&["c: not started: the run has cost as much as it may", "$1.20"]);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "aborted")]);
    assert_eq!(sandbox.task("a")["usage"]["cost_usd"], 0.6);
    sandbox.check(&before);
    sandbox.parallel(&["retry", "c"]).expect(0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
}

/// What tasks agree on is the same text for all of them.
#[test]
fn contracts_are_told_alike() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"cat "$GIT_PARALLEL_PROMPT_FILE" >"$IO/prompt-$task""#);
    let plan = format!(
        "[defaults]\ncommand = ['{}']\n[[contract]]\nname = 'api'\nprovider = 'server'\nconsumers = ['client']\n\
         interface = 'GET /jobs/{{task}}'\n[[task]]\nname = 'server'\nprompt = 'Do {{task}}'\n\
         [[task]]\nname = 'client'\n",
        agent.display()
    );
    planned(&sandbox, &plan, &[]).expect(0);
    let (server, client) = (sandbox.read_io("prompt-server"), sandbox.read_io("prompt-client"));
    assert!(server.starts_with("Do server") && server.contains("GET /jobs/{task}"), "{server}");
    assert!(client.contains("GET /jobs/{task}"), "{client}");
}

/// The directory of the worktrees goes with the last one, and comes with the next, at any time.
#[test]
fn tasks_without_changes_follow_each_other() {
    let sandbox = Sandbox::new();
    let list: String = (0..40).map(|n| format!("- [ ] step {n}\n")).collect();
    sandbox.write("../list.md", list);
    let before = sandbox.snapshot();
    let args = ["run", "-y", "-q", "-f", "../list.md", "--", "true"];
    sandbox.parallel(&args).expect(0);
    assert_eq!(sandbox.status()["counts"]["unchanged"], 40);
    sandbox.check(&before);
}
