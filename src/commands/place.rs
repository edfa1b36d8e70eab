//! What every command starts with: the repository, its configuration and its records.

use anyhow::{Context as _, Result};

use super::run::bad;
use crate::engine::{Context, Engine, Recycle, WantedOutput};
use crate::error::{Failure, exit};
use crate::git::{Config, Repository, SharedGuard};
use crate::run::{Event, Record, Run, RunId, TaskName};
use crate::store::{self, Holder, Journal, Layout, Loaded, Lock};
use crate::ui::{Format, Settings, Supervisor, Ui, Verbosity};

/// The repository we were called in.
pub struct Place {
    /// The repository.
    pub repo: Repository,
    /// The user's configuration.
    pub config: Config,
    /// Where our records are.
    pub layout: Layout,
}

/// Ignored files that a landed task's worktree may hold and yet be removed.
const DISPOSABLE: [&str; 6] = ["target/", "node_modules/", "__pycache__/", ".venv/", "dist/", "build/"];

impl Place {
    /// Finds it, as git would.
    pub fn open() -> Result<Place> {
        let cwd = std::env::current_dir().context("the current directory is gone")?;
        let repo = Repository::discover(&cwd)?;
        let config = Config::load(&repo).map_err(bad_config)?;
        let layout = Layout::new(&repo.common_dir);
        layout.check()?;
        Ok(Place { repo, config, layout })
    }

    /// The run of that id, or the latest.
    pub fn load(&self, id: Option<&str>) -> Result<Loaded> {
        self.load_with(id, &mut |_, _| {})
    }

    /// As [`Place::load`]; `seen` gets each record of the run's journal, and the run as it is after that.
    pub fn load_with(&self, id: Option<&str>, seen: &mut dyn FnMut(&Run, &Record)) -> Result<Loaded> {
        let ids = store::list(&self.layout)?;
        let id = match id {
            Some(id) => ids.iter().find(|known| known.0 == id).ok_or_else(|| no_such_run(id, &ids))?,
            None => ids.last().ok_or_else(no_run)?,
        };
        let loaded = store::load_with(&self.layout, id, seen)?;
        if loaded.tail.bad > 0 && self.supervisor(id)?.is_none() {
            let bytes = loaded.tail.bad;
            super::narrate(&format!(
                "warning: the journal of run {id} ends in {bytes} bytes that make no sense; they are ignored\n"
            ));
        }
        Ok(loaded)
    }

    /// The process that works on this run now, if one does.
    pub fn supervisor(&self, id: &RunId) -> Result<Option<Supervisor>> {
        let holder = Lock::holder(&self.layout.lock())?;
        Ok(match holder {
            Some(Some(holder)) if holder.run.as_ref() == Some(id) => {
                Some(Supervisor { alive: true, pid: Some(holder.pid) })
            }
            _ => None,
        })
    }

    /// Takes the lock, or says who has it.
    pub fn lock(&self, holder: &Holder) -> Result<Lock> {
        self.layout.create()?;
        match Lock::try_take(&self.layout.lock(), holder)? {
            Some(lock) => Ok(lock),
            None => Err(self.busy()),
        }
    }

    /// The error that tells who holds the repository, since when, and what to do.
    pub fn busy(&self) -> anyhow::Error {
        let holder = Lock::holder(&self.layout.lock()).ok().flatten().flatten();
        let message = match holder {
            Some(holder) => {
                let time =
                    holder.started_at.to_zoned(jiff::tz::TimeZone::system()).strftime("%F %T").to_string();
                let run = holder.run.map(|id| format!(" (run {id})")).unwrap_or_default();
                let Holder { command, pid, host, .. } = holder;
                format!("'git parallel {command}'{run} is going here since {time}, process {pid} on {host}")
            }
            None => "another git parallel is at work in this repository".to_owned(),
        };
        Failure::new(exit::BUSY, message)
            .safe("Nothing was created or changed.")
            .hint("see how far it is: git parallel status")
            .hint("to start when it is done: git parallel run --wait ...; to stop it: git parallel abort")
            .into()
    }

    /// Refuses a run whose supervisor died: what is half done must be settled first.
    pub fn refuse_interrupted(&self, run: &Run) -> Result<()> {
        if run.finished_at.is_some() {
            return Ok(());
        }
        let id = &run.spec.id;
        if run.undoing.is_some() {
            return Err(Failure::new(exit::REFUSED, format!("an undo of run {id} was interrupted"))
                .safe("All branches, worktrees and logs are kept.")
                .hint(format!(
                    "to go on with it: git parallel undo {id}; to leave it: git parallel resume {id}"
                ))
                .into());
        }
        Err(Failure::new(exit::REFUSED, format!("run {id} was interrupted"))
            .safe("All branches, worktrees and logs are kept.")
            .hint("see what is there: git parallel status")
            .hint("to go on with it: git parallel resume; to end it, keeping its work: git parallel abort")
            .into())
    }

    /// Ignored files that may go with a worktree.
    pub fn disposable(&self) -> Vec<String> {
        if self.config.string("parallel.disposable").is_none() {
            return DISPOSABLE.map(str::to_owned).to_vec();
        }
        let values = self.config.all("parallel.disposable");
        values
            .iter()
            .flat_map(|v| v.to_string().split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// What becomes of worktrees that are done with.
    ///
    /// # Errors
    /// If the configuration has something else there.
    pub fn recycle(&self) -> Result<Recycle> {
        let Some(value) = self.config.string("parallel.recycle") else { return Ok(Recycle::default()) };
        match (self.config.bool("parallel.recycle"), value.to_string().as_str()) {
            (Ok(Some(true)), _) => Ok(Recycle::On),
            (Ok(_), _) => Ok(Recycle::Off),
            (Err(_), "warm") => Ok(Recycle::Warm),
            (Err(_), other) => {
                Err(bad_config(bad("parallel.recycle", other, "it must be true, false or warm")))
            }
        }
    }

    /// Drives a run whose lock this process holds, from `first` to its end.
    pub fn drive(self, loaded: Loaded, settings: Settings, first: Vec<Event>) -> Result<Run> {
        let Loaded { run, dir, tail } = loaded;
        let journal = Journal::open(&dir.journal(), tail)
            .with_context(|| format!("cannot open {}", dir.journal().display()))?;
        let logs = dir.clone();
        let wanted = match (settings.format, settings.verbosity) {
            (Format::Live, _) => WantedOutput::LastLine,
            (_, Verbosity::Verbose) => WantedOutput::All,
            _ => WantedOutput::None,
        };
        let ui = Ui::new(settings, move |task: &TaskName| logs.log(task).into());
        let disposable = self.disposable();
        let recycle = self.recycle()?;
        let guard = SharedGuard::pin(&self.repo, &self.config);
        let context =
            Context::new(self.repo, run.spec.clone(), dir, disposable).guarded_by(guard).with_more_files();
        let context = context.recycling(recycle);
        Engine::new(context, run, journal, ui, wanted).drive(first)
    }
}

/// A configuration that can't be read stops everything, with exit code 3.
pub fn bad_config(error: anyhow::Error) -> anyhow::Error {
    Failure::new(exit::REFUSED, format!("{error:#}"))
        .safe("Nothing was created or changed.")
        .hint("see where it is set: git config --list --show-origin")
        .into()
}

fn no_run() -> anyhow::Error {
    Failure::new(exit::FAILURE, "no run in this repository has a record")
        .hint("start one: git parallel run TASK... -- AGENT")
        .into()
}

fn no_such_run(id: &str, ids: &[RunId]) -> anyhow::Error {
    let failure = Failure::new(exit::FAILURE, format!("there is no run '{}'", crate::ui::one_line(id)));
    failure
        .hint(nearest_run(id, ids).unwrap_or_else(|| "see which there are: git parallel list".to_owned()))
        .into()
}

/// The run that an id was probably meant to be, as a hint.
pub fn nearest_run(id: &str, ids: &[RunId]) -> Option<String> {
    // The four characters at the end are what tells runs of a day apart, and what people type.
    let near = |known: &&RunId| known.0.ends_with(id) || strsim::damerau_levenshtein(&known.0, id) <= 2;
    ids.iter().rev().find(near).filter(|_| id.len() > 2).map(|near| format!("did you mean '{near}'?"))
}

/// The names given on the command line as tasks of the run; an unknown one is refused with the nearest.
pub fn known_tasks(run: &Run, names: &[String]) -> Result<Vec<TaskName>> {
    names.iter().map(|name| known_task(run, name)).collect()
}

/// One name, as [`known_tasks`].
pub fn known_task(run: &Run, name: &str) -> Result<TaskName> {
    let wanted = TaskName::from(name);
    if run.task(&wanted).is_some() {
        return Ok(wanted);
    }
    let nearest = crate::plan::nearest(name, run.tasks.iter().map(|task| task.name().0.as_str()));
    let shown = crate::ui::one_line(name);
    let failure = Failure::new(exit::FAILURE, format!("run {} has no task '{shown}'", run.spec.id));
    Err(match nearest {
        Some(nearest) => failure.hint(format!("did you mean '{nearest}'?")),
        None => failure.hint("see which there are: git parallel status"),
    }
    .into())
}
