//! What is written is compared with what `git worktree add` writes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

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
        Blank { admin_dir: admin_dir(&path).unwrap(), path }
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

/// Makes worktrees in both ways, and compares them. Returns one of ours.
fn compare(dir: &Path) -> PathBuf {
    let (repo, commit, blanks) = blanks(dir, 2);
    let gits = dir.parent().unwrap().join("gits");
    git_in(dir, &["worktree", "add", "-q", "-b", "gits", gits.to_str().unwrap()]);
    for result in fan_out(&repo, &commit, &blanks) {
        result.unwrap();
    }
    let gits_admin = admin_dir(&gits).unwrap();
    for Blank { path, admin_dir } in &blanks {
        let (ours, theirs) = (files(path), files(&gits));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (name, file) in &theirs {
            assert!(ours[name] == *file, "{name:?} differs");
        }
        // Before git had a chance to put anything right.
        let hash = repo.hex_len / 2;
        assert!(masked(admin_dir, hash) == masked(&gits_admin, hash), "the index differs");
        assert_eq!(admin_files(admin_dir), admin_files(&gits_admin));
        git_in(path, &["diff-files", "--quiet"]);
        git_in(path, &["diff-index", "--quiet", "HEAD"]);
        assert_eq!(git_in(path, &["status", "--porcelain"]), "");
        assert_eq!(git_in(path, &["write-tree"]), git_in(dir, &["rev-parse", "HEAD^{tree}"]));
    }
    git_in(dir, &["fsck", "--strict", "--no-dangling", "--no-progress"]);
    blanks[0].path.clone()
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
