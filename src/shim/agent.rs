//! Starting an agent, and saying in words why it can't be started.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::io::Errno;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use super::{MARK, ShimSpec, session};
use crate::sys::{self, words};

/// A running agent, or one that has exited and is not reaped yet.
pub struct Agent {
    child: Child,
    /// Its process id, session and process group.
    pub pid: u32,
}

impl Agent {
    /// Starts the agent; returns it and the reading end of its output, both streams in order.
    pub fn start(spec: &ShimSpec) -> Result<(Agent, Receiver), String> {
        let Some(program) = spec.argv.first() else { return Err("no command was given".to_owned()) };
        check_directory(spec.cwd.as_path())
            .map_err(|why| format!("cannot run '{program}' in '{}': {why}", spec.cwd))?;
        spawn(spec, program.as_os_str())
            .map_err(|error| format!("cannot run '{program}': {}", diagnose(spec, &error)))
    }

    /// Whether it has exited. It stays unreaped, so that its process group can't come to mean another.
    pub fn has_exited(&self) -> bool {
        sys::has_exited(self.pid).unwrap_or(false)
    }

    /// Reaps it, if it has exited.
    pub fn reap(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

#[allow(clippy::disallowed_methods)]
fn spawn(spec: &ShimSpec, program: &OsStr) -> io::Result<(Agent, Receiver)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(spec.argv[1..].iter().map(|arg| arg.as_os_str()))
        .current_dir(spec.cwd.as_path())
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        // What we inherited names the supervisor's directory, and programs trust it.
        .env("PWD", spec.cwd.as_os_str())
        .env_remove("OLDPWD");
    for name in &spec.scrub {
        command.env_remove(name);
    }
    for (name, value) in &spec.env {
        command.env(name, value.as_os_str());
    }
    command.env(MARK, spec.dir.as_os_str());
    let reader = Receiver::from_owned_fd(reader.into())?;
    // The command holds writing ends of the pipe: it must be gone for the pipe to end.
    let child = session::spawn(command)?;
    let pid = child.id().ok_or_else(|| io::Error::other("it was gone at once"))?;
    Ok((Agent { child, pid }, reader))
}

/// The directory must be one itself: a symbolic link could have been put there to lead elsewhere.
fn check_directory(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(meta) if meta.is_symlink() => Err("the directory was replaced by a symbolic link".to_owned()),
        Ok(_) => Err("it is not a directory".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err("the directory does not exist".to_owned())
        }
        Err(error) => Err(words(&error)),
    }
}

fn diagnose(spec: &ShimSpec, error: &io::Error) -> String {
    let program = spec.argv[0].as_os_str();
    let file = find(spec, program);
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => match &file {
            None if program.as_bytes().contains(&b'/') => words(error),
            None => "not found in PATH".to_owned(),
            Some(file) => match interpreter(file) {
                Some(interpreter) => format!("its interpreter '{}' does not exist", interpreter.display()),
                None => "its loader does not exist; is it built for another system?".to_owned(),
            },
        },
        Some(Errno::ACCESS) => match file.as_deref().map(|file| (file, fs::metadata(file))) {
            Some((_, Ok(meta))) if meta.is_dir() => "it is a directory".to_owned(),
            Some((_, Ok(meta))) if meta.permissions().mode() & 0o111 == 0 => {
                "it is not executable (chmod +x makes it so)".to_owned()
            }
            Some((file, Ok(_))) if interpreter(file).is_some_and(|i| !is_executable(&i)) => {
                "its interpreter is not executable".to_owned()
            }
            _ => words(error),
        },
        Some(Errno::TOOBIG) => "its arguments and environment are too long for the system".to_owned(),
        Some(Errno::NOEXEC) => "it is not a program for this system".to_owned(),
        Some(Errno::AGAIN) => "the limit on processes is reached".to_owned(),
        _ => words(error),
    }
}

/// The file that the system tried to run: the first of the name that it could see.
fn find(spec: &ShimSpec, program: &OsStr) -> Option<PathBuf> {
    let cwd = spec.cwd.as_path();
    if program.as_bytes().contains(&b'/') {
        return Some(cwd.join(program)).filter(|file| file.exists());
    }
    let set = spec.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, v)| v.as_os_str().to_owned());
    let path: OsString = set.or_else(|| std::env::var_os("PATH"))?;
    let files: Vec<PathBuf> =
        std::env::split_paths(&path).map(|dir| cwd.join(dir).join(program)).filter(|f| f.is_file()).collect();
    files.iter().find(|file| is_executable(file)).or(files.first()).cloned()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The interpreter that a script's first line names.
fn interpreter(file: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    fs::File::open(file).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let name = line.split(|byte| byte.is_ascii_whitespace()).find(|word| !word.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(name)))
}
