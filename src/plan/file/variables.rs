//! The environment that a plan may give to agents.

/// What ties git to one repository, as `git rev-parse --local-env-vars` prints it (git 2.47): an agent is
/// to find that of its worktree.
const LOCAL_TO_A_REPOSITORY: [&str; 15] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
];

/// Why a variable of this name can't be given.
pub(super) fn refused(name: &str) -> Option<&'static str> {
    let portable = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if name.is_empty() || !portable || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some("a variable's name has letters, digits and '_', and no digit at its beginning");
    }
    if name.starts_with("GIT_PARALLEL_") {
        return Some("what begins with GIT_PARALLEL_ is set by git parallel; choose another name");
    }
    LOCAL_TO_A_REPOSITORY
        .contains(&name)
        .then_some("it would lead git out of the task's worktree; leave it out")
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
