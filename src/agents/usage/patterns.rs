//! Patterns of the user's for what agents say in their own words.

use regex::bytes::{Match, Regex};

use super::message::Number;
use crate::run::{Text, Usage};

/// The groups that a pattern may have.
const GROUPS: [&str; 3] = ["input", "output", "cost"];

/// Regular expressions with groups `input`, `output` and `cost`.
#[derive(Clone, Debug, Default)]
pub struct UsagePatterns(Vec<Regex>);

impl UsagePatterns {
    /// Compiles them.
    ///
    /// # Errors
    /// All that can't be used, each with why.
    pub fn new(patterns: &[Text]) -> Result<UsagePatterns, Vec<(String, String)>> {
        let compiled = patterns.iter().map(|text| compile(text).map_err(|why| (text.to_string(), why)));
        let (good, bad): (Vec<_>, Vec<_>) = compiled.partition(Result::is_ok);
        match bad.is_empty() {
            true => Ok(UsagePatterns(good.into_iter().flatten().collect())),
            false => Err(bad.into_iter().filter_map(Result::err).collect()),
        }
    }

    /// What they find. Of each number the last match counts: agents print totals as they go.
    pub(super) fn find(&self, output: &[u8]) -> Option<Usage> {
        let mut last: [Option<Match>; 3] = [None; 3];
        for pattern in &self.0 {
            for captures in pattern.captures_iter(output) {
                for (last, name) in last.iter_mut().zip(GROUPS) {
                    let found = captures.name(name);
                    let later = |found: &Match| last.is_none_or(|last| found.start() >= last.start());
                    *last = found.filter(later).or(*last);
                }
            }
        }
        let [input, output, cost] = last.map(|found| found.map(number).unwrap_or_default());
        let (input, output, cost) = (input.tokens(), output.tokens(), cost.dollars());
        (input.is_some() || output.is_some() || cost.is_some()).then(|| Usage {
            input_tokens: input.unwrap_or(0),
            output_tokens: output.unwrap_or(0),
            cost,
        })
    }
}

fn compile(text: &Text) -> Result<Regex, String> {
    let pattern = std::str::from_utf8(text.as_bstr()).map_err(|_| "it is not UTF-8".to_owned())?;
    let regex = Regex::new(pattern).map_err(|e| {
        // The last line says what is wrong; those above draw where.
        e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })?;
    match regex.capture_names().flatten().any(|name| GROUPS.contains(&name)) {
        true => Ok(regex),
        false => Err("it has no group named input, output or cost, such as (?<cost>[0-9.]+)".to_owned()),
    }
}

/// `1234`, `1,234`, `1.2k`, `3M`, `$0.12`.
fn number(found: Match<'_>) -> Number {
    let text = String::from_utf8_lossy(found.as_bytes()).replace([',', '_', ' ', '$'], "");
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        _ => (text.as_str(), 1.0),
    };
    digits.parse().map(|value: f64| Number::new(value * unit)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(patterns: &[&str]) -> Result<UsagePatterns, Vec<(String, String)>> {
        UsagePatterns::new(&patterns.iter().map(|text| Text::from(*text)).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_of_each_number_counts() {
        let aider = patterns(&[
            r"Tokens: (?<input>[\d.,kM]+) sent, (?<output>[\d.,kM]+) received",
            r"\$(?<cost>[\d.]+) session",
        ]);
        let aider = aider.unwrap();
        let said = b"Tokens: 2k sent, 12 received. Cost: $0.01 message, $0.01 session.\n\xff\n\
                     Tokens: 12.5k sent, 1,203 received. Cost: $0.05 message, $0.12 session.\n";
        let usage = aider.find(said).unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens, usage.cost), (12_500, 1203, Some(120_000)));
        assert_eq!(aider.find(b"nothing"), None);
        let cost = patterns(&["(?<cost>.*)"]).unwrap();
        for bad in ["", "-1", "NaN", "inf", "1e400", "k", "one"] {
            assert_eq!(cost.find(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_bad_pattern_says_why() {
        let bad = patterns(&["(?<cost>[0-9]+)", "(?<cost>", "Cost: (.*)"]).unwrap_err();
        let why: Vec<&str> = bad.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(bad[0].0, "(?<cost>");
        assert_eq!(why[0], "unclosed group");
        assert!(why[1].contains("no group named"), "{why:?}");
    }
}
