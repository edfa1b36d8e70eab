//! Placeholders in an agent's arguments.

use bstr::ByteSlice;

use crate::run::Text;

/// The names that stand for something, and their values for one task.
pub type Placeholders<'a> = [(&'static str, &'a Text)];

/// Replaces each `{name}` of `placeholders` in `argument` by its value, in one pass: a value is never
/// looked into. Anything else in braces stays, as does `${name}`, which is a shell's.
pub fn expand(argument: &Text, placeholders: &Placeholders) -> Text {
    let mut rest: &[u8] = argument.as_bstr();
    let mut expanded = Vec::with_capacity(rest.len());
    while let Some(open) = rest.find_byte(b'{') {
        let shell = rest[..open].ends_with(b"$");
        let found = placeholders.iter().find(|(name, _)| !shell && names(&rest[open..], name));
        let (text, taken): (&[u8], usize) = match found {
            Some((name, value)) => (value.as_bstr(), name.len() + 2),
            None => (b"{", 1),
        };
        expanded.extend_from_slice(&rest[..open]);
        expanded.extend_from_slice(text);
        rest = &rest[open + taken..];
    }
    expanded.extend_from_slice(rest);
    Text::from(expanded.as_slice())
}

/// Whether `argument` mentions `{name}`.
pub fn mentions(argument: &Text, name: &'static str) -> bool {
    let (there, gone) = (Text::from("1"), Text::default());
    expand(argument, &[(name, &there)]) != expand(argument, &[(name, &gone)])
}

fn names(text: &[u8], name: &str) -> bool {
    text.strip_prefix(b"{")
        .and_then(|rest| rest.strip_prefix(name.as_bytes()))
        .is_some_and(|rest| rest.starts_with(b"}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(argument: &str) -> String {
        let (task, branch) = (Text::from("auth"), Text::from("{task}"));
        expand(&argument.into(), &[("task", &task), ("branch", &branch)]).to_string()
    }

    #[test]
    fn known_names_are_replaced_once() {
        assert_eq!(expanded("{task}"), "auth");
        assert_eq!(expanded("a{task}b{task}"), "aauthbauth");
        assert_eq!(expanded("{branch}"), "{task}", "a value is not looked into");
        assert_eq!(expanded("{{task}}"), "{auth}");
    }

    #[test]
    fn other_braces_stay() {
        for text in
            ["${x}", "${task}", "HEAD^{tree}", "{{.ID}}", "{", "}", "{task", "{tasks}", "{}", "{ task }"]
        {
            assert_eq!(expanded(text), text);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_pass() {
        let value = Text::from(&b"\xff"[..]);
        let out = expand(&Text::from(&b"\xfe{task}\xfe"[..]), &[("task", &value)]);
        assert_eq!(out.as_bstr(), &b"\xfe\xff\xfe"[..]);
    }

    #[test]
    fn mentioning_is_found() {
        assert!(mentions(&"x {prompt} y".into(), "prompt"));
        assert!(!mentions(&"x ${prompt} {prompt_file}".into(), "prompt"));
    }
}
