use assay_store::{
    ChallengeState, Consume, CrlReason, OpenError, Options, PermitOutcome, Reply, Reserve,
    RevokeOutcome, Store, StoreError, VERSION,
};

use crate::support::*;

/// Rows as the release before wrote them.
const ROWS: &str = "
    INSERT INTO challenges (position, id, lookup, kind, profile, subject, subject_der, sans, issued_at, expires_at,
                            issued_by, state, serial, freed)
    VALUES (3, 'open', unhex(printf('%064d', 1)), 'one-time', 'devices', 'CN=a', x'3000', '[\"dns:a.example\"]', 1, 9000000000,
            'assay://operator/a', 'open', NULL, 1),
           (5, 'spent', unhex(printf('%064d', 2)), 'one-time', 'devices', 'CN=b', NULL, '[]', 1, 2,
            'assay://operator/a', 'spent', x'02', 0),
           (6, 'revoked', unhex(printf('%064d', 3)), 'one-time', 'devices', 'CN=c', NULL, '[]', 1, 2,
            'assay://operator/a', 'revoked', NULL, 0),
           (9, 'fleet', unhex(printf('%064d', 4)), 'static', 'fleet', '', NULL, '[]', 1, NULL,
            'assay://operator/a', 'open', NULL, 0);
    INSERT INTO inventory (profile, name, spki_sha256, serial, freed, added_at, added_by)
    VALUES ('fleet', 'used', NULL, x'03', 0, 1, 'assay://operator/a'),
           ('fleet', 'free', zeroblob(32), NULL, 1, 1, 'assay://operator/a');
    INSERT INTO certificates (serial, state, ca_id, profile, subject, sans, not_before, not_after, policy_hash,
                              signer_spki_sha256, transaction_id, request_digest, csr_digest, request, challenge_id,
                              inventory_name, tbs, tbs_digest, created_at, expires_at, closed_at, der, sha256, revoked_at)
    VALUES (x'02', 'issued', 'ca', 'devices', 'CN=b', '[]', 1, 9000000000, zeroblob(32), zeroblob(32), 't', zeroblob(32),
            zeroblob(32), '{}', 'spent', NULL, NULL, zeroblob(32), 1, 2, 1, x'30', zeroblob(32), NULL),
           (x'03', 'abandoned', 'ca', 'fleet', 'CN=u', '[]', 1, 9000000000, zeroblob(32), zeroblob(32), 'u', zeroblob(32),
            zeroblob(32), '{}', 'fleet', 'used', x'30', zeroblob(32), 1, 2, 1, NULL, NULL, 7),
           (x'04', 'intent', 'ca', 'devices', 'CN=i', '[]', 1, 9000000000, zeroblob(32), zeroblob(32), 'i', zeroblob(32),
            zeroblob(32), '{\"peer\":\"p\",\"request_digest\":\"' || hex(zeroblob(32)) || '\"}', 'spent', NULL, x'30',
            zeroblob(32), 1, 2, NULL, NULL, NULL, NULL);
    INSERT INTO transactions VALUES ('ca', zeroblob(32), 't', zeroblob(32), zeroblob(32), x'02', 1);
    INSERT INTO replies (request_digest, serial, cert_rep, stored_at) VALUES (zeroblob(32), x'02', x'30', 1);
    INSERT INTO audit VALUES (1, 'clock.step', x'7b7d', zeroblob(32));";

/// A file of the release before.
fn old_file(path: &std::path::Path) {
    let sqlite = rusqlite::Connection::open(path).unwrap();
    sqlite.pragma_update(None, "journal_mode", "wal").unwrap();
    sqlite
        .execute_batch(include_str!("../../migrations/0001_initial.sql"))
        .unwrap();
    sqlite
        .execute_batch("PRAGMA application_id = 0x41534159; PRAGMA user_version = 1")
        .unwrap();
    sqlite.execute_batch(ROWS).unwrap();
}

fn lookup(last: u8) -> [u8; 32] {
    let mut lookup = [0; 32];
    lookup[31] = last;
    lookup
}

#[tokio::test]
async fn a_file_of_the_first_schema_is_taken_over_with_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    old_file(&path(directory.path()));
    let fixture = Fixture {
        store: open(&path(directory.path())),
        directory,
    };
    let store = &fixture.store;

    let challenges = store.list_challenges(None, None, 0).await.unwrap();
    let states: Vec<_> = challenges
        .iter()
        .map(|row| (row.id.as_str(), row.state))
        .collect();
    assert_eq!(
        states,
        [
            ("fleet", ChallengeState::Open),
            ("revoked", ChallengeState::Revoked),
            ("spent", ChallengeState::Spent),
            ("open", ChallengeState::Open),
        ],
        "in their order"
    );
    let open = store.find_challenge(lookup(1)).await.unwrap().unwrap();
    assert_eq!(open.subject_der.as_deref(), Some(&[0x30, 0x00][..]));
    assert_eq!(open.sans, ["dns:a.example"]);
    let spent = store.find_challenge(lookup(2)).await.unwrap().unwrap();
    assert_eq!(spent.serial, Some("02".parse().unwrap()));
    let names = store.list_inventory("fleet".to_owned(), String::new(), 0);
    let names = names.await.unwrap();
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|row| row.pending_id.is_none()));

    let open = store.open_intents(None).await.unwrap();
    let open = open.first().unwrap();
    assert_eq!(open.tbs, [0x30]);
    assert_eq!((&open.renewal_of, &open.pending_id), (&None, &None));
    let entries = store.revoked_entries("ca".to_owned()).await.unwrap();
    let entries: Vec<_> = entries
        .iter()
        .map(|entry| (entry.serial.to_string(), entry.revoked_at, entry.reason))
        .collect();
    assert_eq!(entries, [("03".to_owned(), 7, CrlReason::Unspecified)]);
    let revoked = store.revoke(
        "02".parse().unwrap(),
        CrlReason::Superseded,
        8,
        vec![clock_step()],
    );
    assert_eq!(revoked.await.unwrap(), RevokeOutcome::Revoked);
    assert_eq!(store.counts().await.unwrap().audit_records, 2);
}

#[tokio::test]
async fn what_was_given_before_the_migration_can_be_used_after_it() {
    let directory = tempfile::tempdir().unwrap();
    old_file(&path(directory.path()));
    let fixture = Fixture {
        store: open(&path(directory.path())),
        directory,
    };
    let store = &fixture.store;
    let one_time = Consume::OneTime {
        id: "open".to_owned(),
    };
    let outcome = store.permit(permit(100, one_time)).await.unwrap();
    assert!(matches!(outcome, PermitOutcome::Recorded { .. }));
    let name = Reserve::Static {
        id: "fleet".to_owned(),
        name: "free".to_owned(),
    };
    let outcome = store.queue(pending(101, name)).await.unwrap();
    assert!(matches!(outcome, PermitOutcome::Recorded { .. }));
}

#[tokio::test]
async fn references_are_intact_and_enforced_after_the_migration() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(directory.path());
    old_file(&path);
    drop(open(&path));
    let sqlite = rusqlite::Connection::open(&path).unwrap();
    let broken: u32 = sqlite
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(broken, 0);
    let parents: Vec<String> = sqlite
        .prepare(
            "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list('certificates') ORDER BY 1",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(parents, ["certificates", "challenges", "pending"]);
    let version: u32 = sqlite
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, VERSION);
    drop(sqlite);

    let orphan = Reply {
        serial: serial(7),
        cert_rep: Vec::new(),
    };
    let store = open(&path);
    let kept = store.store_reply(digest("r"), orphan, NOW, vec![]);
    assert!(matches!(kept.await, Err(StoreError::Sql(_))));
}

#[test]
fn a_file_with_broken_references_is_not_migrated() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(directory.path());
    old_file(&path);
    let sqlite = rusqlite::Connection::open(&path).unwrap();
    sqlite.pragma_update(None, "foreign_keys", false).unwrap();
    sqlite
        .execute("UPDATE certificates SET challenge_id = 'none'", [])
        .unwrap();
    drop(sqlite);
    let refused = Store::open(&path, &Options::default());
    assert!(matches!(refused, Err(OpenError::Sql { .. })));
    let version: u32 = rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1, "nothing of the step is left");
}
