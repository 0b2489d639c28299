//! A second CA takes over: announced, by the clock, with an overlap.

use std::time::Duration;

use assay_scep::{SignerCertificate, parse_ca_certificates, parse_next_ca_certificates};

use crate::support::{Answer, BEGIN, Device, RENEWAL_REQ, Setup, Stand, subject};

const SWITCH: Duration = Duration::from_secs(10 * 86_400);
const OVERLAP: Duration = Duration::from_secs(5 * 86_400);

async fn stand() -> Stand {
    Stand::with(Setup {
        rollover: Some((BEGIN + SWITCH, OVERLAP)),
        ..Setup::default()
    })
    .await
}

/// The CA that GetCACert names.
async fn named(stand: &Stand) -> Vec<u8> {
    let info = stand.public_info().await.profiles.remove(0);
    let certificates = parse_ca_certificates(&info.ca_certificates).unwrap();
    certificates.into_iter().next_back().unwrap()
}

/// The CA that GetNextCACert announces.
async fn announced(stand: &Stand) -> Option<Vec<u8>> {
    let info = stand.public_info().await.profiles.remove(0);
    let ra = SignerCertificate::parse(&stand.ca.ra_sign.der().unwrap()).unwrap();
    let body = Some(info.next_ca_certificates).filter(|body| !body.is_empty())?;
    let certificates = parse_next_ca_certificates(&body, &ra).unwrap();
    certificates.into_iter().next_back()
}

#[tokio::test]
async fn the_next_ca_is_announced_takes_over_by_the_clock_and_the_old_ra_ends_after_the_overlap() {
    let stand = stand().await;
    let device = Device::new();
    let (first, next) = (
        stand.ca.ca.der().unwrap(),
        stand.next_ca().ca.der().unwrap(),
    );
    assert_eq!(named(&stand).await, first);
    assert_eq!(announced(&stand).await, Some(next.clone()));
    assert_eq!(stand.records("ca.announced").await.len(), 1);
    let old = stand.enrol(&device, &subject("pump-1")).await;
    assert!(stand.ca.has_issued(&old).unwrap());

    stand.after(SWITCH).await;
    assert_eq!(named(&stand).await, next);
    assert_eq!(announced(&stand).await, None);
    assert_eq!(stand.records("ca.switched").await.len(), 1);
    // A device that knows the old RA still gets a certificate of the old CA.
    let late = stand.enrol(&device, &subject("pump-2")).await;
    assert!(stand.ca.has_issued(&late).unwrap());

    stand.after(OVERLAP).await;
    let challenge = stand.challenge(&subject("pump-3")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-3"), &challenge)
        .await;
    let outcome = stand.post("devices", &message).await;
    let answer = device.read(stand.next_ca(), &message, outcome).await;
    assert!(matches!(answer, Answer::Refused(_)), "{answer:?}");
    let message = device
        .pkcs_req(stand.next_ca(), &subject("pump-3"), &challenge)
        .await;
    let answer = stand
        .send_to("devices", stand.next_ca(), &device, &message)
        .await;
    assert!(stand.next_ca().has_issued(&answer.certificate()).unwrap());
}

#[tokio::test]
async fn what_is_enveloped_to_an_ra_gets_a_certificate_of_its_ca_and_renews_under_the_next() {
    let stand = stand().await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = device
        .pkcs_req(stand.next_ca(), &subject("pump-1"), &challenge)
        .await;
    let answer = stand
        .send_to("devices", stand.next_ca(), &device, &message)
        .await;
    assert!(stand.next_ca().has_issued(&answer.certificate()).unwrap());

    let old = stand.enrol(&device, &subject("pump-2")).await;
    let holder = device.holding(&old);
    let csr = Device::other().csr(&subject("pump-2"), None);
    let message = holder.message(stand.next_ca(), RENEWAL_REQ, &csr).await;
    let answer = stand
        .send_to("devices", stand.next_ca(), &holder, &message)
        .await;
    assert!(stand.next_ca().has_issued(&answer.certificate()).unwrap());
    assert!(stand.row(&old).await.superseded_by.is_some());
}

#[tokio::test]
async fn a_restart_after_the_switch_goes_on_and_the_old_ca_keeps_listing_what_it_issued() {
    let mut stand = stand().await;
    let old = stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.after(SWITCH).await;
    stand.restart().await.unwrap();
    stand.tend().await;
    assert_eq!(named(&stand).await, stand.next_ca().ca.der().unwrap());
    assert_eq!(stand.records("ca.switched").await.len(), 1);

    stand.revoke(&old, "key-compromise").await.unwrap();
    let listed = stand
        .crl()
        .await
        .tbs_cert_list
        .revoked_certificates
        .unwrap();
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn a_signer_that_never_announced_the_next_ca_does_not_start_past_its_time() {
    let late = Stand::start(Setup {
        rollover: Some((BEGIN - Duration::from_secs(1), OVERLAP)),
        ..Setup::default()
    })
    .await;
    let refused = late.err().unwrap();
    assert!(refused.to_string().contains("never announced"), "{refused}");
}
