//! The state machine: every state with every event, and random lives with deaths in between.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn oid(n: u8) -> Oid {
    format!("{n:02x}").repeat(20).as_str().try_into().unwrap()
}

fn spec(tasks: usize, jobs: u32, land: bool, keep: bool) -> RunSpec {
    let names: Vec<String> = (0..tasks).map(|i| format!("t{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    RunSpec { jobs, land, keep, ..fixture::spec(&names) }
}

fn record(event: Event) -> Record {
    Record { at: Timestamp::UNIX_EPOCH, event }
}

fn landing() -> Landing {
    Landing { onto: oid(0), tip: oid(1), commit: oid(2), how: How::Merge, settled: None }
}

/// One event of each kind, and one a step, about task `task`.
fn every_event(task: &TaskName) -> Vec<(&'static str, Event)> {
    let task = task.clone();
    let begun = |step| Event::Begun { task: task.clone(), step };
    let exited = |exit| Event::AgentExited { task: task.clone(), exit };
    let exit = Exit { code: Some(0), ..Exit::default() };
    vec![
        ("begun prepare", begun(Step::Prepare { slot: 0 })),
        ("begun start", begun(Step::Start { attempt: 1 })),
        ("begun collect", begun(Step::Collect)),
        ("begun merge", begun(Step::Merge)),
        ("begun publish", begun(Step::Publish)),
        ("begun clean-up", begun(Step::CleanUp)),
        (
            "prepared",
            Event::Prepared {
                task: task.clone(),
                base: oid(0),
                branch_created: true,
                worktree_created: true,
                note: None,
            },
        ),
        ("prepare-failed", Event::PrepareFailed { task: task.clone(), reason: "no room".into() }),
        ("agent-started", Event::AgentStarted { task: task.clone(), pid: 1 }),
        ("agent-deferred", Event::AgentDeferred { task: task.clone() }),
        ("stop-sent", Event::StopSent { task: task.clone(), stop: Stop::Term }),
        ("exited 0", exited(exit.clone())),
        ("exited 1", exited(Exit { code: Some(1), ..Exit::default() })),
        ("exited, timed out", exited(Exit { timed_out: true, ..exit.clone() })),
        ("exited, stopped", exited(Exit { stopped: true, ..exit })),
        ("collected", Event::Collected { task: task.clone(), work: Work::default(), note: None }),
        ("nothing-to-land", Event::NothingToLand { task: task.clone(), tip: Some(oid(0)) }),
        ("held", Event::Held { task: task.clone(), reason: "look".into(), tip: None }),
        (
            "candidate-made",
            Event::CandidateMade { task: task.clone(), landing: landing(), went_back_from: None },
        ),
        ("target-moved", Event::TargetMoved { task: task.clone(), tip: oid(3) }),
        ("landed", Event::Landed { task: task.clone(), landing: landing() }),
        ("conflicted", Event::Conflicted { task: task.clone(), onto: oid(0), conflicts: vec![], note: None }),
        ("retry-requested", Event::RetryRequested { task: task.clone(), fresh: true }),
        ("land-requested", Event::LandRequested { task: task.clone(), all: false }),
        (
            "cleaned-up",
            Event::CleanedUp {
                task: task.clone(),
                cleanup: CleanUp { worktree_kept: None, branch_kept: None },
            },
        ),
        (
            "stop-requested",
            Event::StopRequested { tasks: Some(vec![task]), cause: StopCause::Abort, stop: Stop::Term },
        ),
    ]
}

/// A run of one task in the given state, as it is while no worker is busy with it.
fn run_in(state: TaskState) -> Run {
    let mut run = Run::new(spec(1, 1, true, false));
    let task = &mut run.tasks[0];
    task.state = state;
    if !matches!(state, TaskState::Queued | TaskState::Skipped) {
        task.base = Some(oid(0));
        task.prepared = true;
        task.attempt = 1;
    }
    task.collected = state == TaskState::Integrating;
    run
}

#[test]
fn every_state_with_every_event() {
    let mut table = String::new();
    for state in TaskState::ALL {
        table.push_str(&format!("{state}\n"));
        for (label, event) in every_event(&"t0".into()) {
            let mut run = run_in(state);
            let before = run.clone();
            match run.apply(&record(event)) {
                Ok(()) => table.push_str(&format!("    {label} -> {}\n", run.tasks[0].state)),
                Err(illegal) => {
                    assert_eq!(run, before, "a refused event changes nothing: {state} {label}");
                    assert!(!illegal.to_string().is_empty());
                }
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn an_unknown_task_is_refused() {
    let mut run = run_in(TaskState::Queued);
    for (label, event) in every_event(&"stranger".into()) {
        assert!(run.apply(&record(event)).is_err(), "{label}");
    }
}

#[test]
fn a_worker_is_not_sent_twice() {
    for (label, event) in every_event(&"t0".into()).into_iter().filter(|(l, _)| l.starts_with("begun")) {
        for state in TaskState::ALL {
            let mut run = run_in(state);
            if run.apply(&record(event.clone())).is_ok() {
                let again = run.apply(&record(event.clone()));
                assert!(again.is_err(), "{label} twice in {state}");
            }
        }
    }
}

#[test]
fn exit_codes_follow_the_contract() {
    let code = |state| run_in(state).exit_code();
    for state in TaskState::ALL {
        let success = matches!(state, TaskState::Landed | TaskState::Unchanged | TaskState::Skipped);
        assert_eq!(code(state) == 0, success, "{state}");
    }
    let mut run = run_in(TaskState::Landed);
    for (cause, code) in [(StopCause::Interrupt, 130), (StopCause::Terminate, 143), (StopCause::HangUp, 129)]
    {
        run.stop = Some(cause);
        assert_eq!(run.exit_code(), code);
    }
}

#[test]
fn events_survive_the_journal() {
    for (label, event) in every_event(&"t0".into()) {
        let record = record(event);
        let line = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record, "{label}: {line}");
    }
}

/// A world that answers each action with some legal result, chosen by `choice`.
fn answers(run: &Run, task: &TaskName, step: &Step, choice: u8) -> Vec<Event> {
    let task = task.clone();
    let work = Work { tip: Some(oid(1)), commits: 1, ..Work::default() };
    let pick = |n: u8| choice % n;
    match step {
        Step::Prepare { .. } if pick(8) == 0 => vec![Event::PrepareFailed { task, reason: "full".into() }],
        Step::Prepare { .. } => {
            vec![Event::Prepared {
                task,
                base: oid(0),
                branch_created: true,
                worktree_created: true,
                note: None,
            }]
        }
        Step::Start { .. } => {
            let stopped = run.task(&task).is_some_and(|t| t.stop.is_some());
            let exit = Exit {
                code: Some(i32::from(pick(4) == 1)),
                timed_out: pick(4) == 2,
                stopped,
                ..Exit::default()
            };
            vec![Event::AgentStarted { task: task.clone(), pid: 7 }, Event::AgentExited { task, exit }]
        }
        Step::Collect if run.task(&task).unwrap().state == TaskState::Finished => match pick(5) {
            0 => vec![Event::NothingToLand { task, tip: None }],
            1 => vec![Event::Held { task, reason: "detached".into(), tip: None }],
            _ => vec![Event::Collected { task, work, note: None }],
        },
        Step::Collect => vec![Event::Collected { task, work, note: None }],
        Step::Merge => match pick(4) {
            0 => vec![Event::Conflicted { task, onto: oid(0), conflicts: vec![], note: None }],
            _ => vec![Event::CandidateMade { task, landing: landing(), went_back_from: None }],
        },
        Step::Publish => match pick(4) {
            0 => vec![Event::TargetMoved { task, tip: oid(4) }],
            1 => vec![Event::Held { task, reason: "a file is in the way".into(), tip: None }],
            _ => vec![Event::Landed { task, landing: landing() }],
        },
        Step::CleanUp => {
            let cleanup = CleanUp { worktree_kept: None, branch_kept: None };
            vec![Event::CleanedUp { task, cleanup }]
        }
    }
}

/// Lives a run through under random answers in random order; returns its journal.
fn live(mut run: Run, choices: &[u8], interrupt_at: Option<usize>) -> (Run, Vec<Record>) {
    let mut journal = Vec::new();
    let mut pending: Vec<(TaskName, Step)> = Vec::new();
    let mut choice = choices.iter().copied().cycle();
    let mut happen = |run: &mut Run, event: Event| {
        run.apply(&record(event.clone())).unwrap_or_else(|illegal| panic!("{illegal}"));
        journal.push(record(event));
    };
    happen(&mut run, Event::RunStarted { pid: 1 });
    for round in 0.. {
        assert!(round < 10_000, "the run never ends");
        if interrupt_at == Some(round) {
            let cause = StopCause::Interrupt;
            happen(&mut run, Event::StopRequested { tasks: None, cause, stop: Stop::Term });
        }
        let actions = decide(&run);
        for action in &actions {
            let intent = action.intent(&run);
            happen(&mut run, intent);
            if let Action::Step { task, step } = action {
                pending.push((task.clone(), step.clone()));
            }
        }
        assert!(decide(&run).is_empty(), "intents settle what was decided");
        check(&run);
        if run.finished_at.is_some() {
            break;
        }
        assert!(!pending.is_empty(), "stalled: {run:?}");
        let (task, step) = pending.swap_remove(choice.next().unwrap() as usize % pending.len());
        // A target that moves for ever would keep any landing from its end.
        let answer = if round < 500 { choice.next().unwrap() } else { 3 };
        for event in answers(&run, &task, &step, answer) {
            happen(&mut run, event);
        }
    }
    (run, journal)
}

fn check(run: &Run) {
    let slots: Vec<u32> = run.tasks.iter().filter(|t| t.state.holds_slot()).map(|t| t.slot).collect();
    assert!(slots.len() <= run.spec.jobs as usize, "more agents than jobs");
    let distinct: std::collections::HashSet<_> = slots.iter().collect();
    assert_eq!(distinct.len(), slots.len(), "a slot is held twice");
    assert!(slots.iter().all(|&slot| slot < run.spec.jobs));
    let integrating = run.tasks.iter().filter(|t| t.state == TaskState::Integrating).count();
    assert!(integrating <= 1, "landings are one at a time");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_life_ends_and_every_prefix_can_be_lived_on(
        tasks in 1..8usize,
        jobs in 1..5u32,
        land: bool,
        keep: bool,
        retries in 0..3u32,
        choices in prop::collection::vec(any::<u8>(), 1..200),
        interrupt_at in prop::option::of(0..30usize),
        cut in any::<prop::sample::Index>(),
    ) {
        let spec = RunSpec { retries, ..spec(tasks, jobs, land, keep) };
        let (ended, journal) = live(Run::new(spec.clone()), &choices, interrupt_at);
        prop_assert!(ended.tasks.iter().all(|t| ended.is_at_rest(t)));

        // Replayed, it is the same run.
        let mut replayed = Run::new(spec.clone());
        journal.iter().for_each(|r| replayed.apply(r).unwrap());
        prop_assert_eq!(&replayed, &ended);

        // Dead at any line, it can be taken up and comes to an end.
        let mut stump = Run::new(spec);
        journal[..cut.index(journal.len() + 1)].iter().for_each(|r| stump.apply(r).unwrap());
        let (ended, _) = live(stump, &choices, None);
        prop_assert!(ended.finished_at.is_some());
    }
}
