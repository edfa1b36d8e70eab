//! Who commits.

use anyhow::Result;

use super::Repository;
use super::command::GitError;
use crate::error::{Failure, exit};

/// Checks that git knows whom to name as author and committer, by its own rules.
///
/// # Errors
/// A [`Failure`] with git's own words if it does not.
pub fn check_identity(repo: &Repository) -> Result<()> {
    for variable in ["GIT_COMMITTER_IDENT", "GIT_AUTHOR_IDENT"] {
        let asked = repo.git().args(["var", variable]).ok();
        if let Some(error) = asked.as_ref().err().and_then(|error| error.downcast_ref::<GitError>()) {
            // git's last line says what is wrong; those before it are a lecture on `git config`.
            let words = error.words.lines().last().unwrap_or_default();
            let words = words.trim_start_matches("fatal: ");
            return Err(Failure::new(exit::REFUSED, format!("git does not know who commits: {words}"))
                .hint("git config user.name \"Your Name\"")
                .hint("git config user.email you@example.com")
                .into());
        }
        asked?;
    }
    Ok(())
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
}
