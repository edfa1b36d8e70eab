//! The console blocks of the tutorial are run, in their order, and print what they say.

use crate::console::run_all;
use crate::sandbox::{Sandbox, root};

/// A killed process is gone once its lock is: a person would not be as quick.
const KILL: &str = "kill() { command kill \"$@\"; flock .git/parallel/lock true; };";

#[test]
fn its_commands_print_what_it_says() {
    let sandbox = Sandbox::new();
    if !sandbox.has("flock") {
        return;
    }
    let text = std::fs::read_to_string(root().join("src/commands/man/tutorial.md")).unwrap();
    run_all(&sandbox, &text, KILL);
}
