//! `git parallel report`.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;

use super::place::Place;
use super::print;
use super::ways::{plain_settings, print_long};
use crate::cli::ReportArgs;
use crate::error::{Failure, exit};
use crate::run::{RunId, TaskName, Timeline};
use crate::store;
use crate::ui::Report;

/// How much of a log is looked at for its last lines.
const LOG_END: u64 = 16 << 10;

/// Tells all of a run.
pub fn report(args: &ReportArgs) -> Result<u8> {
    let place = Place::open()?;
    // The supervisor first: one that ends in between has written its last word by then.
    let id = args.run.clone().map(RunId).or_else(|| store::list(&place.layout).ok()?.pop());
    let supervisor = id.as_ref().map(|id| place.supervisor(id)).transpose()?.flatten();
    let mut timeline = Timeline::default();
    let id = id.as_ref().map(|id| id.0.as_str());
    let loaded = place.load_with(id, &mut |run, record| timeline.observe(run, record))?;
    let report = Report {
        run: &loaded.run,
        timeline: &timeline,
        supervisor: supervisor.unwrap_or_default(),
        now: Timestamp::now(),
        logs: &|task: &TaskName| loaded.dir.log(task).into(),
        // A log that can't be read is missing from the report; all else stands.
        ends: &|task: &TaskName| {
            crate::shim::end_of_output(&loaded.dir.task(task), LOG_END).unwrap_or_default()
        },
    };
    let look = plain_settings(&place.config)?.stdout;
    let long = |text: &str| print_long(&place.config, text.as_bytes());
    match &args.html {
        Some(file) if file == Path::new("-") => print(&report.html(&look))?,
        Some(file) => write(file, report.html(&look).as_bytes()).map_err(|e| cannot_write(file, &e))?,
        None if args.json => long(&format!("{:#}\n", report.json(&look)))?,
        None if args.markdown => long(&report.markdown(&look))?,
        None => long(&report.text(&look))?,
    }
    Ok(exit::OK)
}

fn cannot_write(file: &Path, error: &io::Error) -> anyhow::Error {
    let failure = Failure::new(exit::FAILURE, format!("cannot write {}: {error}", file.display()));
    failure.safe("What was there is as it was.").hint("name another file, or '-' to print the page").into()
}

/// Writes a file, whole or not at all. A symbolic link stays one: what it points to is written. What is no
/// file, such as a pipe, is written to as it is.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = match file.canonicalize() {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound && file.symlink_metadata().is_err() => file.to_owned(),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(io::Error::other("it is a symbolic link that points nowhere"));
        }
        Err(e) => return Err(e),
    };
    let found = file.metadata().ok();
    if found.as_ref().is_some_and(|found| found.is_dir()) {
        return Err(ErrorKind::IsADirectory.into());
    }
    if found.as_ref().is_some_and(|found| !found.is_file()) {
        return OpenOptions::new().write(true).open(&file)?.write_all(bytes);
    }
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any program would create it, or as it is.
    let mode = found.as_ref().map_or(0o666, |found| found.permissions().mode() & 0o777);
    let mut new = tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(dir)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(&file).map_err(|e| e.error)?;
    File::open(dir)?.sync_all()
}
