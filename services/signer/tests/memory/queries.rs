//! GetCert and GetCRL: for devices that hold a certificate in force.

use std::collections::BTreeSet;

use assay_proto::v1::pki_operation_reply::Outcome;
use assay_scep::FailInfo;
use der::Decode;
use openssl::x509::X509;
use x509_cert::crl::CertificateList;

use crate::support::{Answer, Device, GET_CERT, GET_CRL, Stand, serial, subject};

#[tokio::test]
async fn a_holder_gets_certificates_by_serial_number_and_the_latest_crl() {
    let stand = Stand::new().await;
    let device = Device::new();
    let own = stand.enrol(&device, &subject("pump-1")).await;
    let other = stand.enrol(&Device::other(), &subject("pump-2")).await;
    let holder = device.holding(&own);
    for wanted in [&own, &other] {
        let query = holder.query(&stand.ca, GET_CERT, wanted).await;
        let answer = stand.send(&holder, &query).await;
        assert_eq!(&answer.certificate(), wanted);
    }

    let mut lists = Vec::new();
    for _ in 0..2 {
        let query = holder.query(&stand.ca, GET_CRL, &own).await;
        let Answer::Crl(crl) = stand.send(&holder, &query).await else {
            panic!("no CRL");
        };
        let crl: CertificateList = CertificateList::from_der(&crl).unwrap();
        assert_eq!(crl, stand.crl().await);
        lists.push(crl.tbs_cert_list.revoked_certificates.unwrap_or_default());
        stand.revoke(&other, "").await.unwrap();
    }
    assert_eq!((lists[0].len(), lists[1].len()), (0, 1));
    let listed = lists[1][0].serial_number.as_bytes();
    assert_eq!(listed, serial(&other).as_bytes());
    assert_eq!(stand.records("request.queried").await.len(), 4);
}

#[tokio::test]
async fn every_reply_has_a_nonce_of_its_own() {
    let stand = Stand::new().await;
    let device = Device::new();
    let own = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&own);
    let unknown = stand.ca.ca.der().unwrap();
    let mut nonces = BTreeSet::new();
    for wanted in [&own, &own, &unknown] {
        let query = holder.query(&stand.ca, GET_CERT, wanted).await;
        let Outcome::CertRep(reply) = stand.post("devices", &query).await else {
            panic!("no CertRep");
        };
        let reply = query.verified(&stand.ca, &reply);
        let nonce = reply.sender_nonce().as_bytes().to_vec();
        assert_eq!(nonce.len(), 16);
        assert!(nonces.insert(nonce), "a nonce came twice");
    }
}

#[tokio::test]
async fn strangers_unknown_numbers_and_other_issuers_get_bad_cert_id() {
    let stand = Stand::new().await;
    let device = Device::new();
    let own = stand.enrol(&device, &subject("pump-1")).await;
    let (holder, stranger) = (device.holding(&own), Device::other());
    let unknown = stand.ca.ca.der().unwrap();
    for message_type in [GET_CERT, GET_CRL] {
        for (asker, about) in [(&stranger, &own), (&holder, &unknown)] {
            let query = asker.query(&stand.ca, message_type, about).await;
            let fail_info = stand.refused("devices", asker, &query, "SIG-15").await;
            assert_eq!(fail_info, FailInfo::BadCertId);
        }
        // A serial number of ours under the name of another issuer.
        let number = X509::from_der(&own).unwrap();
        let number = number.serial_number().to_bn().unwrap();
        let issuer = stand.ca.ra_sign.certificate.subject_name();
        let query = holder
            .query_by(&stand.ca, message_type, issuer, &number)
            .await;
        let fail_info = stand.refused("devices", &holder, &query, "SIG-15").await;
        assert_eq!(fail_info, FailInfo::BadCertId);
    }
    // A device that lost its certificate gets no answer, and nothing from it is decrypted.
    stand.revoke(&own, "certificate-hold").await.unwrap();
    let query = holder.query(&stand.ca, GET_CERT, &own).await;
    let decryptions = stand.decryptions();
    stand.refused("devices", &holder, &query, "SIG-15").await;
    assert_eq!(stand.decryptions(), decryptions);
}
