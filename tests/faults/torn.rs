//! Records that are torn, garbled, of a newer version, or can't be read.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use crate::common::{Sandbox, Snapshot};
use crate::support::{hostile, scene, sound};

/// A run that is over: `good` landed, `bad` failed with work.
fn finished() -> (Sandbox, Snapshot) {
    let sandbox = scene();
    let before = sandbox.snapshot();
    sandbox.run(&["bad", "good"], &hostile(&sandbox, "echo x >x; commit; exit 3")).expect(1);
    (sandbox, before)
}

#[test]
fn a_journal_cut_at_any_length_can_be_read() {
    // 3
    let (sandbox, _) = finished();
    let journal = sandbox.record().join("journal.jsonl");
    let whole = fs::read(&journal).unwrap();
    let step = whole.len() / 45;
    let ends = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i);
    let lengths: Vec<usize> = (0..whole.len()).step_by(step).chain(ends.flat_map(|i| [i, i + 1])).collect();
    let refs = sandbox.refs();
    for length in lengths {
        fs::write(&journal, &whole[..length]).unwrap();
        let output = sandbox.parallel(&["status"]).expect(0);
        let torn = !whole[..length].is_empty() && !whole[..length].ends_with(b"\n");
        let warnings: Vec<&str> = output.stderr.lines().filter(|l| l.starts_with("warning: ")).collect();
        assert_eq!(warnings.len(), usize::from(torn), "{length}: {}", output.all());
        assert_eq!(fs::read(&journal).unwrap(), whole[..length], "reading changes nothing");
        let state = if length == whole.len() { "finished" } else { "interrupted" };
        assert!(output.stdout.contains(state), "{length}: {}", output.all());
    }
    assert_eq!(sandbox.refs(), refs);
}

#[test]
fn a_cut_journal_is_settled_from_what_git_knows() {
    // 3, 5, I9: cut after each line; then nothing lands twice and nothing is lost.
    let (sandbox, _) = finished();
    let journal = fs::read(sandbox.record().join("journal.jsonl")).unwrap();
    let lines = journal.iter().filter(|b| **b == b'\n').count();
    drop(sandbox);
    let cases: Vec<(usize, &str)> = (1..lines)
        .step_by(4)
        .flat_map(|n| [(n, "resume"), (n + 1, "abort")])
        .filter(|(n, _)| *n < lines)
        .collect();
    let queue = std::sync::Mutex::new(cases.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((keep, settle)) = { queue.lock().unwrap().next() } {
                    let (sandbox, before) = finished();
                    let journal = sandbox.record().join("journal.jsonl");
                    let whole = fs::read_to_string(&journal).unwrap();
                    let cut: String = whole.split_inclusive('\n').take(keep).collect();
                    fs::write(&journal, cut + "{\"at\":\"20").unwrap();
                    let good = sandbox.git(&["rev-parse", "main"]);
                    let output = sandbox.parallel(&[settle]);
                    assert!(matches!(output.code, 0 | 1), "{keep} {settle}: {}", output.all());
                    assert!(output.stderr.contains("bytes that make no sense"), "{}", output.all());
                    assert!(sandbox.has("good.txt"), "{keep} {settle}");
                    let subjects = sandbox.git(&["log", "--format=%s", "main"]);
                    let times = subjects.lines().filter(|l| *l == "work of good").count();
                    assert_eq!(times, 1, "{keep} {settle}: landed twice?\n{subjects}\n{}", output.all());
                    sandbox.git(&["merge-base", "--is-ancestor", &good, "main"]);
                    sandbox.check_processes();
                    sandbox.check_commits();
                    sandbox.check_landings(&before);
                    sandbox.check_users_things(&before);
                    sandbox.status();
                    sound(&sandbox);
                }
            });
        }
    });
}

#[test]
fn garbage_behind_a_journal_is_told_in_one_line() {
    // 3
    let garbage: [&[u8]; 5] = [
        b"\0\0\0\0",
        b"{\"at\":",
        b"\xff\xfe\n",
        b"{}\n",
        b"{\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"unheard-of\"}\n",
    ];
    let (sandbox, before) = finished();
    let journal = sandbox.record().join("journal.jsonl");
    let whole = fs::read(&journal).unwrap();
    for bytes in garbage {
        fs::write(&journal, &whole).unwrap();
        fs::OpenOptions::new().append(true).open(&journal).unwrap().write_all(bytes).unwrap();
        let output = sandbox.parallel(&["status"]).expect(0);
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert!(output.stderr.contains("make no sense"), "{}", output.stderr);
        assert!(output.stdout.contains("finished"), "{}", output.stdout);
    }
    sandbox.check(&before);
}

#[test]
fn a_record_of_a_newer_version_is_left_alone() {
    // 14
    let (sandbox, before) = finished();
    let record = sandbox.record();
    let text = fs::read_to_string(record.join("run.json")).unwrap();
    fs::write(record.join("run.json"), text.replacen("\"version\": 3", "\"version\": 99", 1)).unwrap();
    let all =
        |dir: &std::path::Path| ["run.json", "journal.jsonl"].map(|name| fs::read(dir.join(name)).unwrap());
    let was = all(&record);
    for args in [
        &["status"][..],
        &["resume"],
        &["abort"],
        &["land"],
        &["cleanup"],
        &["logs", "bad"],
        &["retry", "bad"],
    ] {
        let output = sandbox.parallel(args).expect(1);
        assert!(output.stderr.contains("newer git-parallel"), "{args:?}: {}", output.all());
        assert_eq!(all(&record), was, "{args:?}");
    }
    sandbox.parallel(&["list"]).expect(0).tells(&["newer git-parallel"]);
    fs::write(record.join("run.json"), text).unwrap();
    sandbox.check(&before);
}

#[test]
fn an_empty_or_garbled_lock_stops_nothing() {
    // list 18
    let (sandbox, before) = finished();
    let lock = sandbox.common_dir().join("parallel/lock");
    for (n, text) in
        [&b""[..], b"\0\0\xff", b"{\"pid\": 1}", b"{\"pid\": 4294967295", b"1\n"].into_iter().enumerate()
    {
        fs::write(&lock, text).unwrap();
        sandbox.parallel(&["status"]).expect(0);
        assert_eq!(sandbox.status()["supervisor"]["alive"], false);
        sandbox.run(&[&format!("next{n}")], &sandbox.simple_agent()).expect(0);
        sandbox.check(&before);
    }
}

#[test]
fn a_garbled_lock_that_is_held_still_counts() {
    // list 16, 18
    let sandbox = scene();
    let running = sandbox.spawn_run(&["a"], &sandbox.agent("mark up; await go; echo a >a; commit"));
    sandbox.await_mark("up");
    fs::write(sandbox.common_dir().join("parallel/lock"), "garbage").unwrap();
    sandbox.run(&["b"], &sandbox.simple_agent()).expect(4);
    sandbox.parallel(&["status"]).expect(0);
    sandbox.mark("go");
    running.wait().expect(0);
    assert_eq!(sandbox.state("a"), "landed");
}

#[test]
fn records_that_can_not_be_read_are_named() {
    // list 18: something else in their place; and, but for root, without permission.
    let (sandbox, before) = finished();
    let record = sandbox.record();
    let spoil = |name: &str| {
        let (path, saved) = (record.join(name), record.join("saved"));
        fs::rename(&path, &saved).unwrap();
        fs::create_dir(&path).unwrap();
        let output = sandbox.parallel(&["status"]).expect(1);
        assert!(output.stderr.contains(name) && !output.stderr.contains("panicked"), "{}", output.stderr);
        fs::remove_dir(&path).unwrap();
        fs::rename(&saved, &path).unwrap();
        if !rustix::process::geteuid().is_root() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            let output = sandbox.parallel(&["status"]).expect(1);
            assert!(output.stderr.contains(name), "{}", output.stderr);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    };
    spoil("run.json");
    spoil("journal.jsonl");
    sandbox.check(&before);
    // A record that is no record hides no other.
    fs::create_dir(record.with_file_name("20200101-000000-aaaa")).unwrap();
    fs::create_dir(record.with_file_name("zzz")).unwrap();
    fs::write(record.with_file_name("zzzz"), "").unwrap();
    sandbox.parallel(&["status"]).expect(0);
    sandbox.check(&before);
}
