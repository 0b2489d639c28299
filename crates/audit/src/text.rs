use std::fmt;

use serde::{Deserialize, Serialize};

/// Octets of one [`Text`] as JSON. A record's leaf is at most 4 KiB, and the fullest event carries about ten texts.
pub const MAX_TEXT: usize = 256;

const CUT_MARK: char = '…';

/// Free text in a record: cut to [`MAX_TEXT`] octets of JSON, so that no request can make its own record too long to keep.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Text(String);

impl Text {
    /// The text, with [`CUT_MARK`] at its end where it was cut.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut octets = 0;
        let mut keep = 0;
        for (at, character) in text.char_indices() {
            octets += json_octets(character);
            if octets <= MAX_TEXT - CUT_MARK.len_utf8() {
                keep = at + character.len_utf8();
            }
            if octets > MAX_TEXT {
                let (kept, _) = text.split_at(keep);
                return Self(format!("{kept}{CUT_MARK}"));
            }
        }
        Self(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What serde_json writes for a character: RFC 8259 section 7 escapes, short ones where they exist.
fn json_octets(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}
