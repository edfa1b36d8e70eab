//! Telling what a job left, when it is over.

use std::fs::{self, File, Metadata};
use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, bail};

use super::super::words::Left;
use super::place::{Job, is_below};
use crate::git::{self, Git, Head, Standing, Wanted};
use crate::run::{Oid, Text};

/// The most that is sent of files that git ignores.
const MOST_BYTES: u64 = 64 << 20;
const MOST_FILES: usize = 1000;

/// Files with their modes, or that they are too many.
type Ignored = (Vec<(Text, Option<u32>)>, Option<String>);

impl Job {
    /// What it left, and a pack with all of that.
    pub(super) fn gather(&self, disposable: &[String]) -> Result<(Left, File)> {
        let _held = self.hold()?;
        let order = self.order()?.context("there is no such job")?;
        self.await_end()?;
        let git_dir = self.git_dir();
        // Nobody is at work there any more: what a killed git left would be in the way.
        git::clear_own_locks(&git_dir);
        let (standing, trouble) = match self.standing(order.attempt) {
            Ok(standing) => (standing, None),
            Err(e) => (self.bare_standing(), Some(format!("{e:#}"))),
        };
        let reflog = fs::read(git_dir.join("logs/HEAD")).unwrap_or_default();
        let mut had = order.standing.needed();
        had.push(order.base);
        let commits = git::known(&git_dir, &standing.commits())?;
        let pack = git::pack(&git_dir, &Wanted { commits, refs: true, index: true, had })?;
        let (ignored, too_much) = match trouble {
            None => self.ignored(disposable)?,
            Some(_) => Default::default(),
        };
        let reflog = Text::from(reflog.as_slice());
        let left = Left { standing, refs: self.refs()?, reflog, trouble, ignored, too_much };
        Ok((left, pack))
    }

    /// Ignored files that are new or were changed, and whether they are too many.
    fn ignored(&self, disposable: &[String]) -> Result<Ignored> {
        let changed = |meta: &Metadata| (meta.ctime(), meta.ctime_nsec());
        // What was sent was there before that.
        let begin = changed(&self.order_file().symlink_metadata()?);
        let (mut found, mut size, mut odd) = (Vec::new(), 0, false);
        for path in git::ignored_files(&self.worktree(), disposable)? {
            let Ok(meta) = self.worktree().join(path.as_path()).symlink_metadata() else { continue };
            if changed(&meta) <= begin {
                continue;
            }
            size += meta.len();
            odd |= !meta.is_file() && !meta.is_symlink();
            found.push((path, meta.is_file().then(|| meta.mode() & 0o777)));
        }
        if odd || size > MOST_BYTES || found.len() > MOST_FILES {
            let what = format!("{} ignored files ({size} bytes)", found.len());
            return Ok((Vec::new(), Some(format!("{what} in {}", self.worktree().display()))));
        }
        Ok((found, None))
    }

    /// What is in an ignored file, or the target of a link.
    pub(super) fn file(&self, path: &Text) -> Result<File> {
        let place = self.worktree().join(path.as_path());
        if !is_below(path.as_path()) {
            bail!("'{path}' is no path in a worktree");
        }
        if place.symlink_metadata()?.is_symlink() {
            let mut file = tempfile::tempfile_in(&self.dir)?;
            file.write_all(fs::read_link(&place)?.as_os_str().as_encoded_bytes())?;
            file.rewind()?;
            return Ok(file);
        }
        File::open(&place).with_context(|| format!("cannot read {}", place.display()))
    }

    fn standing(&self, attempt: u32) -> Result<Standing> {
        let worktree = self.worktree();
        let file = fs::read(worktree.join(".git")).ok();
        if file.as_deref() != Some(self.git_file().as_bstr().as_ref()) {
            bail!("its agent replaced its worktree, or the .git file there: {}", worktree.display());
        }
        if let Some(nested) = git::changes(&worktree)?.nested.first() {
            bail!(
                "its worktree holds a repository of its own: {}",
                worktree.join(nested.as_path()).display()
            );
        }
        git::standing(&worktree, &format!("{}: uncommitted files of attempt {attempt}\n", self.token))
    }

    /// Without its files, which can't be had.
    fn bare_standing(&self) -> Standing {
        let git_dir = self.git_dir();
        match git::head(&git_dir) {
            Ok(Head::Branch(name)) => {
                let refs = self.refs().unwrap_or_default();
                let commit = refs.into_iter().find(|(found, _)| *found == name).map(|(_, commit)| commit);
                Standing { branch: Some(name), commit, ..Standing::default() }
            }
            Ok(Head::Detached(commit)) => Standing { commit: Some(commit), ..Standing::default() },
            Err(_) => Standing::default(),
        }
    }

    /// Its refs to commits, and the commits that its tags are of.
    fn refs(&self) -> Result<Vec<(Text, Oid)>> {
        let git_dir = self.git_dir();
        let format = "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end) %(refname)";
        let said = Git::new().git_dir(&git_dir).args(["for-each-ref", format]).ok()?;
        let parse = |line: &[u8]| {
            let at = line.iter().position(|byte| *byte == b' ')?;
            let oid = Oid::try_from(std::str::from_utf8(&line[..at]).ok()?).ok()?;
            Some((Text::from(&line[at + 1..]), oid))
        };
        let mut refs: Vec<(Text, Oid)> = said.split(|byte| *byte == b'\n').filter_map(parse).collect();
        let objects: Vec<Oid> = refs.iter().map(|(_, oid)| oid.clone()).collect();
        let commits = git::known(&git_dir, &objects)?;
        refs.retain(|(_, oid)| commits.contains(oid));
        Ok(refs)
    }
}
