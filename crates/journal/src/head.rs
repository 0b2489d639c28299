use std::fmt;
use std::str::FromStr;

use assay_types::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// First word of the extension line of a checkpoint.
const WORD: &str = "assay-journal";

/// The head of a journal: the hash of its chain after `size` entries.
///
/// Displays as the extension line that a checkpoint carries, and is parsed from no other form:
/// `assay-journal <identity, 64 lowercase hexadecimal digits> <size, decimal> <hash, base64>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The journal's random identity.
    pub identity: Hash,
    /// Number of entries.
    pub size: u64,
    /// Chain over these entries.
    pub hash: Hash,
}

/// The text is not the line of a journal's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the line of a journal's head is \"{WORD} IDENTITY SIZE HASH\": 64 lowercase hexadecimal digits, a decimal number and 44 characters of base64"
)]
pub struct BadHead;

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = STANDARD.encode(self.hash.as_bytes());
        write!(f, "{WORD} {} {} {hash}", self.identity, self.size)
    }
}

impl FromStr for Head {
    type Err = BadHead;

    fn from_str(line: &str) -> Result<Self, BadHead> {
        let mut words = line.split(' ');
        if words.next() != Some(WORD) {
            return Err(BadHead);
        }
        let mut word = || words.next().ok_or(BadHead);
        let (identity, size, hash) = (word()?, word()?, word()?);
        let hash = STANDARD.decode(hash).map_err(|_| BadHead)?;
        let hash: [u8; 32] = hash.try_into().map_err(|_| BadHead)?;
        let head = Self {
            identity: identity.parse().map_err(|_| BadHead)?,
            size: size.parse().map_err(|_| BadHead)?,
            hash: hash.into(),
        };
        // One text per value: no leading zeros or signs, and nothing after the hash.
        if head.to_string() == line {
            Ok(head)
        } else {
            Err(BadHead)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_parsed_from_its_line_and_from_no_other() {
        let head = Head {
            identity: Hash::of(b"identity"),
            size: 42,
            hash: Hash::of(b"head"),
        };
        let line = head.to_string();
        assert_eq!(line.parse(), Ok(head));
        let upper = line.replace(&head.identity.to_string(), &"A".repeat(64));
        for wrong in [
            String::new(),
            format!("{line} "),
            format!(" {line}"),
            format!("{line}\n"),
            line.replace(" 42 ", " 042 "),
            line.replace(" 42 ", " +42 "),
            line.replace(" 42 ", "  42 "),
            line.replace('=', ""),
            line.replace("assay-journal", "journal"),
            upper,
        ] {
            assert_eq!(wrong.parse::<Head>(), Err(BadHead), "{wrong:?}");
        }
    }
}
