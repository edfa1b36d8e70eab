//! `git parallel conflicts`: which branches would conflict, and which land together.

use serde_json::{Value, json};

use super::look::{Look, Mark};
use super::words;
use crate::run::Text;

/// What is told of some branches.
pub struct Conflicts {
    /// The branch to land them on.
    pub target: Text,
    /// What was compared.
    pub branches: Vec<Text>,
    /// Those with the target first.
    pub collisions: Vec<Collision>,
    /// The sets that land together, the largest first.
    pub independent: Vec<Vec<Text>>,
    /// What to type next.
    pub next: Option<String>,
}

/// Two that conflict.
pub struct Collision {
    /// The target, where it is one of them, is the first.
    pub between: [Text; 2],
    /// Where; empty where only renamed directories conflict, and for what is unrelated.
    pub paths: Vec<Text>,
    /// They have no history in common.
    pub unrelated: bool,
}

/// No more paths of a pair are told to people.
const MOST_PATHS: usize = 4;

/// For people.
pub fn conflicts(found: &Conflicts, look: &Look) -> String {
    let target = words::name(&found.target);
    if found.branches.is_empty() {
        return format!("Nothing to compare: {target} has everything.\n");
    }
    let line =
        |mark: Mark, words: &str| format!("{}\n", look.paint(mark, &format!("{} {words}", look.glyph(mark))));
    let mut text: String =
        found.collisions.iter().map(|one| line(Mark::Warning, &sentence(one, &found.target))).collect();
    let names = |set: &[Text]| set.iter().map(words::name).collect::<Vec<_>>().join(", ");
    for (i, set) in found.independent.iter().enumerate() {
        text.push_str(&match (i, set.len(), found.collisions.is_empty()) {
            (0, 1, true) => line(Mark::Done, &format!("{} lands on {target} without a conflict", names(set))),
            (0, _, true) => {
                line(Mark::Done, &format!("no conflicts; land together on {target}: {}", names(set)))
            }
            (0, 1, false) => line(Mark::Done, &format!("lands alone: {}", names(set))),
            (0, ..) => line(Mark::Done, &format!("land together: {}", names(set))),
            _ => line(Mark::Waiting, &format!("of the others: {}", names(set))),
        });
    }
    if let Some(next) = &found.next {
        text.push_str(&look.next_line(next));
    }
    text
}

/// `auth and billing conflict in src/db.rs`
fn sentence(collision: &Collision, target: &Text) -> String {
    let [one, other] = collision.between.each_ref().map(words::name);
    let at = place(&collision.paths);
    match collision.between[0] == *target {
        _ if collision.unrelated => format!("{other} has no history in common with {one}"),
        true => format!("{other} conflicts with {one} {at}"),
        false => format!("{one} and {other} conflict {at}"),
    }
}

/// Where two collide: `in src/db.rs`.
pub(super) fn place(paths: &[Text]) -> String {
    let names: Vec<String> = paths.iter().map(words::name).collect();
    match names.is_empty() {
        true => "over directories that were renamed".to_owned(),
        false => format!("in {}", words::listed(&names, MOST_PATHS)),
    }
}

/// `conflicts --json`.
pub fn conflicts_json(found: &Conflicts) -> Value {
    let collision = |one: &Collision| json!({ "branches": one.between, "paths": one.paths });
    json!({
        "version": 1,
        "branches": found.branches,
        "target": found.target,
        "conflicts": found.collisions.iter().map(collision).collect::<Vec<_>>(),
        "independent": found.independent,
    })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::look;
    use super::*;

    fn texts(names: &[&str]) -> Vec<Text> {
        names.iter().map(|name| Text::from(*name)).collect()
    }

    fn collision(one: &str, other: &str, paths: &[&str]) -> Collision {
        Collision { between: [one.into(), other.into()], paths: texts(paths), unrelated: false }
    }

    fn sample() -> Conflicts {
        let mut collisions = vec![
            collision("main", "old", &["a", "b", "c", "d", "e", "f"]),
            collision("main", "alien", &[]),
            collision("auth", "billing", &["src/db.rs"]),
            collision("auth", "moved", &[]),
        ];
        collisions[1].unrelated = true;
        collisions[2].paths.push(Text::from(&b"odd\xff\x1b[2J\n"[..]));
        Conflicts {
            target: "main".into(),
            branches: texts(&["old", "alien", "auth", "billing", "moved", "docs"]),
            collisions,
            independent: vec![texts(&["billing", "moved", "docs"]), texts(&["auth"])],
            next: Some("git parallel land billing moved docs".to_owned()),
        }
    }

    #[test]
    fn conflicts_are_sentences() {
        assert_snapshot!(conflicts(&sample(), &look()));
        let plain = conflicts(&sample(), &Look { unicode: false, color: true, ..look() });
        assert_snapshot!(plain.replace('\x1b', "ESC"));
    }

    #[test]
    fn json_is_as_the_manual_says() {
        assert_snapshot!(serde_json::to_string_pretty(&conflicts_json(&sample())).unwrap());
    }

    #[test]
    fn no_conflict_is_told_too() {
        let clean = |names: &[&str]| Conflicts {
            branches: texts(names),
            collisions: Vec::new(),
            independent: Some(texts(names)).filter(|set| !set.is_empty()).into_iter().collect(),
            next: None,
            ..sample()
        };
        let told = |found: &Conflicts| conflicts(found, &look());
        assert_eq!(told(&clean(&[])), "Nothing to compare: main has everything.\n");
        assert_eq!(told(&clean(&["a"])), "✓ a lands on main without a conflict\n");
        assert_eq!(told(&clean(&["a", "b"])), "✓ no conflicts; land together on main: a, b\n");
        let alone = Conflicts { collisions: vec![collision("main", "b", &["f"])], ..clean(&["a"]) };
        assert_eq!(told(&alone), "! b conflicts with main in f\n✓ lands alone: a\n");
    }
}
