use assay_audit::{Event, Hash, Record};
use assay_store::{Consume, Store};
use tokio::task::JoinSet;

use crate::support::*;

async fn whole_log(store: &Store) -> Vec<assay_store::AuditRow> {
    let mut rows: Vec<assay_store::AuditRow> = Vec::new();
    loop {
        let after = rows.last().map_or(0, |row| row.sequence);
        let page = store.list_audit(after, 100, None).await.unwrap();
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
        assert_eq!(row.leaf_hash, <[u8; 32]>::from(Hash::of_leaf(&row.record)));
        assert_eq!(
            Record::from_canonical(&row.record).unwrap().sequence,
            sequence
        );
    }
}

#[tokio::test]
async fn the_log_can_only_grow() {
    let fixture = Fixture::new();
    fixture
        .store
        .append_audit(vec![clock_step(), clock_step()])
        .await
        .unwrap();
    for forbidden in [
        "UPDATE audit SET kind = 'x' WHERE sequence = 1",
        "DELETE FROM audit WHERE sequence = 2",
        "INSERT INTO audit SELECT 9, kind, record, leaf_hash FROM audit LIMIT 1",
    ] {
        assert!(
            fixture.sqlite().execute_batch(forbidden).is_err(),
            "{forbidden}"
        );
    }
    assert_eq!(whole_log(&fixture.store).await.len(), 2);
}

#[tokio::test]
async fn records_are_listed_by_kind() {
    let fixture = Fixture::new();
    let stopped = draft(Event::ServiceStopped {
        cause: "SIGTERM".into(),
    });
    let drafts = vec![clock_step(), stopped.clone(), clock_step(), stopped];
    assert_eq!(fixture.store.append_audit(drafts).await.unwrap(), 4);
    let kind = Some("service.stopped".to_owned());
    let rows = fixture.store.list_audit(2, 0, kind).await.unwrap();
    let sequences: Vec<_> = rows.iter().map(|row| row.sequence).collect();
    assert_eq!(sequences, [4]);
}
