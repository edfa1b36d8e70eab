//! Refs of others that moved while an agent ran.
//!
//! The branches and tags are written down before the agent starts, in the task's record, and compared when it
//! has ended. Most that moves meanwhile is nobody's concern: the target is merged with whatever happens to it,
//! the tasks' branches are their agents', new refs harm nobody, remote-tracking refs move by fetching, notes
//! are written by hooks in any worktree, the stash is looked after elsewhere ([`git::SharedGuard`]). Above
//! all the user goes on working. So a move counts only where git's records don't speak for the user:
//!
//! - the HEAD of a worktree that is no task's came to the new value meanwhile, or left what was deleted;
//! - the branch is checked out in such a worktree;
//! - it was fetched or pushed to (in a bare repository, everything is);
//! - it is to be seen in the worktree of another task, and not in this one's;
//! - nothing is lost by it: the old commits are on other refs, and the new were there, or fetched, or the user's.
//!
//! What is left over is most likely an agent's doing. Where nothing tells whose, each task whose agent ran
//! meanwhile is held.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use anyhow::{Context as _, Result};
use bstr::ByteSlice;

use super::super::{Context, collect};
use super::Asked;
use crate::git::{self, Worktree};
use crate::run::{Oid, Task, TaskName, TaskSpec, Text};

/// Moves told one by one before the rest is counted.
const MOST: usize = 2;

/// Writes down where branches and tags are before the task's next attempt. A repository whose refs can't be
/// read is not watched.
///
/// # Errors
/// If the record can't be written.
pub fn remember(context: &Context, task: &Task) -> Result<()> {
    let others = context.others.since(context, context.others.ask()).unwrap_or_default();
    let seen = worktree_of(context, &task.spec).map(|worktree| git::history_of_head(&worktree.admin_dir));
    let before = Before {
        attempt: task.attempt + 1,
        since: jiff::Timestamp::now().as_second(),
        seen: seen.unwrap_or_default(),
        others: name_of(&others),
    };
    let file = context.dir.refs_seen(&before.others);
    // Mostly another task has seen the same; there may be many of both.
    if std::fs::read(&file).ok().as_deref() != Some(&**others) {
        write(&file, &others)?;
    }
    write(&context.dir.refs(task.name()), &before.to_bytes())
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    // No agent outlives the machine.
    crate::store::write_briefly(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

fn parse_others(text: &[u8]) -> Option<Vec<(Text, Oid)>> {
    let parse = |line: &[u8]| {
        let (id, name) = line.split_once_str(" ")?;
        Some((name.into(), std::str::from_utf8(id).ok()?.to_owned().try_into().ok()?))
    };
    text.lines().map(parse).collect()
}

/// A name for a file of refs, by what is in it.
fn name_of(others: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(others);
    format!("{:016x}", hasher.finish())
}

/// Why the task is held for refs that moved while its agent ran, which was over when it was `asked`; `None` if it isn't.
/// What can't be told does not hold a task.
pub fn moved(context: &Context, task: &Task, asked: Asked) -> Option<String> {
    if task.land_asked {
        return None;
    }
    let before = Before::read(context, task.name()).filter(|before| before.attempt == task.attempt)?;
    let refs = std::fs::read(context.dir.refs_seen(&before.others)).ok()?;
    // First the refs, then the reflogs: whoever moves a ref writes the reflog first.
    let now = context.others.since(context, asked).ok()?;
    if *now == refs {
        return None;
    }
    let (refs, now) = (parse_others(&refs)?, parse_others(&now)?);
    let now: HashMap<Text, Oid> = now.into_iter().collect();
    let changed = refs.iter().filter(|(name, old)| now.get(name) != Some(old));
    let changed: Vec<_> = changed.map(|(name, old)| (name, old, now.get(name))).collect();
    if changed.is_empty() {
        return None;
    }
    let signs = Signs::read(context, task, &before, &refs);
    let told: Vec<String> = changed
        .into_iter()
        .filter_map(|(name, old, new)| Some((name, old, new, signs.whose(name, old, new)?)))
        .map(|(name, old, new, whose)| {
            keep(context, task, old);
            words(name, old, new, whose, git::has_object(&context.repo, old))
        })
        .collect();
    let more = told.len().saturating_sub(MOST);
    let mut text = told.into_iter().take(MOST).collect::<Vec<_>>().join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    (!text.is_empty()).then_some(text)
}

/// Whose doing a move is.
#[derive(Clone, Copy)]
enum Whose {
    /// This task's agent's.
    Its,
    /// Nobody can tell.
    Unknown,
}

fn words(name: &Text, old: &Oid, new: Option<&Oid>, whose: Whose, is_there: bool) -> String {
    let full = name.to_string();
    let what = match (full.strip_prefix("refs/heads/"), full.strip_prefix("refs/tags/")) {
        (Some(branch), _) => format!("branch '{branch}'"),
        (_, Some(tag)) => format!("tag '{tag}'"),
        _ => full.clone(),
    };
    let what = match (new, whose) {
        (Some(new), Whose::Its) => format!("its agent moved {what} from {} to {}", old.short(), new.short()),
        (Some(new), Whose::Unknown) => {
            format!("while its agent ran, {what} moved from {} to {}", old.short(), new.short())
        }
        (None, _) => format!("while its agent ran, {what} (at {}) was deleted", old.short()),
    };
    if !is_there {
        return format!("{what}, and git has thrown it away");
    }
    let name = shlex::try_quote(&full).map(|quoted| quoted.into_owned()).unwrap_or_else(|_| full.clone());
    let only_from = new.map(|new| format!(" {}", twelve(new))).unwrap_or_default();
    format!("{what}; to put it back: git update-ref {name} {}{only_from}", twelve(old))
}

/// Enough of an id to type, and to be sure of.
fn twelve(id: &Oid) -> &str {
    &id.as_str()[..12]
}

/// What a ref was taken away from may be on no other: it must not be collected as garbage before it is put
/// back.
fn keep(context: &Context, task: &Task, old: &Oid) {
    let Some(commit) = git::commit_of(&context.repo, old) else { return };
    if !git::is_on_a_ref(&context.repo, &commit).unwrap_or(true) {
        // Best effort: that it moved is told in any case.
        let _ = collect::pin(context, task, "moved", &commit);
    }
}

fn worktree_of(context: &Context, task: &TaskSpec) -> Option<Worktree> {
    git::worktree_at(&context.repo, task.worktree.as_path()).ok().flatten()
}

/// Where everybody's HEAD has been.
struct Signs<'a> {
    context: &'a Context,
    before: &'a Before,
    /// Where branches and tags of others were.
    refs: &'a [(Text, Oid)],
    me: &'a TaskName,
    users: Vec<Worktree>,
    users_heads: Vec<Oid>,
    /// What each task's HEAD came to while its agent ran.
    tasks: Vec<(TaskName, Vec<Oid>)>,
}

impl<'a> Signs<'a> {
    fn read(context: &'a Context, task: &'a Task, before: &'a Before, refs: &'a [(Text, Oid)]) -> Self {
        let all = git::worktrees(&context.repo).unwrap_or_default();
        let specs = || context.spec.tasks.iter().filter(|spec| !spec.skip);
        // A worktree inside of a task's is one that its agent made.
        let is_of = |worktree: &Worktree, spec: &TaskSpec| {
            let path = worktree.path.as_deref();
            path.is_some_and(|path| path.starts_with(spec.worktree.as_path()))
        };
        let heads = |worktree: &Worktree| git::history_of_head(&worktree.admin_dir);
        let tasks = specs().map(|spec| {
            let known = Before::read(context, &spec.name).map(|before| before.seen).unwrap_or_default();
            let own = all.iter().filter(|worktree| is_of(worktree, spec)).flat_map(heads);
            let own = own.filter(|head| *head != context.spec.base && !known.contains(head));
            (spec.name.clone(), own.collect())
        });
        let tasks = tasks.collect();
        let is_users = |worktree: &&Worktree| {
            !specs().any(|spec| is_of(worktree, spec)) && !git::is_scratch(&worktree.admin_dir)
        };
        let users: Vec<Worktree> = all.iter().filter(is_users).cloned().collect();
        let users_heads = users.iter().flat_map(heads).collect();
        Signs { context, before, refs, me: task.name(), users, users_heads, tasks }
    }

    /// Whose doing it is that the ref went from `old` to `new`, if the task is to be held for it.
    fn whose(&self, name: &Text, old: &Oid, new: Option<&Oid>) -> Option<Whose> {
        let repo = &self.context.repo;
        let Some(new) = new else {
            return (self.is_lost(old) && !self.user_was_on(old)).then_some(Whose::Unknown);
        };
        let commit = git::commit_of(repo, new).unwrap_or_else(|| new.clone());
        if self.user_was_on(&commit) || (self.users_heads.contains(&commit) && !self.is_lost(old)) {
            return None;
        }
        let mut doers = self.tasks.iter().filter(|(name, heads)| self.made(name, heads, &commit)).peekable();
        if doers.peek().is_some() {
            return doers.any(|(name, _)| name == self.me).then_some(Whose::Its);
        }
        let checked_out = self.users.iter().any(|worktree| worktree.branch() == Some(name));
        let git_dirs: Vec<&Path> = self.users.iter().map(|worktree| worktree.admin_dir.as_path()).collect();
        if checked_out || repo.bare || git::was_transferred(repo, name) {
            return None;
        }
        let known = self.was_there(&commit) || git::was_fetched(repo, &commit, &git_dirs);
        (!known || self.is_lost(old)).then_some(Whose::Unknown)
    }

    /// Whether the task's HEAD came to the commit, or what is pinned of a worktree that is gone has it.
    fn made(&self, task: &TaskName, heads: &[Oid], commit: &Oid) -> bool {
        if heads.contains(commit) {
            return true;
        }
        let repo = &self.context.repo;
        let has = |tip: &Oid| git::is_ancestor(repo, commit, tip).unwrap_or(false);
        let spec = self.context.spec.tasks.iter().find(|spec| spec.name == *task);
        let gone = spec.is_some_and(|spec| worktree_of(self.context, spec).is_none());
        if !gone || has(&self.context.spec.base) {
            return false;
        }
        let pins = git::list(repo, &self.context.pin(task, "").to_string()).unwrap_or_default();
        pins.iter().any(|(_, tip)| has(tip))
    }

    /// Whether the user came to this commit, or left it, while the agent ran.
    fn user_was_on(&self, object: &Oid) -> bool {
        let commit = git::commit_of(&self.context.repo, object).unwrap_or_else(|| object.clone());
        let users = |worktree: &Worktree| git::head_was_on(&worktree.admin_dir, &commit, self.before.since);
        self.users.iter().any(users)
    }

    /// Whether a ref was there already, or the base had it in its history.
    fn was_there(&self, commit: &Oid) -> bool {
        let (repo, base) = (&self.context.repo, &self.context.spec.base);
        self.refs.iter().any(|(_, id)| id == commit) || git::is_ancestor(repo, commit, base).unwrap_or(false)
    }

    /// Whether no ref has what this one had.
    fn is_lost(&self, old: &Oid) -> bool {
        let repo = &self.context.repo;
        if !git::has_object(repo, old) {
            return true;
        }
        git::commit_of(repo, old).is_some_and(|commit| !git::is_on_a_ref(repo, &commit).unwrap_or(true))
    }
}

/// How things stood before an attempt.
#[derive(PartialEq, Eq, Debug)]
struct Before {
    attempt: u32,
    /// When it was written, in seconds since 1970.
    since: i64,
    /// What the HEAD of the task's worktree had been on.
    seen: Vec<Oid>,
    /// Which file has the branches and tags of others.
    others: String,
}

impl Before {
    fn read(context: &Context, task: &TaskName) -> Option<Before> {
        Before::parse(&std::fs::read(context.dir.refs(task)).ok()?)
    }

    /// One thing a line.
    fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("attempt {}\nsince {}\nrefs {}\n", self.attempt, self.since, self.others);
        self.seen.iter().for_each(|id| text.push_str(&format!("seen {id}\n")));
        text.into_bytes()
    }

    fn parse(text: &[u8]) -> Option<Before> {
        let mut before = Before { attempt: 0, since: 0, seen: Vec::new(), others: String::new() };
        let utf8 = |word: &[u8]| std::str::from_utf8(word).ok().map(str::to_owned);
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let mut words = line.split(|&byte| byte == b' ');
            match (words.next()?, words.next()?, words.next()) {
                (b"attempt", n, None) => before.attempt = utf8(n)?.parse().ok()?,
                (b"since", time, None) => before.since = utf8(time)?.parse().ok()?,
                (b"seen", id, None) => before.seen.push(utf8(id)?.try_into().ok()?),
                (b"refs", name, None) => before.others = utf8(name)?,
                _ => return None,
            }
        }
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(digit: char) -> Oid {
        digit.to_string().repeat(40).try_into().unwrap()
    }

    #[test]
    fn what_was_written_down_is_read_back() {
        let before = Before {
            attempt: 3,
            since: 1_700_000_000,
            seen: vec![oid('a'), oid('b')],
            others: name_of(b"some"),
        };
        assert_eq!(Before::parse(&before.to_bytes()), Some(before));
        for bad in ["refs x y", "attempt many", "what is this", "seen"] {
            assert_eq!(Before::parse(bad.as_bytes()), None, "{bad}");
        }
        let odd = Text::from(&b"refs/heads/\xff\xc3\xa4"[..]);
        let text =
            [format!("{} refs/tags/v1\n{} ", oid('c'), oid('d')).as_bytes(), odd.as_bstr(), b"\n"].concat();
        assert_eq!(parse_others(&text), Some(vec![("refs/tags/v1".into(), oid('c')), (odd, oid('d'))]));
        assert_eq!(parse_others(b""), Some(Vec::new()));
        assert_eq!(parse_others(b"x refs/heads/a\n"), None);
    }

    #[test]
    fn moves_are_told_with_the_way_back() {
        let (old, new) = (oid('a'), oid('b'));
        let told = [
            words(&"refs/heads/dev".into(), &old, Some(&new), Whose::Its, true),
            words(&"refs/tags/a;b".into(), &old, Some(&new), Whose::Unknown, true),
            words(&"refs/heads/dev".into(), &old, None, Whose::Unknown, true),
            words(&"refs/heads/dev".into(), &old, None, Whose::Unknown, false),
        ];
        insta::assert_snapshot!(told.join("\n"), @r"
        its agent moved branch 'dev' from aaaaaaa to bbbbbbb; to put it back: git update-ref refs/heads/dev aaaaaaaaaaaa bbbbbbbbbbbb
        while its agent ran, tag 'a;b' moved from aaaaaaa to bbbbbbb; to put it back: git update-ref 'refs/tags/a;b' aaaaaaaaaaaa bbbbbbbbbbbb
        while its agent ran, branch 'dev' (at aaaaaaa) was deleted; to put it back: git update-ref refs/heads/dev aaaaaaaaaaaa
        while its agent ran, branch 'dev' (at aaaaaaa) was deleted, and git has thrown it away
        ");
    }
}
