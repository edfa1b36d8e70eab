//! The JSON objects that agents report by.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::run::Usage;

/// More tokens than this are a mistake, or a joke.
const MOST_TOKENS: u64 = 1 << 50;
/// So is a higher price, in US dollars.
const MOST_DOLLARS: f64 = 1e9;

/// What a report is about.
pub(super) enum Report {
    /// A part, to be added to the others.
    Step(Usage),
    /// All of a session so far.
    Total {
        /// Which session.
        session: String,
        /// What it used.
        usage: Usage,
    },
}

/// An object, as much of it as tells of usage.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Message {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    session_id: String,
    #[serde(default)]
    total_cost_usd: Number,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(default)]
    stats: Option<Stats>,
    #[serde(default)]
    part: Option<Part>,
}

/// Tokens as Claude Code, Codex and Gemini's stream count them. What the first takes from its cache comes on
/// top; the others' `cached_input_tokens` are among the input.
#[derive(Debug, serde::Deserialize)]
struct Tokens {
    #[serde(default)]
    input_tokens: Number,
    #[serde(default)]
    cache_creation_input_tokens: Number,
    #[serde(default)]
    cache_read_input_tokens: Number,
    #[serde(default)]
    output_tokens: Number,
}

/// Gemini's, of a whole session: model by model, or in sum.
#[derive(Debug, serde::Deserialize)]
struct Stats {
    #[serde(default)]
    models: Option<BTreeMap<String, Model>>,
    #[serde(default)]
    input_tokens: Number,
    #[serde(default)]
    output_tokens: Number,
}

#[derive(Debug, serde::Deserialize)]
struct Model {
    #[serde(default)]
    tokens: Option<ModelTokens>,
}

#[derive(Debug, serde::Deserialize)]
struct ModelTokens {
    #[serde(default)]
    prompt: Number,
    #[serde(default)]
    tool: Number,
    #[serde(default)]
    candidates: Number,
    #[serde(default)]
    thoughts: Number,
}

/// A step of opencode's.
#[derive(Debug, serde::Deserialize)]
struct Part {
    #[serde(default)]
    cost: Number,
    #[serde(default)]
    tokens: Option<PartTokens>,
}

#[derive(Debug, serde::Deserialize)]
struct PartTokens {
    #[serde(default)]
    input: Number,
    #[serde(default)]
    output: Number,
    #[serde(default)]
    reasoning: Number,
    #[serde(default)]
    cache: Option<Cache>,
}

#[derive(Debug, serde::Deserialize)]
struct Cache {
    #[serde(default)]
    read: Number,
    #[serde(default)]
    write: Number,
}

impl Message {
    /// The object that the text begins with, and its length. If it is none, or another kind of: how much of the
    /// text was read to know it.
    pub(super) fn read(text: &[u8]) -> Result<(Message, usize), usize> {
        let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Message>();
        match values.next() {
            Some(Ok(message)) => Ok((message, values.byte_offset())),
            Some(Err(e)) => {
                let above: usize = text
                    .split_inclusive(|&b| b == b'\n')
                    .take(e.line().saturating_sub(1))
                    .map(<[u8]>::len)
                    .sum();
                Err((above + e.column()).max(1))
            }
            None => Err(1),
        }
    }

    /// What it reports.
    pub(super) fn report(self) -> Option<Report> {
        let total = |usage| Report::Total { session: self.session_id.clone(), usage };
        let tokens = self.usage.as_ref().map(Tokens::count);
        match self.kind.as_str() {
            "turn.completed" => usage(tokens?, None).map(Report::Step),
            "step_finish" => {
                let part = self.part?;
                usage(part.tokens.map(|tokens| tokens.count()).unwrap_or_default(), part.cost.dollars())
                    .map(Report::Step)
            }
            "result" if self.stats.is_some() => usage(self.stats.as_ref()?.count(), None).map(total),
            "result" => usage(tokens.unwrap_or_default(), self.total_cost_usd.dollars()).map(total),
            "" => usage(self.stats.as_ref()?.count(), None).map(total),
            _ => None,
        }
    }
}

/// Tokens that went in and came out, where they are told.
type Count = (Option<u64>, Option<u64>);

fn usage((input, output): Count, cost: Option<u64>) -> Option<Usage> {
    if input.is_none() && output.is_none() && cost.is_none() {
        return None;
    }
    Some(Usage { input_tokens: input.unwrap_or(0), output_tokens: output.unwrap_or(0), cost })
}

/// The sum of what is told; each is small enough for any sum of them.
fn sum(numbers: &[Number]) -> Option<u64> {
    numbers.iter().filter_map(Number::tokens).reduce(u64::saturating_add)
}

impl Tokens {
    fn count(&self) -> Count {
        let input = [self.input_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens];
        (sum(&input), sum(&[self.output_tokens]))
    }
}

impl Stats {
    fn count(&self) -> Count {
        let Some(models) = &self.models else {
            return (self.input_tokens.tokens(), self.output_tokens.tokens());
        };
        let tokens: Vec<&ModelTokens> = models.values().filter_map(|model| model.tokens.as_ref()).collect();
        let input: Vec<Number> = tokens.iter().flat_map(|t| [t.prompt, t.tool]).collect();
        let output: Vec<Number> = tokens.iter().flat_map(|t| [t.candidates, t.thoughts]).collect();
        (sum(&input), sum(&output))
    }
}

impl PartTokens {
    fn count(&self) -> Count {
        let cache = self.cache.as_ref().map(|cache| [cache.read, cache.write]).unwrap_or_default();
        (sum(&[self.input, cache[0], cache[1]]), sum(&[self.output, self.reasoning]))
    }
}

/// A number, if it is one that can be meant.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Number(Option<f64>);

impl Number {
    pub(super) fn new(value: f64) -> Number {
        Number(Some(value).filter(|value| value.is_finite() && *value >= 0.0))
    }

    pub(super) fn tokens(&self) -> Option<u64> {
        // Up to this a float is exact.
        self.0.filter(|value| *value <= MOST_TOKENS as f64).map(|value| value as u64)
    }

    /// In millionths.
    pub(super) fn dollars(&self) -> Option<u64> {
        self.0.filter(|value| *value <= MOST_DOLLARS).map(|value| (value * 1e6).round() as u64)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

/// Takes whatever stands where a number should.
struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(Number::new(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(Number::new(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
        Ok(Number::new(value))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_unit<E>(self) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }
}
