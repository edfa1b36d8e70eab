//! How agents end, and what they leave that is out of the ordinary.

use crate::bench::Shop;
use crate::common;

#[test]
fn exits_are_those_of_the_agent() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; case $task in c75) exit 75;; c255) exit 255;; killed) kill -9 $$;; esac"#,
    );
    let tasks = ["c75", "c255", "killed", "nothing"];
    shop.start(&[&["-j4"], &tasks[..]].concat(), &agent).wait().expect(1);
    let states = [("c75", "failed"), ("c255", "failed"), ("killed", "failed"), ("nothing", "unchanged")];
    sandbox.expect_states(&states);
    assert_eq!(sandbox.task("c255")["exit_code"], 255);
    assert_eq!(sandbox.task("killed")["reason"], "killed by signal 9");
    shop.expect_ran_once(&tasks);
    shop.expect_only_mirrors();
    sandbox.check(&before);
}

#[test]
fn an_agent_that_is_not_there_says_so() {
    let Some(shop) = Shop::open() else { return };
    let run = shop.start(&["one"], std::path::Path::new("no-such-agent"));
    run.wait().expect(1).tells(&["one: failed: cannot run 'no-such-agent': not found in PATH"]);
    shop.expect_only_mirrors();
}

#[test]
fn abort_lets_an_agent_commit() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"trap 'echo TERM >> "$IO/signals"; echo saved > saved; commit "saved at the end"; exit 1' TERM
        mark "up-$task"; while :; do sleep 0.05; done"#,
    );
    let run = shop.start(&["-j2", "one", "two"], &agent);
    sandbox.await_mark("up-one");
    sandbox.await_mark("up-two");
    sandbox.parallel(&["abort"]).expect(0);
    run.wait().expect(1);
    sandbox.expect_states(&[("one", "aborted"), ("two", "aborted")]);
    for branch in ["feature/one", "feature/two"] {
        assert_eq!(sandbox.git(&["log", "--format=%s", &format!("main..{branch}")]), "saved at the end");
    }
    assert_eq!(sandbox.read_io("signals"), "TERM\nTERM\n", "once each");
    shop.expect_only_mirrors();
    sandbox.check(&before);
}

#[test]
fn an_agent_that_ignores_term_is_killed_and_one_that_takes_too_long() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let agent = sandbox.agent(r#"trap '' TERM; mark up; while :; do sleep 0.05; done"#);
    let run = shop.start(&["one"], &agent);
    sandbox.await_mark("up");
    run.signal(rustix::process::Signal::INT);
    common::wait_until("it is told", || run.so_far().1.contains("Ctrl-C again"));
    run.signal(rustix::process::Signal::INT);
    run.wait().expect(130);
    assert_eq!(sandbox.state("one"), "aborted");
    let slow = sandbox.agent(r#"echo x > x; commit; while :; do sleep 0.05; done"#);
    shop.start(&["--timeout", "1s", "two"], &slow).wait().expect(1);
    assert_eq!(sandbox.state("two"), "timed-out");
    assert_eq!(sandbox.git(&["log", "--format=%s", "main..feature/two"]), "work of two");
    shop.expect_only_mirrors();
}

/// A conflict's markers must not land, and what is left of a merge is for a person, as it would be here.
#[test]
fn what_is_not_finished_is_held() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"case $task in
        merging) git checkout -q -b other; echo other > README.md; commit other; git checkout -q feature/merging
            echo mine > README.md; commit mine; ! git merge -q other;;
        detached) git checkout -q --detach; echo x > x; commit apart;;
        elsewhere) git checkout -q -b mine; echo y > y; commit "on mine";;
        deleted) echo z > z; commit lost; git checkout -q --detach; git branch -q -D feature/deleted;
            git symbolic-ref HEAD refs/heads/feature/deleted;;
        reset) echo a > a; commit first; git reset -q --hard HEAD~1; echo b > b; commit second;;
        nested) git init -q inner; echo c > c; commit c;;
        esac"#,
    );
    let tasks = ["merging", "detached", "elsewhere", "deleted", "reset", "nested"];
    shop.start(&[&["-j6"], &tasks[..]].concat(), &agent).wait().expect(1);
    let reason = |task: &str| sandbox.task(task)["reason"].as_str().unwrap_or("").to_owned();
    assert!(reason("merging").contains("a merge is not finished"), "{}", reason("merging"));
    let status = sandbox.git_in(&sandbox.worktree("merging"), &["status", "--porcelain"]);
    assert_eq!(status, "UU README.md");
    assert!(reason("detached").contains("is on a detached HEAD"), "{}", reason("detached"));
    assert!(reason("elsewhere").contains("is on a detached HEAD"), "{}", reason("elsewhere"));
    assert!(
        reason("deleted").contains("deleted branch 'feature/deleted'; it is back"),
        "{}",
        reason("deleted")
    );
    assert_eq!(sandbox.git(&["log", "--format=%s", "main..feature/deleted"]), "lost");
    assert_eq!(sandbox.state("reset"), "landed");
    let pins = sandbox.git(&["for-each-ref", "--format=%(refname) %(contents:subject)", "refs/parallel"]);
    assert!(pins.contains("/elsewhere/other-branch on mine"), "{pins}");
    assert!(pins.contains("/reset/abandoned "), "{pins}");
    assert!(reason("nested").contains("a repository of its own"), "{}", reason("nested"));
    sandbox.check(&before);
}

#[test]
fn noise_of_the_shell_is_passed_over() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    shop.hosts[0].set_noise("echo 'Welcome to h1!'; printf 'no newline here: '; seq 1 50000");
    shop.hosts[1].set_noise("echo 'as of today there is no h2' >&2; exit 1");
    let output = shop.start(&["-j2", "one", "two"], &sandbox.simple_agent()).wait().expect(0);
    output.tells(&["h2 can't be used now", "as of today there is no h2"]);
    shop.expect_only_mirrors();
}

#[test]
fn a_host_without_the_program_or_the_key_is_told() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.ssh.program", "no-such-program"]);
    let refused = |words: &[&str]| {
        shop.start(&["one"], &sandbox.simple_agent()).wait().expect(3).tells(words);
        sandbox.parallel(&["doctor"]).expect(3).tells(words);
    };
    refused(&["no host can be used", "h1: 'no-such-program' can't be run there", "h2: "]);
    sandbox.git(&["config", "parallel.ssh.program", "echo"]);
    refused(&["'echo' there does not answer: shim --serve"]);
    let other =
        sandbox.script(&sandbox.root.join("bin/other"), r"printf 'hi\n\001git-parallel serves 99 9.9.9\n'");
    sandbox.git(&["config", "parallel.ssh.program", other.to_str().expect("UTF-8")]);
    refused(&["h1: git-parallel 9.9.9 there speaks protocol 99", "install the same version on both"]);
    sandbox.git(&["config", "--unset", "parallel.ssh.program"]);
    for host in &shop.hosts {
        host.set_away(true);
    }
    refused(&["no host can be used", "h1: "]);
    std::fs::write(shop.dir().join("known"), "").expect("a file");
    for host in &shop.hosts {
        host.set_away(false);
    }
    refused(&["Host key verification failed"]);
    sandbox.git(&["config", "parallel.ssh.hosts", "h1:2"]);
    refused(&["bad value 'h1:2' for 'parallel.ssh.hosts'"]);
    sandbox.git(&["config", "--unset", "parallel.ssh.hosts"]);
    refused(&["'parallel.ssh.hosts' is not set"]);
}

/// Too much to be sent unasked, and not to be lost either.
#[test]
fn many_ignored_files_stay_where_they_are() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.ssh.hosts", "h1"]);
    let agent = sandbox.agent(r#"mkdir secret; truncate -s 70M secret/core; echo x > x; commit"#);
    let output = shop.start(&["one"], &agent).wait().expect(0);
    output.tells(&["1 ignored files (73400320 bytes) in ", "stay on h1"]);
    assert_eq!(shop.hosts[0].jobs().len(), 1);
    let kept = sandbox.parallel(&["cleanup"]).expect(0);
    kept.tells(&["kept one on h1", "git parallel cleanup --force one", "kept the record"]);
    assert_eq!(shop.hosts[0].jobs().len(), 1);
    sandbox.parallel(&["cleanup", "--force", "one"]).expect(0);
    sandbox.parallel(&["cleanup"]).expect(0).tells(&["removed the record"]);
    shop.expect_only_mirrors();
}

/// What the user ignores in other ways than by `.gitignore` is ignored on hosts, too.
#[test]
fn what_is_ignored_here_is_ignored_there() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    std::fs::write(sandbox.repo.join(".git/info/exclude"), "*.mine\n/target/\n").expect("a file");
    std::fs::write(sandbox.repo.join(".git/info/attributes"), "*.txt odd=yes\n").expect("a file");
    let before = sandbox.snapshot();
    let agent = sandbox
        .agent(r#"echo a > a.mine; echo x > x.txt; git check-attr odd x.txt > "$IO/attributes"; commit"#);
    shop.start(&["one"], &agent).wait().expect(0);
    assert_eq!(sandbox.git(&["show", "--format=", "--name-only", "main"]), "x.txt");
    assert_eq!(sandbox.read_io("attributes"), "x.txt: odd: yes\n");
    sandbox.check(&before);
}
