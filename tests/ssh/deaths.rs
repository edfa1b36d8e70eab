//! Connections, hosts and supervisors that go away.

use std::fs;

use crate::bench::Shop;
use crate::common;

/// Whatever of a connection is cut, the agent does not see it.
#[test]
fn a_connection_that_is_cut_is_made_again() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    sandbox.gate("one");
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; echo first; mark up; pass one; echo second; mark on; await end
        echo third; echo x > x; commit"#,
    );
    let run = shop.start(&["-v", "one"], &agent);
    sandbox.await_mark("up");
    common::wait_until("it is told", || run.so_far().0.contains("first"));
    let count = shop.hosts[0].connections();
    shop.hosts[0].cut();
    sandbox.open_gate("one");
    common::wait_until("it is connected again", || run.so_far().0.contains("second"));
    assert!(shop.hosts[0].connections() > count);
    // It ends while nobody can see it.
    shop.hosts[0].set_away(true);
    sandbox.mark("end");
    common::wait_until("it is told that it is away", || {
        sandbox.parallel(&["status"]).expect(0).stdout.contains("on h1, out of reach: ")
    });
    shop.hosts[0].set_away(false);
    run.wait().expect(0).tells(&["1 landed"]);
    let log = sandbox.parallel(&["logs", "one"]).expect(0).stdout;
    assert_eq!(log, "first\nsecond\nthird\n");
    shop.expect_ran_once(&["one"]);
    shop.expect_only_mirrors();
    sandbox.check(&before);
}

/// Its sshd is killed, as when a machine's network goes: that is no sign of the agent's.
#[test]
fn cut_again_and_again_while_everything_is_sent() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; seq 1 20000; echo x > "$task.txt"; head -c 300000 /dev/urandom > "$task.bin"; commit"#,
    );
    let tasks = ["a", "b", "c", "d"];
    let mut run = shop.start(&[&["-j4"], &tasks[..]].concat(), &agent);
    let mut seen = 0;
    while !run.has_ended() {
        let count = shop.hosts[0].connections();
        if count > seen && count < 25 {
            seen = count;
            shop.hosts[0].cut();
        }
        std::thread::yield_now();
    }
    run.wait().expect(0);
    shop.expect_ran_once(&tasks);
    for task in tasks {
        let log = sandbox.parallel(&["logs", task]).expect(0).stdout;
        assert_eq!(log.lines().count(), 20_000);
        assert!(log.lines().zip(1..).all(|(line, number)| line == number.to_string()));
    }
    shop.expect_only_mirrors();
    sandbox.check(&before);
}

#[test]
fn a_host_that_is_gone_has_its_tasks_given_to_another() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.ssh.hosts", "h1=2 h2=4"]);
    sandbox.git(&["config", "parallel.lostAfter", "2s"]);
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; echo "$HOME $task" >> "$IO/where"
        echo "on $HOME" | sed 's,/.*/,,' > "$task.txt"; commit
        case $HOME in */h1) mark "up-$task"; while :; do sleep 0.05; done;; esac"#,
    );
    let run = shop.start(&["-j4", "a", "b", "c", "d"], &agent);
    common::wait_until("two are at work on h1", || {
        sandbox.read_io("where").lines().filter(|line| line.contains("/h1 ")).count() == 2
    });
    shop.hosts[0].set_away(true);
    let output = run.wait().expect(0);
    output.tells(&["nothing was heard of h1 for 2 s", "'git parallel cleanup --run ", "4 landed"]);
    let ran = sandbox.read_io("ran").lines().count();
    assert_eq!(ran, 6, "two of them again, on h2");
    for task in ["a", "b", "c", "d"] {
        assert_eq!(sandbox.show("main", &format!("{task}.txt")), "on h2\n");
    }
    assert_eq!(shop.hosts[0].jobs().len(), 2);
    let kept = sandbox.parallel(&["cleanup"]).expect(0);
    kept.tells(&["h1", "kept the record"]);
    shop.hosts[0].set_away(false);
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["removed the record"]);
    shop.expect_only_mirrors();
    assert_eq!(common::processes(&shop.hosts[0].home.join(".cache")), [0; 0], "its agents were ended");
    sandbox.git(&["fsck"]);
}

#[test]
fn a_host_that_comes_back_is_looked_after() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.ssh.hosts", "h1 h2"]);
    sandbox.git(&["config", "parallel.lostAfter", "1s"]);
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; echo "$HOME" > "$task.txt"; commit; mark "up-${HOME##*/}"
        case $HOME in */h1) while :; do sleep 0.05; done;; esac; await end"#,
    );
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up-h1");
    shop.hosts[0].set_away(true);
    sandbox.await_mark("up-h2");
    shop.hosts[0].set_away(false);
    common::wait_until("what h1 did is kept", || {
        run.so_far().0.contains("h1 is back") || run.so_far().1.contains("h1 is back")
    });
    sandbox.mark("end");
    run.wait().expect(0).tells(&["and is kept as refs/parallel/"]);
    assert!(sandbox.show("main", "one.txt").ends_with("/h2\n"));
    let pins = sandbox.git(&["for-each-ref", "--format=%(refname)", "refs/parallel/*/one/abandoned-*"]);
    assert!(sandbox.show(&pins, "one.txt").ends_with("/h1\n"));
    shop.expect_only_mirrors();
    sandbox.check(&before);
}

#[test]
fn the_last_host_that_is_gone_fails_its_task() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.ssh.hosts", "h1"]);
    sandbox.git(&["config", "parallel.lostAfter", "1s"]);
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran"; mark up; while :; do sleep 0.05; done"#);
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    shop.hosts[0].set_away(true);
    run.wait().expect(1).tells(&["one: failed: nothing was heard of h1 for 1 s"]);
    shop.hosts[0].set_away(false);
    sandbox.parallel(&["cleanup"]).expect(0);
    shop.expect_only_mirrors();
    shop.expect_ran_once(&["one"]);
}

#[test]
fn an_abort_while_the_host_is_away_says_so() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.ssh.hosts", "h1"]);
    sandbox.git(&["config", "parallel.lostAfter", "2s"]);
    let agent = sandbox.agent(r#"mark up; while :; do sleep 0.05; done"#);
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    shop.hosts[0].set_away(true);
    sandbox.parallel(&["abort"]).expect(0);
    run.wait().expect(1).tells(&["h1 can't be reached", "this ends it: git parallel cleanup"]);
    assert_eq!(sandbox.state("one"), "aborted");
    shop.hosts[0].set_away(false);
    sandbox.parallel(&["cleanup"]).expect(0);
    shop.expect_only_mirrors();
    assert_eq!(common::processes(&shop.hosts[0].home.join(".cache")), [0; 0], "its agent was ended");
}

#[test]
fn a_dead_supervisor_s_jobs_are_found_again() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; echo "$task is up"; mark "up-$task"; await "end-$task"; echo "$task goes on"
        echo x > "$task.txt"; commit; echo left > "$task.left""#,
    );
    let run = shop.start(&["-j3", "one", "two", "three"], &agent);
    for task in ["one", "two", "three"] {
        sandbox.await_mark(&format!("up-{task}"));
    }
    run.signal(rustix::process::Signal::KILL);
    run.wait();
    sandbox.mark("end-one");
    sandbox.parallel(&["status"]).expect(0).tells(&["interrupted"]);
    let resume = sandbox.spawn(&["resume"]);
    sandbox.mark("end-two");
    common::wait_until("two have landed", || resume.so_far().0.matches(": landed").count() == 2);
    sandbox.mark("end-three");
    resume.wait().expect(0);
    let tasks = ["one", "two", "three"];
    shop.expect_ran_once(&tasks);
    sandbox.expect_states(&tasks.map(|task| (task, "landed")));
    assert_eq!(sandbox.parallel(&["logs", "two"]).expect(0).stdout, "two is up\ntwo goes on\n");
    shop.expect_only_mirrors();
    sandbox.check(&before);
}

#[test]
fn an_interrupted_run_is_aborted_with_its_jobs() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let agent = sandbox
        .agent(r#"trap 'echo x > x; commit saved; exit 1' TERM; mark up; while :; do sleep 0.05; done"#);
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    run.signal(rustix::process::Signal::KILL);
    run.wait();
    sandbox.parallel(&["abort"]).expect(0);
    assert_eq!(sandbox.state("one"), "aborted");
    assert_eq!(sandbox.git(&["log", "--format=%s", "main..feature/one"]), "saved");
    shop.expect_only_mirrors();
}

/// The shim is killed, or the machine starts anew: nobody there will ever tell.
#[test]
fn a_shim_that_dies_is_no_end_of_its_agent_s_work() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let agent = sandbox.agent(r#"echo x > x; commit; mark up; while :; do sleep 0.05; done"#);
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    let job = shop.hosts.iter().flat_map(|host| host.jobs()).next().expect("a job");
    let spec = job.join("record/spec-1.json");
    let is_shim = |id: &u32| {
        let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).ends_with(&format!("{}\0", spec.display()))
    };
    let shim = common::processes(&job).into_iter().find(is_shim).expect("it lives");
    rustix::process::kill_process(common::pid(shim), rustix::process::Signal::KILL).expect("it is there");
    run.wait().expect(1).tells(&["one: failed: what saw to its agent died there"]);
    assert_eq!(sandbox.git(&["log", "--format=%s", "main..feature/one"]), "work of one");
    shop.expect_only_mirrors();
    assert_eq!(common::processes(&job), [0; 0], "its agent was ended");
}

/// The supervisor is killed before one of its calls that may change something; `resume` has all land, and no agent
/// was started twice.
fn visit(library: &std::path::Path, kill_at: u64) {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    let agent =
        sandbox.agent(r#"echo "$task" >> "$IO/ran"; echo x > "$task.txt"; commit; echo y > "$task.left""#);
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
    shop.expect_ran_once(&["a", "b", "c"]);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("c", "landed")]);
    for task in ["a", "b", "c"] {
        assert_eq!(sandbox.show("main", &format!("{task}.left")), "y\n", "{at}{}", resumed.all());
    }
    shop.expect_only_mirrors();
    sandbox.check(&before);
}

fn visit_every(step: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(library) = common::kill_library(dir.path()) else { return };
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
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
    visit_every(61);
}

#[test]
#[ignore = "long: visits every call"]
fn killed_at_every_call() {
    visit_every(1);
}
