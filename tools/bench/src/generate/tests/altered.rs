//! Who notices that a value of the store was altered.

use std::fs;

use assay_verify::{Directory, Options, Report, Trust, verify};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::*;

/// Enough for more than one tile of the log, and for several checkpoints.
const CERTIFICATES: u32 = 100;
const DAYS: u32 = 50;

/// Who notices first that a value was altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The signer does not start.
    Start,
    /// It starts, and makes no export.
    Export,
    /// The export is not proven.
    Verification,
    Nobody,
}

pub(super) fn verified(trust: &Path, export: &Path) -> Report {
    let trust = Trust::read(trust).unwrap();
    let export = Directory::new(export.to_owned());
    verify(&export, Some(&trust), &Options::default(), &|_, _| {})
}

/// The store without the triggers and constraints that prevent changes by mistake: an attacker who has the file can drop them.
fn open(state: &Path) -> Connection {
    let connection = Connection::open(state).unwrap();
    let lax = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;";
    connection.execute_batch(lax).unwrap();
    let triggers = strings(
        &connection,
        "SELECT name FROM sqlite_schema WHERE type = 'trigger'",
    );
    for name in triggers {
        let drop = format!("DROP TRIGGER {name}");
        connection.execute_batch(&drop).unwrap();
    }
    connection
}

fn strings(connection: &Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// A value that is as plausible as can be without knowing what it means.
fn altered(column: &str, value: Value) -> Value {
    let other = match column {
        "certificates.state" => Some("abandoned"),
        _ => None,
    };
    match (other, value) {
        // A policy that means the same, but is not the file that was signed.
        (None, Value::Blob(mut file)) if column == "policy_files.content" => {
            file.extend_from_slice(b"# another file\n");
            Value::Blob(file)
        }
        (Some(other), _) => Value::Text(other.to_owned()),
        (None, Value::Integer(number)) => Value::Integer(number + 1_000_000),
        (None, Value::Text(text)) => Value::Text(other_text(text)),
        // JSON stays JSON, as an index reads it.
        (None, Value::Blob(mut blob)) => match String::from_utf8(blob.clone()) {
            Ok(text) => Value::Blob(other_text(text).into_bytes()),
            Err(_) => {
                *blob.last_mut().unwrap() ^= 1;
                Value::Blob(blob)
            }
        },
        (None, value) => panic!("{column}: {value:?}"),
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

/// Alters the column in the middle one of the rows that have it.
fn alter(connection: &Connection, table: &str, column: &str) {
    let keys = format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk");
    let keys = strings(connection, &keys).join(", ");
    let order = if keys.is_empty() { "rowid" } else { &keys };
    // Records of issue are those that other tables belong to.
    let which = if table == "audit" {
        "kind = 'request.issued'"
    } else {
        "TRUE"
    };
    let rows = format!("FROM {table} WHERE {column} IS NOT NULL AND {which}");
    let count = format!("SELECT count(*) {rows}");
    let count: i64 = connection.query_row(&count, [], |row| row.get(0)).unwrap();
    let middle = format!("{rows} ORDER BY {order} LIMIT 1 OFFSET {}", count / 2);
    let read = format!("SELECT {column} {middle}");
    let value: Value = connection.query_row(&read, [], |row| row.get(0)).unwrap();
    let value = altered(&format!("{table}.{column}"), value);
    let change =
        format!("UPDATE {table} SET {column} = ?1 WHERE ({order}) = (SELECT {order} {middle})");
    let changed = connection.execute(&change, params_from_iter([value]));
    assert_eq!(changed.unwrap(), 1, "{table}.{column}");
}

/// Starts a signer over the store, exports and verifies.
async fn noticed(own: &Own, trust: &Path, export: &Path) -> (By, String) {
    let signer = match own.start().await {
        Ok(signer) => signer,
        Err(failure) => return (By::Start, failure.to_string()),
    };
    match own.export(&signer, export).await {
        Ok(_) => {}
        Err(failure) => return (By::Export, failure.to_string()),
    }
    drop(signer);
    let report = verified(trust, export);
    let by = match report.verdict {
        // Not for want of decisions: each was made again.
        Verdict::Proven if report.decided_again == u64::from(CERTIFICATES) => By::Nobody,
        Verdict::Proven => panic!("{} decisions", report.decided_again),
        Verdict::Bad | Verdict::Incomplete => By::Verification,
    };
    (by, format!("{:?}", report.bad))
}

/// Columns whose alteration is noticed, and a part of what is then said.
const NOTICED: [(&str, &str, By, &str); 9] = [
    (
        "policy_files",
        "content",
        By::Start,
        "is not what was approved",
    ),
    ("policies", "proposal", By::Start, "is not approved by"),
    (
        "policies",
        "author_signature",
        By::Start,
        "is not approved by",
    ),
    (
        "policy_approvals",
        "signature",
        By::Start,
        "is not approved by",
    ),
    ("audit", "sequence", By::Start, "is missing"),
    ("audit", "record", By::Start, "its hash differs"),
    ("audit", "leaf_hash", By::Start, "its hash differs"),
    ("certificates", "serial", By::Verification, "Certificates"),
    ("certificates", "der", By::Verification, "Certificates"),
];

/// Columns whose alteration neither a start nor a verification notices, and why: this list may only become shorter.
const UNNOTICED: [(&str, &str, &str); 9] = [
    ("certificates", "position", "an order of rows, not exported"),
    ("certificates", "state", "an index, not exported"),
    ("certificates", "ca_id", "an index, not exported"),
    ("certificates", "profile", "an index, not exported"),
    ("certificates", "subject", "an index, not exported"),
    ("certificates", "not_after", "an index, not exported"),
    ("challenges", "profile", "a challenge is not exported"),
    ("policies", "model_hash", "computed anew of the files"),
    ("checkpoints", "note", "only the newest is read"),
];

#[tokio::test(flavor = "multi_thread")]
async fn who_notices_an_altered_value_is_known() {
    let mut made = made(CERTIFICATES, DAYS).await;
    let whole = fs::read(&made.own.state).unwrap();
    let folder = TempDir::new().unwrap();
    let unnoticed = UNNOTICED.map(|(table, column, _)| (table, column, By::Nobody, ""));
    let mut wrong = Vec::new();
    for (table, column, by, said) in NOTICED.into_iter().chain(unnoticed) {
        let name = format!("{table}.{column}");
        made.own.state = folder.path().join(format!("{name}.db"));
        fs::write(&made.own.state, &whole).unwrap();
        alter(&open(&made.own.state), table, column);
        let export = folder.path().join(&name);
        let (found, why) = noticed(&made.own, &made.path, &export).await;
        if found != by || !why.contains(said) {
            wrong.push(format!("{name}: {found:?}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
