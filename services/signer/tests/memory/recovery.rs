//! What a crash or an outage leaves open is finished with the same serial number, or given up.

use std::time::Duration;

use assay_hsm::OperationError;
use assay_store::CertificateState;

use crate::support::{Answer, DEVICES, Device, Message, PKCS_REQ, Stand, changed, subject};

/// From one attempt at an intent to the next, at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A signer that died after the intent of `pump-1`, which was not signed.
async fn interrupted() -> (Stand, Device, Vec<u8>, Message) {
    let stand = Stand::new().await;
    let device = Device::new();
    let name = subject("pump-1");
    let challenge = stand.challenge(&name).await;
    let csr = device.csr(&name, Some(&challenge));
    let message = device.message(&stand.ca, PKCS_REQ, &csr).await;
    stand.break_ca_key(true);
    assert_eq!(stand.send(&device, &message).await, Answer::Busy);
    assert_eq!(stand.store.counts().await.unwrap().open_intents, 1);
    (stand, device, csr, message)
}

#[tokio::test]
async fn a_new_signer_finishes_an_open_intent_with_its_serial_and_the_device_collects_it() {
    let (mut stand, device, csr, message) = interrupted().await;
    let open = stand.store.open_intents(None).await.unwrap();
    stand.break_ca_key(false);
    stand.restart().await.unwrap();

    assert_eq!(stand.store.counts().await.unwrap().open_intents, 0);
    let issued = stand.last("request.issued").await;
    assert_eq!(issued["serial"], open[0].serial.to_string());
    assert_eq!(issued["recovered"], true);
    // The same bytes, and the same CSR in a new message.
    let certificate = stand.send(&device, &message).await.certificate();
    assert!(stand.ca.has_issued(&certificate).unwrap());
    assert_eq!(stand.row(&certificate).await.serial, open[0].serial);
    let again = device.message(&stand.ca, PKCS_REQ, &csr).await;
    assert_eq!(
        stand.send(&device, &again).await,
        Answer::Issued(certificate)
    );
    assert_eq!(stand.records("request.issued").await.len(), 1);
}

#[tokio::test]
async fn while_the_token_is_away_an_intent_stays_open_and_is_finished_without_a_restart() {
    let (stand, device, _, message) = interrupted().await;
    stand.after(Duration::from_secs(60)).await;
    assert_eq!(stand.store.counts().await.unwrap().open_intents, 1);
    assert_eq!(stand.send(&device, &message).await, Answer::Busy);
    stand.break_ca_key(false);
    // The second failure in a row, so that the next attempt waits.
    stand.after(Duration::from_secs(2)).await;
    stand.send(&device, &message).await.certificate();
}

#[tokio::test]
async fn an_intent_past_its_time_is_given_up_revoked_and_its_challenge_is_good_once_more() {
    let (stand, device, csr, _) = interrupted().await;
    let open = stand.store.open_intents(None).await.unwrap();
    let serial = open[0].serial.clone();
    stand.after(Duration::from_secs(3_600)).await;
    let row = stand.store.find_certificate(serial.clone()).await.unwrap();
    assert_eq!(row.unwrap().state, CertificateState::Abandoned);
    let abandoned = stand.last("intent.abandoned").await;
    assert_eq!(abandoned["serial"], serial.to_string());

    assert!(stand.records("request.issued").await.is_empty());

    // The same CSR, with the challenge of what was given up, in a new message.
    stand.break_ca_key(false);
    let again = device.message(&stand.ca, PKCS_REQ, &csr).await;
    let certificate = stand.send(&device, &again).await.certificate();
    assert_ne!(stand.row(&certificate).await.serial, serial);
    assert_eq!(stand.records("request.issued").await.len(), 1);
    stand.after(Duration::from_secs(86_400)).await;
    let listed = stand
        .crl()
        .await
        .tbs_cert_list
        .revoked_certificates
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].serial_number.as_bytes(), serial.as_bytes());
}

#[tokio::test]
async fn a_signer_refuses_an_hsm_service_with_another_journal_than_its_log_names() {
    let mut stand = Stand::new().await;
    // Checkpoints of before name none.
    stand.set_journal(b"first");
    stand.restart().await.unwrap();
    stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.tend().await;
    stand.restart().await.unwrap();

    stand.set_journal(b"second");
    let refused = stand.restart().await.unwrap_err().to_string();
    assert!(refused.contains("another journal"), "{refused}");
    stand.set_journal(b"first");
    stand.restart().await.unwrap();
}

#[tokio::test]
async fn an_hsm_service_that_does_not_sign_at_present_is_an_outage_and_the_intent_keeps_its_time() {
    let (stand, device, _, message) = interrupted().await;
    let suspended = OperationError::NotNow {
        reason: "the CA is suspended".to_owned(),
    };
    stand.token.set_refusal(Some(suspended));
    stand.after(Duration::from_secs(60)).await;
    assert_eq!(stand.send(&device, &message).await, Answer::Busy);
    let other = Device::new();
    let challenge = stand.challenge(&subject("pump-2")).await;
    let second = other
        .pkcs_req(&stand.ca, &subject("pump-2"), &challenge)
        .await;
    assert_eq!(stand.send(&other, &second).await, Answer::Busy);
    assert_eq!(stand.store.counts().await.unwrap().open_intents, 2);
    assert!(stand.records("intent.abandoned").await.is_empty());

    // The first one's time is over; the second one is finished as soon as there are signatures again.
    stand.after(Duration::from_secs(3_600 - 60)).await;
    let abandoned = stand.records("intent.abandoned").await;
    assert_eq!(abandoned.len(), 1);
    let detail = abandoned[0]["detail"].as_str().unwrap();
    assert!(
        detail.ends_with("does not sign at present: the CA is suspended"),
        "{detail}"
    );
    stand.token.set_refusal(None);
    stand.after(LONGEST_WAIT).await;
    stand.send(&other, &second).await.certificate();
}

#[tokio::test]
async fn an_intent_that_the_hsm_service_refuses_for_good_is_given_up_at_once() {
    let (stand, ..) = interrupted().await;
    let refused = OperationError::Refused {
        reason: "no form fits".to_owned(),
    };
    stand.token.set_refusal(Some(refused));
    stand.after(Duration::from_secs(1)).await;
    assert_eq!(stand.store.counts().await.unwrap().open_intents, 0);
    let abandoned = stand.last("intent.abandoned").await;
    let detail = abandoned["detail"].as_str().unwrap();
    assert!(detail.ends_with("refused: no form fits"), "{detail}");
}

#[tokio::test]
async fn an_intent_that_never_reached_the_journal_is_given_up_and_on_no_crl() {
    let stand = Stand::new().await;
    let (device, name) = (Device::new(), subject("pump-1"));
    let challenge = stand.challenge(&name).await;
    let message = device.pkcs_req(&stand.ca, &name, &challenge).await;
    let suspended = OperationError::NotNow {
        reason: "suspended".to_owned(),
    };
    stand.token.set_refusal(Some(suspended));
    assert_eq!(stand.send(&device, &message).await, Answer::Busy);
    let open = stand.store.open_intents(None).await.unwrap().remove(0);
    stand.clock.advance(Duration::from_secs(2 * 3_600));
    // The service signs CRLs during a suspension.
    let _ = stand.try_to_tend().await;
    let row = stand.store.find_certificate(open.serial.clone()).await;
    let row = row.unwrap().unwrap();
    assert_eq!(row.state, CertificateState::Abandoned);
    assert_eq!(row.revoked_at, None);

    stand.token.set_refusal(None);
    stand.after(Duration::from_secs(86_400)).await;
    let listed = stand.crl().await.tbs_cert_list.revoked_certificates;
    assert!(listed.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn while_the_result_cannot_be_stored_one_signature_is_asked_for() {
    let stand = Stand::new().await;
    let (device, name) = (Device::new(), subject("pump-1"));
    let challenge = stand.challenge(&name).await;
    let message = device.pkcs_req(&stand.ca, &name, &challenge).await;
    let before = stand.tbs_signatures();
    stand.refuse_rows("certificate_contents", true).await;
    assert_eq!(stand.send(&device, &message).await, Answer::Busy);
    for _ in 0..30 {
        stand.after(Duration::from_secs(1)).await;
    }
    assert_eq!(stand.store.counts().await.unwrap().open_intents, 1);
    assert_eq!(stand.tbs_signatures(), before + 1);

    stand.refuse_rows("certificate_contents", false).await;
    stand.after(LONGEST_WAIT).await;
    stand.send(&device, &message).await.certificate();
    assert_eq!(stand.tbs_signatures(), before + 1);
    assert_eq!(stand.records("request.issued").await.len(), 1);
}

#[tokio::test]
async fn a_token_that_gives_no_answer_is_asked_less_and_less_often() {
    let (stand, ..) = interrupted().await;
    let before = stand.token.certificate_requests();
    for _ in 0..120 {
        stand.after(Duration::from_secs(1)).await;
    }
    // After 1, 2, 4, 8, 16 and 32 s, and 60 s later it is not due yet.
    assert_eq!(stand.token.certificate_requests() - before, 6);
}

#[tokio::test]
async fn a_tbs_that_its_record_does_not_name_is_not_signed() {
    let (mut stand, ..) = interrupted().await;
    let open = stand.store.open_intents(None).await.unwrap().remove(0);
    let mut other = open.tbs.clone();
    *other.last_mut().unwrap() ^= 1;
    let digest = openssl::sha::sha256(&other).to_vec();
    let sql = "UPDATE certificates SET tbs = ?1, tbs_digest = ?2 WHERE state = 'intent'";
    let values = vec![other.into(), digest.into()];
    stand.store.alter(sql.to_owned(), values).await.unwrap();
    stand.break_ca_key(false);
    let before = stand.tbs_signatures();
    stand.restart().await.unwrap();
    assert_eq!(stand.tbs_signatures(), before);
    let abandoned = stand.last("intent.abandoned").await;
    let detail = abandoned["detail"].as_str().unwrap();
    assert!(
        detail.contains("differs from what its intent.opened names"),
        "{detail}"
    );
}

#[tokio::test]
async fn an_intent_without_the_evidence_of_its_permit_is_not_signed() {
    let (mut stand, ..) = interrupted().await;
    let sql = "DELETE FROM file.evidence".to_owned();
    assert_eq!(stand.store.alter_file(sql, Vec::new()).await.unwrap(), 1);
    stand.break_ca_key(false);
    let before = stand.tbs_signatures();
    stand.restart().await.unwrap();
    assert_eq!(stand.tbs_signatures(), before);
    assert_eq!(stand.store.counts().await.unwrap().open_intents, 1);
}

/// The policy may have changed since: what counts is the version that permitted it.
#[tokio::test]
async fn an_intent_is_finished_under_a_policy_that_is_in_force_no_more() {
    let (mut stand, device, _, message) = interrupted().await;
    let profile = changed(DEVICES, "default = true\n[enrolment]\nname_per_hour = 7");
    let proposed = stand.propose(&[("devices", profile)]).await;
    stand.activate(&proposed).await.unwrap();
    stand.break_ca_key(false);
    stand.restart().await.unwrap();
    stand.send(&device, &message).await.certificate();
}
