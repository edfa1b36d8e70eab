//! Byte strings and object ids that survive JSON without loss.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are nearly always UTF-8: a branch, a path, an argument.
///
/// In JSON it is a string, or `{"bytes": [..]}` where the bytes are not UTF-8, so that every value
/// comes back exactly as it was.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(BString);

impl Text {
    /// The bytes as they are.
    pub fn as_bstr(&self) -> &BStr {
        self.0.as_ref()
    }

    /// The value as an operating-system string, for arguments and environment variables.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The value as a path.
    pub fn as_path(&self) -> &Path {
        Path::new(self.as_os_str())
    }

    /// The value as an owned path.
    pub fn to_path_buf(&self) -> PathBuf {
        PathBuf::from(std::ffi::OsString::from_vec(self.0.to_vec()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_str_lossy())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Text(value.into())
    }
}

impl From<String> for Text {
    fn from(value: String) -> Self {
        Text(value.into())
    }
}

impl From<BString> for Text {
    fn from(value: BString) -> Self {
        Text(value)
    }
}

impl From<&[u8]> for Text {
    fn from(value: &[u8]) -> Self {
        Text(value.into())
    }
}

impl From<&OsStr> for Text {
    fn from(value: &OsStr) -> Self {
        Text(value.as_bytes().into())
    }
}

impl From<&Path> for Text {
    fn from(value: &Path) -> Self {
        value.as_os_str().into()
    }
}

impl From<PathBuf> for Text {
    fn from(value: PathBuf) -> Self {
        Text(value.into_os_string().into_vec().into())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire<'a> {
    Utf8(std::borrow::Cow<'a, str>),
    Raw { bytes: Vec<u8> },
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Wire::Raw { bytes: self.0.to_vec() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Wire::deserialize(deserializer)? {
            Wire::Utf8(text) => Text(text.as_ref().into()),
            Wire::Raw { bytes } => Text(bytes.into()),
        })
    }
}

/// Up to three of the names, and how many more there are: `a, b, c and 4 more`.
pub fn name_some<'a>(names: impl IntoIterator<Item = &'a Text>) -> String {
    let mut names = names.into_iter();
    let first: Vec<String> = names.by_ref().take(3).map(Text::to_string).collect();
    match names.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The full hexadecimal id of a git object (40 digits for SHA-1, 64 for SHA-256).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(String);

impl Oid {
    /// The id in full.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl TryFrom<String> for Oid {
    type Error = String;

    fn try_from(value: String) -> Result<Self, String> {
        let hex = value.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && (value.len() == 40 || value.len() == 64) {
            Ok(Oid(value))
        } else {
            Err(format!("not an object id: '{}'", value.escape_debug()))
        }
    }
}

impl TryFrom<&str> for Oid {
    type Error = String;

    fn try_from(value: &str) -> Result<Self, String> {
        value.to_owned().try_into()
    }
}

impl From<Oid> for String {
    fn from(value: Oid) -> Self {
        value.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_json_whatever_its_bytes() {
        for bytes in [&b"plain"[..], "größe\n\"'".as_bytes(), b"\xff\xfe/\x01", b""] {
            let text = Text::from(bytes);
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(serde_json::from_str::<Text>(&json).unwrap(), text, "{json}");
        }
        assert_eq!(serde_json::to_string(&Text::from("a/b")).unwrap(), r#""a/b""#);
        assert_eq!(serde_json::to_string(&Text::from(&b"\xff"[..])).unwrap(), r#"{"bytes":[255]}"#);
    }

    #[test]
    fn some_are_named_and_the_rest_is_counted() {
        let names = ["a", "b", "c", "d", "e"].map(Text::from);
        assert_eq!(name_some(&names[..1]), "a");
        assert_eq!(name_some(&names[..3]), "a, b, c");
        assert_eq!(name_some(&names), "a, b, c and 2 more");
    }

    #[test]
    fn oid_takes_full_lowercase_hex_only() {
        assert!(Oid::try_from("a".repeat(40)).is_ok());
        assert!(Oid::try_from("0".repeat(64)).is_ok());
        for bad in ["", "abc", &"g".repeat(40), &"A".repeat(40), &"a".repeat(41)] {
            assert!(Oid::try_from(bad).is_err(), "{bad}");
        }
    }
}
