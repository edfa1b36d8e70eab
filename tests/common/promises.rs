//! The promises, looked at from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use serde_json::Value;

use super::{Output, Sandbox};

/// The user's things before a run.
#[derive(Debug)]
pub struct Snapshot {
    refs: BTreeMap<String, String>,
    head: Vec<u8>,
    config: Vec<Vec<u8>>,
    hooks: BTreeMap<PathBuf, Entry>,
    stash: String,
    /// What `git status` says, less what is clean.
    status: Vec<u8>,
    /// What is staged of files that are not clean.
    staged: Vec<u8>,
    /// Files that are not clean: edited, staged, untracked, ignored.
    files: BTreeMap<PathBuf, Entry>,
}

/// One thing on disk.
#[derive(PartialEq, Eq, Clone, Debug)]
pub struct Entry {
    mode: u32,
    content: Vec<u8>,
}

/// All below `dir`, by relative path, without `.git`.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    walk(dir, &mut |path, meta| {
        let relative = path.strip_prefix(dir).expect("it is below").to_owned();
        let content = if meta.is_symlink() {
            fs::read_link(path).expect("a link").into_os_string().into_vec()
        } else if meta.is_file() {
            fs::read(path).unwrap_or_default()
        } else {
            Vec::new()
        };
        found.insert(relative, Entry { mode: meta.permissions().mode(), content });
    });
    found
}

fn walk(dir: &Path, see: &mut dyn FnMut(&Path, &fs::Metadata)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(meta) = path.symlink_metadata() else { continue };
        see(&path, &meta);
        if meta.is_dir() && entry.file_name() != ".git" {
            walk(&path, see);
        }
    }
}

/// Processes that carry the path in their environment, command line or working directory.
pub fn processes(root: &Path) -> Vec<u32> {
    let needle = root.as_os_str().as_bytes();
    let own = std::process::id();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let dir = entry.path();
        let holds = |file: &str| fs::read(dir.join(file)).is_ok_and(|text| text.find(needle).is_some());
        let cwd = || fs::read_link(dir.join("cwd")).is_ok_and(|cwd| cwd.starts_with(root));
        let ended = fs::read_to_string(dir.join("stat"))
            .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X'])));
        if id != own && !ended && (holds("environ") || holds("cmdline") || cwd()) {
            found.push(id);
        }
    }
    found
}

impl Sandbox {
    /// Looks at the user's things before a run.
    pub fn snapshot(&self) -> Snapshot {
        let common = self.common_dir();
        let bare = common == self.repo;
        let bytes = |args: &[&str]| {
            if bare {
                return Vec::new();
            }
            let output = self.command(&self.repo, "git").args(args).output().expect("git runs");
            assert!(output.status.success(), "{}", output.stderr.as_bstr());
            output.stdout
        };
        let status = bytes(&[
            "--no-optional-locks",
            "status",
            "--porcelain",
            "-z",
            "--no-renames",
            "--untracked-files=all",
            "--ignored",
        ]);
        let dirty: Vec<PathBuf> = status
            .split(|b| *b == 0)
            .filter_map(|line| line.get(3..))
            .map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)))
            .collect();
        let all = if bare { BTreeMap::new() } else { tree(&self.repo) };
        let files = all
            .into_iter()
            .filter(|(path, _)| !path.starts_with(".git") && dirty.iter().any(|d| path.starts_with(d)))
            .collect();
        let mut staged_args = vec!["diff", "--cached", "--raw", "--no-renames", "--abbrev=64", "-z", "--"];
        let names: Vec<String> =
            dirty.iter().map(|p| format!(":(literal){}", p.display())).filter(|p| p.is_ascii()).collect();
        staged_args.extend(names.iter().map(String::as_str));
        let staged = if names.is_empty() { Vec::new() } else { bytes(&staged_args) };
        Snapshot {
            refs: self.refs(),
            head: fs::read(common.join("HEAD")).unwrap_or_default(),
            config: ["config", "config.worktree", "info/exclude", "info/attributes"]
                .iter()
                .map(|name| fs::read(common.join(name)).unwrap_or_default())
                .collect(),
            hooks: tree(&common.join("hooks")),
            stash: String::from_utf8_lossy(&bytes(&["stash", "list", "--format=%H %gd %gs"])).into_owned(),
            status,
            staged,
            files,
        }
    }

    /// All refs and where they point.
    pub fn refs(&self) -> BTreeMap<String, String> {
        let list = self.git(&["for-each-ref", "--format=%(refname) %(objectname) %(symref)"]);
        let pair = |line: &str| line.split_once(' ').map(|(name, to)| (name.to_owned(), to.to_owned()));
        list.lines().filter_map(pair).collect()
    }

    /// Checks every promise that can be checked once a run has ended. `before` was taken when it started;
    /// the user of this test changed nothing since.
    #[track_caller]
    pub fn check(&self, before: &Snapshot) {
        self.check_processes();
        self.check_commits();
        self.check_landings(before);
        self.check_users_things(before);
        self.check_repository(before);
        self.check_status();
    }

    /// I10: the exit code is the fold of what became of the tasks; and all that [`Sandbox::check`] looks at.
    #[track_caller]
    pub fn check_run(&self, before: &Snapshot, output: &Output) {
        self.check(before);
        let status = self.status();
        let tasks = status["tasks"].as_array().expect("a list");
        let good = |task: &Value| {
            matches!(task["state"].as_str(), Some("landed" | "unchanged" | "skipped" | "finished"))
        };
        let code = if status["run"]["state"] == "aborted" {
            output.code.max(1)
        } else if tasks.iter().all(good) {
            0
        } else {
            1
        };
        assert_eq!(output.code, code, "I10: the exit code; {status:#}\n{}", output.all());
    }

    /// I1: every commit that an agent logged can be reached from some ref.
    #[track_caller]
    pub fn check_commits(&self) {
        let logged = self.read_io("commits");
        let reachable = self.git(&["rev-list", "--all"]);
        let reachable: BTreeSet<&str> = reachable.lines().collect();
        for commit in logged.lines().filter(|line| !line.is_empty()) {
            assert!(reachable.contains(commit), "I1: {commit} can't be reached; refs: {:#?}", self.refs());
        }
    }

    /// I2, I3: the target moved forward only, and each landing is the task's tip or the merge of its parents.
    #[track_caller]
    pub fn check_landings(&self, before: &Snapshot) {
        for (run, spec) in self.runs() {
            let target = format!("refs/heads/{}", spec["target"].as_str().expect("a UTF-8 target"));
            let Some(tip) = self.refs().get(&target).cloned() else { continue };
            let tip = tip.trim().to_owned();
            if let Some(old) = before.refs.get(&target) {
                assert!(self.is_ancestor(old.trim(), &tip), "I2: {target} went from {old} to {tip}");
            }
            for event in journal(&run).iter().filter(|event| event["event"] == "landed") {
                self.check_landing(&event["landing"], &tip);
            }
        }
    }

    #[track_caller]
    fn check_landing(&self, landing: &Value, target: &str) {
        let part = |name: &str| landing[name].as_str().unwrap_or_else(|| panic!("{landing}")).to_owned();
        let (onto, tip, commit) = (part("onto"), part("tip"), part("commit"));
        assert!(self.is_ancestor(&commit, target), "I2: {commit} landed, and is not on the target");
        assert!(self.is_ancestor(&onto, &commit), "I2: {commit} is not on top of {onto}");
        let how = part("how");
        let parents = self.git(&["show", "-s", "--format=%P", &commit]);
        match how.as_str() {
            "fast-forward" => {
                assert_eq!(commit, tip, "I3: a fast-forward to something else");
                return;
            }
            "merge" => assert_eq!(parents, format!("{onto} {tip}"), "I3: the parents of {commit}"),
            "squash" => assert_eq!(parents, onto, "I3: the parent of {commit}"),
            "rebase" => {
                let range = format!("{onto}..{commit}");
                assert_eq!(self.git(&["rev-list", "--merges", &range]), "", "I3: {range} is not linear");
                let own = self.git(&["rev-list", "--boundary", &range]);
                let ends = own.lines().filter(|line| line.starts_with('-')).count();
                assert_eq!(ends, 1, "I3: {range} starts at more than {onto}");
            }
            other => panic!("I3: landed by {other}"),
        }
        if landing["settled"].is_string() {
            // A merge that git itself leaves to somebody; what settled it is told.
            let merged = self.run_in(&self.repo, "git", &["merge-tree", "--write-tree", &onto, &tip]);
            assert_eq!(merged.code, 1, "I3: {commit} was settled without a conflict");
            return;
        }
        let into = if how == "merge" { onto } else { self.with_what_landed(&onto, &tip) };
        let merged = self.git(&["merge-tree", "--write-tree", &into, &tip]);
        assert_eq!(self.oid(&format!("{commit}^{{tree}}")), merged, "I3: the tree of {commit}");
    }

    /// A commit like `onto`, of which git knows that it has what of `tip` landed squashed or rebased before:
    /// that is not merged a second time.
    fn with_what_landed(&self, onto: &str, tip: &str) -> String {
        let events: Vec<Vec<Value>> = self.runs().into_iter().map(|(run, _)| journal(&run)).collect();
        let is_undone = |events: &[Value], task: &Value| {
            let undone = events.iter().filter(|event| event["event"] == "undone");
            let mut reverts = undone.flat_map(|event| event["reverts"].as_array().expect("a list"));
            let of_task = |revert: &&Value| revert["task"] == *task;
            reverts.any(|r| of_task(&r) && self.is_ancestor(r["commit"].as_str().expect("an id"), onto))
        };
        let landings = events.iter().flat_map(|events| {
            let landed = events.iter().filter(|event| event["event"] == "landed");
            landed.filter(|event| !is_undone(events, &event["task"])).map(|event| event["landing"].clone())
        });
        let mut args: Vec<String> = ["commit-tree", "-m", "as if", "-p", onto].map(str::to_owned).to_vec();
        for landing in landings.filter(|landing| landing["how"] == "squash" || landing["how"] == "rebase") {
            let part = |name: &str| landing[name].as_str().expect("an id");
            let is_new = self.is_ancestor(part("tip"), tip) && !self.is_ancestor(part("tip"), onto);
            let has = |commit: &str| self.is_ancestor(part("commit"), commit);
            if is_new && has(onto) && !has(tip) {
                args.extend(["-p".to_owned(), part("tip").to_owned()]);
            }
        }
        args.push(format!("{onto}^{{tree}}"));
        self.git(&args)
    }

    fn is_ancestor(&self, old: &str, new: &str) -> bool {
        self.run_in(&self.repo, "git", &["merge-base", "--is-ancestor", old, new]).code == 0
    }

    /// I4: what is the user's is as it was.
    #[track_caller]
    pub fn check_users_things(&self, before: &Snapshot) {
        let now = self.snapshot();
        assert_eq!(before.head.as_bstr(), now.head.as_bstr(), "I4: HEAD");
        for (before, now) in before.config.iter().zip(&now.config) {
            assert_eq!(before.as_bstr(), now.as_bstr(), "I4: configuration");
        }
        assert!(before.hooks == now.hooks, "I4: hooks");
        assert_eq!(before.stash, now.stash, "I4: the stash");
        assert_eq!(before.status.as_bstr(), now.status.as_bstr(), "I4: git status");
        assert_eq!(before.staged.as_bstr(), now.staged.as_bstr(), "I4: what is staged");
        assert_same(&before.files, &now.files);
        let ours = self.our_branches();
        let users = |name: &str| !ours.contains(name) && !name.starts_with("refs/parallel/");
        for (name, tip) in before.refs.iter().filter(|(name, _)| users(name)) {
            assert_eq!(Some(tip), now.refs.get(name), "I4: {name} moved");
        }
    }

    /// Branches that runs may move: targets, and the tasks' own.
    fn our_branches(&self) -> BTreeSet<String> {
        let mut ours = BTreeSet::new();
        for (_, spec) in self.runs() {
            let tasks = spec["tasks"].as_array().expect("a list");
            let branches = tasks.iter().map(|task| &task["branch"]).chain([&spec["target"]]);
            ours.extend(branches.filter_map(Value::as_str).map(|name| format!("refs/heads/{name}")));
        }
        ours
    }

    /// I5: no process that carries the name of this sandbox lives.
    #[track_caller]
    pub fn check_processes(&self) {
        let alive = processes(&self.root);
        let told = |id: &u32| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            format!("{id}: {}", line.replace(b"\0", b" ").as_bstr())
        };
        assert!(alive.is_empty(), "I5: alive are {:?}", alive.iter().map(told).collect::<Vec<_>>());
    }

    /// I6: the repository is sound, and nothing of ours lies about that can't be explained.
    #[track_caller]
    pub fn check_repository(&self, before: &Snapshot) {
        let fsck = self.run_in(&self.repo, "git", &["fsck", "--no-dangling", "--no-progress"]);
        assert!(fsck.code == 0 && !fsck.all().contains("error"), "I6: {}", fsck.all());
        self.check_locks();
        self.check_worktrees();
        let ours = self.our_branches();
        let runs: Vec<(PathBuf, Value)> = self.runs();
        for name in self.refs().keys().filter(|name| !before.refs.contains_key(*name)) {
            let pin = name.strip_prefix("refs/parallel/").and_then(|rest| rest.split_once('/'));
            let explained = match pin {
                Some((id, rest)) => {
                    runs.iter().any(|(dir, spec)| spec["id"] == id && explains(dir, spec, rest))
                }
                None => ours.contains(name),
            };
            assert!(explained, "I6: nobody knows what {name} is for");
        }
    }

    #[track_caller]
    fn check_locks(&self) {
        walk(&self.common_dir(), &mut |path, _| {
            assert!(path.extension().is_none_or(|e| e != "lock"), "I6: {} is left", path.display());
            let name = path.file_name().expect("it has one").to_string_lossy().into_owned();
            assert!(name != "parallel-index" && name != "control", "I6: {} is left", path.display());
        });
    }

    /// Worktrees that git knows and directories that are there are the same, and nothing else is there.
    #[track_caller]
    fn check_worktrees(&self) {
        let dir = self.worktrees();
        let list = self.command(&self.repo, "git").args(["worktree", "list", "--porcelain", "-z"]).output();
        let list = list.expect("git runs").stdout;
        let mut known = BTreeSet::new();
        for line in list.split(|b| *b == 0) {
            if let Some(path) = line.strip_prefix(b"worktree ") {
                known.insert(PathBuf::from(std::ffi::OsStr::from_bytes(path)));
            }
            assert!(!line.starts_with(b"prunable"), "I6: {}", list.replace(b"\0", b"\n").as_bstr());
            assert!(!line.starts_with(b"locked initializing"), "I6: half a worktree");
        }
        for path in known.iter().filter(|path| path.starts_with(&dir)) {
            assert!(path.join(".git").is_file(), "I6: {} is no worktree", path.display());
        }
        let explained = |path: &Path| {
            known.iter().any(|w| path.starts_with(w) || (w.starts_with(path) && path.starts_with(&dir)))
        };
        if dir.exists() {
            assert!(explained(&dir), "I6: {} is left, and empty", dir.display());
        }
        walk(&dir, &mut |path, _| assert!(explained(path), "I6: {} is left", path.display()));
    }

    /// I8, I10: nobody holds the lock, and status, journal and refs tell the same.
    #[track_caller]
    pub fn check_status(&self) {
        let status = self.status();
        assert_eq!(status["supervisor"]["alive"], false, "I8: {status:#}");
        assert_ne!(status["run"]["state"], "running", "I10: {status:#}");
        let refs = self.refs();
        let tip = |branch: &str| refs.get(&format!("refs/heads/{branch}")).map(|tip| tip.trim().to_owned());
        let target = status["run"]["target"].as_str().and_then(&tip);
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for task in status["tasks"].as_array().expect("a list") {
            let state = task["state"].as_str().expect("a state");
            *counts.entry(state).or_default() += 1;
            assert_eq!(state == "landed", task["landed"].is_string(), "I10: {task:#}");
            assert_eq!(task["pid"], Value::Null, "I10: nothing runs; {task:#}");
            if let (Some(landed), Some(target)) = (task["landed"].as_str(), &target) {
                assert!(self.is_ancestor(landed, target), "I10: {landed} is not on the target");
            }
            let branch = task["branch"].as_str().and_then(&tip);
            let reached = |commit: &str| refs.values().any(|tip| self.is_ancestor(commit, tip.trim()));
            if let Some(tip) = task["tip"].as_str() {
                assert!(branch.as_deref() == Some(tip) || reached(tip), "I10: {tip} is nowhere; {task:#}");
            }
            let made_something = matches!(state, "finished" | "conflicted");
            assert!(!made_something || branch.is_some(), "I10: where is the branch? {task:#}");
            assert!(!task["attempt"].is_null() && !task["log"].is_null(), "I10: {task:#}");
        }
        for (state, count) in status["counts"].as_object().expect("an object") {
            let expected = counts.get(state.as_str()).copied().unwrap_or(0);
            assert_eq!(count.as_u64(), Some(expected), "I10: {state} in {status:#}");
        }
    }

    /// Every run that has a record, with what was asked.
    pub fn runs(&self) -> Vec<(PathBuf, Value)> {
        let dir = self.common_dir().join("parallel/runs");
        let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut runs: Vec<(PathBuf, Value)> = entries
            .filter_map(|path| {
                let text = fs::read(path.join("run.json")).ok()?;
                Some((path, serde_json::from_slice(&text).ok()?))
            })
            .collect();
        runs.sort_by(|a, b| a.0.cmp(&b.0));
        runs
    }
}

/// The events of a run's journal.
pub fn journal(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("journal.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Whether the rest of a pin's name is that of a task of the run and something that we keep.
fn explains(run: &Path, spec: &Value, rest: &str) -> bool {
    if let Some(task) = rest.strip_suffix("/candidate") {
        // What a check refused stays to be looked at.
        return journal(run).iter().any(|event| event["event"] == "rejected" && event["task"] == task);
    }
    let kinds = [
        "tip",
        "detached",
        "other-branch",
        "deleted",
        "overwritten",
        "leftovers",
        "attempt",
        "abandoned",
        "moved",
        "resolver",
    ];
    let tasks = spec["tasks"].as_array().expect("a list");
    rest.rsplit_once('/').is_some_and(|(task, what)| {
        // An older one that the newer does not hold has a number or its commit behind its name.
        let kind = kinds.iter().find_map(|kind| what.strip_prefix(kind));
        let is_known = kind.is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix('-').is_some_and(|r| r.bytes().all(|b| b.is_ascii_hexdigit()))
        });
        is_known && tasks.iter().any(|t| t["name"].as_str() == Some(task))
    })
}

#[track_caller]
fn assert_same(before: &BTreeMap<PathBuf, Entry>, now: &BTreeMap<PathBuf, Entry>) {
    for (path, entry) in before {
        assert_eq!(Some(entry), now.get(path), "I4: {} changed", path.display());
    }
    for path in now.keys() {
        assert!(before.contains_key(path), "I4: {} is new", path.display());
    }
}
