//! What is refused, by which rule, and what it costs.

use std::time::Duration;

use assay_proto::v1::ChallengeItem;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_scep::FailInfo;

use crate::support::{
    Answer, DEVICES, Device, FLEET, PKCS_REQ, Setup, Stand, changed, dns_names, extension, subject,
};

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
    let challenge = stand.challenge(&subject("pump-1")).await;
    let csr = device.csr(&subject("pump-1"), Some(&challenge));
    for message_type in ["18", "0", "1", "3", "23", "019", "-19", "abc"] {
        let message = device.message(&stand.ca, message_type, &csr).await;
        let fail_info = stand.refused("devices", &device, &message, "SIG-01").await;
        assert_eq!(fail_info, FailInfo::BadRequest);
    }
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
    let fail_info = stand.refused("devices", &other, &message, "SIG-02").await;
    assert_eq!(fail_info, FailInfo::BadRequest);

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

#[tokio::test]
async fn a_name_off_policy_is_refused_whatever_the_challenge_allows() {
    let stand = Stand::new().await;
    let device = Device::new();
    for (name, rule) in [
        ("CN=sensor-1,O=Evil", "SUB-05"),
        ("CN=sensor-1", "SUB-04"),
        ("CN=sensor-1,OU=Extra,O=Example", "SUB-04"),
        ("O=Example,CN=sensor-1", "SUB-04"),
        ("CN=Sensor-1,O=Example", "SUB-05"),
    ] {
        let challenge = stand.challenge(&subject("sensor-1")).await;
        let message = device.pkcs_req(&stand.ca, name, &challenge).await;
        let fail_info = stand.refused("devices", &device, &message, rule).await;
        assert_eq!(fail_info, FailInfo::BadRequest);
    }
}

#[tokio::test]
async fn extensions_that_the_policy_does_not_issue_are_refused() {
    let stand = Stand::new().await;
    let device = Device::new();
    let name = subject("sensor-1");
    // SEQUENCE { TRUE }, a sequence of id-kp-serverAuth, and the BIT STRING keyCertSign, cRLSign.
    let ca = extension("2.5.29.19", true, b"\x30\x03\x01\x01\xff");
    let server = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
    let server = extension("2.5.29.37", false, server);
    let certificate_sign = extension("2.5.29.15", true, b"\x03\x02\x01\x06");
    // szOID_NTDS_CA_SECURITY_EXT, which maps a certificate to a Windows account.
    let sid = extension("1.3.6.1.4.1.311.25.2", false, b"\x30\x00");
    let own_name = || dns_names(&["sensor-1.example.com"]);
    let another_name = dns_names(&["admin.example.com"]);
    let one_more_name = dns_names(&["sensor-1.example.com", "admin.example.com"]);
    for (extensions, rule) in [
        (vec![own_name(), ca], "EXT-03"),
        (vec![own_name(), server], "EXT-02"),
        (vec![own_name(), certificate_sign], "EXT-01"),
        (vec![own_name(), sid], "EXT-04"),
        (vec![another_name], "SAN-04"),
        (vec![one_more_name], "SAN-04"),
    ] {
        let item = ChallengeItem {
            subject: name.clone(),
            sans: vec!["dns:sensor-1.example.com".to_owned()],
        };
        let (_, challenge) = stand.issue("devices", vec![item]).await;
        let csr = device.csr_with(&name, Some(&challenge), &extensions);
        let message = device.message(&stand.ca, PKCS_REQ, &csr).await;
        let fail_info = stand.refused("devices", &device, &message, rule).await;
        assert_eq!(fail_info, FailInfo::BadRequest);
    }
}

#[tokio::test]
async fn a_challenge_of_another_device_or_profile_or_none_is_refused() {
    let stand = Stand::with(Setup {
        profiles: Some(vec![
            ("devices", DEVICES.to_owned()),
            ("fleet", FLEET.to_owned()),
        ]),
        ..Setup::default()
    })
    .await;
    stand.add_to_inventory("fleet", "sensor-1").await;
    let device = Device::new();
    let name = subject("sensor-1");
    let own = stand.challenge(&name).await;
    let theirs = stand.challenge(&subject("sensor-2")).await;
    let (_, shared) = stand.issue("fleet", Vec::new()).await;
    for (profile, challenge, rule) in [
        ("fleet", Some(own.as_str()), "CHA-01"),
        ("devices", Some(&shared), "CHA-01"),
        ("devices", Some(&theirs), "SUB-05"),
        (
            "devices",
            Some("a-challenge-that-was-never-issued"),
            "CHA-01",
        ),
        ("devices", Some(""), "CHA-01"),
        ("devices", None, "CHA-01"),
    ] {
        let csr = device.csr(&name, challenge);
        let message = device.message(&stand.ca, PKCS_REQ, &csr).await;
        let fail_info = stand.refused(profile, &device, &message, rule).await;
        assert_eq!(fail_info, FailInfo::BadRequest);
    }
    // Nothing was taken from the device that the challenge belongs to.
    let message = device
        .pkcs_req(&stand.ca, &subject("sensor-2"), &theirs)
        .await;
    stand.send(&device, &message).await.certificate();
}
