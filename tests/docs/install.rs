//! The way of installing that the README tells, below a HOME of its own.

use std::fs;

use crate::sandbox::{Sandbox, root};

/// The commands below the heading, up to the next paragraph but one.
fn recipe() -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("## Install\n").unwrap();
    let lines = section.lines().skip_while(|line| !line.starts_with("    "));
    lines.take_while(|line| line.starts_with("    ")).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_recipe_puts_all_where_git_and_the_shells_look() {
    let sandbox = Sandbox::new();
    let home = sandbox.path("home");
    let bin = home.join(".cargo/bin");
    fs::create_dir_all(&bin).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
    let recipe = recipe();
    assert_eq!(recipe[0], "cargo install --path .");
    fs::copy(env!("CARGO_BIN_EXE_git-parallel"), bin.join("git-parallel")).unwrap();
    let run = |program: &str, args: &[&str]| {
        let mut command = sandbox.command(program);
        let output = command.args(args).current_dir(&home).env("PATH", &path).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    for line in &recipe[1..] {
        run("sh", &["-c", line]);
    }
    if sandbox.has("man") && sandbox.has("groff") {
        assert!(run("git", &["help", "parallel"]).contains("git-parallel - run agents at once"));
        assert!(run("man", &["git-parallel-tutorial"]).contains("From an empty directory"));
    }
    if sandbox.has("bash") && fs::exists("/usr/share/bash-completion/bash_completion").unwrap() {
        let script = ". /usr/share/bash-completion/bash_completion; \
                      _comp_load git-parallel 2>/dev/null || _completion_loader git-parallel; \
                      declare -F _git_parallel; complete -p git-parallel";
        assert!(run("bash", &["-c", script]).contains("-F __git_parallel_command git-parallel"));
    }
    if sandbox.has("zsh") {
        let script =
            "fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit -D -u; echo ${_comps[git-parallel]}";
        assert_eq!(run("zsh", &["-fc", script]), "_git-parallel\n");
    }
    if sandbox.has("fish") {
        assert!(run("fish", &["-c", "complete -C 'git parallel la'"]).contains("land\t"));
    }
}
