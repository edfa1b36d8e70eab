//! What `git parallel run` does with agents: at once, in their worktrees, called as the manual says.

#![allow(clippy::disallowed_methods)]

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{PROGRAM, Sandbox, journal};
use serde_json::Value;

fn args(words: &[&str]) -> Vec<OsString> {
    words.iter().map(Into::into).collect()
}

#[test]
fn all_agents_run_at_once() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"mark "up-$task"
           for other in a b c d; do await "up-$other"; done
           echo "$task" > "$task.txt"; commit"#,
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["-j", "4", "a", "b", "c", "d"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    for task in ["a", "b", "c", "d"] {
        assert_eq!(sandbox.read(&format!("{task}.txt")), format!("{task}\n"));
    }
    assert!(!sandbox.worktrees().exists());
    assert!(!sandbox.has_ref("refs/heads/feature/a"));
}

#[test]
fn no_more_than_jobs_run_at_once_each_in_a_slot_of_its_own() {
    let sandbox = Sandbox::new();
    // Two that hold the same slot at once would make the same directory.
    let agent = sandbox.agent(
        r#"mkdir "$IO/slot-$GIT_PARALLEL_SLOT"
           echo "$GIT_PARALLEL_SLOT" >> "$IO/slots"
           ls -d "$IO"/slot-* | wc -l >> "$IO/held"
           echo "$task" > "$task.txt"; commit
           rmdir "$IO/slot-$GIT_PARALLEL_SLOT""#,
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--jobs=2", "a", "b", "c", "d", "e", "f"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    let slots = sandbox.read_io("slots");
    assert_eq!(slots.lines().count(), 6);
    assert!(slots.lines().all(|slot| slot == "0" || slot == "1"), "{slots}");
    assert!(sandbox.read_io("held").lines().all(|held| held.trim().parse::<u32>().unwrap() <= 2));
}

#[test]
fn sequential_is_one_after_the_other_in_the_order_given() {
    let sandbox = Sandbox::new();
    let agent = sandbox
        .agent(r#"echo "+$task" >> "$IO/order"; echo x > "$task"; commit; echo "-$task" >> "$IO/order""#);
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--sequential", "z", "m", "a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read_io("order"), "+z\n-z\n+m\n-m\n+a\n-a\n");
}

#[test]
fn placeholders_are_replaced_and_other_braces_stay() {
    let sandbox = Sandbox::new();
    let agent =
        sandbox.agent(r#"for a in "$@"; do printf '%s\n' "$a"; done > "$IO/args"; cat "$8" > "$IO/prompt""#);
    let base = sandbox.oid("HEAD");
    let mut command = args(&["run", "-y", "--keep", "x=do it", "--"]);
    command.push(agent.into());
    command.extend(args(&[
        "{task}",
        "{branch}",
        "{worktree}",
        "{base}",
        "{target}",
        "{slot}",
        "{prompt}",
        "{prompt_file}",
        "--as={task}:{task}",
        "${x}",
        "${task}",
        "HEAD^{tree}",
        "{{.ID}}",
        "{unknown}",
        "",
        "a b",
    ]));
    let before = sandbox.snapshot();
    let output = sandbox.parallel(&command).expect(0);
    sandbox.check_run(&before, &output);
    let worktree = sandbox.worktree("x").display().to_string();
    let given = sandbox.read_io("args");
    let given: Vec<&str> = given.lines().collect();
    assert_eq!(given[..7], ["x", "feature/x", &worktree, &base, "main", "0", "do it"]);
    assert!(given[7].ends_with("/tasks/x/prompt.md"), "{}", given[7]);
    assert_eq!(given[8..], ["--as=x:x", "${x}", "${task}", "HEAD^{tree}", "{{.ID}}", "{unknown}", "", "a b"]);
    assert_eq!(sandbox.read_io("prompt"), "do it");
}

#[test]
fn the_environment_is_as_the_manual_says() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"env | sort > "$IO/env-$task"; pwd > "$IO/pwd"; umask > "$IO/umask""#);
    let before = sandbox.snapshot();
    let output = sandbox.run(&["a=say", "b"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    let of = |task: &str| {
        let env = sandbox.read_io(&format!("env-{task}"));
        let pairs = env.lines().filter_map(|line| line.split_once('='));
        pairs
            .filter(|(key, _)| key.starts_with("GIT_PARALLEL_") || *key == "PWD")
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let run = sandbox.runs()[0].1["id"].as_str().unwrap().to_owned();
    let worktree = sandbox.worktree("a").display().to_string();
    let prompt = sandbox.record().join("tasks/a/prompt.md").display().to_string();
    // Not for agents: what they start is known by it.
    let shim = sandbox.record().join("tasks/a").display().to_string();
    let base = sandbox.oid("main");
    let root = sandbox.repo.display().to_string();
    let mut expected = vec![
        ("GIT_PARALLEL_ATTEMPT", "1"),
        ("GIT_PARALLEL_BASE", &base),
        ("GIT_PARALLEL_BRANCH", "feature/a"),
        ("GIT_PARALLEL_PROMPT_FILE", &prompt),
        ("GIT_PARALLEL_ROOT", &root),
        ("GIT_PARALLEL_RUN", &run),
        ("GIT_PARALLEL_SHIM", &shim),
        ("GIT_PARALLEL_SLOT", "0"),
        ("GIT_PARALLEL_TARGET", "main"),
        ("GIT_PARALLEL_TASK", "a"),
        ("GIT_PARALLEL_WORKTREE", &worktree),
        ("PWD", &worktree),
    ];
    let mut found = of("a");
    assert!(["0", "1"].contains(&found["GIT_PARALLEL_SLOT"].as_str()));
    found.insert("GIT_PARALLEL_SLOT".into(), "0".into());
    let found: Vec<(&str, &str)> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(!of("b").contains_key("GIT_PARALLEL_PROMPT_FILE"), "b has no prompt");
}

/// Fault 31. Both ways leak GIT_DIR and more into what they start.
#[test]
fn gits_own_variables_do_not_reach_agents() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"env > "$IO/env"; echo x > "$task.txt"; commit"#);
    let other = sandbox.root.join("other");
    sandbox.git(&["worktree", "add", "-q", "-b", "dev", other.to_str().unwrap()]);
    let alias = format!("alias.go=!'{PROGRAM}' run -y inalias -- '{}'", agent.display());
    let before = sandbox.snapshot();
    sandbox.run_in(&other, "git", &["-c", &alias, "go"]).expect(0);
    let local = sandbox.git(&["rev-parse", "--local-env-vars"]);
    let leaks = |env: &str| {
        env.lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(key, _)| local.lines().any(|name| name == *key))
            .map(|(key, _)| key.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(leaks(&sandbox.read_io("env")), Vec::<String>::new());
    assert_eq!(sandbox.show("dev", "inalias.txt"), "x\n", "it landed on the linked worktree's branch");
    assert!(other.join("inalias.txt").exists());
    sandbox.check(&before);

    let mut command = args(&["--git-dir", ".git", "--work-tree", ".", "parallel"]);
    command.extend(sandbox.run_args(&["dirs"], &agent));
    sandbox.run_in(&sandbox.repo, "git", &command).expect(0);
    assert_eq!(leaks(&sandbox.read_io("env")), Vec::<String>::new());
    assert_eq!(sandbox.show("main", "dirs.txt"), "x\n");
    sandbox.check(&before);
}

/// Fault 31: started from a hook, which has GIT_DIR and GIT_INDEX_FILE.
#[test]
fn a_run_from_a_hook_works_on_the_right_repository() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"env > "$IO/env"; echo x > "$task.txt"; commit"#);
    let body = format!(
        "[ -e \"$IO/once\" ] && exit 0; mark once\nexec '{PROGRAM}' run -y hooked -- '{}'",
        agent.display()
    );
    sandbox.hook("post-commit", &body);
    sandbox.write("new", "new\n");
    sandbox.commit_all("From the user");
    assert_eq!(sandbox.show("main", "hooked.txt"), "x\n");
    assert_eq!(sandbox.show("main", "new"), "new\n");
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
    let env = sandbox.read_io("env");
    assert!(!env.contains("GIT_DIR=") && !env.contains("GIT_INDEX_FILE="), "{env}");
    sandbox.check_processes();
    sandbox.check_status();
}

#[test]
fn prompts_reach_the_agent_byte_for_byte() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"printf %s "$1" > "$IO/argument-$task"; cat "$GIT_PARALLEL_PROMPT_FILE" > "$IO/file-$task"
           stat -c %a "$GIT_PARALLEL_PROMPT_FILE" > "$IO/mode""#,
    );
    let hostile = "it's \"quoted\" $(touch pwned) `id` ${HOME} ${task} {prompt} \\n\n\ttabs; and = é日\n\n";
    sandbox.write("../prompt.txt", "from a file\nwith two lines\n");
    let mut command = args(&["run", "-y", "-P", "../prompt.txt"]);
    command.push(format!("own={hostile}").into());
    command.extend(args(&["shared", "--"]));
    command.extend([agent.into(), "{prompt}".into()]);
    let before = sandbox.snapshot();
    let output = sandbox.parallel(&command).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read_io("argument-own"), hostile);
    assert_eq!(sandbox.read_io("file-own"), hostile);
    assert_eq!(sandbox.read_io("argument-shared"), "from a file\nwith two lines\n");
    assert_eq!(sandbox.read_io("file-shared"), "from a file\nwith two lines\n");
    assert_eq!(sandbox.read_io("mode"), "600\n");
}

/// Fault 23; seen elsewhere 10.
#[test]
fn an_agent_that_reads_stdin_gets_its_end() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"cat > "$IO/stdin"; echo x > x; commit"#);
    let before = sandbox.snapshot();
    let mut command = sandbox.command(&sandbox.repo, "sh");
    let script = "while :; do echo more; done | git parallel run -y a -- \"$0\"";
    command.arg("-c").arg(script).arg(&agent);
    let output = sandbox.start(command).wait();
    assert_eq!(output.code, 0, "{}", output.all());
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read_io("stdin"), "");
}

/// Fault 29; seen elsewhere 5.
#[test]
fn a_failed_agent_keeps_branch_worktree_and_log() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"[ "$task" = good ] && { echo g > good; commit; exit; }
           echo half > half; commit; echo rest > rest; echo "what went wrong"; exit 3"#,
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["good", "bad"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("good", "landed"), ("bad", "failed")]);
    let task = sandbox.task("bad");
    assert_eq!(task["exit_code"], 3);
    assert_eq!(task["commits"], 1);
    let log = task["log"].as_str().unwrap();
    assert!(fs::read_to_string(log).unwrap().contains("what went wrong"));
    assert_eq!(sandbox.show("feature/bad", "half"), "half\n");
    assert_eq!(fs::read_to_string(sandbox.worktree("bad").join("rest")).unwrap(), "rest\n");
    assert!(!sandbox.has("half"));
    output.tells(&["exit 3", "feature/bad", "shop.worktrees/bad", "output.log"]);
}

/// Fault 26; seen elsewhere 8.
#[test]
fn an_agent_that_cannot_be_started_fails_only_its_task() {
    let sandbox = Sandbox::new();
    sandbox.script(&sandbox.root.join("bin/there"), "echo x > x; commit");
    let noexec = sandbox.script(&sandbox.root.join("bin/noexec"), "exit 0");
    fs::set_permissions(&noexec, fs::Permissions::from_mode(0o644)).unwrap();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["missing", "noexec", "there"], &sandbox.root.join("bin/{task}")).expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("missing", "failed"), ("noexec", "failed"), ("there", "landed")]);
    output.tells(&["bin/missing", "bin/noexec"]);
}

/// Fault 29. The agent ignores TERM, so it takes the grace and a KILL.
#[test]
fn a_timeout_ends_the_agent_and_keeps_its_work() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"echo x > x; commit; echo y > y; mark up; await never"#);
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--timeout", "1s", "slow"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("slow", "timed-out")]);
    assert_eq!(sandbox.show("feature/slow", "x"), "x\n");
    assert!(sandbox.worktree("slow").join("y").exists());
    output.tells(&["timed out after 1s", "feature/slow", "output.log"]);
}

#[test]
fn existing_branches_are_refused_reused_or_skipped() {
    let sandbox = Sandbox::new();
    sandbox.git(&["branch", "feature/old"]);
    let agent = sandbox.simple_agent();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["old", "new"], &agent).expect(3);
    output.tells(&["feature/old", "--existing"]);
    assert!(!sandbox.common_dir().join("parallel/runs").exists());

    let output = sandbox.run(&["--existing", "skip", "old", "new"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("old", "skipped"), ("new", "landed")]);

    let output = sandbox.run(&["--existing", "reuse", "old"], &agent).expect(0);
    sandbox.check(&before);
    sandbox.expect_states(&[("old", "landed")]);
    assert!(sandbox.has_ref("refs/heads/feature/old"), "it was there before the run");
    assert_eq!(sandbox.read("old.txt"), "old\n");
    output.tells(&["feature/old", "kept: it was there before the run"]);
}

#[test]
fn reuse_takes_the_work_of_a_failed_task_up_again() {
    let sandbox = Sandbox::new();
    let failing = sandbox.agent("echo half > half; commit; echo rest > rest; exit 1");
    let before = sandbox.snapshot();
    sandbox.run(&["a"], &failing).expect(1);
    let tip = sandbox.oid("feature/a");
    let agent = sandbox.agent(r#"cat half rest > both; git rev-parse HEAD > "$IO/found"; commit"#);
    let output = sandbox.run(&["--existing", "reuse", "a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read("both"), "half\nrest\n");
    assert_eq!(sandbox.read_io("found").trim(), tip);
}

#[test]
fn overwriting_a_branch_pins_its_old_tip() {
    let sandbox = Sandbox::new();
    sandbox.git(&["switch", "-q", "-c", "feature/a"]);
    sandbox.write("precious", "precious\n");
    let old = sandbox.commit_all("Precious");
    sandbox.git(&["switch", "-q", "main"]);
    fs::write(sandbox.io("commits"), format!("{old}\n")).unwrap();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--existing", "overwrite", "a"], &sandbox.simple_agent()).expect(0);
    sandbox.check_run(&before, &output);
    assert!(!sandbox.has("precious"), "it started from main");
    assert_eq!(sandbox.read("a.txt"), "a\n");
    let pins = sandbox.git(&["for-each-ref", "--format=%(objectname)", "refs/parallel/**/overwritten"]);
    assert_eq!(pins, old);
}

#[test]
fn base_and_prefix_and_names_with_a_slash() {
    let sandbox = Sandbox::new();
    let first = sandbox.oid("HEAD");
    sandbox.write("second", "second\n");
    sandbox.commit_all("Second");
    let agent = sandbox.agent(
        r#"git rev-parse HEAD >> "$IO/bases"; git branch --show-current >> "$IO/branches"
           echo x > "x-$(basename "$task")"; commit"#,
    );
    let before = sandbox.snapshot();
    let options = ["--base", "HEAD~1", "--prefix", "topic/ann-", "--sequential", "a", "fix/login/form"];
    let output = sandbox.run(&options, &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read_io("bases"), format!("{first}\n{first}\n"));
    assert_eq!(sandbox.read_io("branches"), "topic/ann-a\nfix/login/form\n");
    assert!(sandbox.has("x-a") && sandbox.has("x-form") && sandbox.has("second"));
    assert!(!sandbox.worktrees().exists());
}

/// The name is that of a thing of ours among the pins.
#[test]
fn tasks_may_be_called_as_things_of_ours_are() {
    let sandbox = Sandbox::new();
    sandbox.git(&["branch", "side"]);
    let before = sandbox.snapshot();
    let options = ["--no-ff", "candidate", "tip", "lock", "runs", "journal.jsonl", "list", "refs/heads/x"];
    let output =
        sandbox.run(&options, &sandbox.agent(r#"echo x > "x-$(basename "$task")"; commit"#)).expect(0);
    sandbox.check_run(&before, &output);
}

#[test]
fn keep_keeps_branches_and_worktrees_of_what_landed() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--keep", "a", "b"], &sandbox.simple_agent()).expect(0);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    for task in ["a", "b"] {
        assert!(sandbox.worktree(task).join(format!("{task}.txt")).exists());
        assert!(sandbox.has_ref(&format!("refs/heads/feature/{task}")));
    }
}

#[test]
fn no_land_leaves_branches_for_land() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let old = sandbox.oid("main");
    let output = sandbox.run(
        &["--no-land", "a", "b", "none"],
        &sandbox.agent(r#"[ "$task" = none ] || { echo "$task" > "$task.txt"; commit; }"#),
    );
    let output = output.expect(0).tells(&["git parallel land"]);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "finished"), ("b", "finished"), ("none", "unchanged")]);
    assert_eq!(sandbox.oid("main"), old);
    sandbox.parallel(&["land", "b"]).expect(0);
    sandbox.check(&before);
    sandbox.expect_states(&[("a", "finished"), ("b", "landed"), ("none", "unchanged")]);
    sandbox.parallel(&["land"]).expect(0);
    sandbox.check(&before);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed"), ("none", "unchanged")]);
    let again = sandbox.parallel(&["land"]).expect(1);
    again.tells(&["nothing"]);
    sandbox.check(&before);
}

#[test]
fn no_ff_always_makes_a_merge() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--no-ff", "a"], &sandbox.simple_agent()).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.git(&["show", "-s", "--format=%s"]), "Merge branch 'feature/a' into main");
    assert_eq!(sandbox.git(&["rev-list", "--count", "--merges", "main"]), "1");
}

/// Fault 28; seen elsewhere 1.
#[test]
fn leftovers_are_committed_and_told() {
    let sandbox = Sandbox::new();
    let agent =
        sandbox.agent("echo edited > README.md; echo new > new; mkdir d; echo d > d/e; echo l > x.log");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read("README.md"), "edited\n");
    assert_eq!(sandbox.read("d/e"), "d\n");
    assert!(!sandbox.has("x.log"), "ignored files are not committed");
    let worktree = sandbox.worktree("a");
    assert_eq!(fs::read_to_string(worktree.join("x.log")).unwrap(), "l\n", "nor are they deleted");
    output.tells(&["committed 3 leftover files", "x.log"]);
}

/// Fault 28.
#[test]
fn leftovers_are_refused_on_request_and_nothing_is_lost() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent("echo x > x; commit; echo new > new");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--leftovers", "refuse", "a"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "held")]);
    let worktree = sandbox.worktree("a");
    assert_eq!(fs::read_to_string(worktree.join("new")).unwrap(), "new\n");
    output.tells(&["uncommitted", "new", "git parallel land a"]);
    sandbox.parallel(&["land", "a"]).expect(1).tells(&["uncommitted", "new"]);
    sandbox.check(&before);
    sandbox.git_in(&worktree, &["add", "new"]);
    sandbox.git_in(&worktree, &["commit", "-q", "-m", "By hand"]);
    sandbox.parallel(&["land", "a"]).expect(0);
    sandbox.check(&before);
    assert_eq!(sandbox.read("new"), "new\n");
}

/// Fault 27; seen elsewhere: "success" for an empty branch.
#[test]
fn no_changes_is_not_called_landed() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["a"], &sandbox.agent("exit 0")).expect(0);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "unchanged")]);
    assert!(!output.all().contains("landed"), "{}", output.all());
    output.tells(&["1 unchanged"]);
    assert!(!sandbox.worktrees().exists());
    assert!(!sandbox.has_ref("refs/heads/feature/a"));
}

/// Faults 24 and 25; seen elsewhere 6.
#[test]
fn a_daemon_that_an_agent_leaves_behind_is_ended_and_told() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"echo x > x; commit
           (setsid sh -c 'echo $$ > "$0/daemon"; while :; do sleep 1; done' "$IO" &)
           await daemon"#,
    );
    let before = sandbox.snapshot();
    let output = sandbox.run(&["a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "landed")]);
    output.tells(&["left behind"]);
    let daemon = sandbox.read_io("daemon");
    assert!(!Path::new("/proc").join(daemon.trim()).exists());
}

/// Fault 22, the small side of it.
#[test]
fn much_output_blocks_nobody() {
    let sandbox = Sandbox::new();
    let agent = sandbox
        .agent(r#"head -c 8000000 /dev/zero | tr '\0' x; head -c 1000000 /dev/zero >&2; echo x > x; commit"#);
    let before = sandbox.snapshot();
    let output = sandbox.run(&["a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    let log = fs::metadata(sandbox.record().join("tasks/a/output.log")).unwrap();
    assert_eq!(log.len(), 9_000_000);
    assert!(output.all().len() < 10_000);
}

#[test]
fn json_events_are_one_object_a_line_and_the_last_one_counts() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"[ "$task" = good ] || exit 7; echo x > x; echo noise; commit"#);
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--json", "good", "bad"], &agent).expect(1);
    sandbox.check_run(&before, &output);
    let events: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["event"].is_string() && event["at"].is_string()));
    let last = events.last().unwrap();
    assert_eq!(last["event"], "run-finished");
    assert_eq!(last["exit_code"], 1);
    assert_eq!((&last["counts"]["landed"], &last["counts"]["failed"]), (&1.into(), &1.into()));
    let names = |events: &[Value]| events.iter().map(|e| e["event"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&events), names(&journal(&sandbox.record())), "the journal tells the same");
    assert!(!output.stdout.contains("noise"));
}

#[test]
fn quiet_tells_less_and_verbose_the_agents_output() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"printf 'hello from %s\n' "$task"; echo x > "$task"; commit"#);
    let before = sandbox.snapshot();
    let quiet = sandbox.run(&["-q", "a", "b"], &agent).expect(0);
    sandbox.check_run(&before, &quiet);
    assert_eq!(quiet.all().lines().count(), 1, "{}", quiet.all());
    assert!(quiet.stdout.starts_with("2 landed in "), "{}", quiet.all());
    let verbose = sandbox.run(&["-v", "c", "d"], &agent).expect(0);
    sandbox.check_run(&before, &verbose);
    for task in ["c", "d"] {
        let prefix = format!("hello from {task}");
        let line = verbose.all().lines().find(|line| line.contains(&prefix)).map(str::to_owned);
        let line = line.unwrap_or_else(|| panic!("{}", verbose.all()));
        assert!(line.starts_with(task), "prefixed with its task: {line}");
    }
    let normal = sandbox.run(&["e"], &agent).expect(0);
    assert!(!normal.all().contains("hello"), "{}", normal.all());
    normal.tells(&[
        "e: started (pid",
        "e: landed on main (fast-forward, 1 commit, 1 file +1 -0)",
        "1 landed in",
    ]);
}

/// Fault 69; seen elsewhere 15.
#[test]
fn a_run_from_a_subdirectory_is_a_run_of_the_repository() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"pwd > "$IO/pwd"; echo x > x; commit"#);
    let before = sandbox.snapshot();
    let args = sandbox.run_args(&["a"], &agent);
    let output = sandbox.parallel_in(&sandbox.repo.join("src"), &args).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read_io("pwd").trim(), sandbox.worktree("a").to_str().unwrap());
    assert!(sandbox.has("x"));
}

/// Fault 69.
#[test]
fn a_run_from_a_linked_worktree_lands_on_its_branch() {
    let sandbox = Sandbox::new();
    let other = sandbox.root.join("other");
    sandbox.git(&["worktree", "add", "-q", "-b", "dev", other.to_str().unwrap()]);
    let before = sandbox.snapshot();
    let args = sandbox.run_args(&["a"], &sandbox.simple_agent());
    let output = sandbox.parallel_in(&other, &args).expect(0);
    sandbox.check_run(&before, &output);
    assert!(other.join("a.txt").exists() && !sandbox.has("a.txt"));
    assert_eq!(sandbox.git_in(&other, &["status", "--porcelain"]), "");
    assert!(!sandbox.has_ref("main^{/work of}"));
    assert_eq!(sandbox.git(&["rev-list", "--count", "main..dev"]), "1");
}

/// Fault 69.
#[test]
fn a_bare_repository_works_with_into() {
    let sandbox = Sandbox::new();
    let bare = Sandbox::empty("shop.git", &["--bare"]);
    sandbox.git(&[OsStr::new("push"), OsStr::new("-q"), bare.repo.as_os_str(), OsStr::new("main")]);
    let before = bare.snapshot();
    let output = bare.run(&["--into", "main", "--keep", "a", "b"], &bare.simple_agent()).expect(0);
    bare.check_run(&before, &output);
    assert_eq!(bare.show("main", "a.txt"), "a\n");
    assert_eq!(bare.show("main", "b.txt"), "b\n");
    assert!(bare.root.join("shop.worktrees/a").is_dir());
}

/// Faults 69 and 70.
#[test]
fn odd_paths_work() {
    let names: [&[u8]; 2] = [b"my \"own\" shop's $(id) ;", b"caf\xc3\xa9 \xff\xfe"];
    for name in names {
        let sandbox = Sandbox::named(OsStr::from_bytes(name));
        let agent = sandbox.agent(
            r#"[ "$1" = "$GIT_PARALLEL_WORKTREE" ] && [ "$PWD" = "$1" ]; printf %s "$PWD" > "$IO/pwd"
               [ "$task" = bad ] && exit 1; echo x > "$task"; commit"#,
        );
        let before = sandbox.snapshot();
        let mut args = sandbox.run_args(&["a", "bad"], &agent);
        args.push("{worktree}".into());
        let output = sandbox.parallel(&args).expect(1);
        sandbox.check_run(&before, &output);
        sandbox.expect_states(&[("a", "landed"), ("bad", "failed")]);
        assert!(sandbox.has("a"));
        assert!(sandbox.worktree("bad").is_dir(), "{}", output.all());
    }
}

#[test]
fn a_line_feed_in_the_repositorys_path_is_refused_in_words() {
    let sandbox = Sandbox::named("new\nline");
    sandbox.run(&["a"], &sandbox.simple_agent()).expect(3).tells(&["line feed"]);
    assert!(!sandbox.worktrees().exists());
}

/// Fault 70: what is not UTF-8 comes out of JSON as it went in.
#[test]
fn paths_that_are_not_utf8_are_lossless_in_json() {
    let sandbox = Sandbox::named(OsStr::from_bytes(b"\xffshop"));
    sandbox.run(&["--keep", "a"], &sandbox.simple_agent()).expect(0);
    let task = sandbox.task("a");
    let bytes: Vec<u8> = serde_json::from_value(task["worktree"]["bytes"].clone()).unwrap();
    assert_eq!(bytes, sandbox.worktree("a").as_os_str().as_bytes());
    let log: Vec<u8> = serde_json::from_value(task["log"]["bytes"].clone()).unwrap();
    assert!(Path::new(OsStr::from_bytes(&log)).exists());
}

/// Fault 73.
#[test]
fn a_sha256_repository_works() {
    let sandbox = Sandbox::with("shop", &["--object-format=sha256"]);
    let before = sandbox.snapshot();
    let output = sandbox.run(&["a", "b"], &sandbox.simple_agent()).expect(0);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    assert_eq!(sandbox.oid("main").len(), 64);
    assert_eq!(sandbox.task("a")["landed"].as_str().unwrap().len(), 64);
}

/// Fault 73.
#[test]
fn a_reftable_repository_works_or_is_refused_in_words() {
    let probe = Sandbox::new();
    let target = probe.root.join("probe");
    let args =
        [OsStr::new("init"), OsStr::new("-q"), OsStr::new("--ref-format=reftable"), target.as_os_str()];
    if probe.run_in(&probe.root, "git", &args).code != 0 {
        return;
    }
    let sandbox = Sandbox::with("shop", &["--ref-format=reftable"]);
    let before = sandbox.snapshot();
    let output = sandbox.run(&["a"], &sandbox.simple_agent());
    match output.code {
        0 => sandbox.check_run(&before, &output),
        3 => {
            output.tells(&["reftable"]);
        }
        _ => panic!("{}", output.all()),
    }
}

#[test]
fn records_are_private_whatever_the_umask() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"umask > "$IO/umask"; echo x > x; echo said; commit; exit 1"#);
    let mut command = sandbox.command(&sandbox.repo, "sh");
    command.args(["-c", "umask 000; exec git parallel run -y a=prompt -- \"$0\""]).arg(&agent);
    let output = sandbox.start(command).wait().expect(1);
    drop(output);
    assert_eq!(sandbox.read_io("umask").trim().trim_start_matches('0'), "", "the agent has the user's umask");
    let dir = sandbox.common_dir().join("parallel");
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let mut seen = 0;
    for (path, mode) in modes(&dir) {
        let meta = fs::symlink_metadata(&path).unwrap();
        let expected = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode & 0o777, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen > 5);
}

fn modes(dir: &Path) -> Vec<(std::path::PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        found.push((path.clone(), meta.permissions().mode()));
        if meta.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

#[test]
fn a_dry_run_prints_the_plan_and_creates_nothing() {
    let sandbox = Sandbox::new();
    let mut args = sandbox.run_args(&["-n", "a", "b"], &sandbox.simple_agent());
    args.remove(1);
    let output = sandbox.parallel(&args).expect(0);
    assert!(output.stdout.starts_with("This will\n  create 2 worktrees in "), "{}", output.stdout);
    assert!(output.stdout.contains("land feature/a, feature/b on main as they finish"), "{}", output.stdout);
    assert_eq!(sandbox.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    assert!(!sandbox.common_dir().join("parallel").exists());
    assert!(!sandbox.worktrees().exists());
}

/// Two runs in the same second: the latest is the one that started last.
#[test]
fn runs_one_after_another_and_the_latest_is_the_last() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    for task in ["a", "b", "c", "d", "e", "f"] {
        let output = sandbox.run(&[task], &sandbox.simple_agent()).expect(0);
        sandbox.expect_states(&[(task, "landed")]);
        sandbox.check_run(&before, &output);
    }
    let list = sandbox.parallel(&["list", "--json"]).expect(0).json();
    assert_eq!(list["runs"].as_array().unwrap().len(), 6);
}
