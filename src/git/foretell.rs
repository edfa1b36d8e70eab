//! What would collide if branches were landed, found out without touching anything.
//!
//! Each branch is asked to be merged with the target, as landing it now would do. Two branches are merged
//! with each other from their own merge base, as git would for the second after the first has landed: what
//! the target got meanwhile is in neither side's changes, so it does not count. Where two branches left the
//! target at different commits, merging them also meets what the target got in between; a path that only one
//! of them changed and that collides with the target anyway is then told of the target alone.
//!
//! Only pairs whose changes [`overlaps`] are merged, all by one `git merge-tree --stdin`, under the user's
//! configuration and the attributes of the commit that the branch left the target at (of the first branch or of the
//! target, if it changed them). The objects that git makes on the way go to a directory that is then removed.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::changed::changed_since;
use super::refs::merge_bases;
use super::{Git, Leash, Repository};
use crate::run::{Changes, Oid, Text, overlaps};

/// What landing a branch on the target would come to now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outlook {
    /// It would land, or has nothing to land.
    Clean,
    /// These paths would collide; none is named where only directories do, that were renamed.
    Collides(Vec<Text>),
    /// It has no history in common with the target.
    Unrelated,
}

/// Two branches that collide, by their places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clash {
    /// The first of them.
    pub one: usize,
    /// The later one.
    pub other: usize,
    /// Where; empty where only directories do, that were renamed.
    pub paths: Vec<Text>,
}

/// What would collide with what.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Foretold {
    /// Each branch with the target.
    pub with_target: Vec<Outlook>,
    /// The pairs that collide, in order. A branch that is unrelated to the target is in none.
    pub clashes: Vec<Clash>,
}

/// A merge to be tried.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct Trial {
    /// The commit whose attributes count.
    attributes: Oid,
    ours: Oid,
    theirs: Oid,
}

/// The paths that collide; `None` if the merge is clean.
type Verdict = Option<Vec<Text>>;

/// What was found out so far, so that the next look has to find out only what is new.
#[derive(Default)]
pub struct Foresight {
    changes: HashMap<(Vec<Oid>, Oid), Arc<Changes>>,
    verdicts: HashMap<Trial, Verdict>,
}

/// A branch, and how it and the target went on since they parted.
struct Branch {
    place: usize,
    tip: Oid,
    bases: Vec<Oid>,
    changes: Arc<Changes>,
    of_target: Arc<Changes>,
}

impl Foresight {
    /// Looks at these branches, by their tips, and at the target. Another thread can end it by the leash.
    ///
    /// # Errors
    /// If history can't be read, git fails, or the leash was pulled.
    pub fn look(&mut self, repo: &Repository, target: &Oid, tips: &[Oid], leash: &Leash) -> Result<Foretold> {
        let branches = self.branches(repo, target, tips)?;
        let landings = branches.iter().filter(|b| !overlaps(&[&b.of_target, &b.changes]).is_empty());
        let landings: Vec<_> = landings.map(|b| (b, b.trial(target, None))).collect();
        let pairs = related_pairs(repo, &branches)?;
        let pairs: Vec<_> = pairs.into_iter().map(|(a, b)| (a, b, a.trial(target, Some(b)))).collect();
        self.try_all(repo, landings.iter().map(|l| &l.1).chain(pairs.iter().map(|p| &p.2)), leash)?;

        let mut with_target = vec![Outlook::Unrelated; tips.len()];
        branches.iter().for_each(|branch| with_target[branch.place] = Outlook::Clean);
        for (branch, trial) in &landings {
            if let Some(Some(paths)) = self.verdicts.get(trial) {
                with_target[branch.place] = Outlook::Collides(paths.clone());
            }
        }
        let mut clashes = Vec::new();
        for (a, b, trial) in &pairs {
            let Some(Some(paths)) = self.verdicts.get(trial) else { continue };
            let theirs_alone = |path: &&Text| !is_the_targets(a, b, path, &with_target);
            let left: Vec<Text> = paths.iter().filter(theirs_alone).cloned().collect();
            if !left.is_empty() || paths.is_empty() {
                clashes.push(Clash { one: a.place, other: b.place, paths: left });
            }
        }
        self.forget(landings.iter().map(|l| &l.1).chain(pairs.iter().map(|p| &p.2)));
        Ok(Foretold { with_target, clashes })
    }

    fn branches(&mut self, repo: &Repository, target: &Oid, tips: &[Oid]) -> Result<Vec<Branch>> {
        let mut branches = Vec::new();
        for (place, tip) in tips.iter().enumerate() {
            let mut bases = merge_bases(repo, target, tip)?;
            bases.sort();
            if !bases.is_empty() {
                let (changes, of_target) =
                    (self.changes(repo, &bases, tip)?, self.changes(repo, &bases, target)?);
                branches.push(Branch { place, tip: tip.clone(), bases, changes, of_target });
            }
        }
        Ok(branches)
    }

    fn changes(&mut self, repo: &Repository, bases: &[Oid], tip: &Oid) -> Result<Arc<Changes>> {
        let key = (bases.to_vec(), tip.clone());
        if let Some(known) = self.changes.get(&key) {
            return Ok(Arc::clone(known));
        }
        let changes = Arc::new(changed_since(repo, bases, tip)?);
        self.changes.insert(key, Arc::clone(&changes));
        Ok(changes)
    }

    /// Makes the merges that were not made yet: one git for all that go by the same attributes.
    fn try_all<'a>(
        &mut self,
        repo: &Repository,
        all: impl Iterator<Item = &'a Trial>,
        leash: &Leash,
    ) -> Result<()> {
        let mut new: BTreeMap<&Oid, Vec<&Trial>> = BTreeMap::new();
        for trial in all.filter(|trial| !self.verdicts.contains_key(trial)) {
            new.entry(&trial.attributes).or_default().push(trial);
        }
        if new.is_empty() {
            return Ok(());
        }
        let scratch = Scratch::new(repo)?;
        for (attributes, trials) in new {
            let verdicts = merge_many(repo, &scratch, attributes, &trials, leash)?;
            self.verdicts.extend(trials.into_iter().cloned().zip(verdicts));
        }
        Ok(())
    }

    /// Keeps only what this look was about.
    fn forget<'a>(&mut self, trials: impl Iterator<Item = &'a Trial>) {
        // Those that the branches of this look hold.
        self.changes.retain(|_, changes| Arc::strong_count(changes) > 1);
        let mut verdicts = std::mem::take(&mut self.verdicts);
        self.verdicts = trials.filter_map(|trial| verdicts.remove_entry(trial)).collect();
    }
}

impl Branch {
    /// The merge of the branch into the target, or of another branch into this one.
    fn trial(&self, target: &Oid, other: Option<&Branch>) -> Trial {
        const ATTRIBUTES: &str = ".gitattributes";
        // Of commits with the same attributes the older one: a target that moves on makes nothing new then.
        let attributes = match &self.bases[..] {
            _ if other.is_some() && self.changes.touches_any(ATTRIBUTES) => &self.tip,
            [base] if !self.of_target.touches_any(ATTRIBUTES) => base,
            _ => target,
        };
        let (ours, theirs) = other.map_or((target, &self.tip), |other| (&self.tip, &other.tip));
        Trial { attributes: attributes.clone(), ours: ours.clone(), theirs: theirs.clone() }
    }
}

/// The pairs that may collide. git refuses to merge what has no history in common.
fn related_pairs<'a>(repo: &Repository, branches: &'a [Branch]) -> Result<Vec<(&'a Branch, &'a Branch)>> {
    let sets: Vec<&Changes> = branches.iter().map(|branch| &*branch.changes).collect();
    let mut pairs = Vec::new();
    for (a, b) in overlaps(&sets) {
        let (a, b) = (&branches[a], &branches[b]);
        let related = a.bases == b.bases || !merge_bases(repo, &a.tip, &b.tip)?.is_empty();
        if related && a.tip != b.tip {
            pairs.push((a, b));
        }
    }
    Ok(pairs)
}

/// Whether a path collides in a pair only because the target changed it between the commits where the two left it.
fn is_the_targets(a: &Branch, b: &Branch, path: &Text, with_target: &[Outlook]) -> bool {
    let collides = |branch: &Branch| matches!(&with_target[branch.place], Outlook::Collides(paths) if paths.contains(path));
    let both = a.changes.touches(path) && b.changes.touches(path);
    a.bases != b.bases && !both && (collides(a) || collides(b))
}

/// A place for objects that nobody will want again.
struct Scratch {
    dir: tempfile::TempDir,
    alternates: OsString,
}

impl Scratch {
    fn new(repo: &Repository) -> Result<Scratch> {
        let dir = tempfile::Builder::new().prefix("git-parallel-").tempdir();
        let dir = dir.context("cannot make a temporary directory")?;
        Ok(Scratch { dir, alternates: quoted(&repo.common_dir.join("objects")) })
    }

    /// git, reading the repository's objects and writing new ones here, as cheaply as it can.
    fn git(&self, repo: &Repository, attributes: &Oid) -> Git {
        repo.git()
            .env("GIT_OBJECT_DIRECTORY", self.dir.path())
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.alternates)
            .env("GIT_ATTR_SOURCE", attributes.as_str())
            .args([
                "-c",
                "core.fsync=none",
                "-c",
                "core.looseCompression=0",
                "-c",
                "core.createObject=rename",
            ])
            .args(["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"])
    }
}

/// A path in a list with colons (`GIT_ALTERNATE_OBJECT_DIRECTORIES` in git(1)): one that has a colon itself is
/// quoted as in C.
fn quoted(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes();
    if !bytes.contains(&b':') && !bytes.starts_with(b"\"") {
        return path.into();
    }
    let mut quoted = vec![b'"'];
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', byte]),
            b'\n' => quoted.extend(b"\\n"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}

fn merge_many(
    repo: &Repository,
    scratch: &Scratch,
    attributes: &Oid,
    trials: &[&Trial],
    leash: &Leash,
) -> Result<Vec<Verdict>> {
    /// How git ends where it does not know an option: `--stdin` came with git 2.39.
    const USAGE: i32 = 129;
    let lines: String = trials.iter().map(|trial| format!("{} {}\n", trial.ours, trial.theirs)).collect();
    let output = scratch.git(repo, attributes).arg("--stdin").stdin(lines).on(leash).output()?;
    match output.code {
        Some(0) => parse(&output.stdout, trials),
        Some(USAGE) => trials.iter().map(|trial| merge_one(repo, scratch, trial, leash)).collect(),
        _ => Err(output.to_error("merge-tree").into()),
    }
}

fn merge_one(repo: &Repository, scratch: &Scratch, trial: &Trial, leash: &Leash) -> Result<Verdict> {
    let git = scratch.git(repo, &trial.attributes).args([trial.ours.as_str(), trial.theirs.as_str()]);
    let output = git.on(leash).output()?;
    let fields = super::command::split_nul(&output.stdout).skip(1);
    match output.code {
        Some(0) => Ok(None),
        Some(1) => Ok(Some(conflict_paths(fields, [&trial.ours, &trial.theirs]))),
        _ => Err(output.to_error("merge-tree").into()),
    }
}

/// Reads the answers of `git merge-tree --stdin -z --name-only --no-messages`: for each merge `1` (clean) or
/// `0`, the tree, the paths that collide, and an empty field (git-merge-tree(1), "OUTPUT").
fn parse(stdout: &[u8], trials: &[&Trial]) -> Result<Vec<Verdict>> {
    let mut fields = stdout.split(|&byte| byte == 0);
    let mut verdicts = Vec::new();
    for trial in trials {
        let (status, _tree) = (fields.next(), fields.next());
        let paths: Vec<&[u8]> = fields.by_ref().take_while(|field| !field.is_empty()).collect();
        match status {
            Some(b"1") => verdicts.push(None),
            Some(b"0") => {
                verdicts.push(Some(conflict_paths(paths.into_iter(), [&trial.ours, &trial.theirs])));
            }
            _ => bail!("git merge-tree gave {} answers to {} questions", verdicts.len(), trials.len()),
        }
    }
    Ok(verdicts)
}

/// The paths that collide, each once, in order. Where a file is in the way of a directory, git calls it
/// `path~branch`; branches are object ids here, and nobody wants to read those.
pub(super) fn conflict_paths<'a>(fields: impl Iterator<Item = &'a [u8]>, sides: [&Oid; 2]) -> Vec<Text> {
    let plain = |field: &'a [u8]| {
        let at = field.iter().rposition(|&byte| byte == b'~')?;
        let rest = std::str::from_utf8(&field[at + 1..]).ok()?;
        let (id, number) = rest.split_once('_').unwrap_or((rest, "0"));
        let named =
            sides.iter().any(|side| side.as_str() == id) && number.bytes().all(|b| b.is_ascii_digit());
        named.then(|| &field[..at])
    };
    let mut paths: Vec<Text> = fields.map(|field| Text::from(plain(field).unwrap_or(field))).collect();
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
#[path = "foretell_tests.rs"]
mod tests;
