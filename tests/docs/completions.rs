//! Completion in real shells: a line is typed, Tab is pressed, and what stands there is read.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::sandbox::{Sandbox, root, skip};

/// What is typed, and what it becomes.
const LINES: &[(&str, &str)] = &[
    ("git paral", "git parallel"),
    ("git parallel la", "git parallel land"),
    ("git parallel run --sequ", "git parallel run --sequential"),
    ("git parallel run --existing re", "git parallel run --existing reuse"),
    ("git parallel run --existing=ov", "git parallel run --existing=overwrite"),
    ("git parallel run --into mai", "git parallel run --into main"),
    ("git parallel run -P RE", "git parallel run -P README.md"),
    ("git parallel run --prompt-file=RE", "git parallel run --prompt-file=README.md"),
    ("git parallel run x -- ./ag", "git parallel run x -- ./agent.sh"),
    ("git parallel run x -- whoa", "git parallel run x -- whoami"),
    ("git parallel run -a cod", "git parallel run -a codex"),
    ("git parallel run -a codex,mi", "git parallel run -a codex,mine"),
    ("git parallel run --runner slu", "git parallel run --runner slurm"),
    ("git parallel run --runner bo", "git parallel run --runner box"),
    ("git parallel run --base v1", "git parallel run --base v1.0"),
    ("git parallel run --verify whoa", "git parallel run --verify whoami"),
    ("git parallel run --verify=whoa", "git parallel run --verify=whoami"),
    ("git parallel run --on-conflict code", "git parallel run --on-conflict codex"),
    ("git parallel resolve billing --with mergeto", "git parallel resolve billing --with mergetool"),
    ("git parallel conflicts bil", "git parallel conflicts billing"),
    ("git parallel abort ", "git parallel abort"),
    ("git parallel logs d", "git parallel logs docs"),
    ("git parallel logs docs d", "git parallel logs docs d"),
    ("git parallel resolve ", "git parallel resolve billing"),
    ("git parallel land ", "git parallel land billing"),
    ("git parallel retry ", "git parallel retry billing"),
    ("git parallel land d", "git parallel land d"),
    ("git parallel status 2", "git parallel status RUN"),
    ("git parallel schema ev", "git parallel schema event"),
    ("git pl land ", "git pl land billing"),
    ("git pr --leftovers r", "git pr --leftovers refuse"),
    ("git-parallel land ", "git-parallel land billing"),
    ("git-parallel run --leftovers=co", "git-parallel run --leftovers=commit"),
];

/// `PATH`, with an agent that is found there.
fn path(sandbox: &Sandbox) -> String {
    format!("{}:{}", sandbox.path("bin").display(), Sandbox::search_path())
}

/// The repository of the demo, in which one task has a conflict, and the id of its run.
fn repository(sandbox: &Sandbox) -> (PathBuf, String) {
    sandbox.ok(&["demo", "demo"]);
    let shop = sandbox.path("demo/shop");
    sandbox.sh(
        &shop,
        "git config alias.pl parallel; git config alias.pr 'parallel run'; git tag v1.0; git branch 'odd;one'; \
         git config parallel.agent.mine.cmd true; git config parallel.runner.box.prefix env; \
         mkdir ../../bin; cp /bin/true ../../bin/codex",
    );
    let mut runs = fs::read_dir(shop.join(".git/parallel/runs")).unwrap();
    let run = runs.next().unwrap().unwrap().file_name().into_string().unwrap();
    (shop, run)
}

fn install(sandbox: &Sandbox, script: &str, to: &str) -> PathBuf {
    let to = sandbox.path(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(root().join("completions").join(script), &to).unwrap();
    to
}

/// A shell on a terminal of its own.
struct Shell {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    screen: Receiver<Vec<u8>>,
    unread: String,
}

const PROMPT: &str = "ready>";

impl Shell {
    fn start(sandbox: &Sandbox, argv: &[&str], dir: &Path) -> Shell {
        let pair =
            native_pty_system().openpty(PtySize { rows: 40, cols: 200, ..PtySize::default() }).unwrap();
        let mut command = CommandBuilder::new(argv[0]);
        command.args(&argv[1..]);
        command.cwd(dir);
        command.env_clear();
        for (name, value) in sandbox.environment() {
            command.env(name, value);
        }
        command.env("PS1", PROMPT);
        command.env("PATH", path(sandbox));
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                let _ = sender.send(buffer[..count].to_vec());
            }
        });
        let keys = pair.master.take_writer().unwrap();
        let mut shell = Shell { master: pair.master, child, keys, screen, unread: String::new() };
        shell.wait_for(PROMPT);
        shell
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Reads the screen up to `text`.
    fn wait_for(&mut self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(at) = self.unread.find(text) {
                let rest = self.unread.split_off(at + text.len());
                return std::mem::replace(&mut self.unread, rest);
            }
            let left = end.saturating_duration_since(Instant::now());
            let Ok(bytes) = self.screen.recv_timeout(left) else {
                panic!("no {text:?} in {:?}", self.unread);
            };
            self.unread.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Runs a line.
    fn run(&mut self, line: &str) {
        self.press(&format!("{line}; echo 'do''ne'\n"));
        self.wait_for("done\r\n");
        self.wait_for(PROMPT);
    }

    /// Types a line and Tab, and has the shell print the line that stands there then.
    fn complete(&mut self, line: &str) -> String {
        self.press(&format!("{line}\t"));
        // Home, and End: the line becomes an argument of 'echo'.
        self.press("\x01echo \"<\x05>\"\n");
        let seen = self.wait_for(">\r\n");
        self.wait_for(PROMPT);
        let answer = seen.rsplit_once("\n<").map_or("", |(_, answer)| answer);
        answer.trim_end().trim_end_matches('>').trim_end().to_owned()
    }
}

/// What is typed is the same in both, and so is what becomes of it.
fn check_elsewhere(shell: &mut Shell, shop: &Path) {
    // The name of a branch is not a part of the command.
    let odd = shell.complete("git parallel run --into od");
    assert_eq!(odd, "git parallel run --into odd\\;one");
    // Where nothing is known nothing is offered, and nobody complains.
    shell.run("cd /");
    assert_eq!(shell.complete("git parallel land "), "git parallel land");
    let there = format!("git -C {} parallel land", shop.display());
    assert_eq!(shell.complete(&format!("{there} ")), format!("{there} billing"));
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = &self.master;
    }
}

fn check(shell: &mut Shell, run: &str) {
    for (line, completed) in LINES {
        assert_eq!(shell.complete(line), completed.replace("RUN", run), "{line}");
    }
}

#[test]
fn bash_completes_through_gits_completion() {
    let sandbox = Sandbox::new();
    let library = "/usr/share/bash-completion/bash_completion";
    if !sandbox.has("bash") {
        return;
    }
    if !Path::new(library).exists() {
        return skip("bash-completion");
    }
    let (shop, run) = repository(&sandbox);
    install(&sandbox, "git-parallel.bash", "home/.local/share/bash-completion/completions/git-parallel");
    let mut shell = Shell::start(&sandbox, &["bash", "--norc", "--noprofile", "-i"], &shop);
    shell.run(&format!("bind 'set enable-bracketed-paste off'; . {library}"));
    check(&mut shell, &run);
    // git's completion follows aliases of aliases, and of git itself.
    shell.run("git config alias.ppr pr; git config alias.shell '!git parallel retry'");
    assert_eq!(shell.complete("git ppr --leftovers r"), "git ppr --leftovers refuse");
    assert_eq!(shell.complete("git shell "), "git shell billing");
    check_elsewhere(&mut shell, &shop);
}

#[test]
fn zsh_completes_through_its_completion_of_git() {
    let sandbox = Sandbox::new();
    if !sandbox.has("zsh") {
        return;
    }
    let (shop, run) = repository(&sandbox);
    let functions = install(&sandbox, "_git-parallel", "functions/_git-parallel");
    let functions = functions.parent().unwrap().display();
    let mut shell = Shell::start(&sandbox, &["zsh", "-f", "-i"], &shop);
    shell.run(&format!(
        "unsetopt prompt_sp prompt_cr zle_bracketed_paste 2>/dev/null; unset zle_bracketed_paste; bindkey -e; \
         fpath=({functions} $fpath); autoload -Uz compinit && compinit -u -D"
    ));
    check(&mut shell, &run);
    check_elsewhere(&mut shell, &shop);
}

/// fish can be asked without a terminal.
#[test]
fn fish_completes_git_parallel() {
    let sandbox = Sandbox::new();
    if !sandbox.has("fish") {
        return;
    }
    let (shop, run) = repository(&sandbox);
    install(&sandbox, "git-parallel.fish", "home/.config/fish/conf.d/git-parallel.fish");
    let ask = |line: &str, dir: &Path| -> Vec<String> {
        let script = format!("complete -C '{line}'");
        let mut fish = sandbox.command("fish");
        let output =
            fish.args(["-c", &script]).current_dir(dir).env("PATH", path(&sandbox)).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        output.lines().filter_map(|line| Some(line.split('\t').next()?.to_owned())).collect()
    };
    for (line, completed) in LINES {
        let candidates = ask(line, &shop);
        let (before, typed) = line.rsplit_once(' ').unwrap();
        let wanted = completed.replace("RUN", &run);
        let wanted = wanted.strip_prefix(before).unwrap().trim_start();
        if wanted == typed {
            assert!(candidates.is_empty(), "{line}: {candidates:?}");
        } else {
            assert!(candidates.iter().any(|c| c == wanted), "{line}: {candidates:?}");
        }
    }
    let nowhere = Path::new("/");
    assert!(ask("git parallel land ", nowhere).is_empty());
    assert_eq!(ask(&format!("git -C {} parallel land ", shop.display()), nowhere), ["billing"]);
}
