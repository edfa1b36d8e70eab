//! Signals, and a person at a real terminal.

#![allow(clippy::disallowed_methods)]

mod common;
#[path = "faults/support.rs"]
mod support;
#[path = "faults/terminal.rs"]
mod terminal;

use std::time::{Duration, Instant};

use common::{Sandbox, wait_until};
use rustix::process::Signal;
use support::{agent_pid, is_kept, lives, scene};
use terminal::Terminal;

/// Commits, leaves a file uncommitted, and then waits for its end.
const BUSY: &str =
    "echo $task >$task.txt; commit work-of-$task; echo more >uncommitted; mark up-$task; sleep 300";
/// The same, and no TERM moves it or its child.
const STUBBORN: &str = "trap '' TERM INT HUP; echo $task >$task.txt; commit work-of-$task; echo more >uncommitted; mark up-$task; while :; do sleep 300; done";

#[track_caller]
fn up(sandbox: &Sandbox, tasks: &[&str]) {
    tasks.iter().for_each(|task| sandbox.await_mark(&format!("up-{task}")));
}

/// What was made is kept, committed or not.
#[track_caller]
fn work_is_kept(sandbox: &Sandbox, tasks: &[&str]) {
    for task in tasks {
        assert!(is_kept(sandbox, &format!("work-of-{task}")), "{task}");
        assert!(sandbox.worktree(task).join("uncommitted").exists(), "{task}");
    }
}

#[test]
fn one_ctrl_c_stops_the_agents_and_keeps_their_work() {
    // 9
    let sandbox = scene();
    let agent = sandbox.agent(BUSY);
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run(&sandbox, &["-y", "-j2", "a", "b", "c", "d"], &agent);
    up(&sandbox, &["a", "b"]);
    terminal.press(b"\x03");
    let (code, text) = terminal.wait(Duration::from_secs(10));
    assert_eq!(code, 130, "{text}");
    assert!(text.contains("again"), "{text}");
    assert!(
        text.matches("\x1b[?25l").count() == text.matches("\x1b[?25h").count(),
        "the cursor is back: {text:?}"
    );
    sandbox.expect_states(&[("a", "aborted"), ("b", "aborted"), ("c", "aborted"), ("d", "aborted")]);
    work_is_kept(&sandbox, &["a", "b"]);
    sandbox.check(&before);
}

#[test]
fn a_second_ctrl_c_kills_what_ignores_the_first() {
    // 10
    let sandbox = scene();
    let agent = sandbox.agent(STUBBORN);
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run(&sandbox, &["-y", "a", "b"], &agent);
    up(&sandbox, &["a", "b"]);
    let begun = Instant::now();
    terminal.press(b"\x03");
    terminal.wait_for("again");
    terminal.press(b"\x03");
    let (code, text) = terminal.wait(Duration::from_secs(10));
    assert_eq!(code, 130, "{text}");
    assert!(begun.elapsed() < Duration::from_secs(4), "the grace was skipped: {:?}", begun.elapsed());
    let hidden = text.rfind("\x1b[?25l").expect("the live view hides it");
    assert!(text.rfind("\x1b[?25h").is_some_and(|shown| shown > hidden), "{text:?}");
    work_is_kept(&sandbox, &["a", "b"]);
    sandbox.check(&before);
}

#[test]
fn one_ctrl_c_is_one_also_through_git() {
    // 9: git passes on what the terminal has sent to both. An agent that cleans up on TERM has its grace.
    let sandbox = scene();
    let agent = sandbox.agent(
        "trap 'sleep 0.5; echo cleaned >cleaned.txt; commit cleaned-up; exit 1' TERM; mark up-$task; \
         while :; do sleep 0.05; done",
    );
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run_by_git(&sandbox, &["-y", "a"], &agent);
    up(&sandbox, &["a"]);
    terminal.press(b"\x03");
    let (_, text) = terminal.wait(Duration::from_secs(10));
    assert!(!text.contains("killing"), "{text}");
    assert!(is_kept(&sandbox, "cleaned-up"), "{text}");
    sandbox.expect_states(&[("a", "aborted")]);
    sandbox.check(&before);
}

#[test]
fn two_ctrl_cs_are_two_also_through_git() {
    // 10
    let sandbox = scene();
    let agent = sandbox.agent(STUBBORN);
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run_by_git(&sandbox, &["-y", "a"], &agent);
    up(&sandbox, &["a"]);
    let begun = Instant::now();
    terminal.press(b"\x03");
    terminal.wait_for("again");
    std::thread::sleep(Duration::from_millis(150));
    terminal.press(b"\x03");
    terminal.wait(Duration::from_secs(10));
    assert!(begun.elapsed() < Duration::from_secs(4), "the grace was skipped: {:?}", begun.elapsed());
    work_is_kept(&sandbox, &["a"]);
    sandbox.check(&before);
}

#[test]
fn one_ctrl_c_is_enough_after_the_grace() {
    // 10: nobody presses again, and TERM is ignored.
    let sandbox = scene();
    let agent = sandbox.agent(STUBBORN);
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run(&sandbox, &["-y", "a"], &agent);
    up(&sandbox, &["a"]);
    terminal.press(b"\x03");
    let (code, text) = terminal.wait(Duration::from_secs(10));
    assert_eq!(code, 130, "{text}");
    work_is_kept(&sandbox, &["a"]);
    sandbox.check(&before);
}

#[test]
fn term_and_hang_up_and_interrupt_without_a_terminal() {
    std::thread::scope(|scope| {
        for (signal, code, word) in
            [(Signal::TERM, 143, "SIGTERM"), (Signal::HUP, 129, "went away"), (Signal::INT, 130, "Ctrl-C")]
        {
            scope.spawn(move || {
                let sandbox = scene();
                let before = sandbox.snapshot();
                let running = sandbox.spawn_run(&["-j1", "a", "b"], &sandbox.agent(BUSY));
                up(&sandbox, &["a"]);
                running.signal(signal);
                running.wait().expect(code).tells(&[word, "aborted"]);
                sandbox.expect_states(&[("a", "aborted"), ("b", "aborted")]);
                work_is_kept(&sandbox, &["a"]);
                assert!(!sandbox.has_ref("refs/heads/feature/b"), "it was not started");
                sandbox.check(&before);
            });
        }
    });
}

#[test]
fn a_terminal_that_goes_away_stops_the_agents() {
    // 8
    let sandbox = scene();
    let agent = sandbox.agent(BUSY);
    let before = sandbox.snapshot();
    let terminal = Terminal::run(&sandbox, &["-y", "a", "b"], &agent);
    up(&sandbox, &["a", "b"]);
    let code = terminal.hang_up();
    assert_eq!(code, 129);
    work_is_kept(&sandbox, &["a", "b"]);
    sandbox.check(&before);
}

#[test]
fn signals_in_a_row_do_no_harm() {
    let sandbox = scene();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["-j2", "a", "b", "c"], &sandbox.agent(BUSY));
    up(&sandbox, &["a", "b"]);
    for _ in 0..20 {
        running.signal(Signal::TERM);
        running.signal(Signal::HUP);
    }
    let code = running.wait().code;
    assert!(matches!(code, 143 | 129), "{code}");
    work_is_kept(&sandbox, &["a", "b"]);
    sandbox.check(&before);
}

#[test]
fn a_signal_before_the_first_agent_creates_no_half_thing() {
    // While worktrees are being made: a slow hook holds them up.
    let sandbox = scene();
    sandbox.hook("post-checkout", ": >>$IO/hooked; sleep 0.5");
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["a", "b"], &sandbox.agent(BUSY));
    sandbox.await_mark("hooked");
    running.signal(Signal::TERM);
    running.wait().expect(143);
    sandbox.expect_states(&[("a", "aborted"), ("b", "aborted")]);
    assert!(!sandbox.io("up-a").exists(), "no agent was started");
    sandbox.check(&before);
}

#[test]
fn an_interrupt_during_a_landing_leaves_it_whole() {
    // 6, 9: a hook of the user's holds the ref transaction up; the landing comes to its end.
    let sandbox = scene();
    sandbox.hook(
        "reference-transaction",
        "if [ \"$1\" = prepared ] && grep -q refs/heads/main; then : >$IO/landing; sleep 0.5; fi",
    );
    let agent =
        sandbox.agent(&format!("if [ $task = quick ]; then echo q >quick.txt; commit; else {BUSY}; fi"));
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run(&sandbox, &["-y", "slow", "quick"], &agent);
    up(&sandbox, &["slow"]);
    sandbox.await_mark("landing");
    terminal.press(b"\x03");
    let (code, text) = terminal.wait(Duration::from_secs(10));
    assert_eq!(code, 130, "{text}");
    sandbox.expect_states(&[("slow", "aborted"), ("quick", "landed")]);
    assert_eq!(sandbox.read("quick.txt"), "q\n");
    sandbox.check(&before);
}

#[test]
fn abort_reaches_a_long_queue() {
    let sandbox = scene();
    let names: Vec<String> = (0..40).map(|i| format!("t{i}")).collect();
    let tasks: Vec<&str> = ["-j2"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&tasks, &sandbox.agent(BUSY));
    up(&sandbox, &["t0", "t1"]);
    let begun = Instant::now();
    sandbox.parallel(&["abort"]).expect(0).tells(&["work is kept"]);
    let output = running.wait().expect(1);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(sandbox.status()["counts"]["aborted"], 40, "{}", output.all());
    assert!(!sandbox.has_ref("refs/heads/feature/t39"));
    work_is_kept(&sandbox, &["t0", "t1"]);
    sandbox.check(&before);
}

#[test]
fn abort_of_one_task_leaves_the_others() {
    let sandbox = scene();
    let agent =
        sandbox.agent(&format!("if [ $task = a ]; then {BUSY}; else await go; echo b >b.txt; commit; fi"));
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["a", "b"], &agent);
    up(&sandbox, &["a"]);
    let pid = agent_pid(&sandbox, "a");
    sandbox.parallel(&["abort", "a"]).expect(0);
    assert!(!lives(pid));
    sandbox.mark("go");
    running.wait().expect(1);
    sandbox.expect_states(&[("a", "aborted"), ("b", "landed")]);
    work_is_kept(&sandbox, &["a"]);
    sandbox.check(&before);
}

#[test]
fn locks_of_a_git_that_was_killed_are_not_left_behind() {
    // 5, 6: its agent was in the middle of a commit.
    let sandbox = scene();
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"dir=$(git rev-parse --absolute-git-dir)
           mark "up-$GIT_PARALLEL_ATTEMPT"
           if [ $GIT_PARALLEL_ATTEMPT = 1 ]; then
               : >"$dir/HEAD.lock"; : >"$dir/index.lock"; : >"$dir/../../$(git symbolic-ref HEAD).lock"
               : >"$dir/../../packed-refs.lock"; : >"$dir/../../config.lock"
               mark locked; await never
           fi
           echo a >a.txt; commit"#,
    );
    let running = sandbox.spawn_run(&["a"], &agent);
    sandbox.await_mark("locked");
    sandbox.parallel(&["abort", "a"]).expect(0);
    running.wait().expect(1);
    sandbox.check(&before);
    sandbox.parallel(&["retry", "a"]).expect(0);
    sandbox.expect_states(&[("a", "landed")]);
    sandbox.check(&before);
}

#[test]
fn a_yes_at_the_prompt_starts_the_run() {
    // list 19
    let sandbox = scene();
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run(&sandbox, &["a", "b"], &sandbox.simple_agent());
    terminal.wait_for("[y/N]");
    assert!(!sandbox.has_ref("refs/heads/feature/a"), "nothing before the answer");
    terminal.press(b"y\n");
    let (code, text) = terminal.wait(Duration::from_secs(20));
    assert_eq!(code, 0, "{text}");
    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    sandbox.check(&before);
}

#[test]
fn anything_else_at_the_prompt_does_nothing() {
    // list 19: no, nothing, the end of the input, and Ctrl-C (a death by signal is 1 to who asks here).
    std::thread::scope(|scope| {
        for (keys, expected) in [(&b"n\n"[..], 0), (b"\n", 0), (b"\x04", 0), (b"yolo\n", 0), (b"\x03", 1)] {
            scope.spawn(move || {
                let sandbox = scene();
                let refs = sandbox.refs();
                let mut terminal = Terminal::run(&sandbox, &["a"], &sandbox.simple_agent());
                terminal.wait_for("[y/N]");
                terminal.press(keys);
                let (code, text) = terminal.wait(Duration::from_secs(10));
                assert_eq!(code, expected, "{keys:?}: {text}");
                assert!(!text.contains("landed"), "{text}");
                assert_eq!(sandbox.refs(), refs);
                assert!(!sandbox.worktrees().exists());
                assert!(!sandbox.common_dir().join("parallel/runs").exists(), "{keys:?}");
                // And the next one is not in its way.
                sandbox.run(&["a"], &sandbox.simple_agent()).expect(0);
            });
        }
    });
}

#[test]
fn the_live_view_has_a_line_a_task_and_never_wraps() {
    let sandbox = scene();
    let agent = sandbox.agent(
        "printf 'e\\314\\201 \\033[2J\\033[41m\\ttab 漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字 %0300d' 7; mark up-$task; await go; echo x >$task; commit",
    );
    let name = "a-task-with-quite-a-long-name-for-a-task-that-goes-on-and-on";
    let terminal = Terminal::run(&sandbox, &["-y", "-j3", name, "b", "c", "queued"], &agent);
    up(&sandbox, &[name, "b", "c"]);
    // The last drawing may be a second old.
    terminal.wait_for("漢");
    wait_until("a second drawing", || terminal.text().matches("queued").count() > 3);
    sandbox.mark("go");
    let (code, text) = terminal.wait(Duration::from_secs(20));
    assert_eq!(code, 0, "{text}");
    let frame = text.split("\x1b[?25h").next().unwrap();
    for line in frame.split(['\n', '\r']) {
        let width = console_width(line);
        assert!(width <= 80, "{width}: {line:?}");
    }
    assert!(!frame.contains("\x1b[2J") && !frame.contains("\x1b[41m"), "the agent's escapes: {frame:?}");
    for task in ["a-task-with", "b ", "c ", "queued"] {
        assert!(frame.lines().any(|line| line.contains(task)), "{task}");
    }
    let screen = terminal::screen(&text, 80);
    assert!(screen.contains("4 landed"), "{screen}");
    assert_eq!(screen.matches("漢").count(), 0, "no output is left in the last drawing: {screen}");
}

/// Columns that a line takes, without its escape sequences.
fn console_width(line: &str) -> usize {
    let mut width = 0;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' => drop(characters.find(|c| c.is_ascii_alphabetic())),
            '\u{300}'..='\u{36f}' => {}
            '\u{2e80}'..='\u{ffdc}' => width += 2,
            _ => width += 1,
        }
    }
    width
}
