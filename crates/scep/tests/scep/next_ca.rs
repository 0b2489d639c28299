use assay_scep::client::PkiMessageBuilder;
use assay_scep::{
    CertificateListError, NextCaError, NextCaRefusal, SignerCertificate, next_ca_certificates,
    parse_ca_certificates, parse_next_ca_certificates,
};

use crate::support::*;

fn certificate(der: &[u8]) -> SignerCertificate {
    SignerCertificate::parse(der).unwrap()
}

/// The next certificates: any two that are not the RA's.
fn next() -> Vec<Vec<u8>> {
    let other = Identity::new("next CA", &[]).certificate;
    vec![other, device().certificate.clone()]
}

#[tokio::test]
async fn openssl_verifies_the_signature_and_reads_the_next_certificates_inside_and_outside() {
    let next = next();
    let body = next_ca_certificates(&next, &ra().certificate, ra())
        .await
        .unwrap();
    let read = parse_next_ca_certificates(&body, &certificate(&ra().certificate)).unwrap();
    assert_eq!(read, next, "in their order");
    // jscep reads the outer list, and finds nothing there that is not new.
    assert_eq!(parse_ca_certificates(&body), Ok(next.clone()));

    let (message, known) = (ra().file("next.p7", &body), &ra().certificate_file);
    let inner = openssl(&[
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-in",
        message.to_str().unwrap(),
        "-certfile",
        known.to_str().unwrap(),
        "-nointern",
        "-noverify",
        "-binary",
    ]);
    assert_eq!(parse_ca_certificates(&inner), Ok(next));
}

#[tokio::test]
async fn what_another_key_signed_or_anybody_altered_is_refused() {
    let next = next();
    let known = certificate(&ra().certificate);
    let body = next_ca_certificates(&next, &ra().certificate, ra())
        .await
        .unwrap();
    let foreign = next_ca_certificates(&next, &ra().certificate, device())
        .await
        .unwrap();
    assert_eq!(
        parse_next_ca_certificates(&foreign, &known),
        Err(NextCaRefusal::Signature)
    );
    // The last octet of the inner list is the content's; the outer list stands behind it.
    let inner = next[1].as_slice();
    let place = body
        .windows(inner.len())
        .position(|window| window == inner)
        .unwrap();
    let mut altered = body.clone();
    altered[place + inner.len() - 1] ^= 1;
    assert_eq!(
        parse_next_ca_certificates(&altered, &known),
        Err(NextCaRefusal::Signature)
    );
    let unsigned = assay_scep::ca_certificates(&next).unwrap().0;
    assert_eq!(
        parse_next_ca_certificates(&unsigned, &known),
        Err(NextCaRefusal::Structure)
    );
    for cut in [0, 1, body.len() / 2, body.len() - 1] {
        assert!(parse_next_ca_certificates(&body[..cut], &known).is_err());
    }
}

/// The RA signs CertReps all day: one whose content is a list of certificates must not pass for an announcement.
#[tokio::test]
async fn a_cert_rep_with_a_list_of_certificates_is_not_an_announcement() {
    let list = assay_scep::ca_certificates(&next()).unwrap().0;
    let known = certificate(&ra().certificate);
    let message = PkiMessageBuilder::new(&ra().certificate, &ra().certificate, TRANSACTION, &NONCE)
        .build_around(Some(&list), ra())
        .await
        .unwrap();
    assert_eq!(
        parse_next_ca_certificates(&message, &known),
        Err(NextCaRefusal::PkiMessage)
    );
}

#[tokio::test]
async fn nothing_is_announced_that_is_no_certificate() {
    for (next, error) in [
        (vec![], CertificateListError::Empty),
        (
            vec![device().certificate.clone(), b"text".to_vec()],
            CertificateListError::NotACertificate { index: 1 },
        ),
    ] {
        let refused = next_ca_certificates(&next, &ra().certificate, ra()).await;
        assert!(matches!(refused, Err(NextCaError::Certificates(found)) if found == error));
    }
    let refused = next_ca_certificates(&next(), b"text", ra()).await;
    assert!(matches!(refused, Err(NextCaError::RaCertificate)));
}
