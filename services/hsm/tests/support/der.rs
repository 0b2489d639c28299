//! Just enough DER to write good and bad certificates by hand.

use assay_hsm::{KeyAlgorithm, SignatureAlgorithm};

pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut der = vec![tag];
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    match (high, low) {
        (0, 0..0x80) => der.push(low),
        (0, _) => der.extend([0x81, low]),
        (_, _) => der.extend([0x82, high, low]),
    }
    der.extend(content);
    der
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

/// A Name of one CN in UTF8String.
pub fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[
        b"\x06\x03\x55\x04\x03",
        &tlv(0x0c, &[common_name.as_bytes()]),
    ]);
    sequence(&[&tlv(0x31, &[&attribute])])
}

pub fn signature_algorithm(key: KeyAlgorithm) -> &'static [u8] {
    match key {
        KeyAlgorithm::Rsa(_) => SignatureAlgorithm::Sha256WithRsa,
        KeyAlgorithm::P384 => SignatureAlgorithm::EcdsaWithSha384,
        KeyAlgorithm::P256 | KeyAlgorithm::Ed25519 => SignatureAlgorithm::EcdsaWithSha256,
    }
    .to_der()
}

pub fn extension(oid: u8, value: &[u8]) -> Vec<u8> {
    sequence(&[
        &[0x06, 0x03, 0x55, 0x1d, oid],
        b"\x01\x01\xff",
        &tlv(0x04, &[value]),
    ])
}

pub fn ca_true() -> Vec<u8> {
    extension(19, b"\x30\x03\x01\x01\xff")
}

pub fn ca_false() -> Vec<u8> {
    extension(19, b"\x30\x00")
}

/// keyUsage by its first octet and its number of unused bits.
pub fn key_usage(bits: u8, unused: u8) -> Vec<u8> {
    extension(15, &[0x03, 0x02, unused, bits])
}

#[derive(Clone)]
pub struct Tbs {
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub spki: Vec<u8>,
    pub signature: Vec<u8>,
    pub extensions: Vec<Vec<u8>>,
}

impl Tbs {
    pub fn to_der(&self) -> Vec<u8> {
        let time = |text: &[u8]| tlv(0x17, &[text]);
        let validity = sequence(&[&time(b"260101000000Z"), &time(b"360101000000Z")]);
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let extensions = if extensions.is_empty() {
            vec![]
        } else {
            tlv(0xa3, &[&sequence(&extensions)])
        };
        sequence(&[
            b"\xa0\x03\x02\x01\x02",
            b"\x02\x02\x12\x34",
            &self.signature,
            &self.issuer,
            &validity,
            &self.subject,
            &self.spki,
            &extensions,
        ])
    }
}

/// A TBSCertList without entries.
pub fn tbs_cert_list(issuer: &[u8], signature: &[u8]) -> Vec<u8> {
    let time = |text: &[u8]| tlv(0x17, &[text]);
    let number = sequence(&[b"\x06\x03\x55\x1d\x14", b"\x04\x03\x02\x01\x01"]);
    sequence(&[
        b"\x02\x01\x01",
        signature,
        issuer,
        &time(b"260101000000Z"),
        &time(b"260201000000Z"),
        &tlv(0xa0, &[&sequence(&[&number])]),
    ])
}

/// A CertificationRequestInfo without attributes.
pub fn request_info(subject: &[u8], spki: &[u8]) -> Vec<u8> {
    sequence(&[b"\x02\x01\x00", subject, spki, b"\xa0\x00"])
}

/// A SET OF two attributes as CMS signs it.
pub fn signed_attributes() -> Vec<u8> {
    let content_type = sequence(&[
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03",
        &tlv(0x31, &[b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"]),
    ]);
    let digest = sequence(&[
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04",
        &tlv(0x31, &[&tlv(0x04, &[&[7; 32]])]),
    ]);
    tlv(0x31, &[&content_type, &digest])
}

/// SEQUENCE { tbs, algorithm, signature }: a certificate, CRL or request.
pub fn signed(tbs: &[u8], algorithm: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[tbs, algorithm, &tlv(0x03, &[&[0], value])])
}

/// extendedKeyUsage of an OCSP responder.
pub fn ocsp_signing() -> Vec<u8> {
    extension(
        0x25,
        &sequence(&[b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x09"]),
    )
}

/// id-pkix-ocsp-nocheck.
pub fn no_check() -> Vec<u8> {
    sequence(&[
        b"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x05",
        b"\x04\x02\x05\x00",
    ])
}

pub const SHA1: &[u8] = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";

/// What an OCSP ResponseData says, and the parts that a test may bend.
#[derive(Clone)]
pub struct ResponseData {
    pub responder: Vec<u8>,
    pub produced_at: &'static [u8],
    pub hash: &'static [u8],
    pub issuer_name: Vec<u8>,
    pub issuer_key: Vec<u8>,
    pub status: &'static [u8],
    pub this_update: &'static [u8],
    pub next_update: Option<&'static [u8]>,
    /// After nextUpdate, and after the responses.
    pub extensions: [&'static [u8]; 2],
    pub copies: usize,
}

impl ResponseData {
    pub fn to_der(&self) -> Vec<u8> {
        let time = |text: &[u8]| tlv(0x18, &[text]);
        let id = sequence(&[
            self.hash,
            &tlv(0x04, &[&self.issuer_name]),
            &tlv(0x04, &[&self.issuer_key]),
            b"\x02\x02\x12\x34",
        ]);
        let next = self.next_update;
        let next = next.map_or(vec![], |next| tlv(0xa0, &[&time(next)]));
        let [of_one, of_all] = self.extensions;
        let single = sequence(&[&id, self.status, &time(self.this_update), &next, of_one]);
        let singles = vec![single.as_slice(); self.copies];
        sequence(&[
            &tlv(0xa2, &[&tlv(0x04, &[&self.responder])]),
            &time(self.produced_at),
            &sequence(&singles),
            of_all,
        ])
    }
}
