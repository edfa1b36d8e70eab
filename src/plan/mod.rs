//! What is asked: task names and prompts from arguments, plan files, placeholders, durations.
//!
//! Pure like `run`: text in, data or a list of problems out.

pub mod file;
mod name;
mod template;

pub use name::{Own, Request, parse_requests};
pub use template::{expand, mentions};

use std::time::Duration;

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
