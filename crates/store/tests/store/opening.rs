use std::os::unix::fs::PermissionsExt;

use assay_store::{IssuerRow, OpenError, OpenFault, Options, Reply, Store, StoreError, VERSION};

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

/// Opens a path, of which nothing is a state, and returns what is said about it.
fn refusal(path: &std::path::Path) -> (OpenError, String) {
    let refused = Store::open(path, &key(), &Options::default()).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(
        !text.contains("name another") && !text.contains("name a new"),
        "{text}"
    );
    assert!(!text.contains('\n'), "{text}");
    (refused, text)
}

#[test]
fn what_is_not_a_file_is_named_as_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(directory.path());
    let fifo = || {
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
    };
    let socket = || drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let folder = || std::fs::create_dir(&path).unwrap();
    let makers: [(&dyn Fn(), &str); 3] = [
        (&fifo, "a named pipe"),
        (&socket, "a socket"),
        (&folder, "a directory"),
    ];
    for (make, kind) in makers {
        make();
        let (refused, text) = refusal(&path);
        assert!(matches!(refused, OpenError::NotAFile { .. }), "{refused:?}");
        assert!(text.contains(kind) && text.contains("restore"), "{text}");
        let refused = Store::create(&path, &key(), &Options::default()).unwrap_err();
        assert!(matches!(refused, OpenError::NotAFile { .. }), "{refused:?}");
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
    }
}

#[test]
fn what_is_not_a_file_beside_the_state_is_named_as_what_it_is() {
    for suffix in ["-journal", "-wal", "-shm", ".lock", ".reserve"] {
        let Fixture { store, directory } = Fixture::new();
        drop(store);
        let state = path(directory.path());
        let mut beside = state.clone().into_os_string();
        beside.push(suffix);
        let beside = std::path::PathBuf::from(beside);
        let fifo = || {
            let made = std::process::Command::new("mkfifo").arg(&beside).status();
            assert!(made.unwrap().success());
        };
        let link = || {
            let target = directory.path().join("of another");
            std::fs::write(&target, "theirs").unwrap();
            std::os::unix::fs::symlink(target, &beside).unwrap();
        };
        let folder = || std::fs::create_dir(&beside).unwrap();
        let makers: [(&dyn Fn(), &str); 3] = [
            (&fifo, "a named pipe"),
            (&link, "a symbolic link"),
            (&folder, "a directory"),
        ];
        for (make, kind) in makers {
            let _ = std::fs::remove_file(&beside);
            make();
            let refused = Store::open(&state, &key(), &Options::default()).unwrap_err();
            let text = refused.to_string();
            let is_other = matches!(refused, OpenError::NotOfTheState { .. });
            assert!(is_other && text.contains(kind), "{suffix}: {refused:?}");
            assert!(text.contains(beside.to_str().unwrap()), "{text}");
            let _ = std::fs::remove_file(&beside).or_else(|_| std::fs::remove_dir(&beside));
        }
        let theirs = std::fs::read_to_string(directory.path().join("of another"));
        assert_eq!(theirs.unwrap(), "theirs");
    }
}

#[test]
fn an_empty_truncated_or_overwritten_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let empty = path(directory.path());
    std::fs::write(&empty, "").unwrap();
    let (refused, text) = refusal(&empty);
    assert!(matches!(refused, OpenError::Empty { .. }), "{refused:?}");
    assert!(
        text.contains("is empty") && text.contains("restore"),
        "{text}"
    );

    let whole = || {
        let fixture = Fixture::new();
        let Fixture { store, directory } = fixture;
        drop(store);
        (path(directory.path()), directory)
    };
    for length in [50, 100, 2_000, 4_096, 3 * 4_096] {
        let (path, _directory) = whole();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        let (refused, text) = refusal(&path);
        assert!(
            matches!(refused, OpenError::Damaged { .. }),
            "{length}: {refused:?}"
        );
        assert!(text.contains("truncated or damaged"), "{text}");
    }
    let (path, _directory) = whole();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..4_096].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let (refused, _) = refusal(&path);
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
}

#[test]
fn a_newer_and_an_older_schema_are_told_apart() {
    for (other, said) in [
        (VERSION - 1, "an older release"),
        (VERSION + 1, "a newer release"),
    ] {
        let fixture = Fixture::new();
        let sqlite = fixture.sqlite();
        sqlite.pragma_update(None, "user_version", other).unwrap();
        let path = fixture.path();
        let Fixture {
            store,
            directory: _directory,
        } = fixture;
        drop((store, sqlite));
        let (_, text) = refusal(&path);
        assert!(text.contains(said), "{text}");
    }
}

/// Past the schema, which lets no such value in.
#[test]
fn a_value_of_another_type_is_named_by_its_column() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let Fixture {
        store,
        directory: _directory,
    } = fixture;
    drop(store);
    let sqlite = rusqlite::Connection::open(&path).unwrap();
    let schema: String = sqlite
        .query_row(
            "SELECT sql FROM sqlite_schema WHERE name = 'commits'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    sqlite.pragma_update(None, "writable_schema", true).unwrap();
    let set = "UPDATE sqlite_schema SET sql = ?1 WHERE name = 'commits'";
    sqlite.execute(set, [schema.replace("STRICT", "")]).unwrap();
    drop(sqlite);
    let sqlite = rusqlite::Connection::open(&path).unwrap();
    let tag = "UPDATE commits SET tag = 'a text of thirty-two characters.' WHERE number = 0";
    sqlite.execute(tag, []).unwrap();
    sqlite.pragma_update(None, "writable_schema", true).unwrap();
    sqlite.execute(set, [schema]).unwrap();
    drop(sqlite);
    let (refused, text) = refusal(&path);
    assert!(
        matches!(&refused, OpenError::State { source: OpenFault::Type(column), .. } if column == "tag"),
        "{refused:?}"
    );
    assert!(text.contains("restore"), "{text}");
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
