//! What keys a terminal sends.

/// A key that means something here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Escape,
    Char(char),
}

/// The keys in what was read at once. What means nothing is left out.
pub(super) fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match (first, rest) {
            (b'\x1b', [b'[' | b'O', rest @ ..]) => {
                // Parameters, and the one that ends them (ECMA-48).
                let length = rest.iter().take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
                let Some(last) = rest.get(length) else { return keys };
                keys.extend(sequence(&rest[..length], *last));
                bytes = &rest[length + 1..];
            }
            (b'\x1b', []) => keys.push(Key::Escape),
            // A key with Alt.
            (b'\x1b', [_, rest @ ..]) => bytes = rest,
            (b'k' | b'\x10', _) => keys.push(Key::Up),
            (b'j' | b'\x0e', _) => keys.push(Key::Down),
            (b' '..=b'~', _) => keys.push(Key::Char(char::from(*first))),
            _ => {}
        }
    }
    keys
}

fn sequence(parameters: &[u8], last: u8) -> Option<Key> {
    Some(match (parameters, last) {
        (_, b'A') => Key::Up,
        (_, b'B') => Key::Down,
        (_, b'H') | (b"1" | b"7", b'~') => Key::First,
        (_, b'F') | (b"4" | b"8", b'~') => Key::Last,
        (b"5", b'~') => Key::PageUp,
        (b"6", b'~') => Key::PageDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_send_keys_in_several_ways() {
        use Key::*;
        assert_eq!(keys(b"jk\x1b[A\x1bOB"), [Down, Up, Up, Down]);
        assert_eq!(keys(b"\x1b[5~\x1b[6~\x1b[H\x1b[4~"), [PageUp, PageDown, First, Last]);
        assert_eq!(keys(b"a?\x1b"), [Char('a'), Char('?'), Escape]);
        assert_eq!(keys("\x1b[1;5C\x1bx\x1b[ü\u{7f}\x1b[".as_bytes()), []);
        assert_eq!(keys(b"\x1b[200~"), []);
    }

    #[test]
    fn nothing_that_is_sent_does_harm() {
        let bytes: Vec<u8> = (0..=255).rev().chain(*b"\x1b[1;2\x1b\x1b\x1b[").collect();
        (0..bytes.len()).for_each(|from| drop(keys(&bytes[from..])));
    }
}
