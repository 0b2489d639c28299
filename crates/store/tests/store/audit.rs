use assay_audit::{Event, Record};
use assay_store::{AuditQuery, Consume, Store, StoreError};
use assay_types::Hash;
use tokio::task::JoinSet;

use crate::support::*;

async fn whole_log(store: &Store) -> Vec<assay_store::AuditRow> {
    let mut rows: Vec<assay_store::AuditRow> = Vec::new();
    loop {
        let after = rows.last().map_or(0, |row| row.sequence);
        let page = store.audit_after(after, 100).await.unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_no_gaps_however_jobs_mix_and_fail() {
    let fixture = Fixture::new();
    fixture.challenge("c").await;
    let mut jobs = JoinSet::new();
    for number in 0..120 {
        let store = fixture.store.clone();
        jobs.spawn(async move {
            match number % 4 {
                // One of these is recorded, the others are undone.
                0 => drop(
                    store
                        .permit(permit(number, Consume::OneTime { id: "c".to_owned() }))
                        .await,
                ),
                // Fails in the middle: the id is taken.
                1 => drop(
                    store
                        .insert_challenges(vec![one_time("c")], vec![clock_step()])
                        .await
                        .unwrap_err(),
                ),
                // Fails at once.
                2 => drop(store.complete(completion(number + 1000)).await.unwrap_err()),
                _ => drop(
                    store
                        .append_audit(vec![clock_step(), clock_step()])
                        .await
                        .unwrap(),
                ),
            }
        });
    }
    jobs.join_all().await;

    let rows = whole_log(&fixture.store).await;
    assert_eq!(rows.len(), 1 + 1 + 30 * 2);
    for (sequence, row) in (1_u64..).zip(&rows) {
        assert_eq!(row.sequence, sequence);
        assert_eq!(row.leaf_hash, Hash::of_leaf(&row.record));
        assert_eq!(
            Record::from_canonical(&row.record).unwrap().sequence,
            sequence
        );
    }
}

/// Read one at a time, by page and for an export.
#[tokio::test]
async fn a_record_that_was_changed_on_disk_is_named_and_not_shown() {
    for (change, altered) in [
        (
            "UPDATE audit SET record = x'7b226b696e64223a2278227d' WHERE sequence = 2",
            2,
        ),
        ("DELETE FROM audit WHERE sequence = 3", 3),
        (
            "INSERT INTO audit (sequence, record) VALUES (4, x'7b226b696e64223a2278227d')",
            4,
        ),
    ] {
        let fixture = Fixture::new();
        let store = &fixture.store;
        store.append_audit(vec![clock_step(); 3]).await.unwrap();
        fixture.sqlite().execute_batch(change).unwrap();
        let named = |error: StoreError| {
            let text = error.to_string();
            assert!(text.contains(&format!("audit record {altered} ")), "{text}");
        };
        named(store.audit_after(0, 0).await.unwrap_err());
        named(store.export_rows(0, 9, 0).await.unwrap_err());
        // A list is newest first; a record that is gone is one that no filter finds.
        if altered != 3 {
            named(store.list_audit(AuditQuery::default()).await.unwrap_err());
        }
        // Nothing takes the place of a record that somebody else wrote.
        let appended = store.append_audit(vec![clock_step()]).await;
        assert_eq!(appended.is_err(), altered == 4, "{appended:?}");
    }
}

#[tokio::test]
async fn nobody_who_writes_the_file_gives_a_record_another_kind() {
    let fixture = Fixture::new();
    fixture
        .store
        .append_audit(vec![clock_step()])
        .await
        .unwrap();
    let sqlite = fixture.sqlite();
    let error = sqlite
        .execute_batch("UPDATE audit SET kind = 'token.event'")
        .unwrap_err();
    assert!(error.to_string().contains("generated column"), "{error}");
}

#[tokio::test]
async fn records_are_listed_by_kind() {
    let fixture = Fixture::new();
    let stopped = draft(Event::ServiceStopped {
        cause: "SIGTERM".into(),
    });
    let drafts = vec![clock_step(), stopped.clone(), clock_step(), stopped];
    assert_eq!(fixture.store.append_audit(drafts).await.unwrap(), 4);
    let mut query = AuditQuery {
        kind: Some("service.stopped".to_owned()),
        rows: 1,
        ..AuditQuery::default()
    };
    for (sequence, next) in [(4, Some(4)), (2, None)] {
        let page = fixture.store.list_audit(query.clone()).await.unwrap();
        let sequences: Vec<_> = page.rows.iter().map(|row| row.sequence).collect();
        assert_eq!((sequences, page.next), (vec![sequence], next));
        query.before = page.next;
    }
}

#[tokio::test]
async fn records_are_listed_newest_first_by_what_they_name() {
    let fixture = Fixture::new();
    let held = |number| {
        draft(Event::CertificateHeld {
            actor: "assay://operator/a".into(),
            serial: serial(number).to_string().into(),
            successor_of: None,
        })
    };
    let drafts = vec![held(1), clock_step(), held(2), held(1)];
    fixture.store.append_audit(drafts).await.unwrap();
    let list = async |query| {
        let page = fixture.store.list_audit(query).await.unwrap();
        let sequences: Vec<_> = page.rows.iter().map(|row| row.sequence).collect();
        sequences
    };
    assert_eq!(list(AuditQuery::default()).await, [4, 3, 2, 1]);
    let of_serial = list(AuditQuery {
        serial: Some(serial(1)),
        ..AuditQuery::default()
    });
    assert_eq!(of_serial.await, [4, 1]);
    let of_another = list(AuditQuery {
        transaction_id: Some("none such".to_owned()),
        ..AuditQuery::default()
    });
    assert_eq!(of_another.await, [0; 0]);
}
