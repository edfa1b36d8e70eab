//! A worktree in the making: made aside, whole, and put in place at once.
//!
//! `git worktree add` writes a worktree's git directory file by file, and another git that looks at that
//! instant fails on the half of it. Here its files are in a directory beside its path, and its git directory
//! is in one of ours; when all is there, two renames put both in place. Until then, what a crash leaves is
//! rubbish by its name, and is deleted as such.
//!
//! The files of the git directory are those of `git worktree add` (`builtin/worktree.c`, git 2.47), byte for
//! byte.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::fan_out::{Blank, Spare};
use super::removal::{aside, delete_tree};
use super::worktree::{MAKING, bookkeeping};
use super::{Expect, Repository, delete_ref, set_ref};
use crate::run::{Oid, Text};

/// Where git directories are made, and how their names begin. Two levels below the common directory, as the
/// finished ones are: the path in `commondir` is right here and there.
const NURSERY: [&str; 2] = ["parallel", "worktree-"];

/// A worktree that nobody can see yet. Dropped, it is taken back, its branch included.
pub struct Unseen {
    repo: Repository,
    path: PathBuf,
    branch: Text,
    base: Oid,
    /// Where its files are written.
    files: PathBuf,
    /// Whose files these were, if there are any yet.
    spare: Option<Arc<Spare>>,
    /// Its git directory for now.
    admin: PathBuf,
    done: bool,
}

/// A new directory for a git directory that is in the making, or that is to go.
pub(super) fn nursery_place(repo: &Repository) -> Result<PathBuf> {
    let [dir, prefix] = NURSERY;
    let dir = repo.common_dir.join(dir);
    let made =
        fs::create_dir_all(&dir).and_then(|()| tempfile::Builder::new().prefix(prefix).tempdir_in(&dir));
    Ok(made.with_context(|| format!("cannot write in {}", dir.display()))?.keep())
}

/// Whether this repository has settings under which worktrees are for git alone to make.
pub fn only_git_can_add(repo: &Repository) -> bool {
    let Some(config) = repo.config() else { return true };
    let set = |key| !matches!(config.bool(key), Ok(None | Some(false)));
    ["extensions.worktreeConfig", "core.sparseCheckout", "worktree.useRelativePaths"].into_iter().any(set)
}

impl Unseen {
    /// Begins a worktree at `path`, on a new `branch` that starts at `base`. Its files go into a
    /// directory beside `path`, and take the place of those of `spare`.
    ///
    /// # Errors
    /// If the path is taken, the branch is there already, or nothing can be written.
    pub fn begin(
        repo: &Repository,
        path: &Path,
        branch: &Text,
        base: &Oid,
        spare: Option<Spare>,
    ) -> Result<Unseen> {
        if path.symlink_metadata().is_ok() {
            bail!("{} is there already", path.display());
        }
        let message = format!("branch: Created from {base}");
        set_ref(repo, branch, base, Expect::MustNotExist, &message)?;
        let made = || -> Result<(PathBuf, PathBuf)> {
            let admin = nursery_place(repo)?;
            Ok((aside(path)?, admin))
        };
        let (files, admin) = made().inspect_err(|_| {
            // The error that led here is what the user gets to see.
            let _ = delete_ref(repo, branch, base);
        })?;
        let (repo, path, branch, base) = (repo.clone(), path.to_owned(), branch.clone(), base.clone());
        let spare = spare.filter(|spare| match fs::rename(&spare.tree, &files) {
            Ok(()) => true,
            Err(_) => {
                // As rubbish by its name, it does not lie there for long if it can't be deleted now.
                let _ = delete_tree(&spare.tree);
                false
            }
        });
        let spare = spare.map(Arc::new);
        let unseen = Unseen { repo, path, branch, base, files, spare, admin, done: false };
        unseen.write_admin()?;
        Ok(unseen)
    }

    /// Whether all its files are to be written.
    pub fn is_new(&self) -> bool {
        self.spare.is_none()
    }

    /// Where its files and its index are to be written.
    pub fn blank(&self) -> Blank {
        Blank { path: self.files.clone(), admin_dir: self.admin.clone(), spare: self.spare.clone() }
    }

    fn write_admin(&self) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        // A temporary directory is private; this one is to be as git makes it.
        let mode = |dir| fs::metadata(dir).map_or(0o755, |meta| meta.permissions().mode());
        let like = mode(&self.repo.common_dir) & 0o7777;
        for dir in [&self.admin, &self.files] {
            let _ = fs::set_permissions(dir, fs::Permissions::from_mode(like | mode(dir) & 0o2000));
        }
        let mut gitdir = Text::from(self.path.join(".git")).as_bstr().to_vec();
        gitdir.push(b'\n');
        let mut head = b"ref: ".to_vec();
        head.extend_from_slice(self.branch.as_bstr());
        head.push(b'\n');
        let orig_head = format!("{}\n", self.base);
        let files: [(&str, &[u8]); 5] = [
            // As git has it, so that nobody prunes it before its files are in place.
            ("locked", MAKING),
            ("gitdir", &gitdir),
            ("commondir", b"../..\n"),
            ("HEAD", &head),
            ("ORIG_HEAD", orig_head.as_bytes()),
        ];
        for (name, content) in files {
            let path = self.admin.join(name);
            fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
        for (name, _) in files {
            sync(&self.admin.join(name))?;
        }
        let refs = self.admin.join("refs");
        fs::create_dir(&refs).with_context(|| format!("cannot create {}", refs.display()))
    }

    /// What `git worktree add` and the reset in it log.
    fn write_reflog(&self) -> Result<()> {
        let logs = match self.repo.config().map(|config| config.string("core.logAllRefUpdates")) {
            Some(Some(value)) => !matches!(value.to_string().as_str(), "false" | "no" | "off" | "0" | ""),
            _ => !self.repo.bare,
        };
        let Some(committer) = self.repo.committer().filter(|_| logs) else { return Ok(()) };
        let dir = self.admin.join("logs");
        fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let (null, base) = (self.repo.null_oid(), &self.base);
        let lines = [(null.as_str(), ""), (base.as_str(), "reset: moving to HEAD")]
            .map(|(old, message)| committer.reflog_line(old, base.as_str(), message))
            .concat();
        let log = dir.join("HEAD");
        fs::write(&log, lines).with_context(|| format!("cannot write {}", log.display()))
    }

    /// Puts it in place, whole.
    ///
    /// # Errors
    /// If something took its path meanwhile, or can't be renamed. It is taken back then.
    pub fn finish(mut self) -> Result<()> {
        self.write_reflog()?;
        let dir = self.repo.common_dir.join("worktrees");
        self.put_in_place(&dir)?;
        sync(&self.admin)?;
        sync(&dir)
    }

    fn put_in_place(&mut self, dir: &Path) -> Result<()> {
        let _guard = bookkeeping();
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let id = self.free_id(dir)?;
        let admin = dir.join(id);
        let mut link = b"gitdir: ".to_vec();
        link.extend_from_slice(Text::from(admin.as_path()).as_bstr());
        link.push(b'\n');
        let file = self.files.join(".git");
        let written = File::create_new(&file).and_then(|mut file| file.write_all(&link));
        written.with_context(|| format!("cannot write {}", file.display()))?;
        if self.path.symlink_metadata().is_ok() {
            bail!("{} is there already", self.path.display());
        }
        fs::rename(&self.admin, &admin).with_context(|| format!("cannot create {}", admin.display()))?;
        self.admin = admin;
        fs::rename(&self.files, &self.path)
            .with_context(|| format!("cannot create {}", self.path.display()))?;
        self.done = true;
        let locked = self.admin.join("locked");
        fs::remove_file(&locked).with_context(|| format!("cannot remove {}", locked.display()))
    }

    /// The name of its git directory: that of its own directory, with a number behind it if that is taken.
    fn free_id(&self, dir: &Path) -> Result<PathBuf> {
        let name = self.path.file_name().context("a worktree has a name")?;
        // git makes such names fit for refs; ours are, but for paths that the configuration gives.
        let plain = name
            .as_encoded_bytes()
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte) || !byte.is_ascii());
        let name = if plain { name.to_owned() } else { "worktree".into() };
        for number in 0_u32.. {
            let mut id = name.clone();
            if number > 0 {
                id.push(number.to_string());
            }
            if dir.join(&id).symlink_metadata().is_err() {
                return Ok(id.into());
            }
        }
        bail!("{} is full", dir.display())
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // The error that led here is what the user gets to see; what stays has a name that tells it for rubbish.
        let _ = fs::remove_dir_all(&self.admin);
        let _ = delete_tree(&self.files);
        let _ = delete_ref(&self.repo, &self.branch, &self.base);
    }
}

fn sync(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.with_context(|| format!("cannot sync {}", path.display()))
}

/// Deletes git directories that a crash left in the making.
pub fn clear_nursery(repo: &Repository) {
    let [dir, prefix] = NURSERY;
    for entry in fs::read_dir(repo.common_dir.join(dir)).into_iter().flatten().flatten() {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            // What can't be deleted is tried again at the next start.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{Sandbox, git_in};
    use crate::git::{Sight, branch_tip, inspect, worktrees};

    fn begin(sandbox: &Sandbox, name: &str) -> Result<Unseen> {
        let repo = sandbox.repository();
        fs::create_dir_all(repo.common_dir.join("parallel")).unwrap();
        fs::create_dir_all(sandbox.root().join("wts")).unwrap();
        let branch = Text::from(format!("refs/heads/feature/{name}"));
        Unseen::begin(&repo, &sandbox.root().join("wts").join(name), &branch, &sandbox.oid("HEAD"), None)
    }

    fn fill(unseen: &Unseen) {
        let filled = crate::git::FanOut::default().write(&unseen.repo, &unseen.base, &[unseen.blank()]);
        filled.into_iter().for_each(|result| drop(result.unwrap()));
    }

    fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![dir.to_owned()];
        while let Some(at) = open.pop() {
            for entry in fs::read_dir(at).unwrap().flatten() {
                let name = entry.path().strip_prefix(dir).unwrap().display().to_string();
                match entry.file_type().unwrap().is_dir() {
                    true => {
                        found.push((name, Vec::new()));
                        open.push(entry.path());
                    }
                    false if name == "index" => found.push((name, Vec::new())),
                    false => found.push((name, fs::read(entry.path()).unwrap())),
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn its_git_directory_is_that_of_git_worktree_add() {
        let sandbox = Sandbox::new();
        // A time of its own would tell the two reflogs apart.
        let unseen = begin(&sandbox, "x").unwrap();
        fill(&unseen);
        let git = || git_in(&sandbox.repo, &["worktree", "list"]);
        assert_eq!(git().lines().count(), 1, "nobody sees it yet");
        unseen.finish().unwrap();
        let path = sandbox.root().join("wts/x");
        assert_eq!(git_in(&path, &["status", "--porcelain", "-b"]), "## feature/x");
        let ours = sandbox.repo.join(".git/worktrees/x");
        assert_eq!(inspect(&path, &ours), Sight::Ours);
        let ours = files(&ours);
        sandbox.git(&["worktree", "remove", path.to_str().unwrap()]);
        sandbox.git(&["branch", "-D", "feature/x"]);
        sandbox.git(&["worktree", "add", "-q", "-b", "feature/x", path.to_str().unwrap()]);
        let gits = files(&sandbox.repo.join(".git/worktrees/x"));
        let plain = |files: &[(String, Vec<u8>)]| -> Vec<(String, String)> {
            let digits = |text: String| {
                let mut fields: Vec<&str> = text.split(' ').collect();
                // The time in a reflog's line.
                fields.retain(|field| field.len() != 10 || field.parse::<u64>().is_err());
                fields.join(" ")
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            files.iter().map(|(name, bytes)| (name.clone(), digits(text(bytes)))).collect()
        };
        assert_eq!(plain(&ours), plain(&gits));
        sandbox.fsck();
    }

    #[test]
    fn what_is_dropped_leaves_nothing() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        drop(begin(&sandbox, "x").unwrap());
        assert_eq!(fs::read_dir(sandbox.root().join("wts")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(repo.common_dir.join("parallel")).unwrap().count(), 0);
        assert_eq!(branch_tip(&repo, &"refs/heads/feature/x".into()).unwrap(), None);
        sandbox.git(&["branch", "feature/x"]);
        assert!(begin(&sandbox, "x").is_err());
        assert!(
            branch_tip(&repo, &"refs/heads/feature/x".into()).unwrap().is_some(),
            "not ours, so it stays"
        );
        fs::write(sandbox.root().join("wts/y"), "").unwrap();
        assert!(begin(&sandbox, "y").is_err());
        assert_eq!(branch_tip(&repo, &"refs/heads/feature/y".into()).unwrap(), None);
    }

    #[test]
    fn a_path_that_is_taken_meanwhile_stays() {
        let sandbox = Sandbox::new();
        let unseen = begin(&sandbox, "x").unwrap();
        fill(&unseen);
        let path = sandbox.root().join("wts/x");
        fs::create_dir(&path).unwrap();
        assert!(unseen.finish().is_err());
        assert!(path.is_dir());
        assert_eq!(worktrees(&sandbox.repository()).unwrap().len(), 1);
    }

    #[test]
    fn names_that_are_taken_get_a_number() {
        let sandbox = Sandbox::new();
        for (name, dir) in [("a/x", "x"), ("b/x", "x1")] {
            fs::create_dir_all(sandbox.root().join("wts").join(name).parent().unwrap()).unwrap();
            let unseen = begin(&sandbox, name).unwrap();
            fill(&unseen);
            unseen.finish().unwrap();
            let admin = sandbox.repo.join(".git/worktrees").join(dir);
            assert_eq!(inspect(&sandbox.root().join("wts").join(name), &admin), Sight::Ours);
        }
        let nursery = sandbox.repo.join(".git/parallel/worktree-left");
        fs::create_dir(&nursery).unwrap();
        clear_nursery(&sandbox.repository());
        assert!(!nursery.exists());
    }
}
