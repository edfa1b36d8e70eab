//! Hosts: each connection is a socket that the test holds, too, so that it can be cut; behind it an sshd, whose sessions
//! have a home of their own and don't see the repository.

use std::fs;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::common::{self, PROGRAM, Running, Sandbox};

const SSHD: &str = "/usr/sbin/sshd";

/// A repository, and hosts `h1` and `h2` for its runs.
pub struct Shop {
    pub sandbox: Sandbox,
    pub hosts: Vec<Host>,
    dir: TempDir,
}

/// A host.
pub struct Host {
    /// Its user's home.
    pub home: PathBuf,
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Nobody gets through.
    away: AtomicBool,
    /// How many connections there were.
    count: AtomicUsize,
    over: AtomicBool,
    sockets: Mutex<Vec<TcpStream>>,
    sshds: Mutex<Vec<Child>>,
}

impl Host {
    /// Cuts all connections; new ones can be made.
    pub fn cut(&self) {
        for socket in self.state.sockets.lock().expect("no panic").drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Lets nobody through any more, or again.
    pub fn set_away(&self, away: bool) {
        self.state.away.store(away, Ordering::SeqCst);
        if away {
            self.cut();
        }
    }

    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.state.count.load(Ordering::SeqCst)
    }

    /// Where everything of ours is on it.
    pub fn cache(&self) -> PathBuf {
        self.home.join(".cache/git-parallel")
    }

    /// The jobs that it has.
    pub fn jobs(&self) -> Vec<PathBuf> {
        let below = |dir: PathBuf| -> Vec<PathBuf> {
            fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        below(self.cache()).into_iter().flat_map(|repository| below(repository.join("jobs"))).collect()
    }

    /// What is said to every shell before anything else.
    pub fn set_noise(&self, script: &str) {
        fs::write(self.home.join("noise"), script).expect("a file");
    }

    fn serve(listener: &TcpListener, config: &Path, state: &State) {
        while let Ok((socket, _)) = listener.accept() {
            if state.over.load(Ordering::SeqCst) {
                return;
            }
            state.count.fetch_add(1, Ordering::SeqCst);
            if state.away.load(Ordering::SeqCst) {
                continue;
            }
            let ours = socket.try_clone().expect("a descriptor");
            let out = socket.try_clone().expect("a descriptor");
            let mut sshd = Command::new(SSHD);
            sshd.arg("-i").arg("-f").arg(config).stderr(Stdio::null()).current_dir("/").env_clear();
            sshd.stdin(OwnedFd::from(socket)).stdout(OwnedFd::from(out));
            state.sockets.lock().expect("no panic").push(ours);
            state.sshds.lock().expect("no panic").push(sshd.spawn().expect("sshd can be started"));
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for host in &self.hosts {
            host.state.over.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect(("127.0.0.1", host.port));
            host.cut();
            for sshd in host.state.sshds.lock().expect("no panic").iter_mut() {
                let _ = sshd.wait();
            }
        }
    }
}

fn is_possible() -> bool {
    let missing =
        [SSHD, "/usr/bin/ssh-keygen", "/usr/bin/unshare"].iter().find(|file| !Path::new(file).exists());
    let may = || Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if let Some(file) = missing {
        eprintln!("skipped: no {file} (openssh-server, openssh-client, util-linux)");
        return false;
    }
    if !rustix::process::geteuid().is_root() || !may() {
        eprintln!("skipped: the repository can't be hidden from sshd (needs root)");
        return false;
    }
    // sshd wants it, and only its service makes it.
    let _ = fs::create_dir("/run/sshd");
    true
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

impl Shop {
    /// `None`, said aloud, where there can't be such hosts.
    pub fn open() -> Option<Shop> {
        is_possible().then(|| Shop::with(Sandbox::new()))
    }

    /// The same with a repository that is out of the ordinary.
    pub fn open_with(sandbox: impl FnOnce() -> Sandbox) -> Option<Shop> {
        is_possible().then(|| Shop::with(sandbox()))
    }

    fn with(mut sandbox: Sandbox) -> Shop {
        let dir = tempfile::Builder::new().prefix("gp-hosts-").tempdir().expect("a directory");
        let at = dir.path();
        for key in ["host", "user"] {
            let file = at.join(key);
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file);
            assert!(keygen.status().expect("ssh-keygen runs").success());
        }
        let hosts: Vec<Host> = ["h1", "h2"].iter().map(|name| host(&sandbox, at, name)).collect();
        let key = fs::read_to_string(at.join("host.pub")).expect("a key");
        let known: String = hosts.iter().map(|host| format!("[127.0.0.1]:{} {key}", host.port)).collect();
        fs::write(at.join("known"), known).expect("a file");
        let dir_name = at.display();
        let mut config = format!(
            "User root\nIdentityFile {dir_name}/user\nIdentitiesOnly yes\nUserKnownHostsFile {dir_name}/known\n\
             StrictHostKeyChecking yes\nHostName 127.0.0.1\n"
        );
        for (name, host) in ["h1", "h2"].iter().zip(&hosts) {
            config.push_str(&format!("Host {name}\n  Port {}\n", host.port));
        }
        fs::write(at.join("config"), config).expect("a file");
        sandbox.set_env("GIT_SSH_COMMAND", format!("ssh -F {dir_name}/config"));
        let set = |key: &str, value: &str| drop(sandbox.git(&["config", key, value]));
        set("parallel.runner", "ssh");
        set("parallel.ssh.hosts", "h1=2 h2=2");
        set("parallel.lostAfter", "60s");
        Shop { sandbox, hosts, dir }
    }

    /// Where what belongs to the hosts is.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn start(&self, options_and_tasks: &[&str], agent: &Path) -> Running {
        let mut command = self.sandbox.command(&self.sandbox.repo, PROGRAM);
        command.args(self.sandbox.run_args(options_and_tasks, agent));
        self.sandbox.start(command)
    }

    /// The host of a task, as status tells it.
    pub fn host_of(&self, task: &str) -> String {
        self.sandbox.task(task)["host"].as_str().unwrap_or("none").to_owned()
    }

    /// Every one of these tasks ran, and once.
    #[track_caller]
    pub fn expect_ran_once(&self, tasks: &[&str]) {
        let mut ran: Vec<String> = self.sandbox.read_io("ran").lines().map(str::to_owned).collect();
        ran.sort_unstable();
        let mut tasks = tasks.to_vec();
        tasks.sort_unstable();
        assert_eq!(ran, tasks);
    }

    /// Hosts have nothing but mirrors.
    #[track_caller]
    pub fn expect_only_mirrors(&self) {
        for host in &self.hosts {
            common::wait_until("jobs are gone", || host.jobs().is_empty());
            for repository in fs::read_dir(host.cache()).into_iter().flatten().flatten() {
                let names: Vec<_> = fs::read_dir(repository.path())
                    .expect("a directory")
                    .flatten()
                    .map(|e| e.file_name())
                    .collect();
                assert_eq!(names, ["mirror.git"]);
                let git_dir = repository.path().join("mirror.git");
                let refs = self.sandbox.git_in(&git_dir, &["for-each-ref", "--format=%(refname)"]);
                assert_eq!(refs, "refs/parallel/cached");
                assert_eq!(
                    fs::metadata(repository.path()).expect("it is there").permissions().mode() & 0o777,
                    0o700
                );
            }
        }
    }
}

fn host(sandbox: &Sandbox, at: &Path, name: &str) -> Host {
    let home = at.join(name);
    fs::create_dir(&home).expect("a directory");
    let enter = at.join(format!("enter-{name}"));
    let (repo, worktrees) = (sandbox.repo.display(), sandbox.worktrees().display().to_string());
    let program = Path::new(PROGRAM).parent().expect("a directory").display();
    let path = std::env::var("PATH").unwrap_or_default();
    let home_name = home.display();
    executable(
        &enter,
        &format!(
            r#"#!/bin/sh
export HOME='{home_name}' PATH='{program}:{path}' GIT_CONFIG_NOSYSTEM=1 TZ=UTC LC_ALL=C.UTF-8
cd
[ ! -e noise ] || . ./noise
exec unshare -m sh -c '
for hidden in "{repo}" "{worktrees}"; do
    [ ! -d "$hidden" ] || mount -t tmpfs none "$hidden" || exit 1
done
exec sh -c "$SSH_ORIGINAL_COMMAND"'
"#
        ),
    );
    let config = at.join(format!("sshd-{name}"));
    let dir = at.display();
    fs::write(
        &config,
        format!(
            "HostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\nUsePAM no\nStrictModes no\nPidFile none\n\
             PasswordAuthentication no\nPermitRootLogin yes\nForceCommand {}\nPrintMotd no\n",
            enter.display()
        ),
    )
    .expect("a file");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let state = Arc::new(State::default());
    let shared = state.clone();
    std::thread::spawn(move || Host::serve(&listener, &config, &shared));
    Host { home, port, state }
}
