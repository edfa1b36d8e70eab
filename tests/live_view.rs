//! The live view at a real terminal: keys, sizes, and the terminal as it was at every end.

#![allow(clippy::disallowed_methods)]

mod common;
#[path = "faults/support.rs"]
mod support;
#[path = "faults/terminal.rs"]
mod terminal;

use std::time::Duration;

use common::{Sandbox, pid, wait_until};
use rustix::process::{Signal, kill_process};
use support::{is_kept, scene};
use terminal::Terminal;

/// Commits, says so, and waits for its end.
const BUSY: &str =
    "echo $task >$task.txt; commit work-of-$task; echo 'deep in thought'; mark up-$task; sleep 300";

const DOWN: &[u8] = b"\x1b[B";

#[track_caller]
fn up(sandbox: &Sandbox, tasks: &[&str]) {
    tasks.iter().for_each(|task| sandbox.await_mark(&format!("up-{task}")));
}

/// Waits until a line on the screen is like this.
#[track_caller]
fn shows(terminal: &Terminal, width: usize, is_so: impl Fn(&str) -> bool) {
    wait_until("the screen shows it", || terminal::screen(&terminal.text(), width).lines().any(&is_so));
}

#[track_caller]
fn ends(terminal: Terminal, code: u32) -> String {
    let (found, text) = terminal.wait(Duration::from_secs(20));
    assert_eq!(found, code, "{text}");
    assert_eq!(text.matches("\x1b[?25l").count(), text.matches("\x1b[?25h").count(), "the cursor: {text:?}");
    text
}

#[test]
fn the_selected_task_is_aborted_after_a_yes() {
    let sandbox = scene();
    let agent = sandbox.agent("[ $task = b ] || await go; echo $task >$task.txt; commit work-of-$task; mark up-$task; [ $task != b ] || sleep 300");
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run(&sandbox, &["-y", "-j3", "a", "b", "c"], &agent);
    up(&sandbox, &["b"]);
    terminal.wait_for("?: keys");
    assert!(!terminal.is_as_shells_want());
    terminal.press(b"?");
    terminal.wait_for("r: run again");
    terminal.press(b"a");
    terminal.wait_for("select a task first");
    terminal.press(DOWN);
    terminal.press(b"j");
    shows(&terminal, 80, |line| line.starts_with("> ") && line.contains(" b "));
    terminal.press(b"a");
    terminal.wait_for("abort b? its work is kept [y/N]");
    terminal.press(b"n");
    terminal.press(b"a");
    terminal.press(b"y");
    terminal.wait_for("aborted");
    sandbox.mark("go");
    ends(terminal, 1);
    sandbox.expect_states(&[("a", "landed"), ("b", "aborted"), ("c", "landed")]);
    assert!(is_kept(&sandbox, "work-of-b"));
    sandbox.check(&before);
}

#[test]
fn a_failed_task_is_run_again_while_the_others_go_on() {
    let sandbox = scene();
    let agent = sandbox.agent(
        "[ $task = a ] || await go; mark up-$task-$GIT_PARALLEL_ATTEMPT; \
         [ $GIT_PARALLEL_ATTEMPT = 2 ] || [ $task != a ] || exit 3; echo $task >$task.txt; commit",
    );
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run(&sandbox, &["-y", "-j2", "a", "b"], &agent);
    terminal.wait_for("exit 3");
    terminal.press(b"jjr");
    terminal.wait_for("b is running: there is nothing to run again");
    terminal.press(b"k");
    // What the first attempt left may still be looked at.
    wait_until("a runs again", || {
        terminal.press(b"r");
        sandbox.io("up-a-2").exists()
    });
    sandbox.mark("go");
    ends(terminal, 0);
    sandbox.expect_states(&[("a", "landed"), ("b", "landed")]);
    sandbox.check(&before);
}

#[test]
fn a_log_is_shown_below_and_what_was_committed_on_the_line() {
    let sandbox = scene();
    let agent = sandbox.agent(
        "for i in 1 2 3; do printf '\\033[31mthought %s of %s\\033[0m\\n' $i $task; done; seq 7 >$task.txt; commit; \
         mark up-$task; await go",
    );
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run(&sandbox, &["-y", "-j2", "a", "b"], &agent);
    up(&sandbox, &["a", "b"]);
    terminal.wait_for("+7 -0");
    assert!(!terminal.text().contains("thought 2"));
    terminal.press(b"jl");
    terminal.wait_for("log of a (l closes it)");
    terminal.wait_for("thought 2 of a");
    terminal.press(b"j");
    terminal.wait_for("thought 2 of b");
    assert!(
        !terminal.text().contains("\x1b[31m"),
        "nothing that an agent prints reaches the terminal as it is"
    );
    let open = terminal.text().len();
    terminal.press(b"l");
    wait_until("the log is closed", || {
        let text = terminal.text();
        text[open..].contains("done in")
            && !text[open..].rsplit("done in").nth(1).unwrap_or("l closes").contains("l closes")
    });
    sandbox.mark("go");
    ends(terminal, 0);
    sandbox.check(&before);
}

#[test]
fn a_hundred_tasks_fit_any_size() {
    let sandbox = scene();
    let agent = sandbox.agent("mark up-$task; await go; echo $task >$task.txt; commit");
    let tasks: Vec<String> = (0..100).map(|n| format!("t{n:02}")).collect();
    let mut args = vec!["-y", "-j3"];
    args.extend(tasks.iter().map(String::as_str));
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run(&sandbox, &args, &agent);
    up(&sandbox, &["t00", "t01", "t02"]);
    terminal.wait_for("79 more");
    terminal.press(b"\x1b[F");
    terminal.wait_for("79 above:");
    shows(&terminal, 80, |line| line.starts_with("> · t99"));
    terminal.press(b"\x1b[5~");
    shows(&terminal, 80, |line| line.starts_with("> · t78"));
    terminal.resize(10, 200);
    terminal.wait_for("78 above, 15 below");
    terminal.press(b"\x1b");
    terminal.wait_for("93 more");
    terminal.press(b"\x03");
    let text = ends(terminal, 130);
    assert!(terminal::screen(&text, 200).contains("aborted"), "{text}");
    sandbox.check(&before);
}

#[test]
fn the_terminal_is_as_it_was_at_every_end() {
    for keys in [Some(&b"\x03"[..]), Some(b"\x1c"), None] {
        let sandbox = scene();
        let agent = sandbox.agent(BUSY);
        let before = sandbox.snapshot();
        let mut terminal = Terminal::run(&sandbox, &["-y", "a"], &agent);
        up(&sandbox, &["a"]);
        terminal.wait_for("?: keys");
        assert!(!terminal.is_as_shells_want());
        match keys {
            Some(keys) => terminal.press(keys),
            None => kill_process(pid(terminal.pid()), Signal::TERM).expect("it is there"),
        }
        wait_until("the modes are back", || terminal.is_as_shells_want());
        let (_, text) = terminal.wait(Duration::from_secs(20));
        assert!(text.trim_end().rfind("\x1b[?25h") > text.rfind("\x1b[?25l"), "{text:?}");
        if keys == Some(b"\x1c") {
            // As after any sudden death, the agent goes on, and its run can be ended.
            sandbox.parallel(&["abort"]).expect(0);
        }
        assert!(is_kept(&sandbox, "work-of-a"));
        sandbox.check(&before);
    }
}

#[test]
fn a_run_that_is_stopped_leaves_the_keys_to_the_shell() {
    let sandbox = scene();
    let agent = sandbox.agent("mark up-$task; await go; echo $task >$task.txt; commit");
    let before = sandbox.snapshot();
    let mut terminal = Terminal::run(&sandbox, &["-y", "a"], &agent);
    up(&sandbox, &["a"]);
    terminal.wait_for("?: keys");
    // Nobody is there to stop for: the group is orphaned, and Ctrl-Z is for shells with jobs. The program
    // stops itself all the same.
    kill_process(pid(terminal.pid()), Signal::TSTP).expect("it is there");
    let stat = format!("/proc/{}/stat", terminal.pid());
    // What comes before it has stopped would not wake it.
    wait_until("it has stopped", || {
        std::fs::read_to_string(&stat)
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")))
    });
    assert!(terminal.is_as_shells_want());
    kill_process(pid(terminal.pid()), Signal::CONT).expect("it is there");
    wait_until("the keys are taken again", || !terminal.is_as_shells_want());
    terminal.press(b"?");
    terminal.wait_for("r: run again");
    sandbox.mark("go");
    ends(terminal, 0);
    sandbox.check(&before);
}
