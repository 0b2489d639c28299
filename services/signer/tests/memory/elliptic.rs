//! Devices with elliptic-curve keys: answered under their challenge, and refused where there is no such secret, before
//! the CA signs anything.

use assay_proto::v1::pki_operation_reply::Outcome;
use assay_scep::FailInfo::{self, BadAlg, BadRequest};
use openssl::nid::Nid;

use crate::support::{
    DEVICES, Device, FLEET, GET_CERT, GET_CRL, Message, PKCS_REQ, RENEWAL_REQ, Setup, Stand,
    changed, subject,
};

const P256: Nid = Nid::X9_62_PRIME256V1;
const P384: Nid = Nid::SECP384R1;
/// A profile that takes P-256 and P-384.
const PROFILE: &str = "elliptic";
const NAME: &str = "CN=sensor-1,O=Example";

/// One CA with `devices`, `fleet`, and profiles that take elliptic-curve keys: `elliptic`, `waiting` with approvals, and
/// `shared` with a shared challenge.
async fn stand() -> Stand {
    let curves =
        "[keys]\ncurves = ['p256', 'p384']\n[certificate]\nkey_usage = ['digitalSignature']\n";
    let approval = format!("{curves}[approval]\nexpires = '1h'\n");
    Stand::with(Setup {
        profiles: Some(vec![
            ("devices", DEVICES.to_owned()),
            ("fleet", FLEET.to_owned()),
            (PROFILE, changed(DEVICES, curves)),
            ("waiting", changed(DEVICES, &approval)),
            ("shared", changed(FLEET, curves)),
        ]),
        ..Setup::default()
    })
    .await
}

/// The certificate that a message is answered by.
async fn issued(stand: &Stand, device: &Device, message: &Message) -> Vec<u8> {
    let answer = stand.send_to(PROFILE, &stand.ca, device, message).await;
    answer.certificate()
}

/// The message is refused by this rule before the CA signs, and before decryption where `before_decryption`.
async fn refused(
    stand: &Stand,
    profile: &str,
    (device, message): (&Device, &Message),
    (fail_info, rule): (FailInfo, &str),
    before_decryption: bool,
) {
    let (signatures, decryptions) = (stand.tbs_signatures(), stand.decryptions());
    let refusal = stand.refused(profile, device, message, rule).await;
    assert_eq!(refusal, fail_info, "{rule}");
    assert_eq!(stand.tbs_signatures(), signatures, "{rule}");
    let decrypted = stand.decryptions() > decryptions;
    assert_eq!(decrypted, !before_decryption, "{rule}");
}

#[tokio::test]
async fn a_retransmission_gets_the_stored_reply_and_an_equal_csr_the_same_certificate() {
    let stand = stand().await;
    for (curve, name) in [(P256, NAME), (P384, "CN=sensor-2,O=Example")] {
        let challenge = stand.challenge_of(PROFILE, name).await;
        let device = Device::on_curve(curve, &challenge);
        let csr = device.csr(name, Some(&challenge));
        let message = device.message(&stand.ca, PKCS_REQ, &csr).await;
        let first = stand.post(PROFILE, &message).await;
        let answer = device.read(&stand.ca, &message, first.clone()).await;
        let certificate = answer.certificate();
        let record = stand.last("request.issued").await;
        assert_eq!(record["reply_envelope"], "password");

        let (signatures, decryptions) = (stand.tbs_signatures(), stand.decryptions());
        assert_eq!(stand.post(PROFILE, &message).await, first, "byte for byte");
        assert_eq!(stand.decryptions(), decryptions);

        // A device whose first reply was lost sends the CSR, and in it the challenge, in a new message.
        let again = device.message(&stand.ca, PKCS_REQ, &csr).await;
        assert_eq!(issued(&stand, &device, &again).await, certificate);
        let record = stand.last("request.replayed").await;
        assert_eq!(record["reply_envelope"], "password");
        assert_eq!(stand.tbs_signatures(), signatures);
    }
}

#[tokio::test]
async fn a_profile_that_cannot_answer_refuses_before_decryption() {
    let stand = stand().await;
    let challenge = stand.challenge_of(PROFILE, NAME).await;
    let device = Device::on_curve(P256, &challenge);
    let on_p521 = Device::on_curve(Nid::SECP521R1, &challenge);
    for (profile, device, expected) in [
        ("waiting", &device, (BadRequest, "SIG-18")),
        ("shared", &device, (BadRequest, "SIG-20")),
        // Profiles that list no curve, or another one.
        ("devices", &device, (BadAlg, "SCEP:signer-key-algorithm")),
        (PROFILE, &on_p521, (BadAlg, "SCEP:signer-key-algorithm")),
    ] {
        let message = device.pkcs_req(&stand.ca, NAME, &challenge).await;
        refused(&stand, profile, (device, &message), expected, true).await;
    }
    // None of it used up the challenge.
    let message = device.pkcs_req(&stand.ca, NAME, &challenge).await;
    issued(&stand, &device, &message).await;
}

#[tokio::test]
async fn a_request_without_a_fitting_challenge_is_refused_before_the_ca_signs() {
    let stand = stand().await;
    let challenge = stand.challenge_of(PROFILE, NAME).await;
    let (_, shared) = stand.issue("fleet", Vec::new()).await;
    let device = Device::on_curve(P256, &challenge);
    for (challenge, rule) in [
        (None, "SIG-19"),
        (Some(""), "SIG-19"),
        (Some(shared.as_str()), "SIG-20"),
        (Some("a-challenge-that-was-never-issued"), "CHA-01"),
    ] {
        let csr = device.csr(NAME, challenge);
        let message = device.message(&stand.ca, PKCS_REQ, &csr).await;
        let expected = (BadRequest, rule);
        refused(&stand, PROFILE, (&device, &message), expected, false).await;
    }
    let message = device.pkcs_req(&stand.ca, NAME, &challenge).await;
    issued(&stand, &device, &message).await;
    // Spent by then, and another CSR.
    let thief = Device::on_curve(P256, &challenge);
    let message = thief.pkcs_req(&stand.ca, NAME, &challenge).await;
    let expected = (BadRequest, "SIG-02");
    refused(&stand, PROFILE, (&thief, &message), expected, false).await;
}

#[tokio::test]
async fn queries_and_polls_by_an_elliptic_curve_key_are_refused_before_decryption() {
    let stand = stand().await;
    let challenge = stand.challenge_of(PROFILE, NAME).await;
    let device = Device::on_curve(P256, &challenge);
    let request = device.pkcs_req(&stand.ca, NAME, &challenge).await;
    let certificate = issued(&stand, &device, &request).await;
    let holder = device.holding(&certificate);
    for query in [
        holder.query(&stand.ca, GET_CERT, &certificate).await,
        holder.query(&stand.ca, GET_CRL, &certificate).await,
        holder.poll(&stand.ca, &request).await,
    ] {
        let expected = (BadRequest, "SIG-19");
        refused(&stand, PROFILE, (&holder, &query), expected, true).await;
    }
}

/// An envelope may contain anything. There is one answer without a text, for an elliptic-curve signer as for others.
#[tokio::test]
async fn every_failure_up_to_the_equality_of_keys_is_the_uniform_one() {
    let stand = stand().await;
    let challenge = stand.challenge_of(PROFILE, NAME).await;
    let device = Device::on_curve(P256, &challenge);
    let good = device.csr(NAME, Some(&challenge));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut contents = vec![b"no CSR".to_vec(), Vec::new(), flipped];
    for other in [
        Device::on_curve(P256, &challenge),
        Device::on_curve(P384, &challenge),
        Device::other(),
    ] {
        contents.push(other.csr(NAME, Some(&challenge)));
    }
    for content in contents {
        let message = device.message(&stand.ca, PKCS_REQ, &content).await;
        let expected = (BadRequest, "SIG-17");
        refused(&stand, PROFILE, (&device, &message), expected, false).await;
        let record = stand.last("request.refused").await;
        assert_eq!(record["detail"], "");
        assert_eq!(record["challenge_id"].as_str().unwrap_or_default(), "");
        // The same bytes get the same answer once more, without a text.
        let Outcome::CertRep(reply) = stand.post(PROFILE, &message).await else {
            panic!("no CertRep");
        };
        let reply = message.verified(&stand.ca, &reply);
        assert_eq!(reply.fail_info(), Some(BadRequest));
        assert_eq!(reply.fail_info_text(), None);
    }
    let message = device.message(&stand.ca, PKCS_REQ, &good).await;
    issued(&stand, &device, &message).await;
}

#[tokio::test]
async fn a_renewal_needs_a_fresh_challenge_for_its_names_and_uses_it_up() {
    let stand = stand().await;
    let first = stand.challenge_of(PROFILE, NAME).await;
    let device = Device::on_curve(P256, &first);
    let message = device.pkcs_req(&stand.ca, NAME, &first).await;
    let old = device.holding(&issued(&stand, &device, &message).await);

    let other_name = subject("sensor-2");
    let theirs = stand.challenge_of(PROFILE, &other_name).await;
    let fresh = stand.challenge_of(PROFILE, NAME).await;
    for (challenge, rule) in [
        (None, Some("SIG-19")),
        // The first enrolment's, which a renewal by an RSA key may send again.
        (Some(&first), Some("SIG-02")),
        (Some(&theirs), Some("SIG-20")),
        (Some(&"never-issued".to_owned()), Some("SIG-11")),
        (Some(&fresh), None),
        (Some(&fresh), Some("SIG-02")),
    ] {
        let challenge = challenge.map(String::as_str);
        let old = old.knowing(challenge.unwrap_or_default());
        let csr = Device::on_curve(P384, "unused").csr(NAME, challenge);
        let message = old.message(&stand.ca, RENEWAL_REQ, &csr).await;
        let Some(rule) = rule else {
            issued(&stand, &old, &message).await;
            continue;
        };
        let expected = (BadRequest, rule);
        refused(&stand, PROFILE, (&old, &message), expected, false).await;
    }
    // Nothing was taken from the other device.
    let other = Device::on_curve(P256, &theirs);
    let message = other.pkcs_req(&stand.ca, &other_name, &theirs).await;
    issued(&stand, &other, &message).await;
}
