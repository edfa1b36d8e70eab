//! Names for tasks that have only a title.

use std::collections::HashSet;

/// So many characters are enough to know a task by.
const MOST: usize = 40;
/// What is left of a name's 100 bytes when there is a number behind it.
const MOST_BYTES: usize = 90;

/// A task's name made of a title: its words in small letters with `-` between them, cut behind a word, and
/// allowed as a name whatever the title is.
pub fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') && c != '\'' {
            slug.push('-');
        }
    }
    if !slug.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        slug.insert_str(0, if slug.is_empty() { "task" } else { "task-" });
    }
    let fits = slug
        .char_indices()
        .enumerate()
        .take_while(|(n, (at, c))| *n < MOST && at + c.len_utf8() <= MOST_BYTES);
    let end = fits.last().map_or(0, |(_, (at, c))| at + c.len_utf8());
    let cut = &slug[..end];
    // A word that is cut in two is left out, unless little else would be left.
    let whole = end == slug.len() || slug[end..].starts_with('-');
    let end = cut.rfind('-').filter(|at| !whole && *at > MOST / 2).unwrap_or(end);
    slug[..end].trim_end_matches('-').to_owned()
}

/// `name`, with a number behind it if it is taken; it is taken then.
pub fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    // The numbers do not end before a free one is found.
    let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.unwrap_or_default();
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::name::check_name;

    #[test]
    fn titles_become_names() {
        for (title, name) in [
            ("Set up PostgreSQL", "set-up-postgresql"),
            ("  Don't: use `foo.lock`!  ", "dont-use-foo-lock"),
            ("HEAD", "head"),
            ("", "task"),
            ("...", "task"),
            ("日本語の設定", "task-日本語の設定"),
            ("Éclair", "task-éclair"),
            ("Write everything that there is to say about invoices", "write-everything-that-there-is-to-say"),
            ("1.2 Add x/y", "1-2-add-x-y"),
        ] {
            assert_eq!(slug(title), name, "{title:?}");
        }
        assert_eq!(slug(&"x".repeat(300)).len(), 40);
    }

    #[test]
    fn names_are_made_different() {
        let mut taken = HashSet::from(["a".to_owned(), "a-2".to_owned()]);
        let made = ["a", "a", "b"].map(|name| unique(name, &mut taken));
        assert_eq!(made, ["a-3", "a-4", "b"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_the_title_the_name_is_allowed(title in any::<String>()) {
            let made = unique(&slug(&title), &mut HashSet::from([slug(&title)]));
            for name in [slug(&title), made] {
                prop_assert!(check_name(&name).is_ok(), "{title:?} -> {name:?}");
            }
            prop_assert!(slug(&title).chars().count() <= MOST);
        }
    }
}
