//! What an export is made of: records with what is kept beside them, and no more than the log tells.

use assay_audit::{Attachment, Event, Issuance};
use assay_store::ExportExtent;
use assay_types::Hash;

use crate::support::{Fixture, NOW, clock_step, digest, draft, request, serial};

fn issued(number: u64) -> Event {
    Event::RequestIssued {
        request: request(),
        issuance: Issuance {
            serial: serial(number).to_string().as_str().into(),
            tbs_digest: digest("tbs"),
            key_id: "01".into(),
            token_serial: "t".into(),
        },
        certificate_sha256: digest("certificate"),
        renewal_of: None,
        recovered: false,
    }
}

#[tokio::test]
async fn a_row_has_its_evidence_and_the_certificate_that_it_tells_of() {
    let fixture = Fixture::new();
    fixture.issued(1).await;
    let attachment = Attachment {
        salt: [7; 32],
        content: b"{}".to_vec(),
        keep_until: NOW,
    };
    let refused = Event::RequestRefused {
        request: request(),
        fail_info: 2,
        rule: "SUB-01".into(),
        detail: "".into(),
        evidence: None,
    };
    let drafts = vec![
        draft(issued(1)),
        draft(refused).with_evidence(attachment.clone()),
        draft(issued(99)),
    ];
    let last = fixture.store.append_audit(drafts).await.unwrap();

    let rows = fixture.store.export_rows(last - 3, last, 0).await.unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].certificate.as_deref(), Some(&b"certificate 1"[..]));
    assert_eq!(rows[0].evidence, None);
    assert_eq!(rows[1].evidence, Some(([7; 32], b"{}".to_vec())));
    assert_eq!(rows[1].certificate, None);
    assert_eq!(
        rows[2].certificate, None,
        "of a serial that was never issued"
    );
    let all = fixture.store.audit_after(last - 3, 0).await.unwrap();
    for (row, record) in rows.iter().zip(&all) {
        assert_eq!(
            (row.sequence, row.record.as_ref()),
            (record.sequence, Some(&record.record))
        );
    }
    let some = fixture.store.export_rows(0, last - 1, 2).await.unwrap();
    assert_eq!(some.len(), 2, "as many as asked for");
}

#[tokio::test]
async fn what_came_after_the_checkpoint_is_not_told() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.store.export_extent(0).await.unwrap(),
        ExportExtent::default()
    );
    fixture.fleet(&["a", "b"]).await;
    let change = |sequence| {
        draft(Event::InventoryChanged {
            actor: "assay://operator/a".into(),
            profile: "fleet".into(),
            change: assay_audit::InventoryChange::Add,
            names: 2,
            inventory_sequence: sequence,
            inventory_hash: digest("head"),
        })
    };
    let first = fixture.store.append_audit(vec![change(1)]).await.unwrap();
    let last = fixture
        .store
        .append_audit(vec![clock_step(), change(2)])
        .await
        .unwrap();
    let told = fixture.store.export_extent(first).await.unwrap();
    assert_eq!(told.inventories, [("fleet".to_owned(), 1)]);
    assert_eq!(told.policy, 0);
    let told = fixture.store.export_extent(last).await.unwrap();
    assert_eq!(told.inventories, [("fleet".to_owned(), 2)]);

    let changes = fixture
        .store
        .inventory_changes("fleet".to_owned(), 0, 9, 1)
        .await
        .unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].sequence, 1);
    assert!(
        changes[0].content.contains("\"a\""),
        "{}",
        changes[0].content
    );
    let chained = [&[0; 32][..], changes[0].content.as_bytes()].concat();
    assert_eq!(Hash::of(&chained), changes[0].hash);
}
