//! Watching the jobs of one runner: their files, a few times a second while something happens and each second while
//! nothing does; and the runner itself, about all jobs at once, more seldom, and only while there are some that have
//! not started or are silent. Whose heart beats needs no scheduler to tell that it lives.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::{Asked, Desk, JobState};
use crate::run::Runner;
use crate::shim::{self, Signs};

/// How often files are looked at.
const LOOK: Pause = Pause { least: Duration::from_millis(100), most: Duration::from_secs(1) };
/// How often the runner is asked, ...
const ASK: Pause = Pause { least: Duration::from_secs(2), most: Duration::from_secs(30) };
/// ... and if it does not answer.
const ASK_AGAIN: Pause = Pause { least: Duration::from_secs(2), most: Duration::from_secs(60) };

/// A pause that grows while nothing happens.
struct Pause {
    least: Duration,
    most: Duration,
}

impl Pause {
    fn next(&self, last: Duration, calm: bool) -> Duration {
        if calm { last.mul_f64(1.5).clamp(self.least, self.most) } else { self.least }
    }
}

/// All that is known of a job.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    /// What its files tell.
    pub(super) signs: Signs,
    /// When they last told something new.
    pub(super) moved_at: Instant,
    /// What the runner said last, and when it was asked. It may know nothing of the job.
    pub(super) answer: Option<(Instant, Option<JobState>)>,
    /// Why it did not answer, if it did not.
    pub(super) trouble: Option<String>,
}

struct Subject {
    asked: Asked,
    dir: PathBuf,
    attempt: u32,
    sight: watch::Sender<Sight>,
}

#[derive(Default)]
struct Subjects {
    all: HashMap<String, Subject>,
    /// The two loops are at work.
    looking: bool,
    asking: bool,
}

/// The watch over a runner's jobs.
pub(super) struct Watch {
    pub(super) desk: Desk,
    subjects: Mutex<Subjects>,
    /// Files are to be looked at now.
    look: Notify,
    /// The runner is to be asked now.
    ask: Notify,
}

/// A job that is watched as long as this lives.
pub(super) struct Followed {
    watch: Arc<Watch>,
    token: String,
    pub(super) sight: watch::Receiver<Sight>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.watch.subjects().all.remove(&self.token);
    }
}

impl Followed {
    /// The job has this id.
    pub(super) fn name(&self, id: &str) {
        if let Some(subject) = self.watch.subjects().all.get_mut(&self.token) {
            subject.asked.id = Some(id.to_owned());
        }
    }

    /// Something is about to happen with it, or the runner has to tell.
    pub(super) fn wake(&self) {
        self.watch.look.notify_one();
        self.watch.ask.notify_one();
    }
}

impl Watch {
    pub(super) fn new(runner: Runner) -> Watch {
        let (look, ask) = (Notify::new(), Notify::new());
        Watch { desk: Desk::new(runner), subjects: Mutex::default(), look, ask }
    }

    /// Watches a job whose record is in `dir`.
    pub(super) fn follow(self: &Arc<Self>, asked: Asked, dir: PathBuf, attempt: u32) -> Followed {
        let sight = Sight { signs: Signs::default(), moved_at: Instant::now(), answer: None, trouble: None };
        let (sender, sight) = watch::channel(sight);
        let token = asked.token.clone();
        let mut subjects = self.subjects();
        subjects.all.insert(token.clone(), Subject { asked, dir, attempt, sight: sender });
        if !std::mem::replace(&mut subjects.looking, true) {
            tokio::spawn(self.clone().look_on());
        }
        if !std::mem::replace(&mut subjects.asking, true) {
            tokio::spawn(self.clone().ask_on());
        }
        self.look.notify_one();
        Followed { watch: self.clone(), token, sight }
    }

    fn subjects(&self) -> std::sync::MutexGuard<'_, Subjects> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the files of all jobs, until there is none.
    async fn look_on(self: Arc<Self>) {
        let mut pause = LOOK.least;
        loop {
            let places: Vec<(String, PathBuf, u32)> = {
                let mut subjects = self.subjects();
                subjects.looking = !subjects.all.is_empty();
                if !subjects.looking {
                    return;
                }
                let place = |(token, subject): (&String, &Subject)| {
                    (token.clone(), subject.dir.clone(), subject.attempt)
                };
                subjects.all.iter().map(place).collect()
            };
            let read = move || {
                let signs =
                    places.into_iter().map(|(token, dir, attempt)| (token, shim::signs(&dir, attempt)));
                signs.collect::<Vec<_>>()
            };
            let mut calm = true;
            for (token, signs) in tokio::task::spawn_blocking(read).await.unwrap_or_default() {
                // What can't be read now may be later; that nothing can be is told by the silence.
                let Ok(signs) = signs else { continue };
                if let Some(subject) = self.subjects().all.get(&token) {
                    calm &= !subject.sight.send_if_modified(|sight| {
                        let moved = sight.signs != signs;
                        if moved {
                            sight.signs = signs;
                            sight.moved_at = Instant::now();
                        }
                        moved
                    });
                }
            }
            pause = LOOK.next(pause, calm);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.look.notified() => pause = LOOK.least,
            }
        }
    }

    /// Asks the runner about the jobs of which nothing is heard, until there is no job at all.
    async fn ask_on(self: Arc<Self>) {
        let mut pause = ASK.least;
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = self.ask.notified() => pause = ASK.least,
            }
            let jobs: Vec<Asked> = {
                let mut subjects = self.subjects();
                subjects.asking = !subjects.all.is_empty();
                if !subjects.asking {
                    return;
                }
                let silent = subjects.all.values().filter(|subject| self.is_silent(&subject.sight.borrow()));
                silent.map(|subject| subject.asked.clone()).collect()
            };
            if jobs.is_empty() {
                pause = ASK.least;
                continue;
            }
            let asked_at = Instant::now();
            let answer = self.desk.states(&jobs).await;
            let mut calm = true;
            for job in &jobs {
                let subjects = self.subjects();
                let Some(subject) = subjects.all.get(&job.token) else { continue };
                subject.sight.send_modify(|sight| match &answer {
                    Ok(states) => {
                        let state = states.get(&job.token).cloned();
                        calm &= sight.answer.as_ref().is_some_and(|(_, last)| *last == state);
                        sight.answer = Some((asked_at, state));
                        sight.trouble = None;
                    }
                    Err(why) => sight.trouble = Some(why.clone()),
                });
            }
            pause = match answer {
                Ok(_) => ASK.next(pause, calm),
                Err(_) => ASK_AGAIN.next(pause, true),
            };
        }
    }

    fn is_silent(&self, sight: &Sight) -> bool {
        sight.signs.exit.is_none()
            && (sight.signs.beat.is_none() || sight.moved_at.elapsed() > self.desk.beat() * 3)
    }
}
