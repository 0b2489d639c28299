use assay_audit::{Attachment, Draft, Event, Issuance, Record};
use assay_store::{PRUNE_BATCH, Retention, Store};
use assay_types::{Hash, Timestamp};

use crate::support::*;

const FOREVER: Retention = Retention {
    replies_before: Timestamp::MIN,
    quotas_before: Timestamp::MIN,
    evidence_until: Timestamp::MIN,
};

fn attachment(number: u64, keep_until: Timestamp) -> Attachment {
    Attachment {
        salt: *digest(&format!("salt {number}")).as_bytes(),
        content: format!("evidence {number}").into_bytes(),
        keep_until,
    }
}

/// A record of a decision with its evidence.
fn decided(number: u64, keep_until: Timestamp) -> Draft {
    draft(Event::IntentOpened {
        request: request(),
        issuance: Issuance {
            serial: number.to_string().into(),
            tbs_digest: digest("tbs"),
            key_id: "01".into(),
            token_serial: "1".into(),
        },
        evidence: None,
    })
    .with_evidence(attachment(number, keep_until))
}

/// Sequence number, salt and content of what is kept.
async fn kept(store: &Store) -> Vec<(u64, [u8; 32], Vec<u8>)> {
    let rows = store.export_rows(0, u64::MAX, 0).await.unwrap();
    rows.into_iter()
        .filter_map(|row| {
            row.evidence
                .map(|(salt, content)| (row.sequence, salt, content))
        })
        .collect()
}

async fn recorded_hash(store: &Store, sequence: u64) -> Option<Hash> {
    let rows = store.audit_after(sequence - 1, 1).await.unwrap();
    let record = Record::from_canonical(&rows[0].record).unwrap();
    record.draft.event.evidence().copied()
}

#[tokio::test]
async fn evidence_is_kept_under_the_sequence_and_the_hash_of_its_record() {
    let fixture = Fixture::new();
    let drafts = vec![clock_step(), decided(1, NOW), clock_step(), decided(2, NOW)];
    fixture.store.append_audit(drafts).await.unwrap();
    let fixture = fixture.reopen();
    let rows = kept(&fixture.store).await;
    let sequences: Vec<_> = rows.iter().map(|(sequence, ..)| *sequence).collect();
    assert_eq!(sequences, [2, 4]);
    for ((sequence, salt, content), given) in rows.into_iter().zip([1, 2]) {
        let given = attachment(given, NOW);
        assert_eq!((salt, content), (given.salt, given.content.clone()));
        assert_eq!(
            recorded_hash(&fixture.store, sequence).await,
            Some(given.hash())
        );
    }
}

#[tokio::test]
async fn where_evidence_cannot_be_kept_nothing_is_permitted() {
    let fixture = Fixture::new();
    let consume = fixture.challenge("c").await;
    let mut write = permit(1, consume);
    let mut draft = decided(1, NOW);
    // One byte more than a row has room for.
    draft.attachment.as_mut().unwrap().content = vec![b'a'; 65_537];
    write.audit = vec![draft];
    let refused = fixture.store.permit(write).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(fixture.store.open_intents(None).await.unwrap().is_empty());
    let records = fixture.store.audit_after(0, 0).await.unwrap();
    assert_eq!(records.len(), 1, "that of the challenge alone");
}

#[tokio::test]
async fn pruning_removes_evidence_whose_time_is_over_and_leaves_the_log_as_it_is() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let drafts = vec![
        decided(1, NOW),
        decided(2, NOW + secs(1)),
        decided(3, NOW + secs(2)),
    ];
    store.append_audit(drafts).await.unwrap();
    let before = store.audit_after(0, 0).await.unwrap();
    assert_eq!(store.prune(FOREVER).await.unwrap(), 0);

    let retention = Retention {
        evidence_until: NOW + secs(2),
        ..FOREVER
    };
    assert_eq!(store.prune(retention).await.unwrap(), 2);
    let left: Vec<u64> = kept(store).await.iter().map(|row| row.0).collect();
    assert_eq!(left, [3]);
    assert_eq!(store.audit_after(0, 0).await.unwrap(), before);
    assert!(recorded_hash(store, 1).await.is_some());

    store
        .permit(permit(1, fixture.challenge("c").await))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_pruning_takes_a_batch_at_most() {
    let store = Fixture::new().store;
    let many = u64::from(PRUNE_BATCH) + 1;
    let drafts = (1..=many).map(|number| decided(number, NOW)).collect();
    store.append_audit(drafts).await.unwrap();
    let retention = Retention {
        evidence_until: NOW + secs(1),
        ..FOREVER
    };
    assert_eq!(
        store.prune(retention).await.unwrap(),
        usize::try_from(PRUNE_BATCH).unwrap()
    );
    assert_eq!(store.prune(retention).await.unwrap(), 1);
}
