//! The cluster, and a repository whose runs go there.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::common::{self, Running, Sandbox};

/// A cluster of this process. What stops it is the end of our standard input to it, whatever we die of.
pub struct Cluster {
    dir: PathBuf,
    _guard: std::process::ChildStdin,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm/cluster")
}

fn installed() -> Result<(), String> {
    for program in ["sbatch", "slurmctld", "slurmd", "munged"] {
        let found = |dir: &str| Path::new(dir).join(program).exists();
        if !["/usr/bin", "/usr/sbin", "/bin", "/sbin"].into_iter().any(found) {
            return Err(format!("{program} is not installed (Debian: slurm-wlm, munge)"));
        }
    }
    if !rustix::process::geteuid().is_root() {
        return Err("a cluster of one's own needs root".to_owned());
    }
    Ok(())
}

fn start() -> Option<Cluster> {
    if let Err(why) = installed() {
        eprintln!("skipped: {why}");
        return None;
    }
    let dir = tempfile::Builder::new().prefix("gp-slurm-").tempdir().expect("a directory").keep();
    let mut command = Command::new(script());
    command.arg(&dir).arg("guard").stdin(Stdio::piped()).stdout(Stdio::piped());
    // A Ctrl-C for the tests must not keep it from cleaning up.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut guard = command.spawn().expect("it can be started");
    let stdin = guard.stdin.take().expect("a pipe");
    let mut said = String::new();
    BufReader::new(guard.stdout.take().expect("a pipe")).read_line(&mut said).expect("it says something");
    assert_eq!(said, "up\n", "the cluster does not start; see {}", dir.display());
    std::thread::spawn(move || guard.wait());
    Some(Cluster { dir, _guard: stdin })
}

impl Cluster {
    /// The cluster that all tests share; `None`, said aloud, where there can't be one.
    pub fn shared() -> Option<&'static Cluster> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(start).as_ref()
    }

    /// A cluster for one test alone, whose controller it may kill.
    fn another() -> Option<&'static Cluster> {
        start().map(|cluster| &*Box::leak(Box::new(cluster)))
    }

    /// Starts or stops one of its daemons.
    #[track_caller]
    pub fn daemon(&self, what: &str, name: &str) {
        let done = Command::new(script()).arg(&self.dir).args([what, name]).status().expect("it runs");
        assert!(done.success());
    }

    pub fn conf(&self) -> PathBuf {
        self.dir.join("slurm.conf")
    }

    /// Waits until the controller has on disk what it knows now.
    pub fn await_saved(&self) {
        let now = std::time::SystemTime::now();
        let saved = self.dir.join("state/job_state");
        let is_new = || saved.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at > now);
        // It writes when something changes.
        self.scontrol(&["update", "partitionname=debug", "maxtime=infinite"]);
        let mut poked = 0;
        common::wait_until("the controller saves its state", || {
            poked += 1;
            if poked % 40 == 1 {
                let mut sbatch = Command::new("sbatch");
                sbatch.args(["--hold", "--output=/dev/null", "--job-name=poke", "--wrap=true"]);
                let _ = sbatch.env("SLURM_CONF", self.conf()).stdout(Stdio::null()).status();
                let mut scancel = Command::new("scancel");
                let _ = scancel.args(["--name=poke"]).env("SLURM_CONF", self.conf()).status();
            }
            is_new()
        });
    }

    #[track_caller]
    pub fn scontrol(&self, args: &[&str]) {
        let status = Command::new("scontrol").args(args).env("SLURM_CONF", self.conf()).status();
        assert!(status.expect("it runs").success(), "{args:?}");
    }
}

/// A repository whose runs go to the cluster, and what is looked at after each.
pub struct Shop {
    pub cluster: &'static Cluster,
    pub sandbox: Sandbox,
}

impl Shop {
    pub fn open() -> Option<Shop> {
        Cluster::shared().map(Shop::on)
    }

    /// On a cluster that no other test uses.
    pub fn alone() -> Option<Shop> {
        Cluster::another().map(Shop::on)
    }

    fn on(cluster: &'static Cluster) -> Shop {
        let mut sandbox = Sandbox::new();
        sandbox.set_env("SLURM_CONF", cluster.conf());
        sandbox.git(&["config", "parallel.runner", "slurm"]);
        sandbox.git(&["config", "parallel.lostAfter", "30s"]);
        Shop { cluster, sandbox }
    }

    /// Starts a run of `agent` in the background.
    pub fn start(&self, options_and_tasks: &[&str], agent: &Path) -> Running {
        let mut command = self.sandbox.command(&self.sandbox.repo, common::PROGRAM);
        command.args(self.sandbox.run_args(options_and_tasks, agent));
        self.sandbox.start(command)
    }

    /// Puts a script in front of one of Slurm's commands. In its body, `real "$@"` is that command.
    pub fn wrap(&self, command: &str, body: &str) {
        let found = ["/usr/bin", "/bin"].into_iter().map(|dir| Path::new(dir).join(command));
        let real = found.into_iter().find(|path| path.exists()).expect("it is installed");
        let body = format!("real() {{ '{}' \"$@\"; }}\n{body}", real.display());
        self.sandbox.script(&self.sandbox.root.join("wrapped").join(command), &body);
    }

    /// Has what is [wrapped](Self::wrap) found first.
    pub fn use_wrapped(&mut self) {
        let path = self.sandbox.env.iter().find(|(key, _)| key == "PATH").expect("it is set").1.clone();
        let wrapped = self.sandbox.root.join("wrapped");
        let all = std::iter::once(wrapped).chain(std::env::split_paths(&path));
        self.sandbox.set_env("PATH", std::env::join_paths(all).expect("no colon in it"));
    }

    /// Fails the test unless every task in `$IO/ran` is there once, and these are all.
    #[track_caller]
    pub fn expect_ran_once(&self, tasks: &[&str]) {
        let ran = self.sandbox.read_io("ran");
        let mut ran: Vec<&str> = ran.lines().collect();
        ran.sort_unstable();
        let mut expected = tasks.to_vec();
        expected.sort_unstable();
        assert_eq!(ran, expected);
    }

    /// The names of the jobs of the latest run, by the journal.
    pub fn tokens(&self) -> Vec<String> {
        let runs = std::fs::read_dir(self.sandbox.common_dir().join("parallel/runs")).into_iter().flatten();
        let Some(record) = runs.flatten().map(|entry| entry.path()).max() else { return Vec::new() };
        let journal = std::fs::read_to_string(record.join("journal.jsonl")).unwrap_or_default();
        let events = journal.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        events
            .filter(|event| event["event"] == "submitting")
            .map(|event| event["token"].as_str().expect("a token").to_owned())
            .collect()
    }

    /// What is in the queue of these jobs, one line `STATE` each.
    pub fn queue(&self, tokens: &[String]) -> Vec<String> {
        if tokens.is_empty() {
            return Vec::new();
        }
        let name = format!("--name={}", tokens.join(","));
        let args = ["--noheader", "--all", "--states=PENDING,RUNNING,COMPLETING", "--format=%T", &name];
        let said = self.sandbox.run_in(&self.sandbox.repo, "squeue", &args).expect(0);
        said.stdout.lines().map(str::to_owned).collect()
    }

    /// Waits until no job of the latest run is left in the queue.
    #[track_caller]
    pub fn await_empty_queue(&self) {
        let tokens = self.tokens();
        common::wait_until("its jobs are gone", || self.queue(&tokens).is_empty());
    }

    /// Kills a supervisor as a crash does, and waits until it is dead.
    pub fn kill(&self, supervisor: Running) {
        supervisor.signal(rustix::process::Signal::KILL);
        assert_eq!(supervisor.wait().code, 137);
    }
}
