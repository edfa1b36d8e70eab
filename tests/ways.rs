//! Git's own ways: colours, advice, the pager, lines for scripts, traces, and the places it is called from.

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use common::{Output, PROGRAM, Sandbox};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const ESCAPE: char = '\u{1b}';

/// A repository with a run of which `good` has landed and `bad` has failed.
fn after_a_run() -> Sandbox {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(r#"[ "$task" != bad ]; echo "$task" >"$task.txt"; commit"#);
    sandbox.run(&["good", "bad"], &agent).expect(1);
    sandbox
}

fn parallel(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.run_in(&sandbox.repo, PROGRAM, args)
}

fn git(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.run_in(&sandbox.repo, "git", args)
}

/// What the program shows on a terminal.
fn at_a_terminal(sandbox: &Sandbox, args: &[&str]) -> String {
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(PROGRAM);
    command.args(args);
    command.env_clear();
    sandbox.env.iter().for_each(|(key, value)| command.env(key, value));
    command.cwd(&sandbox.repo);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    // The end of a terminal is told by an error.
    let mut shown = Vec::new();
    let _ = reader.read_to_end(&mut shown);
    child.wait().unwrap();
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn colours_are_as_configured() {
    let mut sandbox = after_a_run();
    let colored = |sandbox: &Sandbox, key: &str| {
        git(sandbox, &["-c", key, "parallel", "status"]).expect(0).stdout.contains(ESCAPE)
    };
    assert!(!colored(&sandbox, "a.b=c"));
    assert!(colored(&sandbox, "color.ui=always"));
    assert!(colored(&sandbox, "color.parallel=always"));
    assert!(!colored(&sandbox, "color.parallel=true"));
    sandbox.git(&["config", "color.ui", "always"]);
    assert!(!colored(&sandbox, "color.parallel=never"));
    assert!(!colored(&sandbox, "color.parallel=auto"));
    // As git tells its children that it has started a pager.
    sandbox.set_env("GIT_PAGER_IN_USE", "true");
    assert!(!colored(&sandbox, "color.parallel=auto"), "it is a dumb terminal");
    sandbox.set_env("TERM", "xterm");
    assert!(colored(&sandbox, "color.parallel=auto"));
    assert!(!colored(&sandbox, "color.parallel=never"));
    sandbox.git(&["config", "color.pager", "false"]);
    assert!(!colored(&sandbox, "color.parallel=auto"));
    sandbox.set_env("CLICOLOR_FORCE", "1");
    assert!(colored(&sandbox, "color.parallel=auto"));
    assert!(!colored(&sandbox, "color.parallel=never"));
    let bad = git(&sandbox, &["-c", "color.parallel=blue", "parallel", "status"]).expect(3);
    bad.tells(&["'blue' for 'color.parallel'"]);
}

#[test]
fn advice_can_be_silenced() {
    let mut sandbox = after_a_run();
    let status = |sandbox: &Sandbox, key: &str| git(sandbox, &["-c", key, "parallel", "status"]).stdout;
    let wrong = |sandbox: &Sandbox, key: &str| git(sandbox, &["-c", key, "parallel", "logs", "baad"]).stderr;
    assert!(status(&sandbox, "a.b=c").contains("git parallel retry bad"));
    assert!(wrong(&sandbox, "a.b=c").contains("hint: did you mean 'bad'?"));
    for key in ["advice.parallel=false", "advice.parallelNext=false"] {
        assert!(!status(&sandbox, key).contains("git parallel retry"), "{key}");
        assert!(status(&sandbox, key).contains("1 of 2 tasks needs you"), "{key}");
    }
    for key in ["advice.parallel=false", "advice.parallelHints=false"] {
        assert!(!wrong(&sandbox, key).contains("hint:"), "{key}");
        assert!(wrong(&sandbox, key).contains("has no task 'baad'"), "{key}");
    }
    sandbox.set_env("GIT_ADVICE", "0");
    assert!(!status(&sandbox, "a.b=c").contains("git parallel retry"));
    assert!(!wrong(&sandbox, "a.b=c").contains("hint:"));
}

#[test]
fn porcelain_lines_are_as_the_manual_says() {
    let sandbox = after_a_run();
    let status = parallel(&sandbox, &["status", "--porcelain"]).expect(0).stdout;
    let lines: Vec<&str> = status.lines().collect();
    let headers: Vec<&str> = lines[..8].iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    let known = ["id", "state", "target", "base", "tip", "started", "finished", "pid"];
    assert_eq!(headers, known.map(|name| format!("run.{name}")));
    assert_eq!(lines[2], "# run.target main");
    let good = sandbox.git(&["rev-parse", "main"]);
    let worktrees = sandbox.root.join("shop.worktrees");
    assert_eq!(
        lines[8],
        format!("t landed 1 0 1 {good} {good} good\tfeature/good\t{}/good", worktrees.display())
    );
    assert!(lines[9].starts_with("t failed 1 1 0 "), "{}", lines[9]);
    assert_eq!(lines.len(), 10);

    let nul = parallel(&sandbox, &["status", "-z"]).expect(0).stdout;
    assert_eq!(nul.replace('\0', "\n"), status);

    let id = lines[0].rsplit(' ').next().unwrap();
    let list = parallel(&sandbox, &["list", "--porcelain"]).expect(0).stdout;
    assert!(list.starts_with(&format!("{id} finished 20")) && list.ends_with(" 2 1 0 main\n"), "{list}");
    assert_eq!(parallel(&sandbox, &["list", "-z"]).expect(0).stdout, list.replace('\n', "\0"));
    parallel(&sandbox, &["list", "-z", "--json"]).expect(2);
}

#[test]
fn paths_in_conflicts_are_quoted_or_end_with_nul() {
    let sandbox = Sandbox::new();
    let name = std::ffi::OsStr::from_bytes(b"a\n\xff");
    for branch in ["one", "two"] {
        sandbox.git(&["switch", "-q", "-c", branch, "main"]);
        fs::write(sandbox.repo.join(name), branch).unwrap();
        sandbox.commit_all(branch);
    }
    sandbox.git(&["switch", "-q", "main"]);
    let quoted = parallel(&sandbox, &["conflicts", "--porcelain", "one", "two"]).expect(1);
    assert_eq!(quoted.stdout, "one\ttwo\t\"a\\n\\377\"\n");
    let output =
        sandbox.command(&sandbox.repo, PROGRAM).args(["conflicts", "-z", "one", "two"]).output().unwrap();
    assert_eq!(output.stdout, b"one\ttwo\ta\n\xff\0");
    assert_eq!(parallel(&sandbox, &["conflicts", "-z", "one"]).expect(0).stdout, "");
}

#[test]
fn a_trace_tells_each_git_and_each_event_and_no_environment() {
    let mut sandbox = Sandbox::new();
    let trace = sandbox.root.join("trace");
    sandbox.set_env("GIT_PARALLEL_TRACE", &trace);
    sandbox.set_env("TOKEN", "hunter2");
    let agent = sandbox.agent("echo x >x; commit");
    sandbox.run(&["good"], &agent).expect(0);
    let text = fs::read_to_string(&trace).unwrap();
    assert!(text.contains(": git config --list -z\n"), "{text}");
    assert!(text.contains("\"event\":\"run-finished\""), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    for line in text.lines() {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() == 15 && (rest.starts_with("git (") || rest.starts_with("event: {")), "{line}");
    }
    sandbox.set_env("GIT_PARALLEL_TRACE", "1");
    assert!(parallel(&sandbox, &["list"]).expect(0).stderr.contains(" ms) "));
    for off in ["0", "", "false"] {
        sandbox.set_env("GIT_PARALLEL_TRACE", off);
        assert_eq!(parallel(&sandbox, &["list"]).expect(0).stderr, "");
    }
    sandbox.set_env("GIT_PARALLEL_TRACE", "somewhere");
    let warned = parallel(&sandbox, &["list"]).expect(0).stderr;
    assert!(warned.starts_with("warning: can't trace to GIT_PARALLEL_TRACE=somewhere: "), "{warned}");
}

#[test]
fn the_pager_is_gits_on_a_terminal_alone() {
    let mut sandbox = after_a_run();
    let paged = |sandbox: &Sandbox, args: &[&str]| {
        let shown = at_a_terminal(sandbox, args);
        (shown.contains("paged: "), shown)
    };
    let pager = sandbox.root.join("bin/pager");
    let pager = sandbox.script(&pager, "sed 's/^/paged: /'; echo \"less is $LESS\"");
    let pager = pager.to_str().unwrap().to_owned();
    sandbox.set_env("GIT_PAGER", &pager);
    for args in [vec!["status"], vec!["list"], vec!["report"], vec!["logs"], vec!["list", "--json"]] {
        let (is_paged, shown) = paged(&sandbox, &args);
        assert!(is_paged && shown.contains("less is FRX"), "{args:?}: {shown}");
        assert!(!parallel(&sandbox, &args).expect(0).stdout.contains("paged: "), "{args:?}");
    }
    for args in [vec!["status", "--watch"], vec!["logs", "-f"], vec!["agents"]] {
        let (is_paged, shown) = paged(&sandbox, &args);
        assert!(!is_paged, "{args:?}: {shown}");
    }
    for none in ["cat", ""] {
        sandbox.set_env("GIT_PAGER", none);
        assert!(!paged(&sandbox, &["list"]).0, "{none:?}");
    }
    sandbox.env.retain(|(key, _)| key != "GIT_PAGER");
    sandbox.git(&["config", "core.pager", "cat"]);
    assert!(!paged(&sandbox, &["list"]).0);
    sandbox.git(&["config", "pager.parallel", &pager]);
    assert!(paged(&sandbox, &["list"]).0);
    sandbox.git(&["config", "core.pager", &pager]);
    sandbox.git(&["config", "pager.parallel", "false"]);
    assert!(!paged(&sandbox, &["list"]).0);
}

#[test]
fn settings_count_at_every_level() {
    let mut sandbox = Sandbox::new();
    let jobs = |sandbox: &Sandbox, before: &[&str]| {
        let args = [before, &["parallel", "run", "-n", "a", "b", "c", "d", "e", "f", "--", "true"]].concat();
        let plan = git(sandbox, &args).expect(0).stdout;
        let (before, _) = plan.split_once(" at once").unwrap();
        before.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(jobs(&sandbox, &[]), "3");
    let included = sandbox.root.join("home/included");
    fs::write(&included, "[parallel]\n\tjobs = 4\n").unwrap();
    let condition = format!("includeIf.gitdir:{}/.path", sandbox.repo.display());
    let global = sandbox.root.join("home/global");
    sandbox.git(&["config", "--file", global.to_str().unwrap(), &condition, included.to_str().unwrap()]);
    let elsewhere = format!("includeIf.gitdir:{}/nowhere/.path", sandbox.root.display());
    let other = sandbox.root.join("home/other");
    fs::write(&other, "[parallel]\n\tjobs = 1\n").unwrap();
    sandbox.git(&["config", "--file", global.to_str().unwrap(), &elsewhere, other.to_str().unwrap()]);
    sandbox.set_env("GIT_CONFIG_GLOBAL", &global);
    assert_eq!(jobs(&sandbox, &[]), "4");
    sandbox.set_env("GIT_CONFIG_COUNT", "1");
    sandbox.set_env("GIT_CONFIG_KEY_0", "parallel.jobs");
    sandbox.set_env("GIT_CONFIG_VALUE_0", "5");
    assert_eq!(jobs(&sandbox, &[]), "5");
    assert_eq!(jobs(&sandbox, &["-c", "parallel.jobs=2"]), "2");
}

#[test]
fn an_alias_of_it_works_wherever_it_is_called() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "alias.par", "parallel run -y"]);
    sandbox.git(&["config", "alias.bypar", "!git parallel run -y"]);
    let agent = sandbox.agent("echo x >\"$task\"; commit");
    let agent = agent.to_str().unwrap();
    let linked = sandbox.root.join("linked");
    sandbox.git(&["worktree", "add", "-q", "-b", "topic", linked.to_str().unwrap()]);
    for (number, (alias, dir, target)) in [
        ("par", sandbox.repo.join("src"), "main"),
        ("bypar", sandbox.repo.join("src"), "main"),
        ("par", linked.clone(), "topic"),
        // Here git tells a shell's alias by GIT_DIR where it is.
        ("bypar", linked.clone(), "topic"),
    ]
    .into_iter()
    .enumerate()
    {
        let task = format!("t{number}");
        sandbox.run_in(&dir, "git", &[alias, &task, "--", agent]).expect(0);
        let log = sandbox.git(&["log", "-1", "--format=%s", target]);
        assert_eq!(log, format!("work of {task}"), "{alias} in {}", dir.display());
    }
}

#[test]
fn in_a_submodule_it_works_on_that() {
    let sandbox = Sandbox::new();
    let library = Sandbox::named("library");
    let url = library.repo.to_str().unwrap();
    sandbox.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "lib"]);
    sandbox.git(&["commit", "-q", "-m", "Add a library"]);
    let inside = sandbox.repo.join("lib");
    sandbox.identify(&inside);
    let above = sandbox.git(&["rev-parse", "main"]);
    let agent = sandbox.agent("echo x >x; commit");
    let args = ["parallel", "run", "-y", "auth", "--", agent.to_str().unwrap()];
    sandbox.run_in(&inside, "git", &args).expect(0);
    assert_eq!(sandbox.git_in(&inside, &["log", "-1", "--format=%s", "main"]), "work of auth");
    assert!(inside.join("x").exists());
    assert_eq!(sandbox.git(&["rev-parse", "main"]), above);
    assert_eq!(sandbox.git(&["status", "--porcelain"]), " M lib");
}

#[test]
fn a_mistyped_name_gets_the_nearest_known_one() {
    let sandbox = after_a_run();
    sandbox.git(&["branch", "develop"]);
    let id = sandbox.status()["run"]["id"].as_str().unwrap().to_owned();
    let wrong = format!("{}Z", &id[..id.len() - 1]);
    let prompt = sandbox.root.join("plan.toml");
    fs::write(&prompt, "[[task]]\nname = 'a'\ncomand = 'true'\n").unwrap();
    let near_run = format!("did you mean '{id}'?");
    for (args, hint) in [
        (&["statsu"][..], "hint: did you mean 'status'?\n"),
        (&["run", "--dryrun", "a"], "hint: did you mean '--dry-run'?\n"),
        (&["run", "--strategy", "sqash", "a", "--", "true"], "hint: did you mean 'squash'?\n"),
        (&["schema", "pln"], "hint: did you mean 'plan'?\n"),
        (&["retry", "bda"], "hint: did you mean 'bad'?\n"),
        (&["land", "goood"], "hint: did you mean 'good'?\n"),
        (&["resolve", "Bad"], "hint: did you mean 'bad'?\n"),
        (&["abort", "bda"], "hint: did you mean 'bad'?\n"),
        (&["cleanup", "bda"], "hint: did you mean 'bad'?\n"),
        (&["logs", "bda"], "hint: did you mean 'bad'?\n"),
        (&["logs", "--run", &wrong], &near_run),
        (&["status", &wrong], &near_run),
        (&["report", &wrong], &near_run),
        (&["undo", &wrong], &near_run),
        (&["wait", &wrong], &near_run),
        (&["resume", &wrong], &near_run),
        (&["cleanup", "--run", &wrong], &near_run),
        (&["run", "-n", "--into", "devlop", "a", "--", "true"], "hint: did you mean 'develop'?\n"),
        (&["run", "-n", "--base", "devlop", "a", "--", "true"], "hint: did you mean 'develop'?\n"),
        (&["conflicts", "devlop"], "hint: did you mean 'develop'?\n"),
        (&["conflicts", "--into", "devlop", "develop"], "hint: did you mean 'develop'?\n"),
        (&["run", "-n", "-a", "cluade", "a=x"], "hint: did you mean 'claude'?\n"),
        (&["run", "-n", "--on-conflict", "cluade", "a", "--", "true"], "hint: did you mean 'claude'?\n"),
        (&["run", "-n", "--runner", "slrum", "a", "--", "true"], "hint: did you mean 'slurm'?\n"),
        (&["run", "-n", "-f", prompt.to_str().unwrap(), "--", "true"], "did you mean 'command'?"),
    ] {
        let output = parallel(&sandbox, args);
        assert!(output.code > 0 && output.stderr.contains(hint), "{args:?}: {}", output.stderr);
        assert!(output.stderr.starts_with("error: ") && !output.stderr.contains("tip:"), "{args:?}");
        assert_eq!(output.stdout, "", "{args:?}");
    }
    // What is like nothing known gets no guess.
    assert!(!parallel(&sandbox, &["retry", "zebra"]).stderr.contains("did you mean"));
}

#[test]
fn below_an_interrupted_run_everything_points_to_resume() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent("mark up; await go; echo x >x; commit");
    let running = sandbox.spawn_run(&["slow"], &agent);
    sandbox.await_mark("up");
    assert_eq!(parallel(&sandbox, &[]).expect(0).stderr, "", "it is seen to");
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    for args in [&[][..], &["status"], &["run", "-n", "other", "--", "true"], &["retry", "slow"], &["land"]] {
        parallel(&sandbox, args).tells(&["interrupted", "git parallel resume", "git parallel abort"]);
    }
    sandbox.mark("go");
    parallel(&sandbox, &["resume"]).expect(0);
    assert_eq!(parallel(&sandbox, &[]).expect(0).stderr, "");
}
