//! What is asked: task names and prompts from arguments, plan files, placeholders, durations.
//!
//! Pure like `run`: text in, data or a list of problems out.

pub mod file;
mod name;
mod prompt;
mod slug;
mod template;

pub use name::{Own, Request, Wanted, parse_requests};
pub use template::{expand, mentions};

use std::time::Duration;

/// The environment variables that tie git to one repository, as `git rev-parse --local-env-vars` prints
/// them (git 2.47). Whoever is to find its own repository (an agent, a hook) must not inherit them.
pub const LOCAL_ENV_VARS: [&str; 15] = [
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

/// Parses a length of time as people write it: `90s`, `30m`, `2h`, `1h 30m`.
///
/// Fails on anything that isn't longer than zero.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.trim().parse().map_err(|_| "not a length of time; write 90s, 30m or 2h".to_owned())?;
    let duration = Duration::try_from(parsed).map_err(|_| "it must be longer than zero".to_owned())?;
    if duration.is_zero() { Err("it must be longer than zero".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h 30m", 5400), ("1h30m", 5400)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "x", "0s", "-5s", "10", "1y"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
