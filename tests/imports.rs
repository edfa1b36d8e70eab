//! The house: who may import whom, and how long a file may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer. Past that, the design wants another name.
const MOST_LINES: usize = 400;

/// Who may import what, beside itself. `error` and `run` are words that all share, `plan` the reading of
/// arguments, `sys` what the kernel is asked for.
const MAY_IMPORT: [(&str, &[&str]); 14] = [
    (
        "main",
        &["agents", "cli", "commands", "engine", "error", "git", "plan", "run", "shim", "store", "sys", "ui"],
    ),
    ("cli", &["error", "plan"]),
    ("commands", &["agents", "cli", "engine", "error", "git", "plan", "run", "shim", "store", "sys", "ui"]),
    ("engine", &["agents", "error", "git", "plan", "run", "shim", "store", "sys", "ui"]),
    ("git", &["error", "plan", "run", "sys"]),
    ("store", &["error", "run"]),
    ("agents", &["error", "plan", "run"]),
    ("ui", &["error", "run"]),
    ("shim", &["error", "run", "sys"]),
    ("sys", &["error", "run"]),
    ("plan", &["run"]),
    ("run", &[]),
    ("error", &[]),
    ("testing", &[]),
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The module at the top that a file belongs to.
fn module(path: &Path) -> String {
    let first = path.strip_prefix(src()).unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The names after each `crate::`, also in groups and in paths within code; comments don't count.
fn imported(text: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let mut name = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => names.extend([first_word(&std::mem::take(&mut name))]),
                        c if depth == 0 => name.push(c),
                        _ => {}
                    }
                }
                names.insert(first_word(&name));
            }
            None => {
                names.insert(first_word(rest));
            }
        }
    }
    names.remove("");
    names
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "use crate::git::{self, Config};\nuse crate::{ui, run::{Run, Task}, store};\n// crate::comment\nlet x = crate::sys::y();";
    let found: Vec<String> = imported(text).into_iter().collect();
    assert_eq!(found, ["git", "run", "store", "sys", "ui"]);
}

#[test]
fn imports_run_downward_only() {
    let mut wrong = Vec::new();
    let mut modules = BTreeSet::new();
    for path in sources(&src()) {
        let module = module(&path);
        modules.insert(module.clone());
        let (_, allowed) = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} is new: where is its place?"));
        for name in imported(&fs::read_to_string(&path).unwrap()) {
            if name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{} imports {name}", path.strip_prefix(src()).unwrap().display()));
            }
        }
    }
    assert!(modules.len() > 10, "{modules:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Tests at the end of a file don't count: they are no burden to who reads the code.
#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for path in sources(&src()) {
        let text = fs::read_to_string(&path).unwrap();
        let is_test = path.file_stem().unwrap().to_str().unwrap().ends_with("tests");
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        if lines > MOST_LINES && !is_test {
            long.push(format!("{}: {lines} lines", path.strip_prefix(src()).unwrap().display()));
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// What must not be known where nothing may happen: time, disk, processes.
#[test]
fn the_model_of_a_run_is_pure() {
    let forbidden =
        ["std::fs", "std::process", "std::env", "std::net", "tokio", "gix", "SystemTime", "Instant", "now()"];
    for path in sources(&src().join("run")) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for name in forbidden {
            let used = code.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(name));
            assert!(!used || path.ends_with("tests.rs"), "{} uses {name}", path.display());
        }
    }
}
