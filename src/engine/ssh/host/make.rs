//! Making what a job needs, and starting it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::super::fetch::put_file;
use super::super::words::{Order, Progress};
use super::place::{CACHED, Job, make_private};
use crate::git::{self, Git};
use crate::run::{Oid, Text};
use crate::shim::{self, Far, ShimSpec};

impl Job {
    /// Takes commits into the mirror.
    pub(super) fn push(&self, base: &Oid, shallow: &[Oid], pack: File) -> Result<()> {
        if !shallow.is_empty() {
            let mut all = git::shallow(&self.mirror);
            all.extend(shallow.iter().filter(|id| !all.contains(id)).cloned().collect::<Vec<_>>());
            let text: String = all.iter().map(|id| format!("{id}\n")).collect();
            crate::store::write_atomically(&self.mirror.join("shallow"), text.as_bytes())?;
        }
        let had = self.had()?;
        git::unpack(&self.mirror, pack)?;
        git::check_whole(&self.mirror, std::slice::from_ref(base), &had)?;
        self.set_mirror_ref(CACHED, base)
    }

    fn set_mirror_ref(&self, name: &str, commit: &Oid) -> Result<()> {
        let git = Git::new().git_dir(&self.mirror).retry_locks();
        git.args(["update-ref", name, commit.as_str()]).ok().map(drop)
    }

    /// Makes its repository and its worktree, whatever was half made before.
    pub(super) fn make(&self, order: &Order, pack: File) -> Result<()> {
        let _held = self.hold()?;
        if self.progress()? != Progress::New {
            bail!("the job is there already");
        }
        self.clear()?;
        self.set_mirror_ref(&self.pin(), &order.base)?;
        let (git_dir, worktree) = (self.git_dir(), self.worktree());
        make_private(&worktree)?;
        make_private(&self.record())?;
        self.init(&git_dir, &["--bare"])?;
        let objects = [self.mirror.join("objects").as_os_str().as_encoded_bytes(), b"\n"].concat();
        fs::create_dir_all(git_dir.join("objects/info"))?;
        fs::write(git_dir.join("objects/info/alternates"), objects)?;
        // An alternate's history ends where it ends here.
        if let Ok(shallow) = fs::read(self.mirror.join("shallow")) {
            fs::write(git_dir.join("shallow"), shallow)?;
        }
        fs::write(worktree.join(".git"), self.git_file().as_bstr())?;
        let git = || Git::new().git_dir(&git_dir);
        git().args(["config", "core.bare", "false"]).ok()?;
        for (key, value) in &order.config {
            git().args(["config", key]).arg(value.as_os_str()).ok()?;
        }
        make_private(&git_dir.join("info"))?;
        fs::write(git_dir.join("info/exclude"), order.exclude.as_bstr())?;
        fs::write(git_dir.join("info/attributes"), order.attributes.as_bstr())?;
        git::unpack(&git_dir, pack)?;
        git::check_whole(&git_dir, &order.standing.needed(), std::slice::from_ref(&order.base))?;
        if order.standing.branch.as_ref() != Some(&order.target) {
            git().arg("update-ref").arg(order.target.as_os_str()).arg(order.base.as_str()).ok()?;
        }
        git::put(&worktree, &order.standing, "parallel: begin")?;
        if let Some(prompt) = &order.prompt {
            crate::store::write_atomically(&self.dir.join("prompt.md"), prompt.as_bstr())?;
        }
        crate::store::write_atomically(&self.dir.join("order.new"), &serde_json::to_vec(order)?)?;
        Ok(())
    }

    /// Removes what is in its directory.
    fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir)?.flatten() {
            remove(&entry.path())?;
        }
        Ok(())
    }

    /// Puts a file into the worktree.
    pub(super) fn put_file(&self, path: &Text, mode: Option<u32>, content: File) -> Result<()> {
        put_file(&self.worktree(), path, mode, content)
    }

    /// All of it is there.
    pub(super) fn made(&self) -> Result<()> {
        fs::rename(self.dir.join("order.new"), self.order_file()).context("the job was not made")
    }

    /// Starts its agent, unless somebody has.
    pub(super) fn start(&self, spec: ShimSpec) -> Result<()> {
        let _held = self.hold()?;
        if self.progress()? != Progress::Made {
            return Ok(());
        }
        let Some(far) = spec.far else { bail!("the job has no name") };
        let far = Far { git_file: Some(self.git_file()), ..far };
        let (dir, cwd) = (self.record().into(), self.worktree().into());
        let spec = ShimSpec { dir, cwd, far: Some(far), ..spec };
        shim::start_detached(&spec).context("cannot start the shim").map(drop)
    }

    /// Removes all that belongs to it.
    pub(super) fn remove(&self) -> Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        let _held = self.hold()?;
        self.await_end()?;
        // Without its order, what is left of it is half made.
        remove(&self.order_file())?;
        let git = Git::new().git_dir(&self.mirror).retry_locks();
        git.args(["update-ref", "-d", &self.pin()]).ok()?;
        remove(&self.dir)?;
        // It goes with the last of them.
        let _ = self.dir.parent().map(fs::remove_dir);
        Ok(())
    }
}

/// Removes a file or a directory, also one in which an agent took the right to write away.
fn remove(path: &Path) -> Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    let is_dir = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    let removed = match gone(removed) {
        Err(e) if is_dir && e.kind() == io::ErrorKind::PermissionDenied => {
            loosen(path);
            gone(fs::remove_dir_all(path))
        }
        other => other,
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

fn loosen(dir: &Path) {
    let _ = fs::set_permissions(dir, Permissions::from_mode(0o700));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            loosen(&entry.path());
        }
    }
}
