//! From a pkiMessage to a certificate, once.

use std::time::Duration;

use assay_proto::v1::pki_operation_reply::Outcome;
use assay_store::CertificateState;
use openssl::x509::X509;

use crate::support::{
    Answer, DEVICES, Device, FLEET, PKCS_REQ, RENEWAL_REQ, Setup, Stand, changed, serial, subject,
};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_challenge_brings_one_certificate_of_its_names_and_one_record() {
    let stand = Stand::new().await;
    let device = Device::new();
    let certificate = stand.enrol(&device, &subject("pump-1")).await;

    assert!(stand.ca.has_issued(&certificate).unwrap());
    let row = stand.row(&certificate).await;
    assert_eq!(
        (row.state, row.subject),
        (CertificateState::Issued, subject("pump-1"))
    );
    let records = stand.records("request.issued").await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["serial"], row.serial.to_string());
    assert_eq!(
        stand.tbs_signatures(),
        2,
        "one certificate and the first CRL"
    );
}

#[tokio::test]
async fn the_same_randomness_draws_the_same_serial_number() {
    let (one, other) = (Stand::new().await, Stand::new().await);
    let device = Device::new();
    let first = one.enrol(&device, &subject("pump-1")).await;
    let second = other.enrol(&device, &subject("pump-1")).await;
    assert_eq!(serial(&first), serial(&second));
    let third = one.enrol(&device, &subject("pump-2")).await;
    assert_ne!(serial(&first), serial(&third));
}

#[tokio::test]
async fn a_byte_identical_message_gets_the_stored_reply_without_a_key_operation() {
    let stand = Stand::new().await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    let first = stand.post("devices", &message).await;
    let (decryptions, signatures) = (stand.decryptions(), stand.tbs_signatures());

    stand.clock.advance(DAY);
    assert_eq!(stand.post("devices", &message).await, first);
    assert_eq!(
        (stand.decryptions(), stand.tbs_signatures()),
        (decryptions, signatures)
    );
    assert!(matches!(first, Outcome::CertRep(_)));
    assert_eq!(stand.records("request.issued").await.len(), 1);
    assert_eq!(
        stand.last("request.replayed").await["answer"],
        "stored-reply"
    );
}

#[tokio::test]
async fn an_equal_csr_gets_the_same_certificate_within_the_window_and_is_refused_after() {
    let stand = Stand::new().await;
    let device = Device::new();
    let name = subject("pump-1");
    let challenge = stand.challenge(&name).await;
    let csr = device.csr(&name, Some(&challenge));
    let message = device.message(&stand.ca, PKCS_REQ, &csr).await;
    let certificate = stand.send(&device, &message).await.certificate();

    stand.clock.advance(HOUR / 2);
    let again = device.message(&stand.ca, PKCS_REQ, &csr).await;
    assert_eq!(
        stand.send(&device, &again).await,
        Answer::Issued(certificate)
    );
    assert_eq!(stand.records("request.issued").await.len(), 1);

    stand.clock.advance(HOUR);
    let late = device.message(&stand.ca, PKCS_REQ, &csr).await;
    stand.refused("devices", &device, &late, "SIG-02").await;
}

#[tokio::test]
async fn a_name_of_the_inventory_gets_one_certificate_under_the_shared_challenge() {
    let profiles = vec![("devices", DEVICES.to_owned()), ("fleet", FLEET.to_owned())];
    let stand = Stand::with(Setup {
        profiles: Some(profiles),
        ..Setup::default()
    })
    .await;
    let (_, challenge) = stand.issue("fleet", Vec::new()).await;
    // The policy says for how long, whether the operator does or not.
    let issued = stand
        .store
        .list_challenges(assay_store::ChallengeQuery::default());
    let issued = issued.await.unwrap().rows.remove(0);
    assert_eq!(issued.expires_at, Some(issued.issued_at + 365 * DAY));
    let (device, other) = (Device::new(), Device::other());
    let name = subject("truck-1");
    let message = device.pkcs_req(&stand.ca, &name, &challenge).await;
    stand.refused("fleet", &device, &message, "CHA-05").await;

    stand.add_to_inventory("fleet", "truck-1").await;
    let message = device.pkcs_req(&stand.ca, &name, &challenge).await;
    let answer = stand.send_to("fleet", &stand.ca, &device, &message).await;
    assert!(stand.ca.has_issued(&answer.certificate()).unwrap());
    let message = other.pkcs_req(&stand.ca, &name, &challenge).await;
    let answer = stand.send_to("fleet", &stand.ca, &other, &message).await;
    assert!(matches!(answer, Answer::Refused(_)));

    // In another case it is the same device, also when it is added again.
    stand.add_to_inventory("fleet", "TRUCK-1").await;
    for again in ["Truck-1", "TRUCK-1"] {
        let message = other.pkcs_req(&stand.ca, &subject(again), &challenge).await;
        stand.refused("fleet", &other, &message, "CHA-08").await;
    }
}

/// RFC 8894 section 2.3: some clients say RenewalReq, others PKCSReq under the certificate they have.
#[tokio::test]
async fn either_message_type_renews_over_a_new_key_under_the_issued_certificate() {
    let stand = Stand::new().await;
    let (device, new) = (Device::new(), Device::other());
    for (message_type, name) in [(RENEWAL_REQ, "pump-1"), (PKCS_REQ, "pump-2")] {
        let old = stand.enrol(&device, &subject(name)).await;
        let holder = device.holding(&old);
        let csr = new.csr(&subject(name), None);
        let message = holder.message(&stand.ca, message_type, &csr).await;
        let renewed = stand.send(&holder, &message).await.certificate();

        let key = X509::from_der(&renewed).unwrap().public_key().unwrap();
        let csr = openssl::x509::X509Req::from_der(&csr).unwrap();
        assert!(key.public_eq(&csr.public_key().unwrap()));
        let row = stand.row(&old).await;
        assert_eq!(row.superseded_by, Some(serial(&renewed)));
        assert_eq!(
            row.revoked_at, None,
            "devices.toml keeps what was superseded"
        );
    }
}

#[tokio::test]
async fn a_renewal_over_the_same_key_is_a_new_certificate_where_the_profile_allows_it() {
    let stand = Stand::new().await;
    let device = Device::new();
    let certificate = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&certificate);
    let csr = device.csr(&subject("pump-1"), None);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    let renewed = stand.send(&holder, &message).await.certificate();
    assert_ne!(serial(&renewed), serial(&certificate));
}

#[tokio::test]
async fn a_renewal_takes_the_spent_challenge_of_the_first_enrolment_again() {
    let stand = Stand::new().await;
    let (device, new) = (Device::new(), Device::other());
    let name = subject("pump-1");
    let challenge = stand.challenge(&name).await;
    let message = device.pkcs_req(&stand.ca, &name, &challenge).await;
    let holder = device.holding(&stand.send(&device, &message).await.certificate());
    let csr = new.csr(&name, Some(&challenge));
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    stand.send(&holder, &message).await.certificate();
}

async fn with_approval(approval: &str) -> Stand {
    let profile = changed(DEVICES, &format!("default = true\n[approval]\n{approval}"));
    Stand::with(Setup {
        profiles: Some(vec![("devices", profile), ("others", changed(DEVICES, ""))]),
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn an_approved_request_gets_one_certificate_however_often_it_polls() {
    let stand = with_approval("expires = '1h'").await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let request = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    assert_eq!(stand.send(&device, &request).await, Answer::Pending);
    let poll = device.poll(&stand.ca, &request).await;
    assert_eq!(stand.send(&device, &poll).await, Answer::Pending);
    let id = stand.waiting().await;
    assert_eq!(stand.store.counts().await.unwrap().certificates, 0);

    stand.decide("first", &id, true).await.unwrap();
    let mut issued = Vec::new();
    for message in [&device.poll(&stand.ca, &request).await, &poll, &request] {
        issued.push(stand.send(&device, message).await.certificate());
    }
    issued.dedup();
    assert_eq!(issued.len(), 1);
    assert_eq!(stand.records("request.issued").await.len(), 1);
    let again = stand.decide("first", &id, true).await.unwrap_err();
    assert!(again.message().contains("issued"), "{again}");
}

#[tokio::test]
async fn while_a_request_waits_the_same_bytes_are_answered_from_the_store() {
    let stand = with_approval("expires = '1h'").await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let request = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    let first = stand.post("devices", &request).await;
    let decryptions = stand.decryptions();
    assert_eq!(stand.post("devices", &request).await, first);
    assert_eq!(stand.decryptions(), decryptions);
    // Not under another profile.
    stand.refused("others", &device, &request, "SIG-12").await;
}

#[tokio::test]
async fn only_the_key_and_the_transaction_that_asked_may_poll() {
    let stand = with_approval("expires = '1h'").await;
    let (device, thief) = (Device::new(), Device::other());
    let challenge = stand.challenge(&subject("pump-1")).await;
    let request = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.send(&device, &request).await;
    stand
        .decide("first", &stand.waiting().await, true)
        .await
        .unwrap();

    let stolen = thief.poll(&stand.ca, &request).await;
    stand.refused("devices", &thief, &stolen, "SIG-16").await;
    let unrelated = device.pkcs_req(&stand.ca, &subject("pump-1"), "none").await;
    let other = device.poll(&stand.ca, &unrelated).await;
    stand.refused("devices", &device, &other, "SIG-16").await;
    let poll = device.poll(&stand.ca, &request).await;
    stand.refused("others", &device, &poll, "SIG-12").await;
    let poll = device.poll(&stand.ca, &request).await;
    stand.send(&device, &poll).await.certificate();
}

#[tokio::test]
async fn a_denied_request_is_refused_and_cannot_be_approved_any_more() {
    let stand = with_approval("expires = '1h'").await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let request = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.send(&device, &request).await;
    let id = stand.waiting().await;
    stand.decide("first", &id, false).await.unwrap();
    stand.decide("first", &id, true).await.unwrap_err();
    let poll = device.poll(&stand.ca, &request).await;
    stand.refused("devices", &device, &poll, "SIG-13").await;
}

#[tokio::test]
async fn a_request_that_nobody_decided_expires_and_frees_its_challenge() {
    let stand = with_approval("expires = '1h'").await;
    let (device, other) = (Device::new(), Device::other());
    let challenge = stand.challenge(&subject("pump-1")).await;
    let request = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.send(&device, &request).await;
    let rival = other
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.refused("devices", &other, &rival, "SIG-06").await;
    let id = stand.waiting().await;

    stand.after(HOUR).await;
    assert_eq!(stand.last("pending.expired").await["pending_id"], id);
    let poll = device.poll(&stand.ca, &request).await;
    stand.refused("devices", &device, &poll, "SIG-13").await;
    stand.decide("first", &id, true).await.unwrap_err();
    let rival = other
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    assert_eq!(stand.send(&other, &rival).await, Answer::Pending);
}

#[tokio::test]
async fn under_four_eyes_two_operators_approve() {
    let stand = with_approval("expires = '1h'\nfour_eyes = true").await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let request = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.send(&device, &request).await;
    let id = stand.waiting().await;
    stand.decide("first", &id, true).await.unwrap();
    let poll = device.poll(&stand.ca, &request).await;
    assert_eq!(stand.send(&device, &poll).await, Answer::Pending);
    let twice = stand.decide("first", &id, true).await.unwrap_err();
    assert!(twice.message().contains("another operator"), "{twice}");
    stand.decide("second", &id, true).await.unwrap();
    let poll = device.poll(&stand.ca, &request).await;
    stand.send(&device, &poll).await.certificate();
}

/// A version of the policy that asks for a second operator holds for what one had approved.
#[tokio::test]
async fn an_approval_of_one_operator_is_not_enough_once_the_policy_wants_two() {
    let stand = with_approval("expires = '1h'").await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let request = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.send(&device, &request).await;
    let id = stand.waiting().await;
    stand.decide("first", &id, true).await.unwrap();
    let changes = "version = 2\ndefault = true\n[approval]\nexpires = '1h'\nfour_eyes = true";
    let two = vec![("devices", changed(DEVICES, changes))];
    let proposed = stand.propose(&two).await;
    stand.activate(&proposed).await.unwrap();

    let poll = device.poll(&stand.ca, &request).await;
    assert_eq!(stand.send(&device, &poll).await, Answer::Pending);
    let twice = stand.decide("first", &id, true).await.unwrap_err();
    assert!(twice.message().contains("another operator"), "{twice}");
    stand.decide("second", &id, true).await.unwrap();
    let poll = device.poll(&stand.ca, &request).await;
    stand.send(&device, &poll).await.certificate();
}

#[tokio::test]
async fn a_challenge_of_one_profile_is_of_no_use_under_another() {
    let profiles = vec![
        ("devices", DEVICES.to_owned()),
        ("others", changed(DEVICES, "")),
    ];
    let stand = Stand::with(Setup {
        profiles: Some(profiles),
        ..Setup::default()
    })
    .await;
    let device = Device::new();
    let challenge = stand.challenge_of("others", &subject("pump-1")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    let answer = stand.send(&device, &message).await;
    assert!(matches!(answer, Answer::Refused(_)));
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    let answer = stand.send_to("others", &stand.ca, &device, &message).await;
    answer.certificate();
}
