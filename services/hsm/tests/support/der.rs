//! Whole structures by hand: those of `crates/shape`'s tests, for the CA of an installation and the time of the machine.

use std::sync::LazyLock;
use std::time::SystemTime;

use assay_hsm::{KeyAlgorithm, SignatureAlgorithm};
use assay_types::Timestamp;

pub(crate) use super::shape::{
    AKI, BC, CN, DAY, EKU, Extension, KU, Parts, SAN, SKI, dns, extension, oid, sequence, time, tlv,
};

const CRL_NUMBER: &str = "2.5.29.20";
const REASON: &str = "2.5.29.21";
const NO_CHECK: &str = "1.3.6.1.5.5.7.48.1.5";
const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

/// The time by the machine's clock, which the service has too.
pub fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A Name of one CN in UTF8String.
pub fn name(common_name: &str) -> Vec<u8> {
    super::shape::name(&[(CN, common_name)])
}

pub fn signature_algorithm(key: KeyAlgorithm) -> &'static [u8] {
    match key {
        KeyAlgorithm::Rsa(_) => SignatureAlgorithm::Sha256WithRsa,
        KeyAlgorithm::P384 => SignatureAlgorithm::EcdsaWithSha384,
        KeyAlgorithm::P256 | KeyAlgorithm::Ed25519 => SignatureAlgorithm::EcdsaWithSha256,
    }
    .to_der()
}

pub fn ca_true() -> Extension {
    extension(BC, true, b"\x30\x03\x01\x01\xff".to_vec())
}

/// keyUsage by its first octet and its number of unused bits.
pub fn key_usage(bits: u8, unused: u8) -> Extension {
    extension(KU, true, vec![0x03, 0x02, unused, bits])
}

/// extendedKeyUsage of an OCSP responder.
pub fn ocsp_signing() -> Extension {
    extension(EKU, false, sequence(&[&oid(OCSP_SIGNING)]))
}

/// id-pkix-ocsp-nocheck.
pub fn no_check() -> Extension {
    extension(NO_CHECK, false, vec![5, 0])
}

/// The INTEGER of a serial number of 128 bits, another one each time.
pub fn serial() -> Vec<u8> {
    let mut octets = [0; 16];
    openssl::rand::rand_bytes(&mut octets).unwrap();
    octets[0] = 0x41;
    tlv(2, &octets)
}

/// A TBSCertificate of a key, valid for ten years, with a subjectKeyIdentifier and these extensions.
pub fn certificate(
    issuer: &[u8],
    subject: &[u8],
    spki: &[u8],
    algorithm: &[u8],
    extensions: Vec<Extension>,
) -> Parts {
    let mut parts = Parts {
        version: b"\xa0\x03\x02\x01\x02".to_vec(),
        serial: serial(),
        algorithm: algorithm.to_vec(),
        issuer: issuer.to_vec(),
        not_before: time(now() - DAY * 30),
        not_after: time(now() + DAY * 3_650),
        subject: subject.to_vec(),
        spki: Vec::new(),
        unique: Vec::new(),
        extensions,
    };
    parts.extensions.push(extension(SKI, false, Vec::new()));
    parts.set_key(spki);
    parts
}

/// The form of [`leaf`].
pub const FORM: &str = r#"
[[form]]
name = "device"
extended_key_usage = ["clientAuth"]
key_usage = ["digitalSignature"]
lifetime_max = "90d"
backdate_max = "1h"
sans = ["dns"]
dns_subtrees = ["example.com"]
keys = { curves = ["p256"] }
"#;

/// A TBSCertificate of a device with a serial number of its own.
pub fn leaf(issuer: &[u8], issuer_key: &[u8], algorithm: &[u8]) -> Parts {
    static KEY: LazyLock<Vec<u8>> =
        LazyLock::new(|| super::shape::ec_key().public_key_to_der().unwrap());
    let extensions = vec![
        extension(BC, true, vec![0x30, 0]),
        key_usage(0x80, 7),
        extension(EKU, false, sequence(&[&oid(CLIENT_AUTH)])),
        extension(SAN, false, sequence(&[&dns("device.example.com")])),
        extension(AKI, false, sequence(&[&tlv(0x80, issuer_key)])),
    ];
    let mut parts = certificate(issuer, &name("device-1"), &KEY, algorithm, extensions);
    parts.not_before = time(now());
    parts.not_after = time(now() + DAY * 90);
    parts
}

/// A TBSCertList.
#[derive(Clone)]
pub struct List {
    pub algorithm: Vec<u8>,
    pub issuer: Vec<u8>,
    pub issuer_key: Vec<u8>,
    pub number: u64,
    pub this_update: Timestamp,
    pub next_update: Timestamp,
    /// INTEGER of a serial number, date, and reason code unless it is 0.
    pub entries: Vec<(Vec<u8>, Timestamp, u8)>,
    /// Extensions after authorityKeyIdentifier and cRLNumber.
    pub further: Vec<Extension>,
}

impl List {
    pub fn der(&self) -> Vec<u8> {
        let entries = self.entries.iter().map(|(serial, at, reason)| {
            let reason = match reason {
                0 => Vec::new(),
                code => sequence(&[&extension(REASON, false, vec![10, 1, *code]).der()]),
            };
            sequence(&[serial, &time(*at), &reason])
        });
        let entries = entries.collect::<Vec<_>>().concat();
        let entries = match entries.as_slice() {
            [] => Vec::new(),
            some => tlv(0x30, some),
        };
        let number = self.number.to_be_bytes();
        let number = [&[0][..], &number].concat();
        let zeros = number.iter().take_while(|octet| **octet == 0).count();
        // A sign octet where the first bit is set.
        let from = match number.get(zeros) {
            Some(octet) if *octet < 0x80 => zeros,
            _ => zeros - 1,
        };
        let extensions = [
            extension(AKI, false, sequence(&[&tlv(0x80, &self.issuer_key)])).der(),
            extension(CRL_NUMBER, false, tlv(2, &number[from..])).der(),
            self.further.iter().flat_map(Extension::der).collect(),
        ];
        sequence(&[
            &[2, 1, 1],
            &self.algorithm,
            &self.issuer,
            &time(self.this_update),
            &time(self.next_update),
            &entries,
            &tlv(0xa0, &tlv(0x30, &extensions.concat())),
        ])
    }
}

/// A CertificationRequestInfo without attributes.
pub fn request_info(subject: &[u8], spki: &[u8]) -> Vec<u8> {
    sequence(&[b"\x02\x01\x00", subject, spki, b"\xa0\x00"])
}

/// SEQUENCE { tbs, algorithm, signature }: a certificate or CRL.
pub fn signed(tbs: &[u8], algorithm: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[tbs, algorithm, &tlv(0x03, &[&[0], value].concat())])
}
