//! What is refused, by which rule, and what it costs.

use std::time::Duration;

use assay_proto::v1::ChallengeItem;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_scep::FailInfo;

use crate::support::{
    Answer, DEVICES, Device, Message, PKCS_REQ, RENEWAL_REQ, Setup, Stand, changed, subject,
};

const DAY: Duration = Duration::from_secs(86_400);
/// Both message types by which a certificate may sign its own renewal.
const EITHER: [&str; 2] = [RENEWAL_REQ, PKCS_REQ];

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

#[tokio::test]
async fn a_certificate_that_is_held_revoked_or_expired_renews_nothing() {
    let stand = Stand::new().await;
    let device = Device::new();
    let certificate = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&certificate);
    let csr = Device::other().csr(&subject("pump-1"), None);
    stand
        .revoke(&certificate, "certificate-hold")
        .await
        .unwrap();
    for message_type in EITHER {
        let message = holder.message(&stand.ca, message_type, &csr).await;
        stand.refused("devices", &holder, &message, "SIG-10").await;
    }
    stand.release(&certificate).await.unwrap();
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    stand.send(&holder, &message).await.certificate();

    let revoked = stand.enrol(&device, &subject("pump-3")).await;
    let holder = device.holding(&revoked);
    let csr = Device::other().csr(&subject("pump-3"), None);
    stand.revoke(&revoked, "key-compromise").await.unwrap();
    for message_type in EITHER {
        let message = holder.message(&stand.ca, message_type, &csr).await;
        stand.refused("devices", &holder, &message, "SIG-10").await;
    }

    let expiring = stand.enrol(&device, &subject("pump-2")).await;
    let holder = device.holding(&expiring);
    let csr = Device::other().csr(&subject("pump-2"), None);
    stand.clock.advance(91 * DAY);
    for message_type in EITHER {
        let message = holder.message(&stand.ca, message_type, &csr).await;
        stand.refused("devices", &holder, &message, "SIG-10").await;
    }
}

#[tokio::test]
async fn a_renewal_of_a_stranger_or_of_other_names_or_under_another_profile_is_refused() {
    let others = changed(DEVICES, "");
    let stand = Stand::with(Setup {
        profiles: Some(vec![("devices", DEVICES.to_owned()), ("others", others)]),
        ..Setup::default()
    })
    .await;
    let (device, new) = (Device::new(), Device::other());
    let certificate = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&certificate);
    let own = new.csr(&subject("pump-1"), None);
    let message = new.message(&stand.ca, RENEWAL_REQ, &own).await;
    stand.refused("devices", &new, &message, "SIG-09").await;

    let other_name = new.csr(&subject("pump-2"), None);
    let guessed = new.csr(&subject("pump-1"), Some("guessed"));
    for message_type in EITHER {
        let refuse = async |profile: &str, csr: &[u8], rule: &str| {
            let message: Message = holder.message(&stand.ca, message_type, csr).await;
            stand.refused(profile, &holder, &message, rule).await
        };
        refuse("devices", &other_name, "SUB-05").await;
        refuse("devices", &guessed, "SIG-11").await;
        refuse("others", &own, "REN-02").await;
    }
}

#[tokio::test]
async fn a_renewal_too_early_or_over_the_same_key_is_refused_where_the_profile_says_so() {
    let late = changed(DEVICES, "[renewal]\nwindow = '1d'\nsame_key = false");
    let stand = Stand::with(Setup {
        profiles: Some(vec![("devices", changed(&late, "default = true"))]),
        ..Setup::default()
    })
    .await;
    let device = Device::new();
    let certificate = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&certificate);
    let fresh = Device::other().csr(&subject("pump-1"), None);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &fresh).await;
    stand.refused("devices", &holder, &message, "REN-04").await;

    stand.clock.advance(89 * DAY + DAY / 2);
    let same = device.csr(&subject("pump-1"), None);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &same).await;
    stand.refused("devices", &holder, &message, "REN-05").await;
    let message = holder.message(&stand.ca, RENEWAL_REQ, &fresh).await;
    stand.send(&holder, &message).await.certificate();
}
