use assay_audit::tree::{Frontier, verify_consistency, verify_inclusion};
use assay_audit::{Event, Issuance};
use assay_store::{LogFault, NewCheckpoint, Store, StoreError};
use assay_types::Hash;
use tokio::task::JoinSet;

use crate::support::*;

/// Records of the larger logs: many tiles, and a tail that fills none.
const MANY: u64 = 10_000;

async fn append(store: &Store, records: u64) {
    for begin in (0..records).step_by(1000) {
        let batch = (begin..records.min(begin + 1000))
            .map(|_| clock_step())
            .collect();
        store.append_audit(batch).await.unwrap();
    }
}

/// The tree of the first `size` records, from their leaf hashes alone.
async fn frontier(store: &Store, size: u64) -> Frontier {
    let mut frontier = Frontier::new();
    let leaves = store.leaf_hashes(0, u32::MAX).await.unwrap();
    for leaf in leaves.into_iter().take(usize::try_from(size).unwrap()) {
        frontier.append(leaf);
    }
    assert_eq!(frontier.size(), size);
    frontier
}

async fn checkpoint(store: &Store, size: u64) {
    store.extend_tree(size).await.unwrap();
    let frontier = frontier(store, size).await;
    store.store_checkpoint(of(&frontier)).await.unwrap();
}

fn of(frontier: &Frontier) -> NewCheckpoint {
    NewCheckpoint {
        size: frontier.size(),
        root: frontier.root(),
        frontier: frontier.to_bytes(),
        note: format!("note of {}", frontier.size()),
        signed_at: NOW,
    }
}

async fn holds_inclusion(store: &Store, index: u64, size: u64, root: &Hash) {
    let leaf = store.leaf_hashes(index, 1).await.unwrap()[0];
    let proof = store.inclusion_proof(index, size).await.unwrap();
    verify_inclusion(&leaf, index, size, &proof, root).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_of_ten_thousand_records_verify() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    append(store, MANY).await;
    store.extend_tree(4_000).await.unwrap();
    store.extend_tree(MANY).await.unwrap();
    let sizes = [
        1, 2, 255, 256, 257, 511, 512, 4_000, 8_191, 9_984, 9_999, MANY,
    ];
    for size in sizes {
        let root = frontier(store, size).await.root();
        for index in [0, 1, 255, 256, 3_999, 9_983, 9_984, 9_998, MANY - 1] {
            if index < size {
                holds_inclusion(store, index, size, &root).await;
            }
        }
        for from in sizes.into_iter().filter(|from| *from <= size) {
            let earlier = frontier(store, from).await.root();
            let proof = store.consistency_proof(from, size).await.unwrap();
            verify_consistency(from, &earlier, size, &root, &proof).unwrap();
        }
    }
    for (index, size) in [(MANY, MANY), (0, MANY + 1)] {
        let refused = store.inclusion_proof(index, size).await;
        assert!(matches!(refused, Err(StoreError::NotInTree)), "{index}");
    }
    for (from, to) in [(0, MANY), (2, 1), (1, 2 * MANY)] {
        let refused = store.consistency_proof(from, to).await;
        assert!(matches!(refused, Err(StoreError::NotInTree)), "{from}");
    }
    let refused = store.extend_tree(2 * MANY).await;
    assert!(matches!(refused, Err(StoreError::NotInTree)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_needs_nothing_of_the_file() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    append(store, MANY).await;
    store.extend_tree(MANY).await.unwrap();
    let root = frontier(store, MANY).await.root();
    let leaf = store.leaf_hashes(5_000, 1).await.unwrap()[0];
    // The tree is in memory: no row of the file has a part in it.
    fixture
        .sqlite()
        .execute_batch("DELETE FROM audit; DELETE FROM commits")
        .unwrap();
    let proof = store.inclusion_proof(5_000, MANY).await.unwrap();
    verify_inclusion(&leaf, 5_000, MANY, &proof, &root).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_touched_holds_at_every_stage() {
    let mut fixture = Fixture::new();
    let empty = fixture.store.check_log(0).await.unwrap().unwrap();
    assert_eq!((empty.records, empty.checkpoint), (0, None));
    let mut size = 0;
    for more in [1, 254, 1, 1, 600] {
        append(&fixture.store, more).await;
        size += more;
        let before = fixture.store.check_log(0).await.unwrap().unwrap();
        assert_eq!(before.records, size);
        assert_eq!(before.frontier.size(), size - more);
        checkpoint(&fixture.store, size).await;
        fixture = fixture.reopen();
        let state = fixture.store.check_log(0).await.unwrap().unwrap();
        let newest = state.checkpoint.unwrap().checkpoint;
        assert_eq!(newest, of(&frontier(&fixture.store, size).await));
        assert_eq!(state.frontier.to_bytes(), newest.frontier);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_altered_is_named() {
    let cases = [
        (
            "UPDATE audit SET record = x'7b226b696e64223a2278227d' WHERE sequence = 300",
            LogFault::Record(300),
        ),
        // After the checkpoint as well.
        (
            "UPDATE audit SET record = x'7b226b696e64223a2278227d' WHERE sequence = 608",
            LogFault::Record(608),
        ),
        ("DELETE FROM audit WHERE sequence = 1", LogFault::Missing(1)),
        (
            "DELETE FROM audit WHERE sequence = 607",
            LogFault::Missing(607),
        ),
        (
            "DELETE FROM audit WHERE sequence > 600",
            LogFault::Cut {
                size: 610,
                records: 600,
            },
        ),
        (
            "INSERT INTO audit (sequence, record) VALUES (611, x'7b226b696e64223a2278227d')",
            LogFault::Foreign(611),
        ),
    ];
    for (alteration, wanted) in cases {
        let fixture = Fixture::new();
        append(&fixture.store, 605).await;
        checkpoint(&fixture.store, 605).await;
        append(&fixture.store, 5).await;
        fixture.sqlite().execute_batch(alteration).unwrap();
        let fixture = fixture.reopen();
        let fault = fixture.store.check_log(0).await.unwrap().unwrap_err();
        assert_eq!(fault, wanted, "{alteration}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cosignatures_belong_to_a_checkpoint_and_one_to_a_witness() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    assert_eq!(store.latest_checkpoint().await.unwrap(), None);
    append(store, 3).await;
    checkpoint(store, 2).await;
    checkpoint(store, 3).await;
    let add = |size, witness: &str, line: &str| {
        store.add_cosignature(size, witness.to_owned(), line.to_owned())
    };
    assert_eq!(add(1, "w", "none such").await.unwrap(), None);
    assert_eq!(add(2, "w", "first").await.unwrap(), Some(1));
    assert_eq!(add(2, "v", "other").await.unwrap(), Some(2));
    assert_eq!(add(2, "w", "again").await.unwrap(), Some(2));

    let latest = store.latest_checkpoint().await.unwrap().unwrap();
    assert_eq!(latest.checkpoint.size, 3);
    assert!(latest.cosignatures.is_empty());
    let cosigned = store.latest_cosigned_checkpoint(2).await.unwrap().unwrap();
    assert_eq!(cosigned.checkpoint.size, 2);
    assert_eq!(cosigned.cosignatures, ["other", "again"]);
    assert_eq!(store.checkpoint(2).await.unwrap(), Some(cosigned));
    assert_eq!(store.latest_cosigned_checkpoint(3).await.unwrap(), None);
    assert_eq!(store.checkpoint(1).await.unwrap(), None);
}

/// A caller who did not wait for the first may come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_the_same_tree_takes_the_place_of_the_first() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    append(store, 3).await;
    let tree = frontier(store, 3).await;
    store.store_checkpoint(of(&tree)).await.unwrap();
    let again = NewCheckpoint {
        note: "again".to_owned(),
        ..of(&tree)
    };
    store.store_checkpoint(again).await.unwrap();
    let latest = store.latest_checkpoint().await.unwrap().unwrap();
    assert_eq!(latest.checkpoint.note, "again");
    let other = NewCheckpoint {
        root: Hash::of(b"another"),
        note: "other".to_owned(),
        ..of(&tree)
    };
    store.store_checkpoint(other).await.unwrap();
    let latest = store.latest_checkpoint().await.unwrap().unwrap();
    assert_eq!(
        (latest.checkpoint.root, latest.checkpoint.note),
        (tree.root(), "again".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn old_checkpoints_go_unless_a_witness_cosigned_them() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let new = |size| NewCheckpoint {
        size,
        ..of(&Frontier::from_bytes(1, &[0; 32]).unwrap())
    };
    store.store_checkpoint(new(5)).await.unwrap();
    let line = store.add_cosignature(5, "w".to_owned(), "line".to_owned());
    assert_eq!(line.await.unwrap(), Some(1));
    let mut jobs = JoinSet::new();
    for size in (1..=700).filter(|size| *size != 5) {
        let store = store.clone();
        jobs.spawn(async move { store.store_checkpoint(new(size)).await.unwrap() });
    }
    jobs.join_all().await;
    let mut count = 0;
    for size in 1..=700 {
        count += usize::from(store.checkpoint(size).await.unwrap().is_some());
    }
    assert_eq!(count, 601);
    assert!(store.checkpoint(5).await.unwrap().is_some());
    assert!(store.checkpoint(100).await.unwrap().is_none());
    assert!(store.checkpoint(101).await.unwrap().is_some());
    for (size, nearest) in [
        (1, (None, Some(5))),
        (50, (Some(5), Some(101))),
        (102, (Some(101), Some(103))),
        (900, (Some(700), None)),
    ] {
        assert_eq!(store.checkpoints_around(size).await.unwrap(), nearest);
    }
}

#[tokio::test]
async fn the_record_of_a_certificate_is_found_by_its_serial_through_an_index() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    for number in 0..3 {
        let issued = Event::RequestIssued {
            request: request(),
            issuance: Issuance {
                serial: serial(number).to_string().into(),
                tbs_digest: Hash::of(b"tbs"),
                key_id: "03".into(),
                token_serial: "1".into(),
            },
            certificate_sha256: Hash::of(b"certificate"),
            renewal_of: None,
            recovered: false,
        };
        store.append_audit(vec![draft(issued)]).await.unwrap();
    }
    let found = store.issued_record(&serial(1)).await.unwrap().unwrap();
    assert_eq!(found.sequence, 2);
    assert_eq!(store.issued_record(&serial(9)).await.unwrap(), None);
    let plan: String = fixture
        .sqlite()
        .query_row(
            "EXPLAIN QUERY PLAN SELECT sequence FROM audit
             WHERE kind = 'request.issued'
             AND json_extract(CAST(record AS TEXT), '$.serial') = 'x'",
            [],
            |row| row.get("detail"),
        )
        .unwrap();
    assert!(plan.contains("USING INDEX issued_records"), "{plan}");
}
