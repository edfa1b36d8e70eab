//! Whether an agent that failed did so because it was sent away: too many requests, a used-up allowance.
//!
//! The words are those that model providers and agents print today: status 429 (RFC 6585), Anthropic's
//! `rate_limit_error` and `overloaded_error`, OpenAI's and Google's quotas (`RESOURCE_EXHAUSTED`), the usage
//! limits of subscriptions.

use regex::bytes::{RegexSet, RegexSetBuilder};

/// What is looked for where nothing is configured. A number alone is not enough: compilers print lines 429.
const KNOWN: [&str; 7] = [
    r#"(?:^|[^\w:.\s|#]\s*|\b(?:error|status|code|http(?:/[\d.]+)?|with|got|returned)[\s:="']+)429(?:$|[^\w|\s]|\s+(?:too|rate|client|error|resource|status|[^\s|\w]))"#,
    r"\brate[ _-]?limit",
    r"\boverloaded(?:_error)?(?:$|[^\w\s]|\s+(?:right|at|please|try|with|for now))",
    r"\busage[ _-]limit",
    r"\btoo many requests",
    r"\bquota (?:was )?(?:exceeded|exhausted)|\bexceeded [^.]{0,60}\bquota|\bresource[ _]exhausted",
    r"\b(?:hit|reached) (?:your|the) [^.]{0,30}\blimit|\blimit reached",
];

/// Lines at the end that count: what an agent says further up, it got over.
const LAST_LINES: usize = 5;

/// What tells that an agent was sent away.
#[derive(Debug)]
pub struct Limits(RegexSet);

impl Limits {
    /// The patterns (regular expressions without regard to case), or those that are known if there is none.
    ///
    /// # Errors
    /// If one is no regular expression.
    pub fn new(patterns: &[String]) -> Result<Limits, regex::Error> {
        let known = || KNOWN.iter().map(|pattern| (*pattern).to_owned()).collect();
        let patterns: Vec<String> = if patterns.is_empty() { known() } else { patterns.to_vec() };
        let set = RegexSetBuilder::new(patterns).case_insensitive(true).size_limit(4 << 20).build()?;
        Ok(Limits(set))
    }

    /// The line at the end of `output` that tells so, the last one if there are several.
    pub fn told_in<'a>(&self, output: &'a [u8]) -> Option<&'a [u8]> {
        let lines = output.rsplit(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
        let told = |line: &&[u8]| self.0.is_match(&without_colors(line));
        lines.filter(|line| !line.is_empty()).take(LAST_LINES).find(told)
    }
}

/// A line without the sequences (ECMA-48, CSI) by which terminals colour it.
fn without_colors(line: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.windows(2).position(|two| two == b"\x1b[") {
        plain.extend_from_slice(&rest[..at]);
        let end = rest[at + 2..].iter().position(|byte| (0x40..=0x7e).contains(byte));
        rest = end.map_or(&[], |end| &rest[at + 2 + end + 1..]);
    }
    plain.extend_from_slice(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agents_print_is_known() {
        let limits = Limits::new(&[]).unwrap();
        for line in [
            "429",
            "Error: 429",
            "HTTP 429 Too Many Requests",
            "API Error: 429 {\"type\":\"error\"}",
            "{\"error\":{\"status\":429}}",
            "Request failed with status code 429",
            "(429) slow down",
            "rate limit exceeded, try again later",
            "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}",
            "Rate-limited.",
            "API Error (529 {\"type\":\"overloaded_error\",\"message\":\"Overloaded\"})",
            "Claude AI usage limit reached|1754578800",
            "You've hit your usage limit. Try again in 3 hours.",
            "You've hit your limit, resets 3pm",
            "You exceeded your current quota, please check your plan",
            "status: RESOURCE_EXHAUSTED",
            "overloaded",
            "The model is overloaded. Please try again later",
            "\x1b[31mRate\x1b[0m limit exceeded",
            "\x1b[1;31m429\x1b[0m",
        ] {
            let output = format!("working\n{line}\n\n");
            let told = limits.told_in(output.as_bytes());
            assert_eq!(told, Some(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn other_failures_are_failures() {
        let limits = Limits::new(&[]).unwrap();
        for line in [
            "",
            "src/main.rs:429:5: error: expected `;`",
            "429 |     let x = 1;",
            "  429 | let x",
            "error at line 429",
            "took 1429 ms",
            "took 4290 ms",
            "assertion failed: left 3, right 4",
            "speed limit tests failed",
            "429 passed, 1 failed",
            "issue #429 not fixed",
            "overloaded function foo",
            "operator overloaded twice",
        ] {
            assert_eq!(limits.told_in(line.as_bytes()), None, "{line}");
        }
        let long_ago = "429 Too Many Requests\n1\n2\n3\n4\nfailed\n";
        assert_eq!(limits.told_in(long_ago.as_bytes()), None, "it got over that");
    }

    #[test]
    fn configured_patterns_take_their_place() {
        let limits = Limits::new(&["slow down".to_owned()]).unwrap();
        assert!(limits.told_in(b"Please SLOW DOWN \xff\n").is_some());
        assert!(limits.told_in(b"429 Too Many Requests").is_none());
        assert!(Limits::new(&["(".to_owned()]).is_err());
    }
}
