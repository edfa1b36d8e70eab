//! The Debian package: made by packaging/deb, as 'cargo deb' would make it, installed into a root directory that has
//! nothing but packages, tried there, and removed again.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests run programs, and fail by panics")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn skip(what: &str) {
    // Where 'cargo test' does not hide it.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// What a program prints, which must succeed.
fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let all =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {all}");
    String::from_utf8(output.stdout).unwrap()
}

/// The package, with the program as it was built for the tests.
fn package() -> Option<(TempDir, PathBuf)> {
    if which::which("dpkg-deb").is_err() {
        skip("dpkg-deb is not installed");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut make = Command::new(source().join("packaging/deb"));
    make.arg(env!("CARGO_BIN_EXE_git-parallel")).arg(dir.path()).env("DEB_LEVEL", "1");
    let path = ok(&mut make);
    Some((dir, PathBuf::from(path.trim())))
}

/// Mode and path of each file.
fn contents(package: &Path) -> BTreeMap<String, String> {
    let list = ok(Command::new("dpkg-deb").arg("-c").arg(package));
    let file = |line: &str| {
        let mut words = line.split_whitespace();
        let (mode, path) = (words.next()?.to_owned(), words.last()?.trim_start_matches("./").to_owned());
        assert!(line.contains(" root/root "), "{line}");
        mode.starts_with('-').then_some((path, mode))
    };
    list.lines().filter_map(file).collect()
}

/// What `cargo deb` would put where, by Cargo.toml.
fn assets() -> BTreeMap<String, String> {
    let manifest = fs::read_to_string(source().join("Cargo.toml")).unwrap();
    let (_, list) = manifest.split_once("\nassets = [\n").unwrap();
    let mut found = BTreeMap::new();
    for line in list.lines().take_while(|line| *line != "]") {
        // Written so, each is JSON, too.
        let [from, to, mode]: [String; 3] = serde_json::from_str(line.trim().trim_end_matches(',')).unwrap();
        let mode = if mode == "755" { "-rwxr-xr-x" } else { "-rw-r--r--" };
        let files = if from.starts_with("target/") {
            vec![from]
        } else {
            // By a shell, which has the same patterns.
            let list = format!("ls -d {from}");
            let list = ok(Command::new("sh").args(["-c", &list]).current_dir(source()));
            list.lines().map(str::to_owned).collect()
        };
        for file in files {
            let name = Path::new(&file).file_name().unwrap().to_str().unwrap();
            let mut to = if to.ends_with('/') { format!("{to}{name}") } else { to.clone() };
            if to.contains("/man/") {
                to.push_str(".gz");
            }
            found.insert(to, mode.to_owned());
        }
    }
    found
}

#[test]
fn it_has_what_cargo_deb_would_put_into_it() {
    let Some((_dir, package)) = package() else { return };
    let mut contents = contents(&package);
    for theirs in ["changelog.gz", "copyright"] {
        assert!(contents.remove(&format!("usr/share/doc/git-parallel/{theirs}")).is_some(), "{theirs}");
    }
    assert_eq!(contents, assets());
    assert!(contents.keys().filter(|path| path.contains("/man/")).count() > 20);
    let field = |name| ok(Command::new("dpkg-deb").arg("-f").arg(&package).arg(name)).trim().to_owned();
    assert_eq!(field("Version"), concat!(env!("CARGO_PKG_VERSION"), "-1"));
    assert!(field("Depends").starts_with("git (>= 1:2.38), libc6 (>= 2."), "{}", field("Depends"));
}

/// cargo-generate-rpm, which takes minutes to build, makes a package of the same files; of their places, two differ.
#[test]
fn an_rpm_has_the_same_files() {
    let manifest = fs::read_to_string(source().join("Cargo.toml")).unwrap();
    let (_, list) = manifest.rsplit_once("\nassets = [\n").unwrap();
    let mut places = BTreeMap::new();
    for line in list.lines().take_while(|line| *line != "]") {
        let value = |key: &str| {
            let (_, rest) = line.split_once(&format!("{key} = \"")).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        places.insert(value("source"), (value("dest"), value("mode")));
    }
    let (_, list) = manifest.split_once("\nassets = [\n").unwrap();
    for line in list.lines().take_while(|line| *line != "]") {
        let [from, to, mode]: [String; 3] = serde_json::from_str(line.trim().trim_end_matches(',')).unwrap();
        let to = to.replace("zsh/vendor-completions", "zsh/site-functions");
        assert_eq!(places.remove(&from), Some((format!("/{to}"), mode)), "{from}");
    }
    // Debian's own rules have a place for these.
    let rest: Vec<&str> = places.keys().map(String::as_str).collect();
    assert_eq!(rest, ["CHANGELOG.md", "LICENSE-*"]);
}

/// What is tried where the package is installed, and what is to be in its answer.
const TRIES: &[(&str, &str)] = &[
    ("dpkg -i /tmp/git-parallel.deb", "Setting up git-parallel"),
    ("dpkg -s git-parallel", "install ok installed"),
    ("dpkg --verify git-parallel && echo as it was made", "as it was made"),
    ("command -v git-parallel", "/usr/bin/git-parallel"),
    ("git parallel --version", concat!("git-parallel ", env!("CARGO_PKG_VERSION"))),
    ("git help parallel", "git-parallel - run agents at once"),
    ("git parallel --help", "git-parallel - run agents at once"),
    ("git help git-parallel-run", "git-parallel-run - start a run"),
    ("man 5 git-parallel-config", "parallel.jobs"),
    ("man git-parallel-tutorial", "From an empty directory"),
    (
        "bash -c '. /usr/share/bash-completion/bash_completion; _comp_load git 2>/dev/null || _completion_loader git; \
         COMP_WORDS=(git parallel la) COMP_CWORD=2 COMP_LINE=\"git parallel la\" COMP_POINT=15 COMP_TYPE=9; \
         __git_wrap__git_main git la parallel; echo \"offers ${COMPREPLY[*]}\"'",
        "offers land",
    ),
    (
        "zsh -fc 'autoload -Uz compinit; compinit -D -u; echo ${_comps[git-parallel]}; autoload -Uz +X _git-parallel'",
        "_git-parallel",
    ),
    ("fish -c \"complete -C 'git parallel la'\"", "land\t"),
    ("fish -c \"complete -C 'git paral'\"", "parallel\t"),
    ("git parallel demo /tmp/demo", "1 of 3 tasks needs you"),
    ("dpkg -r git-parallel", "Removing git-parallel"),
    ("test -z \"$(find /usr -name '*git-parallel*')\" && echo nothing is left", "nothing is left"),
];

/// Containers often may not.
fn may_mount() -> bool {
    Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success())
}

/// Runs a line in the root directory, with processes of its own where that is allowed.
fn inside(root: &Path, line: &str) -> (bool, String) {
    let enter =
        "mount -t proc proc \"$0/proc\" && mount --bind /dev \"$0/dev\" && exec chroot \"$0\" sh -c \"$1\"";
    let mut command = if may_mount() {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "sh", "-c", enter]).arg(root).arg(line);
        command
    } else {
        let mut command = Command::new("chroot");
        command.arg(root).args(["sh", "-c", line]);
        command
    };
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
    command.env("LC_ALL", "C.UTF-8").env("TERM", "dumb").current_dir("/");
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &errors)
}

#[test]
fn it_works_where_there_is_nothing_but_packages() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root may enter another root directory");
    }
    let Some((dir, package)) = package() else { return };
    let root = dir.path().join("root");
    let mut make = Command::new(source().join("tests/package/root"));
    let made = make.arg(&root).args(["git", "man-db", "bash-completion", "zsh", "fish"]).output().unwrap();
    if made.status.code() == Some(3) {
        return skip(String::from_utf8_lossy(&made.stdout).trim());
    }
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::copy(&package, root.join("tmp/git-parallel.deb")).unwrap();
    for (line, answer) in TRIES {
        if line.contains("demo") && !may_mount() {
            skip("without /proc, which can't be mounted here, no agent is started");
            continue;
        }
        let (succeeded, output) = inside(&root, line);
        assert!(succeeded && output.contains(answer), "{line}: {output}");
    }
}
