//! The state machine: every state with every event, and random lives with deaths in between.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

#[path = "../../tests/common/schema.rs"]
mod schema;

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
        ("begun prepare", begun(Step::Prepare { slot: 0, base: None })),
        ("begun setup", begun(Step::Setup)),
        ("begun start", begun(Step::Start { attempt: 1 })),
        ("begun collect", begun(Step::Collect)),
        ("begun merge", begun(Step::Merge { onto: None })),
        ("begun verify", begun(Step::Verify { slot: 0 })),
        ("begun publish", begun(Step::Publish)),
        ("begun after-land", begun(Step::AfterLand)),
        ("begun clean-up", begun(Step::CleanUp)),
        (
            "prepared",
            Event::Prepared {
                task: task.clone(),
                base: oid(0),
                branch_created: true,
                worktree_created: true,
                is_new: true,
                note: None,
            },
        ),
        ("prepare-failed", Event::PrepareFailed { task: task.clone(), reason: "no room".into() }),
        ("set-up", Event::SetUp { task: task.clone() }),
        ("agent-started", Event::AgentStarted { task: task.clone(), pid: 1, host: None }),
        (
            "submitting",
            Event::Submitting { task: task.clone(), runner: "slurm".into(), token: "gp-1".into() },
        ),
        ("submitted", Event::Submitted { task: task.clone(), job: "7".into() }),
        ("job-waits", Event::JobWaits { task: task.clone(), reason: "Priority".into() }),
        ("agent-deferred", Event::AgentDeferred { task: task.clone() }),
        ("stop-sent", Event::StopSent { task: task.clone(), stop: Stop::Term }),
        ("exited 0", exited(exit.clone())),
        ("exited 1", exited(Exit { code: Some(1), ..Exit::default() })),
        (
            "exited, rate limited",
            exited(Exit { code: Some(1), limited: Some("429".into()), ..Exit::default() }),
        ),
        ("pause-over", Event::PauseOver { task: task.clone() }),
        ("withheld", Event::Withheld { task: task.clone() }),
        ("exited, timed out", exited(Exit { timed_out: true, ..exit.clone() })),
        ("exited, stopped", exited(Exit { stopped: true, ..exit })),
        ("collected", Event::Collected { task: task.clone(), work: Work::default(), note: None }),
        ("nothing-to-land", Event::NothingToLand { task: task.clone(), tip: Some(oid(0)) }),
        ("held", Event::Held { task: task.clone(), reason: "look".into(), tip: None }),
        (
            "candidate-made",
            Event::CandidateMade { task: task.clone(), landing: landing(), went_back_from: None },
        ),
        ("target-moved", Event::TargetMoved { task: task.clone(), tip: oid(3), went_back_from: None }),
        ("landed", Event::Landed { task: task.clone(), landing: landing() }),
        ("hook-ran", Event::HookRan { task: task.clone(), failure: Some("exit 1".into()) }),
        ("conflicted", Event::Conflicted { task: task.clone(), onto: oid(0), conflicts: vec![], note: None }),
        ("verified", Event::Verified { task: task.clone(), commit: oid(2), tries: 1 }),
        (
            "rejected",
            Event::Rejected {
                task: task.clone(),
                commit: oid(2),
                reason: "exit 1".into(),
                log: "/log".into(),
                said: "no".into(),
            },
        ),
        ("begun resolve", begun(Step::Resolve { attempt: 1 })),
        ("resolved", Event::Resolved { task: task.clone(), landing: landing(), beside: vec![] }),
        ("unresolved", Event::Unresolved { task: task.clone(), reason: "markers".into() }),
        ("put-off", Event::PutOff { task: task.clone() }),
        ("concluded", Event::Concluded { task: task.clone() }),
        ("called-off", Event::CalledOff { task: task.clone() }),
        ("rolled-back", Event::RolledBack { task: task.clone() }),
        ("blocked", Event::Blocked { task: task.clone(), by: "t1".into() }),
        ("taken-up", Event::TakenUp { task: task.clone() }),
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
        task.setup_due = true;
        task.attempt = 1;
    }
    task.collected = state == TaskState::Integrating;
    run.spec.on_conflict = Some(Resolver::Command("r".into()));
    task.collided_on = Some(oid(0));
    if state == TaskState::Integrating {
        task.landing = Some(landing());
        task.ahead = None;
    }
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

/// Of `run --json`, for other programs.
#[test]
fn every_event_is_as_the_schema_says() {
    let schema = serde_json::from_str(include_str!("../../examples/event.schema.json")).unwrap();
    for (label, event) in every_event(&"t0".into()) {
        let line = serde_json::to_value(record(event)).unwrap();
        assert_eq!(schema::problems(&schema, &line), [""; 0], "{label}");
    }
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

/// What a run acts on: a target, candidates, and which of them were checked.
struct World {
    tip: Oid,
    made: u16,
    below: HashMap<Oid, Oid>,
    checked: HashSet<Oid>,
    /// Whether candidates are checked at all.
    checks: bool,
}

impl World {
    fn new(spec: &RunSpec) -> World {
        World {
            tip: spec.base.clone(),
            made: 0,
            below: HashMap::new(),
            checked: HashSet::new(),
            checks: spec.verify.is_some(),
        }
    }

    fn new_commit(&mut self) -> Oid {
        self.made += 1;
        format!("{:040x}", 0xc0000 + u32::from(self.made)).as_str().try_into().unwrap()
    }

    /// Moves the target, which must be at `onto`; what it gets was checked where it stands (I2, I3).
    fn publish(&mut self, onto: &Oid, commit: &Oid) {
        assert_eq!(self.tip, *onto);
        let mut at = commit;
        while at != onto {
            at = &self.below[at];
        }
        assert!(!self.checks || self.checked.contains(commit), "published without a check");
        self.tip = commit.clone();
    }

    /// Moves the target to the last of what is being published, or to as many of them as it comes to.
    fn publish_chain(&mut self, run: &Run, choice: u8) -> Vec<Event> {
        let chain: Vec<Task> =
            run.queue().into_iter().filter(|t| run.spec.atomic || t.publishing).cloned().collect();
        let landing = |task: &Task| task.landing.clone().unwrap();
        for pair in chain.windows(2) {
            assert_eq!(landing(&pair[1]).onto, landing(&pair[0]).commit, "each stands on the one before");
        }
        let onto = landing(&chain[0]).onto;
        if choice.is_multiple_of(8) {
            self.tip = self.new_commit();
        }
        let lands = match choice % 8 {
            _ if self.tip != onto => 0,
            1 if run.spec.atomic => 0,
            1 => usize::from(choice / 8) % chain.len(),
            _ => chain.len(),
        };
        if let Some(last) = chain[..lands].last() {
            self.publish(&onto, &landing(last).commit);
        }
        let held = |task: TaskName| Event::Held { task, reason: "in the way".into(), tip: None };
        let moved = |task| Event::TargetMoved { task, tip: self.tip.clone(), went_back_from: None };
        let went_away = self.tip != onto && lands == 0;
        let event = |(i, task): (usize, &Task)| match task.name().clone() {
            name if i < lands => Event::Landed { task: name, landing: landing(task) },
            name if went_away && (i == 0 || run.spec.atomic) => moved(name),
            name if i == lands || run.spec.atomic => held(name),
            name => Event::PutOff { task: name },
        };
        let events = chain.iter().enumerate().map(event);
        // In an atomic run the last speaks for all of them.
        events.skip(if run.spec.atomic { chain.len() - 1 } else { 0 }).collect()
    }

    /// Answers an action with some legal result, chosen by `choice`.
    fn answers(&mut self, run: &Run, task: &TaskName, step: &Step, choice: u8) -> Vec<Event> {
        let known = run.task(task).unwrap();
        if matches!(step, Step::Prepare { .. }) && run.spec.hooks.before_group.is_some() && known.attempt == 0
        {
            assert!(known.spec.stage <= run.opened, "started before its stage was opened: {task}");
        }
        if matches!(step, Step::Prepare { .. }) && !run.spec.atomic {
            let open = run.predecessors(known).find(|before| !before.state.is_success());
            assert_eq!(open.map(Task::name), None, "started too early: {task}");
        }
        let task = task.clone();
        let work = Work { tip: Some(oid(1)), commits: 1, ..Work::default() };
        let pick = |n: u8| choice % n;
        let held = |why: &str| Event::Held { task: task.clone(), reason: why.into(), tip: None };
        let one = match step {
            Step::Prepare { .. } if pick(8) == 0 => Event::PrepareFailed { task, reason: "full".into() },
            Step::Prepare { .. } => Event::Prepared {
                task,
                base: oid(0),
                branch_created: true,
                worktree_created: true,
                is_new: true,
                note: None,
            },
            Step::Setup if known.stop_sent.is_some() || pick(4) == 0 => {
                Event::PrepareFailed { task, reason: "setup failed".into() }
            }
            Step::Setup => Event::SetUp { task },
            Step::Start { .. } => {
                assert!(run.spec.hooks.setup.is_none() || !known.setup_due, "started without its setup");
                let usage = Usage { cost: Some(10 * u64::from(pick(3))), ..Usage::default() };
                let exit = Exit {
                    code: Some(i32::from(pick(4) == 1)),
                    timed_out: pick(8) == 2,
                    stopped: known.stop_sent.is_some(),
                    limited: (pick(8) == 5).then(|| "429".into()),
                    not_started: (pick(16) == 9).then(|| "no such file".into()),
                    usage: (pick(5) > 0).then_some(usage),
                    ..Exit::default()
                };
                return vec![
                    Event::AgentStarted { task: task.clone(), pid: 7, host: None },
                    Event::AgentExited { task, exit },
                ];
            }
            Step::Collect if known.state == TaskState::Finished => match pick(8) {
                0 => Event::NothingToLand { task, tip: None },
                1 => held("detached"),
                _ => Event::Collected { task, work, note: None },
            },
            Step::Collect => Event::Collected { task, work, note: None },
            Step::Merge { onto } => match pick(8) {
                0 => Event::Conflicted { task, onto: oid(0), conflicts: vec![], note: None },
                1 => Event::NothingToLand { task, tip: None },
                2 => held("no history in common"),
                _ => {
                    let onto = onto.clone().unwrap_or_else(|| self.tip.clone());
                    let commit = self.new_commit();
                    self.below.insert(commit.clone(), onto.clone());
                    let landing = Landing { onto, commit, ..landing() };
                    Event::CandidateMade { task, landing, went_back_from: None }
                }
            },
            Step::Verify { .. } if known.stop_sent.is_some() && pick(4) > 0 => Event::PutOff { task },
            Step::Verify { .. } => {
                let commit = known.landing.as_ref().unwrap().commit.clone();
                match pick(8) {
                    0 => held("can't tell"),
                    1 | 2 => {
                        let (reason, said) = ("exit 1".into(), "no".into());
                        Event::Rejected { task, commit, reason, log: "/log".into(), said }
                    }
                    _ => {
                        self.checked.insert(commit.clone());
                        Event::Verified { task, commit, tries: 1 }
                    }
                }
            }
            Step::Publish => return self.publish_chain(run, choice),
            Step::Resolve { .. } => match pick(3) {
                0 => Event::Unresolved { task, reason: "markers".into() },
                _ => {
                    let onto = known.collided_on.clone().unwrap();
                    let commit = self.new_commit();
                    self.below.insert(commit.clone(), onto.clone());
                    Event::Resolved { task, landing: Landing { onto, commit, ..landing() }, beside: vec![] }
                }
            },
            Step::AfterLand => Event::HookRan { task, failure: None },
            Step::CleanUp => {
                assert!(known.hook_ran || run.spec.hooks.after_land.is_none() || known.landed().is_none());
                let cleanup = CleanUp { worktree_kept: None, branch_kept: None };
                Event::CleanedUp { task, cleanup }
            }
        };
        vec![one]
    }
}

/// Lives a run through under random answers in random order; returns its journal.
fn live(mut run: Run, world: &mut World, choices: &[u8], interrupt_at: Option<usize>) -> (Run, Vec<Record>) {
    let mut journal = Vec::new();
    let mut pending: Vec<Result<(TaskName, Step), u32>> = Vec::new();
    let mut choice = choices.iter().copied().cycle();
    let mut happen = |run: &mut Run, event: Event| {
        run.apply(&record(event.clone())).unwrap_or_else(|illegal| panic!("{illegal}"));
        journal.push(record(event));
    };
    happen(&mut run, Event::RunStarted { pid: 1 });
    for round in 0.. {
        assert!(round < 10_000, "the run never ends");
        if interrupt_at == Some(round) {
            // All of it, or one task.
            let one = run.tasks.get(usize::from(choices[0])).map(|task| vec![task.name().clone()]);
            let cause = if one.is_some() { StopCause::Abort } else { StopCause::Interrupt };
            happen(&mut run, Event::StopRequested { tasks: one, cause, stop: Stop::Term });
        }
        for again in 0.. {
            assert!(again < 100, "it never settles what to do");
            let actions = decide(&run);
            if actions.is_empty() {
                break;
            }
            for action in &actions {
                let intent = action.intent(&run);
                happen(&mut run, intent);
                match action {
                    Action::Step { task, step } => pending.push(Ok((task.clone(), step.clone()))),
                    Action::OpenStage { stage } => pending.push(Err(*stage)),
                    _ => {}
                }
            }
        }
        check(&run);
        if run.finished_at.is_some() {
            break;
        }
        let pause = run.next_pause().map(|(task, _)| task.clone());
        let next = choice.next().unwrap();
        match pause.filter(|_| pending.is_empty() || next % 4 == 0) {
            Some(task) => {
                happen(&mut run, Event::PauseOver { task });
                continue;
            }
            None if run.held_back.is_some() && (pending.is_empty() || next % 4 == 1) => {
                happen(&mut run, Event::StartsFreed);
                continue;
            }
            None if next % 16 == 2 && round < 100 => {
                happen(&mut run, Event::StartsHeld { reason: "busy".into() });
                continue;
            }
            None => {}
        }
        assert!(!pending.is_empty(), "stalled: {run:#?}");
        let next = pending.swap_remove(choice.next().unwrap() as usize % pending.len());
        // A target that moves for ever would keep any landing from its end.
        let answer = if round < 500 { choice.next().unwrap() } else { 3 };
        let events = match next {
            Ok((task, step)) => {
                // What is published is published together.
                pending.retain(|next| !matches!(next, Ok((_, Step::Publish))) || step != Step::Publish);
                world.answers(&run, &task, &step, answer)
            }
            Err(stage) => vec![Event::StageOpened { stage, failure: None }],
        };
        for event in events {
            happen(&mut run, event);
        }
    }
    (run, journal)
}

fn check(run: &Run) {
    let slots: Vec<u32> = run.tasks.iter().filter(|t| t.state.holds_slot()).map(|t| t.slot).collect();
    distinct(&slots, run.spec.jobs);
    let places: Vec<u32> = run.tasks.iter().filter_map(|t| t.checking).collect();
    distinct(&places, run.spec.verify.as_ref().map_or(0, |verify| verify.jobs));
    let idle = |t: &&Task| t.checking.is_some() && !t.working;
    assert_eq!(run.tasks.iter().find(idle), None, "nobody checks there");
    let queue = run.queue();
    let open = queue.iter().position(|t| !t.publishing).unwrap_or(queue.len());
    let chain = run.spec.atomic || queue[open..].iter().all(|t| !t.publishing);
    assert!(chain, "what is published is what stands on the target");
}

fn distinct(slots: &[u32], count: u32) {
    assert!(slots.len() <= count as usize, "more than there is room for: {slots:?}");
    let distinct: HashSet<_> = slots.iter().collect();
    assert_eq!(distinct.len(), slots.len(), "a slot is held twice");
    assert!(slots.iter().all(|&slot| slot < count));
}

/// I7: all landed, or none did.
fn all_or_none(run: &Run) {
    let landed = run.tasks.iter().filter(|t| t.state == TaskState::Landed).count();
    let open = run.tasks.iter().filter(|t| !t.state.is_success()).count();
    assert!(landed == 0 || open == 0, "{:?}", run.counts());
}

/// Takes out each dependency that closes a circle with the stages, as no plan has one.
fn drop_contradictions(spec: &mut RunSpec) {
    let stages: Vec<Option<u32>> = spec.tasks.iter().map(|task| task.stage).collect();
    // The highest stage that must be over before the task starts: its own predecessors' among them.
    let mut highest: HashMap<TaskName, Option<u32>> = HashMap::new();
    for (task, stage) in spec.tasks.iter_mut().zip(stages) {
        if let Some(own) = stage {
            task.depends_on.retain(|before| highest[before] <= Some(own));
        }
        let below = task.depends_on.iter().map(|before| highest[before]).max().flatten();
        highest.insert(task.name.clone(), below.max(stage));
    }
}

fn life() -> impl proptest::strategy::Strategy<Value = RunSpec> {
    use proptest::strategy::Strategy as _;
    let check = (1..5u32).prop_map(|jobs| Verify { command: "t".into(), jobs, retries: 0, timeout_ms: None });
    let numbers = (1..8usize, 1..5u32, 0..3u32);
    let hooks = any::<[bool; 3]>();
    let edges = prop::collection::vec((0..8usize, 0..8usize), 0..6);
    let stages = prop::option::of(prop::collection::vec(prop::option::of(0..4u32), 8));
    (numbers, any::<[bool; 5]>(), prop::option::of(check), edges, stages, hooks).prop_map(
        |(
            (tasks, jobs, retries),
            [land, keep, atomic, keep_going, resolves],
            verify,
            edges,
            stages,
            hooks,
        )| {
            let land = land || atomic;
            let on_conflict = resolves.then(|| Resolver::Command("r".into()));
            let mut spec = spec(tasks, jobs, land, keep);
            for (before, after) in
                edges.iter().filter(|(before, after)| land && before < after && *after < tasks)
            {
                let before = spec.tasks[*before].name.clone();
                spec.tasks[*after].depends_on.push(before);
            }
            for (task, stage) in spec.tasks.iter_mut().zip(stages.into_iter().flatten()).filter(|_| land) {
                task.stage = stage;
            }
            drop_contradictions(&mut spec);
            let [setup, before_group, after_land] = hooks.map(|is_set| is_set.then(|| "h".into()));
            let hooks = Hooks { setup, before_group, after_land, ..Hooks::default() };
            let fallback = AgentCall { name: "other".into(), ..AgentCall::default() };
            spec.tasks[0].fallback = vec![fallback; jobs as usize % 3];
            spec.pacing = Pacing {
                retry_pause_ms: u64::from(keep),
                limit_pause_ms: 1,
                max_cost: land.then_some(100),
                ..Pacing::default()
            };
            RunSpec { retries, verify, on_conflict, atomic, keep_going, hooks, ..spec }
        },
    )
}

#[test]
fn a_task_that_is_stopped_is_not_tried_again() {
    let mut run = Run::new(RunSpec { retries: 1, ..spec(1, 1, true, false) });
    let task = run.tasks[0].name().clone();
    let exit = Exit { code: Some(1), ..Exit::default() };
    for event in [
        Event::Begun { task: task.clone(), step: Step::Prepare { slot: 0, base: None } },
        Event::Prepared {
            task: task.clone(),
            base: oid(0),
            branch_created: true,
            worktree_created: true,
            is_new: true,
            note: None,
        },
        Event::Begun { task: task.clone(), step: Step::Start { attempt: 1 } },
        Event::AgentExited { task: task.clone(), exit },
        Event::StopRequested { tasks: Some(vec![task.clone()]), cause: StopCause::Abort, stop: Stop::Term },
        Event::Collected { task: task.clone(), work: Work::default(), note: None },
    ] {
        run.apply(&record(event)).unwrap();
    }
    assert!(run.is_at_rest(&run.tasks[0]));
    assert_eq!(decide(&run), [Action::Finish]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn every_life_ends_and_every_prefix_can_be_lived_on(
        spec in life(),
        first in 0..16u8,
        mut choices in prop::collection::vec(any::<u8>(), 1..200),
        interrupt_at in prop::option::of(0..60usize),
        cut in any::<prop::sample::Index>(),
    ) {
        choices.insert(0, first);
        let mut world = World::new(&spec);
        let (ended, journal) = live(Run::new(spec.clone()), &mut world, &choices, interrupt_at);
        prop_assert!(ended.tasks.iter().all(|t| ended.is_at_rest(t)));
        if spec.atomic {
            all_or_none(&ended);
        }

        // Replayed, it is the same run.
        let mut replayed = Run::new(spec.clone());
        journal.iter().for_each(|r| replayed.apply(r).unwrap());
        prop_assert_eq!(&replayed, &ended);

        // Dead at any line, it can be taken up and comes to an end.
        let mut stump = Run::new(spec);
        journal[..cut.index(journal.len() + 1)].iter().for_each(|r| stump.apply(r).unwrap());
        world.tip = stump.tip.clone();
        let (ended, _) = live(stump, &mut world, &choices, None);
        prop_assert!(ended.finished_at.is_some());

        // What can be asked for then is done, too.
        let mut again = ended;
        let ask = |task: &Task| match task {
            task if task.may_retry() => Some(Event::RetryRequested { task: task.name().clone(), fresh: false }),
            task if task.may_land() => Some(Event::LandRequested { task: task.name().clone(), all: true }),
            _ => None,
        };
        let asked: Vec<Event> = again.tasks.iter().filter_map(ask).collect();
        for event in asked {
            prop_assert!(again.apply(&record(event)).is_ok());
        }
        let (ended, _) = live(again, &mut world, &choices, None);
        if ended.spec.atomic {
            all_or_none(&ended);
        }
    }
}

#[test]
fn no_more_start_than_can_be_landed() {
    let names: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    let mut spec = fixture::spec(&names.iter().map(String::as_str).collect::<Vec<_>>());
    spec.jobs = 4;
    let mut run = Run::new(spec);
    let starts = |run: &Run| {
        let is_start = |action: &Action| matches!(action, Action::Step { step: Step::Prepare { .. }, .. });
        decide(run).iter().filter(|action| is_start(action)).count()
    };
    for task in &mut run.tasks[..15] {
        (task.state, task.collected, task.worktree_created) = (TaskState::Finished, true, true);
    }
    assert_eq!(starts(&run), 1, "as many as run, and then some, wait to be landed");
    run.tasks[15].state = TaskState::Integrating;
    assert_eq!(starts(&run), 0);
    run.tasks[0].state = TaskState::Conflicted;
    assert_eq!(starts(&run), 1, "a person's time is not waited for");
    run.tasks[1].state = TaskState::Landed;
    assert_eq!(starts(&run), 1, "it has its worktree yet");
    run.tasks[1].cleanup = Some(CleanUp { worktree_kept: None, branch_kept: None });
    assert_eq!(starts(&run), 2);
    run.spec.land = false;
    assert_eq!(starts(&run), 4);
    (run.spec.land, run.spec.atomic) = (true, true);
    run.tasks[..2].iter_mut().for_each(|task| task.state = TaskState::Finished);
    assert_eq!(starts(&run), 4, "nothing lands before all are there");
}
