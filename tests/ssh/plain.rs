//! Runs in which nothing goes wrong: what goes to hosts, and what comes back.

use std::fs;

use crate::bench::Shop;
use crate::common::{self, Sandbox};

#[test]
fn tasks_on_two_hosts_land() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    // Four at once, two on each host, each of which says how many are there.
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"; : > "$HOME/up-$task"; mark "up-$task"
        await go
        ls "$HOME" | grep -c up- >> "$IO/at-once"; rm "$HOME/up-$task"
        echo "$task says hello"; echo x > "$task.txt"; commit"#,
    );
    let tasks = ["a", "b", "c", "d", "e", "f"];
    let run = shop.start(&[&["-v", "-j6"], &tasks[..]].concat(), &agent);
    let hosts = || {
        let mut hosts: Vec<String> = tasks.iter().map(|task| shop.host_of(task)).collect();
        hosts.sort_unstable();
        hosts
    };
    common::wait_until("all have begun", || run.so_far().0.matches(": started").count() == 4);
    common::wait_until("status tells where they are", || hosts() == ["h1", "h1", "h2", "h2", "none", "none"]);
    let up = tasks.iter().filter(|task| sandbox.io(&format!("up-{task}")).exists());
    assert_eq!(up.count(), 4, "hosts take no more");
    sandbox.parallel(&["status"]).expect(0).tells(&["on h1", "on h2"]);
    sandbox.mark("go");
    run.wait().expect(0).tells(&["6 landed", "(pid ", "on h2)", "e says hello"]);
    shop.expect_ran_once(&tasks);
    assert!(sandbox.read_io("at-once").lines().all(|line| line == "1" || line == "2"));
    for task in tasks {
        assert_eq!(sandbox.show("main", &format!("{task}.txt")), "x\n");
    }
    shop.expect_only_mirrors();
    sandbox.check(&before);
    // The mirror is there now, and another run begins from it.
    let again = shop.start(&["-j2", "g", "h"], &sandbox.simple_agent());
    again.wait().expect(0);
    shop.expect_only_mirrors();
}

#[test]
fn an_agent_finds_what_it_would_find_here() {
    let Some(mut shop) = Shop::open() else { return };
    shop.sandbox.set_env("SECRET", "do not tell");
    shop.sandbox.set_env("WANTED", "as we have it");
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.ssh.sendEnv", "WANTED ABSENT"]);
    let include = "/secret/\n";
    sandbox.write(".worktreeinclude", include);
    sandbox.commit_all("include");
    sandbox.write("secret/key", "k\n");
    sandbox.write("secret/run", "#!/bin/sh\n");
    fs::set_permissions(sandbox.repo.join("secret/run"), std::os::unix::fs::PermissionsExt::from_mode(0o750))
        .expect("it is ours");
    std::os::unix::fs::symlink("key", sandbox.repo.join("secret/link")).expect("a link");
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"env > "$IO/env"; { pwd; echo "$1"; cat "$2"; cat "$GIT_PARALLEL_PROMPT_FILE"; git branch --show-current
        git log --format=%an -1; cat secret/key; readlink secret/link; stat -c %a secret/run
        git rev-parse main; git config user.email; } > "$IO/found"
        [ ! -e "$IO/../shop/.git" ]; [ ! -e "$IO/../shop.worktrees/one" ]; echo x > x; commit"#,
    );
    let mut args = sandbox.run_args(&["--prompt", "Do {task} in {worktree}", "one"], &agent);
    args.extend(["{worktree}", "{prompt_file}"].map(Into::into));
    sandbox.parallel(&args).expect(0);
    let found = sandbox.read_io("found");
    let lines: Vec<&str> = found.lines().collect();
    let place = lines[0];
    assert!(
        place.starts_with(shop.hosts[0].cache().to_str().expect("UTF-8")) && place.ends_with("/one"),
        "{found}"
    );
    assert_eq!(lines[1], place);
    assert_eq!(lines[2], format!("Do one in {place}Do one in {place}feature/one"));
    let base = sandbox.oid("main~1");
    assert_eq!(lines[3..], ["Ann User", "k", "key", "750", base.as_str(), "ann@example.org"]);
    let env = sandbox.read_io("env");
    let set = |line: &str| env.lines().any(|found| found == line);
    assert!(set("WANTED=as we have it") && !env.contains("do not tell") && !env.contains("ABSENT"), "{env}");
    assert!(set(&format!("GIT_PARALLEL_WORKTREE={place}")) && set(&format!("PWD={place}")), "{env}");
    assert!(env.contains("/mirror.git\n") && !env.contains("shop.worktrees"), "{env}");
    assert!(!set("GIT_DIR"), "{env}");
    assert_eq!(
        sandbox.git(&["log", "-1", "--format=%an <%ae> %cn", "main"]),
        "Ann User <ann@example.org> Ann User"
    );
    shop.expect_only_mirrors();
    sandbox.check(&before);
}

#[test]
fn what_is_left_comes_back_as_it_is() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.write("gone", "old\n");
    sandbox.write("script", "#!/bin/sh\n");
    sandbox.write("dir/file", "old\n");
    sandbox.commit_all("more");
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"echo committed > committed; commit
        rm gone; rm -r dir; echo "a file now" > dir; chmod +x script; ln -s nowhere link
        printf '\000\377\001' > binary; mkdir -p new/dir; echo new > new/dir/file; echo staged > staged
        git add staged gone; echo log > some.log; mkdir -p target secret; echo obj > target/obj
        ln -s key secret/link; echo k > secret/key; chmod 600 secret/key; case $task in fails) exit 3;; esac"#,
    );
    shop.start(&["-j2", "lands", "fails"], &agent).wait().expect(1);
    sandbox.expect_states(&[("lands", "landed"), ("fails", "failed")]);
    let tree = sandbox.git(&["ls-tree", "-r", "main"]);
    for (mode, name) in [
        ("100644", "dir"),
        ("100755", "script"),
        ("120000", "link"),
        ("100644", "binary"),
        ("100644", "new/dir/file"),
    ] {
        assert!(
            tree.lines().any(|line| line.starts_with(mode) && line.ends_with(&format!("\t{name}"))),
            "{tree}"
        );
    }
    assert!(!tree.contains("\tgone") && !tree.contains("\tdir/file"), "{tree}");
    assert!(!sandbox.has("gone") && sandbox.read("dir") == "a file now\n");
    assert_eq!(sandbox.git(&["cat-file", "-s", "main:binary"]), "3");
    // What failed is in its worktree as it was there.
    let status = sandbox.git_in(&sandbox.worktree("fails"), &["status", "--porcelain", "-uall"]);
    let mut status: Vec<&str> = status.lines().map(str::trim_start).collect();
    status.sort_unstable();
    let expected = [
        "?? binary",
        "?? dir",
        "?? link",
        "?? new/dir/file",
        "A  staged",
        "D  gone",
        "D dir/file",
        "M script",
    ];
    assert_eq!(status, expected);
    assert_eq!(sandbox.git(&["log", "--format=%s", "main~2..feature/fails"]), "work of fails");
    // Ignored files come along, but for those that can be made again.
    let worktree = sandbox.worktree("fails");
    assert_eq!(fs::read_to_string(worktree.join("some.log")).expect("a file"), "log\n");
    assert_eq!(fs::read_link(worktree.join("secret/link")).expect("a link"), std::path::Path::new("key"));
    assert!(!worktree.join("target").exists());
    shop.expect_only_mirrors();
    sandbox.check(&before);
}

#[test]
fn a_further_attempt_goes_on_where_the_last_one_ended() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let before = sandbox.snapshot();
    let agent = sandbox.agent(
        r#"echo "$task" >> "$IO/ran"
        if [ "$GIT_PARALLEL_ATTEMPT" = 1 ]; then
            echo one > one; commit first; echo two > two; rm README.md; echo "from the first"; exit 255
        fi
        git log --format=%s main.. > "$IO/log"; git status --porcelain > "$IO/status"; echo "from the second"
        commit second"#,
    );
    shop.start(&["--retries", "1", "one"], &agent).wait().expect(0);
    assert_eq!(sandbox.read_io("log"), "first\n");
    assert_eq!(sandbox.read_io("status"), " D README.md\n?? two\n");
    assert_eq!(sandbox.git(&["ls-tree", "-r", "--name-only", "main"]), ".gitignore\none\nsrc/db.rs\ntwo");
    let log = sandbox.parallel(&["logs", "one"]).expect(0).stdout;
    assert_eq!(log, "from the first\n--- attempt 2 ---\nfrom the second\n");
    shop.expect_ran_once(&["one", "one"]);
    shop.expect_only_mirrors();
    sandbox.check(&before);
}

#[test]
fn setup_runs_where_the_agent_does() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    let agent = sandbox.agent(r#"cat target/made > "$task.txt"; commit"#);
    let setup = "mkdir target && pwd > target/made && test $GIT_PARALLEL_TASK != bad || exit 7";
    shop.start(&["--setup", setup, "-j2", "good", "bad"], &agent).wait().expect(1);
    sandbox.expect_states(&[("good", "landed"), ("bad", "failed")]);
    assert!(sandbox.show("main", "good.txt").starts_with(shop.dir().to_str().expect("UTF-8")));
    sandbox.parallel(&["logs", "bad"]).expect(0).tells(&["setup failed: exit 7"]);
}

/// And many files travel without waiting for each other.
#[test]
fn everything_goes_where_it_is_said() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.ssh.dir", "~/build/gp"]);
    sandbox.write(".worktreeinclude", "/secret/\n");
    for number in 0..500 {
        sandbox.write(&format!("secret/{number}"), format!("{number}\n").repeat(100));
    }
    let agent = sandbox.agent(r#"cat secret/* | wc -l > "$task.txt"; pwd > "$IO/pwd"; commit"#);
    shop.start(&["one"], &agent).wait().expect(0);
    assert_eq!(sandbox.show("main", "one.txt").trim(), "50000");
    let home = shop.hosts[0].home.join("build/gp");
    assert!(
        sandbox.read_io("pwd").starts_with(home.to_str().expect("UTF-8")) && !shop.hosts[0].cache().exists()
    );
    assert_eq!(fs::read_dir(home).expect("a directory").count(), 1);
}

/// Ids of another length, a history without its beginning, a repository without a worktree of its own.
#[test]
fn odd_repositories_travel() {
    let shallow = || {
        let mut sandbox = Sandbox::new();
        sandbox.write("src/db.rs", "changed\n");
        sandbox.commit_all("Second");
        let (url, clone) = (format!("file://{}", sandbox.repo.display()), sandbox.root.join("clone"));
        let args = ["clone", "-q", "--depth=1", &url, clone.to_str().expect("UTF-8")];
        sandbox.run_in(&sandbox.root, "git", &args).expect(0);
        sandbox.repo = clone;
        sandbox.identify(&sandbox.repo);
        sandbox
    };
    let bare = || {
        let mut sandbox = Sandbox::new();
        let clone = sandbox.root.join("bare.git");
        let args = ["clone", "-q", "--bare", "shop", clone.to_str().expect("UTF-8")];
        sandbox.run_in(&sandbox.root, "git", &args).expect(0);
        sandbox.repo = clone;
        sandbox.identify(&sandbox.repo);
        sandbox
    };
    let long: fn() -> Sandbox = || Sandbox::with("shop", &["--object-format=sha256"]);
    for make in [long, shallow, bare] {
        let Some(shop) = Shop::open_with(make) else { return };
        let sandbox = &shop.sandbox;
        let agent = sandbox.agent(
            r#"case $GIT_PARALLEL_ATTEMPT in 1) echo x > "${task#*/}.txt"; commit; echo y > "${task#*/}.left"; exit 1;; esac
            git log --format=%s main.. > "$IO/log-${task#*/}"; commit again"#,
        );
        shop.start(&["--retries=1", "--into=main", "-j2", "a", "feature/b"], &agent).wait().expect(0);
        for task in ["a", "b"] {
            assert_eq!(sandbox.show("main", &format!("{task}.left")), "y\n");
        }
        assert_eq!(sandbox.read_io("log-a"), "work of a\n");
        sandbox.git(&["fsck"]);
        shop.expect_only_mirrors();
    }
}

/// As many connections at once as an sshd refuses by itself.
#[test]
fn many_at_once_on_one_host() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.ssh.hosts", "h1=20"]);
    let tasks: Vec<String> = (0..20).map(|n| format!("t{n:02}")).collect();
    let names: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let agent = sandbox.agent(r#"echo "$task" >> "$IO/ran"; echo x > "$task.txt"; commit"#);
    shop.start(&[&["-j20"], &names[..]].concat(), &agent).wait().expect(0).tells(&["20 landed"]);
    shop.expect_ran_once(&names);
    shop.expect_only_mirrors();
}

#[test]
#[ignore = "a measurement"]
fn fifty_short_tasks() {
    let Some(shop) = Shop::open() else { return };
    let sandbox = &shop.sandbox;
    sandbox.git(&["config", "parallel.ssh.hosts", "h1=25 h2=25"]);
    let tasks: Vec<String> = (0..50).map(|n| format!("t{n:02}")).collect();
    let names: Vec<&str> = tasks.iter().map(String::as_str).collect();
    for runner in ["local", "ssh"] {
        sandbox.git(&["config", "parallel.branchPrefix", &format!("{runner}/")]);
        let agent = sandbox.agent(&format!(r#"echo x > "{runner}-$task.txt"; git add -A; git commit -qm x"#));
        let begin = std::time::Instant::now();
        shop.start(&[&["-j50", "--runner", runner], &names[..]].concat(), &agent).wait().expect(0);
        println!("{runner}: {:.1} s", begin.elapsed().as_secs_f64());
    }
}
