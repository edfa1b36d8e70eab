//! The report for a terminal.

use super::super::look::{Look, pad};
use super::super::{status, words};
use super::{Entry, Report};

/// The widest label, `attempts` or `outcomes`.
const LABELS: usize = 8;

pub(super) fn text(report: &Report, look: &Look) -> String {
    let mut text = status::header(report.run, report.supervisor, report.now, look);
    // The outcomes stand above.
    for fact in super::facts::of_run(report, look).iter().skip(1) {
        text.push_str(&format!("  {}  {}\n", look.dim(&pad(fact.label, LABELS)), fact.text));
    }
    text.push_str(&format!("\n{}\n", look.bold("Tasks")));
    let entries = report.entries(look);
    for entry in &entries {
        text.push_str(&task(entry, look));
    }
    let merges = report.merges();
    if !merges.is_empty() {
        let header = format!("On {}, in this order", words::name(&report.run.spec.target));
        text.push_str(&format!("\n{}\n", look.bold(&header)));
    }
    for merge in merges {
        let (at, commit) = (look.time(merge.at), merge.landing.commit.short());
        text.push_str(&format!("  {at}  {commit}  {}  {}\n", words::task(merge.task.name()), merge.words()));
    }
    text
}

fn task(entry: &Entry, look: &Look) -> String {
    let head = format!("{} {}", look.glyph(entry.mark), entry.state);
    let mut text = format!("  {}  {}\n", look.bold(&entry.name), look.paint(entry.mark, &head));
    for fact in &entry.facts {
        text.push_str(&format!("    {}  {}\n", look.dim(&pad(fact.label, LABELS)), fact.text));
    }
    // Of what went well the log is for who asks: 'git parallel logs'.
    for (what, lines) in entry.ends.iter().filter(|_| !entry.task.state.is_success()) {
        text.push_str(&format!("    {what}:\n"));
        for line in lines {
            text.push_str(&format!("    {}\n", look.dim(format!("| {line}").trim_end())));
        }
    }
    text
}
