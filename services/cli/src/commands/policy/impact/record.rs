//! Recorded requests, a line each: the evidence files of an export, or one such file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use assay_console::failure::{Exit, Failure, OrFail, Outcome};
use assay_decision::Evidence;

/// Longest line: the longest evidence (64 KiB) with salt and sequence number.
const MAX_LINE: u64 = 66 * 1024;
/// Where an export keeps evidence.
const FOLDER: &str = "evidence";
const EXTENSION: &str = "jsonl";
/// Hexadecimal digits of a salt.
const SALT: usize = 64;

const FORM: &str = "a line of evidence is {\"content\":{..},\"salt\":\"64 hex digits\",\"sequence\":N}, canonical JSON";

/// A line as it was read.
pub(super) struct Line {
    /// Which of the files.
    pub(super) file: usize,
    /// From 1.
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

/// The files, read one after another.
pub(super) struct Records {
    files: Vec<PathBuf>,
    total: u64,
    open: Option<BufReader<File>>,
    at: usize,
    number: u64,
}

impl Records {
    /// Of an export directory, or of one file.
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        let files = if path.is_dir() {
            evidence_files(path)?
        } else {
            vec![path.to_owned()]
        };
        let mut total = 0;
        for file in &files {
            let what = || format!("cannot read {}", file.display());
            total += std::fs::metadata(file).or_usage(what())?.len();
        }
        Ok(Self {
            files,
            total,
            open: None,
            at: 0,
            number: 0,
        })
    }

    /// Octets of all files.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The next lines, at most `most`; none at the end.
    pub(super) fn next(&mut self, most: usize) -> Outcome<Vec<Line>> {
        let mut lines = Vec::with_capacity(most);
        while lines.len() < most {
            let Some(path) = self.files.get(self.at) else {
                break;
            };
            let what = || format!("cannot read {}", path.display());
            let reader = match &mut self.open {
                Some(reader) => reader,
                closed => closed.insert(BufReader::new(File::open(path).or_usage(what())?)),
            };
            let mut bytes = Vec::new();
            reader
                .take(MAX_LINE)
                .read_until(b'\n', &mut bytes)
                .or_usage(what())?;
            if bytes.is_empty() {
                self.open = None;
                self.at += 1;
                self.number = 0;
                continue;
            }
            self.number += 1;
            lines.push(Line {
                file: self.at,
                number: self.number,
                bytes,
            });
        }
        Ok(lines)
    }

    /// What is wrong with a line, and where it is.
    pub(super) fn wrong(&self, line: &Line, fault: Fault) -> Failure {
        let path = self.files.get(line.file).map(|path| path.display());
        let at = path.map_or_else(String::new, |path| format!("{path}:{}", line.number));
        let failure = Failure::usage(format!("{at}: no evidence of a decision"));
        match fault {
            Fault::Form => failure.next(FORM),
            Fault::Content(source) => failure
                .because(source)
                .next("export again; `assay help policy impact` tells the form"),
        }
        .with_exit(Exit::Usage)
    }
}

/// What is wrong with a line.
pub(super) enum Fault {
    /// Its frame.
    Form,
    /// What it holds.
    Content(Box<dyn std::error::Error + Send + Sync>),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Content(Box::new(error))
    }
}

impl Line {
    /// The record's number, and what was kept of its decision. The salted hash is for `assay-audit verify`, which has
    /// the record.
    pub(super) fn parse(&self) -> Result<(u64, Evidence), Fault> {
        let (content, sequence) = frame(&self.bytes).ok_or(Fault::Form)?;
        Ok((sequence, Evidence::from_canonical(content)?))
    }
}

/// Canonical JSON has one form: the members stand where they stand.
fn frame(line: &[u8]) -> Option<(&[u8], u64)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let rest = line.strip_prefix(b"{\"content\":")?;
    let digits_from = rest.iter().rposition(|octet| *octet == b':')? + 1;
    let (head, tail) = rest.split_at_checked(digits_from)?;
    let digits = std::str::from_utf8(tail.strip_suffix(b"}")?).ok()?;
    let sequence: u64 = digits.parse().ok()?;
    let head = head.strip_suffix(b"\",\"sequence\":")?;
    let (head, salt) = head.split_at_checked(head.len().checked_sub(SALT)?)?;
    let is_salt = salt
        .iter()
        .all(|octet| octet.is_ascii_digit() || (b'a'..=b'f').contains(octet));
    let content = head.strip_suffix(b",\"salt\":\"")?;
    (is_salt && sequence.to_string() == digits).then_some((content, sequence))
}

/// `evidence/NUMBER.jsonl` of an export, by number.
fn evidence_files(export: &Path) -> Outcome<Vec<PathBuf>> {
    let folder = export.join(FOLDER);
    let what = || format!("cannot read {}", folder.display());
    let mut found = Vec::new();
    let entries = std::fs::read_dir(&folder)
        .or_usage(what())
        .map_err(|failure| {
            failure.next("name a directory that `assay export` made, or a file of evidence")
        })?;
    for entry in entries {
        let path = entry.or_usage(what())?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse::<u64>().ok());
        let is_evidence = path
            .extension()
            .is_some_and(|extension| extension == EXTENSION);
        if let (Some(number), true) = (number, is_evidence) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    #[test]
    fn a_line_has_one_form() {
        let good = format!("{{\"content\":{{\"a\":\":\"}},\"salt\":\"{ZEROS}\",\"sequence\":17}}");
        let (content, sequence) = frame(good.as_bytes()).unwrap();
        assert_eq!((content, sequence), (&b"{\"a\":\":\"}"[..], 17));
        assert!(frame(format!("{good}\n").as_bytes()).is_some());
        for (from, to) in [
            ("content", "contents"),
            ("17", "017"),
            ("17", "-1"),
            ("17", "17 "),
            ("17", ""),
            ("00\"", "0g\""),
            ("00\"", "0\""),
            (",\"salt\"", ", \"salt\""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert!(frame(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(frame(b"").is_none());
        assert!(frame(b"{}").is_none());
    }
}
