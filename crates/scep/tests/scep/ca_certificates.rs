use assay_scep::{CertificateListError, ca_certificates, parse_ca_certificates};

use crate::support::*;

#[test]
fn the_stated_order_is_kept() {
    let (first, second) = (ra().certificate.clone(), device().certificate.clone());
    for order in [
        vec![first.clone(), second.clone()],
        vec![second, first.clone()],
    ] {
        let (body, content_type) = ca_certificates(&order).unwrap();
        assert_eq!(content_type, "application/x-x509-ca-ra-cert");
        assert_eq!(parse_ca_certificates(&body), Ok(order.clone()));

        let file = ra().file("list.p7", &body);
        let printed = openssl(&[
            "pkcs7",
            "-print_certs",
            "-inform",
            "DER",
            "-in",
            file.to_str().unwrap(),
        ]);
        let printed = String::from_utf8(printed).unwrap();
        let ra_is_first = printed.find("CN = RA") < printed.find("CN = device-1");
        assert_eq!(
            ra_is_first,
            order[0] == first,
            "OpenSSL reads the same order"
        );
    }
}

#[test]
fn a_lone_certificate_is_sent_as_it_is() {
    let (body, content_type) = ca_certificates(&[ra().certificate.clone()]).unwrap();
    assert_eq!(
        (&body, content_type),
        (&ra().certificate, "application/x-x509-ca-cert")
    );
    assert_eq!(parse_ca_certificates(&body), Ok(vec![body.clone()]));
}

#[test]
fn what_is_no_certificate_is_not_sent() {
    assert_eq!(ca_certificates(&[]), Err(CertificateListError::Empty));
    let list = [ra().certificate.clone(), b"text".to_vec()];
    assert_eq!(
        ca_certificates(&list),
        Err(CertificateListError::NotACertificate { index: 1 })
    );
    assert_eq!(
        parse_ca_certificates(b"<html>"),
        Err(CertificateListError::NotAList)
    );
}
