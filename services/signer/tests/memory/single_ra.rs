//! One RA certificate for both uses: a request enveloped to it is answered by it, where a profile allows it and until the
//! exception ends.

use std::time::Duration;

use assay_proto::v1::pki_operation_reply::Outcome;
use assay_scep::{FailInfo, parse_ca_certificates};
use assay_software_token::Ca;

use crate::support::{
    Answer, DEVICES, Device, PKCS_REQ, Setup, Stand, changed, of_another_key, subject,
};

const PROFILE: &str = "single";
const HOUR: Duration = Duration::from_secs(3_600);
/// An hour after the beginning.
const UNTIL_THEN: &str = "[quirks.single_ra]\nvalue = true\nuntil = 2030-01-01T01:00:00Z";

/// A CA with the key, `devices`, and a profile with these exceptions.
async fn stand(quirks: &str) -> Stand {
    Stand::with(Setup {
        single_ra: true,
        profiles: Some(vec![
            ("devices", DEVICES.to_owned()),
            (PROFILE, changed(DEVICES, quirks)),
        ]),
        ..Setup::default()
    })
    .await
}

/// The CA as a device knows it that was given the one certificate.
fn single(ca: &Ca) -> Ca {
    let single = ca.ra_single.clone().unwrap();
    Ca {
        ra_enc: single.clone(),
        ra_sign: single,
        ..ca.clone()
    }
}

/// The CA as a device knows it that envelopes to the one certificate and trusts the usual RA.
fn late(ca: &Ca) -> Ca {
    Ca {
        ra_enc: ca.ra_single.clone().unwrap(),
        ..ca.clone()
    }
}

/// The answer to an enrolment under a new challenge.
async fn enrol(stand: &Stand, ca: &Ca, name: &str) -> Answer {
    let device = Device::new();
    let challenge = stand.challenge_of(PROFILE, &subject(name)).await;
    let message = device.pkcs_req(ca, &subject(name), &challenge).await;
    stand.send_to(PROFILE, ca, &device, &message).await
}

/// The certificates of GetCACert, in their order.
async fn listed(stand: &Stand, profile: &str) -> Vec<Vec<u8>> {
    let profiles = stand.public_info().await.profiles;
    let info = profiles.into_iter().find(|info| info.profile == profile);
    parse_ca_certificates(&info.unwrap().ca_certificates).unwrap()
}

#[tokio::test]
async fn a_device_that_addresses_the_one_certificate_is_answered_by_it_and_is_listed() {
    let stand = stand("[quirks]\nsingle_ra = true").await;
    let ca = single(&stand.ca);
    let ra = [&stand.ca.ra_enc, &stand.ca.ra_sign].map(|pair| pair.der().unwrap());
    let issuer = stand.ca.ca.der().unwrap();
    let expected = vec![ca.ra_enc.der().unwrap(), issuer];
    assert_eq!(listed(&stand, PROFILE).await, expected);
    assert_eq!(listed(&stand, "devices").await[..2], ra);
    let certificate = enrol(&stand, &ca, "sensor-1").await.certificate();
    assert!(stand.ca.has_issued(&certificate).unwrap());
    let record = stand.last("request.issued").await;
    assert_eq!(record["quirks"], serde_json::json!(["single_ra"]));
    let legacy = stand.legacy(PROFILE).await;
    assert_eq!(legacy, [(subject("sensor-1"), true)]);
}

#[tokio::test]
async fn a_device_that_kept_the_usual_list_is_served_by_it_and_needs_no_exception() {
    let stand = stand("[quirks]\nsingle_ra = true").await;
    enrol(&stand, &stand.ca, "sensor-1").await.certificate();
    assert_eq!(stand.legacy(PROFILE).await, []);
}

#[tokio::test]
async fn a_profile_without_the_exception_does_not_take_the_single_certificate() {
    let stand = stand("[quirks]\nsingle_ra = true").await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("sensor-1")).await;
    let ca = late(&stand.ca);
    let message = device.pkcs_req(&ca, &subject("sensor-1"), &challenge).await;
    let fail_info = stand
        .refused("devices", &device, &message, "SCEP:not-for-this-ra")
        .await;
    assert_eq!(fail_info, FailInfo::BadRequest);
    assert_eq!(stand.decryptions(), 0);
}

#[tokio::test]
async fn what_does_not_open_is_refused_alike_under_either_key() {
    let stand = stand("[quirks]\nsingle_ra = true").await;
    let device = Device::new();
    let mut lengths = Vec::new();
    for ca in [Ca::clone(&stand.ca), single(&stand.ca)] {
        let mut forged = ca.clone();
        forged.ra_enc.certificate = of_another_key(&ca.ra_enc.certificate);
        let csr = device.csr(&subject("sensor-1"), Some("none of ours"));
        // Bad padding of the content-encryption key, then a content that is no CSR.
        for (towards, content) in [(&forged, &csr[..]), (&ca, b"no CSR")] {
            let message = device.message(towards, PKCS_REQ, content).await;
            let Outcome::CertRep(reply) = stand.post(PROFILE, &message).await else {
                panic!("no CertRep");
            };
            let read = message.verified(&ca, &reply);
            assert_eq!(read.fail_info(), Some(FailInfo::BadRequest));
            assert_eq!(read.fail_info_text(), None);
            // The two replies carry different certificates, each verified above, and nothing else that differs.
            lengths.push(reply.len() - ca.ra_sign.der().unwrap().len());
        }
    }
    lengths.dedup();
    assert_eq!(lengths.len(), 1, "{lengths:?}");
    let records = stand.records("request.refused").await;
    let refused = records.iter();
    let refused = refused.map(|record| [&record["rule"], &record["detail"]]);
    assert_eq!(refused.collect::<Vec<_>>(), [["SIG-17", ""]; 4]);
}

#[tokio::test]
async fn at_its_end_the_usual_certificates_are_back_and_the_single_one_opens_nothing() {
    let mut stand = stand(UNTIL_THEN).await;
    let ca = single(&stand.ca);
    assert_eq!(listed(&stand, PROFILE).await[0], ca.ra_enc.der().unwrap());
    enrol(&stand, &ca, "sensor-1").await.certificate();

    stand.after(HOUR).await;
    let ra = [&stand.ca.ra_enc, &stand.ca.ra_sign].map(|pair| pair.der().unwrap());
    assert_eq!(listed(&stand, PROFILE).await[..2], ra);
    let decryptions = stand.decryptions();
    // Answered by the usual RA, which a device with the list of today trusts.
    let refused = enrol(&stand, &late(&stand.ca), "sensor-1").await;
    assert_eq!(refused, Answer::Refused(FailInfo::BadRequest));
    assert_eq!(stand.decryptions(), decryptions);
    let legacy = stand.legacy(PROFILE).await;
    assert_eq!(legacy, [(subject("sensor-1"), false)]);
    enrol(&stand, &stand.ca, "sensor-2").await.certificate();

    // The single key is not needed any more, so a signer without one starts.
    stand.restart_without_single_ra().await.unwrap();
    enrol(&stand, &stand.ca, "sensor-3").await.certificate();
}

#[tokio::test]
async fn a_signer_without_the_key_does_not_start_while_the_exception_is_in_force() {
    let mut stand = stand(UNTIL_THEN).await;
    let refused = stand.restart_without_single_ra().await.unwrap_err();
    assert!(refused.to_string().contains("single_ra"), "{refused}");
    stand.clock.advance(HOUR);
    stand.restart().await.unwrap();
}
