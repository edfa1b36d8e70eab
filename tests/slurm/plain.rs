//! Runs that go well.

use crate::bench::Shop;

const AGENT: &str = r#"echo "$task" >> "$IO/ran"; echo "$SLURMD_NODENAME" >> "$IO/nodes"
test -z "${GIT_DIR-}${GIT_INDEX_FILE-}"; test "$PWD" = "$GIT_PARALLEL_WORKTREE"; test -n "$SLURM_JOB_ID"
echo "says $task"; echo "$task" > "$task.txt"; commit"#;

#[test]
fn twenty_tasks_on_three_nodes_land() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let agent = sandbox.agent(AGENT);
    let tasks: Vec<String> = (1..=20).map(|n| format!("t{n}")).collect();
    let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let before = sandbox.snapshot();
    let mut args = vec!["-j20", "--verify", "test -e README.md"];
    args.extend(&tasks);
    let mut command = sandbox.command(&sandbox.repo, crate::common::PROGRAM);
    // What ties git to a repository must not get there.
    command.args(sandbox.run_args(&args, &agent)).env("GIT_INDEX_FILE", "/nowhere");
    let output = sandbox.start(command).wait().expect(0);
    output.tells(&["t7: submitted to slurm (job ", "t7: started (pid ", " on n", "20 landed"]);
    shop.expect_ran_once(&tasks);
    shop.await_empty_queue();
    sandbox.check(&before);
    let nodes = sandbox.read_io("nodes");
    let mut nodes: Vec<&str> = nodes.lines().collect();
    nodes.sort_unstable();
    nodes.dedup();
    assert!(nodes.len() > 1 && !nodes.contains(&"n4"), "{nodes:?}");
    let task = sandbox.task("t7");
    assert_eq!(task["runner"], "slurm");
    assert!(nodes.contains(&task["host"].as_str().expect("a host")), "{task}");
    assert!(task["job"].as_str().expect("an id").parse::<u32>().is_ok(), "{task}");
    sandbox.parallel(&["report"]).expect(0).tells(&["slurm"]);
    sandbox.parallel(&["logs", "t7"]).expect(0).tells(&["says t7"]);
}

#[test]
fn logs_and_status_are_live() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.gate("go");
    let agent = sandbox.agent(r#"echo early; mark up; pass go; echo late; echo x > x; commit"#);
    let run = shop.start(&["-v", "one"], &agent);
    sandbox.await_mark("up");
    crate::common::wait_until("its output is told", || run.so_far().0.contains("early"));
    let mut logs = sandbox.command(&sandbox.repo, crate::common::PROGRAM);
    logs.args(["logs", "-f", "one"]);
    let logs = sandbox.start(logs);
    crate::common::wait_until("logs -f tells it", || logs.so_far().0.contains("early"));
    sandbox.parallel(&["status"]).expect(0).tells(&["one", "running", "on n"]);
    assert!(sandbox.task("one")["pid"].is_u64());
    sandbox.open_gate("go");
    logs.wait().expect(0).tells(&["early", "late"]);
    run.wait().expect(0).tells(&["late"]);
    assert_eq!(sandbox.state("one"), "landed");
}

#[test]
fn a_plan_names_where_each_task_runs() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.runner", "local"]);
    sandbox.git(&["config", "parallel.slurm.args", "--nodelist=n2 --comment 'a b'"]);
    let agent =
        sandbox.agent(r#"echo "$task ${SLURMD_NODENAME-here}" >> "$IO/nodes"; echo x > $task; commit"#);
    sandbox.write("plan.toml", "[[task]]\nname = 'far'\nrunner = 'slurm'\n[[task]]\nname = 'near'\n");
    sandbox.commit_all("Plan");
    shop.start(&["-f", "plan.toml"], &agent).wait().expect(0);
    let nodes = sandbox.read_io("nodes");
    assert!(nodes.contains("far n2\n") && nodes.contains("near here\n"), "{nodes}");
    assert_eq!(sandbox.task("near")["runner"], serde_json::Value::Null);

    sandbox.write("plan.toml", "[[task]]\nname = 'other'\nrunner = 'slrm'\n");
    sandbox.commit_all("Mistake");
    shop.start(&["-f", "plan.toml"], &agent)
        .wait()
        .expect(3)
        .tells(&["no runner is known as 'slrm'", "slurm"]);
}

#[test]
fn a_job_that_is_started_again_does_nothing() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.gate("go");
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran"; mark up; pass go; echo x > x; commit"#);
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    let script = sandbox.record().join("tasks/one/spec-1.sh");
    let script = script.to_str().expect("UTF-8");
    // As after a controller's restart: while it runs, ...
    let again = ["--wait", "--output=/dev/null", script];
    sandbox.run_in(&sandbox.repo, "sbatch", &again).expect(3);
    sandbox.open_gate("go");
    run.wait().expect(0);
    // ... and when it has ended, and its worktree is gone.
    sandbox.run_in(&sandbox.repo, "sbatch", &again).expect(3);
    shop.expect_ran_once(&["one"]);
}
