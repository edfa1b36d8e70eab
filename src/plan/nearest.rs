//! What a mistyped name was probably meant to be.

/// Nobody slips at such length, and comparing costs its square.
const MOST_BYTES: usize = 100;
/// No more names are looked at.
const MOST_NAMES: usize = 5_000;

/// The one of `known` that `word` is probably a slip for. Case, and '-' for '_', count for nothing.
pub fn nearest<S: AsRef<str>>(word: &str, known: impl IntoIterator<Item = S>) -> Option<S> {
    if word.is_empty() || word.len() > MOST_BYTES {
        return None;
    }
    let word = plain(word);
    let mut best: Option<(f64, S)> = None;
    for name in known.into_iter().take(MOST_NAMES).filter(|name| name.as_ref().len() <= MOST_BYTES) {
        let likeness = likeness(&word, &plain(name.as_ref()));
        if likeness > best.as_ref().map_or(0.8, |(best, _)| *best) {
            best = Some((likeness, name));
        }
    }
    best.map(|(_, name)| name)
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// From 0 to 1. Of short names, two letters that changed places leave little else in common.
fn likeness(word: &str, name: &str) -> f64 {
    let slips = strsim::damerau_levenshtein(word, name);
    let letters = word.chars().count().min(name.chars().count());
    let close = slips == 0 || slips * 3 <= letters;
    let likeness = strsim::jaro_winkler(word, name);
    if close { likeness.max(0.95 - slips as f64 / 100.0) } else { likeness }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_seen_through() {
        for (typed, meant) in [
            ("bda", "bad"),
            ("goood", "good"),
            ("devlop", "develop"),
            ("Slrum", "slurm"),
            ("cluade", "claude"),
            ("depend-on", "depends_on"),
            ("20261121-053422-rkdx", "20261121-053422-rkdt"),
        ] {
            let known = ["bad", "good", "develop", "slurm", "claude", "depends_on", "20261121-053422-rkdt"];
            assert_eq!(nearest(typed, known), Some(meant), "{typed}");
        }
        assert_eq!(nearest("zzz", ["auth", "docs"]), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest("x", ["a", "b"]), None);
    }
}
