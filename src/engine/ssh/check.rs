//! Asking hosts, before a run starts, whether they can do anything.

use crate::run::{Runner, Ssh};

use super::link::{Heard, Link};

/// The oldest git that a host may have.
const OLDEST_GIT: (u32, u32, u32) = (2, 38, 0);

/// Asks all hosts at once; gives the names of those that can't be used, with why.
pub fn check(runner: &Runner, ssh: &Ssh) -> Vec<(String, String)> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return ssh.hosts.iter().map(|host| (host.name.clone(), e.to_string())).collect(),
    };
    let found = runtime.block_on(async {
        let mut asked = tokio::task::JoinSet::new();
        for host in ssh.hosts.clone() {
            let (runner, ssh) = (runner.clone(), ssh.clone());
            asked.spawn(async move {
                let why = match Link::open(&runner, &ssh, &host, &Heard::now()).await {
                    Ok((_, git)) if git >= OLDEST_GIT => None,
                    Ok((_, (major, minor, patch))) => {
                        let (x, y, z) = OLDEST_GIT;
                        Some(format!("git there is {major}.{minor}.{patch}, and {x}.{y}.{z} is needed"))
                    }
                    Err(trouble) => Some(trouble.words().to_owned()),
                };
                (host.name, why)
            });
        }
        asked.join_all().await
    });
    runtime.shutdown_background();
    let mut bad: Vec<(String, String)> =
        found.into_iter().filter_map(|(host, why)| Some((host, why?))).collect();
    let place = |name: &str| ssh.hosts.iter().position(|host| host.name == name);
    bad.sort_by_key(|(name, _)| place(name));
    bad
}
