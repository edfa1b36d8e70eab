//! Git's own ways with an answer: colours, advice and the pager, as the configuration and the environment have it.

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};

use anyhow::{Context as _, Result};

use super::place::bad_config;
use crate::git::{Config, Repository};
use crate::sys::Pager;
use crate::ui::{Settings, Verbosity};

/// The names of what can be silenced, below `advice.`; the first stands for all.
const ADVICE: &str = "advice.parallel";

/// How an answer looks.
///
/// # Errors
/// If a setting makes no sense.
pub fn settings(config: &Config, json: bool, verbosity: Verbosity) -> Result<Settings> {
    let color = color(config).map_err(bad_config)?;
    let mut settings = Settings::detect(json, verbosity).colored(color).advising(advises(config, "Next"));
    let paged = variable("GIT_PAGER_IN_USE").is_some_and(|value| value == "true" || value == "1");
    if paged && color.is_none() && config.bool("color.pager").map_err(bad_config)?.unwrap_or(true) {
        let is_dumb = variable("TERM").is_none_or(|value| value.is_empty() || value == "dumb");
        settings.stdout.color |= !is_dumb && variable("NO_COLOR").is_none_or(|value| value.is_empty());
    }
    Ok(settings)
}

/// As the settings of a command that only tells.
///
/// # Errors
/// As [`settings`].
pub fn plain_settings(config: &Config) -> Result<Settings> {
    settings(config, false, Verbosity::Normal)
}

/// Always, never, or, as `None`, where it shows. `color.parallel` is asked, then `color.ui`.
fn color(config: &Config) -> Result<Option<bool>> {
    for key in ["color.parallel", "color.ui"] {
        let Some(value) = config.string(key) else { continue };
        return match value.to_string().to_ascii_lowercase().as_str() {
            "always" => Ok(Some(true)),
            "never" => Ok(Some(false)),
            "auto" => Ok(None),
            _ => Ok(config.bool(key)?.filter(|wanted| !wanted)),
        };
    }
    Ok(None)
}

/// Whether advice of this name is wanted: `GIT_ADVICE=0`, which is `git --no-advice`, silences all, and
/// `advice.parallel` all of ours. A value that makes no sense silences nothing.
fn advises(config: &Config, name: &str) -> bool {
    let off = |value: OsString| matches!(value.to_str(), Some("0" | "false" | "no" | "off"));
    let wanted = |key: &str| config.bool(key).ok().flatten().unwrap_or(true);
    !variable("GIT_ADVICE").is_some_and(off) && wanted(ADVICE) && wanted(&format!("{ADVICE}{name}"))
}

/// Whether errors say what to do next.
pub fn hints_wanted() -> bool {
    let repo = std::env::current_dir().ok().and_then(|cwd| Repository::discover(&cwd).ok());
    let config = repo.map_or_else(Config::outside, |repo| Config::load(&repo));
    // A configuration that can't be read may be the very thing that the hints are about.
    advises(&config.unwrap_or_default(), "Hints")
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Where a long answer goes: to the user's pager, if a terminal would show it, else to stdout.
pub struct Answer {
    pager: Option<Pager>,
}

impl Answer {
    /// Starts the pager, if there is to be one.
    pub fn new(config: &Config) -> Answer {
        let command = pager(config).filter(|_| std::io::stdout().is_terminal());
        Answer { pager: command.and_then(|command| Pager::start(&command).ok()) }
    }

    /// Straight to stdout.
    pub fn unpaged() -> Answer {
        Answer { pager: None }
    }

    /// Prints. `false` once nobody reads any more, which is no error.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn print(&mut self, bytes: &[u8]) -> Result<bool> {
        if let Some(pager) = &mut self.pager {
            return pager.write(bytes).context("cannot write to the pager");
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Waits until the user has read it.
    ///
    /// # Errors
    /// If the pager can't be waited for.
    pub fn finish(self) -> Result<()> {
        self.pager.map_or(Ok(()), |pager| pager.finish().context("cannot wait for the pager"))
    }
}

/// Prints an answer that may be longer than a screen.
///
/// # Errors
/// If it can't be written.
pub fn print_long(config: &Config, bytes: &[u8]) -> Result<()> {
    let mut answer = Answer::new(config);
    answer.print(bytes)?;
    answer.finish()
}

/// The pager that git would take; `None` for none.
fn pager(config: &Config) -> Option<String> {
    let text = |value: OsString| value.to_string_lossy().into_owned();
    let own = config.string("pager.parallel").map(|value| (config.bool("pager.parallel"), value));
    let named = match own {
        Some((Ok(Some(false)), _)) => return None,
        Some((Err(_), command)) => Some(command.to_string()),
        _ => None,
    };
    let set = variable("GIT_PAGER").map(text).or(named);
    let set = set.or_else(|| config.string("core.pager").map(|value| value.to_string()));
    let pager = set.or_else(|| variable("PAGER").map(text));
    // What is not there can't be what anybody wants, unless they said so.
    let pager = pager.or_else(|| which::which("less").ok().map(|_| "less".to_owned()));
    pager.filter(|command| !command.is_empty() && command != "cat")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[&str]) -> Config {
        Config::of(settings)
    }

    #[test]
    fn colours_are_as_git_has_them() {
        assert_eq!(color(&config(&[])).unwrap(), None);
        assert_eq!(color(&config(&["color.ui=always"])).unwrap(), Some(true));
        assert_eq!(color(&config(&["color.ui=always", "color.parallel=never"])).unwrap(), Some(false));
        assert_eq!(color(&config(&["color.ui=false", "color.parallel=auto"])).unwrap(), None);
        assert_eq!(color(&config(&["color.parallel=true"])).unwrap(), None);
        assert_eq!(color(&config(&["color.parallel=no"])).unwrap(), Some(false));
        assert!(color(&config(&["color.parallel=blue"])).unwrap_err().to_string().contains("color.parallel"));
    }

    #[test]
    fn advice_can_be_silenced_by_its_name_or_altogether() {
        assert!(advises(&config(&[]), "Next"));
        assert!(!advises(&config(&["advice.parallel=false"]), "Next"));
        assert!(!advises(&config(&["advice.parallelNext=false"]), "Next"));
        assert!(advises(&config(&["advice.parallelNext=false"]), "Hints"));
        assert!(advises(&config(&["advice.parallel=blue"]), "Hints"));
    }
}
