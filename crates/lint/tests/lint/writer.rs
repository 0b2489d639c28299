//! DER by hand, so that what is linted comes from neither our builder nor anybody's.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

use const_oid::ObjectIdentifier;

/// The fields of a TBSCertificate, each a whole TLV unless said otherwise.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) version: Vec<u8>,
    /// Content octets.
    pub(crate) serial: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) not_before: Vec<u8>,
    pub(crate) not_after: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    /// Between the key and the extensions.
    pub(crate) extra: Vec<u8>,
    pub(crate) extensions: Vec<Extension>,
}

#[derive(Clone)]
pub(crate) struct Extension {
    pub(crate) oid: ObjectIdentifier,
    pub(crate) critical: bool,
    pub(crate) value: Vec<u8>,
}

impl Extension {
    pub(crate) fn new(oid: ObjectIdentifier, critical: bool, value: Vec<u8>) -> Self {
        Self {
            oid,
            critical,
            value,
        }
    }

    fn to_der(&self) -> Vec<u8> {
        let critical = if self.critical {
            vec![1, 1, 0xff]
        } else {
            vec![]
        };
        sequence(&[oid(&self.oid.to_string()), critical, tlv(0x04, &self.value)])
    }
}

impl Parts {
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let extensions: Vec<Vec<u8>> = self.extensions.iter().map(Extension::to_der).collect();
        sequence(&[
            self.version.clone(),
            if self.serial.is_empty() {
                vec![]
            } else {
                tlv(0x02, &self.serial)
            },
            self.signature.clone(),
            self.issuer.clone(),
            sequence(&[self.not_before.clone(), self.not_after.clone()]),
            self.subject.clone(),
            self.spki.clone(),
            self.extra.clone(),
            tlv(0xa3, &sequence(&extensions)),
        ])
    }
}

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=0x7f => vec![short as u8],
        one @ 0x80..=0xff => vec![0x81, one as u8],
        two => vec![0x82, (two >> 8) as u8, two as u8],
    };
    [&[tag][..], &length, content].concat()
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn oid(dotted: &str) -> Vec<u8> {
    tlv(0x06, ObjectIdentifier::new(dotted).unwrap().as_bytes())
}

pub(crate) fn rdn(tag: u8, kind: &str, value: &[u8]) -> Vec<u8> {
    tlv(0x31, &sequence(&[oid(kind), tlv(tag, value)]))
}

pub(crate) fn name(rdns: &[Vec<u8>]) -> Vec<u8> {
    sequence(rdns)
}

/// ecdsa-with-SHA256.
pub(crate) fn algorithm() -> Vec<u8> {
    sequence(&[oid("1.2.840.10045.4.3.2")])
}
