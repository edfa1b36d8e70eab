//! Who commits.

use anyhow::{Result, anyhow};

use super::Repository;
use super::command::GitError;
use crate::error::{Failure, exit};
use crate::run::Text;

/// Whom git names as author or committer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Who {
    name: Text,
    email: Text,
    /// The time, if the user has set one for all commits.
    fixed_time: Option<String>,
}

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Author,
    Committer,
}

impl Part {
    fn of_git_var(self) -> &'static str {
        match self {
            Part::Author => "GIT_AUTHOR_IDENT",
            Part::Committer => "GIT_COMMITTER_IDENT",
        }
    }

    /// Where the user sets one time for all commits.
    fn date(self) -> &'static str {
        match self {
            Part::Author => "GIT_AUTHOR_DATE",
            Part::Committer => "GIT_COMMITTER_DATE",
        }
    }
}

impl Who {
    /// Asks git.
    pub(super) fn ask(repo: &Repository, part: Part) -> Result<Who> {
        let line = repo.git().args(["var", part.of_git_var()]).line()?;
        Who::parse(line.as_bstr(), part).ok_or_else(|| anyhow!("git var gave something unknown: {line}"))
    }

    /// Reads `Name <email> seconds offset`.
    fn parse(line: &[u8], part: Part) -> Option<Who> {
        let (open, close) = (line.iter().position(|&b| b == b'<')?, line.iter().rposition(|&b| b == b'>')?);
        let time = String::from_utf8(line.get(close + 1..)?.trim_ascii().to_vec()).ok()?;
        Some(Who {
            name: Text::from(line[..open].trim_ascii()),
            email: Text::from(line.get(open + 1..close)?),
            fixed_time: std::env::var_os(part.date()).map(|_| time),
        })
    }

    /// The present time as git writes it: `seconds offset`.
    fn time(&self) -> String {
        self.fixed_time.clone().unwrap_or_else(|| {
            let now = jiff::Zoned::now();
            let minutes = now.offset().seconds() / 60;
            let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
            format!("{} {sign}{:02}{:02}", now.timestamp().as_second(), minutes / 60, minutes % 60)
        })
    }

    /// The line of a commit that is made now, less its first word.
    pub(super) fn line(&self) -> Vec<u8> {
        let time = self.time();
        let mut line = self.name.as_bstr().to_vec();
        line.extend_from_slice(b" <");
        line.extend_from_slice(self.email.as_bstr());
        line.extend_from_slice(b"> ");
        line.extend_from_slice(time.as_bytes());
        line
    }

    /// A line of a reflog that is written now; without a message, it ends with the time.
    pub(super) fn reflog_line(&self, old: &str, new: &str, message: &str) -> Vec<u8> {
        let mut line = format!("{old} {new} ").into_bytes();
        line.extend_from_slice(&self.line());
        if !message.is_empty() {
            line.push(b'\t');
            line.extend_from_slice(message.as_bytes());
        }
        line.push(b'\n');
        line
    }

    /// Calls with the signature for a reflog line that is written now.
    pub(super) fn sign<T>(&self, write: impl FnOnce(gix::actor::SignatureRef<'_>) -> T) -> T {
        let time = self.time();
        write(gix::actor::SignatureRef {
            name: self.name.as_bstr(),
            email: self.email.as_bstr(),
            time: &time,
        })
    }
}

/// Checks that git knows whom to name as author and committer, by its own rules.
///
/// # Errors
/// A [`Failure`] with git's own words if it does not.
pub fn check_identity(repo: &Repository) -> Result<()> {
    let committer = Who::ask(repo, Part::Committer).map_err(unknown)?;
    let author =
        if may_differ(repo) { Who::ask(repo, Part::Author).map_err(unknown)? } else { committer.clone() };
    repo.remember(committer, author);
    Ok(())
}

/// Who commits, as settings of a repository on another machine.
///
/// # Errors
/// As [`check_identity`].
pub fn identity(repo: &Repository) -> Result<Vec<(String, Text)>> {
    let (committer, author) = (Who::ask(repo, Part::Committer)?, Who::ask(repo, Part::Author)?);
    let settings = |section: &str, who: &Who| {
        [(format!("{section}.name"), who.name.clone()), (format!("{section}.email"), who.email.clone())]
    };
    if (&author.name, &author.email) == (&committer.name, &committer.email) {
        return Ok(settings("user", &committer).into());
    }
    Ok([settings("author", &author), settings("committer", &committer)].concat())
}

/// Whether author and committer may be told apart: both come from `user.*` unless one of these is set.
pub(super) fn may_differ(repo: &Repository) -> bool {
    let set = |name: std::ffi::OsString| {
        let name = name.as_encoded_bytes();
        name.starts_with(b"GIT_AUTHOR_") || name.starts_with(b"GIT_COMMITTER_")
    };
    let configured = |config: &super::Config| config.has_section("author") || config.has_section("committer");
    std::env::vars_os().any(|(name, _)| set(name)) || repo.config().is_none_or(configured)
}

fn unknown(error: anyhow::Error) -> anyhow::Error {
    let Some(error) = error.downcast_ref::<GitError>() else { return error };
    // git's last line says what is wrong, if it was kept; those above it are a lecture on `git config`, but
    // for the first.
    let fatal = error.words.lines().find_map(|line| line.strip_prefix("fatal: "));
    let words = fatal.or_else(|| error.words.lines().next()).unwrap_or_default();
    Failure::new(exit::REFUSED, format!("git does not know who commits: {words}"))
        .hint("git config user.name \"Your Name\"")
        .hint("git config user.email you@example.com")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    #[test]
    fn an_identity_is_wanted() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        check_identity(&repo).unwrap();
        sandbox.git(&["config", "user.useConfigOnly", "true"]);
        sandbox.git(&["config", "user.name", ""]);
        let error = check_identity(&repo).unwrap_err();
        assert!(error.to_string().contains("git does not know who commits"), "{error}");
    }

    #[test]
    fn an_author_of_its_own_is_wanted_too() {
        let sandbox = Sandbox::new();
        sandbox.git(&["config", "user.useConfigOnly", "true"]);
        sandbox.git(&["config", "author.name", " "]);
        let error = check_identity(&sandbox.repository()).unwrap_err();
        assert!(error.to_string().contains("git does not know who commits"), "{error}");
    }

    #[test]
    fn odd_names_are_taken_apart_as_git_does() {
        let committer = Who::parse(b"A < Thor <a@b> 17 +0130", Part::Committer).unwrap();
        assert_eq!((committer.name, committer.email), ("A".into(), " Thor <a@b".into()));
        assert_eq!(Who::parse(b"nobody", Part::Author), None);
    }
}
