//! `git parallel man`: the man pages, made from the command line's definitions; and what `--help` shows.

mod around;
mod config;
mod json;
mod plan;
mod protocol;
mod runners;
mod sections;
mod settings;
mod tutorial;
mod variables;
mod ways;

use std::ffi::OsString;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::CommandFactory;
use clap::error::ErrorKind;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::print;
use crate::agents::KNOWN;
use crate::cli::{Cli, ManArgs};
use crate::error::exit;
use json::{AGENTS_JSON, CONFLICTS_JSON, REPORT_JSON, STATUS_JSON};
use sections::{
    AGENT_ARGUMENTS, CONFIGURATION, CONFLICTS_STATUS, EXIT_STATUS, FILES, KEYS, PACING, PLAN_FILE, RESOLVER,
    Section, VERIFICATION,
};

/// Writes the pages into a directory.
pub fn man(args: &ManArgs) -> Result<u8> {
    let dir = &args.dir;
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let pages = pages();
    for (name, text) in &pages {
        let path = home(dir, name)?.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print(&format!("wrote {} man pages to {}\n", pages.len(), dir.display()))?;
    Ok(exit::OK)
}

/// Where a page goes: a directory `man1` is for section 1 alone, and one for another section is beside it.
fn home(dir: &Path, page: &str) -> Result<PathBuf> {
    let section = page.rsplit('.').next().unwrap_or_default();
    if !dir.ends_with("man1") || section == "1" {
        return Ok(dir.to_owned());
    }
    let home = dir.with_file_name(format!("man{section}"));
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    Ok(home)
}

/// Every page: its file name and its text.
fn pages() -> Vec<(String, String)> {
    let mut cli = Cli::command().subcommand_help_heading("COMMANDS");
    cli.build();
    let visible: Vec<clap::Command> = cli.get_subcommands().filter(|c| !c.is_hide_set()).cloned().collect();
    let names: Vec<String> = visible.iter().map(|c| format!("git-parallel-{}", c.get_name())).collect();
    let also =
        [(config::NAME, 5), (plan::NAME, 5), (protocol::NAME, 7), (runners::NAME, 7), (tutorial::NAME, 7)];
    let also = also.map(|(name, section)| format!("{name}({section})"));
    let all: Vec<String> = names.iter().map(|name| format!("{name}(1)")).chain(also.clone()).collect();
    let mut pages = vec![("git-parallel.1".to_owned(), page(&cli, "git-parallel", &all))];
    for (command, name) in visible.iter().zip(&names) {
        let mut others = vec!["git-parallel(1)".to_owned()];
        others.extend(also.iter().filter(|_| command.get_name() == "run").cloned());
        pages.push((format!("{name}.1"), page(command, name, &others)));
    }
    pages.push((format!("{}.5", config::NAME), config::page()));
    pages.push((format!("{}.5", plan::NAME), plan::page()));
    pages.push((format!("{}.7", protocol::NAME), protocol::page()));
    pages.push((format!("{}.7", runners::NAME), runners::page()));
    pages.push((format!("{}.7", tutorial::NAME), tutorial::page()));
    pages
}

/// How every page begins.
fn head(name: &str, section: &str, about: &str) -> Roff {
    let version = format!("git-parallel {}", env!("CARGO_PKG_VERSION"));
    let mut roff = Roff::new();
    // No date: a page is the same whenever it is made.
    roff.control("TH", [name.to_uppercase().as_str(), section, "", version.as_str(), "git-parallel"]);
    // As in git's own pages: names of commands are not hyphenated.
    roff.control("nh", []).control("ad", ["l"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {about}"))]);
    roff
}

/// How every page ends; each page with its section.
fn see_also(roff: &mut Roff, pages: &[String]) {
    roff.control("SH", ["SEE ALSO"]);
    let pages: Vec<Inline> = pages
        .iter()
        .enumerate()
        .flat_map(|(i, page)| {
            let comma = if i == 0 { "" } else { ", " };
            let (name, section) = page.split_at(page.find('(').unwrap_or(page.len()));
            [roman(comma), bold(name), roman(section)]
        })
        .collect();
    roff.text(pages);
}

fn page(command: &clap::Command, name: &str, others: &[String]) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let (first, rest) = about.split_at(about.chars().next().map_or(0, char::len_utf8));
    let mut roff = head(name, "1", &format!("{}{rest}", first.to_lowercase()));
    synopsis(&mut roff, command);
    let mut text = roff.render();
    text.push_str(&generated(command));

    let mut roff = Roff::new();
    let sections: &[&Section] = match command.get_name() {
        "git-parallel" => &[&EXIT_STATUS, &CONFIGURATION, &FILES],
        "run" => &[
            &PLAN_FILE,
            &AGENT_ARGUMENTS,
            &around::WORKTREES,
            &around::HOOKS,
            &KEYS,
            &VERIFICATION,
            &PACING,
            &RESOLVER,
            &EXIT_STATUS,
            &CONFIGURATION,
        ],
        "status" => &[&ways::STATUS_PORCELAIN, &STATUS_JSON],
        "list" => &[&ways::LIST_PORCELAIN],
        "agents" => &[&AGENTS_JSON],
        "report" => &[&REPORT_JSON],
        "conflicts" => &[&CONFLICTS_STATUS, &ways::CONFLICTS_PORCELAIN, &CONFLICTS_JSON],
        _ => &[],
    };
    for section in sections {
        tagged(&mut roff, section);
    }
    if command.get_name() == "agents" {
        known_agents(&mut roff);
    }
    examples(&mut roff, command);
    let gits = ["git(1)", "git-worktree(1)", "git-merge(1)"].map(str::to_owned);
    see_also(&mut roff, &[others, &gits].concat());
    text.push_str(&without_preamble(&roff.render()));
    text
}

/// The definitions that each part of a page begins with stand at its top already.
fn without_preamble(part: &str) -> String {
    part.replace(&Roff::new().render(), "")
}

/// `git parallel run [OPTIONS] <TASK>...`, as the help has it.
fn synopsis(roff: &mut Roff, command: &clap::Command) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold(name), roman(usage.strip_prefix(name).unwrap_or(usage))]);
}

/// DESCRIPTION, OPTIONS and COMMANDS, by clap.
fn generated(command: &clap::Command) -> String {
    let man = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    let mut written = man.render_description_section(&mut text);
    written = written.and_then(|()| man.render_options_section(&mut text));
    if command.get_subcommands().any(|c| !c.is_hide_set()) {
        written = written.and_then(|()| man.render_subcommands_section(&mut text));
    }
    // Writing to memory can't fail.
    let _ = written;
    without_preamble(&String::from_utf8_lossy(&text))
}

fn tagged(roff: &mut Roff, section: &Section) {
    roff.control("SH", [section.title]);
    if !section.intro.is_empty() {
        roff.text([roman(section.intro)]);
    }
    for (tag, text) in section.entries {
        roff.control("TP", []);
        roff.text([bold(*tag)]);
        roff.text([roman(*text)]);
    }
}

/// Commands to try, under what they are for.
fn commands(roff: &mut Roff, examples: &[(&str, &[&str])]) {
    for (what, lines) in examples {
        roff.control("PP", []);
        roff.text([roman(*what)]);
        roff.control("RS", ["4"]).control("nf", []);
        for line in *lines {
            roff.text([bold(*line)]);
        }
        roff.control("fi", []).control("RE", []);
    }
}

/// How each known agent is called, and what it may do so.
fn known_agents(roff: &mut Roff) {
    roff.control("SH", ["KNOWN AGENTS"]);
    roff.text([roman(sections::KNOWN_AGENTS)]);
    for known in KNOWN {
        roff.control("TP", []);
        roff.text([bold(known.name)]);
        let call: Vec<&str> = [&[known.program], known.options, known.prompt].concat();
        roff.text([
            roman(format!("{}, as ", known.title)),
            bold(call.join(" ")),
            roman(format!(": {}.", known.may)),
        ]);
        roff.control("br", []);
        roff.text([roman(known.docs)]);
    }
}

/// The examples that stand below a command's help; the program's own help has no room for any.
fn examples(roff: &mut Roff, command: &clap::Command) {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let own = after.strip_prefix("Examples:\n").unwrap_or(sections::EXAMPLES);
    roff.control("SH", ["EXAMPLES"]);
    for line in own.lines() {
        roff.control("PP", []);
        roff.control("RS", ["4"]);
        roff.text([bold(line.trim())]);
        roff.control("RE", []);
    }
}

/// Opens the man page of the command that `--help` was asked of, in place of the help: only on a terminal,
/// and only if the page is installed. Returns if there is none to open.
pub fn open_manual(usage: &clap::Error) {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .take_while(|word| word != "--")
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let asked = usage.kind() == ErrorKind::DisplayHelp && words.iter().any(|w| w == "--help");
    if !asked || !std::io::stdout().is_terminal() {
        return;
    }
    let page = match words.first().filter(|word| !word.starts_with('-')) {
        Some(command) => format!("git-parallel-{command}.1"),
        None => "git-parallel.1".to_owned(),
    };
    if let Some(path) = find(&page) {
        // If there is no man, the help does.
        let _ = crate::sys::become_program(&[OsString::from("man"), path.into()]);
    }
}

/// The page beside our own executable, or where man looks.
fn find(page: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let prefix = own.as_deref().and_then(|exe| exe.parent()?.parent()).map(|dir| dir.join("share/man"));
    let manpath = std::env::var_os("MANPATH").unwrap_or_default();
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share/man"));
    let system = ["/usr/local/share/man", "/usr/share/man"].map(PathBuf::from);
    let dirs = prefix.into_iter().chain(std::env::split_paths(&manpath)).chain(home).chain(system);
    let files = dirs.filter(|dir| dir.is_absolute()).map(|dir| dir.join("man1").join(page));
    files.flat_map(|file| [file.clone(), file.with_extension("1.gz")]).find(|file| file.is_file())
}
