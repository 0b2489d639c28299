//! A refusal's record does not tell what about the envelope or the CSR was wrong.

use std::collections::{BTreeMap, BTreeSet};

use assay_scep::PkiStatus;
use assay_scep_client::{CaCertificates, DeviceKey, KeyType};
use assay_store::AuditQuery;
use clap::ValueEnum as _;

use super::*;
use crate::generate::enrol;
use crate::refusals::{Cause, Forge};

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_of_refusal_has_the_same_record() {
    let made = made(0, 0).await;
    let own = &made.own;
    let signer = own.start().await.unwrap();
    // There is room for a record of each.
    own.clock.forward(DAY);
    let ca = CaCertificates {
        encryption: own.ca.ra_enc.der().unwrap(),
        signature: own.ca.ra_sign.der().unwrap(),
        ca: own.ca.ca.der().unwrap(),
    };
    let causes = Cause::value_variants();
    let key = || DeviceKey::generate(KeyType::Rsa(2_048)).unwrap();
    let forge = Forge::new(ca, vec![key(), key()]).unwrap();
    let mut sent: BTreeMap<String, Cause> = BTreeMap::new();
    for (cause, attempts) in forge.attempts(causes).await.unwrap() {
        // Few enough for the budget of their class.
        for attempt in attempts.into_iter().take(3) {
            let reply = enrol::answer(signer.enrolment(), attempt.message.to_vec());
            assert_eq!(reply.await.unwrap().status(), PkiStatus::Failure);
            sent.insert(attempt.transaction_id, cause);
        }
    }
    own.stop(&signer).await.unwrap();
    drop(signer);

    let store = own.open().unwrap();
    let mut recorded = BTreeSet::new();
    let mut forms = BTreeSet::new();
    for row in store.list_audit(AuditQuery::default()).await.unwrap().rows {
        let record: serde_json::Value = serde_json::from_slice(&row.record).unwrap();
        let Some(transaction) = record["transaction_id"].as_str() else {
            continue;
        };
        assert!(recorded.insert(transaction.to_owned()));
        let mut members = record.as_object().unwrap().clone();
        for own in [
            "transaction_id",
            "request_id",
            "request_digest",
            "sequence",
            "wall_ms",
            "monotonic_ms",
        ] {
            members.remove(own);
        }
        forms.insert(serde_json::Value::from(members).to_string());
    }
    assert_eq!(recorded, sent.into_keys().collect(), "each is recorded");
    assert_eq!(forms.len(), 1, "{forms:#?}");
}
