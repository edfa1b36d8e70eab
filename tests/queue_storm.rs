//! The merge queue in bad weather: agents of every kind and length, checks that depend on nothing but the
//! tree, a user who commits, amends and switches branches meanwhile, signals and sudden deaths at random.
//! Whatever happens: what is published has passed, and an atomic run lands as a whole or not at all.
//!
//! `STORM_SEED=N STORM_ROUNDS=1` makes one round again, as far as the machine's timing lets it.

#![allow(clippy::disallowed_methods)]

mod common;
#[path = "faults/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Running, Sandbox, Snapshot, journal};
use rustix::process::Signal;
use support::kill_tree;

/// Random numbers, the same ones for the same seed.
struct Dice(u64);

impl Dice {
    /// Splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let n = self.below(from.len() as u64);
        &from[usize::try_from(n).expect("it is small")]
    }
}

/// What a task does follows from its name: `good-…` makes a file, `bad-…` one that no check passes, `one-…`
/// and `two-…` each one that passes without the other, `same-…` collides, and so on.
const AGENT: &str = r#"
sleep "$(cat "$IO/length-$task")"
case $task in
same-*) echo "$task" >>shared.txt; commit ;;
many-*) echo 1 >"$task"; commit; echo 2 >>"$task"; commit ;;
left-*) echo "$task" >"$task" ;;
none-*) ;;
fail-*) echo "$task" >"$task"; commit; exit 1 ;;
*) echo "$task" >"$task"; commit ;;
esac
"#;

/// Depends on the tree alone, but for how long it takes; and leaves a mess behind.
const CHECK: &str = r#"
tree=$(git rev-parse 'HEAD^{tree}')
test -z "$(git status --porcelain)" || { echo "not clean: $(git status --porcelain)" >>"$IO/unclean"; }
echo "$tree" >>"$IO/seen"
case $(($$ % 5)) in
0) sleep 0.05 ;;
1) echo junk >junk; rm README.md; git add -A; git commit -qm mess ;;
2) sleep 0.15; mkdir -p x/y; git init -q x/y ;;
3) chmod 0 shared.txt; setsid sleep 60 & ;;
esac
for bad in $(git ls-tree --name-only "$tree"); do
    case $bad in
    bad-*) echo "$bad is bad"; exit 1 ;;
    one-*) ! git cat-file -e "$tree:two-${bad#one-}" 2>/dev/null || { echo "both"; exit 2; } ;;
    esac
done
echo "$tree" >>"$IO/passed"
"#;

const KINDS: [&str; 9] = ["good", "good", "bad", "one", "two", "same", "many", "left", "none"];

struct Storm {
    sandbox: Sandbox,
    before: Snapshot,
    dice: Dice,
    tasks: Vec<String>,
    atomic: bool,
    told: String,
}

impl Drop for Storm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.told, self.sandbox.root.display());
        }
    }
}

impl Storm {
    fn new(seed: u64) -> Storm {
        let mut dice = Dice(seed);
        let sandbox = Sandbox::new();
        sandbox.write("shared.txt", "base\n");
        sandbox.commit_all("Second");
        sandbox.git(&["branch", "elsewhere", "HEAD~1"]);
        sandbox.write("notes.txt", "the user's own\n");
        let atomic = dice.below(3) == 0;
        let count = 2 + dice.below(7);
        let kinds: &[&str] = if atomic && dice.below(2) == 0 { &["good", "many", "left"] } else { &KINDS };
        let tasks = (0..count).map(|n| format!("{}-{}", dice.pick(kinds), n / 2)).collect::<BTreeSet<_>>();
        let before = sandbox.snapshot();
        let tasks = tasks.into_iter().collect();
        Storm { sandbox, before, dice, tasks, atomic, told: format!("STORM_SEED={seed}") }
    }

    fn note(&mut self, what: &str) {
        self.told.push('\n');
        self.told.push_str(what);
    }

    fn start(&mut self) -> Running {
        let (sandbox, dice) = (&self.sandbox, &mut self.dice);
        let agent = sandbox.agent(AGENT);
        let check = sandbox.script(&sandbox.root.join("bin/check"), CHECK);
        for task in &self.tasks {
            let length = format!("0.{:02}", dice.below(60));
            std::fs::write(sandbox.io(&format!("length-{task}")), length).unwrap();
        }
        let mut args = vec!["-j".to_owned(), (1 + dice.below(6)).to_string()];
        args.extend(["--verify".to_owned(), check.to_str().unwrap().to_owned()]);
        args.extend(["--verify-jobs".to_owned(), (1 + dice.below(6)).to_string()]);
        args.extend([
            "--strategy".to_owned(),
            (*dice.pick(&["merge", "merge", "squash", "rebase"])).to_owned(),
        ]);
        if self.atomic {
            args.push("--atomic".to_owned());
            args.extend((dice.below(2) == 0).then(|| "--keep-going".to_owned()));
        }
        args.extend(self.tasks.iter().cloned());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let told = args.join(" ");
        let running = self.sandbox.spawn_run(&args, &agent);
        self.note(&told);
        running
    }

    /// What goes on beside a command of ours, until it ends or dies.
    fn weather(&mut self, mut running: Running) {
        let calm = self.dice.below(4) == 0;
        loop {
            std::thread::sleep(Duration::from_millis(5 + self.dice.below(80)));
            if running.has_ended() {
                break;
            }
            match self.dice.below(if calm { 8 } else { 24 }) {
                0..=2 => self.commit(),
                3 => self.amend(),
                4 => self.switch(),
                8 => {
                    self.note("kill");
                    running.signal(Signal::KILL);
                    break;
                }
                9 => {
                    self.note("kill all");
                    return kill_tree(running);
                }
                10 => {
                    self.note("int");
                    running.signal(Signal::INT);
                }
                11 | 12 => {
                    let verb = *self.dice.pick(&["abort", "land"]);
                    let task = self.dice.pick(&self.tasks).clone();
                    let output = self.sandbox.parallel(&[verb, &task]);
                    self.note(&format!("{verb} {task}: {} {}", output.code, output.all()));
                }
                _ => {}
            }
        }
        let output = running.wait();
        self.note(&output.all());
        assert!(!output.all().contains("panicked") && !output.all().contains("this can't happen"));
    }

    /// The user's own work; git may refuse it where it is at work itself.
    fn commit(&mut self) {
        if self.sandbox.git(&["symbolic-ref", "--short", "HEAD"]) != "main" {
            return;
        }
        let name = format!("user-{}", self.dice.next());
        self.sandbox.write(&name, "of the user's");
        for _ in 0..50 {
            let added = self.sandbox.run_in(&self.sandbox.repo, "git", &["add", &name]).code == 0;
            let args = ["commit", "-q", "-m", "User", "--", &name];
            if added && self.sandbox.run_in(&self.sandbox.repo, "git", &args).code == 0 {
                self.note("commit");
                return;
            }
        }
        panic!("the user can't commit");
    }

    /// Only what has not been built upon.
    fn amend(&mut self) {
        let git = |args: &[&str]| self.sandbox.run_in(&self.sandbox.repo, "git", args);
        let old = self.sandbox.oid("main");
        if git(&["log", "-1", "--format=%s", &old]).stdout.trim() == "User" {
            let tree = format!("{old}^{{tree}}");
            let new = git(&["commit-tree", "-m", "Amended", "-p", &format!("{old}^"), &tree]).stdout;
            let done = git(&["update-ref", "-m", "amend", "refs/heads/main", new.trim(), &old]).code;
            self.note(&format!("amend {old}: {done}"));
        }
    }

    fn switch(&mut self) {
        let on = self.sandbox.git(&["symbolic-ref", "--short", "HEAD"]);
        let to = if on == "main" { "elsewhere" } else { "main" };
        let output = self.sandbox.run_in(&self.sandbox.repo, "git", &["checkout", "-q", to]);
        self.note(&format!("checkout {to}: {}", output.all()));
    }

    fn go_home(&self) {
        self.sandbox.git(&["checkout", "-q", "main"]);
    }

    fn is_interrupted(&self) -> bool {
        let status = self.sandbox.parallel(&["status", "--json"]);
        status.code == 0 && status.json()["run"]["state"] == "interrupted"
    }

    /// Ends what died, lands what can land, and looks at it all.
    fn settle(&mut self) {
        for _ in 0..20 {
            if !self.is_interrupted() {
                break;
            }
            let verb = *self.dice.pick(&["resume", "resume", "abort"]);
            self.note(verb);
            let running = self.sandbox.spawn(&[verb]);
            self.weather(running);
        }
        self.go_home();
        if self.is_interrupted() {
            let output = self.sandbox.parallel(&["resume"]);
            self.note(&output.all());
        }
        if self.sandbox.parallel(&["status", "--json"]).code != 0 {
            return;
        }
        self.look();
        for verb in ["land", "abort", "resume", "land"] {
            let output = self.sandbox.parallel(&[verb]);
            self.note(&format!("{verb}: {}{}", output.code, output.all()));
            assert!(matches!(output.code, 0 | 1 | 130), "{verb}: {}", output.all());
            self.look();
        }
        let status = self.sandbox.parallel(&["status"]);
        self.note(&status.all());
        let status = self.sandbox.status();
        let done = |task: &serde_json::Value| {
            matches!(
                task["state"].as_str(),
                Some(
                    "landed"
                        | "unchanged"
                        | "rejected"
                        | "conflicted"
                        | "aborted"
                        | "rolled-back"
                        | "held"
                        | "failed"
                )
            )
        };
        assert!(status["tasks"].as_array().unwrap().iter().all(done), "{status:#}");
    }

    fn look(&self) {
        let sandbox = &self.sandbox;
        self.clear_agents_locks();
        sandbox.check(&self.before);
        assert!(!sandbox.io("unclean").exists(), "{}", sandbox.read_io("unclean"));
        let passed = sandbox.read_io("passed");
        let passed: BTreeSet<&str> = passed.lines().collect();
        let (run, _) = sandbox.runs().pop().unwrap();
        let tree_of = |commit: &str| sandbox.oid(&format!("{commit}^{{tree}}"));
        for event in journal(&run).iter().filter(|event| event["event"] == "landed") {
            let commit = event["landing"]["commit"].as_str().unwrap();
            assert!(passed.contains(&*tree_of(commit)), "I3: {event}");
        }
        // What was published, by whatever it was published: the target's own memory.
        let moves = sandbox.git(&["reflog", "show", "--format=%H %gs", "main"]);
        let ours: Vec<&str> = moves.lines().filter(|line| line.contains(" parallel: land")).collect();
        for line in &ours {
            assert!(passed.contains(&*tree_of(&line[..40])), "I3: {line}");
        }
        assert!(!self.atomic || ours.len() <= 1, "I7: {moves}");
        let landed: Vec<bool> = self.tasks.iter().map(|task| self.is_landed(task)).collect();
        let good = landed.iter().filter(|landed| **landed).count();
        assert!(!self.atomic || good == 0 || ours.len() == 1, "I7: {moves}");
    }

    /// Whether the task's work is in the target, as its state says, and there once.
    fn is_landed(&self, task: &str) -> bool {
        let sandbox = &self.sandbox;
        let state = sandbox.state(task);
        let count = if task.starts_with("same-") {
            sandbox.show("main", "shared.txt").lines().filter(|line| *line == task).count()
        } else {
            usize::from(!sandbox.git(&["ls-tree", "main", task]).is_empty())
        };
        let landed = state == "landed";
        assert_eq!(count, usize::from(landed), "{task} is {state}");
        assert!(!landed || !task.starts_with("bad-"), "{task} is {state}");
        landed
    }

    /// A git of an agent's that was killed with it leaves its locks in the task's worktree and on its branch;
    /// `land` and `retry` take them away.
    fn clear_agents_locks(&self) {
        for task in &self.tasks {
            let common = self.sandbox.common_dir();
            let _ = std::fs::remove_file(common.join(format!("refs/heads/feature/{task}.lock")));
            let admin = common.join("worktrees").join(task);
            for entry in std::fs::read_dir(admin).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "lock") {
                    std::fs::remove_file(entry.path()).unwrap();
                }
            }
        }
    }
}

fn round(seed: u64) {
    let mut storm = Storm::new(seed);
    let running = storm.start();
    storm.weather(running);
    storm.settle();
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
#[ignore = "long"]
fn what_is_published_has_passed_in_any_weather() {
    let first = number("STORM_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 16);
    for seed in first..first + number("STORM_ROUNDS").unwrap_or(40) {
        round(seed);
    }
}
