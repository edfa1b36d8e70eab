//! What the two output streams can take, found out once at the start.

use std::ffi::OsString;
use std::io::IsTerminal;

use console::Term;
use jiff::tz::TimeZone;

use super::Look;

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Verbosity {
    /// Only how it ended.
    Quiet,
    /// What happens.
    #[default]
    Normal,
    /// Also every line that an agent prints.
    Verbose,
}

/// In which form a run is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One line a task, redrawn in place.
    Live,
    /// One line an event.
    Plain,
    /// One JSON object an event.
    Json,
}

/// How a run is told, and what each stream can show. stdout is the answer: event lines, JSON and the
/// summary. stderr is the narration: plan, prompt, warnings and the live view.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What stdout can show.
    pub stdout: Look,
    /// What stderr can show.
    pub stderr: Look,
    /// Whether a person may be at stderr.
    pub stderr_is_terminal: bool,
    /// How much is told.
    pub verbosity: Verbosity,
    /// In which form.
    pub format: Format,
}

/// What [`Settings`] follow from beside the options.
struct Surroundings<'a> {
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl Settings {
    /// Looks at the terminal and the environment.
    pub fn detect(json: bool, verbosity: Verbosity) -> Settings {
        let surroundings = Surroundings {
            variable: &|name| std::env::var_os(name),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
        };
        let mut settings = surroundings.settings(json, verbosity);
        for (look, term) in [(&mut settings.stdout, Term::stdout()), (&mut settings.stderr, Term::stderr())] {
            look.time_zone = TimeZone::system();
            look.cwd = std::env::current_dir().ok();
            look.width = term.size_checked().map_or(usize::MAX, |(_, columns)| columns.into());
        }
        settings
    }

    /// The same with colours always or never, whatever the streams are.
    #[must_use]
    pub fn colored(mut self, color: Option<bool>) -> Settings {
        for look in [&mut self.stdout, &mut self.stderr] {
            look.color = color.unwrap_or(look.color);
        }
        self
    }

    /// The same with or without telling the next command.
    #[must_use]
    pub fn advising(mut self, advice: bool) -> Settings {
        (self.stdout.advice, self.stderr.advice) = (advice, advice);
        self
    }
}

impl Surroundings<'_> {
    fn settings(&self, json: bool, verbosity: Verbosity) -> Settings {
        let both = self.stdout_is_terminal && self.stderr_is_terminal;
        let format = match verbosity {
            _ if json => Format::Json,
            Verbosity::Normal if both && !self.is_dumb() => Format::Live,
            _ => Format::Plain,
        };
        let look = |is_terminal| Look {
            color: self.color(is_terminal),
            unicode: self.unicode(),
            width: usize::MAX,
            time_zone: TimeZone::UTC,
            advice: true,
            cwd: None,
        };
        Settings {
            stdout: look(self.stdout_is_terminal),
            stderr: look(self.stderr_is_terminal),
            stderr_is_terminal: self.stderr_is_terminal,
            verbosity,
            format,
        }
    }

    /// The variable's value; an empty one counts as not set, as POSIX and no-color.org have it.
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name)
            .map(|value| value.to_string_lossy().into_owned())
            .filter(|value| !value.is_empty())
    }

    fn is_dumb(&self) -> bool {
        self.variable("TERM").is_none_or(|term| term == "dumb")
    }

    fn color(&self, is_terminal: bool) -> bool {
        if self.variable("NO_COLOR").is_some() {
            return false;
        }
        if self.variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            return true;
        }
        let refused = self.variable("CLICOLOR").is_some_and(|value| value == "0");
        is_terminal && !self.is_dumb() && !refused
    }

    fn unicode(&self) -> bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| self.variable(name));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        utf8 && self.variable("TERM").is_none_or(|term| term != "dumb")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(terminals: (bool, bool), variables: &[(&str, &str)]) -> Settings {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
        let surroundings = Surroundings {
            variable: &variable,
            stdout_is_terminal: terminals.0,
            stderr_is_terminal: terminals.1,
        };
        surroundings.settings(false, Verbosity::Normal)
    }

    #[test]
    fn live_wants_both_terminals() {
        let xterm = [("TERM", "xterm-256color")];
        assert_eq!(settings((true, true), &xterm).format, Format::Live);
        assert_eq!(settings((false, true), &xterm).format, Format::Plain);
        assert_eq!(settings((true, false), &xterm).format, Format::Plain);
        assert_eq!(settings((true, true), &[("TERM", "dumb")]).format, Format::Plain);
        assert_eq!(settings((true, true), &[]).format, Format::Plain);
    }

    #[test]
    fn options_go_before_the_live_view() {
        let variable = |_: &str| Some("xterm".into());
        let all = Surroundings { variable: &variable, stdout_is_terminal: true, stderr_is_terminal: true };
        assert_eq!(all.settings(false, Verbosity::Verbose).format, Format::Plain);
        assert_eq!(all.settings(false, Verbosity::Quiet).format, Format::Plain);
        assert_eq!(all.settings(true, Verbosity::Quiet).format, Format::Json);
    }

    #[test]
    fn colours_are_wanted_only_where_they_show() {
        let color = |variables: &[_]| settings((true, false), variables).stdout.color;
        assert!(color(&[("TERM", "xterm")]));
        assert!(color(&[("TERM", "xterm"), ("NO_COLOR", "")]));
        assert!(!color(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
        assert!(!color(&[("TERM", "xterm"), ("CLICOLOR", "0")]));
        assert!(!color(&[("TERM", "dumb")]));
        assert!(!settings((true, false), &[("TERM", "xterm")]).stderr.color);
        assert!(settings((false, false), &[("CLICOLOR_FORCE", "1")]).stdout.color);
        assert!(!settings((true, true), &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).stdout.color);
    }

    #[test]
    fn the_locale_decides_about_unicode() {
        let unicode = |variables: &[_]| settings((true, true), variables).stdout.unicode;
        assert!(unicode(&[("LANG", "en_GB.UTF-8")]));
        assert!(unicode(&[("LC_ALL", ""), ("LC_CTYPE", "de_DE.utf8"), ("LANG", "C")]));
        assert!(!unicode(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]));
        assert!(!unicode(&[]));
        assert!(!unicode(&[("LANG", "C.UTF-8"), ("TERM", "dumb")]));
    }
}
