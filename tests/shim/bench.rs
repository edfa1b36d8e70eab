//! A task's directories and a shim to work in them.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::run::{Exit, Text};
use crate::shim::{Progress, Shim, ShimSpec, exit_record};

/// Nothing that is waited for takes longer, on the slowest machine.
pub const LONG: Duration = Duration::from_secs(60);

pub struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("task")).unwrap();
        fs::create_dir(root.path().join("work")).unwrap();
        Bench { root }
    }

    /// The shim's directory.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("task")
    }

    /// The agent's directory.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir().join("output.log")).unwrap()).into_owned()
    }

    pub fn spec(&self, argv: &[&str]) -> ShimSpec {
        ShimSpec {
            dir: self.dir().into(),
            attempt: 1,
            argv: argv.iter().map(|&arg| Text::from(arg)).collect(),
            cwd: self.work().into(),
            env: Vec::new(),
            scrub: Vec::new(),
            timeout_ms: None,
            grace_ms: 60_000,
            log_cap: 1 << 20,
            open_files: None,
            far: None,
        }
    }

    pub fn sh(&self, script: &str) -> ShimSpec {
        self.spec(&["sh", "-c", script])
    }

    /// Runs to the end; what the record says is what the shim said.
    pub fn run(&self, spec: &ShimSpec) -> Exit {
        within(async {
            let mut shim = Shim::spawn(spec).unwrap();
            let exit = finish(&mut shim).await;
            assert_eq!(exit_record(&self.dir(), spec.attempt).unwrap(), Some(exit.clone()));
            assert!(!crate::shim::is_alive(&self.dir()).unwrap());
            assert!(!self.dir().join("control").exists());
            exit
        })
    }

    pub async fn run_inside(&self, script: &str) -> Exit {
        finish(&mut Shim::spawn(&self.sh(script)).unwrap()).await
    }

    /// Waits until the agent made a file in its directory.
    pub async fn made(&self, name: &str) -> String {
        let path = self.work().join(name);
        until(|| path.exists() && fs::metadata(&path).is_ok_and(|meta| meta.len() > 0)).await;
        fs::read_to_string(path).unwrap().trim().to_owned()
    }
}

pub fn within<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LONG, test).await.expect("takes too long") })
}

pub async fn until(done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < LONG, "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn started(shim: &mut Shim) -> u32 {
    loop {
        match shim.next().await {
            Progress::Started { pid } => return pid,
            Progress::Output { .. } => {}
            Progress::Exited(exit) => panic!("exited before it started: {exit:?}"),
        }
    }
}

pub async fn finish(shim: &mut Shim) -> Exit {
    loop {
        if let Progress::Exited(exit) = shim.next().await {
            return exit;
        }
    }
}

/// Whether a process lives; a zombie does not.
pub fn lives(pid: &str) -> bool {
    fs::read_to_string(Path::new("/proc").join(pid).join("stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

pub fn code(code: i32) -> Exit {
    Exit { code: Some(code), ..Exit::default() }
}
