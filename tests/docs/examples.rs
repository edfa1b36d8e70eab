//! The examples of the man pages are run, each page's in their order, in a repository where they have a meaning.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::sandbox::{Sandbox, root};

/// What the examples have instead of the programs that they name.
const STANDINS: &[(&str, &str)] = &[
    ("claude", "echo x >>claude.txt"),
    ("codex", "echo x >>codex.txt"),
    ("make", "echo x >>made.txt"),
    ("man", "echo 'run agents at once'"),
    ("podman", "while [ \"$1\" != IMAGE ]; do shift; done; shift; exec \"$@\""),
    ("shell", "sed -i '/^[<|=>]\\{7\\}/d' routes.conf && git add ."),
    ("srun", "shift; exec \"$@\""),
];

/// What is made anew before each of a page's examples. Without an entry they stand in the repository of the demo,
/// after its run, in which `billing` has a conflict.
const BEFORE_EACH: &[(&str, &str)] = &[
    ("git-parallel-abort.1", "$fresh; git parallel run --detach docs auth -- sleep 600"),
    (
        "git-parallel-conflicts.1",
        "git branch -f develop; git branch -f topic/search; git branch -f topic/cart",
    ),
    (
        "git-parallel-land.1",
        "$demo; git parallel resolve billing --with 'git checkout --ours . && git add .'",
    ),
    ("git-parallel-protocol.7", "$fresh; cp ../../examples/first-wins .; git parallel run -q zero -- true"),
    ("git-parallel-resolve.1", "$demo"),
    ("git-parallel-resume.1", "$fresh; $interrupted"),
    ("git-parallel-retry.1", "$demo"),
    ("git-parallel-run.1", "$fresh; git branch develop"),
    ("git-parallel-runners.7", "test -d .git/parallel || git parallel run -q zero -- true"),
    ("git-parallel-wait.1", "$fresh; git parallel run --detach docs -- ./agent.sh docs"),
];

/// Which pages begin where nothing was run yet.
const FRESH: &[&str] =
    &["git-parallel.1", "git-parallel-config.5", "git-parallel-doctor.1", "git-parallel-runners.7"];

/// What `$fresh` and the like stand for.
const STEPS: &str = r#"
fresh() {
    git parallel abort >/dev/null 2>&1 || :
    cd ..; rm -rf shop shop.worktrees; cp -a fresh shop; cd shop
}
demo() { cd ../..; rm -rf demo; git parallel demo demo >/dev/null; cd demo/shop; }
interrupted() {
    rm -f ../here ../there; mkfifo ../here ../there
    git parallel run --detach auth -- sh -c 'echo >../../here; read x <../../there; ./agent.sh auth'
    read x <../here
    kill -9 "$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' .git/parallel/lock)"
    flock .git/parallel/lock true
    echo >../there
}
fresh=fresh demo=demo interrupted=interrupted
set -e
"#;

/// A repository in which `billing` runs into a conflict with `auth`.
const MAKE_FRESH: &str = r#"
mkdir -p ../fresh; cd ../fresh; git init -q -b main
cat >agent.sh <<'END'
#!/bin/sh
case $1 in
    billing) sleep 1; file=routes.conf ;;
    auth) file=routes.conf ;;
    *) file=$1.txt ;;
esac
echo "/$1" >>$file && git add . && git commit -qm "Add $1"
END
chmod +x agent.sh; echo / >routes.conf; mkdir -p .git/info; printf '/plan.toml
*.html
' >.git/info/exclude
git add .; git commit -qm Start
printf '[[task]]
name = "cart"
command = ["true"]
' >plan.toml
"#;

/// Exit codes other than 0, where that is the answer.
const CODES: &[(&str, i32)] = &[
    ("git parallel conflicts", 1),
    ("git parallel run auth docs billing -- ./agent.sh {task}", 1),
    ("git parallel retry billing", 1),
    ("git parallel retry --fresh billing", 1),
];

/// The tests have no cluster, so they only ask whether the command is understood.
const ELSEWHERE: &[&str] = &["--runner slurm", "--runner ssh", "--runner hq", "./hyperqueue"];

/// Each page that has a section with examples, and the lines that stand out in it.
fn pages() -> Vec<(String, Vec<String>)> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(root().join("man")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().skip_while(|line| *line != ".SH EXAMPLES").skip(1);
        let lines = lines.take_while(|line| !line.starts_with(".SH"));
        let plain = |line: &str| line.replace("\\*(Aq", "'").replace("\\-", "-").replace("\\\\", "\\");
        let line = |line: &str| match line {
            ".sp" => Some(String::new()),
            line => Some(plain(line.strip_prefix("\\fB")?.strip_suffix("\\fR")?)),
        };
        pages.push((name, lines.filter_map(line).collect()));
    }
    pages.sort();
    pages
}

struct World {
    sandbox: Sandbox,
    shop: PathBuf,
    run: String,
}

impl World {
    fn new(page: &str) -> World {
        let sandbox = Sandbox::new();
        let shop = sandbox.path("demo/shop");
        let steps = BEFORE_EACH.iter().find(|(name, _)| *name == page);
        // These make their own.
        let run = if FRESH.contains(&page) || steps.is_some_and(|(_, steps)| steps.starts_with('$')) {
            fs::create_dir_all(&shop).unwrap();
            String::new()
        } else {
            sandbox.ok(&["demo", "demo"]);
            let mut runs = fs::read_dir(shop.join(".git/parallel/runs")).unwrap();
            runs.next().unwrap().unwrap().file_name().into_string().unwrap()
        };
        let bin = sandbox.path("bin");
        fs::create_dir(&bin).unwrap();
        fs::create_dir(sandbox.path("examples")).unwrap();
        fs::copy(root().join("examples/first-wins"), sandbox.path("examples/first-wins")).unwrap();
        for (name, script) in STANDINS {
            let path = bin.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for dir in [".local/share/bash-completion/completions", ".zfunc", ".config/fish/conf.d"] {
            fs::create_dir_all(sandbox.path("home").join(dir)).unwrap();
        }
        let merge = "sed -i '/^[<|=>]\\{7\\}/d' \"$MERGED\"";
        let settings = [
            ("parallel.confirm", "false"),
            ("merge.tool", "standin"),
            ("mergetool.standin.cmd", merge),
            ("mergetool.standin.trustExitCode", "true"),
        ];
        let world = World { sandbox, shop, run };
        for (key, value) in settings {
            world.must(&format!("git config --global {key} '{}'", value.replace('\'', "'\\''")));
        }
        world.must(MAKE_FRESH);
        if FRESH.contains(&page) {
            world.must(&format!("{STEPS} $fresh"));
        }
        world
    }

    fn must(&self, line: &str) {
        let (code, output) = self.run(line);
        assert_eq!(code, 0, "{line}: {output}");
    }

    /// A line as a person would type it who does not want to be asked: its exit code, and what it printed.
    fn run(&self, line: &str) -> (i32, String) {
        let mut shell = self.sandbox.command("sh");
        shell.args(["-c", &format!("{{ {line}\n}} 2>&1")]).current_dir(&self.shop);
        shell.env("SHELL", self.sandbox.path("bin/shell"));
        shell.env("GIT_CONFIG_GLOBAL", self.sandbox.path("home/.gitconfig"));
        shell.env("PATH", format!("{}:{}", self.sandbox.path("bin").display(), Sandbox::search_path()));
        let output = shell.output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Runs the examples of a page, and gives what went wrong.
fn try_page(page: &str, lines: &[String], has_jq: bool) -> Vec<String> {
    let world = World::new(page);
    let mut wrong = Vec::new();
    for line in lines.iter().filter(|line| has_jq || !(line.contains("| jq") || line.contains("first-wins")))
    {
        if let Some((_, steps)) = BEFORE_EACH.iter().find(|(name, _)| *name == page) {
            world.must(&format!("{STEPS} {steps}"));
        }
        let here = line.replace("20261120-143201-k3f9", &world.run);
        if ELSEWHERE.iter().any(|elsewhere| line.contains(elsewhere)) {
            let (code, output) = world.run(&here.replace("parallel run", "parallel run -n"));
            if code == 2 {
                wrong.push(format!("{page}: {line}: {output}"));
            }
            continue;
        }
        let (code, output) = world.run(&here);
        let expected = CODES.iter().find(|(example, _)| example == line).map_or(0, |(_, code)| *code);
        if code != expected {
            wrong.push(format!("{page}: {line}: exit {code}, not {expected}: {output}"));
        }
    }
    wrong
}

#[test]
fn every_page_has_examples_that_work() {
    if !Sandbox::new().has("flock") {
        return;
    }
    let pages = pages();
    // The tutorial is nothing else, and is run by itself.
    let bare = pages.iter().filter(|(_, lines)| lines.is_empty()).map(|(name, _)| name.as_str());
    assert_eq!(bare.collect::<Vec<_>>(), ["git-parallel-tutorial.7"]);
    let has_jq = Sandbox::new().has("jq");
    let (plan, others): (Vec<_>, Vec<_>) = pages.iter().partition(|(name, _)| name == "git-parallel-plan.5");
    let others: Vec<_> = others.into_iter().filter(|(_, lines)| !lines.is_empty()).collect();
    let mut wrong = Vec::new();
    for some in others.chunks(8) {
        // Much of the time is the agents', who take theirs.
        std::thread::scope(|scope| {
            let tried: Vec<_> =
                some.iter().map(|(name, lines)| scope.spawn(move || try_page(name, lines, has_jq))).collect();
            tried.into_iter().for_each(|page| wrong.extend(page.join().unwrap()));
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    check_plan(&plan[0].1.join("\n"));
}

/// The example of git-parallel-plan(5) is a plan.
fn check_plan(text: &str) {
    let world = World::new("git-parallel-plan.5");
    let write = |name: &str, text: &str| fs::write(Path::new(&world.shop).join(name), text).unwrap();
    fs::create_dir(world.shop.join("prompts")).unwrap();
    write("prompts/client.md", "Show invoices");
    write("plan.toml", text);
    let (code, output) = world.run("git parallel run -n -f plan.toml");
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("schema") && output.contains("client"), "{output}");
}
