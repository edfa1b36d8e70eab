//! The course of a run as a drawing: one bar a task. Lengths are shares of the width, so that it fits any.

use std::time::Duration;

use maud::{Markup, html};

use super::super::look::Mark;
use super::super::words;
use super::{Entry, Report, unsigned};
use crate::run::{Phase, Span, TaskState};

/// Pixels from one bar to the next, and where in them the bar is.
const ROW: usize = 38;
const BAR: usize = 19;
const THICK: usize = 12;

/// The drawing. What it shows is told in words by each bar's label, and again with each task.
pub(super) fn chart(report: &Report, entries: &[Entry]) -> Markup {
    let scale = Scale::new(report);
    let height = entries.len() * ROW + 4;
    let label = format!("The course of {}", words::count_of(entries, "task"));
    html! {
        div.chart {
            svg.axis width="100%" height="20" aria-hidden="true" {
                @for (share, label) in scale.ticks() {
                    text x=(percent(share)) y="13" text-anchor=(anchor(share)) { (label) }
                }
            }
            svg width="100%" height=(height) role="list" aria-label=(label) {
                (patterns())
                @for (share, _) in scale.ticks() {
                    line.grid x1=(percent(share)) x2=(percent(share)) y1="0" y2=(height) {}
                }
                @for (share, words) in scale.gaps() {
                    line.gap x1=(percent(share)) x2=(percent(share)) y1="0" y2=(height) { title { (words) } }
                }
                @for (i, entry) in entries.iter().enumerate() { (row(report, &scale, i, entry)) }
            }
        }
        (legend(report))
    }
}

fn row(report: &Report, scale: &Scale, i: usize, entry: &Entry) -> Markup {
    let spans = report.timeline.tracks.get(i).map(|track| track.spans.as_slice()).unwrap_or_default();
    let times = entry.facts.iter().find(|fact| fact.label == "times").map(|fact| fact.text.as_str());
    let outcome =
        [entry.state, &entry.detail].iter().filter(|text| !text.is_empty()).copied().collect::<Vec<_>>();
    let label = format!("{}: {}; {}", entry.name, outcome.join(", "), times.unwrap_or("it has not begun"));
    let (y, end) = (i * ROW, spans.last().map(|span| scale.share(span.to.unwrap_or(report.until()))));
    let glyph = glyph(entry.mark);
    html! {
        g role="listitem" aria-label=(label) {
            a href=(format!("#task-{}", i + 1)) {
                title { (label) }
                text.name x="0" y=(y + 13) { (console::truncate_str(&entry.name, 26, "…")) }
            }
            text.outcome.(class(entry.mark)) x="100%" y=(y + 13) text-anchor="end" { (glyph) " " (entry.state) }
            rect.lane x="0" y=(y + BAR) width="100%" height=(THICK) rx="2" {}
            @for span in spans { (bar(report, scale, y, span)) }
            @if let Some(end) = end {
                rect.end.(class(entry.mark)) x=(percent(end)) y=(y + BAR - 2) width="2" height=(THICK + 4) {}
            }
        }
    }
}

fn bar(report: &Report, scale: &Scale, y: usize, span: &Span) -> Markup {
    let (from, to) = (scale.share(span.from), scale.share(span.to.unwrap_or(report.until())));
    let width = percent((to - from).max(0.0));
    let thick = match span.phase {
        Phase::Queued | Phase::Ready => 2,
        Phase::Preparing => THICK / 2,
        Phase::Running | Phase::Landing | Phase::Resolving => THICK,
    };
    // What took no time to speak of is still to be seen.
    let style = (thick > 2).then(|| format!("width:max(2px,{width})"));
    html! {
        rect.(kind(span)) x=(percent(from)) y=(y + BAR + (THICK - thick) / 2) width=(width) height=(thick) style=[style] {
            title { (bar_words(report, span)) }
        }
    }
}

/// `attempt 2: ran 3m 05s, failed`.
fn bar_words(report: &Report, span: &Span) -> String {
    let time = words::duration(words::between(span.from, span.to.unwrap_or(report.until())));
    let ended = span.ended.map(|state| format!(", then {}", words::state(state))).unwrap_or_default();
    let going = if span.to.is_none() { " so far" } else { "" };
    let attempt = if span.attempt > 1 { format!(" (attempt {})", span.attempt) } else { String::new() };
    format!("{}{attempt}: {time}{going}{ended}", phase(span.phase))
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "waited",
        Phase::Preparing => "prepared",
        Phase::Running => "ran",
        Phase::Ready => "ready to land",
        Phase::Landing => "landing",
        Phase::Resolving => "settling",
    }
}

fn is_bad(span: &Span) -> bool {
    let bad = |state| {
        use TaskState::{Aborted, Failed, RateLimited, TimedOut};
        matches!(state, Failed | RateLimited | TimedOut | Aborted)
    };
    span.phase == Phase::Running && span.ended.is_some_and(bad)
}

fn is_short_of_landing(state: TaskState) -> bool {
    matches!(state, TaskState::Conflicted | TaskState::Rejected | TaskState::Held | TaskState::RolledBack)
}

fn kind(span: &Span) -> &'static str {
    match span.phase {
        Phase::Queued => "queued",
        Phase::Preparing => "preparing",
        Phase::Running if is_bad(span) => "failing",
        Phase::Running => "running",
        Phase::Ready => "queued",
        Phase::Landing if span.ended.is_some_and(is_short_of_landing) => "stopped",
        Phase::Landing => "landing",
        Phase::Resolving => "resolving",
    }
}

/// The class of a mark, for its colour.
pub(super) fn class(mark: Mark) -> &'static str {
    match mark {
        Mark::Waiting => "waiting",
        Mark::Doing => "doing",
        Mark::Done => "done",
        Mark::Warning => "warning",
        Mark::Failed => "failed",
    }
}

pub(super) fn glyph(mark: Mark) -> &'static str {
    match mark {
        Mark::Waiting => "·",
        Mark::Doing => "●",
        Mark::Done => "✓",
        Mark::Warning => "!",
        Mark::Failed => "✗",
    }
}

/// Bars differ in thickness and hatching, too.
fn patterns() -> Markup {
    let hatch = |id: &str, path: &str, class: &str| {
        html! {
            pattern id=(id) width="6" height="6" patternUnits="userSpaceOnUse" {
                rect.(class) width="6" height="6" {}
                path.hatch d=(path) {}
            }
        }
    };
    html! {
        defs {
            (hatch("failing", "M0 6L6 0", "failing-back"))
            (hatch("stopped", "M0 6L6 0", "stopped-back"))
            (hatch("resolving", "M0 0L6 6", "resolving-back"))
        }
    }
}

/// What the bars mean, of those that there are.
fn legend(report: &Report) -> Markup {
    let spans = || report.timeline.tracks.iter().flat_map(|track| &track.spans);
    let kinds = [
        ("queued", "waited for its turn", 2),
        ("preparing", "prepared", THICK / 2),
        ("running", "ran", THICK),
        ("failing", "ran, and did not finish", THICK),
        ("landing", "landing: merge, check, publish", THICK),
        ("stopped", "the same, and did not land", THICK),
        ("resolving", "conflict being settled", THICK),
    ];
    html! {
        ul.legend {
            @for (name, words, thick) in kinds {
                @if spans().any(|span| kind(span) == name) {
                    li {
                        svg width="20" height=(THICK) aria-hidden="true" {
                            rect.(name) width="20" y=((THICK - thick) / 2) height=(thick) {}
                        }
                        " " (words)
                    }
                }
            }
        }
    }
}

/// From times to shares of the width.
struct Scale<'a> {
    report: &'a Report<'a>,
    whole: Duration,
}

impl<'a> Scale<'a> {
    fn new(report: &'a Report<'a>) -> Self {
        Scale { report, whole: report.elapsed().max(Duration::from_millis(1)) }
    }

    fn share(&self, at: jiff::Timestamp) -> f64 {
        let passed = unsigned(self.report.timeline.elapsed(at));
        (passed.as_secs_f64() / self.whole.as_secs_f64()).clamp(0.0, 1.0)
    }

    /// A few round times, from the start on.
    fn ticks(&self) -> Vec<(f64, String)> {
        let step = step(self.whole);
        let times = (0..=MOST_TICKS).map(|n| step * n).take_while(|time| *time <= self.whole);
        times.map(|time| (time.as_secs_f64() / self.whole.as_secs_f64(), tick(time))).collect()
    }

    /// Where the run was over for a while.
    fn gaps(&self) -> Vec<(f64, String)> {
        let pairs = self.report.timeline.sessions.windows(2).filter_map(|pair| Some((pair[0].1?, pair[1].0)));
        let told = |(end, start)| {
            let time = words::duration(words::between(end, start));
            (self.share(end), format!("the run had ended; taken up again {time} later"))
        };
        pairs.map(told).collect()
    }
}

const MOST_TICKS: u32 = 5;

/// The shortest round time of which few enough fit in.
fn step(whole: Duration) -> Duration {
    const ROUND: [u64; 30] = [
        1,
        2,
        5,
        10,
        20,
        50,
        100,
        200,
        500,
        1_000,
        2_000,
        5_000,
        10_000,
        15_000,
        30_000,
        60_000,
        120_000,
        300_000,
        600_000,
        900_000,
        1_800_000,
        3_600_000,
        7_200_000,
        10_800_000,
        21_600_000,
        43_200_000,
        86_400_000,
        172_800_000,
        604_800_000,
        2_419_200_000,
    ];
    let mut steps = ROUND.into_iter().map(Duration::from_millis);
    steps.find(|step| *step * MOST_TICKS >= whole).unwrap_or(whole / MOST_TICKS)
}

fn tick(time: Duration) -> String {
    const DAY: u64 = 86_400;
    match (time.as_secs() / DAY, time.as_secs() % DAY) {
        (0, 0) => format!("{}s", time.as_secs_f64()),
        (0, _) => words::limit(time),
        (days, 0) => format!("{days}d"),
        (days, rest) => format!("{days}d {}", words::limit(Duration::from_secs(rest))),
    }
}

fn percent(share: f64) -> String {
    format!("{:.3}%", share * 100.0)
}

/// Labels at the edges stay inside.
fn anchor(share: f64) -> &'static str {
    match share {
        ..0.03 => "start",
        0.03..0.95 => "middle",
        _ => "end",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_a_few_round_times() {
        let steps = |ms| tick(step(Duration::from_millis(ms)));
        let told = [1, 40, 999, 3_000, 99_000, 3_600_000, 5 * 3_600_000, 259_200_000, 40 * 86_400_000];
        let expected = ["0.001s", "0.01s", "0.2s", "1s", "30s", "15m", "1h", "1d", "28d"];
        assert_eq!(told.map(steps), expected);
    }
}
