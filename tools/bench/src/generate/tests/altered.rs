//! Nobody who can write the state file, and who does not have its key, changes what the signer does: every table and column of the
//! file is tried, as its schema names them.

use std::fmt;
use std::fs;

use assay_verify::{Directory, Options, Report, Trust, verify};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::*;

/// Enough for more than one tile of the log, and for several checkpoints.
const CERTIFICATES: u32 = 100;
const DAYS: u32 = 50;

/// The effect of a change of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// The signer does not start.
    NoStart,
    /// It starts, and makes no export.
    NoExport,
    /// The export is not proven.
    NotProven,
    /// Everything is as it was without the change.
    Nothing,
}

/// A change of a table.
#[derive(Debug, Clone, Copy)]
enum Attack<'a> {
    /// Gives the column of the middle row another value.
    Alter(&'a str),
    /// Gives the column of the middle row the value that it has in the first.
    Copy(&'a str),
    /// Takes out the middle row.
    Delete,
    /// Takes out the last row.
    Cut,
    /// Takes out all rows.
    Empty,
    /// Adds the middle row once more, with a key of its own.
    Duplicate,
}

impl fmt::Display for Attack<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alter(column) => write!(formatter, "{column} altered"),
            Self::Copy(column) => write!(formatter, "{column} of another row"),
            Self::Delete => formatter.write_str("a row deleted"),
            Self::Cut => formatter.write_str("the last row deleted"),
            Self::Empty => formatter.write_str("all rows deleted"),
            Self::Duplicate => formatter.write_str("a row doubled"),
        }
    }
}

pub(super) fn verified(trust: &Path, export: &Path) -> Report {
    let trust = Trust::read(trust).unwrap();
    let export = Directory::new(export.to_owned());
    verify(&export, Some(&trust), &Options::default(), &|_, _| {})
}

/// The file without the constraints that prevent changes by mistake.
fn open(state: &Path) -> Connection {
    let connection = Connection::open(state).unwrap();
    let lax = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;";
    connection.execute_batch(lax).unwrap();
    connection
}

fn strings(connection: &Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn tables(connection: &Connection) -> Vec<String> {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    strings(connection, tables)
}

/// Columns that are stored.
fn columns(connection: &Connection, table: &str) -> Vec<String> {
    let columns = format!("SELECT name FROM pragma_table_info('{table}')");
    strings(connection, &columns)
}

/// A value that is as plausible as can be without knowing what it means.
fn altered(value: Value) -> Value {
    match value {
        Value::Integer(number) => Value::Integer(number + 1_000_000),
        Value::Text(text) => Value::Text(other_text(text)),
        // JSON stays JSON, as an index reads it.
        Value::Blob(mut blob) => match String::from_utf8(blob.clone()) {
            Ok(text) if !text.is_empty() => Value::Blob(other_text(text).into_bytes()),
            _ => {
                match blob.last_mut() {
                    Some(last) => *last ^= 1,
                    None => blob.push(1),
                }
                Value::Blob(blob)
            }
        },
        Value::Null => Value::Blob(vec![1]),
        Value::Real(_) => panic!("no column has such values"),
    }
}

/// Another last letter or digit.
fn other_text(mut text: String) -> String {
    let last = text.rfind(|c: char| c.is_ascii_alphanumeric()).unwrap();
    let other = if text.as_bytes()[last] == b'1' {
        "2"
    } else {
        "1"
    };
    text.replace_range(last..=last, other);
    text
}

/// Whether it can be done: not with a table that has too few rows, nor where the file's own schema forbids it.
fn attack(connection: &Connection, table: &str, attack: Attack<'_>) -> bool {
    // Records of issue are those that certificates belong to.
    let which = if table == "audit" {
        "kind = 'request.issued'"
    } else {
        "TRUE"
    };
    let count = format!("SELECT count(*) FROM {table} WHERE {which}");
    let count: i64 = connection.query_row(&count, [], |row| row.get(0)).unwrap();
    if count < 2 {
        return false;
    }
    let row = |offset: i64| {
        format!("SELECT rowid FROM {table} WHERE {which} ORDER BY rowid LIMIT 1 OFFSET {offset}")
    };
    let middle = row(count / 2);
    let set = |column: &str, value: Value| {
        let set = format!("UPDATE {table} SET {column} = ?1 WHERE rowid = ({middle})");
        connection.execute(&set, params_from_iter([value]))
    };
    let value = |column: &str, row: &str| -> Value {
        let read = format!("SELECT {column} FROM {table} WHERE rowid = ({row})");
        connection.query_row(&read, [], |row| row.get(0)).unwrap()
    };
    let done = match attack {
        Attack::Alter(column) => set(column, altered(value(column, &middle))),
        Attack::Copy(column) => {
            let other = value(column, &row(0));
            if other == value(column, &middle) {
                return false;
            }
            set(column, other)
        }
        Attack::Delete => {
            connection.execute(&format!("DELETE FROM {table} WHERE rowid = ({middle})"), [])
        }
        Attack::Cut => {
            let last = row(count - 1);
            connection.execute(&format!("DELETE FROM {table} WHERE rowid = ({last})"), [])
        }
        Attack::Empty => connection.execute(&format!("DELETE FROM {table}"), []),
        Attack::Duplicate => {
            let names = columns(connection, table);
            let (key, others) = names.split_first().unwrap();
            let others = others.join(", ");
            let is_number = matches!(value(key, &middle), Value::Integer(_));
            let key_of = if is_number {
                format!("(SELECT max({key}) + 1 FROM {table})")
            } else {
                format!("{key} || 'x'")
            };
            let insert = format!(
                "INSERT INTO {table} ({key}, {others})
                 SELECT {key_of}, {others} FROM {table} WHERE rowid = ({middle})"
            );
            connection.execute(&insert, [])
        }
    };
    done.is_ok_and(|changed| changed > 0)
}

/// Starts a signer over the file, exports and verifies.
async fn effect(own: &Own, trust: &Path, export: &Path) -> (Effect, String) {
    let signer = match own.start().await {
        Ok(signer) => signer,
        Err(failure) => return (Effect::NoStart, failure.to_string()),
    };
    match own.export(&signer, export).await {
        Ok(_) => {}
        Err(failure) => return (Effect::NoExport, failure.to_string()),
    }
    drop(signer);
    let report = verified(trust, export);
    let found = match report.verdict {
        // Not for want of decisions: each was made again.
        Verdict::Proven if report.decided_again == u64::from(CERTIFICATES) => Effect::Nothing,
        Verdict::Proven => panic!("{} decisions", report.decided_again),
        Verdict::Bad | Verdict::Incomplete => Effect::NotProven,
    };
    (found, format!("{:?} {:?}", report.bad, report.open))
}

/// The effects that a change of a table may have, and why one may be less than a refused start.
fn allowed(table: &str, attack: Attack<'_>) -> &'static [Effect] {
    use Effect::{NoExport, NoStart, NotProven, Nothing};
    match (table, attack) {
        // The newest commits are of the last run's end, and after the last checkpoint; that a newer state was replaced by an
        // older one is for the HSM service to say, which a store that is made here does not have.
        ("commits", Attack::Cut) => &[NoStart, NotProven, Nothing],
        ("commits" | "audit", _) => &[NoStart],
        // Evidence is believed for the hash that its record has, and its time for nothing.
        ("evidence", Attack::Alter("keep_until") | Attack::Copy("keep_until")) => {
            &[Nothing, NotProven]
        }
        ("evidence", Attack::Duplicate) => &[NotProven, Nothing],
        ("evidence", _) => &[NotProven],
        // Contents that are too large for memory are read when they are needed.
        ("certificate_contents", Attack::Duplicate) => &[Nothing],
        ("certificate_contents", _) => &[NoExport],
        // Sent again, and served, and not exported: crates/store's tests read them.
        ("reply_contents" | "crl_contents" | "ocsp_contents", _) => &[NoStart, NoExport, Nothing],
        (table, _) => panic!("{table} has to be in this list"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_of_the_file_changes_what_the_signer_does() {
    let mut made = made(CERTIFICATES, DAYS).await;
    let whole = fs::read(&made.own.state).unwrap();
    let folder = TempDir::new().unwrap();
    let original = open(&made.own.state);
    let tables = tables(&original);
    let mut counts = std::collections::BTreeMap::<Effect, u32>::new();
    let mut wrong = Vec::new();
    for (number, table) in tables.iter().enumerate() {
        let columns = columns(&original, table);
        let of_columns = columns
            .iter()
            .flat_map(|column| [Attack::Alter(column), Attack::Copy(column)]);
        let of_rows = [
            Attack::Delete,
            Attack::Cut,
            Attack::Empty,
            Attack::Duplicate,
        ];
        for (step, tried) in of_columns.chain(of_rows).enumerate() {
            made.own.state = folder.path().join(format!("{number}-{step}.db"));
            fs::write(&made.own.state, &whole).unwrap();
            if !attack(&open(&made.own.state), table, tried) {
                continue;
            }
            let export = folder.path().join(format!("{number}-{step}"));
            let (found, why) = effect(&made.own, &made.path, &export).await;
            *counts.entry(found).or_default() += 1;
            if !allowed(table, tried).contains(&found) {
                wrong.push(format!("{table}, {tried}: {found:?}: {why}"));
            }
        }
    }
    let schemas = [
        "CREATE TABLE certificates (serial BLOB)",
        "CREATE VIEW stops AS SELECT 1",
        "CREATE TRIGGER late AFTER INSERT ON audit BEGIN DELETE FROM audit; END",
        "CREATE INDEX other ON audit (sequence)",
        "DROP INDEX audit_of_kind",
        "DROP TABLE evidence",
        "DROP TABLE evidence; CREATE VIEW evidence AS SELECT 1 AS sequence, x'' AS salt, x'' AS content, 1 AS keep_until",
    ];
    for (step, change) in schemas.into_iter().enumerate() {
        made.own.state = folder.path().join(format!("schema-{step}.db"));
        fs::write(&made.own.state, &whole).unwrap();
        open(&made.own.state).execute_batch(change).unwrap();
        let (found, why) = effect(&made.own, &made.path, &folder.path().join("none")).await;
        *counts.entry(found).or_default() += 1;
        if found != Effect::NoStart || !why.contains("the schema was altered") {
            wrong.push(format!("{change}: {found:?}: {why}"));
        }
    }
    println!("{} tables: {counts:?}", tables.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        counts
            .get(&Effect::NoStart)
            .is_some_and(|count| *count > 15),
        "{counts:?}"
    );
}

/// Without the tags, the same changes go unnoticed: the state that they lead to is a state.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_under_the_right_tag_is_believed() {
    let made = made(10, 5).await;
    let before = made.own.open().unwrap();
    let sql = "DELETE FROM policies WHERE number = (SELECT max(number) FROM policies)";
    let freed = [
        "DELETE FROM policy_files",
        "DELETE FROM policy_approvals",
        sql,
    ];
    for statement in freed {
        before
            .alter(statement.to_owned(), Vec::new())
            .await
            .unwrap();
    }
    assert!(before.active_policy().await.unwrap().is_none());
    drop(before);
    let after = made.own.open().unwrap();
    assert!(after.active_policy().await.unwrap().is_none());
}
