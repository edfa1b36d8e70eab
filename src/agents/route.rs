//! Which agent suits a task best, by the rules of `parallel.route.<agent>.pattern`.

use crate::run::Text;

/// An agent and the patterns of the tasks that it is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// The agent's name.
    pub agent: String,
    /// Words, or pathspecs of files.
    pub patterns: Vec<Text>,
}

/// What a task is about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Its name, labels and prompt, in lower case.
    pub words: &'a str,
    /// Pathspecs of what it is expected to change.
    pub touches: &'a [Text],
    /// Tells whether a pathspec and those of `touches` have a file in common.
    pub have_in_common: &'a dyn Fn(&Text) -> bool,
}

/// The agents that suit the task, the best first: those of whom most patterns match. Where two are as good, the
/// one that stands first in `routes` is first; those of whom nothing matches are left out.
pub fn suited<'a>(routes: &'a [Route], subject: &Subject) -> Vec<&'a str> {
    let score = |route: &Route| route.patterns.iter().filter(|pattern| matches(pattern, subject)).count();
    let mut scored: Vec<(usize, &str)> = routes
        .iter()
        .map(|route| (score(route), route.agent.as_str()))
        .filter(|(score, _)| *score > 0)
        .collect();
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    scored.into_iter().map(|(_, agent)| agent).collect()
}

fn matches(pattern: &Text, subject: &Subject) -> bool {
    let keyword = pattern.to_string().to_lowercase();
    if keyword.trim().is_empty() {
        return false;
    }
    has_word(subject.words, keyword.trim())
        || subject.touches.iter().any(|path| path.to_string().to_lowercase().starts_with(&keyword))
        || (!subject.touches.is_empty() && (subject.have_in_common)(pattern))
}

/// Whether `keyword` stands in `text` as a word, or as several, and not within one.
fn has_word(text: &str, keyword: &str) -> bool {
    let ends = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
    text.match_indices(keyword).any(|(at, found)| {
        ends(text[..at].chars().next_back()) && ends(text[at + found.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(agent: &str, patterns: &[&str]) -> Route {
        Route { agent: agent.to_owned(), patterns: patterns.iter().map(|&pattern| pattern.into()).collect() }
    }

    fn suited_for(words: &str, touches: &[&str]) -> Vec<String> {
        let routes = [
            route("claude", &["refactor", "src/core/"]),
            route("codex", &["test", "unit tests", "*.py"]),
            route("gemini", &["docs", "README.md", ""]),
        ];
        let touches: Vec<Text> = touches.iter().map(|&path| path.into()).collect();
        let common = |pattern: &Text| pattern.to_string() == "*.py" && touches.contains(&"app".into());
        let words = words.to_lowercase();
        let subject = Subject { words: &words, touches: &touches, have_in_common: &common };
        suited(&routes, &subject).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn the_agent_of_whom_most_patterns_match_is_first() {
        assert_eq!(suited_for("Write docs and unit tests: test all", &[]), ["codex", "gemini"]);
        assert_eq!(suited_for("Refactor the docs", &[]), ["claude", "gemini"], "as good: in their order");
        assert_eq!(suited_for("anything", &["src/core/db.rs", "readme.md"]), ["claude", "gemini"]);
        assert_eq!(suited_for("anything", &["app"]), ["codex"]);
        assert!(suited_for("latest contest", &[]).is_empty(), "only whole words");
        assert!(suited_for("", &[]).is_empty());
    }
}
