//! When agents are started: arguments first, then configuration, then the default.

use std::time::Duration;

use anyhow::Result;

use super::run::{bad, milliseconds};
use crate::agents::Limits;
use crate::cli::PacingArgs;
use crate::git::Config;
use crate::plan;
use crate::run::Pacing;

/// The pause before an agent that failed is started again for the first time.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The pause after an agent was sent too many requests.
const LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// What is asked of the pace of a run.
///
/// # Errors
/// A value of the configuration that makes no sense.
pub fn pacing(args: &PacingArgs, config: &Config) -> Result<Pacing> {
    let limit_patterns: Vec<String> =
        config.all("parallel.rateLimitPattern").iter().map(ToString::to_string).collect();
    if let Err(e) = Limits::new(&limit_patterns) {
        let all = limit_patterns.join("\n");
        return Err(bad("parallel.rateLimitPattern", &all, &format!("it must be a regular expression: {e}")));
    }
    Ok(Pacing {
        retry_pause_ms: pause(config, "parallel.retryPause", RETRY_PAUSE)?,
        limit_pause_ms: pause(config, "parallel.rateLimitPause", LIMIT_PAUSE)?,
        limit_patterns,
        max_load: args
            .max_load
            .map(Ok)
            .or(value(config, "parallel.maxLoad", plan::parse_load))
            .transpose()?,
        min_free_memory: args
            .min_free_memory
            .map(Ok)
            .or(value(config, "parallel.minFreeMemory", plan::parse_size))
            .transpose()?,
        max_cost: args
            .max_cost
            .map(Ok)
            .or(value(config, "parallel.maxCost", plan::parse_cost))
            .transpose()?,
    })
}

fn value<T>(config: &Config, key: &str, parse: fn(&str) -> Result<T, String>) -> Option<Result<T>> {
    let text = config.string(key)?.to_string();
    Some(parse(&text).map_err(|why| bad(key, &text, &why)))
}

/// A length of time in milliseconds, or none: `0`.
fn pause(config: &Config, key: &str, default: Duration) -> Result<u64> {
    let parse = |text: &str| match text.trim() {
        "0" => Ok(Duration::ZERO),
        other => plan::parse_duration(other),
    };
    Ok(milliseconds(value(config, key, parse).transpose()?.unwrap_or(default)))
}
