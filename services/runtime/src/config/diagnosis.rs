//! From a TOML error to one line that says where, which key, and what would be right.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Position};

/// Nesting that a configuration needs; deeper tables are not searched for the name of a key.
const MAX_DEPTH: usize = 16;

/// Similarity (Jaro-Winkler) above which a known key is offered for a mistyped one.
const SIMILAR: f64 = 0.8;

/// What the parser says of a key that occurs twice.
const DUPLICATE_KEY: &str = "duplicate key";

pub(super) fn explain(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let span = error.span().unwrap_or(0..0);
    let keys = if error.message() == DUPLICATE_KEY {
        // Not TOML, so that no table is there to be searched; the place is that of the key.
        text.get(span.clone())
            .map(str::to_owned)
            .into_iter()
            .collect()
    } else {
        DeTable::parse(text)
            .map(|root| keys_at(root.get_ref(), &span, 0))
            .unwrap_or_default()
    };
    ConfigError::Invalid {
        path: path.to_owned(),
        position: position(text, span.start),
        message: reword(error.message(), &keys),
        key: keys.join("."),
    }
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

/// The keys that lead to the innermost item whose key or value covers `span`.
fn keys_at(table: &DeTable<'_>, span: &Range<usize>, depth: usize) -> Vec<String> {
    if depth == MAX_DEPTH {
        return Vec::new();
    }
    for (key, value) in table {
        let inner = value_keys_at(value, span, depth);
        if !inner.is_empty() || covers(&key.span(), span) || covers(&value.span(), span) {
            return std::iter::once(key.get_ref().to_string())
                .chain(inner)
                .collect();
        }
    }
    Vec::new()
}

fn value_keys_at(value: &Spanned<DeValue<'_>>, span: &Range<usize>, depth: usize) -> Vec<String> {
    if let Some(table) = value.get_ref().as_table() {
        return keys_at(table, span, depth + 1);
    }
    let items = value
        .get_ref()
        .as_array()
        .into_iter()
        .flat_map(|array| array.iter());
    items
        .filter_map(|item| item.get_ref().as_table())
        .map(|table| keys_at(table, span, depth + 1))
        .find(|keys| !keys.is_empty())
        .unwrap_or_default()
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && inner.start < outer.end
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
