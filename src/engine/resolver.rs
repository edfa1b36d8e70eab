//! Having a conflict settled by a command or an agent (`--on-conflict`) before a person is asked to.
//!
//! The merge is put into the task's own worktree, as `git parallel resolve` does it for a person, and the
//! command runs there like an agent. What it leaves counts only if nothing is open any more; then the merge
//! is made of it, off to the side, and checked like any other. Either way the task's branch and worktree are
//! put back to what they were: whatever the command did to them and did not land is pinned first.

mod prompt;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::UnboundedReceiver;

use super::agent::{self, LogReader, WantedOutput};
use super::landed::Earlier;
use super::landing::{self, wish};
use super::verify::{blocking, end_stray};
use super::{Context, Outbox, collect, command, trouble};
use crate::git::{self, Head, MergeHere, Merged, Sight};
use crate::run::{Event, Exit, Landing, Oid, Resolver, Task, Text, name_some};
use crate::shim::{self, Shim};

/// The pin of what a resolver made that did not count.
pub const RESOLVER: &str = "resolver";

/// Has the task's conflict settled. `others` are the tasks that landed, or are to land first.
pub(super) async fn resolve(
    context: Arc<Context>,
    task: Task,
    others: Vec<Task>,
    mut stops: UnboundedReceiver<shim::Request>,
    outbox: Outbox,
    wanted: WantedOutput,
) {
    let name = task.name().clone();
    let event = match try_resolve(&context, task, others, &mut stops, &outbox, wanted).await {
        Ok(Ok((landing, beside))) => Event::Resolved { task: name, landing, beside },
        Ok(Err(reason)) => Event::Unresolved { task: name, reason },
        Err(e) => {
            let reason = format!("the resolver could not be run: {}", trouble::words(&context, &e));
            Event::Unresolved { task: name, reason }
        }
    };
    outbox.event(event);
}

/// The settled merge and what else was changed, or why what the resolver made does not count.
type Outcome = Result<(Landing, Vec<Text>), String>;

async fn try_resolve(
    context: &Arc<Context>,
    task: Task,
    others: Vec<Task>,
    stops: &mut UnboundedReceiver<shim::Request>,
    outbox: &Outbox,
    wanted: WantedOutput,
) -> Result<Outcome> {
    let resolver = context.spec.on_conflict.as_ref().context("the run has no resolver")?;
    let begun = {
        let (context, task, others) = (context.clone(), task.clone(), others.clone());
        blocking(move || begin(&context, &task, &others)).await?
    };
    let scene = match begun {
        Ok(scene) => scene,
        Err(why) => return Ok(Err(why)),
    };
    let stopped = matches!(stops.try_recv(), Ok(shim::Request::Stop(_)));
    let exit = if stopped {
        Exit { stopped, ..Exit::default() }
    } else if scene.open.is_empty() {
        // A recorded resolution (rerere) settled it all.
        Exit { code: Some(0), ..Exit::default() }
    } else {
        let argv = arguments(context, &task, resolver, &scene);
        let (env, timeout) = (scene.env.clone(), task.spec.timeout_ms.or(context.spec.timeout_ms));
        let spec = command::under_shim(context, &scene.dir, argv, &scene.path, env, timeout);
        let mut shim = Shim::spawn(&spec).context("its shim does not start")?;
        let log = LogReader::new(scene.dir.join("output.log"), wanted);
        agent::see_through(&mut shim, &task, log, stops, outbox, |_| {}).await
    };
    let context = context.clone();
    blocking(move || conclude(&context, &task, &others, &scene, &exit)).await
}

/// A merge under way in a task's worktree.
struct Scene {
    /// The worktree.
    path: PathBuf,
    /// Where the resolver's files and its log are.
    dir: PathBuf,
    onto: Oid,
    tip: Oid,
    /// What collided and is not settled yet.
    open: Vec<Text>,
    /// Of those, the ones with conflict markers.
    marked: Vec<Text>,
    /// What is staged and did not collide.
    staged: git::Staged,
    /// The resolver's environment.
    env: Vec<(String, Text)>,
    /// What an agent is told.
    prompt: Text,
}

impl Scene {
    fn prompt_file(&self) -> PathBuf {
        self.dir.join("prompt.md")
    }
}

/// Puts the merge into the worktree, and what a resolver wants to know into files.
fn begin(context: &Context, task: &Task, others: &[Task]) -> Result<Result<Scene, String>> {
    let path = task.spec.worktree.to_path_buf();
    let (Some(onto), Some(tip)) =
        (task.collided_on.clone(), task.work.as_ref().and_then(|work| work.tip.clone()))
    else {
        return Ok(Err("it is not known what collided".to_owned()));
    };
    if let Some(why) = unfit(context, task, &path, &tip)? {
        return Ok(Err(why));
    }
    let open = match git::merge_commit_here(&path, &onto)? {
        MergeHere::Clean => Vec::new(),
        MergeHere::Conflicts => git::changes(&path)?.unmerged,
    };
    let marked = git::has_conflict_markers(&path, &open)?;
    let staged = git::staged(&path)?;
    let dir = context.dir.make_resolver_dir(task.name())?;
    let env = tell(context, task, others, &dir, &onto, &tip)?;
    let mut scene = Scene { path, dir, onto, tip, open, marked, staged, env, prompt: Text::default() };
    if let Some(Resolver::Agent(_)) = &context.spec.on_conflict {
        instruct(context, task, others, &mut scene)?;
    }
    Ok(Ok(scene))
}

/// Why the merge can't be put there: somebody is at work in that worktree, or it is gone.
fn unfit(context: &Context, task: &Task, path: &Path, tip: &Oid) -> Result<Option<String>> {
    let admin = git::worktree_at(&context.repo, path)?.map(|worktree| worktree.admin_dir);
    let Some(admin) = admin.filter(|admin| git::inspect(path, admin) == Sight::Ours) else {
        return Ok(Some("its worktree is gone".to_owned()));
    };
    if git::head(&admin)? != Head::Branch(task.spec.branch_ref())
        || git::branch_tip(&context.repo, &task.spec.branch_ref())?.as_ref() != Some(tip)
    {
        return Ok(Some("its worktree is not at its branch's tip any more".to_owned()));
    }
    if let Some(operation) = git::operation_in_progress(&admin) {
        return Ok(Some(format!("{operation} is in progress in its worktree")));
    }
    let changes = git::changes(path)?;
    let all = [&changes.unmerged, &changes.tracked, &changes.untracked, &changes.nested];
    let first = all.into_iter().flatten().next();
    Ok(first.map(|first| format!("its worktree has uncommitted changes: {first}")))
}

/// Writes what a resolver wants to know, and names it in its environment.
fn tell(
    context: &Context,
    task: &Task,
    others: &[Task],
    dir: &Path,
    onto: &Oid,
    tip: &Oid,
) -> Result<Vec<(String, Text)>> {
    let mut env = context.environment(task);
    let paths: String = task.conflicts.iter().map(|conflict| format!("{}\n", conflict.path)).collect();
    let mut file = |variable: &str, name: &str, content: &[u8]| -> Result<()> {
        let path = dir.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        env.push((variable.to_owned(), path.into()));
        Ok(())
    };
    file("GIT_PARALLEL_CONFLICTS_FILE", "conflicts", paths.as_bytes())?;
    file("GIT_PARALLEL_OUR_LOG", "ours.log", &git::log(&context.repo, onto, tip)?)?;
    file("GIT_PARALLEL_THEIR_LOG", "theirs.log", &git::log(&context.repo, tip, onto)?)?;
    env.push(("GIT_PARALLEL_CONFLICTS".to_owned(), paths.into()));
    env.push(("GIT_PARALLEL_ONTO".to_owned(), onto.as_str().into()));
    if let Some(other) = other_side(task, others) {
        env.push(("GIT_PARALLEL_OTHER_TASK".to_owned(), other.name().0.as_str().into()));
        if other.spec.prompt.is_some() {
            env.push(("GIT_PARALLEL_OTHER_PROMPT_FILE".to_owned(), context.dir.prompt(other.name()).into()));
        }
    }
    Ok(env)
}

/// The task whose landing it collides with, where that is known.
fn other_side<'a>(task: &Task, others: &'a [Task]) -> Option<&'a Task> {
    let with = task.conflicts.iter().find_map(|conflict| conflict.with.as_ref())?;
    others.iter().find(|other| other.name() == with)
}

/// Writes down what an agent is told; that file is its prompt.
fn instruct(context: &Context, task: &Task, others: &[Task], scene: &mut Scene) -> Result<()> {
    let story = prompt::Story {
        task,
        other: other_side(task, others),
        target: &context.spec.target,
        onto: &scene.onto,
        open: &scene.open,
        marked: &scene.marked,
        our_log: &git::log(&context.repo, &scene.onto, &scene.tip)?,
        their_log: &git::log(&context.repo, &scene.tip, &scene.onto)?,
    };
    let prompt = prompt::prompt(&story);
    let path = scene.prompt_file();
    std::fs::write(&path, &prompt).with_context(|| format!("cannot write {}", path.display()))?;
    scene.prompt = prompt.into();
    scene.env.retain(|(variable, _)| variable != "GIT_PARALLEL_PROMPT_FILE");
    scene.env.push(("GIT_PARALLEL_PROMPT_FILE".to_owned(), path.into()));
    Ok(())
}

fn arguments(context: &Context, task: &Task, resolver: &Resolver, scene: &Scene) -> Vec<Text> {
    match resolver {
        Resolver::Command(text) => command::shell(text),
        Resolver::Agent(call) => {
            let prompt_file = scene.prompt_file().into();
            agent::arguments(context, task, (&call.argv, call.shell), &scene.prompt, &prompt_file)
        }
    }
}

/// Looks at what the resolver left, makes the merge of it if it counts, and puts the worktree back.
fn conclude(context: &Context, task: &Task, others: &[Task], scene: &Scene, exit: &Exit) -> Result<Outcome> {
    let outcome = judge(context, task, others, scene, exit);
    let counts = matches!(outcome, Ok(Ok(_)));
    if !counts || !git::changes(&scene.path)?.untracked.is_empty() {
        keep_what_it_made(context, task)?;
    }
    put_back(context, task, &scene.tip)?;
    Ok(outcome?.map_err(|why| {
        let log = scene.dir.join("output.log");
        let log = if log.exists() { format!("; its log: {}", log.display()) } else { String::new() };
        format!("{why}{log}")
    }))
}

fn judge(context: &Context, task: &Task, others: &[Task], scene: &Scene, exit: &Exit) -> Result<Outcome> {
    let failed = |why: String| Ok(Err(format!("the resolver {why}")));
    match exit {
        Exit { stopped: true, .. } => return failed("was stopped".to_owned()),
        Exit { timed_out: true, .. } => return failed("ran out of time".to_owned()),
        Exit { code: Some(0), not_started: None, .. } => {}
        exit => return failed(format!("failed: {}", exit.words())),
    }
    let admin = git::worktree_at(&context.repo, &scene.path)?.map(|worktree| worktree.admin_dir);
    let at_home = admin.is_some_and(|admin| {
        git::inspect(&scene.path, &admin) == Sight::Ours
            && git::head(&admin).is_ok_and(|head| head == Head::Branch(task.spec.branch_ref()))
    });
    if !at_home {
        return failed("left the worktree on something else".to_owned());
    }
    let unmerged = git::changes(&scene.path)?.unmerged;
    // Markers that are gone say that somebody was there; other conflicts have to be settled in the index.
    let untouched = unmerged.iter().find(|path| !scene.marked.contains(path));
    let marked = git::has_conflict_markers(&scene.path, &scene.open)?;
    if let Some(open) = marked.first().or(untouched) {
        return failed(format!("left the conflict in {open}"));
    }
    git::stage_tracked(&scene.path)?;
    let Some(tip) = git::branch_tip(&context.repo, &task.spec.branch_ref())? else {
        return failed("deleted the branch".to_owned());
    };
    if tip != scene.tip && !git::is_merge_of(&context.repo, &tip, &scene.tip, &scene.onto)? {
        return failed(format!("committed something else than the merge ({})", tip.short()));
    }
    let tree = git::write_index_tree(&scene.path)?;
    let after = git::staged(&scene.path)?;
    let beside = git::changed_beside(&scene.staged, &after, &scene.open);
    // So that the next conflict of this kind settles itself, where the user has rerere.
    git::record_resolution(&scene.path)?;
    let others: Vec<Earlier> = others.iter().filter_map(Earlier::of).collect();
    let wish = wish(context, task, &scene.onto, &scene.tip, &others)?;
    let (commit, how) = match git::settled_candidate(&context.repo, &wish, &tree)? {
        Merged::Candidate(commit, how) => (commit, how),
        Merged::UpToDate => return failed("took back all of the task's work".to_owned()),
        Merged::RebaseFirst(why) | Merged::Refused(why) => return Ok(Err(why)),
        Merged::Conflicts(paths) => return failed(format!("left the conflict in {}", name_some(&paths))),
    };
    landing::pin_candidate(context, task, &commit)?;
    let (onto, tip, settled) = (scene.onto.clone(), scene.tip.clone(), Some(landing::BY_RESOLVER.to_owned()));
    let landing = Landing { onto, tip, commit, how, settled };
    Ok(Ok((landing, beside)))
}

/// What did not count may still be of use: it is pinned, branch and files.
fn keep_what_it_made(context: &Context, task: &Task) -> Result<()> {
    let path = task.spec.worktree.as_path();
    let message = format!("{}: what its resolver left\n", task.name());
    if let Ok(Some(commit)) = git::snapshot(path, &message) {
        collect::pin(context, task, RESOLVER, &commit)?;
    } else if let Some(tip) = git::branch_tip(&context.repo, &task.spec.branch_ref())? {
        collect::pin(context, task, RESOLVER, &tip)?;
    }
    Ok(())
}

/// The worktree as it was: on its branch, at its tip, without a merge under way. What git ignores stays.
fn put_back(context: &Context, task: &Task, tip: &Oid) -> Result<()> {
    let path = task.spec.worktree.as_path();
    let Some(worktree) = git::worktree_at(&context.repo, path)? else { return Ok(()) };
    if git::inspect(path, &worktree.admin_dir) != Sight::Ours {
        return Ok(());
    }
    git::clear_own_locks(&worktree.admin_dir);
    git::reset_branch_here(path, &task.spec.branch, tip)
}

/// Takes back what a dead supervisor's resolver had begun; it is begun again, or a person takes over.
///
/// # Errors
/// If the worktree can't be put back.
pub(super) async fn take_back(context: &Arc<Context>, task: &Task) -> Result<()> {
    let dir = context.dir.resolver(task.name());
    if !dir.exists() {
        return Ok(());
    }
    end_stray(&dir).await;
    let Some(tip) = task.work.as_ref().and_then(|work| work.tip.clone()) else { return Ok(()) };
    let (context, task) = (context.clone(), task.clone());
    blocking(move || {
        let path = task.spec.worktree.as_path();
        let Some(worktree) = git::worktree_at(&context.repo, path)? else { return Ok(()) };
        let merging = git::operation_in_progress(&worktree.admin_dir).is_some();
        if merging || git::branch_tip(&context.repo, &task.spec.branch_ref())?.as_ref() != Some(&tip) {
            keep_what_it_made(&context, &task)?;
            put_back(&context, &task, &tip)?;
        }
        Ok(())
    })
    .await
}
