//! What is refused, by which rule, and what it costs.

use std::time::Duration;

use assay_proto::v1::ChallengeItem;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_scep::FailInfo;

use crate::support::{Answer, DEVICES, Device, PKCS_REQ, Setup, Stand, changed, subject};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn an_unknown_profile_and_a_malformed_message_get_no_cert_rep() {
    let stand = Stand::new().await;
    let device = Device::new();
    let mut message = device.pkcs_req(&stand.ca, &subject("pump-1"), "none").await;
    let outcome = stand.post("nobody", &message).await;
    assert!(matches!(outcome, Outcome::UnknownProfile(_)));
    message.bytes.push(0);
    assert_eq!(stand.send(&device, &message).await, Answer::Malformed);
    assert_eq!(stand.records("request.malformed").await.len(), 2);
}

#[tokio::test]
async fn an_unlisted_message_type_is_not_decrypted() {
    let stand = Stand::new().await;
    let device = Device::new();
    let message = device.message(&stand.ca, "18", b"anything").await;
    stand.refused("devices", &device, &message, "SIG-01").await;
    assert_eq!(stand.decryptions(), 0);
}

#[tokio::test]
async fn a_challenge_that_is_spent_revoked_expired_or_unknown_brings_nothing() {
    let stand = Stand::new().await;
    let (device, other) = (Device::new(), Device::other());
    let name = subject("pump-1");
    let challenge = stand.challenge(&name).await;
    let message = device.pkcs_req(&stand.ca, &name, &challenge).await;
    stand.send(&device, &message).await.certificate();
    let message = other.pkcs_req(&stand.ca, &name, &challenge).await;
    stand.refused("devices", &other, &message, "SIG-02").await;

    let item = ChallengeItem {
        subject: name.clone(),
        sans: Vec::new(),
    };
    let (id, challenge) = stand.issue("devices", vec![item]).await;
    stand.revoke_challenge(&id).await;
    let message = other.pkcs_req(&stand.ca, &name, &challenge).await;
    stand.refused("devices", &other, &message, "SIG-03").await;

    let challenge = stand.challenge(&name).await;
    stand.clock.advance(8 * DAY);
    let message = other.pkcs_req(&stand.ca, &name, &challenge).await;
    stand.refused("devices", &other, &message, "CHA-03").await;
    let message = other.pkcs_req(&stand.ca, &name, "guessed").await;
    stand.refused("devices", &other, &message, "CHA-01").await;
}

#[tokio::test]
async fn other_names_than_those_of_the_challenge_are_refused_and_leave_it_open() {
    let stand = Stand::new().await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-2"), &challenge)
        .await;
    let fail_info = stand.refused("devices", &device, &message, "SUB-05").await;
    assert_eq!(fail_info, FailInfo::BadRequest);
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.send(&device, &message).await.certificate();
}

/// Content that is no CSR and a CSR of another key are the one uniform failure.
#[tokio::test]
async fn what_does_not_open_and_what_proves_no_possession_end_alike() {
    let stand = Stand::new().await;
    let (device, other) = (Device::new(), Device::other());
    let challenge = stand.challenge(&subject("pump-1")).await;
    let of_another = other.csr(&subject("pump-1"), Some(&challenge));
    for content in [&b"no CSR"[..], &of_another] {
        let message = device.message(&stand.ca, PKCS_REQ, content).await;
        let fail_info = stand.refused("devices", &device, &message, "SIG-17").await;
        assert_eq!(fail_info, FailInfo::BadRequest);
        assert_eq!(stand.last("request.refused").await["detail"], "");
    }
    let message = other.message(&stand.ca, PKCS_REQ, &of_another).await;
    stand.send(&other, &message).await.certificate();
}

#[tokio::test]
async fn past_the_quota_of_a_name_nothing_is_issued_until_the_next_hour() {
    let profile = changed(DEVICES, "default = true\n[enrolment]\nname_per_hour = 1");
    let stand = Stand::with(Setup {
        profiles: Some(vec![("devices", profile)]),
        ..Setup::default()
    })
    .await;
    let (device, other) = (Device::new(), Device::other());
    stand.enrol(&device, &subject("pump-1")).await;
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = other
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.refused("devices", &other, &message, "SIG-14").await;
    stand.enrol(&device, &subject("pump-2")).await;

    stand.clock.advance(Duration::from_secs(3_600));
    let message = other
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.send(&other, &message).await.certificate();
}
