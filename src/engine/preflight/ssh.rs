//! The hosts that agents run on by ssh: what the configuration says of them, and whether they answer.

use std::ffi::OsString;

use super::Problem;
use super::runners::words;
use crate::engine::ssh::check as ask;
use crate::git::Config;
use crate::run::{Runner, RunnerKind, Ssh, SshHost, Text};

/// The runner's name.
pub(super) const NAME: &str = "ssh";

const HOSTS: &str = "parallel.ssh.hosts";

/// What the configuration says.
pub(super) fn kind(config: &Config) -> Result<RunnerKind, Problem> {
    let mut hosts: Vec<SshHost> = Vec::new();
    for text in config.all(HOSTS) {
        for word in words(HOSTS, &text)? {
            let host =
                host(&word.to_string()).map_err(|why| super::policy::bad(HOSTS, &word.to_string(), why))?;
            if hosts.iter().any(|other| other.name == host.name) {
                return Err(super::policy::bad(HOSTS, &word.to_string(), "the host is named twice"));
            }
            hosts.push(host);
        }
    }
    if hosts.is_empty() {
        let hint =
            format!("name them, with how many agents each takes: git config {HOSTS} 'build1=4 build2=8'");
        return Err(Problem::new(format!("runner 'ssh' has no hosts: '{HOSTS}' is not set"), hint));
    }
    let mut send_env = Vec::new();
    for text in config.all("parallel.ssh.sendEnv") {
        send_env.extend(words("parallel.ssh.sendEnv", &text)?.iter().map(Text::to_string));
    }
    let dir = config.string("parallel.ssh.dir").filter(|dir| !dir.as_bstr().is_empty());
    Ok(RunnerKind::Ssh(Ssh { hosts, dir, send_env, command: command(config), variant: variant(config) }))
}

/// `HOST` or `HOST=SLOTS`.
fn host(word: &str) -> Result<SshHost, &'static str> {
    let (name, slots) = match word.rsplit_once('=') {
        Some((name, slots)) => (name, slots.parse().ok().filter(|slots| *slots > 0)),
        None => (word, Some(1)),
    };
    let slots = slots.ok_or("after '=' stands how many agents it takes at once")?;
    let host = SshHost { name: name.to_owned(), slots };
    let (destination, port) = host.destination();
    if destination.is_empty()
        || destination.starts_with('-')
        || name.chars().any(|c| c.is_control() || c == ' ')
    {
        return Err("that is no host");
    }
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("that is no port");
    }
    let is_url = name.starts_with("ssh://");
    if !is_url && name.matches(':').count() == 1 {
        return Err("a port is told by ssh://HOST:PORT, and how many agents it takes by HOST=NUMBER");
    }
    Ok(host)
}

/// What git would run instead of `ssh`.
fn command(config: &Config) -> Option<Text> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let text = |value: OsString| Text::from(value.as_os_str());
    let quoted = |program: OsString| {
        let quoted = shlex::bytes::try_quote(program.as_encoded_bytes()).ok()?.into_owned();
        Some(Text::from(quoted.as_slice()))
    };
    let configured = || config.string("core.sshcommand").filter(|value| !value.as_bstr().is_empty());
    set("GIT_SSH_COMMAND").map(text).or_else(configured).or_else(|| set("GIT_SSH").and_then(quoted))
}

fn variant(config: &Config) -> Option<String> {
    let set = std::env::var("GIT_SSH_VARIANT").ok().filter(|value| !value.is_empty());
    set.or_else(|| config.string("ssh.variant").map(|value| value.to_string()))
}

/// Asks the hosts once: that some are away is told, that all are stops a run.
pub(super) fn check(runner: &Runner, notes: &mut Vec<String>, problems: &mut Vec<Problem>) {
    let Some(ssh) = runner.ssh() else { return };
    let bad = ask::check(runner, ssh);
    if bad.len() < ssh.hosts.len() {
        notes.extend(bad.into_iter().map(|(host, why)| format!("{host} can't be used now: {why}")));
        return;
    }
    let lines: Vec<String> = bad.iter().map(|(host, why)| format!("{host}: {why}")).collect();
    let what = format!("no host can be used: {}", lines.join("; "));
    let hint = match bad.first() {
        Some((host, _)) => format!("try: {} {host} git-parallel --version", "ssh"),
        None => format!("see {HOSTS}"),
    };
    problems.push(Problem::new(what, hint));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_with_their_slots_and_ports() {
        let parts = |word: &str| {
            let host = host(word).unwrap();
            let (destination, port) = host.destination();
            (destination.to_owned(), port.map(str::to_owned), host.slots)
        };
        assert_eq!(parts("build"), ("build".to_owned(), None, 1));
        assert_eq!(parts("ann@build=8"), ("ann@build".to_owned(), None, 8));
        let ported = ("ann@build".to_owned(), Some("22".to_owned()), 2);
        assert_eq!(parts("ssh://ann@build:22=2"), ported);
        assert_eq!(parts("ssh://[::1]:22"), ("::1".to_owned(), Some("22".to_owned()), 1));
        assert_eq!(parts("fe80::1=3"), ("fe80::1".to_owned(), None, 3));
        for bad in
            ["-oProxyCommand=x", "build:8", "build=0", "build=x", "", "=3", "ssh://b:99999", "ssh://-x"]
        {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
