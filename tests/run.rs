//! What `git parallel run` does with agents: at once, in their worktrees, called as the manual says.

#![allow(clippy::disallowed_methods)]

mod common;

use common::Sandbox;

#[test]
fn a_task_lands() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let output = sandbox.run(&["auth", "docs"], &sandbox.simple_agent()).expect(0);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("auth", "landed"), ("docs", "landed")]);
    assert_eq!(sandbox.read("auth.txt"), "auth\n");
}
