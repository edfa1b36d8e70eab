//! The console blocks of the tutorial are run, in their order, and print what they say.

use crate::console::{examples, scrubbed};
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
    let examples = examples(&text);
    assert!(examples.len() > 20, "{}", examples.len());
    let home = sandbox.path("home");
    let mut dir = home.clone();
    for example in examples {
        if let Some(to) = example.command.strip_prefix("cd ") {
            dir = dir.join(to);
            continue;
        }
        let mut shell = sandbox.command("sh");
        shell.args(["-c", &format!("{KILL} {{ {}\n}} 2>&1", example.command)]).current_dir(&dir);
        let output = shell.env("LC_ALL", "C").output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap().replace(home.to_str().unwrap(), "/home/ann");
        let expected = scrubbed(example.output.iter().map(String::as_str));
        assert_eq!(scrubbed(output.lines()), expected, "$ {}\n{output}", example.command);
    }
}
