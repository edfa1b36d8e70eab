//! A worktree that a run makes is the worktree that `git worktree add` makes.

#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use common::{Sandbox, tree};

/// Writes down what the task's worktree is, as it is when the agent starts.
const DUMP: &str = r#"
    d="$IO/$task"; mkdir "$d"
    cp -a . "$d/files"; rm -rf "$d/files/.git"
    git status --porcelain --ignored > "$d/status"
    git ls-files -s -t > "$d/index"
    git ls-files --debug | grep -c 'size: 0' > "$d/empty" || :
    git symbolic-ref HEAD > "$d/head"
    git rev-parse HEAD > "$d/commit"
    git config --list --show-scope > "$d/config"
    git sparse-checkout list > "$d/sparse" 2>&1 || :
"#;

/// Makes a worktree with git and one by a run, and compares all that an agent can see of them.
#[track_caller]
fn compare(sandbox: &Sandbox) {
    let before = sandbox.snapshot();
    let script = sandbox.script(&sandbox.root.join("bin/dump"), DUMP);
    let gits = sandbox.root.join("by-git");
    sandbox.git(&[
        "worktree",
        "add",
        "-q",
        "--no-track",
        "-b",
        "feature/git",
        gits.to_str().unwrap(),
        "main",
    ]);
    let mut command = sandbox.command(&gits, &script);
    command.env("GIT_PARALLEL_TASK", "git");
    sandbox.start(command).wait().expect(0);
    sandbox.git(&["worktree", "remove", "--force", gits.to_str().unwrap()]);
    sandbox.git(&["branch", "-q", "-D", "feature/git"]);

    let output = sandbox.run(&["--no-land", "run"], &script).expect(0);
    sandbox.check_run(&before, &output);
    let [gits, runs] = ["git", "run"].map(|task| sandbox.io(task));
    let (by_git, by_run) = (tree(&gits.join("files")), tree(&runs.join("files")));
    assert_eq!(by_git.keys().collect::<Vec<_>>(), by_run.keys().collect::<Vec<_>>());
    for (path, entry) in &by_git {
        assert_eq!(Some(entry), by_run.get(path), "{}", path.display());
    }
    for part in ["status", "index", "empty", "commit", "config", "sparse"] {
        let read = |dir: &Path| fs::read_to_string(dir.join(part)).unwrap();
        assert_eq!(read(&gits), read(&runs), "{part}");
    }
    assert_eq!(fs::read_to_string(runs.join("head")).unwrap(), "refs/heads/feature/run\n");
}

#[test]
fn files_modes_and_links() {
    let sandbox = Sandbox::new();
    sandbox.write("tool", "#!/bin/sh\n");
    fs::set_permissions(sandbox.repo.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("tool", sandbox.repo.join("link")).unwrap();
    symlink("/nowhere", sandbox.repo.join("dangling")).unwrap();
    sandbox.write("deep/er/and/deeper/file", "x\n");
    sandbox.write("empty", "");
    sandbox.write("binary", [0u8, 255, 13, 10]);
    sandbox.write("odd name\n\"é\"", "odd\n");
    sandbox.commit_all("All kinds");
    compare(&sandbox);
}

#[test]
fn line_ends_and_encodings() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "core.autocrlf", "true"]);
    sandbox.write(
        ".gitattributes",
        "*.lf text eol=lf\n*.crlf text eol=crlf\n*.bin -text\n*.utf16 text working-tree-encoding=UTF-16LE-BOM\n*.id ident\n",
    );
    for name in ["a.lf", "a.crlf", "a.bin", "a.txt"] {
        sandbox.write(name, "one\ntwo\n");
    }
    sandbox.write("a.id", "$Id$\n");
    sandbox.write("a.utf16", b"\xff\xfeh\0i\0\n\0");
    sandbox.commit_all("Attributes");
    sandbox.git(&["checkout", "-q", "HEAD", "--", "."]);
    compare(&sandbox);
    assert_eq!(fs::read(sandbox.io("run/files/a.crlf")).unwrap(), b"one\r\ntwo\r\n");
    assert_eq!(fs::read(sandbox.io("run/files/a.lf")).unwrap(), b"one\ntwo\n");
    assert_eq!(&fs::read(sandbox.io("run/files/a.utf16")).unwrap()[..2], b"\xff\xfe");
}

#[test]
fn filters() {
    let sandbox = Sandbox::new();
    sandbox.git(&["config", "filter.rot.clean", "tr a-z n-za-m"]);
    sandbox.git(&["config", "filter.rot.smudge", "tr a-z n-za-m"]);
    sandbox.git(&["config", "filter.rot.required", "true"]);
    sandbox.write(".gitattributes", "*.secret filter=rot\n");
    sandbox.write("a.secret", "hello\n");
    sandbox.commit_all("A secret");
    assert_eq!(sandbox.show("main", "a.secret"), "uryyb\n");
    compare(&sandbox);
    assert_eq!(fs::read_to_string(sandbox.io("run/files/a.secret")).unwrap(), "hello\n");
    // The user's checkout gets a landed file through the filter too.
    let agent = sandbox.agent("echo world > b.secret; commit");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["land"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read("b.secret"), "world\n");
    assert_eq!(sandbox.show("main", "b.secret"), "jbeyq\n");
}

/// The filter of a worktree that fails is told, and fails that task alone.
#[test]
fn a_required_filter_that_fails() {
    let sandbox = Sandbox::new();
    sandbox.write(".gitattributes", "*.secret filter=broken\n");
    sandbox.write("a.secret", "hello\n");
    sandbox.commit_all("A secret");
    sandbox.git(&["config", "filter.broken.clean", "cat"]);
    sandbox.git(&["config", "filter.broken.smudge", "false"]);
    sandbox.git(&["config", "filter.broken.required", "true"]);
    let before = sandbox.snapshot();
    let output = sandbox.run(&["a"], &sandbox.simple_agent()).expect(1);
    sandbox.check_run(&before, &output);
    sandbox.expect_states(&[("a", "failed")]);
    output.tells(&["a.secret"]);
}

/// Fault 71.
#[test]
fn a_sparse_checkout() {
    for arguments in [&["set", "--cone", "src"][..], &["set", "--no-cone", "/*", "!/docs/"]] {
        let sandbox = Sandbox::new();
        sandbox.write("docs/guide.md", "long\n");
        sandbox.write("other/file", "other\n");
        sandbox.commit_all("More");
        sandbox.git(&[&["sparse-checkout"], arguments].concat());
        compare(&sandbox);
        assert!(!sandbox.io("run/files/docs").exists());
        // What lands outside of the cone does not appear in the user's checkout.
        let agent =
            sandbox.agent("git sparse-checkout disable; echo more > docs/more.md; echo s > src/s; commit");
        let output = sandbox.run(&["land"], &agent);
        sandbox.check_processes();
        sandbox.check_commits();
        assert_eq!(output.code, 0, "{}", output.all());
        assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
        assert!(sandbox.has("src/s") && !sandbox.has("docs/more.md"));
    }
}

/// Fault 72.
#[test]
fn submodules_stay_uninitialised() {
    let sandbox = Sandbox::new();
    let library = sandbox.root.join("library");
    sandbox.git(&["init", "-q", "-b", "main", library.to_str().unwrap()]);
    sandbox.identify(&library);
    fs::write(library.join("lib.rs"), "lib\n").unwrap();
    sandbox.git_in(&library, &["add", "-A"]);
    sandbox.git_in(&library, &["commit", "-q", "-m", "Library"]);
    let add =
        ["-c", "protocol.file.allow=always", "submodule", "add", "-q", library.to_str().unwrap(), "lib"];
    sandbox.git(&add);
    sandbox.commit_all("With a library");
    compare(&sandbox);
    assert_eq!(fs::read_dir(sandbox.io("run/files/lib")).unwrap().count(), 0);
    assert_eq!(sandbox.read("lib/lib.rs"), "lib\n", "the user's own is as it was");
}

/// The hook runs with git's own arguments, in the worktree, once for each.
#[test]
fn the_post_checkout_hook_runs() {
    let sandbox = Sandbox::new();
    sandbox.hook(
        "post-checkout",
        r#"echo "$* in $(basename "$PWD"), $(git rev-parse --show-toplevel | xargs basename)" >> "$IO/hook""#,
    );
    let path = sandbox.root.join("shop.worktrees/a");
    sandbox.git(&["worktree", "add", "-q", "-b", "feature/a", path.to_str().unwrap(), "main"]);
    let by_git = sandbox.read_io("hook");
    assert!(!by_git.is_empty());
    sandbox.git(&["worktree", "remove", path.to_str().unwrap()]);
    sandbox.git(&["branch", "-q", "-D", "feature/a"]);
    fs::remove_file(sandbox.io("hook")).unwrap();
    fs::remove_dir(sandbox.worktrees()).unwrap_or(());
    let before = sandbox.snapshot();
    let agent = sandbox.agent(r#"cp "$IO/hook" "$IO/hook-at-start"; echo x > x; commit"#);
    let output = sandbox.run(&["a"], &agent).expect(0);
    sandbox.check_run(&before, &output);
    assert_eq!(sandbox.read_io("hook-at-start"), by_git);
    assert_eq!(sandbox.read_io("hook"), by_git, "landing is no checkout");
}

/// As with `git worktree add`, the hook's exit code is told and nothing more.
#[test]
fn a_post_checkout_hook_that_fails_is_told() {
    let sandbox = Sandbox::new();
    sandbox.hook("post-checkout", "echo 'no luck' >&2; exit 3");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["a"], &sandbox.simple_agent());
    sandbox.check_run(&before, &output);
    output.tells(&["post-checkout"]);
}

/// Measured: writing the upstream into the shared configuration is what makes concurrent ones fail.
#[test]
fn no_upstream_is_written() {
    let sandbox = Sandbox::new();
    let origin = sandbox.root.join("origin.git");
    sandbox.git(&["clone", "-q", "--bare", ".", origin.to_str().unwrap()]);
    sandbox.git(&["remote", "add", "origin", origin.to_str().unwrap()]);
    sandbox.git(&["fetch", "-q", "origin"]);
    sandbox.git(&["branch", "-q", "--set-upstream-to=origin/main", "main"]);
    sandbox.git(&["config", "branch.autoSetupMerge", "always"]);
    sandbox.git(&["config", "branch.autoSetupRebase", "always"]);
    sandbox.git(&["config", "push.autoSetupRemote", "true"]);
    let before = sandbox.snapshot();
    let output =
        sandbox.run(&["--keep", "--base", "origin/main", "a", "b"], &sandbox.simple_agent()).expect(0);
    sandbox.check_run(&before, &output);
    assert!(!fs::read_to_string(sandbox.repo.join(".git/config")).unwrap().contains("feature/"));
}

#[test]
fn git_knows_the_worktrees_as_its_own() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot();
    let output = sandbox
        .run(&["--keep", "a", "fix/deep/b"], &sandbox.agent("echo x > \"$(basename \"$task\")\"; commit"));
    let output = output.expect(0);
    sandbox.check_run(&before, &output);
    let list = sandbox.git(&["worktree", "list", "--porcelain"]);
    for (task, branch) in [("a", "feature/a"), ("fix/deep/b", "fix/deep/b")] {
        let path = sandbox.worktree(task);
        let tip = sandbox.oid(branch);
        let entry = format!("worktree {}\nHEAD {tip}\nbranch refs/heads/{branch}", path.display());
        assert!(list.contains(&entry), "{entry}\n{list}");
        // The files of the bookkeeping are those that git writes.
        let admin = sandbox.git_in(&path, &["rev-parse", "--absolute-git-dir"]);
        for file in ["HEAD", "commondir", "gitdir", "index", "logs/HEAD"] {
            assert!(Path::new(&admin).join(file).is_file(), "{file}");
        }
        assert!(!Path::new(&admin).join("locked").exists());
        sandbox.git(&[
            "worktree",
            "move",
            path.to_str().unwrap(),
            sandbox.root.join("moved").to_str().unwrap(),
        ]);
        sandbox.git(&["worktree", "remove", sandbox.root.join("moved").to_str().unwrap()]);
    }
    sandbox.git(&["worktree", "prune"]);
}

#[test]
fn the_umask_is_the_users() {
    let sandbox = Sandbox::new();
    for (umask, mode) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
        let mut command = sandbox.command(&sandbox.repo, "sh");
        let task = format!("m{umask}");
        let script = "umask $0; exec git parallel run -y --keep $1 -- sh -c 'echo x > $GIT_PARALLEL_TASK'";
        command.args(["-c", script, umask, &task]);
        sandbox.start(command).wait().expect(0);
        let meta = fs::metadata(sandbox.worktree(&task).join("README.md")).unwrap();
        assert_eq!(meta.mode() & 0o777, mode, "umask {umask}");
        let meta = fs::metadata(sandbox.repo.join(&task)).unwrap();
        assert_eq!(meta.mode() & 0o777, mode, "umask {umask}: what landed in the user's checkout");
    }
}

/// Measured: 34 of 40 concurrent `git worktree add` fail, and some break each other's bookkeeping.
#[test]
fn sixteen_worktrees_at_once_never_race() {
    let sandbox = Sandbox::new();
    for n in 0..60 {
        sandbox.write(&format!("dir-{}/file-{n}", n % 7), format!("{n}\n"));
    }
    sandbox.commit_all("Many files");
    let before = sandbox.snapshot();
    let tasks: Vec<String> = (0..16).map(|n| format!("t{n}")).collect();
    let mut args = vec!["-j16"];
    args.extend(tasks.iter().map(String::as_str));
    let output = sandbox.run(&args, &sandbox.simple_agent()).expect(0);
    sandbox.check_run(&before, &output);
    for task in &tasks {
        assert_eq!(sandbox.read(&format!("{task}.txt")), format!("{task}\n"));
    }
    assert_eq!(sandbox.status()["counts"]["landed"], 16);
    assert_eq!(fs::read_dir(sandbox.repo.join(".git/worktrees")).map_or(0, Iterator::count), 0);
}
