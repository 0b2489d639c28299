//! One change a case, and the lint that must find it.

use const_oid::db::rfc5280 as oids;

use crate::scene::{
    CA_PATTERN, CA_URL, CRL, CRL_PATTERN, ISSUER_KEY_IDENTIFIER, OCSP, access, ca,
    distribution_points, ec_spki, extension, generator, purposes, rsa_spki, set_san,
};
use crate::writer::{self, Extension, Parts, name, rdn, sequence, tlv};

pub(crate) type Mutation = fn(&mut Parts);

/// A lint, and a change that it alone, or with others, must find.
pub(crate) const CASES: &[(&str, Mutation)] = &[
    ("der", |p| p.serial = vec![]),
    ("version", |p| p.version = vec![]),
    ("version", |p| p.version = tlv(0xa0, &tlv(0x02, &[1]))),
    ("serial-positive", |p| p.serial[0] = 0x80),
    ("serial-positive", |p| {
        p.serial = [&[0][..], &[0x5a; 17]].concat();
    }),
    ("serial-length", |p| p.serial = vec![0x5a; 21]),
    ("serial-entropy", |p| p.serial = vec![0x5a; 8]),
    ("signature-algorithm", |p| {
        p.signature = sequence(&[writer::oid("1.2.840.113549.1.1.5"), vec![5, 0]]);
    }),
    ("issuer-name", |p| {
        p.issuer = name(&[rdn(0x13, "2.5.4.3", b"Example CA")]);
    }),
    ("validity-encoding", |p| {
        p.not_after = tlv(0x18, b"20270220000000Z");
    }),
    ("validity-encoding", |p| {
        p.not_after = tlv(0x17, b"2702200000Z");
    }),
    ("validity-encoding", |p| {
        p.not_after = tlv(0x17, b"270220000000+0000");
    }),
    ("validity-order", |p| p.not_after = p.not_before.clone()),
    ("validity-now", |p| {
        p.not_before = tlv(0x17, b"261122000001Z");
    }),
    ("validity-now", |p| {
        p.not_after = tlv(0x17, b"261122000000Z");
    }),
    ("validity-nested", |p| {
        p.not_before = tlv(0x17, b"251231235959Z");
    }),
    ("validity-nested", |p| {
        p.not_after = tlv(0x17, b"360101000001Z");
    }),
    ("validity-length", |p| {
        p.not_after = tlv(0x17, b"270221000000Z");
    }),
    ("subject-expected", |p| {
        p.subject = name(&[rdn(0x0c, "2.5.4.3", b"device-1")]);
    }),
    ("subject-present", |p| p.subject = name(&[])),
    ("subject-strings", |p| {
        p.subject = name(&[rdn(0x14, "2.5.4.3", b"device-1")]);
    }),
    ("subject-strings", |p| {
        p.subject = name(&[rdn(0x0c, "2.5.4.3", b"device-1\0")]);
    }),
    ("subject-strings", |p| {
        p.subject = name(&[rdn(0x13, "2.5.4.3", b"device_1")]);
    }),
    ("subject-strings", |p| {
        p.subject = name(&[rdn(0x0c, "2.5.4.6", b"DE")]);
    }),
    ("subject-duplicates", |p| {
        p.subject = name(&[rdn(0x0c, "2.5.4.3", b"a"), rdn(0x0c, "2.5.4.3", b"a")]);
    }),
    ("key-expected", |p| {
        p.spki = rsa_spki(&[0xc3; 256], &[1, 0, 1]);
    }),
    ("key-strength", |p| {
        p.spki = rsa_spki(&[0xc1; 255], &[1, 0, 1]);
    }),
    ("key-strength", |p| p.spki = rsa_spki(&[0xc1; 256], &[3])),
    ("key-strength", |p| {
        p.spki = rsa_spki(&[0xc1; 256], &[0, 0xff, 0xff]);
    }),
    ("key-strength", |p| {
        p.spki = rsa_spki(&[0xc0; 256], &[1, 0, 1]);
    }),
    ("key-strength", |p| p.spki = ec_spki(&[4; 65])),
    ("unique-identifiers", |p| p.extra = tlv(0x81, &[0, 1])),
    ("extension-duplicates", |p| {
        let again = p.extensions[1].clone();
        p.extensions.push(again);
    }),
    ("extension-set", |p| {
        p.extensions.pop();
    }),
    ("extension-set", |p| {
        p.extensions.push(Extension::new(
            oids::ID_CE_NAME_CONSTRAINTS,
            false,
            vec![0x30, 0],
        ));
    }),
    ("extension-criticality", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).critical = false;
    }),
    ("extension-criticality", |p| {
        extension(p, oids::ID_CE_SUBJECT_KEY_IDENTIFIER).critical = true;
    }),
    ("extension-criticality", |p| {
        extension(p, oids::ID_CE_SUBJECT_ALT_NAME).critical = true;
    }),
    ("basic-constraints", |p| {
        extension(p, oids::ID_CE_BASIC_CONSTRAINTS).value = sequence(&[vec![1, 1, 0xff]]);
    }),
    ("key-usage", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 5, 0x80];
    }),
    ("key-usage", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 2, 0xa4];
    }),
    ("extended-key-usage", |p| {
        extension(p, oids::ID_CE_EXT_KEY_USAGE).value = purposes(&[oids::ID_KP_SERVER_AUTH]);
    }),
    ("extended-key-usage", |p| {
        extension(p, oids::ID_CE_EXT_KEY_USAGE).value = purposes(&[oids::ANY_EXTENDED_KEY_USAGE]);
    }),
    ("usage-consistency", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 3, 0x88];
    }),
    ("usage-consistency", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 5, 0x20];
    }),
    ("usage-consistency", |p| p.spki = ec_spki(&generator())),
    ("subject-key-identifier", |p| {
        extension(p, oids::ID_CE_SUBJECT_KEY_IDENTIFIER).value = tlv(0x04, &[7; 20]);
    }),
    ("authority-key-identifier", |p| {
        extension(p, oids::ID_CE_AUTHORITY_KEY_IDENTIFIER).value = sequence(&[tlv(0x80, &[8; 20])]);
    }),
    ("authority-key-identifier", |p| {
        let fields = [tlv(0x80, &ISSUER_KEY_IDENTIFIER), tlv(0x82, &[1])];
        extension(p, oids::ID_CE_AUTHORITY_KEY_IDENTIFIER).value = sequence(&fields);
    }),
    ("san-expected", |p| set_san(p, &[(0x82, b"b.example.com")])),
    ("san-forms", |p| set_san(p, &[])),
    ("san-forms", |p| set_san(p, &[(0x82, b"a_b.example.com")])),
    ("san-forms", |p| set_san(p, &[(0x82, b"a.example.com.")])),
    ("san-forms", |p| set_san(p, &[(0x82, b"a..example.com")])),
    ("san-forms", |p| set_san(p, &[(0x81, b"nobody")])),
    ("san-forms", |p| set_san(p, &[(0x86, b"no-scheme")])),
    ("san-forms", |p| set_san(p, &[(0x87, &[192, 0, 2])])),
    ("san-forms", |p| set_san(p, &[(0xa4, &[0x30, 0])])),
    ("san-duplicates", |p| {
        set_san(p, &[(0x82, b"a.example.com"), (0x82, b"a.example.com")]);
    }),
    // An OID whose last arc begins with a padding octet.
    ("der", |p| {
        let padded = tlv(0x06, &[0x55, 0x04, 0x80, 0x03]);
        p.subject = sequence(&[tlv(0x31, &sequence(&[padded, tlv(0x0c, b"device-1")]))]);
    }),
    // A multi-valued RDN out of order.
    ("der", |p| {
        let of = |kind: &str| sequence(&[writer::oid(kind), tlv(0x0c, b"x")]);
        p.subject = sequence(&[tlv(0x31, &[of("2.5.4.11"), of("2.5.4.3")].concat())]);
    }),
    // An unused bit that is set.
    ("der", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 5, 0xb0];
    }),
    // A second value inside an extension.
    ("der", |p| {
        extension(p, oids::ID_CE_BASIC_CONSTRAINTS).value = vec![0x30, 0, 0x30, 0];
    }),
    ("subject-lengths", |p| {
        p.subject = name(&[rdn(0x0c, "2.5.4.3", &[b'x'; 65])]);
    }),
    ("subject-lengths", |p| {
        p.subject = name(&[rdn(0x13, "2.5.4.6", b"D")]);
    }),
    ("subject-not-issuer", |p| p.subject = p.issuer.clone()),
    ("key-parameters", |p| {
        let without_null = sequence(&[writer::oid("1.2.840.113549.1.1.1")]);
        let null = sequence(&[writer::oid("1.2.840.113549.1.1.1"), vec![5, 0]]);
        let key = p.spki[4 + null.len()..].to_vec();
        p.spki = sequence(&[without_null, key]);
    }),
    ("key-not-issuer", |p| p.spki = ca().spki),
    ("signature-strength", |p| {
        p.signature = sequence(&[writer::oid("1.2.840.10045.4.1")]);
    }),
    // SHA-256 with RSA, of an issuer whose key is P-256.
    ("signature-strength", |p| {
        p.signature = sequence(&[writer::oid("1.2.840.113549.1.1.11"), vec![5, 0]]);
    }),
    ("extension-known", |p| {
        p.extensions.push(Extension::new(
            "2.5.29.32.1".parse().unwrap(),
            false,
            vec![0x05, 0],
        ));
    }),
    ("extension-encodings", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 4, 0xa0];
    }),
    ("extension-encodings", |p| {
        extension(p, oids::ID_CE_EXT_KEY_USAGE).value = purposes(&[]);
    }),
    ("extension-encodings", |p| {
        let twice = [oids::ID_KP_CLIENT_AUTH, oids::ID_KP_CLIENT_AUTH];
        extension(p, oids::ID_CE_EXT_KEY_USAGE).value = purposes(&twice);
    }),
    ("certificate-policies", |p| {
        let other = sequence(&[writer::oid("1.3.6.1.4.1.32473.2")]);
        extension(p, oids::ID_CE_CERTIFICATE_POLICIES).value = sequence(&[other]);
    }),
    ("certificate-policies", |p| {
        let qualified = sequence(&[writer::oid("1.3.6.1.4.1.32473.1"), sequence(&[])]);
        extension(p, oids::ID_CE_CERTIFICATE_POLICIES).value = sequence(&[qualified]);
    }),
    ("crl-distribution-points", |p| {
        let value = distribution_points(&["http://elsewhere.example/ca.crl"]);
        extension(p, oids::ID_CE_CRL_DISTRIBUTION_POINTS).value = value;
    }),
    ("crl-distribution-points", |p| {
        let value = distribution_points(&[CRL, CRL]);
        extension(p, oids::ID_CE_CRL_DISTRIBUTION_POINTS).value = value;
    }),
    ("crl-distribution-points", |p| {
        let value = distribution_points(&[&CRL.replacen("a7", "a8", 1)]);
        extension(p, oids::ID_CE_CRL_DISTRIBUTION_POINTS).value = value;
    }),
    ("crl-distribution-points", |p| {
        let value = distribution_points(&[&CRL.replace("a7", "A7")]);
        extension(p, oids::ID_CE_CRL_DISTRIBUTION_POINTS).value = value;
    }),
    ("crl-distribution-points", |p| {
        let value = distribution_points(&[CRL_PATTERN]);
        extension(p, oids::ID_CE_CRL_DISTRIBUTION_POINTS).value = value;
    }),
    ("authority-information-access", |p| {
        let value = access(&[(oids::ID_AD_OCSP, OCSP), (oids::ID_AD_CA_ISSUERS, CA_URL)]);
        extension(p, oids::ID_PE_AUTHORITY_INFO_ACCESS).value = value;
    }),
    ("authority-information-access", |p| {
        let value = access(&[(oids::ID_AD_CA_ISSUERS, "ftp://pki.example.com")]);
        extension(p, oids::ID_PE_AUTHORITY_INFO_ACCESS).value = value;
    }),
    ("authority-information-access", |p| {
        let other = CA_URL.replacen("a7", "a8", 1);
        let value = access(&[(oids::ID_AD_CA_ISSUERS, &other), (oids::ID_AD_OCSP, OCSP)]);
        extension(p, oids::ID_PE_AUTHORITY_INFO_ACCESS).value = value;
    }),
    ("authority-information-access", |p| {
        let ca = (oids::ID_AD_CA_ISSUERS, CA_PATTERN);
        let value = access(&[ca, (oids::ID_AD_OCSP, OCSP)]);
        extension(p, oids::ID_PE_AUTHORITY_INFO_ACCESS).value = value;
    }),
];
