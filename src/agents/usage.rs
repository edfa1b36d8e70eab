//! What an agent says it used: tokens and money, found in what it printed.
//!
//! Known are the reports of Claude Code, Codex, Gemini and opencode, as JSON anywhere between other text; for
//! the rest there are patterns of the user's (`parallel.usagePattern`). An agent's word is all this is: it is
//! told, and nothing depends on it.

mod message;
mod patterns;

use std::collections::BTreeMap;

use bstr::ByteSlice;

use crate::run::Usage;
use message::{Message, Report};
pub use patterns::UsagePatterns;

/// What the agent that printed this used, as far as it says so. `output` may begin in the middle of a line.
pub fn usage(output: &[u8], patterns: &UsagePatterns) -> Option<Usage> {
    reported(output).or_else(|| patterns.find(output))
}

/// The sum of all reports. Of those that tell of one session as a whole, the last.
fn reported(output: &[u8]) -> Option<Usage> {
    let mut sum = None;
    let mut sessions = BTreeMap::new();
    let mut rest = output;
    // What never closes is read again from each brace in it.
    let mut patience = 4 * output.len();
    while let Some(start) = next_object(rest) {
        rest = &rest[start..];
        let (message, length) = match Message::read(rest) {
            Ok(read) => read,
            Err(length) if length < patience => {
                patience -= length;
                rest = &rest[1..];
                continue;
            }
            Err(_) => break,
        };
        rest = &rest[length..];
        match message.report() {
            Some(Report::Step(usage)) => sum = Some(sum.unwrap_or_default() + usage),
            Some(Report::Total { session, usage }) => {
                sessions.insert(session, usage);
            }
            None => {}
        }
    }
    sum.into_iter().chain(sessions.into_values()).reduce(|a, b| a + b)
}

/// Where the next text is that may be a JSON object: a brace, and then a key.
fn next_object(text: &[u8]) -> Option<usize> {
    text.find_iter(b"{").find(|&at| text[at + 1..].iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(output: impl AsRef<[u8]>) -> Option<(u64, u64, Option<u64>)> {
        let usage = usage(output.as_ref(), &UsagePatterns::default())?;
        Some((usage.input_tokens, usage.output_tokens, usage.cost))
    }

    const CLAUDE: &str = r#"{"type":"result","subtype":"success","is_error":false,"duration_ms":2814,"num_turns":3,"result":"Done: {\"a\": 1}","session_id":"one","total_cost_usd":0.123456,"usage":{"input_tokens":10,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,"output_tokens":50,"server_tool_use":{"web_search_requests":0},"service_tier":"standard"},"modelUsage":{"m":{"inputTokens":1,"outputTokens":2,"costUSD":0.1}}}"#;

    #[test]
    fn claude_code_tells_of_its_session() {
        let expected = Some((3210, 50, Some(123_456)));
        assert_eq!(told(CLAUDE), expected);
        let mixed = format!("warning: {{x}} and {{\n{CLAUDE}\nbye {{\"\n");
        assert_eq!(told(mixed), expected);
        let pretty: serde_json::Value = serde_json::from_str(CLAUDE).unwrap();
        assert_eq!(told(format!("{pretty:#}")), expected);
        assert_eq!(told(format!("[{{\"type\":\"system\"}},{CLAUDE}]")), expected, "--verbose");
        assert_eq!(told(format!("ut off\"}},{CLAUDE}]")), expected, "cut off in front");
    }

    #[test]
    fn of_a_stream_the_final_result_counts_and_that_once() {
        let step = r#"{"type":"assistant","message":{"usage":{"input_tokens":7,"output_tokens":8}},"session_id":"one"}"#;
        assert_eq!(told(step), None);
        let earlier = CLAUDE.replace("0.123456", "0.1");
        assert_eq!(told([step, &earlier, step, CLAUDE].join("\n")), Some((3210, 50, Some(123_456))));
        let other = CLAUDE.replace("\"one\"", "\"two\"");
        assert_eq!(told([CLAUDE, &other].join("\n")), Some((6420, 100, Some(246_912))));
        let old = r#"{"type":"result","total_cost_usd":1}"#;
        assert_eq!(told(old), Some((0, 0, Some(1_000_000))));
    }

    #[test]
    fn turns_of_codex_and_steps_of_opencode_add_up() {
        let turn = r#"{"type":"turn.completed","usage":{"input_tokens":24763,"cached_input_tokens":24448,"output_tokens":122}}"#;
        assert_eq!(
            told(format!("{{\"type\":\"turn.started\"}}\n{turn}\n{turn}\n")),
            Some((49526, 244, None))
        );
        let step = r#"{"type":"step_finish","timestamp":1,"part":{"type":"step-finish","tokens":{"input":11087,"output":145,"reasoning":5,"cache":{"write":1,"read":2}},"cost":0.0070147}}"#;
        assert_eq!(told([step, step].join("\n")), Some((22180, 300, Some(14_030))));
    }

    #[test]
    fn gemini_tells_by_model_or_in_sum() {
        let whole = r#"{"response":"ok","stats":{"models":{"a":{"api":{},"tokens":{"prompt":100,"candidates":10,"total":117,"cached":50,"thoughts":5,"tool":2}},"b":{"tokens":{"prompt":1000,"candidates":1}}},"tools":{}}}"#;
        assert_eq!(told(whole), Some((1102, 16, None)));
        let stream = r#"{"type":"result","status":"success","stats":{"total_tokens":120,"input_tokens":100,"output_tokens":15,"cached":50,"duration_ms":5}}"#;
        assert_eq!(told(stream), Some((100, 15, None)));
    }

    #[test]
    fn hostile_numbers_are_no_numbers() {
        for bad in
            ["-1", "-0.5", "1e400", "NaN", "\"12\"", "1e300", "99999999999999999999999", "null", "[]", "{}"]
        {
            let line =
                format!(r#"{{"type":"result","total_cost_usd":{bad},"usage":{{"input_tokens":{bad}}}}}"#);
            assert_eq!(told(&line), None, "{line}");
        }
        let most = format!(r#"{{"type":"turn.completed","usage":{{"input_tokens":{}}}}}"#, 1u64 << 50);
        assert_eq!(told([most.as_str(); 3].join("\n")).map(|u| u.0), Some(3 << 50));
        for odd in
            ["", "{", "{\"", "[[[[", r#"{"type":5,"usage":[]}"#, r#"{"type":"result","usage":7,"stats":"x"}"#]
        {
            assert_eq!(told(odd), None, "{odd}");
        }
    }

    /// What nests without end, or never ends, takes no time to speak of.
    #[test]
    fn no_input_takes_long() {
        let size = 1 << 20;
        for unit in [
            r#"{"a":"#,
            r#"{"a":1,"#,
            "{\"",
            r#"{"a":[{"b":1},"#,
            "{",
            "[\n[1,\n",
            r#"{"type":"result","usage":{"#,
        ] {
            assert_eq!(told(unit.repeat(size / unit.len())), None);
        }
        let long = format!(r#"{{"type":"assistant","text":"{}"}}"#, "x".repeat(4 << 20));
        assert_eq!(told(format!("{long}\n{CLAUDE}")), Some((3210, 50, Some(123_456))));
    }

    #[test]
    fn any_bytes_are_read() {
        proptest::proptest!(|(bytes: Vec<u8>, cut in 0..CLAUDE.len())| {
            let _ = told(&bytes);
            let whole = Some((3210, 50, Some(123_456)));
            let _ = told(&CLAUDE[..cut]);
            assert_eq!(told([&CLAUDE.as_bytes()[cut..], b"\n", CLAUDE.as_bytes()].concat()), whole);
        });
    }
}
