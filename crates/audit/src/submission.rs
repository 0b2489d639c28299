//! The body of add-checkpoint (C2SP tlog-witness): `old SIZE`, lines of a consistency proof, an empty line, a checkpoint.

use assay_types::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::note::{MAX_NOTE, Note, NoteError};

/// Most lines of a proof.
const MAX_LINES: usize = 63;
/// Bytes of a line of a proof, with its end.
const LINE: usize = 45;
/// Bytes of `old ` with the largest number, and of the two line ends.
const OLD: usize = 26;
/// Longest body of a submission, in bytes.
pub const MAX_SUBMISSION: usize = OLD + MAX_LINES * LINE + MAX_NOTE;

/// A checkpoint, and the proof that its log has only grown.
#[derive(Debug, PartialEq, Eq)]
pub struct Submission {
    /// Records of the checkpoint that the proof begins at; 0 where there was none.
    pub old: u64,
    /// RFC 6962, section 2.1.2.
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub note: Note,
}

/// Why a body is not a submission.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmissionError {
    /// It is not UTF-8.
    #[error("the body is not UTF-8 text")]
    Text,
    /// The first line is wrong.
    #[error("the first line is `old SIZE`, a decimal number without leading zeros")]
    Old,
    /// This line of the proof is wrong, counted from 1.
    #[error("line {0}: a line of the proof is the base64 of 32 bytes")]
    Proof(usize),
    /// The proof is too long.
    #[error("a proof has at most {MAX_LINES} lines")]
    TooMany,
    /// The empty line is missing.
    #[error("an empty line separates the proof from the checkpoint")]
    NoNote,
    /// What follows the empty line is not a note.
    #[error("the checkpoint is not a signed note: {0}")]
    Note(NoteError),
}

impl Submission {
    /// Reads the body of add-checkpoint.
    ///
    /// # Errors
    /// The body does not have the form of C2SP tlog-witness.
    pub fn parse(body: &[u8]) -> Result<Self, SubmissionError> {
        let text = std::str::from_utf8(body).map_err(|_| SubmissionError::Text)?;
        let (first, mut rest) = text.split_once('\n').ok_or(SubmissionError::Old)?;
        let old = first
            .strip_prefix("old ")
            .and_then(|number| number.parse::<u64>().ok())
            .filter(|old| format!("old {old}") == first)
            .ok_or(SubmissionError::Old)?;
        let mut proof = Vec::new();
        loop {
            let (line, after) = rest.split_once('\n').ok_or(SubmissionError::NoNote)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            if proof.len() == MAX_LINES {
                return Err(SubmissionError::TooMany);
            }
            let hash = BASE64
                .decode(line)
                .ok()
                .and_then(|octets| Hash::try_from(octets.as_slice()).ok())
                .ok_or(SubmissionError::Proof(proof.len() + 2))?;
            proof.push(hash);
        }
        Ok(Self {
            old,
            proof,
            note: rest.parse().map_err(SubmissionError::Note)?,
        })
    }

    /// As it is posted.
    pub fn to_body(&self) -> String {
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
            assert!(body.len() <= MAX_SUBMISSION);
            assert_eq!(Submission::parse(body.as_bytes()), Ok(submission));
        }
    }

    #[test]
    fn each_malformed_part_is_named() {
        let line = BASE64.encode([7; 32]);
        let cases: [(String, SubmissionError); 11] = [
            (String::new(), SubmissionError::Old),
            (format!("old 01\n\n{NOTE}"), SubmissionError::Old),
            (format!("old +1\n\n{NOTE}"), SubmissionError::Old),
            (format!("old  1\n\n{NOTE}"), SubmissionError::Old),
            (format!("size 1\n\n{NOTE}"), SubmissionError::Old),
            (
                format!("old 1\n{line}\nAAAA\n\n{NOTE}"),
                SubmissionError::Proof(3),
            ),
            (
                format!("old 1\n{line} \n\n{NOTE}"),
                SubmissionError::Proof(2),
            ),
            (
                format!("old 1\n{}\n{NOTE}", format!("{line}\n").repeat(64)),
                SubmissionError::TooMany,
            ),
            (format!("old 1\n{line}\n"), SubmissionError::NoNote),
            (
                "old 1\n\n".to_owned(),
                SubmissionError::Note(NoteError::NoText),
            ),
            (
                format!("old 1\n\n{}", NOTE.trim_end()),
                SubmissionError::Note(NoteError::NoText),
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(Submission::parse(body.as_bytes()), Err(expected), "{body}");
        }
        assert_eq!(
            Submission::parse(b"old 1\n\xff"),
            Err(SubmissionError::Text)
        );
    }
}
