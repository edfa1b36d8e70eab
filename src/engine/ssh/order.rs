//! What a host is given for a job: the base, the worktree as it stands here, the files that are to be in it, and what
//! is to be run.

use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::super::verify::blocking;
use super::super::{Context, agent, hooks, runner};
use super::link::{Link, Trouble};
use super::words::{Ask, Order};
use crate::git::{self, Standing, Wanted};
use crate::run::{Oid, Runner, Ssh, Task, TaskName, Text};
use crate::shim::{Far, ShimSpec};

/// How many files are sent before the first of them is known to have arrived: a host may be far away. As many answers
/// as that fit into what is between us and them, so nobody waits for the other.
const AHEAD: u32 = 128;

/// The place of a job on its host.
pub(super) struct Place {
    pub(super) mirror: Text,
    pub(super) job: Text,
    pub(super) had: Vec<Oid>,
}

impl Place {
    fn below(&self, name: &str) -> Text {
        self.job.as_path().join(name).into()
    }

    pub(super) fn worktree(&self, task: &Task) -> Text {
        self.job.as_path().join("worktree").join(&task.name().0).into()
    }
}

/// What to ask for the place of a job by.
pub(super) fn opening(context: &Context, task: &TaskName, token: &str) -> Ask {
    let root = context.repo.root();
    let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.trim_start_matches('.').chars().take(60).map(plain).collect();
    let node = rustix::system::uname();
    let own =
        [node.nodename().to_bytes(), b":", context.repo.common_dir.as_os_str().as_encoded_bytes()].concat();
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.write(&own);
    let format = if context.spec.base.as_str().len() == 64 { "sha256" } else { "sha1" };
    Ask::Open {
        repository: format!("{name}-{:016x}", hash.finish()),
        format: format.to_owned(),
        token: token.to_owned(),
        task: task.0.clone(),
    }
}

/// FNV-1a: it must be the same for every version of this program.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// How the task's worktree stands here.
pub(super) async fn standing(task: &Task) -> Result<Standing> {
    let (path, message) =
        (task.spec.worktree.to_path_buf(), format!("{}: uncommitted files before it began\n", task.name()));
    blocking(move || git::standing(&path, &message)).await.context("cannot look at its worktree")
}

fn bad(e: &anyhow::Error) -> Trouble {
    Trouble::Bad(format!("{e:#}"))
}

/// Sends a host what a job needs that is not there yet.
pub(super) async fn send(
    context: &Arc<Context>,
    task: &Task,
    (link, place): (&mut Link, &Place),
    standing: &Standing,
    pushing: &tokio::sync::Mutex<()>,
) -> Result<(), Trouble> {
    let base = context.base_of(task).clone();
    let common = context.repo.common_dir.clone();
    let mut had = {
        let (common, had) = (common.clone(), place.had.clone());
        blocking(move || git::known(&common, &had)).await.map_err(|e| bad(&e))?
    };
    if !place.had.contains(&base) {
        // Whoever comes next finds it there.
        let _turn = pushing.lock().await;
        let wanted = Wanted { commits: vec![base.clone()], had: had.clone(), ..Wanted::default() };
        let from = common.clone();
        let pack = blocking(move || git::pack(&from, &wanted)).await.map_err(|e| bad(&e))?;
        let shallow = git::shallow(&common);
        link.have(&Ask::Push { base: base.clone(), shallow }, Some(pack)).await?;
    }
    had.push(base.clone());
    let pack = {
        let (path, standing) = (task.spec.worktree.to_path_buf(), standing.clone());
        blocking(move || {
            let commits = git::known(&common, &standing.commits())?;
            let wanted = Wanted { commits, had, index: standing.index.is_some(), refs: false };
            git::pack(&git::admin_dir(&path)?, &wanted)
        })
        .await
        .map_err(|e| bad(&e))?
    };
    let config = {
        let context = context.clone();
        blocking(move || git::identity(&context.repo)).await.map_err(|e| bad(&e))?
    };
    let target = context.spec.target_ref();
    let prompt = agent::prompt_in(context, &on_host(task, place), &place.below("prompt.md"));
    let (exclude, attributes) = {
        let context = context.clone();
        blocking(move || Ok((git::excluded(&context.repo), git::attributed(&context.repo))))
            .await
            .map_err(|e| bad(&e))?
    };
    let (attempt, standing) = (task.attempt, standing.clone());
    let order = Order { attempt, base, standing, target, config, prompt, exclude, attributes };
    link.have(&Ask::Make { order: Box::new(order) }, Some(pack)).await?;
    send_files(context, task, link).await?;
    link.have(&Ask::Made, None).await
}

/// Sends the ignored files that every worktree gets, as they are in the one here.
async fn send_files(context: &Arc<Context>, task: &Task, link: &mut Link) -> Result<(), Trouble> {
    if context.spec.include.is_empty() {
        return Ok(());
    }
    let (shared, top) = (context.clone(), task.spec.worktree.to_path_buf());
    let files = blocking(move || {
        let beside = shared.worktree_dir().unwrap_or(&top);
        git::included(&shared.repo, &shared.spec.include, &top, beside)
    });
    let mut unanswered = 0;
    for path in files.await.map_err(|e| bad(&e))? {
        let file = task.spec.worktree.as_path().join(path.as_path());
        let found = blocking(move || content(&file)).await.map_err(|e| bad(&e))?;
        let Some((mode, content)) = found else { continue };
        if unanswered == AHEAD {
            link.hear_done().await?;
            unanswered -= 1;
        }
        link.give(&Ask::File { path, mode }, Some(content)).await?;
        unanswered += 1;
    }
    for _ in 0..unanswered {
        link.hear_done().await?;
    }
    Ok(())
}

/// The mode and the content of a file, or the target of a link; `None` if it is gone or is something else.
fn content(path: &Path) -> Result<Option<(Option<u32>, File)>> {
    let Ok(meta) = path.symlink_metadata() else { return Ok(None) };
    if meta.is_symlink() {
        let mut file = tempfile::tempfile()?;
        file.write_all(fs::read_link(path)?.as_os_str().as_encoded_bytes())?;
        file.rewind()?;
        return Ok(Some((None, file)));
    }
    if !meta.is_file() {
        return Ok(None);
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some((Some(meta.permissions().mode() & 0o777), file)))
}

/// The task, with its worktree where it is on the host.
fn on_host(task: &Task, place: &Place) -> Task {
    let mut task = task.clone();
    task.spec.worktree = place.worktree(&task);
    task
}

/// What its shim is to do there.
pub(super) fn shim_spec(
    context: &Context,
    (runner, ssh): (&Runner, &Ssh),
    task: &Task,
    place: &Place,
    token: &str,
) -> ShimSpec {
    let there = on_host(task, place);
    let prompt_file = place.below("prompt.md");
    let spec = agent::shim_spec_with(context, &there, &prompt_file);
    let lost_after = Duration::from_millis(runner.lost_after_ms);
    let beat_ms = u64::try_from(runner::beat(lost_after).as_millis()).unwrap_or(u64::MAX);
    let sent = ssh.send_env.iter();
    let mut env: Vec<(String, Text)> =
        sent.filter_map(|name| Some((name.clone(), std::env::var_os(name)?.as_os_str().into()))).collect();
    for (name, value) in spec.env {
        let value = match name.as_str() {
            "GIT_PARALLEL_ROOT" => place.mirror.clone(),
            "GIT_PARALLEL_PROMPT_FILE" => prompt_file.clone(),
            "GIT_CEILING_DIRECTORIES" => {
                there.spec.worktree.as_path().parent().map_or(value, |parent| parent.into())
            }
            _ => value,
        };
        env.push((name, value));
    }
    let argv = match context.spec.setup_of(&task.spec) {
        Some(setup) => after_setup(&hooks::with_variables(setup), spec.argv),
        None => spec.argv,
    };
    ShimSpec {
        dir: place.below("record"),
        argv,
        env,
        open_files: None,
        far: Some(Far { token: token.to_owned(), beat_ms, git_file: None }),
        ..spec
    }
}

/// The agent's command, with the setup of its worktree before it.
fn after_setup(setup: &Text, agent: Vec<Text>) -> Vec<Text> {
    const SCRIPT: &str = r#"sh -c "$1" || {
code=$?
echo "[git-parallel: setup failed: exit $code]" >&2
exit $code
}
shift
exec "$@""#;
    let mut argv: Vec<Text> = ["sh", "-c", SCRIPT, "sh"].map(Text::from).to_vec();
    argv.push(setup.clone());
    argv.extend(agent);
    argv
}
