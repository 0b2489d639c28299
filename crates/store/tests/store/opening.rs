use std::os::unix::fs::PermissionsExt;

use assay_store::{IssuerRow, OpenError, Options, Reply, Store, StoreError, VERSION};

use crate::support::*;

#[tokio::test]
async fn an_empty_file_gets_the_schema() {
    let fixture = Fixture::new();
    let version: u32 = fixture
        .sqlite()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, VERSION);
    let mode = std::fs::metadata(fixture.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    fixture.challenge("c").await;
    let fixture = fixture.reopen();
    assert!(find_challenge(&fixture.store, keyed("c")).await.is_some());
}

#[test]
fn the_file_is_as_durable_as_it_must_be() {
    let fixture = Fixture::new();
    let mode: String = fixture
        .sqlite()
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
    let loose: Vec<String> = {
        let sqlite = fixture.sqlite();
        let mut statement = sqlite
            .prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%'")
            .unwrap();
        statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    assert_eq!(loose, Vec::<String>::new());
}

#[test]
fn a_file_of_another_schema_version_is_left_alone() {
    for other in [0, VERSION + 1] {
        let fixture = Fixture::new();
        let path = fixture.path();
        fixture
            .sqlite()
            .pragma_update(None, "user_version", other)
            .unwrap();
        let Fixture {
            store,
            directory: _directory,
        } = fixture;
        drop(store);
        let before = std::fs::read(&path).unwrap();
        let refused = Store::open(&path, &key(), &Options::default()).unwrap_err();
        assert!(
            matches!(refused, OpenError::OtherVersion { found, known: VERSION, .. } if found == other),
            "{refused:?}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn references_are_enforced() {
    let fixture = Fixture::new();
    let orphan = Reply {
        serial: serial(7),
        cert_rep: Vec::new(),
    };
    let kept = fixture.store.store_reply(digest("r"), orphan, NOW, vec![]);
    assert!(matches!(kept.await, Err(StoreError::Sql(_))));
}

#[test]
fn a_file_of_another_program_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(directory.path());
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a)")
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = Store::open(&path, &key(), &Options::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    std::fs::write(
        &path,
        "certainly no database, but long enough to have a header of one",
    )
    .unwrap();
    let refused = Store::open(&path, &key(), &Options::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused:?}");
}

#[test]
fn a_missing_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("signer.db");
    let refused = Store::create(&path, &key(), &Options::default()).unwrap_err();
    assert!(matches!(refused, OpenError::File { .. }));
    assert!(refused.to_string().contains("missing"));
}

#[tokio::test]
async fn a_store_in_memory_is_one_for_its_clones_and_none_for_another() {
    let store = Store::in_memory(&Options::default()).unwrap();
    let other = Store::in_memory(&Options::default()).unwrap();
    let row = IssuerRow {
        ca_id: "a".to_owned(),
        certificates: vec![vec![1]],
        since: NOW,
    };
    store.clone().keep_issuer(row.clone()).await.unwrap();
    assert_eq!(store.issuers().await.unwrap(), [row]);
    assert!(other.issuers().await.unwrap().is_empty());
}
