//! GetCert and GetCRL: for devices that hold a certificate in force.

use assay_scep::FailInfo;
use der::Decode;
use x509_cert::crl::CertificateList;

use crate::support::{Answer, Device, GET_CERT, GET_CRL, Stand, subject};

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

    stand.revoke(&other, "").await.unwrap();
    let query = holder.query(&stand.ca, GET_CRL, &own).await;
    let Answer::Crl(crl) = stand.send(&holder, &query).await else {
        panic!("no CRL");
    };
    let crl: CertificateList = CertificateList::from_der(&crl).unwrap();
    assert_eq!(crl, stand.crl().await);
    assert_eq!(stand.records("request.queried").await.len(), 3);
}

#[tokio::test]
async fn strangers_and_unknown_numbers_get_bad_cert_id() {
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
    }
    // A device that lost its certificate gets no answer, and nothing from it is decrypted.
    stand.revoke(&own, "certificate-hold").await.unwrap();
    let query = holder.query(&stand.ca, GET_CERT, &own).await;
    let decryptions = stand.decryptions();
    stand.refused("devices", &holder, &query, "SIG-15").await;
    assert_eq!(stand.decryptions(), decryptions);
}
