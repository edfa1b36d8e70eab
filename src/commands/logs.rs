//! `git parallel logs`.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::place::{Place, known_task};
use super::ways::Answer;
use crate::cli::LogsArgs;
use crate::error::exit;
use crate::run::{RunId, TaskName, TaskState};
use crate::store::Loaded;
use crate::sys::Growth;
use crate::ui::Cleaner;

/// Shows an agent's output.
pub fn logs(args: &LogsArgs) -> Result<u8> {
    let place = Place::open()?;
    let loaded = place.load(args.run.as_deref())?;
    let tasks: Vec<TaskName> = match &args.task {
        Some(name) => vec![known_task(&loaded.run, name)?],
        None => loaded.run.tasks.iter().map(|t| t.name().clone()).collect(),
    };
    let mut out = if args.follow { Answer::unpaged() } else { Answer::new(&place.config) };
    for (i, task) in tasks.iter().enumerate() {
        if tasks.len() > 1 {
            let gap = if i == 0 { "" } else { "\n" };
            out.print(format!("{gap}==> {task} <==\n").as_bytes())?;
        }
        let printer = Printer { cleaner: (!args.raw).then(Cleaner::default), out: &mut out };
        if !show(&place, &loaded, task, args.follow, printer)? {
            break;
        }
    }
    out.finish()?;
    Ok(exit::OK)
}

/// Prints one log, to its end or to the agent's; `false` once nobody reads any more.
fn show(
    place: &Place,
    loaded: &Loaded,
    task: &TaskName,
    follow: bool,
    mut printer: Printer<'_>,
) -> Result<bool> {
    let path = log_of(loaded, task);
    let mut log = None;
    loop {
        // Both are looked at before reading: what is written until then is read.
        let growth = follow.then(|| watch(&path, loaded));
        let over = !follow || has_ended(place, &loaded.run.spec.id, task)?;
        if log.is_none() {
            log = open(&path)?;
        }
        if let Some(log) = &mut log
            && !printer.copy(log)?
        {
            return Ok(false);
        }
        if over {
            return printer.finish();
        }
        match growth {
            Some(Ok(growth)) => drop(growth.wait(Duration::from_secs(1))),
            _ => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// The agent's log; that of its setup where it came no further.
fn log_of(loaded: &Loaded, name: &TaskName) -> PathBuf {
    let task = loaded.run.task(name);
    let stuck = task.is_some_and(|task| task.unprepared && task.setup_due && task.attempt == 0);
    if stuck { loaded.dir.setup(name).join("output.log") } else { loaded.dir.log(name) }
}

fn watch(log: &Path, loaded: &Loaded) -> std::io::Result<Growth> {
    Growth::watch(log).or_else(|_| Growth::watch(&loaded.dir.journal()))
}

fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Whether the agent will write no more.
fn has_ended(place: &Place, id: &RunId, task: &TaskName) -> Result<bool> {
    let supervised = place.supervisor(id)?.is_some();
    let loaded = crate::store::load(&place.layout, id)?;
    let state = loaded.run.task(task).map(|t| t.state);
    let to_come = matches!(state, Some(TaskState::Queued | TaskState::Preparing | TaskState::Running));
    let dir = loaded.dir.task(task);
    // The lock of one that runs on another machine does not reach here, but its beats do.
    let far = loaded.run.task(task).filter(|task| task.job.is_some());
    let alive = match far {
        Some(task) => crate::shim::seems_alive(&dir, task.attempt),
        None => crate::shim::is_alive(&dir).unwrap_or(false),
    };
    Ok(!(alive || supervised && to_come))
}

struct Printer<'a> {
    /// `None`: the bytes as they are.
    cleaner: Option<Cleaner>,
    out: &'a mut Answer,
}

impl Printer<'_> {
    /// Copies what is there; `false` once nobody reads any more.
    fn copy(&mut self, log: &mut File) -> Result<bool> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = log.read(&mut buffer).context("cannot read the log")?;
            if length == 0 {
                return Ok(true);
            }
            let written = match &mut self.cleaner {
                Some(cleaner) => self.out.print(cleaner.clean(&buffer[..length]).as_bytes())?,
                None => self.out.print(&buffer[..length])?,
            };
            if !written {
                return Ok(false);
            }
        }
    }

    fn finish(mut self) -> Result<bool> {
        match &mut self.cleaner {
            Some(cleaner) => self.out.print(cleaner.finish().as_bytes()),
            None => Ok(true),
        }
    }
}
