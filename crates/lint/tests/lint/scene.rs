//! A sound certificate and the CA that issues it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use assay_lint::{Expectation, IssuerCertificate, LINTS, check};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;

use crate::writer::{self, Extension, Parts, algorithm, name, rdn, sequence, tlv};

/// 2026-11-22T00:00:00Z.
pub(crate) const NOW: Duration = Duration::from_secs(1_795_305_600);
pub(crate) const ISSUER_KEY_IDENTIFIER: [u8; 20] = [0xa7; 20];
pub(crate) const KEY_USAGE: u16 = 0x05;

pub(crate) const POLICY: &str = "1.3.6.1.4.1.32473.1";
/// What the profile says, and what it comes to under this issuer.
pub(crate) const CRL_PATTERN: &str = "http://pki.example.com/{ca}.crl";
pub(crate) const CRL: &str = "http://pki.example.com/a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.crl";
pub(crate) const CA_PATTERN: &str = "ldap://pki.example.com/cn={ca}?cACertificate";
pub(crate) const CA_URL: &str =
    "ldap://pki.example.com/cn=a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7?cACertificate";
pub(crate) const OCSP: &str = "http://ocsp.example.com";

/// A sound certificate: `O=Example, CN=device-1`, `dns:a.example.com`, RSA 2048.
pub(crate) fn sound() -> Parts {
    let spki = rsa_spki(&[0xc1; 256], &[1, 0, 1]);
    Parts {
        version: tlv(0xa0, &tlv(0x02, &[2])),
        serial: vec![0x5a; 17],
        signature: algorithm(),
        issuer: name(&[rdn(0x0c, "2.5.4.3", b"Example CA")]),
        not_before: tlv(0x17, b"261121230000Z"),
        not_after: tlv(0x17, b"270220000000Z"),
        subject: name(&[
            rdn(0x0c, "2.5.4.10", b"Example"),
            rdn(0x0c, "2.5.4.3", b"device-1"),
        ]),
        extra: vec![],
        extensions: vec![
            Extension::new(oids::ID_CE_BASIC_CONSTRAINTS, true, vec![0x30, 0]),
            Extension::new(oids::ID_CE_KEY_USAGE, true, vec![0x03, 2, 5, 0xa0]),
            Extension::new(
                oids::ID_CE_EXT_KEY_USAGE,
                false,
                purposes(&[oids::ID_KP_CLIENT_AUTH]),
            ),
            Extension::new(
                oids::ID_CE_SUBJECT_KEY_IDENTIFIER,
                false,
                key_identifier(&spki),
            ),
            Extension::new(
                oids::ID_CE_AUTHORITY_KEY_IDENTIFIER,
                false,
                sequence(&[tlv(0x80, &ISSUER_KEY_IDENTIFIER)]),
            ),
            Extension::new(
                oids::ID_CE_SUBJECT_ALT_NAME,
                false,
                san(&[(0x82, b"a.example.com")]),
            ),
            Extension::new(
                oids::ID_CE_CERTIFICATE_POLICIES,
                false,
                sequence(&[sequence(&[writer::oid(POLICY)])]),
            ),
            Extension::new(
                oids::ID_CE_CRL_DISTRIBUTION_POINTS,
                false,
                distribution_points(&[CRL]),
            ),
            Extension::new(
                oids::ID_PE_AUTHORITY_INFO_ACCESS,
                false,
                access(&[(oids::ID_AD_CA_ISSUERS, CA_URL), (oids::ID_AD_OCSP, OCSP)]),
            ),
        ],
        spki,
    }
}

pub(crate) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let modulus = [&[0], modulus].concat();
    let key = sequence(&[tlv(0x02, &modulus), tlv(0x02, exponent)]);
    let algorithm = sequence(&[writer::oid("1.2.840.113549.1.1.1"), vec![5, 0]]);
    sequence(&[algorithm, tlv(0x03, &[&[0][..], &key].concat())])
}

/// A point of 64 times the same octet is on no curve.
pub(crate) fn ec_spki(point: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[
        writer::oid("1.2.840.10045.2.1"),
        writer::oid("1.2.840.10045.3.1.7"),
    ]);
    sequence(&[algorithm, tlv(0x03, &[&[0][..], point].concat())])
}

/// The generator of P-256, SEC 2 section 2.4.2.
pub(crate) fn generator() -> Vec<u8> {
    hex::decode(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
         4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    )
    .unwrap()
}

pub(crate) fn key_identifier(spki: &[u8]) -> Vec<u8> {
    // The key is the tail of the SPKI: the digest is taken over what follows the BIT STRING's unused-bits octet.
    let key = openssl::pkey::PKey::public_key_from_der(spki)
        .ok()
        .and_then(|key| key.rsa().ok())
        .map(|rsa| rsa.public_key_to_der_pkcs1().unwrap());
    let key = key.unwrap_or_else(|| spki[spki.len() - 65..].to_vec());
    tlv(0x04, &openssl::sha::sha1(&key))
}

pub(crate) fn purposes(oids: &[ObjectIdentifier]) -> Vec<u8> {
    sequence(
        &oids
            .iter()
            .map(|oid| writer::oid(&oid.to_string()))
            .collect::<Vec<_>>(),
    )
}

pub(crate) fn san(names: &[(u8, &[u8])]) -> Vec<u8> {
    sequence(
        &names
            .iter()
            .map(|(tag, value)| tlv(*tag, value))
            .collect::<Vec<_>>(),
    )
}

/// Changes an extension of the sound certificate.
pub(crate) fn extension(parts: &mut Parts, oid: ObjectIdentifier) -> &mut Extension {
    parts
        .extensions
        .iter_mut()
        .find(|extension| extension.oid == oid)
        .unwrap()
}

pub(crate) fn set_san(parts: &mut Parts, names: &[(u8, &[u8])]) {
    extension(parts, oids::ID_CE_SUBJECT_ALT_NAME).value = san(names);
}

pub(crate) fn distribution_points(urls: &[&str]) -> Vec<u8> {
    let urls: Vec<Vec<u8>> = urls.iter().map(|url| tlv(0x86, url.as_bytes())).collect();
    let point = tlv(0xa0, &tlv(0xa0, &urls.concat()));
    sequence(&[sequence(&[point])])
}

pub(crate) fn access(descriptions: &[(ObjectIdentifier, &str)]) -> Vec<u8> {
    let descriptions: Vec<Vec<u8>> = descriptions
        .iter()
        .map(|(method, url)| {
            sequence(&[writer::oid(&method.to_string()), tlv(0x86, url.as_bytes())])
        })
        .collect();
    sequence(&descriptions)
}

/// The CA's own TBSCertificate: critical CA:TRUE with path length 0, keyCertSign and cRLSign.
pub(crate) fn ca() -> Parts {
    Parts {
        issuer: name(&[rdn(0x0c, "2.5.4.3", b"Example Root")]),
        subject: name(&[rdn(0x0c, "2.5.4.3", b"Example CA")]),
        not_before: tlv(0x17, b"260101000000Z"),
        not_after: tlv(0x17, b"360101000000Z"),
        spki: ec_spki(&generator()),
        extensions: vec![
            Extension::new(
                oids::ID_CE_BASIC_CONSTRAINTS,
                true,
                sequence(&[vec![1, 1, 0xff], tlv(0x02, &[0])]),
            ),
            Extension::new(oids::ID_CE_KEY_USAGE, true, vec![0x03, 2, 1, 0x06]),
            Extension::new(
                oids::ID_CE_SUBJECT_KEY_IDENTIFIER,
                false,
                tlv(0x04, &ISSUER_KEY_IDENTIFIER),
            ),
        ],
        ..sound()
    }
}

pub(crate) fn certificate(tbs: &Parts) -> Vec<u8> {
    sequence(&[tbs.to_der(), algorithm(), tlv(0x03, &[0, 0])])
}

pub(crate) fn issuer() -> IssuerCertificate {
    IssuerCertificate::from_der(&certificate(&ca())).unwrap()
}

/// Names of the lints that fail on `parts` where `like` is what was expected.
pub(crate) fn failing(parts: &Parts, like: &Parts) -> BTreeSet<String> {
    failing_under(&issuer(), parts, like)
}

pub(crate) fn failing_under(
    issuer: &IssuerCertificate,
    parts: &Parts,
    like: &Parts,
) -> BTreeSet<String> {
    let extensions: Vec<(ObjectIdentifier, bool)> = like
        .extensions
        .iter()
        .map(|extension| (extension.oid, extension.critical))
        .collect();
    let san = like
        .extensions
        .iter()
        .find(|extension| extension.oid == oids::ID_CE_SUBJECT_ALT_NAME);
    let expectation = Expectation {
        issuer,
        signature_algorithm_der: &algorithm(),
        subject_der: &like.subject,
        spki_der: &like.spki,
        san_der: san.map(|extension| extension.value.as_slice()),
        extensions: &extensions,
        key_usage: KEY_USAGE,
        extended_key_usage: &[oids::ID_KP_CLIENT_AUTH],
        policies: &[ObjectIdentifier::new(POLICY).unwrap()],
        crl_distribution_points: &[CRL_PATTERN.to_owned()],
        ca_issuers: &[CA_PATTERN.to_owned()],
        ocsp: &[OCSP.to_owned()],
        max_validity: Duration::from_secs(91 * 86_400),
        now: SystemTime::UNIX_EPOCH + NOW,
    };
    match check(&parts.to_der(), &expectation) {
        Ok(report) => {
            assert_eq!(report.passed.len(), LINTS.len());
            assert_eq!(report.digest, openssl::sha::sha256(&parts.to_der()));
            BTreeSet::new()
        }
        Err(findings) => findings
            .iter()
            .map(|finding| finding.id.name().to_owned())
            .collect(),
    }
}
