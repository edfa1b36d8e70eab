//! What is refused is refused before anything is created, with all reasons at once and what to do.

#![allow(clippy::disallowed_methods)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use common::{Output, Sandbox};

/// All that is on disk of a sandbox, `.git` too; what only a look changes is left out.
fn everything(sandbox: &Sandbox) -> BTreeMap<PathBuf, common::Entry> {
    let mut all = common::tree(&sandbox.root);
    for (path, entry) in common::tree(&sandbox.common_dir()) {
        all.insert(PathBuf::from(".git").join(path), entry);
    }
    // `git status` may refresh the index, and each command's output is kept in `out`.
    all.retain(|path, _| !path.starts_with("out") && path != &PathBuf::from(".git/index"));
    all
}

/// Runs `git parallel` with these arguments; it must refuse and leave everything as it was.
#[track_caller]
fn refused(sandbox: &Sandbox, code: i32, args: &[&str]) -> Output {
    let before = everything(sandbox);
    let output = sandbox.parallel(args).expect(code);
    let after = everything(sandbox);
    let changed: Vec<_> = before
        .iter()
        .filter(|(path, entry)| after.get(*path) != Some(*entry))
        .map(|(path, _)| path)
        .collect();
    let created: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    assert!(changed.is_empty() && created.is_empty(), "{args:?} changed {changed:?}, created {created:?}");
    assert_eq!(output.stdout, "", "stdout is for answers");
    output
}

/// What it told, with paths and ids made the same for every run.
#[track_caller]
fn told(sandbox: &Sandbox, code: i32, args: &[&str]) -> String {
    let text = refused(sandbox, code, args).stderr;
    let text = text.replace(sandbox.root.to_str().unwrap(), "[ROOT]");
    let mut redacted = String::new();
    for (i, line) in text.split_inclusive(char::is_whitespace).enumerate() {
        let word = line.trim_matches(|c: char| !c.is_ascii_hexdigit());
        let is_oid = word.len() >= 7 && word.bytes().all(|b| b.is_ascii_hexdigit()) && i > 0;
        redacted.push_str(&if is_oid { line.replace(word, "[OID]") } else { line.to_owned() });
    }
    redacted
}

#[test]
fn bad_names_are_refused_all_at_once() {
    let sandbox = Sandbox::new();
    let names = [
        "run",
        "-y",
        "$(touch x)",
        "a;b",
        "../x",
        ".git",
        "HEAD",
        "a..b",
        "x.lock",
        "",
        "dup",
        "dup",
        "feat",
        "feat/x",
        "`id`",
        "a b",
        "/abs",
        "fine",
        "--",
        "true",
    ];
    insta::assert_snapshot!(told(&sandbox, 3, &names));
}

/// Seen elsewhere 20.
#[test]
fn no_name_is_ever_run_by_a_shell() {
    let sandbox = Sandbox::new();
    for name in
        ["$(touch pwned)", "`touch pwned`", ";touch pwned", "a\ntouch pwned", "| touch pwned", "\u{1b}[2J"]
    {
        let output = refused(&sandbox, 3, &["run", "-y", name, "--", "true"]);
        assert!(!output.stderr.contains('\u{1b}'), "{:?}", output.stderr);
    }
    refused(&sandbox, 2, &["run", "-y", "-x", "--", "true"]);
    refused(&sandbox, 3, &["run", "-y", "ok", "--", "no-such-agent; touch pwned"]);
}

#[test]
fn names_that_clash_with_what_is_there_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.git(&["branch", "feature/old"]);
    sandbox.git(&["branch", "feature/folder/leaf"]);
    sandbox.git(&["branch", "topic"]);
    sandbox.git(&["worktree", "add", "-q", "-b", "feature/elsewhere", "../elsewhere"]);
    fs::create_dir_all(sandbox.worktree("taken")).unwrap();
    let names = ["run", "-y", "old", "folder", "topic/x", "elsewhere", "taken", "fine", "--", "true"];
    insta::assert_snapshot!(told(&sandbox, 3, &names));
    let names = ["run", "-y", "--existing=reuse", "elsewhere", "taken", "--", "true"];
    insta::assert_snapshot!(told(&sandbox, 3, &names));
    // The same branch by two names.
    let names = ["run", "-y", "new", "feature/new", "x", "feature/x/y", "--", "true"];
    insta::assert_snapshot!(told(&sandbox, 3, &names));
}

/// The branch that work lands on can't be a task's own.
#[test]
fn a_task_cannot_be_the_target() {
    let sandbox = Sandbox::new();
    sandbox.git(&["switch", "-q", "-c", "feature/a"]);
    for existing in ["fail", "reuse", "overwrite"] {
        refused(&sandbox, 3, &["run", "-y", "--existing", existing, "a", "--", "true"]).tells(&["feature/a"]);
    }
    sandbox.git(&["switch", "-q", "main"]);
    for existing in ["reuse", "overwrite"] {
        let args = ["run", "-y", "--existing", existing, "--into", "feature/a", "a", "--", "true"];
        refused(&sandbox, 3, &args).tells(&["feature/a"]);
    }
}

/// Seen elsewhere 9 and 21.
#[test]
fn usage_errors_are_told_before_anything_happens() {
    let sandbox = Sandbox::new();
    let run = |options: &[&'static str]| {
        let mut args = vec!["run", "-y"];
        args.extend(options);
        args.extend(["task", "--", "true"]);
        args
    };
    let cases = [
        (run(&["--jobs", "0"]), "0"),
        (run(&["--jobs", "1001"]), "1001"),
        (run(&["--jobs", "abc"]), "abc"),
        (run(&["--jobs", "-1"]), "-1"),
        (run(&["-j", "2", "--sequential"]), "--sequential"),
        (run(&["--timeout", "x"]), "'x'"),
        (run(&["--timeout", "0s"]), "0s"),
        (run(&["--timeout", "10"]), "10"),
        (run(&["--dryrun"]), "--dry-run"),
        (run(&["--max-concurrency", "2"]), "--max-concurrency"),
        (run(&["--existing", "maybe"]), "maybe"),
        (run(&["--leftovers", "stash"]), "stash"),
        (run(&["--json", "-q"]), "--quiet"),
        (run(&["-p", "x", "-P", "y"]), "--prompt-file"),
        (run(&["--wait", "--takeover"]), "--takeover"),
        (vec!["run", "-y", "task"], "AGENT"),
        (vec!["run", "-y", "task", "--"], "AGENT"),
        (vec!["run", "-y", "--", "true"], "TASK"),
        (vec!["frobnicate"], "frobnicate"),
        (vec!["stauts"], "status"),
        (vec!["cleanup", "--force"], "TASK"),
    ];
    for (args, told) in cases {
        refused(&sandbox, 2, &args).tells(&[told]);
    }
}

/// Seen elsewhere 19: nobody to ask is no "yes", and the end of input isn't either.
#[test]
fn without_a_terminal_and_without_yes_only_the_plan_is_told() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(told(&sandbox, 3, &["run", "a", "b", "--", "true", "{task}"]), @r"
    This will
      create 2 worktrees in ../shop.worktrees/ from main ([OID])
      run true {task} in each, 2 at once
      land feature/a, feature/b on main as they finish
    error: there is no terminal to ask on
      Nothing was created or changed.
    hint: to start without being asked: --yes (or git config parallel.confirm false)
    ");
    let mut command = sandbox.command(&sandbox.repo, "sh");
    command.args(["-c", "yes | git parallel run a -- true"]);
    assert_eq!(sandbox.start(command).wait().code, 3, "a pipe is no terminal, whatever it says");
    sandbox.git(&["config", "parallel.confirm", "false"]);
    sandbox.parallel(&["run", "a", "--", "true"]).expect(0);
}

#[test]
fn an_agent_that_is_not_there_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("untracked.sh", "#!/bin/sh\n");
    fs::set_permissions(sandbox.repo.join("untracked.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    insta::assert_snapshot!(told(&sandbox, 3, &["run", "-y", "a", "--", "no-such-agent"]), @r"
    error: agent 'no-such-agent' was not found, or can't be executed
      Nothing was created or changed.
    hint: check its spelling and PATH; what follows '--' is the agent's command
    ");
    insta::assert_snapshot!(told(&sandbox, 3, &["run", "-y", "a", "--", "./untracked.sh"]), @r"
    error: agent './untracked.sh' is not in [OID]
      Nothing was created or changed.
    hint: worktrees hold tracked files only: commit it, or give its absolute path
    ");
    refused(&sandbox, 3, &["run", "-y", "a", "--", "/no/such/agent"]);
    refused(&sandbox, 3, &["run", "-y", "a", "--", "README.md"]);
    refused(&sandbox, 3, &["run", "-y", "a", "--", ""]);
    refused(&sandbox, 3, &["run", "-y", "a=has one", "b", "--", "true", "{prompt}"])
        .tells(&["task 'b' has no prompt"]);
    refused(&sandbox, 3, &["run", "-y", "-P", "no-such-file", "a", "--", "true", "{prompt}"])
        .tells(&["no-such-file"]);
}

/// Fault 53.
#[test]
fn a_target_that_work_cannot_land_on_is_refused() {
    let unborn = Sandbox::empty("shop", &[]);
    insta::assert_snapshot!(told(&unborn, 3, &["run", "-y", "a", "--", "true"]), @r"
    error: branch 'main' has no commit yet
      Nothing was created or changed.
    hint: make a first commit: git commit
    ");
    let sandbox = Sandbox::new();
    refused(&sandbox, 3, &["run", "-y", "--into", "mian", "a", "--", "true"])
        .tells(&["did you mean 'main'?"]);
    refused(&sandbox, 3, &["run", "-y", "--into=-x", "a", "--", "true"]);
    refused(&sandbox, 3, &["run", "-y", "--into=", "a", "--", "true"]);
    refused(&sandbox, 3, &["run", "-y", "--base", "nowhere", "a", "--", "true"]).tells(&["nowhere"]);
    refused(&sandbox, 3, &["run", "-y", "--base", "main:README.md", "a", "--", "true"]).tells(&["README.md"]);
    sandbox.git(&["tag", "release"]);
    refused(&sandbox, 3, &["run", "-y", "--into", "release", "a", "--", "true"]).tells(&["release"]);
    sandbox.git(&["switch", "-q", "--detach"]);
    insta::assert_snapshot!(told(&sandbox, 3, &["run", "-y", "a", "--", "true"]), @r"
    error: HEAD is detached: there is no current branch
      Nothing was created or changed.
    hint: name the branch that work shall land on: --into BRANCH
    ");
}

#[test]
fn an_operation_in_progress_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.git(&["switch", "-q", "-c", "other"]);
    sandbox.write("README.md", "other\n");
    sandbox.commit_all("Other");
    sandbox.git(&["switch", "-q", "main"]);
    sandbox.write("README.md", "main\n");
    sandbox.commit_all("Main");
    let args = ["run", "-y", "--allow-dirty", "a", "--", "true"];
    let cases: [(&[&str], &[&str], &str); 3] = [
        (&["merge", "other"], &["merge", "--abort"], "a merge is in progress"),
        (&["cherry-pick", "other"], &["cherry-pick", "--abort"], "a cherry-pick is in progress"),
        (&["rebase", "other"], &["rebase", "--abort"], "a rebase is in progress"),
    ];
    for (begin, abort, told) in cases {
        assert_ne!(sandbox.run_in(&sandbox.repo, "git", begin).code, 0);
        refused(&sandbox, 3, &args).tells(&[told]);
        refused(&sandbox, 3, &["doctor"]).tells(&[told]);
        sandbox.git(abort);
    }
}

#[test]
fn changed_tracked_files_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("README.md", "edited\n");
    insta::assert_snapshot!(told(&sandbox, 3, &["run", "-y", "a", "--", "true"]), @r"
    error: tracked files have changes in [ROOT]/shop: README.md
      Nothing was created or changed.
    hint: commit or stash them, or start without them: --allow-dirty
    ");
    sandbox.git(&["add", "-A"]);
    refused(&sandbox, 3, &["run", "-y", "a", "--", "true"]).tells(&["README.md"]);
}

/// Seen elsewhere 14: what is untracked, ours or not, makes nothing dirty.
#[test]
fn untracked_files_are_no_reason_to_refuse() {
    let sandbox = Sandbox::new();
    sandbox.write("untracked", "mine\n");
    for _ in 0..2 {
        sandbox.parallel(&["run", "-y", "a", "--", "true"]).expect(0);
    }
}

#[test]
fn bad_configuration_is_refused_by_name() {
    let sandbox = Sandbox::new();
    let cases = [
        ("parallel.jobs", "0"),
        ("parallel.jobs", "many"),
        ("parallel.jobs", "1001"),
        ("parallel.leftovers", "stash"),
        ("parallel.timeout", "soon"),
        ("parallel.confirm", "perhaps"),
        ("parallel.branchPrefix", "bad..prefix/"),
        ("parallel.target", "nowhere"),
    ];
    for (key, value) in cases {
        sandbox.git(&["config", key, value]);
        let output = refused(&sandbox, 3, &["run", "a", "--", "true"]);
        let named = key.strip_prefix("parallel.").unwrap().to_lowercase();
        let told = output.stderr.to_lowercase();
        let value = value.trim_end_matches('/');
        assert!(told.contains(value) && (told.contains(&named) || value.len() > 6), "{key}={value}: {told}");
        sandbox.git(&["config", "--unset", key]);
    }
    let config = sandbox.repo.join(".git/config");
    let good = fs::read(&config).unwrap();
    fs::write(&config, [&good[..], b"\n[broken\n"].concat()).unwrap();
    let before = everything(&sandbox);
    let output = sandbox.parallel(&["run", "-y", "a", "--", "true"]);
    assert!([1, 3].contains(&output.code) && output.stderr.contains("config"), "{}", output.all());
    assert!(before == everything(&sandbox));
    fs::write(&config, good).unwrap();
}

#[test]
fn records_in_a_place_that_another_chose_are_refused() {
    let sandbox = Sandbox::new();
    let elsewhere = sandbox.root.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let records = sandbox.repo.join(".git/parallel");
    symlink(&elsewhere, &records).unwrap();
    for args in [&["run", "-y", "a", "--", "true"][..], &["status"], &["doctor"], &["cleanup"]] {
        refused(&sandbox, 3, args).tells(&[".git/parallel is a symbolic link"]);
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    fs::remove_file(&records).unwrap();
    fs::write(&records, "a file\n").unwrap();
    refused(&sandbox, 3, &["run", "-y", "a", "--", "true"]).tells(&["is not a directory"]);
}

#[test]
fn a_bare_repository_needs_into() {
    let sandbox = Sandbox::empty("shop.git", &["--bare"]);
    refused(&sandbox, 3, &["run", "-y", "a", "--", "true"]).tells(&["bare repository", "--into BRANCH"]);
}

#[test]
fn no_identity_is_told_before_the_work_is_done() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "--unset", "user.name"]);
    sandbox.git(&["config", "--unset", "user.email"]);
    sandbox.git(&["config", "user.useConfigOnly", "true"]);
    refused(&sandbox, 3, &["run", "-y", "a", "--", "true"]).tells(&["git config user.name"]);
}

/// A directory that can't be written to, and one that is a file.
#[test]
fn a_place_for_worktrees_that_is_none_is_refused() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.worktrees(), "a file\n").unwrap();
    refused(&sandbox, 3, &["run", "-y", "a", "--", "true"]).tells(&["shop.worktrees"]);
    fs::remove_file(sandbox.worktrees()).unwrap();
    sandbox.git(&["config", "parallel.worktreeDir", ".git/inside"]);
    refused(&sandbox, 3, &["run", "-y", "a", "--", "true"]).tells(&[".git/inside"]);
}

#[test]
fn all_problems_are_told_at_once() {
    let sandbox = Sandbox::new();
    sandbox.git(&["branch", "feature/old"]);
    sandbox.write("README.md", "edited\n");
    insta::assert_snapshot!(told(
        &sandbox,
        3,
        &["run", "-y", "--base", "nowhere", "a;b", "--", "no-such-agent"]
    ));
    insta::assert_snapshot!(told(
        &sandbox,
        3,
        &["run", "-y", "old", "new", "--", "no-such-agent", "{prompt}"]
    ));
}
