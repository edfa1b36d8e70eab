//! What is said to who asks for help, or types what makes no sense.

use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::{ContextKind, ErrorKind};

use super::place::Place;
use crate::cli::Cli;
use crate::error::exit;
use crate::run::RunId;

/// Prints what clap has to say (help, version, or a usage error) and gives the exit code. Where the manual is
/// installed, `--help` on a terminal opens it instead.
pub fn explain(usage: &clap::Error) -> ExitCode {
    // `git parallel` alone prints the short help, as an answer.
    if usage.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = Cli::command().print_help();
        remind();
        return ExitCode::SUCCESS;
    }
    super::man::open_manual(usage);
    if usage.use_stderr() {
        super::narrate(&complaint(usage, super::hints_wanted));
    } else {
        // A reader that went away is no reason to fail.
        let _ = usage.print();
    }
    ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(exit::USAGE))
}

/// Whoever asks for help below an interrupted run wants to know of it.
fn remind() {
    let Ok(place) = Place::open() else { return };
    let interrupted = |ids: Vec<RunId>| {
        let run = place.load(Some(&ids.last()?.0)).ok()?.run;
        place
            .refuse_interrupted(&run)
            .err()
            .filter(|_| place.supervisor(&run.spec.id).is_ok_and(|s| s.is_none()))
    };
    if let Some(error) = crate::store::list(&place.layout).ok().and_then(interrupted) {
        super::narrate(&format!("\n{}", crate::error::render(&error, super::hints_wanted)));
    }
}

/// A usage error in our own words: what is wrong, hints, and how it is used.
fn complaint(usage: &clap::Error, hints_wanted: impl Fn() -> bool) -> String {
    let (mut said, mut hints) = (String::new(), String::new());
    for line in usage.to_string().lines() {
        match line.strip_prefix("  tip: ") {
            Some(tip) => hints.push_str(&format!("hint: {}\n", suggestion(tip))),
            None if line.starts_with("For more information") => {}
            None if line.is_empty() && said.ends_with("\n\n") => {}
            None => {
                said.push_str(&format!("{}\n", line.replace("unrecognized subcommand", "unknown command")))
            }
        }
    }
    hints.extend(tip(usage).map(|tip| format!("{tip}\n")));
    let cli = Cli::command();
    let command = std::env::args_os().nth(1).filter(|word| cli.find_subcommand(word).is_some());
    let command = command.map(|word| format!(" {}", word.display())).unwrap_or_default();
    let help = format!("see how it is used: git parallel{command} -h");
    let hints = if hints_wanted() { format!("{hints}hint: {help}\n") } else { String::new() };
    match said.trim_end().split_once("\n\n") {
        Some((what, rest)) => format!("{what}\n{hints}\n{}\n", rest.trim_end()),
        None => format!("{}\n{hints}", said.trim_end()),
    }
}

/// clap's suggestions as all others are put.
fn suggestion(tip: &str) -> String {
    let Some((what, names)) = tip.split_once(": ") else { return tip.to_owned() };
    match what {
        _ if what.ends_with("exists") => format!("did you mean {names}?"),
        _ if what.ends_with("exist") => format!("did you mean one of {names}?"),
        _ => tip.to_owned(),
    }
}

/// What clap's own words leave open.
fn tip(usage: &clap::Error) -> Option<String> {
    let about = |kind| usage.get(kind).map(ToString::to_string).unwrap_or_default();
    match usage.kind() {
        // clap suggests only what is very much alike; two letters that changed places are not.
        ErrorKind::InvalidSubcommand if usage.get(ContextKind::SuggestedSubcommand).is_none() => {
            let typed = about(ContextKind::InvalidSubcommand);
            let cli = Cli::command();
            let known = cli.get_subcommands().filter(|c| !c.is_hide_set()).map(clap::Command::get_name);
            let nearest = known.min_by_key(|name| strsim::damerau_levenshtein(name, &typed))?;
            let near = strsim::damerau_levenshtein(nearest, &typed) <= 2;
            near.then(|| format!("hint: did you mean '{nearest}'?"))
        }
        _ => None,
    }
}
