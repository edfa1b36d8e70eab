use std::fs;
use std::time::{Duration, Instant};

use crate::Case;
use crate::bench::{Bench, code, finish, lives, started, within};
use crate::run::Exit;
use crate::shim::{Progress, Shim, end_orphans};
use crate::sys::{Scope, Signal, marked, signal, signal_child};

pub const CASES: &[Case] = &[
    ("leftovers::a_daemon_that_holds_the_pipe", a_daemon_that_holds_the_pipe),
    ("leftovers::a_pipeline_s_tail_may_finish", a_pipeline_s_tail_may_finish),
    ("leftovers::deaf_daemons_without_environment", deaf_daemons_without_environment),
    ("leftovers::a_chain_of_forks", a_chain_of_forks),
    ("leftovers::a_chain_of_sessions", a_chain_of_sessions),
    ("leftovers::the_shim_is_killed", the_shim_is_killed),
    ("leftovers::orphans_of_an_earlier_supervisor", orphans_of_an_earlier_supervisor),
    ("leftovers::others_are_left_alone", others_are_left_alone),
];

fn nothing_left(bench: &Bench) {
    assert_eq!(marked(crate::shim::MARK, bench.dir().as_os_str(), Scope::User).unwrap(), []);
}

fn a_daemon_that_holds_the_pipe() {
    let bench = Bench::new();
    let begin = Instant::now();
    let exit = bench.run(&bench.sh("echo before; (setsid sleep 1000 & echo $! >pid); exit 3"));
    assert_eq!(exit, Exit { left_behind: 1, ..code(3) });
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(bench.log(), "before\n");
    nothing_left(&bench);
}

fn a_pipeline_s_tail_may_finish() {
    let bench = Bench::new();
    let exit = bench.run(&bench.sh("(sleep 0.02; echo late) & echo early"));
    assert_eq!((exit, bench.log()), (code(0), "early\nlate\n".to_owned()));
}

fn deaf_daemons_without_environment() {
    let bench = Bench::new();
    let script = "for i in 1 2 3; do
            env -i PATH=\"$PATH\" setsid sh -c 'trap \"\" TERM; echo $$ >>pids; while :; do sleep 1000; done' \
                </dev/null >/dev/null 2>&1 &
        done; until test \"$(wc -l <pids)\" = 3; do sleep 0.01; done 2>/dev/null";
    let exit = bench.run(&bench.sh(script));
    // Three shells and their sleeps, as far as those had begun.
    assert!(exit.code == Some(0) && (3..=6).contains(&exit.left_behind), "{exit:?}");
    for pid in fs::read_to_string(bench.work().join("pids")).unwrap().lines() {
        assert!(!lives(pid));
    }
}

fn a_chain_of_forks() {
    let bench = Bench::new();
    fs::write(bench.work().join("hop.sh"), "trap '' TERM\nsh ./hop.sh &\n").unwrap();
    let exit = bench.run(&bench.sh("sh ./hop.sh & sleep 0.05"));
    assert_eq!((exit.code, exit.signal), (Some(0), None));
    nothing_left(&bench);
}

fn a_chain_of_sessions() {
    let bench = Bench::new();
    let hop = "trap '' TERM\nsleep 0.01\nsetsid sh ./hop.sh &\n";
    fs::write(bench.work().join("hop.sh"), hop).unwrap();
    let exit = bench.run(&bench.sh("setsid sh ./hop.sh & sleep 0.05"));
    assert_eq!(exit.code, Some(0));
    assert!(exit.left_behind >= 1);
    nothing_left(&bench);
}

const LONELY: &str = "setsid sleep 1000 & env -i sleep 1000 & echo $PPID >up; sleep 1000";

fn the_shim_is_killed() {
    let bench = Bench::new();
    within(async {
        let mut shim = Shim::spawn(&bench.sh(LONELY)).unwrap();
        started(&mut shim).await;
        let pid: u32 = bench.made("up").await.parse().unwrap();
        assert!(signal_child(pid, Signal::KILL).unwrap());
        let exit = finish(&mut shim).await;
        assert_eq!((exit.code, exit.signal, exit.stopped), (None, None, false));
        assert!(exit.left_behind >= 3, "{exit:?}");
        nothing_left(&bench);
        // The next attempt finds a free lock.
        let mut again = bench.sh("exit 0");
        again.attempt = 2;
        assert!(!bench.dir().join("control").exists());
        assert_eq!(finish(&mut Shim::spawn(&again).unwrap()).await, code(0));
    });
}

fn orphans_of_an_earlier_supervisor() {
    let bench = Bench::new();
    within(async {
        let mut shim = Shim::spawn(&bench.sh(LONELY)).unwrap();
        let agent = started(&mut shim).await;
        let pid: u32 = bench.made("up").await.parse().unwrap();
        assert!(signal_child(pid, Signal::KILL).unwrap());
        // Nobody asks the client; the marks alone tell.
        crate::bench::until(|| !crate::shim::is_alive(&bench.dir()).unwrap()).await;
        assert!(lives(&agent.to_string()));
        assert!(end_orphans(&bench.dir(), Duration::from_secs(5)).await >= 3);
        nothing_left(&bench);
        assert_eq!(end_orphans(&bench.dir(), Duration::from_secs(5)).await, 0);
        assert!(matches!(finish(&mut shim).await, Exit { left_behind: 0, .. }));
    });
}

fn others_are_left_alone() {
    let (bench, other) = (Bench::new(), Bench::new());
    within(async {
        let mut shim = Shim::spawn(&other.sh("echo 1 >up; until test -e end; do sleep 0.01; done")).unwrap();
        other.made("up").await;
        assert_eq!(end_orphans(&bench.dir(), Duration::ZERO).await, 0);
        assert_eq!(bench.run_inside("(setsid sleep 1000 &)").await.left_behind, 1);
        fs::write(other.work().join("end"), "").unwrap();
        assert_eq!(finish(&mut shim).await, code(0));
    });
    // A process that is named but was replaced is not signalled.
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let stranger = crate::sys::Process { pid: child.id(), start: 1, group: 0 };
    assert!(!signal(&stranger, Signal::KILL).unwrap());
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}
