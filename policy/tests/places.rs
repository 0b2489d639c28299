//! `{ca}` in the URLs of a profile: what a certificate has in its place, by an independent reader, and what is kept.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod support;

use assay_policy::{Issuer, Profile, Tbs, TbsError, decide, tbs};
use der::{Decode, Encode};
use support::{changed_profile, now, profile, serial};

const IDENTIFIER: [u8; 20] = [
    0xab, 0x01, 0xff, 0x00, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 0xcd,
];
const HEX: &str = "ab01ff0005060708090a0b0c0d0e0f10111213cd";

fn issuer(key_identifier: &[u8]) -> Issuer {
    Issuer {
        key_identifier: key_identifier.to_vec(),
        ..support::issuer()
    }
}

fn build(profile: &Profile, key_identifier: &[u8]) -> Result<Tbs, TbsError> {
    let issuer = issuer(key_identifier);
    let permit = decide(profile, &support::device()).unwrap();
    let (not_before, not_after) = profile.validity(now(), &issuer);
    tbs(profile, permit, &issuer, &serial(), not_before, not_after)
}

/// The demo's profile with these lines about certificates.
fn with(lines: &str) -> Profile {
    let to = format!("[certificate]\n{lines}");
    changed_profile("demo", "devices", "[certificate]\n", &to)
}

/// Every URL of the certificate, in order, as the DER has them.
fn urls(tbs: &Tbs) -> Vec<String> {
    let read = x509_cert::TbsCertificate::from_der(tbs.der()).unwrap();
    let mut found = Vec::new();
    for oid in ["2.5.29.31", "1.3.6.1.5.5.7.1.1"] {
        let extensions = read.extensions().unwrap();
        let extension = extensions
            .iter()
            .find(|extension| extension.extn_id.to_string() == oid);
        let value = extension.unwrap().extn_value.as_bytes();
        collect(value, &mut found);
    }
    found
}

/// What is tagged `[6]`, at any depth.
fn collect(mut der: &[u8], found: &mut Vec<String>) {
    while let Ok((any, rest)) = der::asn1::AnyRef::from_der_partial(der) {
        let encoded = any.to_der().unwrap();
        match encoded[0] {
            0x86 => found.push(String::from_utf8(any.value().to_vec()).unwrap()),
            constructed if constructed & 0x20 != 0 => collect(any.value(), found),
            _ => {}
        }
        der = rest;
    }
}

const EVERYWHERE: &str = "\
crl_distribution_points = [\"http://pki.example.com/crl/{ca}.crl\", \"ldap://pki.example.com/cn={ca},o=Example?crl\", \"http://pki.example.com/ca.crl\"]
ca_issuers = [\"https://{ca}.example.com\"]
ocsp = [\"http://ocsp.example.com\"]
";

#[test]
fn a_certificate_has_the_key_identifier_of_its_ca_in_lowercase_hex() {
    let devices = with(EVERYWHERE);
    for (identifier, hex) in [
        (&IDENTIFIER[..], HEX),
        (&[0xaa], "aa"),
        (&[0x0f; 64], &"0f".repeat(64)),
    ] {
        assert_eq!(
            urls(&build(&devices, identifier).unwrap()),
            [
                format!("http://pki.example.com/crl/{hex}.crl"),
                format!("ldap://pki.example.com/cn={hex},o=Example?crl"),
                "http://pki.example.com/ca.crl".to_owned(),
                format!("https://{hex}.example.com"),
                "http://ocsp.example.com".to_owned(),
            ]
        );
    }
}

#[test]
fn an_identifier_that_urls_have_no_room_for_is_refused_where_it_would_be_written() {
    for lines in [
        "crl_distribution_points = [\"http://pki.example.com/{ca}.crl\"]\n",
        "ca_issuers = [\"http://pki.example.com/{ca}.cer\"]\n",
    ] {
        for octets in [0, 65] {
            let error = build(&with(lines), &vec![7; octets]).unwrap_err();
            assert!(
                matches!(error, TbsError::KeyIdentifier { octets: told } if told == octets),
                "{error}"
            );
        }
    }
    let plain = with("ca_issuers = [\"http://pki.example.com/ca.cer\"]\n");
    assert!(build(&plain, &[7; 65]).is_ok());
}

#[test]
fn the_model_and_the_expectation_keep_what_is_written() {
    let devices = with(EVERYWHERE);
    let settings = devices.settings();
    assert_eq!(
        settings["certificate.ca_issuers"].to_string(),
        "[\"https://{ca}.example.com\"]"
    );
    let permit = decide(&devices, &support::device()).unwrap();
    let expected = devices.expected(&permit).unwrap();
    assert_eq!(
        expected.crl_distribution_points,
        devices.crl_distribution_points()
    );
    assert_eq!(expected.ca_issuers, ["https://{ca}.example.com"]);
    assert_eq!(expected.ocsp, devices.ocsp());
}

#[test]
fn a_url_that_is_the_same_for_every_ca_is_found() {
    let crl = "crl_distribution_points = [\"http://a/{ca}\", \"http://b/crl\", \"http://c/crl\"]\n";
    let certificate = "ca_issuers = [\"http://a/{ca}\", \"http://b/cer\"]\n";
    let ocsp = "ocsp = [\"http://a/ocsp\"]\n";
    for (lines, found) in [
        (format!("{crl}{certificate}"), Some("http://b/crl")),
        (certificate.to_owned(), Some("http://b/cer")),
        (ocsp.to_owned(), None),
        ("ca_issuers = [\"http://a/{ca}\"]\n".to_owned() + ocsp, None),
        (String::new(), None),
    ] {
        assert_eq!(with(&lines).names_one_ca(), found, "{lines}");
    }
    assert_eq!(profile("examples", "wifi-device").names_one_ca(), None);
}
