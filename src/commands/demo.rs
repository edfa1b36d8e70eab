//! `git parallel demo`: the main job in a repository made for it.
//!
//! The agents are a shell script of the repository's own. They wait for each other through files, so all
//! three are known to run at once, and for each other's landings, so they finish in a fixed order: the first
//! is fast-forwarded, the second merged, the third collides with the first.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{narrate, print};
use crate::cli::DemoArgs;
use crate::error::{Failure, exit};
use crate::git::{Git, LOCAL_ENV_VARS};
use crate::run::{How, Run, Task, TaskName, TaskState};
use crate::store::{self, Layout};
use crate::{agents, sys, ui};

/// The command that the demo is about.
const RUN: [&str; 11] =
    ["run", "--yes", "--into", "main", "--jobs", "3", "auth", "docs", "billing", "--", "./agent.sh"];

const ROUTES: &str = "/        home\n/items   items\n";

const AGENT: &str = r#"#!/bin/sh
# Stands in for an agent: does one task in the current worktree and commits it.
set -eu
task=$1
meeting=$GIT_PARALLEL_ROOT/../meeting

wait_until() {
    tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 400 ] || { echo "gave up: $*"; exit 1; }
        sleep 0.05
    done
}
all_are_here() { [ -e "$meeting/auth" ] && [ -e "$meeting/docs" ] && [ -e "$meeting/billing" ]; }
has_landed() { git cat-file -e "$GIT_PARALLEL_TARGET:$1"; }

echo "reading the code"
: >"$meeting/$task"
wait_until all_are_here
echo "all three agents are at work"
sleep 0.3
case $task in
auth)
    echo "adding a login form"
    echo '<form action="/login">' >login.html
    echo '/login   login' >>routes.conf
    message='Add a login form' ;;
docs)
    wait_until has_landed login.html
    echo "writing the guide"
    sleep 0.2
    mkdir docs
    echo 'Routes are listed in routes.conf.' >docs/guide.md
    message='Write a guide' ;;
billing)
    wait_until has_landed docs/guide.md
    echo "adding a payment form"
    sleep 0.2
    echo '<form action="/pay">' >pay.html
    echo '/pay     pay' >>routes.conf
    message='Take payments' ;;
esac
git add .
git commit -q -m "$message"
echo "done"
"#;

/// Makes the repository, runs the agents in it, and tells what came of it.
pub fn demo(args: &DemoArgs) -> Result<u8> {
    let dir = directory(args.dir.as_deref())?;
    let repo = dir.join("shop");
    make_repository(&dir, &repo)
        .with_context(|| format!("cannot make a repository in {}", repo.display()))?;
    print(&format!("A repository for the demo is in {}\n\n", repo.display()))?;

    print(&format!("$ git parallel {} {{task}}\n", RUN.join(" ")))?;
    let mut argv: Vec<OsString> = vec![sys::own_executable()?.into()];
    argv.extend(RUN.map(OsString::from));
    argv.push("{task}".into());
    let status = sys::run_in_foreground(&argv, &repo, &[], &LOCAL_ENV_VARS)
        .context("cannot run git parallel in the repository of the demo")?;
    match status.code() {
        Some(code @ 128..) => return Ok(u8::try_from(code).unwrap_or(exit::FAILURE)),
        Some(1) => {}
        _ => return Err(not_as_planned(&repo, &format!("the run ended with {status}"))),
    }

    let run = latest_run(&repo)?;
    if let Some(odd) = deviation(&run) {
        return Err(not_as_planned(&repo, &odd));
    }
    print(&outcome(&run))?;
    let log = ["log", "--oneline", "--graph", "--decorate", "main", "feature/billing"];
    let graph = Git::new().in_dir(&repo).args(log).line()?;
    print(&format!("\n$ git {}\n{graph}\n\n{}", log.join(" "), how_to_settle(&dir, &repo)?))?;
    Ok(exit::OK)
}

/// An empty directory: the one asked for, or a new temporary one.
fn directory(asked: Option<&Path>) -> Result<PathBuf> {
    let Some(dir) = asked else {
        let dir = tempfile::Builder::new().prefix("git-parallel-demo-").tempdir();
        return Ok(dir.context("cannot make a temporary directory")?.keep().canonicalize()?);
    };
    let refused = |why: &str| {
        Failure::new(exit::REFUSED, format!("{} {why}", dir.display()))
            .safe("Nothing was created or changed.")
            .hint("name an empty directory or a new one: git parallel demo DIR")
    };
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(refused("is not empty").into()),
        Ok(false) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        Err(e) => return Err(refused(&format!("can't be used: {e}")).into()),
    }
    Ok(dir.canonicalize()?)
}

/// A repository with one commit, which needs no set-up of the user's and obeys little of it.
fn make_repository(dir: &Path, repo: &Path) -> Result<()> {
    let git = |args: &[&str]| Git::new().in_dir(repo).args(args).ok();
    fs::create_dir(dir.join("meeting"))?;
    fs::create_dir(repo)?;
    Git::new()
        .in_dir(repo)
        .args(["init", "--quiet", "--template=", "--initial-branch=main"])
        .env("GIT_DEFAULT_REF_FORMAT", "files")
        .ok()?;
    let hooks = repo.join(".git/hooks");
    fs::create_dir(&hooks)?;
    let hooks = hooks.to_string_lossy();
    let settings = [
        ("user.name", "Demo"),
        ("user.email", "demo@example.org"),
        ("commit.gpgSign", "false"),
        ("core.hooksPath", hooks.as_ref()),
        ("core.autocrlf", "false"),
        ("core.excludesFile", ""),
        ("core.fsmonitor", "false"),
        ("parallel.branchPrefix", "feature/"),
        ("parallel.worktreeDir", ""),
        ("parallel.leftovers", "commit"),
        ("parallel.retries", "0"),
        ("parallel.timeout", "60s"),
    ];
    for (key, value) in settings {
        git(&["config", key, value])?;
    }
    fs::write(repo.join("README.md"), "# Shop\n\nA small shop, to try git parallel on.\n")?;
    fs::write(repo.join("routes.conf"), ROUTES)?;
    let agent = repo.join("agent.sh");
    fs::write(&agent, AGENT)?;
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755))?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "--message=Start a shop"])?;
    Ok(())
}

fn latest_run(repo: &Path) -> Result<Run> {
    // Not discovered: GIT_DIR may name another repository.
    let layout = Layout::new(&repo.join(".git"));
    let id = store::list(&layout)?.pop().context("the run has left no record")?;
    Ok(store::load(&layout, &id)?.run)
}

/// What did not go as it was meant to.
fn deviation(run: &Run) -> Option<String> {
    let task = |name: &str| run.task(&TaskName::from(name));
    let landed = |name: &str, how: How| task(name).and_then(Task::landed).is_some_and(|l| l.how == how);
    if !landed("auth", How::FastForward) {
        Some("auth was not fast-forwarded".to_owned())
    } else if !landed("docs", How::Merge) {
        Some("docs was not merged".to_owned())
    } else if task("billing").is_none_or(|task| task.state != TaskState::Conflicted) {
        Some("billing has no conflict".to_owned())
    } else {
        together(run).is_none().then(|| "the agents did not run at once".to_owned())
    }
}

/// For how long all agents ran at once, if they did.
fn together(run: &Run) -> Option<jiff::SignedDuration> {
    let last_start = run.tasks.iter().map(|task| task.started_at).max()??;
    let first_end = run.tasks.iter().map(|task| task.finished_at).min()??;
    Some(first_end.duration_since(last_start)).filter(|time| time.is_positive())
}

fn outcome(run: &Run) -> String {
    let time = together(run).unwrap_or_default().as_secs_f64();
    format!(
        "\n\
         All three agents ran at once for {time:.1}s, each on a branch and in a worktree of its own.\n\
         auth landed on main by fast-forward and docs by a merge. billing adds a line where auth has\n\
         added one, so its landing needs you; main and your checkout are whole.\n"
    )
}

/// The commands that settle the conflict, for a shell that stands anywhere.
fn how_to_settle(dir: &Path, repo: &Path) -> Result<String> {
    let quoted = |path: &Path| ui::quote(&path.into());
    let mut text = format!("To settle it:\n\n    cd {}\n", quoted(repo));
    if !agents::find("git-parallel".as_ref()) {
        let own = std::env::current_exe().context("cannot find our own executable")?;
        let bin = own.parent().map(quoted).unwrap_or_default();
        text.push_str(&format!("    PATH={bin}:$PATH\n"));
    }
    text.push_str(&format!(
        r#"    git parallel resolve billing    # opens a shell there: edit routes.conf, commit, exit
    git parallel land billing

Or let a command do it that keeps both lines:

    git parallel resolve billing --with "sed -i '/^[<|=>]\{{7\}}/d' routes.conf && git add ."
    git parallel land billing

When you are done with it: rm -rf {}
"#,
        quoted(dir)
    ));
    Ok(text)
}

fn not_as_planned(repo: &Path, what: &str) -> anyhow::Error {
    narrate("\n");
    Failure::new(exit::FAILURE, format!("the demo did not go as planned: {what}"))
        .safe(format!("Its repository is kept in {}.", repo.display()))
        .hint(format!("see why: cd {} && git parallel logs", ui::quote(&repo.into())))
        .into()
}
