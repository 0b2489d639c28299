//! A ratchet: phrases that make texts hard to read are counted in documents, help texts, messages and comments, and their
//! number may only fall. `tests/language.toml` has the phrases, what to write instead, and the counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;

const TABLE: &str = "tests/language.toml";
/// The phrases themselves, and generated code.
const LEFT_OUT: [&str; 2] = [TABLE, "proto/src/gen"];
/// Folders that are not part of the repository.
const NOT_OURS: [&str; 6] = [
    "target",
    "corpus",
    "artifacts",
    "node_modules",
    "__pycache__",
    "assay-demo",
];
const GROUPS: [&str; 4] = ["docs", "code", "tests", "tools"];
/// The counts in the table may exceed the real ones by this many in all, so that branches that each remove some can be
/// merged without a conflict in the table.
const SLACK: usize = 100;
/// Places shown for a phrase that has become more frequent.
const SHOWN: usize = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    phrase: Vec<Phrase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Phrase {
    name: String,
    /// Matched against each paragraph, comment or string, on one line, regardless of case.
    pattern: String,
    /// Correct uses, which are removed from the text first.
    except: Option<String>,
    /// Advice for whoever wrote the phrase.
    instead: String,
    /// At most this many in each group of files.
    counts: BTreeMap<String, usize>,
}

/// A file's texts, one paragraph, comment or string per line.
struct Source {
    path: String,
    group: &'static str,
    modified: SystemTime,
    text: String,
}

#[test]
fn phrases_that_are_hard_to_read_become_fewer() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the tests lie in the workspace")?;
    let table: Table = toml::from_str(&std::fs::read_to_string(root.join(TABLE))?)?;
    let mut sources = Vec::new();
    read(root, root, &mut sources)?;
    assert!(sources.len() > 100, "only {} files found", sources.len());
    // The newest first: what has just been written is shown first.
    sources.sort_by_key(|source| std::cmp::Reverse(source.modified));

    let (mut allowed, mut present) = (0, 0);
    let mut failures = String::new();
    let mut lines = String::new();
    for phrase in &table.phrase {
        let places = places(phrase, &sources)?;
        let mut counts = Vec::new();
        for group in GROUPS {
            let found: Vec<_> = places.iter().filter(|place| place.0 == group).collect();
            let limit = phrase.counts.get(group).copied().unwrap_or_default();
            if found.len() > limit {
                writeln!(
                    failures,
                    "\"{}\" occurs {} times in {group}; {limit} are allowed. {}",
                    phrase.name,
                    found.len(),
                    phrase.instead
                )?;
                for (_, place) in found.iter().take(SHOWN) {
                    writeln!(failures, "    {place}")?;
                }
            }
            allowed += limit;
            present += found.len();
            counts.push(format!("{group} = {}", found.len().min(limit)));
        }
        writeln!(
            lines,
            "{}: counts = {{ {} }}",
            phrase.name,
            counts.join(", ")
        )?;
    }
    assert!(
        failures.is_empty(),
        "{failures}The places in the files that changed last are shown first."
    );
    assert!(
        present + SLACK >= allowed,
        "{present} phrases are left and {TABLE} allows {allowed}. Lower it, so that they stay away:\n{lines}"
    );
    println!("{present} phrases, {allowed} allowed");
    Ok(())
}

#[test]
fn comments_and_strings_of_rust_are_told_from_code() -> Result<()> {
    let source = r##"
//! One comment
//! over two lines.
fn is_no<'a>(told: &'a str) -> char { // after code
    let text = "a \"string\" // not a comment";
    let raw = r#"raw "text""#; /* a block */
    '"'
}
"##;
    assert_eq!(
        rust(source)?,
        "One comment over two lines.\nafter code\na \\\"string\\\" // not a comment\nraw \"text\"\na block"
    );
    Ok(())
}

/// Where a phrase occurs: the group of files, and the place with some words around it.
fn places(phrase: &Phrase, sources: &[Source]) -> Result<Vec<(&'static str, String)>> {
    let pattern = expression(&phrase.pattern)?;
    let except = phrase.except.as_deref().map(expression).transpose()?;
    let mut places = Vec::new();
    for source in sources {
        for line in source.text.lines() {
            let line = match &except {
                Some(except) => except.replace_all(line, "…"),
                None => line.into(),
            };
            for found in pattern.find_iter(&line) {
                let after: String = line
                    .get(found.start()..)
                    .unwrap_or_default()
                    .chars()
                    .take(60)
                    .collect();
                places.push((source.group, format!("{}: {after}", source.path)));
            }
        }
    }
    Ok(places)
}

fn expression(pattern: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    builder
        .case_insensitive(true)
        .build()
        .with_context(|| pattern.to_owned())
}

/// Reads all files of a folder whose texts people read.
fn read(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let relative = path.strip_prefix(root)?.to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && name != ".config" && name != ".ci";
        if hidden || NOT_OURS.contains(&name.as_str()) || LEFT_OUT.contains(&relative.as_str()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            read(root, &path, sources)?;
            continue;
        }
        let Some(text) = texts(&path)? else {
            continue;
        };
        sources.push(Source {
            group: group(&relative),
            modified: entry.metadata()?.modified()?,
            path: relative,
            text,
        });
    }
    Ok(())
}

/// One of `GROUPS`.
fn group(path: &str) -> &'static str {
    if path.ends_with(".md") {
        "docs"
    } else if path.starts_with("tests/") || path.contains("/tests/") {
        "tests"
    } else if path.starts_with("services/")
        || path.starts_with("crates/")
        || path.starts_with("policy/")
        || path.starts_with("proto/")
        || path.ends_with(".rs")
    {
        "code"
    } else {
        "tools"
    }
}

fn texts(path: &PathBuf) -> Result<Option<String>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let read = || std::fs::read_to_string(path).with_context(|| path.display().to_string());
    Ok(match &*extension {
        "md" => Some(markdown(&read()?)),
        "rs" => Some(rust(&read()?)?),
        "proto" | "toml" | "example" | "sql" | "sh" | "py" | "conf" => Some(lines(&read()?)),
        _ if name == "Makefile" || name == "run" => Some(lines(&read()?)),
        _ => None,
    })
}

/// Paragraphs, without quotations of standards.
fn markdown(text: &str) -> String {
    let mut result = String::new();
    for line in text.lines().map(str::trim) {
        let begins = line.is_empty() || line.starts_with(['#', '|', '-', '*', '`']);
        if !line.starts_with('>') {
            append(&mut result, line, !begins);
        }
    }
    result
}

/// Comments, joined over lines, and each other line by itself.
fn lines(text: &str) -> String {
    let mut result = String::new();
    let mut after_comment = false;
    for line in text.lines().map(str::trim) {
        let comment = ["#", "//", "--"]
            .iter()
            .find_map(|mark| line.strip_prefix(mark));
        let words = comment.unwrap_or(line).trim_start_matches('/').trim();
        append(&mut result, words, comment.is_some() && after_comment);
        after_comment = comment.is_some() && !words.is_empty();
    }
    result
}

/// Comments, joined over lines, and strings.
fn rust(text: &str) -> Result<String> {
    let mut result = String::new();
    let mut rest = text;
    let mut after_comment = false;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let in_name = before.is_alphanumeric() || before == '_';
        before = next;
        if let Some(comment) = rest.strip_prefix("//") {
            let (words, after) = comment.split_once('\n').unwrap_or((comment, ""));
            let words = words.trim_start_matches(['/', '!']).trim();
            append(&mut result, words, after_comment);
            after_comment = !words.is_empty();
            rest = after;
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let (words, after) = comment.split_once("*/").context("an open comment")?;
            append(&mut result, words.trim(), false);
            rest = after;
        } else if let Some((string, after)) = raw_string(rest).filter(|_| !in_name) {
            append(&mut result, string, false);
            after_comment = false;
            rest = after;
        } else if let Some(string) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = string.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let (words, after) = string.split_at(end.context("an open string")?);
            append(&mut result, words, false);
            after_comment = false;
            rest = after.strip_prefix('"').unwrap_or(after);
        } else if let Some(length) = character(rest) {
            rest = rest.get(length..).context("half a character")?;
        } else {
            after_comment &= next.is_whitespace();
            rest = rest.get(next.len_utf8()..).context("half a character")?;
        }
    }
    Ok(result)
}

/// The words of a raw string that `text` begins with, and what follows it.
fn raw_string(text: &str) -> Option<(&str, &str)> {
    let marks = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let words = marks.trim_start_matches('#');
    let count = marks.len() - words.len();
    let words = words.strip_prefix('"')?;
    words.split_once(&format!("\"{}", "#".repeat(count)))
}

/// The length in bytes of a character literal that `text` begins with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    let length = if first == '\\' {
        1 + inner.get(1..)?.chars().next()?.len_utf8()
    } else {
        first.len_utf8()
    };
    match first {
        '\\' => Some(2 + length + inner.get(length..)?.find('\'')?),
        _ => inner.get(length..)?.starts_with('\'').then_some(2 + length),
    }
}

/// Adds words with single spaces, on the last line or on one of their own.
fn append(result: &mut String, words: &str, same_line: bool) {
    let separator = if same_line { ' ' } else { '\n' };
    for (index, word) in words
        .split([' ', '\t', '\n', '\r'])
        .filter(|word| !word.is_empty() && *word != "\\")
        .enumerate()
    {
        if !result.is_empty() {
            result.push(if index == 0 { separator } else { ' ' });
        }
        result.push_str(word);
    }
}
