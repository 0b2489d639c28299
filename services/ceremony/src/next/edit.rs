//! signer.toml after a rollover: what stood in `[rollover]` has taken the place of what was before, and every other line is
//! as it was. The text is changed line by line, and then checked against the tables that are wanted.

use toml::de::DeTable;
use toml::{Table, Value};

use assay_console::failure::{Failure, OrFail, Outcome};

const ROLLOVER: &str = "rollover";
/// Tables that are of a CA, with what a CA cannot lose by a rollover.
const TABLES: [(&str, &[&str]); 3] = [
    ("keys", &["ra-single"]),
    ("certificates", &["ra_single"]),
    ("ocsp", &["key", "certificate"]),
];

/// The file, and what of it is new.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) text: String,
    /// The lines that are new, under the names of their tables.
    pub(super) lines: String,
}

struct Change {
    table: &'static str,
    key: String,
    value: Value,
}

/// Moves the tables up, and writes the log's name down where it was left out: it was made of the key of the CA before.
pub(super) fn moved(text: &str, origin: &str) -> Outcome<Moved> {
    let what = "signer.toml is no TOML";
    let before: Table = text.parse().or_usage(what)?;
    let changes = changes(&before, origin)?;
    let wanted = applied(before, &changes);
    let mut after = without_rollover(text);
    for change in &changes {
        after = set(&after, change);
    }
    let lines = description(&changes);
    if after.parse::<Table>().is_ok_and(|after| after == wanted) {
        return Ok(Moved { text: after, lines });
    }
    Err(Failure::failed(format!(
        "signer.toml is not written as the ceremony writes it, and is left alone; by hand make it say\n{lines}"
    ))
    .next("and take the tables [rollover] out"))
}

fn changes(before: &Table, origin: &str) -> Outcome<Vec<Change>> {
    let empty = Table::new();
    let rollover = table(before, ROLLOVER).unwrap_or(&empty);
    let mut changes = Vec::new();
    for (name, kept) in TABLES {
        let old = table(before, name);
        let new = table(rollover, name).unwrap_or(&empty);
        let has = |key: &&str| old.is_some_and(|old| old.contains_key(*key));
        let lost = kept.iter().find(|key| has(key) && !new.contains_key(**key));
        if let Some(key) = lost {
            return Err(Failure::failed(format!(
                "the next CA is incomplete: [{name}] has {key} and [rollover.{name}] has not"
            ))
            .next("`assay-ceremony next tables` prints what there is of it"));
        }
        if has(&"chain") && !new.contains_key("chain") {
            changes.push(Change {
                table: name,
                key: "chain".to_owned(),
                value: Value::Array(Vec::new()),
            });
        }
        changes.extend(new.iter().map(|(key, value)| Change {
            table: name,
            key: key.clone(),
            value: value.clone(),
        }));
    }
    let named = table(before, "audit").is_some_and(|audit| audit.contains_key("origin"));
    if !named {
        changes.push(Change {
            table: "audit",
            key: "origin".to_owned(),
            value: Value::String(origin.to_owned()),
        });
    }
    Ok(changes)
}

fn table<'a>(of: &'a Table, name: &str) -> Option<&'a Table> {
    of.get(name)?.as_table()
}

/// What the file is to mean.
fn applied(mut of: Table, changes: &[Change]) -> Table {
    of.remove(ROLLOVER);
    for Change { table, key, value } in changes {
        let place = of
            .entry(*table)
            .or_insert_with(|| Value::Table(Table::new()));
        if let Some(place) = place.as_table_mut() {
            place.insert(key.clone(), value.clone());
        }
    }
    of
}

fn description(changes: &[Change]) -> String {
    let mut lines = String::new();
    let mut last = "";
    for Change { table, key, value } in changes {
        if *table != last {
            lines += &format!("[{table}]\n");
            last = table;
        }
        lines += &format!("{key} = {value}\n");
    }
    lines
}

/// Puts a value in the place of the one before, or at the end of its table.
fn set(text: &str, change: &Change) -> String {
    let Change { table, key, value } = change;
    let line = format!("{key} = {value}\n");
    match place(text, table, key) {
        Place::Value(start, end) => format!(
            "{}{value}{}",
            text.get(..start).unwrap_or_default(),
            text.get(end..).unwrap_or_default()
        ),
        Place::After(place) => {
            let (head, tail) = text.split_at_checked(place).unwrap_or((text, ""));
            format!("{}{line}{tail}", whole_lines(head))
        }
        Place::Nowhere => format!("{}\n[{table}]\n{line}", whole_lines(text)),
    }
}

fn whole_lines(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') {
        text.to_owned()
    } else {
        format!("{text}\n")
    }
}

enum Place {
    /// Where the value is.
    Value(usize, usize),
    /// Where the next line of its table begins.
    After(usize),
    /// The table is not there.
    Nowhere,
}

fn place(text: &str, table: &str, key: &str) -> Place {
    let Ok(document) = DeTable::parse(text) else {
        return Place::Nowhere;
    };
    let mut tables = document.get_ref().iter();
    let found = tables.find(|(name, _)| name.get_ref() == table);
    let Some(found) = found.and_then(|(_, found)| found.get_ref().as_table()) else {
        return Place::Nowhere;
    };
    if let Some((_, value)) = found.iter().find(|(name, _)| name.get_ref() == key) {
        return Place::Value(value.span().start, value.span().end);
    }
    let values = found
        .iter()
        .filter(|(_, value)| value.get_ref().as_table().is_none());
    let last = values.map(|(_, value)| value.span().end).max();
    let end = last.or_else(|| header_end(text, table));
    end.map_or(Place::Nowhere, |end| {
        let rest = text.get(end..).unwrap_or_default();
        Place::After(end + rest.find('\n').map_or(rest.len(), |newline| newline + 1))
    })
}

/// Where the header of an empty table ends.
fn header_end(text: &str, table: &str) -> Option<usize> {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if header(line).is_some_and(|name| name == table) {
            return Some(end);
        }
        end += line.len();
    }
    None
}

/// The first part of the name of the table that the line begins.
fn header(line: &str) -> Option<String> {
    if !line.trim_start().starts_with('[') {
        return None;
    }
    let parsed: Table = line.parse().ok()?;
    parsed.keys().next().cloned()
}

/// Without the tables of the rollover and the comment right above them. Comments above a table after them stay.
fn without_rollover(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    // Comments and empty lines that may belong to the table to come.
    let mut waiting: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let is_empty = line.trim().is_empty();
        if is_empty || line.trim_start().starts_with('#') {
            waiting.push(line);
            continue;
        }
        if let Some(name) = header(line) {
            let begins = name == ROLLOVER;
            if begins && !inside {
                let own = waiting.iter().rev();
                let own = own.take_while(|line| !line.trim().is_empty()).count();
                waiting.truncate(waiting.len() - own);
                kept.append(&mut waiting);
                while kept.last().is_some_and(|line| line.trim().is_empty()) {
                    kept.pop();
                }
            }
            inside = begins;
        }
        if inside {
            waiting.clear();
        } else {
            kept.append(&mut waiting);
            kept.push(line);
        }
    }
    kept.append(&mut waiting);
    kept.concat()
}

#[cfg(test)]
mod tests;
