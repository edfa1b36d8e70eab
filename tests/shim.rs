//! The shim at work: real agents, real signals. This program is the supervisor, and run with the
//! argument `shim` it is the shim, as `git-parallel` is both.

#![allow(dead_code, unused_imports, clippy::disallowed_methods)]

#[path = "../src/run/mod.rs"]
mod run;
#[path = "../src/shim/mod.rs"]
mod shim;
#[path = "../src/sys/mod.rs"]
mod sys;

#[path = "shim/basics.rs"]
mod basics;
#[path = "shim/bench.rs"]
mod bench;
#[path = "shim/leftovers.rs"]
mod leftovers;
#[path = "shim/stopping.rs"]
mod stopping;

use std::process::ExitCode;
use std::sync::Mutex;

type Case = (&'static str, fn());

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "shim") {
        return shim::main();
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(*filter));
    let all = [basics::CASES, stopping::CASES, leftovers::CASES].concat();
    let cases: Vec<Case> = all.into_iter().filter(|(name, _)| wanted(name)).collect();
    if args.iter().any(|arg| arg == "--list") {
        cases.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    sys::become_subreaper().unwrap();
    // A failed case says where; its stack is the runtime's.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    let queue = Mutex::new(cases.into_iter());
    let failed = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, case)) = { queue.lock().unwrap().next() } {
                    let ok = std::panic::catch_unwind(case).is_ok();
                    println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
                    *failed.lock().unwrap() += u32::from(!ok);
                }
            });
        }
    });
    if *failed.lock().unwrap() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
