//! OCSP responses (RFC 6960 section 4.2.1): one status each, by key, without extensions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay_store::CertIdHash;
use const_oid::db::rfc5912::{ID_SHA_1, ID_SHA_256};
use const_oid::db::rfc6960::ID_PKIX_OCSP_BASIC;
use der::asn1::{Any, BitString, GeneralizedTime, Null, ObjectIdentifier, OctetString, Uint};
use der::{Choice, Decode, Encode, Sequence, Tag};
use x509_cert::ext::pkix::CrlReason;

/// The CA of a CertID, under one hash algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issuer {
    pub(crate) hash: CertIdHash,
    pub(crate) name_hash: Vec<u8>,
    pub(crate) key_hash: Vec<u8>,
}

/// A certificate's status and for how long it may be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement<'a> {
    /// Content octets.
    pub(super) serial: &'a [u8],
    pub(super) revoked: Option<(SystemTime, CrlReason)>,
    /// Also producedAt.
    pub(super) this_update: SystemTime,
    pub(super) next_update: SystemTime,
}

/// The version is v1 and so left out.
#[derive(Sequence)]
struct ResponseData {
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    by_key: OctetString,
    produced_at: GeneralizedTime,
    responses: Vec<SingleResponse>,
}

#[derive(Sequence)]
struct SingleResponse {
    cert_id: CertId,
    status: Status,
    this_update: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    next_update: GeneralizedTime,
}

#[derive(Sequence)]
struct CertId {
    hash_algorithm: Algorithm,
    issuer_name_hash: OctetString,
    issuer_key_hash: OctetString,
    serial: Uint,
}

/// Parameters NULL, as clients send and compare them.
#[derive(Sequence)]
struct Algorithm {
    algorithm: ObjectIdentifier,
    parameters: Null,
}

#[derive(Choice)]
enum Status {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(Revoked),
}

#[derive(Sequence)]
struct Revoked {
    at: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    reason: Option<CrlReason>,
}

#[derive(Sequence)]
struct BasicOcspResponse {
    data: Any,
    signature_algorithm: Any,
    signature: BitString,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    certificates: Option<Vec<Any>>,
}

#[derive(Sequence)]
struct OcspResponse {
    status: Any,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    bytes: ResponseBytes,
}

#[derive(Sequence)]
struct ResponseBytes {
    response_type: ObjectIdentifier,
    response: OctetString,
}

/// DER of the ResponseData that the responder of this key hash signs.
pub(super) fn data(
    key_hash: &[u8],
    issuer: &Issuer,
    statement: Statement<'_>,
) -> der::Result<Vec<u8>> {
    let this_update = time(statement.this_update)?;
    let status = match statement.revoked {
        None => Status::Good(Null),
        Some((at, reason)) => Status::Revoked(Revoked {
            at: time(at)?,
            // As on the CRL: left out rather than unspecified.
            reason: Some(reason).filter(|reason| *reason != CrlReason::Unspecified),
        }),
    };
    ResponseData {
        by_key: OctetString::new(key_hash)?,
        produced_at: this_update,
        responses: vec![SingleResponse {
            cert_id: CertId {
                hash_algorithm: Algorithm {
                    algorithm: oid(issuer.hash),
                    parameters: Null,
                },
                issuer_name_hash: OctetString::new(issuer.name_hash.as_slice())?,
                issuer_key_hash: OctetString::new(issuer.key_hash.as_slice())?,
                serial: Uint::new(statement.serial)?,
            },
            status,
            this_update,
            next_update: time(statement.next_update)?,
        }],
    }
    .to_der()
}

/// DER of the BasicOCSPResponse, as it is kept: without the responder's certificate, which is the same in all.
pub(super) fn basic(data: &[u8], algorithm: &[u8], signature: &[u8]) -> der::Result<Vec<u8>> {
    BasicOcspResponse {
        data: Any::from_der(data)?,
        signature_algorithm: Any::from_der(algorithm)?,
        signature: BitString::from_bytes(signature)?,
        certificates: None,
    }
    .to_der()
}

/// DER of the OCSPResponse, as it is sent.
pub(super) fn whole(basic: &[u8], certificate: &[u8]) -> der::Result<Vec<u8>> {
    let basic = BasicOcspResponse {
        certificates: Some(vec![Any::from_der(certificate)?]),
        ..BasicOcspResponse::from_der(basic)?
    };
    OcspResponse {
        // successful.
        status: Any::new(Tag::Enumerated, [0].as_slice())?,
        bytes: ResponseBytes {
            response_type: ID_PKIX_OCSP_BASIC,
            response: OctetString::new(basic.to_der()?)?,
        },
    }
    .to_der()
}

fn oid(hash: CertIdHash) -> ObjectIdentifier {
    match hash {
        CertIdHash::Sha1 => ID_SHA_1,
        CertIdHash::Sha256 => ID_SHA_256,
    }
}

/// In whole seconds (RFC 5019 section 2.2.4).
fn time(at: SystemTime) -> der::Result<GeneralizedTime> {
    let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    GeneralizedTime::from_unix_duration(Duration::from_secs(since_epoch.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &[u8] = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";

    fn issuer() -> Issuer {
        Issuer {
            hash: CertIdHash::Sha1,
            name_hash: vec![1; 20],
            key_hash: vec![2; 20],
        }
    }

    fn statement(revoked: Option<(SystemTime, CrlReason)>) -> Statement<'static> {
        let this_update = UNIX_EPOCH + Duration::from_millis(1_700_000_000_999);
        Statement {
            serial: &[0x00, 0x80],
            revoked,
            this_update,
            next_update: this_update + Duration::from_secs(60),
        }
    }

    /// By hand, as RFC 6960 has it.
    fn wanted(status: &[u8]) -> Vec<u8> {
        let tlv = |tag: u8, parts: &[&[u8]]| {
            let content = parts.concat();
            let length = u8::try_from(content.len()).unwrap();
            let head = if length < 0x80 {
                vec![tag, length]
            } else {
                vec![tag, 0x81, length]
            };
            [head, content].concat()
        };
        let this_update = tlv(0x18, &[b"20231114221320Z"]);
        let next_update = tlv(0x18, &[b"20231114221420Z"]);
        let cert_id = tlv(
            0x30,
            &[
                SHA1,
                &tlv(0x04, &[&[1; 20]]),
                &tlv(0x04, &[&[2; 20]]),
                b"\x02\x02\x00\x80",
            ],
        );
        let single = tlv(
            0x30,
            &[&cert_id, status, &this_update, &tlv(0xa0, &[&next_update])],
        );
        let by_key = tlv(0xa2, &[&tlv(0x04, &[&[3; 20]])]);
        tlv(0x30, &[&by_key, &this_update, &tlv(0x30, &[&single])])
    }

    #[test]
    fn a_good_status_is_encoded_as_the_rfc_has_it() {
        let data = data(&[3; 20], &issuer(), statement(None)).unwrap();
        assert_eq!(data, wanted(b"\x80\x00"));
    }

    #[test]
    fn a_revoked_status_has_its_time_and_a_reason_that_says_something() {
        let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let hold = statement(Some((at, CrlReason::CertificateHold)));
        let with_reason = b"\xa1\x16\x18\x0f20231114221320Z\xa0\x03\x0a\x01\x06";
        assert_eq!(
            data(&[3; 20], &issuer(), hold).unwrap(),
            wanted(with_reason)
        );
        let unspecified = statement(Some((at, CrlReason::Unspecified)));
        let without = b"\xa1\x11\x18\x0f20231114221320Z";
        assert_eq!(
            data(&[3; 20], &issuer(), unspecified).unwrap(),
            wanted(without)
        );
    }

    #[test]
    fn the_certificate_is_put_to_what_was_kept_without() {
        let data = data(&[3; 20], &issuer(), statement(None)).unwrap();
        let basic = basic(&data, SHA1, b"signature").unwrap();
        let certificate = b"\x30\x03\x02\x01\x07";
        let whole = whole(&basic, certificate).unwrap();
        assert!(whole.ends_with(b"\xa0\x07\x30\x05\x30\x03\x02\x01\x07"));
        let parsed = openssl::ocsp::OcspResponse::from_der(&whole).unwrap();
        assert_eq!(
            parsed.status(),
            openssl::ocsp::OcspResponseStatus::SUCCESSFUL
        );
    }
}
