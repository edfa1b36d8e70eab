//! The hosts of a run: who has room, and who is away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use crate::run::{Ssh, SshHost};

/// How many connect to a host at once.
const AT_ONCE: usize = 4;

/// The hosts of a runner.
#[derive(Debug)]
pub(in crate::engine) struct Hosts {
    all: Mutex<Vec<State>>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    host: SshHost,
    used: u32,
    /// It could not be reached when that was last tried.
    away: bool,
    /// Somebody looks whether it is back.
    probed: bool,
    /// Held by whoever sends a base there.
    pushing: Arc<tokio::sync::Mutex<()>>,
    /// Held by whoever connects.
    door: Arc<Semaphore>,
}

/// A place on a host; free again once this is dropped.
pub(super) struct Seat {
    hosts: Arc<Hosts>,
    at: usize,
    pub(super) host: SshHost,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hosts.all()[self.at].used -= 1;
        self.hosts.changed.notify_waiters();
    }
}

impl Hosts {
    pub(in crate::engine) fn new(ssh: &Ssh) -> Hosts {
        let state = |host: &SshHost| State {
            host: host.clone(),
            used: 0,
            away: false,
            probed: false,
            pushing: Arc::default(),
            door: Arc::new(Semaphore::new(AT_ONCE)),
        };
        Hosts { all: Mutex::new(ssh.hosts.iter().map(state).collect()), changed: Notify::new() }
    }

    fn all(&self) -> MutexGuard<'_, Vec<State>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sit(self: &Arc<Self>, all: &mut [State], at: usize) -> Seat {
        all[at].used += 1;
        Seat { hosts: self.clone(), at, host: all[at].host.clone() }
    }

    /// Waits for a place on a host that is none of these: on one that is there, unless all are away. `None` if there
    /// is no such host.
    pub(super) async fn take(self: &Arc<Self>, but: &[String]) -> Option<Seat> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut all = self.all();
                let may = |state: &&State| !but.contains(&state.host.name);
                if !all.iter().any(|state| may(&state)) {
                    return None;
                }
                let any_here = all.iter().filter(may).any(|state| !state.away);
                let free = |state: &State| state.used < state.host.slots && !(any_here && state.away);
                let share = |state: &State| f64::from(state.used) / f64::from(state.host.slots.max(1));
                let best = all
                    .iter()
                    .enumerate()
                    .filter(|(_, state)| may(state) && free(state))
                    .min_by(|(_, a), (_, b)| share(a).total_cmp(&share(b)))
                    .map(|(at, _)| at);
                if let Some(at) = best {
                    return Some(self.sit(&mut all, at));
                }
            }
            changed.await;
        }
    }

    /// A place on the host that has a job already, whether or not there is room.
    pub(super) fn take_on(self: &Arc<Self>, name: &str) -> Option<Seat> {
        let mut all = self.all();
        let at = all.iter().position(|state| state.host.name == name)?;
        Some(self.sit(&mut all, at))
    }

    /// Whether there is another host that could have a job, and is there.
    pub(super) fn has_other(&self, name: &str, but: &[String]) -> bool {
        let may = |state: &State| state.host.name != name && !but.contains(&state.host.name);
        self.all().iter().any(|state| may(state) && !state.away)
    }

    /// Whether it could not be reached when that was last tried.
    pub(super) fn is_away(&self, name: &str) -> bool {
        self.all().iter().any(|state| state.host.name == name && state.away)
    }

    /// A host could not be reached, or could. Gives true if it is to be looked after, by whoever is told so.
    pub(super) fn set_away(&self, name: &str, away: bool) -> bool {
        let mut all = self.all();
        let Some(state) = all.iter_mut().find(|state| state.host.name == name) else { return false };
        let news = state.away != away;
        state.away = away;
        let probe = away && !state.probed;
        state.probed = away;
        drop(all);
        if news {
            self.changed.notify_waiters();
        }
        probe
    }

    /// Held by whoever connects to the host.
    pub(super) fn door(&self, name: &str) -> Arc<Semaphore> {
        let all = self.all();
        let door = all.iter().find(|state| state.host.name == name).map(|state| state.door.clone());
        door.unwrap_or_else(|| Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// Held by whoever sends a base to the host.
    pub(super) fn pushing(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let all = self.all();
        all.iter()
            .find(|state| state.host.name == name)
            .map(|state| state.pushing.clone())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(slots: &[(&str, u32)]) -> Arc<Hosts> {
        let host = |(name, slots): &(&str, u32)| SshHost { name: (*name).to_owned(), slots: *slots };
        let ssh = Ssh {
            hosts: slots.iter().map(host).collect(),
            dir: None,
            send_env: vec![],
            command: None,
            variant: None,
        };
        Arc::new(Hosts::new(&ssh))
    }

    fn run<T>(it: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(it)
    }

    #[test]
    fn hosts_fill_by_their_share_and_nobody_gets_more_than_there_is() {
        run(async {
            let hosts = hosts(&[("a", 1), ("b", 3)]);
            let mut seats = Vec::new();
            for _ in 0..4 {
                seats.push(hosts.take(&[]).await.unwrap());
            }
            let names: Vec<&str> = seats.iter().map(|seat| seat.host.name.as_str()).collect();
            assert_eq!(names, ["a", "b", "b", "b"]);
            let fifth = hosts.take(&[]);
            tokio::pin!(fifth);
            assert!(futures_pending(&mut fifth).await);
            seats.remove(1);
            assert_eq!(fifth.await.unwrap().host.name, "b");
            assert!(hosts.take(&["a".to_owned(), "b".to_owned()]).await.is_none());
            assert_eq!(hosts.take_on("a").unwrap().host.name, "a", "it has the job already");
        });
    }

    #[test]
    fn who_is_away_is_asked_last() {
        run(async {
            let hosts = hosts(&[("a", 1), ("b", 1)]);
            assert!(hosts.set_away("a", true) && !hosts.set_away("a", true), "one looks after it");
            let seat = hosts.take(&[]).await.unwrap();
            assert_eq!(seat.host.name, "b");
            assert!(!hosts.has_other("b", &[]) && hosts.has_other("a", &[]));
            let next = hosts.take(&[]);
            tokio::pin!(next);
            assert!(futures_pending(&mut next).await, "b is there, and full");
            hosts.set_away("a", false);
            assert_eq!(next.await.unwrap().host.name, "a");
            hosts.set_away("a", true);
            hosts.set_away("b", true);
            assert_eq!(hosts.take(&["b".to_owned()]).await.unwrap().host.name, "a", "all are away");
        });
    }

    async fn futures_pending<T>(it: &mut std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        tokio::time::timeout(std::time::Duration::from_millis(1), it).await.is_err()
    }
}
