//! OCSP: signed by schedule for each certificate, at once on a change of status, and never because somebody asks.

use std::time::Duration;

use assay_proto::v1::OcspHash;
use assay_proto::v1::ocsp_response_reply::Outcome;
use openssl::ocsp::OcspRevokedStatus;

use crate::support::{CertStatus, Device, Setup, Stand, serial, subject};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Unless the configuration says otherwise.
const VALIDITY: Duration = Duration::from_secs(3 * 86_400);

async fn stand(lines: &'static str) -> Stand {
    Stand::with(Setup {
        ocsp: Some(lines),
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn each_certificate_gets_a_response_by_schedule_and_questions_sign_none() {
    let stand = stand("").await;
    let certificate = stand.enrol(&Device::new(), &subject("pump-1")).await;
    let other = stand.enrol(&Device::other(), &subject("pump-2")).await;
    for certificate in [&certificate, &other] {
        let answer = stand.ocsp_of(OcspHash::Sha1, certificate).await;
        assert!(matches!(answer, Outcome::Waiting(_)), "{answer:?}");
    }
    assert_eq!(stand.ocsp_signatures(), 0);

    stand.tend().await;
    let signatures = stand.ocsp_signatures();
    assert_eq!(signatures, 4, "for SHA-1 and for SHA-256");
    for certificate in [&certificate, &other] {
        let (status, this_update, next_update) = stand.ocsp_status(certificate).await;
        assert_eq!(status, CertStatus::Good);
        assert_eq!(this_update, stand.clock.now());
        assert_eq!(next_update, this_update + VALIDITY);
    }
    stand.tend().await;
    assert_eq!(stand.ocsp_signatures(), signatures);
}

#[tokio::test]
async fn a_change_is_signed_before_the_operator_is_answered() {
    let stand = stand("").await;
    let certificate = stand.enrol(&Device::new(), &subject("pump-1")).await;
    let neighbour = stand.enrol(&Device::other(), &subject("pump-2")).await;
    // Whether a response was signed before or not.
    stand
        .revoke(&certificate, "certificate-hold")
        .await
        .unwrap();
    let on_hold = CertStatus::Revoked(OcspRevokedStatus::STATUS_CERTIFICATE_HOLD);
    assert_eq!(stand.ocsp_status(&certificate).await.0, on_hold);
    stand.tend().await;
    stand.clock.advance(HOUR);
    stand.release(&certificate).await.unwrap();
    let (status, this_update, _) = stand.ocsp_status(&certificate).await;
    assert_eq!(status, CertStatus::Good);
    assert_eq!(this_update, stand.clock.now());
    stand.revoke(&certificate, "key-compromise").await.unwrap();
    let compromised = CertStatus::Revoked(OcspRevokedStatus::KEY_COMPROMISE);
    assert_eq!(stand.ocsp_status(&certificate).await.0, compromised);
    assert_eq!(stand.ocsp_status(&neighbour).await.0, CertStatus::Good);
}

/// Until the new response is signed there is none, so that the old status cannot be given out.
#[tokio::test]
async fn a_revocation_withdraws_the_old_response_even_where_no_new_one_can_be_signed() {
    let stand = stand("").await;
    let certificate = stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.tend().await;
    assert_eq!(stand.ocsp_status(&certificate).await.0, CertStatus::Good);
    stand.break_ca_key(true);
    stand.revoke(&certificate, "").await.unwrap_err();
    let answer = stand.ocsp_of(OcspHash::Sha1, &certificate).await;
    assert!(matches!(answer, Outcome::Waiting(_)), "{answer:?}");

    stand.break_ca_key(false);
    stand.tend().await;
    let status = stand.ocsp_status(&certificate).await.0;
    assert!(matches!(status, CertStatus::Revoked(_)), "{status:?}");
}

/// The HSM service signs no status that its last CRL does not agree with. A response that waits for a CRL is signed after it, and
/// until then keeps no other from its turn.
#[tokio::test]
async fn a_change_whose_list_cannot_be_signed_waits_for_it_and_nothing_else_does() {
    let stand = stand("").await;
    let device = stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.revoke(&device, "certificate-hold").await.unwrap();
    stand.tend().await;
    let neighbour = stand.enrol(&Device::other(), &subject("pump-2")).await;
    let signatures = stand.ocsp_signatures();
    let waits = async || {
        stand.tend().await;
        let answer = stand.ocsp_of(OcspHash::Sha1, &device).await;
        assert!(matches!(answer, Outcome::Waiting(_)), "{answer:?}");
    };
    let is_signed_after_the_list = async || {
        stand.break_crl(false);
        stand.after(Duration::from_secs(2)).await;
        stand.ocsp_status(&device).await.0
    };
    stand.break_crl(true);
    stand.release(&device).await.unwrap_err();
    waits().await;
    assert_eq!(stand.ocsp_status(&neighbour).await.0, CertStatus::Good);
    assert_eq!(stand.ocsp_signatures(), signatures + 2);
    assert_eq!(is_signed_after_the_list().await, CertStatus::Good);

    stand.break_crl(true);
    stand.revoke(&device, "key-compromise").await.unwrap_err();
    waits().await;
    let compromised = CertStatus::Revoked(OcspRevokedStatus::KEY_COMPROMISE);
    assert_eq!(is_signed_after_the_list().await, compromised);
}

#[tokio::test]
async fn there_is_no_response_for_an_unknown_serial_another_issuer_or_an_expired_certificate() {
    let stand = stand("").await;
    let certificate = stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.tend().await;
    let ours = stand.ocsp_issuer(OcspHash::Sha1).await.unwrap();
    let known = serial(&certificate);
    let mut other_name = ours.clone();
    other_name.name_hash[0] ^= 1;
    let mut other_key = ours.clone();
    other_key.key_hash[0] ^= 1;
    for (issuer, serial) in [
        (&ours, &[0x12, 0x34][..]),
        (&ours, &[]),
        (&other_name, known.as_bytes()),
        (&other_key, known.as_bytes()),
    ] {
        let answer = stand.ocsp_answer(issuer.clone(), serial).await;
        assert!(matches!(answer, Outcome::Unknown(_)), "{answer:?}");
    }
    let answer = stand.ocsp_answer(ours.clone(), known.as_bytes()).await;
    assert!(matches!(answer, Outcome::Signed(_)), "{answer:?}");
    stand.after(91 * DAY).await;
    let answer = stand.ocsp_answer(ours, known.as_bytes()).await;
    assert!(matches!(answer, Outcome::Unknown(_)), "{answer:?}");
}

#[tokio::test]
async fn a_response_is_replaced_before_it_ends() {
    let stand = stand("").await;
    let certificate = stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.tend().await;
    let first = stand.ocsp_status(&certificate).await.1;
    stand.after(DAY / 2).await;
    assert_eq!(stand.ocsp_status(&certificate).await.1, first, "not yet");
    let mut seen = vec![first];
    for _ in 0..3 {
        stand.after(DAY).await;
        let (_, this_update, next_update) = stand.ocsp_status(&certificate).await;
        assert!(!seen.contains(&this_update), "{seen:?}");
        assert!(next_update > stand.clock.now());
        seen.push(this_update);
    }
}

#[tokio::test]
async fn a_cert_id_of_sha_256_has_no_response_where_that_is_switched_off() {
    let stand = stand("sha256 = false\n").await;
    let certificate = stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.tend().await;
    assert_eq!(stand.ocsp_signatures(), 1);
    assert_eq!(stand.ocsp_issuer(OcspHash::Sha256).await, None);
    let answer = stand.ocsp_of(OcspHash::Sha1, &certificate).await;
    assert!(matches!(answer, Outcome::Signed(_)), "{answer:?}");
}

#[tokio::test]
async fn a_responder_that_comes_later_answers_for_the_devices_of_before() {
    let mut stand = Stand::new().await;
    let certificate = stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.tend().await;
    assert_eq!(stand.ocsp_issuer(OcspHash::Sha1).await, None);
    stand.restart_with_responder().await;
    stand.tend().await;
    assert_eq!(stand.ocsp_status(&certificate).await.0, CertStatus::Good);
}

#[tokio::test]
async fn a_list_and_responses_that_are_not_renewed_are_warned_of_before_they_end() {
    let stand = stand("").await;
    stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.tend().await;
    assert_eq!(stand.status().await.warnings, Vec::<String>::new());
    stand.break_ca_key(true);
    let [list, responses] = [
        "crl: the latest list ends",
        "due and the first of them ends soon",
    ];
    let warns = async |wanted: &str| {
        let warnings = stand.status().await.warnings;
        warnings.iter().any(|warning| warning.contains(wanted))
    };
    // Half of the overlap passes: of the responses first, whose overlap is shorter.
    stand.after(DAY + HOUR).await;
    assert!(!warns(responses).await && !warns(list).await);
    stand.after(DAY).await;
    assert!(warns(responses).await && !warns(list).await);
    stand.after(4 * DAY).await;
    assert!(warns(responses).await && warns(list).await);

    stand.break_ca_key(false);
    // The first look reports on the list before it signs a new one.
    stand.tend().await;
    stand.tend().await;
    assert_eq!(stand.status().await.warnings, Vec::<String>::new());
}
