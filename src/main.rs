//! `git parallel`: run agents at once, each on its own branch and worktree, and land what they finish.

mod error;
mod run;
mod shim;
mod sys;

fn main() -> std::process::ExitCode {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == "shim") {
        return shim::main();
    }
    std::process::ExitCode::SUCCESS
}
