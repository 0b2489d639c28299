use std::path::Path;

use assay_verify::{Directory, Options, Report, Trust, Verdict, verify};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

const CERTIFICATES: u32 = 200;

fn verified(store: &Path, export: &str) -> Report {
    let trust = Trust::read(store).unwrap();
    let export = Directory::new(store.join(export));
    verify(&export, Some(&trust), &Options::default(), &|_, _| {})
}

/// Flips the last bit of a value that the statement selects with its rowid, and writes it back.
fn flip(own: &Own, table: &str, column: &str) {
    let connection = Connection::open(own.state()).unwrap();
    // An attacker who has the file can drop the triggers that prevent changes by mistake.
    let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
    let mut triggers = connection.prepare(triggers).unwrap();
    let names = triggers
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    for name in names.map(Result::unwrap) {
        connection
            .execute_batch(&format!("DROP TRIGGER {name}"))
            .unwrap();
    }
    let middle = format!(
        "SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY rowid LIMIT 1 OFFSET 20"
    );
    let (row, mut value) = connection
        .query_row(&middle, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .unwrap();
    *value.last_mut().unwrap() ^= 1;
    let change = format!("UPDATE {table} SET {column} = ?1 WHERE rowid = ?2");
    assert_eq!(connection.execute(&change, (value, row)).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn signers_and_auditors_accept_a_generated_store_until_a_bit_of_a_row_is_flipped() {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store");
    files::make_dir(&store).unwrap();
    let own = Own::new(&store, DAY * 30).unwrap();
    let signer = own.start().await.unwrap();
    own.activate_policy(&signer).await.unwrap();
    own.enrol(&signer, CERTIFICATES).await.unwrap();
    own.export(&signer, &store.join("export")).await.unwrap();
    own.stop(&signer).await.unwrap();
    drop(signer);

    let report = verified(&store, "export");
    assert_eq!(report.verdict, Verdict::Proven, "{:?}", report.bad);
    assert_eq!(report.decided_again, u64::from(CERTIFICATES));

    flip(&own, "certificates", "der");
    let signer = own.start().await.unwrap();
    own.export(&signer, &store.join("certificate"))
        .await
        .unwrap();
    drop(signer);
    assert_eq!(verified(&store, "certificate").verdict, Verdict::Bad);

    flip(&own, "audit", "record");
    assert!(own.start().await.is_err());
}
