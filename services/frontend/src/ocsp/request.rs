//! OCSP requests (RFC 6960 section 4.1), read as far as the profile of RFC 5019 needs: which certificate is asked about.
//!
//! Signatures, requestor names and extensions, a nonce among them, are passed over: responses are signed beforehand and
//! are the same for everybody (RFC 5019 section 2.2.3).

use assay_proto::v1::{OcspHash, OcspIssuer};
use der::asn1::{Any, ObjectIdentifier, OctetString, Uint};
use der::{Decode, Sequence};

const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// The certificate that a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertId {
    pub(crate) issuer: OcspIssuer,
    /// Content octets.
    pub(crate) serial: Vec<u8>,
}

/// Why there is no certificate to tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// No DER OCSPRequest.
    Malformed,
    /// More certificates than one, or a hash algorithm that nothing is signed for.
    NotAnswered,
}

#[derive(Sequence)]
struct OcspRequest {
    tbs: TbsRequest,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    signature: Option<Any>,
}

#[derive(Sequence)]
struct TbsRequest {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    requestor: Option<Any>,
    /// Bounded by the length of the whole.
    requests: Vec<SingleRequest>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Any>,
}

#[derive(Sequence)]
struct SingleRequest {
    id: RequestedId,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Any>,
}

#[derive(Sequence)]
struct RequestedId {
    hash: Algorithm,
    name_hash: OctetString,
    key_hash: OctetString,
    serial: Uint,
}

#[derive(Sequence)]
struct Algorithm {
    oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    parameters: Option<Any>,
}

/// The one certificate that is asked about.
pub(crate) fn parse(request: &[u8]) -> Result<CertId, Unreadable> {
    let request = OcspRequest::from_der(request).map_err(|_| Unreadable::Malformed)?;
    if request.tbs.version.is_some_and(|version| version != 0) {
        return Err(Unreadable::Malformed);
    }
    let id = match request.tbs.requests.as_slice() {
        [one] => &one.id,
        [] => return Err(Unreadable::Malformed),
        [_, _, ..] => return Err(Unreadable::NotAnswered),
    };
    let hash = match id.hash.oid {
        SHA1 => OcspHash::Sha1,
        SHA256 => OcspHash::Sha256,
        _ => return Err(Unreadable::NotAnswered),
    };
    Ok(CertId {
        issuer: OcspIssuer {
            hash: hash.into(),
            name_hash: id.name_hash.as_bytes().to_vec(),
            key_hash: id.key_hash.as_bytes().to_vec(),
        },
        serial: id.serial.as_bytes().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `openssl ocsp -no_nonce -reqout` writes it.
    const ASKED: &[u8] =
        b"\x30\x46\x30\x44\x30\x42\x30\x40\x30\x3e\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\
        \x04\x14aaaaaaaaaaaaaaaaaaaa\x04\x14bbbbbbbbbbbbbbbbbbbb\x02\x05\x12\x34\x56\x78\x9a";

    fn with(change: impl FnOnce(&mut Vec<u8>)) -> Result<CertId, Unreadable> {
        let mut request = ASKED.to_vec();
        change(&mut request);
        parse(&request)
    }

    #[test]
    fn the_certificate_of_a_request_is_found() {
        let id = parse(ASKED).unwrap();
        assert_eq!(id.issuer.hash(), OcspHash::Sha1);
        assert_eq!(id.issuer.name_hash, [b'a'; 20]);
        assert_eq!(id.issuer.key_hash, [b'b'; 20]);
        assert_eq!(id.serial, [0x12, 0x34, 0x56, 0x78, 0x9a]);
    }

    #[test]
    fn what_is_cut_lengthened_or_no_der_is_malformed() {
        for length in 0..ASKED.len() {
            let cut = parse(&ASKED[..length]);
            assert_eq!(cut.unwrap_err(), Unreadable::Malformed, "{length}");
        }
        let longer = with(|request| request.push(0));
        assert_eq!(longer.unwrap_err(), Unreadable::Malformed);
        let negative = with(|request| *request.iter_mut().nth_back(4).unwrap() = 0x92);
        assert_eq!(negative.unwrap_err(), Unreadable::Malformed);
        let nothing = b"\x30\x04\x30\x02\x30\x00";
        assert_eq!(parse(nothing).unwrap_err(), Unreadable::Malformed);
    }

    #[test]
    fn several_certificates_or_another_hash_are_not_answered() {
        let one = &ASKED[6..];
        let list = [&[0x30, 0x81, 0x84][..], one, one].concat();
        let tbs = [&[0x30, 0x81, 0x87][..], &list].concat();
        let several = [&[0x30, 0x81, 0x8a][..], &tbs].concat();
        assert_eq!(parse(&several).unwrap_err(), Unreadable::NotAnswered);
        // 1.3.14.3.2.27 is no hash of a CertID.
        let other = with(|request| request[18] = 0x1b);
        assert_eq!(other.unwrap_err(), Unreadable::NotAnswered);
    }
}
