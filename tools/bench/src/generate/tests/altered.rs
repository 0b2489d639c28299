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

/// Columns that are not altered here, and why: a column that is in none of the three lists fails the test.
const LEFT_OUT: [(&str, &str, &str); 24] = [
    (
        "certificates",
        "sans not_before policy_hash signer_spki_sha256 transaction_id request_digest csr_digest request challenge_id \
         inventory_name tbs tbs_digest created_at expires_at closed_at sha256 revoked_at revocation_reason renewal_of \
         revoke_after pending_id superseded_by revoke_at",
        "an index, as the columns above",
    ),
    (
        "challenges",
        "position id lookup kind subject sans issued_at expires_at issued_by state serial pending_id freed",
        "a challenge is not exported, as above",
    ),
    (
        "policies",
        "number file_hash profiles activated_at activated_by author approvers",
        "an index of the proposal and its signatures, which are above",
    ),
    (
        "policy_files",
        "number name",
        "the key of a file, which is above",
    ),
    (
        "policy_approvals",
        "number position",
        "the key of a signature, which is above",
    ),
    (
        "checkpoints",
        "size root frontier signed_at",
        "of the note, which is above",
    ),
    (
        "log_tiles",
        "level position hashes",
        "the store's tests alter tiles",
    ),
    (
        "evidence",
        "sequence salt content keep_until",
        "the verifier's tests alter evidence",
    ),
    (
        "issuers",
        "position sha256 ca_id since",
        "the verifier's tests alter CAs",
    ),
    (
        "issuer_certificates",
        "issuer place certificate",
        "the verifier's tests alter CAs",
    ),
    (
        "crls",
        "ca_id number der sha256 this_update next_update",
        "a list is not exported",
    ),
    (
        "transactions",
        "ca_id signer_spki_sha256 transaction_id request_digest csr_digest serial created_at",
        "an index, not exported",
    ),
    (
        "replies",
        "position request_digest serial cert_rep stored_at",
        "an answer is not exported",
    ),
    ("quotas", "key window_start used", "a quota is not exported"),
    (
        "quirk_uses",
        "profile quirk device uses first_at last_at",
        NO_ROW,
    ),
    ("stops", "profile reason stopped_at stopped_by", NO_ROW),
    (
        "inventory",
        "profile name spki_sha256 serial pending_id freed added_at added_by",
        NO_ROW,
    ),
    ("inventory_changes", "profile sequence content hash", NO_ROW),
    (
        "pending",
        "position id state ca_id signer_spki_sha256 transaction_id request_digest csr_digest csr signer_certificate \
         message_hash csr_hash profile subject sans key_info evidence request challenge_id inventory_name renewal_of \
         revoke_after cert_rep created_at expires_at decided_at serial freed",
        NO_ROW,
    ),
    (
        "approvals",
        "pending_id approver verdict decided_at",
        NO_ROW,
    ),
    ("cosignatures", "size witness line", NO_ROW),
    ("ocsp_responders", "sha256 ca_id certificate", NO_ROW),
    (
        "ocsp_responses",
        "serial ca_id not_after version refresh_at responder sha1 sha256 this_update next_update",
        NO_ROW,
    ),
    (
        "rollovers",
        "ca_id switch_at announced_at switched_at",
        NO_ROW,
    ),
];

const NO_ROW: &str = "this store has no row of it";

fn assert_every_column_is_listed(connection: &Connection) {
    let query = "SELECT tables.name || '.' || columns.name FROM sqlite_schema AS tables
                 JOIN pragma_table_info(tables.name) AS columns
                 WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%' ORDER BY 1";
    let altered = NOTICED.map(|(table, column, ..)| (table, column));
    let unnoticed = UNNOTICED.map(|(table, column, _)| (table, column));
    let left_out = LEFT_OUT.map(|(table, columns, _)| (table, columns));
    let mut listed = Vec::new();
    for (table, columns) in altered.into_iter().chain(unnoticed).chain(left_out) {
        let columns = columns.split_whitespace();
        listed.extend(columns.map(|column| format!("{table}.{column}")));
    }
    listed.sort();
    assert_eq!(listed, strings(connection, query));
    for (table, _, _) in LEFT_OUT.into_iter().filter(|(.., why)| *why == NO_ROW) {
        let rows = strings(connection, &format!("SELECT 'one' FROM {table} LIMIT 1"));
        assert!(rows.is_empty(), "{table} has rows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_notices_an_altered_value_is_known() {
    let mut made = made(CERTIFICATES, DAYS).await;
    let whole = fs::read(&made.own.state).unwrap();
    assert_every_column_is_listed(&Connection::open(&made.own.state).unwrap());
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
