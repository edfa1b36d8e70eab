//! Checks of candidates that run on the cluster (`parallel.slurm.verify`).

use crate::bench::Shop;
use crate::common;

fn open(check: &str) -> Option<(Shop, String)> {
    let shop = Shop::open()?;
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.slurm.verify", "true"]);
    let path = sandbox.script(&sandbox.root.join("bin/check"), check);
    let check = path.to_str().expect("UTF-8").to_owned();
    Some((shop, check))
}

#[test]
fn candidates_are_checked_on_the_cluster() {
    let check = r#"echo "$task ${SLURMD_NODENAME-here}" >> "$IO/checked"; echo "looked at $task"
        test ! -e bad.txt; test "$(git rev-parse --show-toplevel)" = "$PWD""#;
    let Some((shop, check)) = open(check) else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    let agent = sandbox.simple_agent();
    let run = shop.start(&["-j3", "--verify", &check, "--verify-retries=1", "good", "bad", "fine"], &agent);
    run.wait().expect(1).tells(&["looked at bad"]);
    sandbox.expect_states(&[("good", "landed"), ("bad", "rejected"), ("fine", "landed")]);
    let checked = sandbox.read_io("checked");
    assert!(!checked.contains("here"), "{checked}");
    assert!(checked.lines().filter(|line| line.starts_with("bad n")).count() >= 2, "{checked}");
    shop.await_empty_queue();
    sandbox.check(&before);
}

#[test]
fn a_check_that_a_dead_supervisor_left_is_ended_and_made_again() {
    let check = r#"echo begun >> "$IO/checks"; mark "up"; await end; echo ended >> "$IO/checks""#;
    let Some((shop, check)) = open(check) else { return };
    let sandbox = &shop.sandbox;
    let run = shop.start(&["--verify", &check, "one"], &sandbox.simple_agent());
    sandbox.await_mark("up");
    shop.kill(run);
    std::fs::remove_file(sandbox.io("up")).expect("it is there");
    let mut resume = sandbox.command(&sandbox.repo, common::PROGRAM);
    resume.arg("resume");
    let resume = sandbox.start(resume);
    sandbox.await_mark("up");
    assert_eq!(sandbox.read_io("checks"), "begun\nbegun\n");
    sandbox.mark("end");
    resume.wait().expect(0);
    assert_eq!(sandbox.read_io("checks"), "begun\nbegun\nended\n");
    assert_eq!(sandbox.state("one"), "landed");
    shop.await_empty_queue();
}
