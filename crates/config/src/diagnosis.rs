//! From a TOML error to one line that says where, which key, and what would be right.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::de::DeTable;

use super::{ConfigError, Position};

/// Similarity (Jaro-Winkler) above which a known key is offered for a mistyped one.
const SIMILAR: f64 = 0.8;

pub(super) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    let invalid = |error: &toml::de::Error, keys: &[String]| ConfigError::Invalid {
        path: path.to_owned(),
        position: position(text, error.span().unwrap_or_default().start),
        message: reword(error.message(), keys),
        key: keys.join("."),
    };
    // A document that is not TOML has no keys; what the error points at may still be one, such as a doubled key.
    let document = toml::Deserializer::parse(text)
        .map_err(|error| invalid(&error, &pointed_at(text, error.span().unwrap_or_default())))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let keys = error.path().iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
        });
        invalid(error.inner(), &keys.collect::<Vec<_>>())
    })
}

fn pointed_at(text: &str, span: Range<usize>) -> Vec<String> {
    let key = text.get(span).unwrap_or_default();
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if key.is_empty() || !key.chars().all(bare) {
        return Vec::new();
    }
    vec![key.to_owned()]
}

pub(super) fn at_key(path: &Path, text: &str, key: &str, message: &str) -> ConfigError {
    let start = DeTable::parse(text).ok().and_then(|root| {
        let parts: Vec<&str> = key.split('.').collect();
        start_of(root.get_ref(), &parts)
    });
    ConfigError::Invalid {
        path: path.to_owned(),
        position: start.map_or(Position { line: 0, column: 0 }, |start| {
            position(text, start)
        }),
        key: key.to_owned(),
        message: format!("`{key}`: {message}"),
    }
}

/// Where a dotted key begins, or the nearest of its parents that the file has.
fn start_of(table: &DeTable<'_>, parts: &[&str]) -> Option<usize> {
    let (first, rest) = parts.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    value
        .get_ref()
        .as_table()
        .and_then(|inner| start_of(inner, rest))
        .or(Some(key.span().start))
}

/// Serde's words in those of a configuration's reader.
fn reword(message: &str, keys: &[String]) -> String {
    let message = message.trim_end();
    if let Some((unknown, expected)) = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once("`, "))
    {
        let table = keys
            .split_last()
            .map(|(_, table)| table)
            .unwrap_or_default();
        let offer = expected
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|known| (strsim::jaro_winkler(unknown, known), known))
            .filter(|(similarity, _)| *similarity > SIMILAR)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| format!(" did you mean `{known}`?"))
            .unwrap_or_default();
        return format!(
            "unknown key `{unknown}`{};{offer} {expected}",
            within(table)
        );
    }
    if let Some(missing) = message.strip_prefix("missing field ") {
        return format!("missing key {missing}{}", within(keys));
    }
    match keys {
        [] => message.to_owned(),
        keys => format!("`{}`: {message}", keys.join(".")),
    }
}

fn within(table: &[String]) -> String {
    if table.is_empty() {
        String::new()
    } else {
        format!(" in [{}]", table.join("."))
    }
}

fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        line: before.matches('\n').count() + 1,
        column: before
            .get(line_start..)
            .map_or(0, |line| line.chars().count())
            + 1,
    }
}
