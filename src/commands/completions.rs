//! `git parallel completions`, and what the scripts that it prints ask us: `git parallel complete`.
//!
//! The scripts are small and know nothing of our commands: they pass the words typed so far to
//! `git parallel complete -- WORD...`, which answers with one candidate a line, `value TAB what it is`, and
//! in the last line with `:files`, `:directories` or `:commands` where the shell knows better. So they need
//! not change when the commands do, and tasks, runs and branches are completed as they are in the repository.

mod offers;

use std::ffi::OsString;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::print;
use crate::cli::{Cli, CompleteArgs, CompletionsArgs};
use crate::error::exit;

const BASH: &str = include_str!("../../completions/git-parallel.bash");
const ZSH: &str = include_str!("../../completions/_git-parallel");
const FISH: &str = include_str!("../../completions/git-parallel.fish");

/// Prints the completion script of a shell.
pub fn completions(args: &CompletionsArgs) -> Result<u8> {
    let script = match args.shell {
        Shell::Bash => BASH.to_owned(),
        Shell::Zsh => ZSH.to_owned(),
        Shell::Fish => FISH.to_owned(),
        // They have no completion of git's to take part in.
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut Cli::command(), "git-parallel", &mut script);
            String::from_utf8(script)?
        }
    };
    print(&script)?;
    Ok(exit::OK)
}

/// Answers a completion script. Whatever goes wrong, there is just nothing to offer.
pub fn complete(args: &CompleteArgs) -> Result<u8> {
    let mut words: Vec<OsString> = vec!["git-parallel".into()];
    words.extend(args.words.iter().cloned());
    if args.words.is_empty() {
        words.push(OsString::new());
    }
    let last = words.len() - 1;
    if words[last] == "-" {
        // Whoever asks wants to read names.
        words[last] = "--".into();
    }
    let current = words[last].clone();
    let found = clap_complete::engine::complete(&mut offers::command(&words), words, last, None);
    let mut text = String::new();
    for candidate in found.unwrap_or_default() {
        let value = candidate.get_value().to_string_lossy();
        // Options are offered to those who ask for one.
        if candidate.is_hide_set() || (value.starts_with('-') && current.is_empty()) {
            continue;
        }
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        match help.lines().next() {
            Some(help) => text.push_str(&format!("{value}\t{help}\n")),
            None => text.push_str(&format!("{value}\n")),
        }
    }
    print(&text)?;
    Ok(exit::OK)
}
