//! Each key of a TOML file deleted, misspelt and written twice in turn, the rest of the file untouched.
//!
//! Crates whose configuration no other crate sees include this file in their own tests, by its path.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::must_use_candidate,
    clippy::string_slice,
    unreachable_pub,
    reason = "test code, of several crates"
)]

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key of a file, as it is written there.
#[derive(Clone, Debug)]
pub struct Key {
    /// Dotted, with indices: `subject[1].type`.
    pub path: String,
    /// The last part of it.
    pub name: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// `key = value` on a line of its own.
    Line { key: Range<usize>, end: usize },
    /// The same between braces.
    Inline { key: Range<usize>, end: usize },
    /// `[key]`, or every `[[key]]`: the sections, each with the key in its header.
    Sections {
        sections: Vec<(Range<usize>, Range<usize>)>,
        array: bool,
    },
}

/// Every key of a file that is TOML, in the order of the parser.
pub fn keys(text: &str) -> Vec<Key> {
    let document = DeTable::parse(text).expect("the file is TOML");
    let mut keys = Vec::new();
    walk(text, document.get_ref(), "", &mut keys);
    keys
}

fn walk(text: &str, table: &DeTable<'_>, path: &str, keys: &mut Vec<Key>) {
    for (key, value) in table {
        let name = key.get_ref().to_string();
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let line_start = text[..key.span().start].rfind('\n').map_or(0, |at| at + 1);
        let before = text[line_start..key.span().start].trim_start();
        let place = if before.starts_with('[') {
            Place::Sections {
                sections: sections(text, &without_indices(&path)),
                array: before.starts_with("[["),
            }
        } else if before.is_empty() && line_start == key.span().start {
            let end = value.span().end;
            Place::Line {
                key: key.span(),
                end,
            }
        } else {
            let end = value.span().end;
            Place::Inline {
                key: key.span(),
                end,
            }
        };
        keys.push(Key {
            path: path.clone(),
            name,
            place,
        });
        inside(text, value, &path, keys);
    }
}

fn inside(text: &str, value: &Spanned<DeValue<'_>>, path: &str, keys: &mut Vec<Key>) {
    if let Some(table) = value.get_ref().as_table() {
        walk(text, table, path, keys);
    }
    let items = value.get_ref().as_array();
    for (index, item) in items.into_iter().flat_map(|items| items.iter()).enumerate() {
        inside(text, item, &format!("{path}[{index}]"), keys);
    }
}

/// The path as a header has it: `ca[0].ocsp` is the table `[ca.ocsp]` below `[[ca]]`.
fn without_indices(path: &str) -> String {
    let parts = path.split('.');
    let names = parts.map(|part| part.split('[').next().unwrap_or_default());
    names.collect::<Vec<_>>().join(".")
}

/// Sections of a table and of those inside it, up to the next header, and where its name stands in their headers.
fn sections(text: &str, path: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let mut headers = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with('[') {
            headers.push((at, line));
        }
        at += line.len();
    }
    let ends = headers.iter().skip(1).map(|(at, _)| *at);
    let ends: Vec<usize> = ends.chain([text.len()]).collect();
    headers
        .iter()
        .zip(ends)
        .filter_map(|((begin, line), end)| {
            let brackets = line.len() - line.trim_start_matches('[').len();
            let after = line[brackets..].strip_prefix(path)?;
            let key_end = begin + brackets + path.len();
            let name = path.rsplit('.').next()?;
            after
                .starts_with(['.', ']'])
                .then(|| (*begin..end, key_end - name.len()..key_end))
        })
        .collect()
}

impl Key {
    /// The file without the key, its value, and what is inside.
    pub fn deleted(&self, text: &str) -> String {
        match &self.place {
            Place::Line { key, end } => {
                let line_end = text[*end..]
                    .find('\n')
                    .map_or(text.len(), |at| end + at + 1);
                without(text, key.start..line_end)
            }
            Place::Inline { key, end } => {
                let after = text[*end..].trim_start();
                let (mut from, mut to) = (key.start, *end);
                if after.starts_with(',') {
                    to = text.len() - after.len() + 1;
                } else {
                    let before = text[..from].trim_end();
                    from = before.strip_suffix(',').map_or(from, str::len);
                }
                without(text, from..to)
            }
            Place::Sections { sections, .. } => sections
                .iter()
                .rev()
                .fold(text.to_owned(), |text, (section, _)| {
                    without(&text, section.clone())
                }),
        }
    }

    /// The file with one letter more in the key, and the key as it is then.
    pub fn misspelt(&self, text: &str) -> (String, String) {
        let (first, rest) = self.name.split_at(1);
        let wrong = format!("{first}x{rest}");
        let keys: Vec<Range<usize>> = match &self.place {
            Place::Line { key, .. } | Place::Inline { key, .. } => vec![key.clone()],
            Place::Sections { sections, .. } => {
                sections.iter().map(|(_, key)| key.clone()).collect()
            }
        };
        let changed = keys.into_iter().rev().fold(text.to_owned(), |text, key| {
            format!("{}{wrong}{}", &text[..key.start], &text[key.end..])
        });
        (changed, wrong)
    }

    /// The file with the key a second time, and the line on which it is then.
    pub fn twice(&self, text: &str) -> (String, usize) {
        let (before, again) = match &self.place {
            Place::Line { key, end } => {
                let line_end = text[*end..].find('\n').map_or(text.len(), |at| end + at);
                (&text[..line_end], format!("\n{}", &text[key.start..*end]))
            }
            Place::Inline { key, end } => (&text[..*end], format!(", {}", &text[key.start..*end])),
            // A second `[[key]]` is one more element; what is twice is a table of this name.
            Place::Sections { array: true, .. } => (text, format!("\n[{}]\n", self.path)),
            Place::Sections { sections, .. } => {
                let (section, _) = &sections[0];
                (text, format!("\n{}", &text[section.clone()]))
            }
        };
        let line = before.matches('\n').count() + 1 + again.matches('\n').count().min(1);
        (format!("{before}{again}{}", &text[before.len()..]), line)
    }
}

fn without(text: &str, range: Range<usize>) -> String {
    format!("{}{}", &text[..range.start], &text[range.end..])
}
