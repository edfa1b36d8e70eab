//! Objects on their way between repositories that don't see each other, as packs in files; and what a repository on
//! another machine needs beside them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Git, Repository};
use crate::run::{Oid, Text};

/// Fewer objects than this are written one by one, as `git fetch` does it.
const FEW: u32 = 100;

/// What goes into a pack.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// These, and all that they need.
    pub commits: Vec<Oid>,
    /// All that refs and reflogs hold, too.
    pub refs: bool,
    /// All that the index holds, too.
    pub index: bool,
    /// Not what these have: the other side has it.
    pub had: Vec<Oid>,
}

/// Packs objects of the repository, or worktree, with this git directory. The file has no name.
///
/// # Errors
/// git's words, or if there is no room.
pub fn pack(git_dir: &Path, wanted: &Wanted) -> Result<File> {
    let file = tempfile::tempfile_in(git_dir)
        .with_context(|| format!("cannot write a pack in {}", git_dir.display()))?;
    let mut list = String::new();
    for commit in &wanted.commits {
        list.push_str(&format!("{commit}\n"));
    }
    for commit in &wanted.had {
        list.push_str(&format!("^{commit}\n"));
    }
    let git = Git::new().git_dir(git_dir).read_only();
    let git = git.args(["pack-objects", "-q", "--stdout", "--revs", "--thin", "--delta-base-offset"]);
    let git = if wanted.refs { git.args(["--all", "--reflog"]) } else { git };
    let git = if wanted.index { git.arg("--indexed-objects") } else { git };
    git.stdin(list).into_file(file.try_clone()?).ok()?;
    rewound(file)
}

/// Takes the objects of a pack into the repository with this git directory.
///
/// # Errors
/// git's words, or if it is no pack.
pub fn unpack(git_dir: &Path, mut pack: File) -> Result<()> {
    let mut head = [0; 12];
    pack.seek(SeekFrom::Start(0))?;
    pack.read_exact(&mut head).context("the pack is not whole")?;
    if &head[..4] != b"PACK" {
        bail!("what came is no pack");
    }
    let count = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    if count == 0 {
        return Ok(());
    }
    let git = Git::new().git_dir(git_dir).holding(rewound(pack)?);
    match count < FEW {
        true => git.args(["unpack-objects", "-q"]).ok()?,
        false => git.args(["index-pack", "--stdin", "--fix-thin"]).ok()?,
    };
    Ok(())
}

fn rewound(mut file: File) -> Result<File> {
    file.seek(SeekFrom::Start(0)).context("cannot read a pack again")?;
    Ok(file)
}

/// Checks that all that these need is there, beyond what `had` needs. Refs are not asked, as `git fetch` does it: of those
/// that somebody writes just now it may see no objects yet.
///
/// # Errors
/// git's words if something is missing.
pub fn check_whole(git_dir: &Path, commits: &[Oid], had: &[Oid]) -> Result<()> {
    let mut list: String = commits.iter().map(|commit| format!("{commit}\n")).collect();
    list.extend(had.iter().map(|commit| format!("^{commit}\n")));
    let git = Git::new().git_dir(git_dir).args(["rev-list", "--objects", "--quiet", "--stdin"]);
    git.stdin(list).ok().map(drop)
}

/// Those of the objects that the repository has.
///
/// # Errors
/// If git can't tell.
pub fn known(git_dir: &Path, objects: &[Oid]) -> Result<Vec<Oid>> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let list: String = objects.iter().map(|object| format!("{object}\n")).collect();
    let git = Git::new().git_dir(git_dir).env("GIT_NO_LAZY_FETCH", "1");
    let said = git.args(["cat-file", "--batch-check=%(objectname) %(objecttype)"]).stdin(list).ok()?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let commit = |line: &str| line.strip_suffix(" commit").and_then(|id| Oid::try_from(id).ok());
    Ok(said.lines().filter_map(commit).collect())
}

/// The commits whose parents a shallow clone does not have.
pub fn shallow(common_dir: &Path) -> Vec<Oid> {
    let text = std::fs::read_to_string(common_dir.join("shallow")).unwrap_or_default();
    text.lines().filter_map(|line| Oid::try_from(line.trim()).ok()).collect()
}

/// What this user ignores in the repository beside what `.gitignore` says.
pub fn excluded(repo: &Repository) -> Text {
    of_user(repo, "core.excludesfile", "ignore", "exclude")
}

/// The attributes that files have for this user beside what `.gitattributes` says.
pub fn attributed(repo: &Repository) -> Text {
    of_user(repo, "core.attributesfile", "attributes", "attributes")
}

/// What a file of the user's says, and then one of the repository's.
fn of_user(repo: &Repository, key: &str, default: &str, info: &str) -> Text {
    let set = repo.git().args(["config", "--type=path", "--get", key]).line().ok();
    let dir = |name: &str| std::env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let config = dir("XDG_CONFIG_HOME").or_else(|| Some(dir("HOME")?.join(".config")));
    let file = set.map(|path| path.to_path_buf()).or_else(|| Some(config?.join("git").join(default)));
    let mut text = file.and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
    if !text.is_empty() {
        text.push(b'\n');
    }
    text.extend(std::fs::read(repo.common_dir.join("info").join(info)).unwrap_or_default());
    Text::from(text.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    #[test]
    fn objects_travel_and_what_is_missing_is_seen() {
        let sandbox = Sandbox::new();
        let base = sandbox.oid("HEAD");
        sandbox.write("more", "more\n");
        sandbox.commit("second");
        let tip = sandbox.oid("HEAD");
        let here = sandbox.repo.join(".git");
        let there = sandbox.root().join("there.git");
        sandbox.git(&["init", "-q", "--bare", there.to_str().unwrap()]);
        let wanted = |commit: &Oid, had: &[Oid]| Wanted {
            commits: vec![commit.clone()],
            had: had.to_vec(),
            ..Wanted::default()
        };
        let thin = pack(&here, &wanted(&tip, std::slice::from_ref(&base))).unwrap();
        assert_eq!(known(&there, std::slice::from_ref(&base)).unwrap(), []);
        unpack(&there, pack(&here, &wanted(&base, &[])).unwrap()).unwrap();
        assert!(check_whole(&there, std::slice::from_ref(&tip), &[]).is_err());
        unpack(&there, thin).unwrap();
        check_whole(&there, &[tip.clone(), base.clone()], &[]).unwrap();
        check_whole(&there, std::slice::from_ref(&tip), std::slice::from_ref(&base)).unwrap();
        assert_eq!(known(&there, std::slice::from_ref(&base)).unwrap(), std::slice::from_ref(&base));
        unpack(&there, pack(&here, &wanted(&tip, std::slice::from_ref(&tip))).unwrap()).unwrap();
        assert!(unpack(&there, File::open(here.join("HEAD")).unwrap()).is_err());
    }
}
