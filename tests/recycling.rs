//! Worktrees of finished tasks are used again, and nobody can tell them from new ones.

mod common;

use std::collections::BTreeSet;
use std::process::Stdio;

use common::Sandbox;

/// Tells by which file it stands in, and whether it finds anything that a new worktree would not have; then it
/// leaves all sorts of things behind.
const AGENT: &str = r#"
    ls -i big >>"$IO/inodes"
    git status --porcelain --ignored >"$IO/found-$task"
    git ls-files --others >>"$IO/found-$task"
    git diff-index HEAD >>"$IO/found-$task"
    find . -type d -empty >>"$IO/found-$task"
    mkdir -p target/deep new/directory
    echo built >target/deep/file
    echo "$task" >>shared-by-none
    chmod 600 README.md
    rm dir/file
    ln -s /etc dir/file
    mkdir "$task" && echo "$task" >"$task/file"
    git add -A && git commit -q -m "$task"
    git rm -q -r dir && git commit -q -m "and more" && git reset -q --hard HEAD^
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(".gitignore", "target/\n");
    sandbox.write("dir/file", "file");
    sandbox.write("big", vec![b'x'; 1 << 20]);
    for number in 0..50 {
        sandbox.write(&format!("many/{number}"), format!("{number}"));
    }
    sandbox.commit_all("files");
    sandbox.git(&["config", "parallel.disposable", "target"]);
    sandbox
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("t{number:02}")).collect()
}

/// Runs so many tasks, two at a time; gives how many copies of a file nobody touched there were.
fn copies(sandbox: &Sandbox, count: usize, agent: &str) -> usize {
    let names = names(count);
    let agent = sandbox.agent(agent);
    let before = sandbox.snapshot();
    let arguments: Vec<&str> = ["-j2"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let output = sandbox.run(&arguments, &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert!(!sandbox.worktrees().exists());
    sandbox.read_io("inodes").lines().collect::<BTreeSet<_>>().len()
}

#[test]
fn tasks_get_the_worktrees_of_others_as_clean_as_new_ones() {
    let sandbox = sandbox();
    // Each changes the same link otherwise: the first one's word counts.
    let agent = AGENT.replace("ln -s /etc dir/file", "git checkout -q dir/file");
    let agent = agent.replace("echo \"$task\" >>shared-by-none", "");
    let copies = copies(&sandbox, 12, &agent);
    assert!(copies <= 6, "{copies} worktrees were made for 12 tasks");
    for name in names(12) {
        assert_eq!(sandbox.read_io(&format!("found-{name}")), "", "{name}");
    }
}

#[test]
fn none_is_used_again_if_that_is_off() {
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.recycle", "off"]);
    // An inode's number may be given to the next file: its time tells them apart.
    let agent = r#"ls -i --time=ctime --time-style=full-iso -l big >>"$IO/inodes"
                   echo "$task" >"$task.txt"; commit"#;
    assert_eq!(copies(&sandbox, 6, agent), 6);
}

#[test]
fn a_warm_one_has_what_was_built() {
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.recycle", "warm"]);
    let agent = r#"
        ls -i big >>"$IO/inodes"
        git status --porcelain >"$IO/found-$task"
        cat target/log >>"$IO/inherited" 2>/dev/null || true
        mkdir -p target && echo "$task" >>target/log
        echo "$task" >"$task.txt"; commit
    "#;
    let copies = copies(&sandbox, 8, agent);
    assert!(copies <= 4, "{copies} worktrees were made for 8 tasks");
    let inherited = sandbox.read_io("inherited");
    assert!(inherited.lines().count() >= 4, "{inherited}");
    for name in names(8) {
        assert_eq!(sandbox.read_io(&format!("found-{name}")), "", "{name}");
    }
}

/// Or they would find themselves in another task's worktree.
#[test]
#[cfg(target_os = "linux")]
fn a_worktree_that_somebody_stands_in_is_not_used_again() {
    let sandbox = sandbox();
    sandbox.gate("go");
    let agent = sandbox.agent(
        r#"ls -i big >>"$IO/inodes"
           if [ "$task" = first ]; then : >"$IO/standing"; read -r _ <"$IO/go"; fi
           echo "$task" >"$task.txt"; commit"#,
    );
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["--sequential", "first", "second"], &agent);
    sandbox.await_mark("standing");
    let mut command = sandbox.command(&sandbox.worktree("first"), "cat");
    let mut somebody = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    sandbox.open_gate("go");
    let output = running.wait().expect(0);
    let stands = std::fs::read_link(format!("/proc/{}/cwd", somebody.id())).unwrap();
    drop(somebody.stdin.take());
    somebody.wait().unwrap();
    sandbox.check_run(&before, &output);
    assert!(stands.to_string_lossy().ends_with("(deleted)"), "{}", stands.display());
}

#[test]
fn a_setting_that_makes_no_sense_stops_the_run_before_it_starts() {
    let sandbox = sandbox();
    sandbox.git(&["config", "parallel.recycle", "lukewarm"]);
    let agent = sandbox.simple_agent();
    let output = sandbox.run(&["a"], &agent).expect(3);
    output.tells(&["parallel.recycle", "lukewarm", "true, false or warm", "Nothing was created or changed"]);
    assert!(!sandbox.has_ref("refs/heads/feature/a"));
}
