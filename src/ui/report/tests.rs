use insta::assert_snapshot;

use super::super::fixture::{Story, at, conflict, log_of, look, spec};
use super::super::json;
use super::*;
use crate::run::{Event, Exit, How, RunSpec, Step, StopCause, Usage};

/// What came before is told anew to a timeline.
fn timeline(story: &Story) -> Timeline {
    let mut timeline = Timeline::default();
    story.records.iter().for_each(|(record, run)| timeline.observe(run, record));
    timeline
}

fn told<T>(story: &Story, alive: bool, tell: impl Fn(&Report) -> T) -> T {
    let timeline = timeline(story);
    let ends = |task: &TaskName| match task.0.as_str() {
        "docs" => Vec::new(),
        _ => b"building\r\x1b[32mbuilt\x1b[0m\n\nall | done <b>`now`</b>\n".to_vec(),
    };
    tell(&Report {
        run: &story.run,
        timeline: &timeline,
        supervisor: Supervisor { alive, pid: alive.then_some(4700) },
        now: at(story.clock + 10),
        logs: &log_of,
        ends: &ends,
    })
}

/// Two land, one of them at its second attempt and with a conflict that was settled; one collides.
fn story() -> Story {
    let mut story = Story::new(RunSpec { retries: 1, ..spec(&["auth", "docs", "billing"]) });
    let usage = Some(Usage { input_tokens: 1_200_000, output_tokens: 30_000, cost: Some(3_400_000) });
    let good = || Exit { code: Some(0), usage, ..Exit::default() };
    story.start(1, "auth", 4711).start(1, "docs", 4712).start(2, "billing", 4713);
    story.fail(20, "docs", Exit { code: Some(3), ..Exit::default() });
    story.prepare(22, "docs");
    let base = story.run.spec.base.clone();
    let docs = || "docs".into();
    story.event(
        23,
        Event::Prepared {
            task: docs(),
            base,
            branch_created: false,
            worktree_created: false,
            is_new: false,
            note: None,
        },
    );
    story.event(23, Event::Begun { task: docs(), step: Step::Start { attempt: 2 } });
    story.event(23, Event::AgentStarted { task: docs(), pid: 4714, host: None });
    story.exit(74, "docs", good()).collect(74, "docs", super::super::fixture::work(2)).land(
        76,
        "docs",
        How::FastForward,
    );
    story.exit(80, "auth", good()).collect(80, "auth", super::super::fixture::work(1));
    story.collide(81, "auth", vec![conflict("README.md", None)]);
    story.event(85, Event::LandRequested { task: "auth".into(), all: false });
    story.event(85, Event::Begun { task: "auth".into(), step: Step::Collect });
    story.collect(85, "auth", super::super::fixture::work(2)).land(86, "auth", How::Merge);
    story.finish(99, "billing", 3).collide(99, "billing", vec![conflict("src/db.rs", Some("auth"))]);
    story.end(99);
    story
}

#[test]
fn for_a_terminal() {
    assert_snapshot!(told(&story(), false, |report| report.text(&look())));
}

#[test]
fn for_a_document() {
    assert_snapshot!(told(&story(), false, |report| report.markdown(&look())));
}

#[test]
fn for_scripts() {
    assert_snapshot!(told(&story(), false, |report| format!("{:#}", report.json(&look()))));
}

#[test]
fn for_a_browser() {
    let page = told(&story(), false, |report| report.html(&look()));
    assert_eq!(elements(&page).iter().filter(|name| *name == "article").count(), 3);
    assert_snapshot!(page.replace(include_str!("style.css"), "STYLE").replace("><", ">\n<"));
}

/// What goes on, or was cut off, says so, and goes as far as is known.
#[test]
fn before_the_end() {
    let mut story = Story::new(spec(&["auth", "docs"]));
    story.start(1, "auth", 4711);
    story.event(5, Event::JobsReduced { jobs: 1, reason: "no room".to_owned() });
    let first = |alive| told(&story, alive, |report| report.text(&look()).lines().next().unwrap().to_owned());
    assert_eq!(first(true), "Run 20261120-103000-k3f9: running (pid 4700)");
    assert_eq!(first(false), "Run 20261120-103000-k3f9: interrupted: its supervisor died before the end");
    assert_eq!(told(&story, true, |report| report.elapsed().as_secs()), 15);
    assert_eq!(told(&story, false, |report| report.elapsed().as_secs()), 5);
    let page = told(&story, true, |report| report.html(&look()));
    assert!(page.contains("Running; this is how it stands") && page.contains("so far"), "{page}");
    let document = told(&story, false, |report| report.markdown(&look()));
    assert!(document.contains("To do: `git parallel resume   to go on"), "{document}");
    let state = told(&story, false, |report| report.json(&look())["run"]["state"].clone());
    assert_eq!(state, "interrupted");
}

/// Nothing that a name, a path, a reason or a log holds gets out of its place.
#[test]
fn hostile_texts_stay_text() {
    let evil = "</script><img src=x onerror=alert(1)>\u{202e}\"'&|`\x1b[31m\n# x";
    let mut spec = spec(&["a"]);
    spec.tasks[0].name = evil.into();
    spec.tasks[0].branch = Text::from([evil.as_bytes(), b"\xff"].concat().as_slice());
    spec.target = evil.into();
    spec.agent = vec![evil.into()];
    let mut story = Story::new(spec);
    story.start(1, evil, 7).finish(2, evil, 1).collide(3, evil, vec![conflict(evil, Some(evil))]);
    story.event(4, Event::LandRequested { task: evil.into(), all: false });
    story.event(4, Event::Held { task: evil.into(), reason: evil.to_owned(), tip: None }).end(5);
    let timeline = timeline(&story);
    let ends = |_: &TaskName| [evil.as_bytes(), b"\xff\0\x07</pre><script>"].concat();
    let report = Report {
        run: &story.run,
        timeline: &timeline,
        supervisor: Supervisor::default(),
        now: at(9),
        logs: &log_of,
        ends: &ends,
    };
    let page = report.html(&look());
    for name in elements(&page) {
        assert!(!["img", "script", "iframe", "link", "object"].contains(&name.as_str()), "{name}");
    }
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{page}");
    let document = report.markdown(&look());
    let (told, log) = document.split_once("```").unwrap();
    // In code it means itself.
    let is_code = |line: &str| line.starts_with("- Next: ``");
    assert!(told.lines().all(|line| is_code(line) || !line.contains("<img")), "{document}");
    assert!(log.contains("<img"), "{document}");
    for text in [&page, &document, &report.text(&look())] {
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(bad), "{text:?}");
    }
    assert_eq!(report.json(&look())["tasks"][0]["name"], evil);
}

/// The names of all elements, in a page in which each that is opened is closed again.
fn elements(page: &str) -> Vec<String> {
    let (start, end) = (page.find("<style>").unwrap(), page.find("</style>").unwrap());
    let page = page[..start].to_owned() + &page[end + "</style>".len()..];
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for tag in page.trim_start_matches("<!DOCTYPE html>").split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "{text}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name: String = tag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '/').collect();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name), "</{name}>"),
            None => {
                assert!(!name.is_empty(), "{tag}");
                all.push(name.clone());
                open.extend(Some(name).filter(|name| name != "meta"));
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

/// Runs of no length, of days, of a thousand tasks, and such as never began.
#[test]
fn at_any_size() {
    let mut instant = Story::new(spec(&["a"]));
    instant.start(0, "a", 1).finish(0, "a", 1).land(0, "a", How::Merge).end(0);
    assert!(told(&instant, false, |report| report.html(&look())).contains("100.000%"));
    assert_eq!(told(&instant, false, |report| report.speed_up()), None);

    let names: Vec<String> = (0..1000).map(|n| format!("task-{n}")).collect();
    let mut long = Story::new(spec(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    long.records.clear();
    long.start(10, "task-0", 1);
    long.event(
        259_200,
        Event::StopRequested { tasks: None, cause: StopCause::Abort, stop: crate::run::Stop::Term },
    );
    let page = told(&long, true, |report| report.html(&look()));
    assert_eq!(elements(&page).iter().filter(|name| *name == "article").count(), 1000);
    assert!(page.contains(">1d</text>") && page.contains("3d 00h"), "{}", &page[..3000]);

    let mut unborn = Story::new(spec(&["a"]));
    unborn.records.clear();
    unborn.run = Run::new(spec(&["a"]));
    let page = told(&unborn, false, |report| report.html(&look()) + &report.text(&look()));
    assert!(page.contains("it has not begun") && !page.contains("NaN"), "{page}");
}

#[test]
fn what_was_undone_did_not_succeed() {
    let mut story = Story::new(spec(&["auth", "docs"]));
    for name in ["auth", "docs"] {
        story.start(0, name, 1).finish(10, name, 1).land(10, name, How::Merge);
    }
    story.end(10);
    assert_eq!(told(&story, false, |report| report.success()), (2, 2));
    let revert = crate::run::Revert { task: "docs".into(), commit: super::super::fixture::oid(9) };
    story.event(500, Event::UndoMade { reverts: vec![revert.clone()] });
    story.event(501, Event::Undone { reverts: vec![revert] }).end(502);
    assert_eq!(told(&story, false, |report| report.success()), (1, 2));
    assert_eq!(told(&story, false, |report| report.elapsed().as_secs()), 12);
    let text = told(&story, false, |report| report.text(&look()));
    assert!(text.contains("undone by"), "{text}");
    assert_eq!(told(&story, false, |report| report.json(&look())["undone"].clone()), 1);
    let counts = told(&story, false, |report| report.json(&look())["counts"]["landed"].clone());
    assert_eq!(counts, json::counts(&story.run)["landed"]);
}
