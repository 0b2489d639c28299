use assay_store::{
    CertificateState, CertificateStatus, Consume, CrlReason, ImportOutcome, NewImport, OcspFound,
    PermitOutcome, ReleaseOutcome, RevokeOutcome,
};
use assay_types::{CertIdHash, Hash};

use crate::support::*;

const CA: &str = "ca";

fn import(number: u64) -> NewImport {
    NewImport {
        serial: serial(number),
        ca_id: CA.to_owned(),
        subject: format!("CN={number}"),
        sans: Vec::new(),
        not_before: NOW,
        not_after: NOW + 24 * HOUR,
        tbs_digest: digest("tbs"),
        der: b"certificate".to_vec(),
    }
}

#[tokio::test]
async fn an_imported_certificate_is_revoked_in_the_transaction_that_enters_it() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let records = async || store.counts().await.unwrap().audit_records;
    let before = records().await;
    let audit = || vec![clock_step(), clock_step()];
    let reason = CrlReason::KeyCompromise;
    let imported = store.import_revoked(import(1), reason, NOW, audit());
    assert_eq!(imported.await.unwrap(), ImportOutcome::Imported);
    assert_eq!(records().await, before + 2);
    let row = fixture.certificate(1).await;
    assert_eq!(row.status(), CertificateStatus::Imported);
    assert_eq!(row.state, CertificateState::Imported);
    assert_eq!((row.profile.as_str(), row.policy_hash), ("", None));
    let listed = store
        .revoked_entries(CA.to_owned(), None)
        .await
        .unwrap()
        .entries;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].revoked_at, listed[0].reason), (NOW, reason));

    // It is never entered, revoked, held or released a second time.
    let again = store.import_revoked(import(1), reason, NOW, audit());
    let known = ImportOutcome::Known {
        ca_id: CA.to_owned(),
    };
    assert_eq!(again.await.unwrap(), known);
    for reason in [CrlReason::Superseded, CrlReason::CertificateHold] {
        let revoked = store.revoke(serial(1), reason, NOW, audit()).await.unwrap();
        assert_eq!(revoked, RevokeOutcome::AlreadyRevoked);
    }
    let released = store.release(serial(1), audit()).await.unwrap();
    assert_eq!(released, ReleaseOutcome::NotHeld);
    assert_eq!(records().await, before + 2);
}

#[tokio::test]
async fn an_import_on_hold_or_without_its_records_leaves_nothing() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let hold = CrlReason::CertificateHold;
    let refused = store.import_revoked(import(1), hold, NOW, vec![clock_step()]);
    assert!(refused.await.is_err());
    fixture.break_log();
    let refused = store.import_revoked(import(1), CrlReason::Superseded, NOW, vec![clock_step()]);
    assert!(refused.await.is_err());
    let row = store.find_certificate(serial(1)).await.unwrap();
    assert_eq!(row, None);
}

#[tokio::test]
async fn an_imported_certificate_has_an_ocsp_response_signed_first_and_renews_nothing() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let enabled = store.enable_ocsp(CA.to_owned(), Hash::ZERO, b"responder".to_vec());
    enabled.await.unwrap();
    fixture.issued(2).await;
    let imported = store.import_revoked(import(1), CrlReason::Superseded, NOW, vec![]);
    assert_eq!(imported.await.unwrap(), ImportOutcome::Imported);
    let found = store.find_ocsp(CA.to_owned(), serial(1), CertIdHash::Sha1, NOW);
    assert_eq!(found.await.unwrap(), OcspFound::Waiting);
    let due = store.due_ocsp(CA.to_owned(), NOW, 1).await.unwrap();
    assert_eq!(due[0].serial, serial(1));
    assert!(due[0].changed);
    assert_eq!(due[0].revoked, Some((NOW, CrlReason::Superseded)));

    let renewal = Consume::Renewal {
        old: serial(1),
        revoke_after: None,
        challenge: None,
    };
    let permitted = store.permit(permit(3, renewal)).await.unwrap();
    assert!(
        matches!(permitted, PermitOutcome::OldUnknown),
        "{permitted:?}"
    );
    let census = store.census(CA.to_owned(), NOW).await.unwrap();
    assert_eq!(census.in_force, 1);
}
