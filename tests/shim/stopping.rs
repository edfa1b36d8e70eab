use std::fs;
use std::io::Write;
use std::time::Duration;

use crate::Case;
use crate::bench::{Bench, code, finish, lives, started, until, within};
use crate::run::{Exit, Stop};
use crate::shim::{Request, Shim, request};
use crate::sys::{Signal, signal_child};

pub const CASES: &[Case] = &[
    ("stopping::out_of_time", out_of_time),
    ("stopping::out_of_time_and_deaf", out_of_time_and_deaf),
    ("stopping::term_reaches_group_and_sessions", term_reaches_group_and_sessions),
    ("stopping::term_then_kill_skips_the_grace", term_then_kill_skips_the_grace),
    ("stopping::without_fifo_signals_do", without_fifo_signals_do),
    ("stopping::exit_0_on_term_is_still_stopped", exit_0_on_term_is_still_stopped),
    ("stopping::a_suspended_agent_s_clock_waits", a_suspended_agent_s_clock_waits),
    ("stopping::a_suspended_agent_is_stopped", a_suspended_agent_is_stopped),
    ("stopping::stopped_before_it_began", stopped_before_it_began),
];

/// Says it is up and sleeps, in the shell's own process.
const SLEEPER: &str = "echo $$ >up; exec sleep 1000";
/// Ignores TERM, and so does all it starts.
const DEAF: &str = "trap '' TERM; sleep 1000 & echo $! >up; while :; do sleep 1000; done";

fn out_of_time() {
    let bench = Bench::new();
    let mut spec = bench.sh("sleep 1000 & wait");
    spec.timeout_ms = Some(200);
    let exit = bench.run(&spec);
    assert_eq!(exit, Exit { signal: Some(15), timed_out: true, ..Exit::default() });
}

fn out_of_time_and_deaf() {
    let bench = Bench::new();
    let mut spec = bench.sh(DEAF);
    (spec.timeout_ms, spec.grace_ms) = (Some(300), 200);
    let exit = bench.run(&spec);
    assert_eq!((exit.signal, exit.timed_out, exit.stopped), (Some(9), true, false));
    assert!(!lives(fs::read_to_string(bench.work().join("up")).unwrap().trim()));
}

fn term_reaches_group_and_sessions() {
    let bench = Bench::new();
    // A child in the group and one in a session of its own; each tells what it got.
    let script = "trap 'echo a >>got; wait; exit 1' TERM
        child='trap \"echo b >>got; exit\" TERM; echo up >>up; while :; do sleep 0.05; done'
        sh -c \"$child\" & setsid sh -c \"$child\" & wait; wait";
    within(async {
        let mut shim = Shim::spawn(&bench.sh(script)).unwrap();
        started(&mut shim).await;
        let up = bench.work().join("up");
        until(|| fs::read_to_string(&up).is_ok_and(|text| text == "up\nup\n")).await;
        assert!(request(&bench.dir(), Request::Stop(Stop::Term)).unwrap());
        let exit = finish(&mut shim).await;
        assert!(exit.stopped && !exit.timed_out, "{exit:?}");
    });
    let mut got: Vec<String> =
        fs::read_to_string(bench.work().join("got")).unwrap().lines().map(str::to_owned).collect();
    got.sort();
    assert_eq!(got, ["a", "b", "b"], "each got TERM once");
}

fn term_then_kill_skips_the_grace() {
    let bench = Bench::new();
    within(async {
        let mut shim = Shim::spawn(&bench.sh(DEAF)).unwrap();
        let child = bench.made("up").await;
        shim.stop(Stop::Term).unwrap();
        shim.stop(Stop::Kill).unwrap();
        let exit = finish(&mut shim).await;
        assert_eq!((exit.signal, exit.stopped), (Some(9), true));
        assert!(!lives(&child));
    });
}

fn without_fifo_signals_do() {
    let bench = Bench::new();
    within(async {
        for (how, script, signal) in [(Stop::Term, SLEEPER, 15), (Stop::Kill, DEAF, 9)] {
            let _ = fs::remove_file(bench.work().join("up"));
            let mut shim = Shim::spawn(&bench.sh(script)).unwrap();
            bench.made("up").await;
            fs::remove_file(bench.dir().join("control")).unwrap();
            shim.stop(how).unwrap();
            let exit = finish(&mut shim).await;
            assert_eq!((exit.signal, exit.stopped), (Some(signal), true));
        }
    });
}

fn exit_0_on_term_is_still_stopped() {
    let bench = Bench::new();
    let script = "trap 'exit 0' TERM; echo 1 >up; while :; do sleep 0.05; done";
    within(async {
        let mut shim = Shim::spawn(&bench.sh(script)).unwrap();
        bench.made("up").await;
        shim.stop(Stop::Term).unwrap();
        let exit = finish(&mut shim).await;
        assert_eq!((exit.code, exit.stopped), (Some(0), true));
    });
}

fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().trim_start().chars().next().unwrap()
}

fn a_suspended_agent_s_clock_waits() {
    let bench = Bench::new();
    // No child: a shell that is just starting one is not in the state that is waited for.
    let mut spec = bench.sh("mkfifo go; echo 1 >up; read x <go");
    spec.timeout_ms = Some(4000);
    within(async {
        let mut shim = Shim::spawn(&spec).unwrap();
        let pid = started(&mut shim).await;
        bench.made("up").await;
        assert!(request(&bench.dir(), Request::Suspend).unwrap());
        until(|| state(pid) == 'T').await;
        tokio::time::sleep(Duration::from_millis(4500)).await;
        let fifo = fs::OpenOptions::new().read(true).write(true).open(bench.work().join("go"));
        fifo.as_ref().unwrap().write_all(b"go\n").unwrap();
        assert!(request(&bench.dir(), Request::Resume).unwrap());
        assert_eq!(finish(&mut shim).await, code(0));
    });
}

fn a_suspended_agent_is_stopped() {
    let bench = Bench::new();
    within(async {
        let mut shim = Shim::spawn(&bench.sh(SLEEPER)).unwrap();
        let pid = started(&mut shim).await;
        bench.made("up").await;
        // By us and by somebody else.
        request(&bench.dir(), Request::Suspend).unwrap();
        until(|| state(pid) == 'T').await;
        request(&bench.dir(), Request::Resume).unwrap();
        until(|| state(pid) != 'T').await;
        assert!(crate::sys::signal_group(pid, Signal::STOP).unwrap());
        until(|| state(pid) == 'T').await;
        shim.stop(Stop::Term).unwrap();
        assert_eq!(finish(&mut shim).await.signal, Some(15));
    });
}

fn stopped_before_it_began() {
    let bench = Bench::new();
    within(async {
        for pause in [0, 0, 1, 2, 3, 5, 8] {
            let mut shim = Shim::spawn(&bench.sh("sleep 1000")).unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
            shim.stop(Stop::Term).unwrap();
            let exit = finish(&mut shim).await;
            assert!(exit.stopped, "{exit:?}");
        }
    });
}
