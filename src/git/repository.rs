//! Which repository this is, asked of git once; from then on every path is explicit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow};

use super::counted::exists;
use super::history::Commits;
use super::identity::{Part, Who, may_differ};
use super::listed::Listed;
use super::trunk::Trunk;
use super::{Config, Git};
use crate::error::{Failure, exit};
use crate::run::{Oid, Text};

/// A repository, and where in it we were called.
#[derive(Clone)]
pub struct Repository {
    /// What all worktrees share: `.git` of the main worktree, or the bare repository.
    pub common_dir: PathBuf,
    /// The git directory of the worktree we were called in.
    pub git_dir: PathBuf,
    /// The top of the worktree we were called in, if we were in one.
    pub workdir: Option<PathBuf>,
    /// The main worktree; `None` in a bare repository, and where git itself has no way to tell from here
    /// (a linked worktree of a repository made with `--separate-git-dir`).
    pub main_worktree: Option<PathBuf>,
    /// The repository has no main worktree.
    pub bare: bool,
    /// Digits of an object id: 40 for SHA-1, 64 for SHA-256.
    pub hex_len: usize,
    gix: gix::ThreadSafeRepository,
    known: Arc<Known>,
}

/// What git is asked, or read, at most once; `None` where it could not tell.
#[derive(Default)]
struct Known {
    config: OnceLock<Option<Config>>,
    committer: OnceLock<Option<Who>>,
    author: OnceLock<Option<Who>>,
    attributes: OnceLock<bool>,
    commits: Commits,
    trunk: Trunk,
    listed: Mutex<Listed>,
}

impl Repository {
    /// Finds the repository that `cwd` is in, or that `GIT_DIR` names, as git itself does.
    ///
    /// # Errors
    /// A [`Failure`] with git's own words if there is none or git does not trust it, and if it keeps its
    /// refs in a way that we can't read.
    pub fn discover(cwd: &Path) -> Result<Repository> {
        let Answer { common_dir, git_dir, format, workdir, bare } = ask(cwd)?;
        if common_dir.join("reftable").is_dir() {
            let message = format!("{} keeps its refs as a reftable", common_dir.display());
            return Err(Failure::new(exit::REFUSED, message)
                .hint("git parallel needs the 'files' format: git refs migrate --ref-format=files")
                .into());
        }
        let main_worktree = match &workdir {
            _ if bare => None,
            Some(top) if git_dir == common_dir => Some(top.clone()),
            _ => main_worktree(&common_dir)?,
        };
        let hex_len = if format == "sha256" { 64 } else { 40 };
        let gix = open(&common_dir)?;
        let known = Arc::default();
        Ok(Repository { common_dir, git_dir, workdir, main_worktree, bare, hex_len, gix, known })
    }

    /// The main worktree, or the git directory where there is none.
    pub fn root(&self) -> &Path {
        self.main_worktree.as_deref().unwrap_or(&self.common_dir)
    }

    /// The id that stands for no object.
    pub fn null_oid(&self) -> String {
        "0".repeat(self.hex_len)
    }

    /// git, at work on what all worktrees share.
    pub fn git(&self) -> Git {
        Git::new().git_dir(&self.common_dir)
    }

    /// The settings in force, as they were when they were first read. `None` if they can't be read.
    pub(super) fn config(&self) -> Option<&Config> {
        let load = || Config::list(Git::new().git_dir(&self.git_dir)).ok();
        self.known.config.get_or_init(load).as_ref()
    }

    pub(super) fn remember_config(&self, config: &Config) {
        // The first reading counts.
        let _ = self.known.config.set(Some(config.clone()));
    }

    /// Whom git names as committer, and in reflogs. `None` if it does not know.
    pub(super) fn committer(&self) -> Option<&Who> {
        self.known.committer.get_or_init(|| Who::ask(self, Part::Committer).ok()).as_ref()
    }

    /// Whom git names as author. `None` if it does not know.
    pub(super) fn author(&self) -> Option<&Who> {
        let ask = || match may_differ(self) {
            true => Who::ask(self, Part::Author).ok(),
            false => self.committer().cloned(),
        };
        self.known.author.get_or_init(ask).as_ref()
    }

    pub(super) fn remember(&self, committer: Who, author: Who) {
        let _ = self.known.committer.set(Some(committer));
        let _ = self.known.author.set(Some(author));
    }

    /// Whether the user or the system may have a file of attributes, for all repositories.
    pub(super) fn has_attributes_elsewhere(&self) -> bool {
        let ask = |which: &str| -> Option<bool> {
            let output = self.git().args(["var", which]).output().ok()?;
            // Told to git not to look, it exits with 1 and says nothing.
            match (output.code, output.stdout.strip_suffix(b"\n")) {
                (Some(0), Some(path)) => Some(exists(Text::from(path).as_path())),
                (Some(1), None) => Some(false),
                _ => None,
            }
        };
        let any = || ["GIT_ATTR_SYSTEM", "GIT_ATTR_GLOBAL"].iter().any(|which| ask(which).unwrap_or(true));
        *self.known.attributes.get_or_init(any)
    }

    /// gix, for reading in this process. Its own HEAD is that of the main worktree.
    pub(super) fn gix(&self) -> gix::Repository {
        self.gix.to_thread_local()
    }

    /// gix, for walking through history.
    pub(super) fn history(&self) -> gix::Repository {
        self.known.commits.serve(self.gix())
    }

    /// What is known of the target's history.
    pub(super) fn trunk(&self) -> &Trunk {
        &self.known.trunk
    }

    /// What is known of branches and tags.
    pub(super) fn listed(&self) -> MutexGuard<'_, Listed> {
        self.known.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id as gix has it.
    pub(super) fn gix_id(oid: &Oid) -> Result<gix::ObjectId> {
        gix::ObjectId::from_hex(oid.as_str().as_bytes()).map_err(|error| anyhow!("{oid}: {error}"))
    }
}

/// The installed git's version.
///
/// # Errors
/// If git can't be run, or answers with something that is no version.
pub fn git_version() -> Result<(u32, u32, u32)> {
    let line = Git::new().arg("version").line()?.to_string();
    parse_version(&line).with_context(|| format!("not a version of git: '{line}'"))
}

/// Reads `git version 2.39.3 (Apple Git-146)`, `2.47.0.rc1` and their like.
fn parse_version(line: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = line.strip_prefix("git version ")?.split(['.', ' ', '-']);
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor, numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0)))
}

/// What git says of the place where the user stands.
struct Answer {
    common_dir: PathBuf,
    git_dir: PathBuf,
    format: String,
    workdir: Option<PathBuf>,
    bare: bool,
}

fn ask(cwd: &Path) -> Result<Answer> {
    let queries = [
        "--git-common-dir",
        "--git-dir",
        "--show-object-format",
        "--is-bare-repository",
        "--is-inside-work-tree",
        // Last, since it fails where there is no worktree, after all the others have been answered.
        "--show-toplevel",
    ];
    let output = Git::new()
        .of_user()
        .in_dir(cwd)
        .args(["rev-parse", "--path-format=absolute"])
        .args(queries)
        .output()?;
    let answer = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
    let lines: Vec<&[u8]> = answer.split(|&byte| byte == b'\n').collect();
    let (common, git_dir, format, bare, top) = match (output.code, &lines[..]) {
        (Some(0), [common, git_dir, format, bare, b"true", top]) => {
            (common, git_dir, format, bare, Some(top))
        }
        (_, [common, git_dir, format, bare, b"false"]) => (common, git_dir, format, bare, None),
        (Some(0), _) => {
            let message = "the path of this repository has a line feed in it";
            return Err(Failure::new(exit::REFUSED, message).into());
        }
        _ => {
            let error = output.to_error("rev-parse");
            let words = error.words.trim_start_matches("fatal: ").to_owned();
            let message = if words.is_empty() { error.to_string() } else { words };
            let failure = Failure::new(exit::REFUSED, message.as_str());
            // What else git may say, of owners for instance, tells what to do by itself.
            return Err(match message.starts_with("not a git repository") {
                true => {
                    failure.hint("go into one, or make one: git init; to see what this is: git parallel demo")
                }
                false => failure,
            }
            .into());
        }
    };
    let path = |bytes: &[u8]| -> Result<PathBuf> {
        let path = Text::from(bytes).to_path_buf();
        path.canonicalize().with_context(|| format!("cannot read {}", path.display()))
    };
    let (common_dir, git_dir) = (path(common)?, path(git_dir)?);
    // A linked worktree of a bare repository is not bare itself, and the user's environment may say
    // something else than the repository.
    let here = common_dir == git_dir && std::env::var_os("GIT_WORK_TREE").is_none();
    let bare = match here && std::env::var_os("GIT_DIR").is_none() {
        true => *bare == b"true",
        false => {
            let asked = Git::new().git_dir(&common_dir).args(["rev-parse", "--is-bare-repository"]).line()?;
            asked == Text::from("true")
        }
    };
    let format = String::from_utf8_lossy(format).into_owned();
    Ok(Answer { common_dir, git_dir, format, workdir: top.map(|top| Text::from(*top).to_path_buf()), bare })
}

/// The main worktree as seen from elsewhere: what `core.worktree` says (submodules have it), else what
/// `.git` lies in. `git worktree list` knows only the second rule.
fn main_worktree(common_dir: &Path) -> Result<Option<PathBuf>> {
    let configured = Git::new().git_dir(common_dir).args(["config", "--get", "core.worktree"]).output()?;
    if configured.code == Some(0) {
        let path = Text::from(configured.stdout.trim_ascii_end()).to_path_buf();
        let path = common_dir.join(path);
        return Ok(Some(path.canonicalize().unwrap_or(path)));
    }
    let parent = common_dir.parent().filter(|_| common_dir.file_name().is_some_and(|name| name == ".git"));
    Ok(parent.map(Path::to_path_buf))
}

/// Opens it with gix, which is to obey the repository's own configuration only: git has decided already
/// that the repository may be trusted.
fn open(common_dir: &Path) -> Result<gix::ThreadSafeRepository> {
    let options = gix::open::Options::isolated().with(gix::sec::Trust::Full).open_path_as_is(true);
    options.open(common_dir).map_err(|error| {
        let message = format!("cannot read the repository {}: {error:#}", common_dir.display());
        Failure::new(exit::REFUSED, message).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{Sandbox, git_in};

    #[test]
    fn versions_of_all_vendors_are_read() {
        assert_eq!(parse_version("git version 2.39.3 (Apple Git-146)"), Some((2, 39, 3)));
        assert_eq!(parse_version("git version 2.47.0.rc1"), Some((2, 47, 0)));
        assert_eq!(parse_version("git version 2.48"), Some((2, 48, 0)));
        assert_eq!(parse_version("hub version 2"), None);
        assert!(git_version().unwrap() >= (2, 38, 0));
    }

    #[test]
    fn found_from_a_subdirectory_a_linked_worktree_and_the_git_directory() {
        let sandbox = Sandbox::new();
        let linked = sandbox.root().join("a b");
        sandbox.write("sub/dir/f", "");
        sandbox.git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
        for (cwd, workdir) in [
            (sandbox.repo.join("sub/dir"), Some(sandbox.repo.clone())),
            (linked.clone(), Some(linked.clone())),
            (sandbox.repo.join(".git"), None),
        ] {
            let repo = Repository::discover(&cwd).unwrap();
            assert_eq!(repo.common_dir, sandbox.repo.join(".git"), "{cwd:?}");
            assert_eq!(repo.main_worktree, Some(sandbox.repo.clone()), "{cwd:?}");
            assert_eq!(repo.workdir, workdir, "{cwd:?}");
            assert!(!repo.bare);
        }
        assert_eq!(Repository::discover(&linked).unwrap().git_dir, sandbox.repo.join(".git/worktrees/a-b"));
    }

    #[test]
    fn a_bare_repository_has_no_main_worktree() {
        let sandbox = Sandbox::new();
        let bare = sandbox.root().join("bare.git");
        sandbox.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        git_in(&bare, &["worktree", "add", "-q", "../wt", "main"]);
        for cwd in [bare.clone(), sandbox.root().join("wt")] {
            let repo = Repository::discover(&cwd).unwrap();
            assert_eq!((repo.bare, &repo.main_worktree, repo.root()), (true, &None, bare.as_path()));
        }
    }

    #[test]
    fn a_submodule_and_a_separate_git_directory_have_their_own_main_worktree() {
        let sandbox = Sandbox::new();
        let source = sandbox.repo.to_str().unwrap();
        let upper = sandbox.root().join("upper");
        git_in(sandbox.root(), &["init", "-q", "upper"]);
        git_in(&upper, &["-c", "protocol.file.allow=always", "submodule", "add", "-q", source, "sub"]);
        git_in(&upper.join("sub"), &["worktree", "add", "-q", "../../linked"]);
        for cwd in [upper.join("sub"), sandbox.root().join("linked")] {
            let repo = Repository::discover(&cwd).unwrap();
            assert_eq!(repo.main_worktree, Some(upper.join("sub")), "{cwd:?}");
        }
        git_in(sandbox.root(), &["init", "-q", "--separate-git-dir", "apart.git", "apart"]);
        let repo = Repository::discover(&sandbox.root().join("apart")).unwrap();
        assert_eq!(repo.main_worktree, Some(sandbox.root().join("apart")));
    }

    #[test]
    fn no_repository_is_refused_in_gits_words() {
        let dir = tempfile::tempdir().unwrap();
        let error = Repository::discover(dir.path()).err().unwrap();
        assert_eq!(crate::error::exit_code(&error), exit::REFUSED);
        assert!(error.to_string().starts_with("not a git repository"), "{error}");
    }

    #[test]
    fn a_reftable_is_refused_by_name() {
        let sandbox = Sandbox::new();
        git_in(sandbox.root(), &["init", "-q", "--ref-format=reftable", "new"]);
        let error = Repository::discover(&sandbox.root().join("new")).err().unwrap();
        assert_eq!(crate::error::exit_code(&error), exit::REFUSED);
        assert!(error.to_string().contains("reftable"), "{error}");
    }

    #[test]
    fn sha256_is_opened() {
        let sandbox = Sandbox::new();
        git_in(sandbox.root(), &["init", "-q", "--object-format=sha256", "new"]);
        let repo = Repository::discover(&sandbox.root().join("new")).unwrap();
        assert_eq!(repo.null_oid().len(), 64);
    }
}
