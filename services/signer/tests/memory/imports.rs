//! Certificates that the journal of the HSM service has and the store does not: revoked at once, and good for nothing.

use std::time::Duration;

use assay_proto::v1::{CertificateState, RevokeCertificateReply};
use assay_scep::FailInfo;
use assay_store::CertificateStatus;
use openssl::ocsp::OcspRevokedStatus;
use openssl::x509::X509;
use tonic::{Code, Status};

use crate::revocation::reason;
use crate::support::{
    BEGIN, CertStatus, Device, GET_CERT, PKCS_REQ, RENEWAL_REQ, Setup, Stand, serial, subject,
};

const DAY: Duration = Duration::from_secs(86_400);
const SERIAL: u32 = 0x4a4a_4a4a;

async fn import(stand: &Stand, certificate: &[u8]) -> Result<RevokeCertificateReply, Status> {
    let serial = serial(certificate).to_string();
    stand
        .revoke_with(&serial, "key-compromise", certificate)
        .await
}

#[tokio::test]
async fn an_unknown_certificate_of_our_ca_is_imported_and_revoked_everywhere_at_once() {
    let stand = Stand::with(Setup {
        ocsp: Some(""),
        ..Setup::default()
    })
    .await;
    let hidden = Device::new().hidden(&stand.ca, SERIAL);
    assert!(stand.revoke(&hidden, "key-compromise").await.is_err());

    let reply = import(&stand, &hidden).await.unwrap();
    let wanted = RevokeCertificateReply {
        changed: true,
        crl_number: 2,
        imported: true,
        ..RevokeCertificateReply::default()
    };
    assert_eq!(reply, wanted);
    assert_eq!(
        reason(&stand.crl().await, &hidden),
        Some(b"\x0a\x01\x01".to_vec())
    );
    let compromised = CertStatus::Revoked(OcspRevokedStatus::KEY_COMPROMISE);
    assert_eq!(stand.ocsp_status(&hidden).await.0, compromised);

    let record = stand.last("certificate.imported").await;
    let sha256 = |bytes: &[u8]| hex::encode(openssl::sha::sha256(bytes));
    assert_eq!(record["serial"], serial(&hidden).to_string());
    assert_eq!(record["certificate_sha256"], sha256(&hidden));
    assert_eq!(record["actor"], "assay://operator/first");
    assert_eq!(record["subject"], subject("hidden"));
    assert_eq!(record["not_after"], (BEGIN + DAY).seconds());
    let revoked = stand.last("certificate.revoked").await;
    assert_eq!(revoked["serial"], record["serial"]);
    let next = record["sequence"].as_u64().unwrap() + 1;
    assert_eq!(revoked["sequence"], next);

    let shown = stand.shown(&hidden).await;
    assert_eq!(shown.state(), CertificateState::Imported);
    assert_eq!(
        (shown.profile.as_str(), shown.policy_hash.as_str()),
        ("", "")
    );
    assert_eq!(shown.subject, subject("hidden"));

    // A second time nothing happens, whether the certificate comes along or not.
    let again = import(&stand, &hidden).await.unwrap();
    assert!(!again.changed && !again.imported);
    assert_eq!(stand.revoke(&hidden, "superseded").await.unwrap(), 2);
    assert_eq!(stand.records("certificate.imported").await.len(), 1);
    assert_eq!(stand.records("certificate.revoked").await.len(), 1);
}

#[tokio::test]
async fn a_certificate_that_the_store_knows_is_revoked_as_any_other() {
    let stand = Stand::new().await;
    let known = stand.enrol(&Device::new(), &subject("pump-1")).await;
    let reply = import(&stand, &known).await.unwrap();
    assert!(reply.changed && !reply.imported);
    assert_eq!(stand.row(&known).await.status(), CertificateStatus::Revoked);
    assert!(stand.records("certificate.imported").await.is_empty());
    assert!(reason(&stand.crl().await, &known).is_some());
}

#[tokio::test]
async fn both_cas_of_a_rollover_take_their_own_up() {
    let stand = Stand::with(Setup {
        rollover: Some((BEGIN + 10 * DAY, DAY)),
        ..Setup::default()
    })
    .await;
    let of_first = Device::new().hidden(&stand.ca, SERIAL);
    let of_next = Device::new().hidden(stand.next_ca(), SERIAL + 1);
    for hidden in [&of_first, &of_next] {
        assert!(import(&stand, hidden).await.unwrap().imported);
    }
    let rows = [stand.row(&of_first).await, stand.row(&of_next).await];
    assert_ne!(rows[0].ca_id, rows[1].ca_id);
    let crl = stand.crl().await;
    assert!(reason(&crl, &of_first).is_some());
    assert_eq!(reason(&crl, &of_next), None);

    // One serial number has one entry, and of two CAs it can be only that of one.
    let same_number = Device::new().hidden(stand.next_ca(), SERIAL);
    let refused = import(&stand, &same_number).await.unwrap_err();
    assert!(refused.message().contains("another CA"), "{refused}");
}

#[tokio::test]
async fn whatever_is_not_an_unexpired_certificate_of_our_ca_is_refused_and_leaves_nothing() {
    let stand = Stand::with(Setup {
        ocsp: Some(""),
        ..Setup::default()
    })
    .await;
    let device = Device::new();
    let hidden = device.hidden(&stand.ca, SERIAL);
    let number = X509::from_der(&hidden).unwrap();
    let number = number.serial_number().to_bn().unwrap();
    let of_same_name = device.forged(&stand.ca, &number).certificate().to_vec();
    let of_another_ca = device.certificate().to_vec();
    let mut trailing = hidden.clone();
    trailing.push(0);
    let mut altered = hidden.clone();
    *altered.last_mut().unwrap() ^= 1;
    let long = vec![0x30; 128 * 1024 + 1];
    let ra = stand.ca.ra_sign.der().unwrap();
    let responder = stand.ca.ocsp.der().unwrap();
    let ca = stand.ca.ca.der().unwrap();
    let serial_of = |certificate: &[u8]| serial(certificate).to_string();
    let own = serial_of(&hidden);
    let records = stand.store.counts().await.unwrap().audit_records;
    for (serial, reason, certificate, said) in [
        (&own, "superseded", &trailing, "nothing after it"),
        (&own, "superseded", &b"no DER".to_vec(), "not a certificate"),
        (
            &own,
            "superseded",
            &long,
            "131073 bytes; the limit is 131072",
        ),
        (&own, "superseded", &altered, "does not verify"),
        (&own, "superseded", &of_same_name, "does not verify"),
        (&own, "superseded", &of_another_ca, "of another CA"),
        (&own, "certificate-hold", &hidden, "cannot be put on hold"),
        (&"4b".to_owned(), "superseded", &hidden, "has the serial"),
        (&serial_of(&ra), "superseded", &ra, "of its RA"),
        (
            &serial_of(&responder),
            "superseded",
            &responder,
            "OCSP responder",
        ),
        (&serial_of(&ca), "superseded", &ca, "of the CA itself"),
    ] {
        let refused = stand.revoke_with(serial, reason, certificate).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(said), "{said}: {refused}");
        assert_eq!(refused.message().lines().count(), 1);
    }
    stand.clock.advance(DAY + Duration::from_secs(1));
    let refused = import(&stand, &hidden).await.unwrap_err();
    assert!(refused.message().contains("expired at"), "{refused}");

    assert_eq!(stand.store.counts().await.unwrap().audit_records, records);
    let row = stand.store.find_certificate(serial(&hidden)).await;
    assert_eq!(row.unwrap(), None);
}

/// Nobody decided to issue it, so nothing is answered for it but that it is revoked.
#[tokio::test]
async fn an_imported_certificate_renews_nothing_asks_nothing_and_is_not_handed_out() {
    let stand = Stand::new().await;
    let (device, other) = (Device::new(), Device::other());
    let hidden = device.hidden(&stand.ca, SERIAL);
    import(&stand, &hidden).await.unwrap();
    let holder = device.holding(&hidden);
    let csr = other.csr(&subject("hidden"), None);
    for message_type in [RENEWAL_REQ, PKCS_REQ] {
        let message = holder.message(&stand.ca, message_type, &csr).await;
        stand.refused("devices", &holder, &message, "SIG-09").await;
    }
    let own = stand.enrol(&other, &subject("pump-1")).await;
    for (asker, about) in [(&holder, &own), (&other.holding(&own), &hidden)] {
        let query = asker.query(&stand.ca, GET_CERT, about).await;
        let fail_info = stand.refused("devices", asker, &query, "SIG-15").await;
        assert_eq!(fail_info, FailInfo::BadCertId);
    }
    let expiring = stand.store.list_expiring(assay_store::ExpiringQuery {
        profile: None,
        subject: None,
        san: None,
        span: BEGIN..=BEGIN + 100 * DAY,
        renewed: true,
        after: None,
        rows: 0,
    });
    let serials: Vec<_> = expiring.await.unwrap().rows;
    let serials: Vec<_> = serials.iter().map(|row| &row.serial).collect();
    assert_eq!(serials, [&serial(&own)]);
}
