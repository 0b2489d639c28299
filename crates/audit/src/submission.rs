//! The body of add-checkpoint (C2SP tlog-witness): `old SIZE`, lines of a consistency proof, an empty line, a checkpoint.

use assay_audit::Hash;
use assay_audit::note::{MAX_NOTE, Note, NoteError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Most lines of a proof.
const MAX_LINES: usize = 63;
/// Octets of a line of a proof, with its end.
const LINE: usize = 45;
/// Octets of `old ` with the largest number, and of the two line ends.
const OLD: usize = 26;
/// Octets of a body.
pub(crate) const MAX_BODY: usize = OLD + MAX_LINES * LINE + MAX_NOTE;

/// A checkpoint, and the proof that its log has only grown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Submission {
    /// Records of the checkpoint that the proof begins at; 0 where there was none.
    pub(crate) old: u64,
    /// RFC 6962, section 2.1.2.
    pub(crate) proof: Vec<Hash>,
    pub(crate) note: Note,
}

/// Why a body is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the body is no UTF-8 text")]
    Text,
    #[error("the first line is `old SIZE`, a decimal number without leading zeros")]
    Old,
    #[error("line {0}: a line of the proof is the base64 of 32 octets")]
    Proof(usize),
    #[error("a proof has at most {MAX_LINES} lines")]
    TooMany,
    #[error("an empty line parts the proof from the checkpoint")]
    NoNote,
    #[error("the checkpoint is no signed note: {0}")]
    Note(NoteError),
}

impl Submission {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body).map_err(|_| Malformed::Text)?;
        let (first, mut rest) = text.split_once('\n').ok_or(Malformed::Old)?;
        let old = first
            .strip_prefix("old ")
            .and_then(|number| number.parse::<u64>().ok())
            .filter(|old| format!("old {old}") == first)
            .ok_or(Malformed::Old)?;
        let mut proof = Vec::new();
        loop {
            let (line, after) = rest.split_once('\n').ok_or(Malformed::NoNote)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            if proof.len() == MAX_LINES {
                return Err(Malformed::TooMany);
            }
            let hash = BASE64
                .decode(line)
                .ok()
                .and_then(|octets| <[u8; 32]>::try_from(octets).ok())
                .ok_or(Malformed::Proof(proof.len() + 2))?;
            proof.push(Hash::from(hash));
        }
        Ok(Self {
            old,
            proof,
            note: rest.parse().map_err(Malformed::Note)?,
        })
    }

    /// As it is posted.
    pub(crate) fn to_body(&self) -> String {
        let mut body = format!("old {}\n", self.old);
        for hash in &self.proof {
            body.push_str(&BASE64.encode(hash.as_bytes()));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&self.note.to_string());
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "log\n1\nroot\n\n\u{2014} log AAAAAAAA\n";

    #[test]
    fn a_submission_is_read_as_it_is_written() {
        for (old, lines) in [(0, 0), (7, 3), (u64::MAX, MAX_LINES)] {
            let submission = Submission {
                old,
                proof: vec![Hash::of(b"node"); lines],
                note: NOTE.parse().unwrap(),
            };
            let body = submission.to_body();
            assert!(body.len() <= MAX_BODY);
            assert_eq!(Submission::parse(body.as_bytes()), Ok(submission));
        }
    }

    #[test]
    fn each_malformed_part_is_named() {
        let line = BASE64.encode([7; 32]);
        let cases: [(String, Malformed); 11] = [
            (String::new(), Malformed::Old),
            (format!("old 01\n\n{NOTE}"), Malformed::Old),
            (format!("old +1\n\n{NOTE}"), Malformed::Old),
            (format!("old  1\n\n{NOTE}"), Malformed::Old),
            (format!("size 1\n\n{NOTE}"), Malformed::Old),
            (
                format!("old 1\n{line}\nAAAA\n\n{NOTE}"),
                Malformed::Proof(3),
            ),
            (format!("old 1\n{line} \n\n{NOTE}"), Malformed::Proof(2)),
            (
                format!("old 1\n{}\n{NOTE}", format!("{line}\n").repeat(64)),
                Malformed::TooMany,
            ),
            (format!("old 1\n{line}\n"), Malformed::NoNote),
            ("old 1\n\n".to_owned(), Malformed::Note(NoteError::NoText)),
            (
                format!("old 1\n\n{}", NOTE.trim_end()),
                Malformed::Note(NoteError::NoText),
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(Submission::parse(body.as_bytes()), Err(expected), "{body}");
        }
        assert_eq!(Submission::parse(b"old 1\n\xff"), Err(Malformed::Text));
    }
}
