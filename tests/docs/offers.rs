//! What the program offers to the completion scripts: by state, quickly, and without a trace.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;

/// What is offered for the last of these words, which must be all that is said: names without descriptions.
fn offers(sandbox: &Sandbox, dir: &Path, words: &[&str]) -> Vec<String> {
    let mut git = sandbox.command("git");
    git.args(["parallel", "complete", "--"]).args(words).current_dir(dir);
    let output = git.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    assert!(output.status.success(), "{words:?}");
    let answer = String::from_utf8(output.stdout).unwrap();
    answer.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

fn repository(sandbox: &Sandbox) -> std::path::PathBuf {
    let repo = sandbox.path("repo");
    sandbox.sh(&sandbox.path(""), "git init -q -b main repo && git -C repo commit -q --allow-empty -m Start");
    repo
}

/// One after the other: one lands, one is left to be landed, one fails, one runs, one waits.
#[test]
fn tasks_are_offered_by_what_can_be_done_with_them() {
    let sandbox = Sandbox::new();
    let repo = repository(&sandbox);
    sandbox.sh(&repo, "mkfifo ../started ../go");
    let agent = "case $GIT_PARALLEL_TASK in good) echo x >f;; bad) exit 1;; stuck) \
                 echo >../../started; read x <../../go;; esac";
    let mut run = sandbox.command("git");
    run.args(["parallel", "run", "--detach", "--no-land", "-y", "-j1", "good", "bad", "stuck", "later"]);
    let output = run.args(["--", "sh", "-c", agent]).current_dir(&repo).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    fs::File::open(sandbox.path("started")).unwrap().read_to_end(&mut Vec::new()).unwrap();

    let offered = |words: &[&str]| offers(&sandbox, &repo, words);
    assert_eq!(offered(&["land", ""]), ["good"]);
    assert_eq!(offered(&["retry", ""]), ["bad"]);
    assert_eq!(offered(&["retry", "bad", ""]), [""; 0]);
    assert_eq!(offered(&["abort", ""]), ["good", "stuck", "later"]);
    assert_eq!(offered(&["resolve", ""]), [""; 0]);
    assert_eq!(offered(&["logs", ""]), ["good", "bad", "stuck", "later"]);
    assert_eq!(offered(&["cleanup", "good", ""]), ["bad", "stuck", "later"]);
    assert_eq!(offered(&["logs", "--run", ""]), [id.as_str()]);
    assert_eq!(offered(&["conflicts", "b"]), ["bad"]);

    let mut go = fs::OpenOptions::new().write(true).open(sandbox.path("go")).unwrap();
    go.write_all(b"\n").unwrap();
    drop(go);
    let waited = sandbox.command("git").args(["parallel", "wait"]).current_dir(&repo).status().unwrap();
    assert_eq!(waited.code(), Some(1));
    assert_eq!(offered(&["abort", ""]), ["good"; 0]);
}

/// The latest first, with what came of each.
#[test]
fn runs_are_offered_with_what_came_of_them() {
    let sandbox = Sandbox::new();
    let repo = repository(&sandbox);
    for task in ["one", "two"] {
        sandbox.sh(&repo, &format!("git parallel run -q -y {task} -- sh -c 'echo x >{{task}}' >/dev/null"));
    }
    let mut git = sandbox.command("git");
    let output = git.args(["parallel", "complete", "--", "report", ""]).current_dir(&repo).output().unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    let told: Vec<&str> = answer.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(told, ["1 landed: two", "1 landed: one"]);
}

/// Loose and packed. The limit is generous: this is no release build, and other tests run meanwhile.
#[test]
fn five_thousand_branches_are_offered_quickly() {
    let sandbox = Sandbox::new();
    let repo = repository(&sandbox);
    sandbox.sh(
        &repo,
        "tip=$(git rev-parse HEAD); seq -f \"create refs/heads/topic/b%g $tip\" 5000 | git update-ref --stdin",
    );
    for packed in [false, true] {
        if packed {
            sandbox.sh(&repo, "git pack-refs --all");
        }
        let ask = |_| {
            let started = Instant::now();
            assert_eq!(offers(&sandbox, &repo, &["run", "--into", "topic/b49"]).len(), 111);
            assert_eq!(offers(&sandbox, &repo, &["conflicts", ""]).len(), 5001);
            started.elapsed() / 2
        };
        let fastest = (0..5).map(ask).min().unwrap();
        assert!(fastest < Duration::from_millis(250), "{fastest:?}, packed: {packed}");
    }
}

/// Every file below, and when it was last touched.
fn traces(dir: &Path, into: &mut BTreeMap<std::path::PathBuf, (u64, i64, i64)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        into.insert(path.clone(), (metadata.size(), metadata.ctime(), metadata.ctime_nsec()));
        if metadata.is_dir() {
            traces(&path, into);
        }
    }
}

const QUESTIONS: &[&[&str]] = &[
    &[""],
    &["run", "--into", ""],
    &["run", "--base", ""],
    &["run", "-a", ""],
    &["run", "--runner", ""],
    &["land", ""],
    &["retry", "--run", "no-such-run", ""],
    &["status", ""],
    &["conflicts", ""],
    &["no-such-command", ""],
    &["run", "--no-such-option", "--", ""],
];

/// In a whole repository, with a record that is torn, with one that can't be read, in a repository without a
/// HEAD, and outside of any.
#[test]
fn nothing_is_written_and_nobody_complains() {
    let sandbox = Sandbox::new();
    let repo = repository(&sandbox);
    sandbox.sh(&repo, "git parallel run -q -y a b -- sh -c 'test {task} = a && echo >f' >/dev/null || :");
    let run = fs::read_dir(repo.join(".git/parallel/runs")).unwrap().next().unwrap().unwrap().path();
    let breaks: [&dyn Fn(); 4] = [
        &|| {},
        &|| {
            let journal = fs::OpenOptions::new().append(true).open(run.join("journal.jsonl"));
            journal.unwrap().write_all(b"{\"at\":").unwrap();
        },
        &|| fs::write(run.join("run.json"), "{").unwrap(),
        &|| fs::remove_file(repo.join(".git/HEAD")).unwrap(),
    ];
    for (broken, break_it) in breaks.iter().enumerate() {
        break_it();
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        traces(&repo, &mut before);
        for words in QUESTIONS {
            offers(&sandbox, &repo, words);
        }
        let tasks = offers(&sandbox, &repo, &["logs", ""]);
        assert_eq!(tasks.len(), if broken < 2 { 2 } else { 0 }, "{broken}: {tasks:?}");
        traces(&repo, &mut after);
        assert_eq!(before, after, "{broken}");
    }
    let outside = sandbox.path("outside");
    fs::create_dir(&outside).unwrap();
    for words in QUESTIONS {
        offers(&sandbox, &outside, words);
    }
    assert!(offers(&sandbox, &outside, &["run", "--into", ""]).is_empty());
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
}
