//! `git parallel report`, and what agents say they used.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail by panics")]

mod common;

use std::fs;

use common::Sandbox;
use serde_json::{Value, json};

/// `report --json` of the latest run.
#[track_caller]
fn report(sandbox: &Sandbox) -> Value {
    sandbox.parallel(&["report", "--json"]).expect(0).json()
}

fn task<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name).unwrap()
}

/// Two land, the second of them after the first; the third collides; the fourth fails.
fn mixed() -> Sandbox {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent(
        r#"
        case $task in
        auth) echo auth > src/db.rs ;;
        docs) await auth-landed; echo docs > docs.txt; commit one; echo more >> docs.txt ;;
        billing) echo billing > src/db.rs ;;
        bad) echo 'no </pre><script>alert(1)</script>'; exit 7 ;;
        esac
        commit
        "#,
    );
    let first = sandbox.oid("main");
    let run = sandbox.spawn_run(&["-j", "4", "auth", "docs", "billing", "bad"], &agent);
    common::wait_until("auth or billing has landed", || sandbox.oid("main") != first);
    sandbox.mark("auth-landed");
    run.wait().expect(1);
    sandbox
}

#[test]
fn json_agrees_with_git() {
    let sandbox = mixed();
    let report = report(&sandbox);
    assert_eq!(report["version"], 1);
    assert_eq!(report["run"]["state"], "finished");
    assert_eq!(report["run"]["tip"], sandbox.oid("main"));
    assert_eq!(report["run"]["base"], sandbox.oid("main^{/First}"));
    assert_eq!(report["success"], json!({ "tasks": 2, "of": 4 }));
    let counts = &report["counts"];
    assert_eq!([&counts["landed"], &counts["conflicted"], &counts["failed"]], [2, 1, 1]);
    assert_eq!(report["usage"], Value::Null);

    // What landed is what the target's history has, first parents from the oldest on.
    let history = sandbox.git(&["rev-list", "--reverse", "--first-parent", "main"]);
    let merges = report["merges"].as_array().unwrap();
    assert_eq!(merges.len(), 2);
    let mut commits = history.lines();
    for merge in merges {
        let found = commits.any(|commit| merge["commit"] == commit);
        assert!(found, "{merge} is not in\n{history}");
        assert_eq!(merge["onto"], sandbox.oid(&format!("{}^1", merge["commit"].as_str().unwrap())));
    }
    assert_eq!(merges[1]["task"], "docs");

    let docs = task(&report, "docs");
    assert_eq!(docs["commits"], 2);
    let onto = merges[1]["onto"].as_str().unwrap();
    let numbers = sandbox.git(&["diff", "--numstat", onto, merges[1]["commit"].as_str().unwrap()]);
    assert_eq!(numbers, format!("{}\t{}\tdocs.txt", docs["insertions"], docs["deletions"]));
    assert_eq!(docs["landed"]["commit"], merges[1]["commit"]);
    let phases: Vec<&str> =
        docs["spans"].as_array().unwrap().iter().map(|span| span["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["queued", "preparing", "running", "ready", "landing"]);

    let loser = if merges[0]["task"] == "auth" { "billing" } else { "auth" };
    assert_eq!(
        task(&report, loser)["conflicts"],
        json!([{ "path": "src/db.rs", "with": merges[0]["task"] }])
    );
    let bad = task(&report, "bad");
    assert_eq!([&bad["exit_code"], &bad["attempts"]], [7, 1]);
    assert_eq!(bad["log_end"], json!(["no </pre><script>alert(1)</script>"]));
    sandbox.parallel(&["report"]).expect(0).tells(&[
        "success   2 of 4 tasks (50%)",
        "bad  x failed",
        "exit 7",
    ]);
    sandbox
        .parallel(&["report", "--markdown"])
        .expect(0)
        .tells(&["### bad: failed", "- Conflict: src/db.rs (with "]);
}

#[test]
fn a_page_is_written_whole_and_where_it_was_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.run(&["auth"], &sandbox.agent("echo '</pre><script>alert(1)</script>'; exit 1")).expect(1);
    let page = sandbox.parallel(&["report", "--html", "-"]).expect(0).stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
    for bad in ["<script", "src=", "href=\"http", "url(http", "@import", "<link"] {
        assert!(!page.contains(bad), "{bad}");
    }
    assert!(page.contains("&lt;/pre&gt;&lt;script&gt;"), "{page}");

    let out = |name: &str| sandbox.root.join("out").join(name);
    fs::write(out("real.html"), "old").unwrap();
    std::os::unix::fs::symlink("real.html", out("link.html")).unwrap();
    sandbox.parallel(&["report", "--html", out("link.html").to_str().unwrap()]).expect(0);
    assert!(out("link.html").symlink_metadata().unwrap().is_symlink());
    assert!(fs::read_to_string(out("real.html")).unwrap().ends_with("</html>\n"));
    sandbox.parallel(&["report", "--html", "new.html"]).expect(0);
    assert!(sandbox.read("new.html").ends_with("</html>\n"));
    let left = fs::read_dir(&sandbox.repo)
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with(".tmp"));
    assert_eq!(left.count(), 0);
    sandbox.parallel(&["report", "--html", "/dev/null"]).expect(0);

    std::os::unix::fs::symlink("nowhere", out("dangling")).unwrap();
    let dangling = out("dangling");
    for (path, why) in
        [("src", "directory"), (dangling.to_str().unwrap(), "points nowhere"), ("no/such/x", "No such file")]
    {
        sandbox.parallel(&["report", "--html", path]).expect(1).tells(&["cannot write", why, "as it was"]);
    }
    assert!(!out("nowhere").exists());
    for both in [["--json", "--markdown"], ["--html=x", "--json"]] {
        sandbox.parallel(&["report", both[0], both[1]]).expect(2);
    }
}

#[test]
fn a_run_that_goes_on_or_was_interrupted_says_so() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent("mark started; await go; echo x > x; commit");
    let run = sandbox.spawn_run(&["auth"], &agent);
    sandbox.await_mark("started");
    common::wait_until("the agent is told of", || sandbox.state("auth") == "running");
    let going = report(&sandbox);
    assert_eq!(going["run"]["state"], "running");
    assert_eq!(task(&going, "auth")["spans"][2]["to"], Value::Null);
    sandbox.parallel(&["report"]).expect(0).tells(&["running (pid", "so far"]);
    run.signal(rustix::process::Signal::KILL);
    run.wait();
    assert_eq!(report(&sandbox)["run"]["state"], "interrupted");
    sandbox.parallel(&["report"]).expect(0).tells(&["interrupted", "git parallel resume"]);
    sandbox.parallel(&["report", "--html", "-"]).expect(0).tells(&["Interrupted: its supervisor died"]);
    sandbox.mark("go");
    sandbox.parallel(&["resume"]).expect(0);
    assert_eq!(report(&sandbox)["run"]["state"], "finished");
}

#[test]
fn without_such_a_run_it_says_which_there_are() {
    let sandbox = Sandbox::new();
    sandbox.parallel(&["report"]).expect(1).tells(&["no run in this repository", "git parallel run"]);
    sandbox.run(&["auth"], &sandbox.simple_agent()).expect(0);
    let id = report(&sandbox)["run"]["id"].as_str().unwrap().to_owned();
    sandbox.parallel(&["report", &id]).expect(0).tells(&[&id]);
    let end = &id[id.len() - 4..];
    sandbox.parallel(&["report", end]).expect(1).tells(&[&format!("did you mean '{id}'?")]);
    sandbox
        .parallel(&["report", "nothing-like-it"])
        .expect(1)
        .tells(&["there is no run", "git parallel list"]);
}

/// Each attempt's own words count, once; also those of an agent that outlived its supervisor.
#[test]
fn what_agents_used_is_told() {
    let sandbox = Sandbox::new();
    let says = r#"{"type":"result","session_id":"one","total_cost_usd":0.5,"usage":{"input_tokens":1000,"output_tokens":10}}"#;
    let agent = sandbox.agent(&format!(
        "echo x > x; echo '{says}'; [ $GIT_PARALLEL_ATTEMPT = 2 ] || exit 1; mark started; await go; commit; echo '{says}'"
    ));
    let run = sandbox.spawn_run(&["--retries", "1", "auth"], &agent);
    sandbox.await_mark("started");
    common::wait_until("the agent is told of", || sandbox.task("auth")["pid"].is_number());
    run.signal(rustix::process::Signal::KILL);
    run.wait();
    sandbox.mark("go");
    sandbox.parallel(&["resume"]).expect(0).tells(&["used 2.0k tokens, $1.00"]);
    let used = json!({ "input_tokens": 2000, "output_tokens": 20, "cost_usd": 1.0 });
    assert_eq!(sandbox.task("auth")["usage"], used);
    assert_eq!(sandbox.status()["run"]["usage"], used);
    assert_eq!(report(&sandbox)["usage"], used);
    sandbox.parallel(&["report"]).expect(0).tells(&["2.0k tokens, $1.00 (2.0k in, 20 out)"]);
}

#[test]
fn patterns_find_what_agents_say_in_words() {
    let sandbox = Sandbox::new();
    let agent = sandbox.agent("echo x > x; commit; echo 'Cost: $0.01'; echo 'Cost: $0.12, 3.5k in'");
    sandbox.git(&["config", "--add", "parallel.usagePattern", r"Cost: \$(?<cost>[0-9.]+)"]);
    sandbox.git(&["config", "--add", "parallel.usagePattern", r"(?<input>[0-9.]+k) in"]);
    sandbox.run(&["auth"], &agent).expect(0);
    let used = json!({ "input_tokens": 3500, "output_tokens": 0, "cost_usd": 0.12 });
    assert_eq!(sandbox.task("auth")["usage"], used);

    sandbox.git(&["config", "--add", "parallel.usagePattern", "(?<cost>"]);
    sandbox.git(&["config", "--add", "parallel.usagePattern", "Cost: (.*)"]);
    let refused = sandbox.run(&["docs"], &agent).expect(3);
    refused.tells(&[
        "'(?<cost>' for 'parallel.usagePattern': unclosed group",
        "no group named input, output or cost",
    ]);
}
