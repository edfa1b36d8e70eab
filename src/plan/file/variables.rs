//! The environment that a plan may give to agents.

use crate::plan::LOCAL_ENV_VARS;

/// Why a variable of this name can't be given.
pub(super) fn refused(name: &str) -> Option<&'static str> {
    let portable = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if name.is_empty() || !portable || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some("a variable's name has letters, digits and '_', and no digit at its beginning");
    }
    if name.starts_with("GIT_PARALLEL_") {
        return Some("what begins with GIT_PARALLEL_ is set by git parallel; choose another name");
    }
    LOCAL_ENV_VARS.contains(&name).then_some("it would lead git out of the task's worktree; leave it out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_calls_local_is_refused() {
        let output = std::process::Command::new("git").args(["rev-parse", "--local-env-vars"]).output();
        let list = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(list.contains("GIT_DIR"));
        for name in list.lines() {
            assert!(refused(name).is_some(), "{name}");
        }
    }

    #[test]
    fn ordinary_names_pass() {
        for name in ["PATH", "a", "_x", "GIT_AUTHOR_NAME", "GIT_PARALLEL", "X9"] {
            assert_eq!(refused(name), None, "{name}");
        }
        for name in ["", "9X", "a b", "a=b", "a-b", "é", "GIT_PARALLEL_TASK", "a\0"] {
            assert!(refused(name).is_some(), "{name:?}");
        }
    }
}
