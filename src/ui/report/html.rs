//! The report for a browser: one page, without scripts, that fetches nothing. Text is escaped by the template.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::look::{Look, Mark};
use super::super::words;
use super::chart::{chart, class, glyph};
use super::facts::{self, Fact};
use super::markdown::capital;
use super::{Entry, Merge, Report};
use crate::run::RunState;

/// Nothing is fetched, nothing is run, whatever a text may try.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("style.css");

pub(super) fn html(report: &Report, look: &Look) -> String {
    let title = format!("Run {}", report.run.spec.id);
    let entries = report.entries(look);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content="git parallel report";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (headline(report, look))
                main {
                    section aria-labelledby="course" { h2 #course { "Timeline" } (chart(report, &entries)) }
                    (conflicts(report))
                    section aria-labelledby="tasks" {
                        h2 #tasks { "Tasks" }
                        @for (i, entry) in entries.iter().enumerate() { (task(i, entry)) }
                    }
                    (merges(report, look))
                }
                footer { p { "Made by git parallel report, " (look.date(report.now)) " " (zone(report, look)) } }
            }
        }
    };
    page.into_string() + "\n"
}

fn headline(report: &Report, look: &Look) -> Markup {
    let (run, spec) = (report.run, &report.run.spec);
    let (state, next) = facts::state(report);
    let mark = match report.state() {
        RunState::Running => Mark::Doing,
        RunState::Interrupted => Mark::Failed,
        RunState::Finished if run.exit_code() == 0 => Mark::Done,
        RunState::Finished | RunState::Aborted => Mark::Warning,
    };
    let count = words::count_of(&run.tasks, "task");
    html! {
        header {
            h1 { "Run " code { (spec.id) } }
            p.state.(class(mark)) { (glyph(mark)) " " (capital(&state)) }
            @if let Some(next) = next { p { "To do: " code { (next) } } }
            p.muted {
                (count) " to land on " code { (words::name(&spec.target)) } ". Started "
                time datetime=(spec.started_at) { (look.date(spec.started_at)) }
                @if let Some(end) = run.finished_at { ", ended " time datetime=(end) { (look.date(end)) } }
                " " (zone(report, look)) "."
            }
            dl.facts {
                @for fact in facts::of_run(report, look) {
                    div { dt { (capital(fact.label)) } dd { (fact.text) } }
                }
            }
        }
    }
}

/// The name of the zone that times are told in.
fn zone(report: &Report, look: &Look) -> String {
    report.run.spec.started_at.to_zoned(look.time_zone.clone()).strftime("%Z").to_string()
}

/// Every conflict of the run, also those that were settled.
fn conflicts(report: &Report) -> Markup {
    let tracks = report.timeline.tracks.iter();
    let collided: Vec<_> =
        report.run.tasks.iter().zip(tracks).filter(|(_, track)| !track.conflicts.is_empty()).collect();
    html! {
        @if !collided.is_empty() {
            section aria-labelledby="conflicts" {
                h2 #conflicts { "Conflicts" }
                ul.plain {
                    @for (task, track) in collided {
                        li {
                            b { (words::task(task.name())) }
                            @if task.landed().is_some() { " (settled since)" }
                            ul {
                                @for conflict in &track.conflicts { li { (facts::collision(report.run, conflict)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn task(i: usize, entry: &Entry) -> Markup {
    html! {
        article id=(format!("task-{}", i + 1)) {
            h3 {
                span { (entry.name) } " "
                span.state.(class(entry.mark)) { (glyph(entry.mark)) " " (entry.state) }
            }
            dl {
                @for Fact { label, text, literal } in &entry.facts {
                    dt { (capital(label)) }
                    dd { @if *literal { code { (text) } } @else { (text) } }
                }
            }
            @for (what, lines) in &entry.ends {
                details {
                    summary { (what) }
                    pre { (lines.join("\n")) }
                }
            }
        }
    }
}

fn merges(report: &Report, look: &Look) -> Markup {
    let merges = report.merges();
    let one = |merge: &Merge| {
        html! {
            li {
                time datetime=(merge.at) { (look.time(merge.at)) } " "
                code { (merge.landing.commit.short()) } " "
                b { (words::task(merge.task.name())) } " "
                span.muted { (merge.words()) }
            }
        }
    };
    html! {
        @if !merges.is_empty() {
            section aria-labelledby="merges" {
                h2 #merges { "On " code { (words::name(&report.run.spec.target)) } ", in this order" }
                ol.plain { @for merge in &merges { (one(merge)) } }
            }
        }
    }
}
