//! git-parallel-config(5): every key of the configuration, and every variable that a run sets.

use clap_mangen::roff::{Roff, bold, roman};

use super::sections::Section;
use super::{commands, head, see_also, settings, tagged, variables, ways};

/// The page's name.
pub const NAME: &str = "git-parallel-config";

/// A key, or several that belong together.
pub struct Setting {
    /// The key; NAME stands for a name of the user's.
    pub key: &'static str,
    /// What a value is.
    pub kind: &'static str,
    /// What holds where it is not set.
    pub default: &'static str,
    /// The option of `run` that goes before it.
    pub option: Option<&'static str>,
    /// What it means.
    pub what: &'static str,
}

/// Keys that are told together, under a heading.
pub type Group = (&'static str, &'static [Setting]);

/// For the lists.
pub const fn key(
    key: &'static str,
    kind: &'static str,
    default: &'static str,
    option: Option<&'static str>,
    what: &'static str,
) -> Setting {
    Setting { key, kind, default, option, what }
}

/// All keys.
const GROUPS: [Group; 10] = [
    ("THE RUN", &settings::RUN),
    ("AGENTS", &settings::AGENTS),
    ("WHERE AGENTS RUN", &settings::RUNNERS),
    ("THEIR PACE", &settings::PACE),
    ("HOW WORK LANDS", &settings::LANDING),
    ("CHECKS", &settings::CHECKS),
    ("CONFLICTS", &settings::CONFLICTS),
    ("WORKTREES", &settings::WORKTREES),
    ("HOOKS AND NOTICES", &settings::HOOKS),
    ("HOW ANSWERS LOOK", &ways::ANSWERS),
];

const DESCRIPTION: [&str; 3] = [
    "git parallel is set up by git-config(1), at every level of it: system, global, local, worktree, 'git -c \
     KEY=VALUE', includeIf, and GIT_CONFIG_COUNT and its like. An option on the command line goes before what a plan \
     says, and the plan before the configuration; what a task says in a plan goes before all of them.",
    "Nothing is read from a tracked file, which could bring commands along. Shell commands are run by 'sh -c'. What \
     lets work land, and where agents run, holds as it was when the run started, so that no agent can change it.",
    "Keys have no regard to case but in NAME, which is a name of yours. Where a key may be given several times, add to \
     it by 'git config --add'.",
];

const VALUES: Section = Section {
    title: "VALUES",
    intro: "A value that makes no sense is told of before anything is created.",
    entries: &[
        ("time", "A number and its unit, such as 90s, 30m, 2h or 1h 30m; longer than zero."),
        ("size", "A number of bytes, with k, m or g behind it for the like: 10m."),
        ("true or false", "As git takes them: also yes, on and 1; no, off and 0."),
        ("pathspec", "As in gitglossary(7), from the top of the tree."),
        ("shell command", "For 'sh -c', on one line or several."),
    ],
};

/// Commands to try, under what they are for.
const EXAMPLES: [(&str, &[&str]); 4] = [
    (
        "For all your repositories:",
        &[
            "git config --global parallel.jobs 8",
            "git config --global parallel.agent claude",
            "git config --global parallel.notify desktop",
        ],
    ),
    (
        "For one, where only what passes its tests lands, and nobody changes the workflows unseen:",
        &[
            "git config parallel.verify 'make test'",
            "git config parallel.verifyTimeout 20m",
            "git config --add parallel.protected .github/",
            "git config parallel.setup 'cp -r \"$GIT_PARALLEL_ROOT/fixtures\" .'",
        ],
    ),
    (
        "Lock files are made anew where they collide:",
        &[
            "git config parallel.regenerate.cargo.pattern Cargo.lock",
            "git config parallel.regenerate.cargo.cmd 'cargo generate-lockfile --offline'",
        ],
    ),
    (
        "For once:",
        &["git -c parallel.jobs=2 -c parallel.strategy=squash parallel run -n -a claude -p 'Mend it' a b"],
    ),
];

/// The page.
pub fn page() -> String {
    let mut roff = head(NAME, "5", "what can be set, and what agents and hooks find in their environment");
    roff.control("SH", ["DESCRIPTION"]);
    for (number, paragraph) in DESCRIPTION.into_iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph)]);
    }
    for (title, settings) in GROUPS {
        roff.control("SH", [title]);
        settings.iter().for_each(|setting| entry(&mut roff, setting));
    }
    tagged(&mut roff, &VALUES);
    tagged(&mut roff, &ways::READ);
    variables::SECTIONS.into_iter().for_each(|section| tagged(&mut roff, section));
    roff.control("SH", ["EXAMPLES"]);
    commands(&mut roff, &EXAMPLES);
    let others = ["git-parallel-run(1)", "git-parallel-plan(5)", "git-parallel-runners(7)", "git-config(1)"];
    see_also(&mut roff, &others.map(str::to_owned));
    roff.render()
}

/// A key, what it means, and then its facts on a line of their own.
fn entry(roff: &mut Roff, setting: &Setting) {
    roff.control("TP", []);
    roff.text([bold(setting.key)]);
    roff.text([roman(setting.what)]);
    roff.control("br", []);
    let mut facts = vec![roman("Value: "), roman(setting.kind), roman(". Default: "), roman(setting.default)];
    if let Some(option) = setting.option {
        facts.extend([roman(". Option: "), bold(format!("--{option}"))]);
    }
    facts.push(roman("."));
    roff.text(facts);
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::GROUPS;
    use crate::cli::Cli;

    /// Both ways: what the help says of a key, and what the manual says of an option.
    #[test]
    fn keys_and_options_know_each_other() {
        let cli = Cli::command();
        let run = cli.find_subcommand("run").unwrap();
        let settings: Vec<_> = GROUPS.iter().flat_map(|(_, settings)| settings.iter()).collect();
        for option in run.get_arguments() {
            let help = option.get_help().map(ToString::to_string).unwrap_or_default();
            let named = settings.iter().filter(|setting| setting.option == option.get_long());
            let named: Vec<_> = named.filter(|setting| setting.option.is_some()).map(|s| s.key).collect();
            let told = help.rsplit_once('[').and_then(|(_, end)| {
                end.split([' ', ',', ']', '=']).find(|word| word.starts_with("parallel."))
            });
            assert_eq!(told.into_iter().collect::<Vec<_>>(), named, "--{:?}: {help}", option.get_long());
        }
        for setting in settings {
            let known = |option| run.get_arguments().any(|arg| arg.get_long() == Some(option));
            assert!(setting.option.is_none_or(known), "{}", setting.key);
        }
    }
}
