//! The console blocks of the README are run, in their order, and print what they say.

use std::path::PathBuf;

use crate::console::{examples, scrubbed};
use crate::sandbox::{Sandbox, root};

#[test]
fn its_commands_print_what_it_says() {
    let sandbox = Sandbox::new();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let examples = examples(&readme);
    assert!(examples.len() >= 5, "{}", examples.len());
    let mut dir = sandbox.path("");
    for example in examples {
        if example.command.starts_with("cd ") {
            dir = demo(&sandbox);
            continue;
        }
        let exe = env!("CARGO_BIN_EXE_git-parallel");
        let command = example.command.replace("cargo run --release -- ", &format!("'{exe}' "));
        let mut shell = sandbox.command("sh");
        // With a terminal that can show the marks.
        shell.args(["-c", &format!("({command}) 2>&1")]).current_dir(&dir).env("TERM", "xterm");
        let output = shell.output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let expected = scrubbed(example.output.iter().map(String::as_str));
        assert_eq!(scrubbed(output.lines()), expected, "$ {}\n{output}", example.command);
    }
}

/// The repository that `demo` has made.
fn demo(sandbox: &Sandbox) -> PathBuf {
    let entries = std::fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap().path());
    let mut demos = entries.filter(|path| path.join("shop/.git").is_dir());
    let demo = demos.next().unwrap().join("shop");
    assert!(demos.next().is_none());
    demo
}
