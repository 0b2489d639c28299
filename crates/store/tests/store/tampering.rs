//! Attacks of a program that can write the file and does not have the key.

use assay_store::inspect::{dump, peek};
use assay_store::{
    ActivateOutcome, CrlReason, NewCrl, NewPolicy, OcspFound, OpenError, OpenFault, Options,
    PendingDecision, PendingVerdict, Reserve, RevokeOutcome, SignedResponse, StateKey, Stop, Store,
    StoreError,
};
use assay_types::CertIdHash;
use zeroize::Zeroizing;

use crate::support::*;

/// Some of everything: each table of the state that has rows has been changed in each way that it is changed.
async fn lived(fixture: &Fixture) {
    let store = &fixture.store;
    let responder = store.enable_ocsp("ca".to_owned(), digest("responder"), b"responder".to_vec());
    responder.await.unwrap();
    for number in 1..=4 {
        fixture.issued(number).await;
    }
    let signed = SignedResponse {
        serial: serial(1),
        version: 1,
        sha1: b"by sha1".to_vec(),
        sha256: Some(b"by sha256".to_vec()),
        this_update: NOW,
        next_update: NOW + HOUR,
        refresh_at: NOW + HOUR,
    };
    let kept = store.keep_ocsp(digest("responder"), vec![signed]);
    assert_eq!(kept.await.unwrap(), 1);
    let revoked = store.revoke(serial(2), CrlReason::KeyCompromise, NOW, vec![clock_step()]);
    assert_eq!(revoked.await.unwrap(), RevokeOutcome::Revoked);
    store
        .hold(serial(3), NOW, vec![clock_step()])
        .await
        .unwrap();
    store.release(serial(3), vec![clock_step()]).await.unwrap();
    store
        .hold(serial(4), NOW, vec![clock_step()])
        .await
        .unwrap();
    for number in 1..=2 {
        let crl = NewCrl {
            ca_id: "ca".to_owned(),
            number,
            der: format!("crl {number}").into_bytes(),
            this_update: NOW,
            next_update: NOW + HOUR,
        };
        store.insert_crl(crl, vec![clock_step()]).await.unwrap();
    }
    fixture.fleet(&["a", "b"]).await;
    for number in 11..=12 {
        let name = format!("challenge {number}");
        fixture.challenge(&name).await;
        let request = pending(number, Reserve::OneTime { id: name });
        store.queue(request).await.unwrap();
        let decision = PendingDecision {
            id: format!("pending {number}"),
            approver: "assay://operator/b".to_owned(),
            verdict: if number == 11 {
                PendingVerdict::Approve
            } else {
                PendingVerdict::Deny
            },
            four_eyes: false,
            at: NOW,
        };
        store
            .decide_pending(decision, |_| clock_step())
            .await
            .unwrap();
    }
    let stop = Stop {
        profile: "devices".to_owned(),
        reason: "theft".to_owned(),
        stopped_at: NOW,
        stopped_by: "assay://operator/a".to_owned(),
    };
    assert!(store.stop_profile(stop, clock_step()).await.unwrap());
    let policy = NewPolicy {
        number: 1,
        predecessor: None,
        file_hash: digest("files"),
        model_hash: digest("policy"),
        profiles: vec!["devices".to_owned()],
        files: vec![("devices.toml".to_owned(), b"text".to_vec())],
        proposal: b"proposal".to_vec(),
        author: "a".to_owned(),
        author_signature: b"signature".to_vec(),
        approvers: vec!["b".to_owned()],
        approvals: vec![b"approval".to_vec()],
        resumes: Vec::new(),
        not_before: NOW,
        activated_at: NOW,
        activated_by: "assay://operator/a".to_owned(),
    };
    let activated = store.activate_policy(policy, |_| clock_step());
    assert_eq!(activated.await.unwrap(), ActivateOutcome::Activated);
}

#[tokio::test]
async fn the_file_leads_to_the_state_that_the_process_had() {
    let fixture = Fixture::new();
    lived(&fixture).await;
    fixture.holds().await;
    let before = fixture.store.dump().await.unwrap();
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.dump().await.unwrap(), before);
    // Commits after a start continue the chain.
    fixture
        .store
        .release(serial(4), vec![clock_step()])
        .await
        .unwrap();
    fixture.holds().await;
    fixture.reopen().holds().await;
}

/// Its end takes one, as does a start after many commits.
#[tokio::test]
async fn a_snapshot_stands_for_the_commits_before_it() {
    let options = Options {
        snapshot_after: 5,
        ..Options::default()
    };
    let fixture = Fixture::new();
    lived(&fixture).await;
    let before = fixture.store.dump().await.unwrap();
    let path = fixture.path();
    let Fixture { store, directory } = fixture;
    drop(store);
    let count = |table: &str| -> u32 {
        let count = format!("SELECT count(*) FROM {table}");
        let sqlite = rusqlite::Connection::open(&path).unwrap();
        sqlite.query_row(&count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("snapshots"), 0);
    for _ in 0..3 {
        let store = Store::open(&path, &key(), &options).unwrap();
        assert!(store.dump().await.unwrap().starts_with(&before[..100]));
        assert_eq!(
            dump(&peek(&path, &key()).unwrap()).unwrap(),
            store.dump().await.unwrap()
        );
        for _ in 0..7 {
            store.append_audit(vec![clock_step()]).await.unwrap();
        }
        let state = store.dump().await.unwrap();
        drop(store);
        assert_eq!(dump(&peek(&path, &key()).unwrap()).unwrap(), state);
        assert_eq!((count("commits"), count("snapshots")), (1, 2));
    }
    // One that was touched, exchanged or taken out is not a snapshot of this state.
    let whole = std::fs::read(&path).unwrap();
    let old = {
        let store = Store::open(&path, &key(), &options).unwrap();
        let sqlite = rusqlite::Connection::open(&path).unwrap();
        let old: (Vec<u8>, Vec<u8>) = sqlite
            .query_row(
                "SELECT content, tag FROM snapshots WHERE part = 0",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        drop(sqlite);
        for _ in 0..7 {
            store.append_audit(vec![clock_step()]).await.unwrap();
        }
        old
    };
    let newer = std::fs::read(&path).unwrap();
    for (file, change, said) in [
        (
            &whole,
            "UPDATE snapshots SET tag = zeroblob(32) WHERE part = 0",
            "its snapshot",
        ),
        (
            &whole,
            "UPDATE snapshots SET content = zeroblob(4096) WHERE part = 1",
            "its snapshot",
        ),
        (
            &whole,
            "DELETE FROM snapshots WHERE part = 1",
            "its snapshot",
        ),
        (
            &whole,
            "INSERT INTO snapshots VALUES (2, x'00', NULL)",
            "its snapshot",
        ),
        (
            &newer,
            "UPDATE snapshots SET content = ?1, tag = ?2 WHERE part = 0",
            "its snapshot",
        ),
    ] {
        std::fs::write(&path, file).unwrap();
        let sqlite = rusqlite::Connection::open(&path).unwrap();
        let changed = match change.contains("?1") {
            true => sqlite.execute(change, [&old.0, &old.1]),
            false => sqlite.execute(change, []),
        };
        assert_eq!(changed.unwrap(), 1);
        drop(sqlite);
        let refused = Store::open(&path, &key(), &options)
            .unwrap_err()
            .to_string();
        assert!(refused.contains(said), "{change}: {refused}");
    }
    // Without it the first commit that is there does not continue anything.
    std::fs::write(&path, &newer).unwrap();
    let store = Store::open(&path, &key(), &Options::default()).unwrap();
    store.append_audit(vec![clock_step()]).await.unwrap();
    drop(store);
    let sqlite = rusqlite::Connection::open(&path).unwrap();
    sqlite.execute("DELETE FROM snapshots", []).unwrap();
    drop(sqlite);
    let refused = Store::open(&path, &key(), &options)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("commit 1 is missing"), "{refused}");
    drop(directory);
}

/// The fault that a start finds in the file.
fn refusal(fixture: Fixture) -> OpenFault {
    let path = fixture.path();
    let Fixture { store, directory } = fixture;
    drop(store);
    let refused = Store::open(&path, &key(), &Options::default());
    drop(directory);
    match refused {
        Err(OpenError::State { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_commit_that_was_touched_is_named() {
    let last = "(SELECT max(number) FROM commits)";
    for (change, said) in [
        (
            "UPDATE commits SET content = CAST(content || x'00' AS BLOB) WHERE number = 5"
                .to_owned(),
            "commit 5 is not what was written",
        ),
        (
            "UPDATE commits SET tag = zeroblob(32) WHERE number = 5".to_owned(),
            "commit 5 is not what was written",
        ),
        // One for another: each has the tag that it was written with.
        (
            "UPDATE commits SET content = (SELECT content FROM commits WHERE number = 6),
                 tag = (SELECT tag FROM commits WHERE number = 6) WHERE number = 5"
                .to_owned(),
            "commit 5 is not what was written",
        ),
        (
            "DELETE FROM commits WHERE number = 5".to_owned(),
            "commit 5 is missing",
        ),
        (
            "DELETE FROM commits WHERE number = 1".to_owned(),
            "commit 1 is missing",
        ),
        (
            format!(
                "INSERT INTO commits SELECT number + 1, content, tag FROM commits WHERE number = {last}"
            ),
            "is not what was written",
        ),
        ("DELETE FROM commits".to_owned(), "another state key"),
        (
            "DELETE FROM commits WHERE number = 0".to_owned(),
            "another state key",
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM audit; END".to_owned(),
            "the schema was altered: trigger t",
        ),
        (
            "DROP TABLE evidence; CREATE VIEW evidence AS SELECT 1".to_owned(),
            "the schema was altered",
        ),
    ] {
        let fixture = Fixture::new();
        lived(&fixture).await;
        fixture.sqlite().execute_batch(&change).unwrap();
        let fault = refusal(fixture).to_string();
        assert!(fault.contains(said), "{change}: {fault}");
    }
}

#[tokio::test]
async fn another_key_is_refused_by_name() {
    let fixture = Fixture::new();
    fixture.issued(1).await;
    let other = StateKey::from(Zeroizing::new([8; 32]));
    let refused = peek(&fixture.path(), &other).unwrap_err();
    assert!(
        refused.to_string().contains("another state key"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_state_is_made_once_and_only_when_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(directory.path());
    let open = || Store::open(&path, &key(), &Options::default());
    let missing = open().unwrap_err();
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing:?}");
    assert!(!path.exists());
    std::fs::write(&path, b"").unwrap();
    let empty = open().unwrap_err();
    assert!(matches!(empty, OpenError::Empty { .. }), "{empty:?}");
    drop(Store::create(&path, &key(), &Options::default()).unwrap());
    let exists = Store::create(&path, &key(), &Options::default()).unwrap_err();
    assert!(matches!(exists, OpenError::Exists { .. }), "{exists:?}");
    open().unwrap();
}

#[tokio::test]
async fn what_the_file_has_beside_the_state_is_believed_for_its_digest() {
    let altered = |error: StoreError| assert!(matches!(error, StoreError::Altered(_)), "{error:?}");
    for change in ["alter", "lose"] {
        let fixture = Fixture::new();
        lived(&fixture).await;
        for (table, column) in [
            ("certificate_contents", "der"),
            ("reply_contents", "cert_rep"),
            ("crl_contents", "der"),
            ("ocsp_contents", "sha1"),
        ] {
            let change = match change {
                "alter" => format!("UPDATE {table} SET {column} = x'30'"),
                _ => format!("DELETE FROM {table}"),
            };
            fixture.sqlite().execute_batch(&change).unwrap();
        }
        let store = &fixture.store;
        altered(store.find_certificate(serial(1)).await.unwrap_err());
        altered(store.find_reply(digest("request 1")).await.unwrap_err());
        altered(store.latest_crl("ca".to_owned()).await.unwrap_err());
        let response = store.find_ocsp("ca".to_owned(), serial(1), CertIdHash::Sha1, NOW);
        altered(response.await.unwrap_err());
        let other = store
            .find_ocsp("ca".to_owned(), serial(1), CertIdHash::Sha256, NOW)
            .await;
        match change {
            "alter" => assert!(matches!(other, Ok(OcspFound::Signed(_))), "{other:?}"),
            _ => altered(other.unwrap_err()),
        }
    }
}

/// A trigger, a view or a table of another name than ours would have a part in our own statements.
#[tokio::test]
async fn nothing_is_read_or_written_once_the_schema_was_altered() {
    for change in [
        "CREATE TRIGGER ignored BEFORE INSERT ON commits BEGIN SELECT raise(IGNORE); END",
        "CREATE TRIGGER refused BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'no'); END",
        "CREATE TABLE json_each (value)",
        "CREATE TABLE certificates (serial, state)",
        "CREATE VIEW policies AS SELECT 9 AS number",
    ] {
        let fixture = Fixture::new();
        lived(&fixture).await;
        fixture.sqlite().execute_batch(change).unwrap();
        let altered = |error: StoreError| {
            let text = error.to_string();
            assert!(text.contains("altered: its schema"), "{change}: {text}");
        };
        let store = &fixture.store;
        altered(store.append_audit(vec![clock_step()]).await.unwrap_err());
        altered(store.stops().await.unwrap_err());
    }
}

#[tokio::test]
async fn nothing_that_decides_is_read_from_the_file_again() {
    let fixture = Fixture::new();
    lived(&fixture).await;
    let before = fixture.store.dump().await.unwrap();
    fixture
        .sqlite()
        .execute_batch("DELETE FROM commits; DELETE FROM audit; DELETE FROM evidence")
        .unwrap();
    assert_eq!(fixture.store.dump().await.unwrap(), before);
    assert_eq!(fixture.store.stops().await.unwrap().len(), 1);
    let revoked = fixture
        .store
        .revoked_entries("ca".to_owned(), None)
        .await
        .unwrap();
    assert_eq!(revoked.entries.len(), 2);
}
