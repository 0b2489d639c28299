//! signer.toml after a rollover: what stood in `[rollover]` has taken the place of what was before, and every other line is
//! as it was. The document is edited with its layout kept, and then checked against the tables that are wanted.

use toml::{Table, Value};
use toml_edit::{DocumentMut, Item, RawString};

use assay_console::failure::{Failure, OrFail, Outcome};

const ROLLOVER: &str = "rollover";
/// Tables that are of a CA, with what a CA cannot lose by a rollover.
const TABLES: [(&str, &[&str]); 2] = [("certificates", &["ra_single"]), ("ocsp", &["certificate"])];

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
    let what = "signer.toml is not TOML";
    let before: Table = text.parse().or_usage(what)?;
    let changes = changes(&before, origin)?;
    let wanted = applied(before, &changes);
    let mut document: DocumentMut = text.parse().or_usage(what)?;
    let edited = take_rollover_out(&mut document).and_then(|()| {
        changes
            .iter()
            .try_for_each(|change| set(&mut document, change))
    });
    let lines = description(&changes);
    let after = document.to_string();
    if edited.is_some() && after.parse::<Table>().is_ok_and(|after| after == wanted) {
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

/// Puts a value in the place of the one before, whose comment stays, or at the end of its table.
fn set(document: &mut DocumentMut, change: &Change) -> Option<()> {
    let Change { table, key, value } = change;
    let mut value: toml_edit::Value = value.to_string().parse().ok()?;
    let place = document.entry(table).or_insert_with(toml_edit::table);
    let place = place.as_table_like_mut()?;
    match place.get_mut(key).and_then(Item::as_value_mut) {
        Some(before) => {
            *value.decor_mut() = before.decor().clone();
            *before = value;
        }
        None => {
            place.insert(key, Item::Value(value));
        }
    }
    Some(())
}

/// Takes the tables of the rollover out, with the comment right above them. What stands above that comment stays.
fn take_rollover_out(document: &mut DocumentMut) -> Option<()> {
    let Some(Item::Table(taken)) = document.remove(ROLLOVER) else {
        return None;
    };
    let inner = taken.iter().filter_map(|(_, item)| item.as_table());
    let first = std::iter::once(&taken)
        .chain(inner)
        .filter(|table| table.position().is_some())
        .min_by_key(|table| table.position())?;
    let above = text(first.decor().prefix());
    // Up to the last empty line.
    let kept = above.rfind("\n\n").and_then(|end| above.get(..=end));
    let next = document
        .iter_mut()
        .filter_map(|(_, item)| item.as_table_mut())
        .filter(|table| table.position() > first.position())
        .min_by_key(|table| table.position());
    let kept = kept.unwrap_or_default();
    match next {
        Some(next) => {
            let prefix = format!("{kept}{}", text(next.decor().prefix()));
            next.decor_mut().set_prefix(prefix);
        }
        None => {
            let trailing = format!("{kept}{}", text(Some(document.trailing())));
            document.set_trailing(trailing);
        }
    }
    Some(())
}

fn text(of: Option<&RawString>) -> &str {
    of.and_then(RawString::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
