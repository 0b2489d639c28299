//! Records that a backup lacked: the tree has their hashes, the file has nothing of them, and nobody can claim otherwise.

use assay_store::{CertificateStatus, CrlReason};
use assay_store::{
    LogFault, RecoverOutcome, RecoveredCertificate, RecoveredCrl, Recovery, RevokedEntry,
    StoreError,
};
use assay_types::Hash;

use crate::support::*;

const CA: &str = "ca";

fn recovery(restored: u64, lost: u64) -> Recovery {
    Recovery {
        restored,
        lost: (0..lost).map(|n| Hash::of_leaf(&n.to_be_bytes())).collect(),
        statement: b"{}".to_vec(),
        approvals: vec![b"a".to_vec(), b"b".to_vec()],
        policy_floor: 7,
        certificates: Vec::new(),
        crls: Vec::new(),
        challenge_check: Hash::of(b"key"),
        at: NOW,
        actor: "assay://signer/recovery".to_owned(),
        reason: "recovered".to_owned(),
    }
}

async fn records(fixture: &Fixture) -> u64 {
    fixture.store.counts().await.unwrap().audit_records
}

#[tokio::test]
async fn lost_records_have_a_leaf_and_no_row_and_the_log_holds_over_restarts() {
    let mut fixture = Fixture::new();
    fixture.issued(1).await;
    let restored = records(&fixture).await;
    // More than a tile.
    let recovered = fixture
        .store
        .recover(recovery(restored, 300), |_| clock_step());
    assert!(matches!(
        recovered.await.unwrap(),
        RecoverOutcome::Recovered(_)
    ));
    let size = restored + 301;
    assert_eq!(records(&fixture).await, size);
    fixture.store.extend_tree(size).await.unwrap();
    for _ in 0..2 {
        let log = fixture.store.check_log(size).await.unwrap().unwrap();
        assert_eq!((log.records, log.asked.unwrap().size()), (size, size));
        let rows = fixture.store.export_rows(0, size, 0).await.unwrap();
        let absent = rows.iter().filter(|row| row.record.is_none());
        assert_eq!((rows.len() as u64, absent.count()), (size, 300));
        let after = fixture.store.audit_after(restored - 1, 302).await.unwrap();
        assert_eq!(after.len(), 2, "those beside the lost ones");
        let all = fixture.store.recoveries().await.unwrap();
        assert_eq!((all[0].sequence, all[0].restored), (size, restored));
        assert_eq!(all[0].approvals, [b"a".to_vec(), b"b".to_vec()]);
        fixture.holds().await;
        fixture = fixture.reopen();
    }
    // Another number of records than the statement says.
    let other = fixture
        .store
        .recover(recovery(restored, 1), |_| clock_step());
    let records = size;
    assert_eq!(other.await.unwrap(), RecoverOutcome::OtherState { records });
}

#[tokio::test]
async fn a_row_in_the_place_of_a_lost_record_is_refused_and_so_is_a_gap_elsewhere() {
    let fixture = Fixture::new();
    fixture.issued(1).await;
    let restored = records(&fixture).await;
    let recovered = fixture
        .store
        .recover(recovery(restored, 3), |_| clock_step());
    recovered.await.unwrap();
    let place = restored + 2;
    let insert = "INSERT INTO audit (sequence, record) VALUES (?1, x'7b226b696e64223a2278227d')";
    fixture
        .sqlite()
        .execute(insert, [place.cast_signed()])
        .unwrap();
    let fault = fixture.store.check_log(0).await.unwrap().unwrap_err();
    assert_eq!(fault, LogFault::Foreign(place));
    let altered = |error| assert!(matches!(error, StoreError::Altered(_)), "{error:?}");
    altered(fixture.store.audit_after(0, 0).await.unwrap_err());
    altered(fixture.store.export_rows(0, place, 0).await.unwrap_err());

    let delete = "DELETE FROM audit WHERE sequence = ?1";
    fixture
        .sqlite()
        .execute(delete, [place.cast_signed()])
        .unwrap();
    fixture.store.check_log(0).await.unwrap().unwrap();
    fixture
        .sqlite()
        .execute(delete, [restored.cast_signed()])
        .unwrap();
    let fault = fixture.store.check_log(0).await.unwrap().unwrap_err();
    assert_eq!(fault, LogFault::Missing(restored));
}

#[tokio::test]
async fn numbers_of_crls_and_versions_continue_and_a_lost_certificate_is_as_its_crl_says() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let certificate = |number, der: Option<&[u8]>| RecoveredCertificate {
        serial: serial(number),
        ca_id: CA.to_owned(),
        subject: format!("CN={number}"),
        sans: Vec::new(),
        not_before: NOW,
        not_after: NOW + 24 * HOUR,
        tbs_digest: digest("tbs"),
        der: der.map(<[u8]>::to_vec),
        names: Vec::new(),
    };
    let mut recovery = recovery(0, 0);
    recovery.certificates = vec![
        certificate(1, Some(b"one")),
        certificate(2, Some(b"two")),
        certificate(3, None),
    ];
    recovery.crls = vec![RecoveredCrl {
        ca_id: CA.to_owned(),
        number: 40,
        this_update: NOW,
        listed: vec![RevokedEntry {
            serial: serial(2),
            revoked_at: NOW - HOUR,
            reason: CrlReason::KeyCompromise,
        }],
        released: Vec::new(),
    }];
    store.recover(recovery, |_| clock_step()).await.unwrap();
    assert_eq!(store.next_crl_number(CA.to_owned()).await.unwrap(), 41);
    assert_eq!(store.next_policy_number().await.unwrap(), 8);
    let status = async |number| fixture.certificate(number).await.status();
    assert_eq!(status(1).await, CertificateStatus::Recovered);
    assert_eq!(status(2).await, CertificateStatus::Revoked);
    // There may be a signature that is in no journal.
    assert_eq!(status(3).await, CertificateStatus::Revoked);
    let listed = store.revoked_entries(CA.to_owned(), None).await.unwrap();
    let listed: Vec<_> = listed
        .entries
        .into_iter()
        .map(|entry| (entry.serial, entry.revoked_at, entry.reason))
        .collect();
    assert_eq!(
        listed,
        [
            (serial(2), NOW - HOUR, CrlReason::KeyCompromise),
            (serial(3), NOW, CrlReason::Unspecified)
        ]
    );
}
