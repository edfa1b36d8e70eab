//! What is asked: task names and prompts from arguments, plan files, placeholders, durations.
//!
//! Pure like `run`: text in, data or a list of problems out.

pub mod file;
mod name;
mod nearest;
mod prompt;
mod slug;
mod template;

pub use name::{Own, Request, Wanted, for_each_agent, parse_requests};
pub use nearest::nearest;
pub use template::{Placeholders, expand, mentions};

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

/// The environment variable that tells an agent the labels of its task.
pub const LABELS: &str = "GIT_PARALLEL_LABELS";

/// Parses an amount of memory as git's configuration has numbers: `512m`, `2g`, with `k`, `m` or `g` for
/// powers of 1024.
///
/// Fails on anything that isn't a whole number above zero.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        _ => None,
    };
    let size = digits.parse::<u64>().ok().zip(shift).and_then(|(n, shift)| n.checked_mul(1 << shift));
    size.filter(|size| *size > 0).ok_or_else(|| "not an amount of memory; write 512m or 2g".to_owned())
}

/// Parses an amount of money in US dollars, `5` or `$0.50`; the result is in millionths of one.
///
/// Fails on anything that isn't above zero.
pub fn parse_cost(text: &str) -> Result<u64, String> {
    let bad = || "not an amount of US dollars; write 5 or 0.50".to_owned();
    let number = text.trim().trim_start_matches('$');
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 6 || (whole.is_empty() && part.is_empty()) {
        return Err(bad());
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
    let millionths: u64 = format!("{part:0<6}").parse().map_err(|_| bad())?;
    let cost = whole.checked_mul(1_000_000).and_then(|cost| cost.checked_add(millionths));
    cost.filter(|cost| *cost > 0).ok_or_else(bad)
}

/// Parses a load average, `1.5`.
///
/// Fails on anything that isn't a number above zero.
pub fn parse_load(text: &str) -> Result<f64, String> {
    let load = text.trim().parse::<f64>().ok().filter(|load| load.is_finite() && *load > 0.0);
    load.ok_or_else(|| "not a load average; write a number such as 4 or 1.5".to_owned())
}

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
    fn amounts_are_read_as_people_write_them() {
        for (text, size) in
            [("1", 1), ("3k", 3 << 10), ("512M", 512 << 20), ("2g", 2 << 30), (" 1GiB ", 1 << 30)]
        {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for bad in ["", "0", "g", "-1g", "1.5g", "1t", "99999999999g", "1 g"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        for (text, cost) in [("5", 5_000_000), ("$0.50", 500_000), (".5", 500_000), ("1.000001", 1_000_001)] {
            assert_eq!(parse_cost(text), Ok(cost), "{text}");
        }
        for bad in ["", "0", "$", ".", "-1", "1.0000001", "1e3", "NaN", "99999999999999999999"] {
            assert!(parse_cost(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_load("1.5"), Ok(1.5));
        for bad in ["", "0", "-1", "inf", "NaN", "x"] {
            assert!(parse_load(bad).is_err(), "{bad}");
        }
    }

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
