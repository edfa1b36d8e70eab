//! A directory to run the program in, with everything pinned that could differ from one user to another.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The root of the sources.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A temporary directory that is its own HOME.
pub struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    pub fn new() -> Sandbox {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        Sandbox { dir }
    }

    /// A path in it.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(relative)
    }

    /// What `PATH` is: our own program, and then the user's.
    pub fn search_path() -> String {
        let bin = Path::new(env!("CARGO_BIN_EXE_git-parallel")).parent().unwrap();
        format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
    }

    /// The environment, complete.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let home = self.path("home").to_str().unwrap().to_owned();
        let fixed = [
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Ann"),
            ("GIT_AUTHOR_EMAIL", "ann@example.org"),
            ("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z"),
            ("GIT_COMMITTER_NAME", "Ann"),
            ("GIT_COMMITTER_EMAIL", "ann@example.org"),
            ("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z"),
            ("TZ", "UTC"),
            ("LC_ALL", "C.UTF-8"),
            ("TERM", "dumb"),
            ("SHELL", "/bin/sh"),
        ];
        let mut environment: Vec<_> = fixed.map(|(name, value)| (name, value.to_owned())).to_vec();
        environment.push(("TMPDIR", self.path("").to_str().unwrap().to_owned()));
        environment.push(("XDG_CONFIG_HOME", format!("{home}/.config")));
        environment.push(("XDG_DATA_HOME", format!("{home}/.local/share")));
        environment.push(("HOME", home));
        environment.push(("PATH", Self::search_path()));
        environment
    }

    /// A program in the sandbox, to be given its arguments.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path("")).env_clear().envs(self.environment());
        command.stdin(std::process::Stdio::null());
        command
    }

    /// What our program prints, which must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.command(env!("CARGO_BIN_EXE_git-parallel")).args(args).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a line of shell, which must succeed.
    pub fn sh(&self, dir: &Path, line: &str) {
        let status = self.command("sh").args(["-ec", line]).current_dir(dir).status().unwrap();
        assert!(status.success(), "{line}");
    }

    /// Whether a program is installed. If not, it is said where `cargo test` does not hide it.
    pub fn has(&self, program: &str) -> bool {
        let found = which::which(program).is_ok();
        if !found {
            skip(program);
        }
        found
    }
}

/// Says that a test needs something that is not installed.
pub fn skip(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what} is not installed");
}
