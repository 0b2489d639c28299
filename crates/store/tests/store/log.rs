use assay_audit::tree::{Frontier, verify_consistency, verify_inclusion};
use assay_audit::{Event, Issuance};
use assay_store::{LogFault, NewCheckpoint, Store, StoreError};
use assay_types::Hash;
use tokio::task::JoinSet;

use crate::support::*;

/// Records of the larger logs: many tiles, and a tail that fills none.
const MANY: u64 = 10_000;
const TILE: u64 = 256;

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
async fn a_proof_reads_its_own_tile_one_above_and_the_records_that_fill_none() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    append(store, MANY).await;
    store.extend_tree(MANY).await.unwrap();
    let root = frontier(store, MANY).await.root();
    let leaf = store.leaf_hashes(5_000, 1).await.unwrap()[0];
    let sqlite = fixture.sqlite();
    let tiles: Vec<(u32, u32)> = sqlite
        .prepare("SELECT level, count(*) FROM log_tiles GROUP BY level ORDER BY level")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(tiles, [(0, 39), (1, 1)]);

    // All else goes: what a proof of record 5000 needs stays.
    sqlite
        .execute_batch(
            "DROP TRIGGER audit_is_never_cut;
             DELETE FROM audit WHERE sequence <= 39 * 256;
             DELETE FROM log_tiles WHERE level = 0 AND position <> 5000 / 256;",
        )
        .unwrap();
    let proof = store.inclusion_proof(5_000, MANY).await.unwrap();
    verify_inclusion(&leaf, 5_000, MANY, &proof, &root).unwrap();
    assert!(store.inclusion_proof(5_000 - TILE, MANY).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_touched_holds_at_every_stage() {
    let mut fixture = Fixture::new();
    let empty = fixture.store.check_log().await.unwrap().unwrap();
    assert_eq!((empty.records, empty.checkpoint), (0, None));
    let mut size = 0;
    for more in [1, 254, 1, 1, 600] {
        append(&fixture.store, more).await;
        size += more;
        let before = fixture.store.check_log().await.unwrap().unwrap();
        assert_eq!(before.records, size);
        assert_eq!(before.frontier.size(), size - more);
        checkpoint(&fixture.store, size).await;
        fixture = fixture.reopen();
        let state = fixture.store.check_log().await.unwrap().unwrap();
        let newest = state.checkpoint.unwrap().checkpoint;
        assert_eq!(newest, of(&frontier(&fixture.store, size).await));
        assert_eq!(state.frontier.to_bytes(), newest.frontier);
    }
}

const UNGUARDED: &str = "DROP TRIGGER audit_is_never_cut; DROP TRIGGER audit_is_never_changed;";

/// A record of another content with the leaf hash that goes with it.
const FORGED: &[u8] = b"{\"kind\":\"forged\"}";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_altered_is_named() {
    let leaf = hex::encode_upper(Hash::of_leaf(FORGED).as_bytes());
    let forge = |sequence: u64| {
        format!(
            "UPDATE audit SET record = x'{}', leaf_hash = x'{leaf}' WHERE sequence = {sequence}",
            hex::encode(FORGED)
        )
    };
    let cases = [
        (
            "UPDATE audit SET record = x'7b226b696e64223a2278227d' WHERE sequence = 300".to_owned(),
            LogFault::Record(300),
        ),
        // After the checkpoint as well.
        (
            "UPDATE audit SET record = x'7b226b696e64223a2278227d' WHERE sequence = 608".to_owned(),
            LogFault::Record(608),
        ),
        (forge(300), LogFault::Tree(300)),
        (
            forge(600),
            LogFault::Root {
                size: 605,
                sound: 512,
            },
        ),
        (
            "DELETE FROM audit WHERE sequence = 1".to_owned(),
            LogFault::Missing(1),
        ),
        (
            "DELETE FROM audit WHERE sequence = 607".to_owned(),
            LogFault::Missing(607),
        ),
        (
            "DELETE FROM audit WHERE sequence > 600".to_owned(),
            LogFault::Cut {
                size: 605,
                records: 600,
            },
        ),
        (
            "UPDATE log_tiles SET hashes = zeroblob(8192) WHERE level = 0 AND position = 1"
                .to_owned(),
            LogFault::Tree(257),
        ),
        (
            "UPDATE log_tiles SET hashes = zeroblob(64) WHERE level = 1".to_owned(),
            LogFault::Node {
                first: 1,
                last: 256,
            },
        ),
        (
            "DELETE FROM log_tiles WHERE level = 1".to_owned(),
            LogFault::Node {
                first: 1,
                last: 256,
            },
        ),
        // With all checkpoints gone the tree still tells of more.
        (
            "DELETE FROM checkpoints; DELETE FROM audit WHERE sequence > 500".to_owned(),
            LogFault::Cut {
                size: 512,
                records: 500,
            },
        ),
        (
            "UPDATE checkpoints SET root = zeroblob(32) WHERE size = 605".to_owned(),
            LogFault::Root {
                size: 605,
                sound: 512,
            },
        ),
    ];
    for (alteration, wanted) in cases {
        let fixture = Fixture::new();
        append(&fixture.store, 605).await;
        checkpoint(&fixture.store, 605).await;
        append(&fixture.store, 5).await;
        let sqlite = fixture.sqlite();
        sqlite.execute_batch(UNGUARDED).unwrap();
        sqlite.execute_batch(&alteration).unwrap();
        let fault = fixture.store.check_log().await.unwrap().unwrap_err();
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
    let count: u32 = fixture
        .sqlite()
        .query_row("SELECT count(*) FROM checkpoints", [], |row| row.get(0))
        .unwrap();
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
