//! What is written is compared with what `git worktree add` writes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::git::testing::{Sandbox, git_in};
use crate::git::{NewBranch, add, admin_dir};
use crate::run::Text;

/// New worktrees of HEAD without files.
fn blanks(dir: &Path, count: usize) -> (Repository, Oid, Vec<Blank>) {
    let repo = Repository::discover(dir).unwrap();
    let commit: Oid = git_in(dir, &["rev-parse", "HEAD"]).try_into().unwrap();
    let blank = |number: usize| {
        let path = dir.parent().unwrap().join(format!("ours{number}"));
        let branch = Text::from(format!("refs/heads/ours{number}"));
        add(&repo, &path, &branch, &commit, NewBranch::Create).unwrap();
        Blank { admin_dir: admin_dir(&path).unwrap(), path, spare: None }
    };
    let blanks = (0..count).map(blank).collect();
    (repo, commit, blanks)
}

/// Everything below a directory but `.git`: mode, and content or where a link leads.
fn files(top: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let content = if meta.is_dir() {
                todo.push(path.clone());
                Vec::new()
            } else if meta.is_symlink() {
                fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            let name = path.strip_prefix(top).unwrap().to_owned();
            if name != Path::new(".git") {
                found.insert(name, (meta.mode(), content));
            }
        }
    }
    found
}

/// An index without what stat(2) says, but for sizes, and without its checksum.
fn masked(admin_dir: &Path, hash: usize) -> Vec<u8> {
    let mut bytes = fs::read(admin_dir.join("index")).unwrap();
    let number = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (version, count) = (number(&bytes, 4), number(&bytes, 8));
    let mut at = 12;
    for _ in 0..count {
        let is_submodule = number(&bytes, at + 24) == 0o160_000;
        bytes[at..at + 24].fill(0);
        if is_submodule {
            bytes[at + 36..at + 40].fill(0); // the size of a directory
        }
        let name = at + 40 + hash + 2;
        let end = name + bytes[name..].iter().position(|&byte| byte == 0).unwrap();
        at = if version == 4 { end + 1 } else { at + (end - at + 8) / 8 * 8 };
        if version == 4 && bytes[name] == 0 {
            // That was the number of bytes to drop, not the end.
            let end = name + 1 + bytes[name + 1..].iter().position(|&byte| byte == 0).unwrap();
            at = end + 1;
        }
    }
    assert_eq!(&bytes[at..at + 4], b"TREE");
    bytes.truncate(bytes.len() - hash);
    bytes
}

/// The files of an admin folder, by mode; the content where it must be the same.
fn admin_files(blank: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = files(blank);
    for (path, (_, content)) in &mut found {
        match path.to_str().unwrap() {
            "HEAD" | "gitdir" | "index" => content.clear(),
            // Without who and when.
            "logs/HEAD" => {
                let log = String::from_utf8(std::mem::take(content)).unwrap();
                let line = |line: &str| format!("{} {}", &line[..81], line.split('\t').nth(1).unwrap_or(""));
                *content = log.lines().map(line).collect::<String>().into_bytes();
            }
            _ => {}
        }
    }
    found
}

fn fan_out(repo: &Repository, commit: &Oid, blanks: &[Blank]) -> Vec<Result<()>> {
    FanOut::default().write(repo, commit, blanks).into_iter().map(|outcome| outcome.map(drop)).collect()
}

/// Makes worktrees in both ways, and compares them; then those that take over what agents left behind.
/// Returns one of the first.
fn compare(dir: &Path) -> PathBuf {
    let (repo, commit, blanks) = blanks(dir, 3);
    let mut outcomes = FanOut::default().write(&repo, &commit, &blanks);
    blanks.iter().for_each(|blank| compare_with_gits(&repo, blank));
    let spare = outcomes.pop().unwrap().unwrap();
    outcomes.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    if let Some(spare) = spare.map(settle) {
        meddle(&blanks[2].path);
        let (blank, outcome) = take_over(&repo, &commit, &blanks[2].path, spare);
        outcome.unwrap();
        compare_with_gits(&repo, &blank);
    }
    git_in(dir, &["fsck", "--strict", "--no-dangling", "--no-progress"]);
    blanks[0].path.clone()
}

/// Compares a worktree with one that git makes of the same commit.
fn compare_with_gits(repo: &Repository, Blank { path, admin_dir, .. }: &Blank) {
    let gits = path.with_file_name("gits");
    git_in(&repo.common_dir, &["worktree", "add", "-q", "--detach", gits.to_str().unwrap(), &tip(path)]);
    git_in(&gits, &["checkout", "-q", "-B", "gits"]);
    git_in(&repo.common_dir, &["worktree", "remove", "--force", gits.to_str().unwrap()]);
    git_in(&repo.common_dir, &["worktree", "add", "-q", gits.to_str().unwrap(), "gits"]);
    let gits_admin = crate::git::admin_dir(&gits).unwrap();
    let (ours, theirs) = (files(path), files(&gits));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, file) in &theirs {
        assert!(ours[name] == *file, "{name:?} differs: {:o} {:o}", ours[name].0, file.0);
    }
    // Before git had a chance to put anything right.
    let hash = repo.hex_len / 2;
    assert!(masked(admin_dir, hash) == masked(&gits_admin, hash), "the index differs");
    assert_eq!(admin_files(admin_dir), admin_files(&gits_admin));
    git_in(path, &["diff-files", "--quiet"]);
    git_in(path, &["diff-index", "--quiet", "HEAD"]);
    assert_eq!(git_in(path, &["status", "--porcelain"]), "");
    assert_eq!(git_in(path, &["write-tree"]), git_in(path, &["rev-parse", "HEAD^{tree}"]));
    git_in(&repo.common_dir, &["worktree", "remove", "--force", gits.to_str().unwrap()]);
    git_in(&repo.common_dir, &["branch", "-q", "-D", "gits"]);
}

fn tip(path: &Path) -> String {
    git_in(path, &["rev-parse", "HEAD"])
}

/// Waits for the clock to tick.
fn settle(filled: Filled) -> Known {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = [u32::try_from(now.as_secs()).unwrap(), now.subsec_nanos()];
    while crate::sys::file_clock().unwrap() <= now {}
    filled.settle()
}

/// A new worktree that takes over the files of another, and what became of it.
fn take_over(repo: &Repository, commit: &Oid, from: &Path, known: Known) -> (Blank, Outcome) {
    take_over_as(repo, commit, from, known, false)
}

fn take_over_as(repo: &Repository, commit: &Oid, from: &Path, known: Known, warm: bool) -> (Blank, Outcome) {
    let mut name = from.file_name().unwrap().to_owned();
    name.push("-again");
    let path = from.with_file_name(&name);
    let branch = Text::from(format!("refs/heads/{}", name.display()));
    add(repo, &path, &branch, commit, NewBranch::Create).unwrap();
    let link = fs::read(path.join(".git")).unwrap();
    let admin_dir = admin_dir(&path).unwrap();
    fs::remove_dir_all(&path).unwrap();
    fs::rename(from, &path).unwrap();
    let spare = Some(Arc::new(Spare { tree: from.to_owned(), known, warm }));
    let blank = Blank { path, admin_dir, spare };
    let outcome = FanOut::default().write(repo, commit, std::slice::from_ref(&blank)).pop().unwrap();
    fs::write(blank.path.join(".git"), link).unwrap();
    git_in(&repo.common_dir, &["worktree", "prune"]);
    (blank, outcome)
}

/// Does to a worktree whatever an agent may do to it, to every file something else.
fn meddle(top: &Path) {
    let all: Vec<PathBuf> = files(top).into_keys().filter(|path| path.as_os_str() != "README").collect();
    for (number, name) in all.iter().enumerate() {
        let path = top.join(name);
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            match number % 5 {
                0 => fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap(),
                1 => fs::write(path.join("untracked"), "").unwrap(),
                2 => fs::create_dir_all(path.join("new/directory")).unwrap(),
                3 => drop(git_in(&path, &["init", "-q", "nested"])),
                _ => {}
            }
            continue;
        }
        let times = || fs::FileTimes::new().set_modified(meta.modified().unwrap());
        let replace = |what: &dyn Fn()| {
            let dir = path.parent().filter(|dir| *dir != top);
            let open = || fs::Permissions::from_mode(0o755);
            dir.into_iter().for_each(|dir| fs::set_permissions(dir, open()).unwrap());
            fs::remove_file(&path).unwrap();
            what();
        };
        match number % 11 {
            0 if meta.is_file() => {
                // Of the same size and age.
                let size = meta.len().try_into().unwrap();
                let mut file = fs::File::options().write(true).open(&path).unwrap();
                file.write_all(&vec![b'!'; size]).unwrap();
                file.set_times(times()).unwrap();
            }
            1 if meta.is_file() => fs::write(&path, "changed").unwrap(),
            2 if meta.is_file() => fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap(),
            3 => replace(&|| {}),
            4 => replace(&|| symlink("README", &path).unwrap()),
            5 => replace(&|| write(&path, "a/directory", "")),
            6 => replace(&|| fs::write(&path, "another").unwrap()),
            7 if meta.is_file() => {
                fs::hard_link(&path, top.with_file_name(format!("link-{number}"))).unwrap()
            }
            8 => fs::rename(&path, top.join(format!("renamed-{number}"))).unwrap(),
            _ => {}
        }
    }
    write(top, ".gitignore", "*.log\n");
    write(top, "ignored.log", "");
    write(top, ".gitattributes", "* text eol=crlf\n");
    fs::create_dir(top.join("closed")).unwrap();
    fs::write(top.join("closed/file"), "").unwrap();
    fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
}

/// Whether we have written a file: those are made older than they are.
fn is_ours(top: &Path, path: impl AsRef<Path>) -> bool {
    let meta = top.join(path).symlink_metadata().unwrap();
    meta.ctime() - meta.mtime() >= 2
}

fn write(dir: &Path, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Files of every kind.
fn hostile(dir: &Path) {
    for name in ["a-b", "a.b", "a/b", "-rf", "new\nline", "\"quoted'", "tab\t", " space ", "größe", "ab/c"]
    {
        write(dir, name, name);
    }
    write(dir, OsStr::from_bytes(b"not\xff\xfeutf8/\xc3"), "x");
    write(dir, "empty", "");
    write(dir, "big", vec![7; 5 << 20]);
    write(dir, ["deep down here/".repeat(150).as_str(), "file"].concat(), "deep");
    write(dir, ["x/", "n".repeat(255).as_str()].concat(), "long");
    write(dir, "run.sh", "#!/bin/sh\n");
    fs::set_permissions(dir.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    for (link, to) in [("dangling", "nowhere"), ("absolute", "/etc/passwd"), ("a/up", ".."), ("to-dir", "a")]
    {
        symlink(to, dir.join(link)).unwrap();
    }
    symlink("l".repeat(4000), dir.join("long-link")).unwrap();
    for number in 0..300 {
        write(dir, format!("many/{}/{number}", number % 7), format!("{number}"));
    }
    git_in(dir, &["add", "-A"]);
    let sub = if git_in(dir, &["rev-parse", "--show-object-format"]) == "sha256" { 64 } else { 40 };
    git_in(dir, &["update-index", "--add", "--cacheinfo", &format!("160000,{},mod/sub", "1".repeat(sub))]);
    commit_index(dir);
}

fn commit_index(dir: &Path) {
    git_in(dir, &["-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-q", "-m", "files"]);
}

#[test]
fn files_of_every_kind() {
    let sandbox = Sandbox::new();
    hostile(&sandbox.repo);
    let ours = compare(&sandbox.repo);
    assert!(is_ours(&ours, "run.sh") && is_ours(&ours, "dangling") && is_ours(&ours, "many/0/0"));
}

/// By what a file is told from a later one, for all files.
fn inodes(top: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let inode = |path: PathBuf| {
        let meta = top.join(&path).symlink_metadata().unwrap();
        (!meta.is_dir()).then(|| (path, (meta.ino(), meta.ctime(), meta.ctime_nsec())))
    };
    files(top).into_keys().filter_map(inode).collect()
}

#[test]
fn files_that_nobody_touched_are_used_again() {
    let sandbox = Sandbox::new();
    hostile(&sandbox.repo);
    let (repo, commit, blanks) = blanks(&sandbox.repo, 1);
    let filled = FanOut::default().write(&repo, &commit, &blanks).pop().unwrap().unwrap().unwrap();
    let (known, path) = (settle(filled), &blanks[0].path);
    let before = inodes(path);
    write(path, "many/0/0", "changed");
    git_in(path, &["rm", "-q", "many/1/1"]);
    commit_index(path);
    let (blank, outcome) = take_over(&repo, &commit, path, known);
    compare_with_gits(&repo, &blank);
    let mut after = inodes(&blank.path);
    after.retain(|path, inode| before.get(path) != Some(inode));
    let new: Vec<&Path> = after.keys().map(PathBuf::as_path).collect();
    assert_eq!(new, ["many/0/0", "many/1/1"].map(Path::new));
    // And once more, since what was kept is known as what was written is.
    let known = settle(outcome.unwrap().unwrap());
    let before = inodes(&blank.path);
    let (blank, outcome) = take_over(&repo, &commit, &blank.path, known);
    outcome.unwrap();
    compare_with_gits(&repo, &blank);
    let differ = inodes(&blank.path).into_iter().filter(|(path, inode)| before[path] != *inode);
    assert_eq!(differ.count(), 0);
}

#[test]
fn files_of_another_commit_are_used_again() {
    let sandbox = Sandbox::new();
    let dir = &sandbox.repo;
    hostile(dir);
    sandbox.git(&["tag", "one"]);
    sandbox.git(&["rm", "-rq", "many/0", "a.b", "ab", "dangling", "mod/sub"]);
    write(dir, "many/0", "was a directory");
    write(dir, "a.b/was/a", "file");
    write(dir, "many/1/1", "changed");
    write(dir, "mod/sub/was", "a submodule");
    symlink("README", dir.join("ab")).unwrap();
    symlink("somewhere/else", dir.join("dangling")).unwrap();
    write(dir, ".gitattributes", "*0 text eol=crlf\nREADME -text\nmany/2/* ident\n");
    fs::set_permissions(dir.join("run.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    git_in(dir, &["add", "-A"]);
    commit_index(dir);
    let repo = Repository::discover(dir).unwrap();
    for (number, (from, to)) in [("one", "main"), ("main", "one")].into_iter().enumerate() {
        let [from, to]: [Oid; 2] =
            [from, to].map(|name| sandbox.rev(&format!("{name}^{{}}")).try_into().unwrap());
        let path = dir.parent().unwrap().join(format!("from{number}"));
        add(&repo, &path, &format!("refs/heads/from{number}").into(), &from, NewBranch::Create).unwrap();
        let blank = Blank { admin_dir: admin_dir(&path).unwrap(), path, spare: None };
        let filled = FanOut::default().write(&repo, &from, std::slice::from_ref(&blank)).pop().unwrap();
        let known = settle(filled.unwrap().unwrap());
        let before = inodes(&blank.path);
        let (blank, outcome) = take_over(&repo, &to, &blank.path, known);
        outcome.unwrap();
        compare_with_gits(&repo, &blank);
        let after = inodes(&blank.path);
        let same = |name: &str| before[Path::new(name)] == after[Path::new(name)];
        assert!(!same("run.sh") && same("big") && same("many/3/3") && !same("many/1/1"));
    }
}

#[test]
fn ignored_files_stay_in_a_warm_one() {
    let sandbox = Sandbox::new();
    hostile(&sandbox.repo);
    sandbox.write(".gitignore", "/target/\n*.o\nmany/0/0\n");
    sandbox.git(&["add", "-A", "-f"]);
    commit_index(&sandbox.repo);
    let (repo, commit, blanks) = blanks(&sandbox.repo, 1);
    let filled = FanOut::default().write(&repo, &commit, &blanks).pop().unwrap().unwrap().unwrap();
    let (known, path) = (settle(filled), &blanks[0].path);
    for name in ["target/debug/x", "many/1/x.o", "many/1/untracked", "untracked/y", "new.o/z"] {
        write(path, name, "built");
    }
    write(path, "many/0/0", "changed, and ignored were it not tracked");
    git_in(path, &["init", "-q", "nested"]);
    let built = inodes(path)[Path::new("target/debug/x")];
    let (blank, outcome) = take_over_as(&repo, &commit, path, known, true);
    outcome.unwrap();
    let top = &blank.path;
    assert_eq!(inodes(top)[Path::new("target/debug/x")], built);
    assert_eq!(fs::read(top.join("many/0/0")).unwrap(), fs::read(sandbox.repo.join("many/0/0")).unwrap());
    let age = top.join("many/0/0").metadata().unwrap();
    assert!(age.ctime() - age.mtime() < 2, "what is built from it must be built again");
    let ignored = git_in(top, &["status", "--porcelain", "--ignored"]);
    assert_eq!(ignored, "!! many/1/x.o\n!! new.o/\n!! target/");
}

#[test]
fn a_directory_with_attributes_is_made_anew() {
    let sandbox = Sandbox::new();
    sandbox.write("a/b", "b");
    sandbox.commit("files");
    for place in ["", "a"] {
        let (repo, commit, blanks) = blanks(&sandbox.repo, 1);
        let filled = FanOut::default().write(&repo, &commit, &blanks).pop().unwrap().unwrap().unwrap();
        let (known, path) = (settle(filled), &blanks[0].path);
        let before = inodes(path);
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(path.join(place), "user.agent", b"1", flags).is_err() {
            return eprintln!("skipped: the file system has no attributes of that kind");
        }
        let (blank, outcome) = take_over(&repo, &commit, path, known);
        outcome.unwrap();
        compare_with_gits(&repo, &blank);
        let after = inodes(&blank.path);
        assert!(before[Path::new("a/b")] != after[Path::new("a/b")]);
        assert_eq!(before[Path::new("README")] == after[Path::new("README")], place == "a");
        git_in(&sandbox.repo, &["worktree", "remove", "--force", blank.path.to_str().unwrap()]);
        git_in(&sandbox.repo, &["branch", "-q", "-D", "ours0", "ours0-again"]);
    }
}

#[test]
fn other_formats() {
    let sandbox = Sandbox::new();
    let new = sandbox.root().join("sha256/repo");
    fs::create_dir_all(&new).unwrap();
    git_in(&new, &["init", "-q", "-b", "main", "--object-format=sha256"]);
    hostile(&new);
    assert!(is_ours(&compare(&new), "run.sh"));
    for (number, settings) in [
        &["index.version=4"][..],
        &["index.skipHash=true", "core.sharedRepository=group"],
        &["core.logAllRefUpdates=false", "core.autocrlf=input", "core.eol=lf"],
    ]
    .iter()
    .enumerate()
    {
        let sandbox = Sandbox::new();
        for (key, value) in settings.iter().map(|setting| setting.split_once('=').unwrap()) {
            sandbox.git(&["config", key, value]);
        }
        hostile(&sandbox.repo);
        let ours = compare(&sandbox.repo);
        assert!(is_ours(&ours, "run.sh"));
        let index = fs::read(admin_dir(&ours).unwrap().join("index")).unwrap();
        assert_eq!(index[7], if number == 0 { 4 } else { 2 });
        assert_eq!(index.ends_with(&[0; 20]), number == 1);
    }
}

#[test]
fn a_tree_without_files() {
    let sandbox = Sandbox::new();
    sandbox.git(&["rm", "-q", "README"]);
    sandbox.git(&["commit", "-q", "-m", "nothing"]);
    compare(&sandbox.repo);
}

#[test]
fn what_attributes_convert_is_written_by_git() {
    let sandbox = Sandbox::new();
    let attributes = "*.win text eol=crlf\n*.unix text eol=lf\n*.auto text=auto\n*.id ident\n*.ex export-ignore\n\
                      *.u16 text working-tree-encoding=UTF-16LE\n*.up filter=up\n*.lfs filter=unknown\n";
    sandbox.write(".gitattributes", attributes);
    sandbox.write("sub/.gitattributes", "[attr]wrong eol=crlf\n*.sub eol=crlf\n*.win -text -eol\n");
    sandbox.write(".git/info/attributes", "[attr]dos text eol=crlf\n*.info dos\n");
    sandbox.write("../global", "*.global ident\n");
    let global = sandbox.root().join("global");
    sandbox.git(&["config", "core.attributesFile", global.to_str().unwrap()]);
    sandbox.git(&["config", "filter.up.smudge", "tr a-z A-Z; echo %f"]);
    sandbox.git(&["config", "filter.up.clean", "sed '$d' | tr A-Z a-z"]);
    let kinds = ["win", "unix", "auto", "id", "ex", "lfs", "sub", "info", "global", "plain"];
    for kind in kinds {
        sandbox.write(&format!("sub/a.{kind}"), "one $Id$\ntwo\n");
        sandbox.write(&format!("a.{kind}"), "one $Id$\ntwo\n");
    }
    sandbox.write("sub/a.up", "ONE\na.up\n");
    sandbox.write("a.u16", "o\0n\0e\0\n\0");
    sandbox.commit("files");
    let ours = compare(&sandbox.repo);
    let gits: Vec<_> = kinds.into_iter().filter(|kind| !is_ours(&ours, format!("a.{kind}"))).collect();
    assert_eq!(gits, ["win", "id", "info", "global"]);
    let gits: Vec<_> = kinds.into_iter().filter(|kind| !is_ours(&ours, format!("sub/a.{kind}"))).collect();
    assert_eq!(gits, ["id", "sub", "info", "global"]);
    assert!(!is_ours(&ours, "sub/a.up") && !is_ours(&ours, "a.u16"));
    assert_eq!(fs::read(ours.join("a.u16")).unwrap(), b"o\0n\0e\0\n\0");
    assert_eq!(fs::read_to_string(ours.join("sub/a.up")).unwrap(), "ONE\nsub/a.up\n");
}

#[test]
fn what_is_out_of_the_ordinary_is_left_to_git() {
    for (key, value) in [
        ("core.autocrlf", "true"),
        ("core.eol", "crlf"),
        ("core.fileMode", "false"),
        ("core.symlinks", "false"),
        ("core.ignoreCase", "true"),
        ("remote.origin.promisor", "true"),
        ("core.splitIndex", "maybe"),
    ] {
        let sandbox = Sandbox::new();
        assert!(Settings::of(&sandbox.repository()).is_ok());
        sandbox.git(&["config", key, value]);
        assert!(Settings::of(&sandbox.repository()).is_err(), "{key}");
        if value != "maybe" {
            symlink("README", sandbox.repo.join("link")).unwrap();
            sandbox.commit("files");
            assert!(!is_ours(&compare(&sandbox.repo), "README"), "{key}");
        }
    }
}

#[test]
fn a_sparse_checkout_stays_one() {
    let sandbox = Sandbox::new();
    sandbox.write("in/x", "x");
    sandbox.write("out/y", "y");
    sandbox.commit("files");
    sandbox.git(&["sparse-checkout", "set", "in"]);
    assert!(Settings::of(&sandbox.repository()).is_err());
    let (repo, commit, blanks) = blanks(&sandbox.repo, 1);
    fan_out(&repo, &commit, &blanks).pop().unwrap().unwrap();
    let path = &blanks[0].path;
    assert!(path.join("in/x").exists() && !path.join("out").exists());
    assert_eq!(git_in(path, &["status", "--porcelain"]), "");
}

#[test]
fn settings_of_one_worktree_are_its_own() {
    let sandbox = Sandbox::new();
    sandbox.write("../crlf", "[core]\n\tautocrlf = true\n");
    let file = sandbox.root().join("crlf");
    sandbox.git(&["config", "includeIf.onbranch:ours2.path", file.to_str().unwrap()]);
    let (repo, commit, blanks) = blanks(&sandbox.repo, 3);
    for result in fan_out(&repo, &commit, &blanks) {
        result.unwrap();
    }
    let read = |at: usize| fs::read_to_string(blanks[at].path.join("README")).unwrap();
    assert_eq!((read(0), read(2)), ("hello\n".to_owned(), "hello\r\n".to_owned()));
    assert!(is_ours(&blanks[0].path, "README"));
}

#[test]
fn one_that_fails_keeps_none_from_being_written() {
    let sandbox = Sandbox::new();
    sandbox.write("a/b", "b");
    sandbox.commit("files");
    let (repo, commit, blanks) = blanks(&sandbox.repo, 5);
    fs::write(blanks[0].admin_dir.join("index.lock"), "").unwrap();
    // As a crash leaves it.
    fs::create_dir(blanks[2].path.join("a")).unwrap();
    fs::write(blanks[2].path.join("a/b"), "half").unwrap();
    fs::remove_dir_all(&blanks[3].path).unwrap();
    let results = fan_out(&repo, &commit, &blanks);
    let errors: Vec<_> = results.iter().map(|result| result.as_ref().map_err(ToString::to_string)).collect();
    assert!(errors[0].as_ref().is_err_and(|error| error.contains("index.lock")), "{errors:?}");
    assert!(errors[3].as_ref().is_err_and(|error| error.contains("ours3")), "{errors:?}");
    for at in [1, 2, 4] {
        assert_eq!(errors[at], Ok(&()));
        assert_eq!(fs::read_to_string(blanks[at].path.join("a/b")).unwrap(), "b");
        assert_eq!(git_in(&blanks[at].path, &["status", "--porcelain"]), "");
    }
    assert!(is_ours(&blanks[4].path, "a/b"));
}

#[test]
fn a_blob_that_is_not_there_is_told_in_gits_words() {
    let sandbox = Sandbox::new();
    let blob = sandbox.rev("HEAD:README");
    let (repo, commit, blanks) = blanks(&sandbox.repo, 2);
    fs::remove_file(repo.common_dir.join("objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    for result in fan_out(&repo, &commit, &blanks) {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(&blob), "{error}");
    }
}

#[test]
fn hooks_run_as_ever() {
    let sandbox = Sandbox::new();
    let log = sandbox.root().join("log");
    for hook in ["post-index-change", "reference-transaction"] {
        let path = format!(".git/hooks/{hook}");
        sandbox.write(&path, format!("#!/bin/sh\necho {hook} $1 >>{}\n", log.display()));
        fs::set_permissions(sandbox.repo.join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (repo, commit, blanks) = blanks(&sandbox.repo, 2);
    fs::remove_file(&log).unwrap();
    assert!(fan_out(&repo, &commit, &blanks).into_iter().all(|result| result.is_ok()));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("post-index-change 1") && log.contains("reference-transaction committed"), "{log}");
    assert!(is_ours(&blanks[0].path, "README"));
}

/// A commit of a tree that no git would make.
fn commit_tree(dir: &Path, entries: &[(&str, &str, &str)]) {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        bytes.extend_from_slice(gix::ObjectId::from_hex(id.as_bytes()).unwrap().as_slice());
    }
    let args = ["hash-object", "-t", "tree", "-w", "--stdin", "--literally"];
    let mut git = Command::new("git");
    let git = git.args(args).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = git.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let tree = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let commit = git_in(dir, &["commit-tree", "-m", "bad", tree.trim()]);
    git_in(dir, &["update-ref", "--no-deref", "HEAD", &commit]);
}

#[test]
fn a_malicious_tree_writes_nothing_outside() {
    let sandbox = Sandbox::new();
    let outside = sandbox.root().join("outside");
    fs::create_dir(&outside).unwrap();
    sandbox.write("file", outside.to_str().unwrap());
    sandbox.write("in/x", "x");
    sandbox.commit("files");
    let (target, tree, file) = (sandbox.rev("HEAD:file"), sandbox.rev("HEAD:in"), sandbox.rev("HEAD:README"));
    let (target, tree, file) = (target.as_str(), tree.as_str(), file.as_str());
    let trees: [&[(&str, &str, &str)]; 7] = [
        &[("120000", "d", target), ("40000", "d", tree)],
        &[("40000", "d", tree), ("120000", "d", target)],
        &[("100644", "d", file), ("40000", "d", tree)],
        &[("100644", "d", file), ("100644", "d", file)],
        &[("40000", "..", tree)],
        &[("40000", ".GIT", tree), ("100644", "a", file)],
        &[("100644", "a/../../outside/x", file)],
    ];
    for entries in trees {
        commit_tree(&sandbox.repo, entries);
        let (repo, commit, blanks) = blanks(&sandbox.repo, 2);
        // git refuses, or makes one of two things of the same name.
        for (result, blank) in fan_out(&repo, &commit, &blanks).iter().zip(&blanks) {
            let link = fs::symlink_metadata(blank.path.join(".git")).unwrap();
            assert!(link.is_file(), "{entries:?}: {result:?}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{entries:?}");
        for Blank { path, .. } in blanks {
            git_in(&sandbox.repo, &["worktree", "remove", "--force", path.to_str().unwrap()]);
            git_in(&sandbox.repo, &["branch", "-q", "-D", path.file_name().unwrap().to_str().unwrap()]);
        }
    }
}
