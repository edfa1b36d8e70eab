//! What is told about the program is true: man pages, completions, help, and the README.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests run programs, and fail by panics")]

mod completions;
mod console;
mod examples;
mod install;
mod offers;
mod readme;
mod recipes;
mod sandbox;
mod tutorial;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sandbox::{Sandbox, root};

/// The files of a directory, by name.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// The commands that have a page.
fn commands() -> Vec<String> {
    let pages = files(&root().join("man"));
    pages
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("git-parallel-")?.strip_suffix(".1"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_man_pages_are_as_the_program_makes_them() {
    let sandbox = Sandbox::new();
    let made = sandbox.path("made/deep");
    sandbox.ok(&["man", made.to_str().unwrap()]);
    let (made, committed) = (files(&made), files(&root().join("man")));
    let names = |files: &[(String, String)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&made), names(&committed), "to update them: cargo run -- man man");
    for (made, committed) in made.iter().zip(&committed) {
        assert!(made == committed, "man/{} is stale; to update it: cargo run -- man man", made.0);
    }
}

/// Whatever a plan may say by its schema is told in the manual, as a tag.
#[test]
fn every_key_of_a_plan_is_in_the_manual() {
    let page = fs::read_to_string(root().join("man/git-parallel-plan.5")).unwrap();
    let tags: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("\\fB")?.strip_suffix("\\fR"))
        .flat_map(|tag| tag.split(", "))
        .collect();
    let schema: serde_json::Value = serde_json::from_str(&Sandbox::new().ok(&["schema"])).unwrap();
    let tables = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let keys: BTreeSet<&String> =
        tables.flat_map(|table| table["properties"].as_object().unwrap().keys()).collect();
    assert!(keys.len() > 30, "{keys:?}");
    let missing: Vec<_> = keys.iter().filter(|key| !tags.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_completions_are_as_the_program_prints_them() {
    let sandbox = Sandbox::new();
    for (shell, file) in
        [("bash", "git-parallel.bash"), ("zsh", "_git-parallel"), ("fish", "git-parallel.fish")]
    {
        let committed = fs::read_to_string(root().join("completions").join(file)).unwrap();
        assert_eq!(sandbox.ok(&["completions", shell]), committed, "completions/{file}");
    }
    for shell in ["elvish", "powershell"] {
        assert!(sandbox.ok(&["completions", shell]).contains("git-parallel"), "{shell}");
    }
}

#[test]
fn every_help_fits_a_hundred_columns() {
    let sandbox = Sandbox::new();
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    let mut calls = vec![vec!["-h"], vec!["--help"]];
    calls.extend(commands.iter().flat_map(|c| [vec![c.as_str(), "-h"], vec![c.as_str(), "--help"]]));
    for call in calls {
        let help = sandbox.ok(&call);
        assert!(help.contains("Usage: git parallel"), "{call:?}");
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{call:?}: {line}");
        }
    }
}

#[test]
fn alone_it_prints_the_short_help() {
    let sandbox = Sandbox::new();
    let output = sandbox.command("git").arg("parallel").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    assert_eq!(help, sandbox.ok(&["-h"]));
    for command in commands() {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in the help");
    }
}

/// Whatever the user's environment and configuration say, the demo has its own repository and leaves it.
#[test]
fn the_demo_is_on_its_own() {
    let sandbox = Sandbox::new();
    let other = sandbox.path("other");
    sandbox.sh(
        &sandbox.path(""),
        "git init -q other && mkdir hooks && echo 'exit 1' >hooks/pre-commit && chmod +x hooks/pre-commit",
    );
    let config = sandbox.path("config");
    let hooks = sandbox.path("hooks");
    let settings =
        "[commit]\n gpgSign = true\n[parallel]\n jobs = 1\n leftovers = refuse\n worktreeDir = /no\n";
    fs::write(&config, format!("[core]\n hooksPath = {}\n{settings}", hooks.display())).unwrap();
    let mut demo = sandbox.command(env!("CARGO_BIN_EXE_git-parallel"));
    demo.args(["demo", "new"]).env("GIT_CONFIG_GLOBAL", &config).env("GIT_DIR", other.join(".git"));
    let output = demo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sandbox.path("new/shop/.git/parallel").is_dir());
    assert!(!other.join(".git/parallel").exists());
    let again = sandbox.command(env!("CARGO_BIN_EXE_git-parallel")).args(["demo", "new"]).output().unwrap();
    assert_eq!(again.status.code(), Some(3));
}

/// The manual as `git help parallel` shows it, installed as the README says: below a prefix.
#[test]
fn git_help_finds_the_manual_below_a_prefix() {
    let sandbox = Sandbox::new();
    if !sandbox.has("man") || !sandbox.has("groff") {
        return;
    }
    let (bin, man1) = (sandbox.path("prefix/bin"), sandbox.path("prefix/share/man/man1"));
    fs::create_dir_all(&bin).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_git-parallel"), bin.join("git-parallel")).unwrap();
    sandbox.ok(&["man", man1.to_str().unwrap()]);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for (call, line) in [
        (["help", "parallel"], "git-parallel - run agents at once"),
        (["parallel", "--help"], "git-parallel - run agents at once"),
        (["help", "git-parallel-run"], "git-parallel-run - start a run"),
        (["help", "git-parallel-config"], "git-parallel-config - what can be set"),
        (["help", "git-parallel-tutorial"], "git-parallel-tutorial - from an empty directory"),
    ] {
        let output = sandbox.command("git").args(call).env("PATH", &path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{call:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(line), "{call:?}: {text}");
    }
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The words in `text` that begin with `prefix` and go on with letters and underscores.
fn words<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let ends = |rest: &str| rest.find(|c: char| !c.is_ascii_alphabetic() && c != '_').unwrap_or(rest.len());
    let at = text.match_indices(prefix).map(|(at, _)| at);
    at.map(|at| &text[at..at + prefix.len() + ends(&text[at + prefix.len()..])]).collect()
}

/// Every configuration key that is read, and every variable that an agent gets, is told of.
#[test]
fn configuration_and_environment_are_told_of() {
    let manual = fs::read_to_string(root().join("man/git-parallel-config.5")).unwrap().replace('\\', "");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (manual, readme) = (manual.to_lowercase(), readme.to_lowercase());
    let mut paths = Vec::new();
    sources(&root().join("src"), &mut paths);
    let mut seen = 0;
    for path in paths.iter().filter(|path| !path.ends_with("git/config.rs")) {
        let source = fs::read_to_string(path).unwrap();
        for key in words(&source, "\"parallel.") {
            let key = key.trim_start_matches('"').to_lowercase();
            assert!(manual.contains(&key), "{key} of {} is not in the manual", path.display());
            assert!(readme.contains(&key), "{key} of {} is not in the README", path.display());
            seen += 1;
        }
    }
    let context = fs::read_to_string(root().join("src/engine/context.rs")).unwrap();
    // And none is told of that nobody reads.
    let all: String = paths
        .iter()
        .filter(|path| !path.to_str().unwrap().contains("commands/man/"))
        .fold(String::new(), |all, path| all + &fs::read_to_string(path).unwrap().to_lowercase());
    let tags = manual.lines().filter_map(|line| line.strip_prefix("fb")?.strip_suffix("fr"));
    let keys: Vec<&str> = tags.filter(|tag| tag.starts_with("parallel.")).collect();
    assert!(keys.len() > 40, "{keys:?}");
    for key in keys {
        // A name of the user's, and what stands behind it, is put in when it is read.
        let known = key.split("name").next().unwrap();
        assert!(all.contains(&format!("\"{known}")), "{key} is in the manual, but nobody reads it");
    }
    for variable in words(&context, "GIT_PARALLEL_") {
        let variable = variable.to_lowercase();
        assert!(manual.contains(&variable), "{variable} is not in the manual");
        assert!(readme.contains(&variable), "{variable} is not in the README");
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
}
