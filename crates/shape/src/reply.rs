//! The signed attributes (RFC 5652 section 5.4) of what an RA signs: a CertRep (RFC 8894 section 3.3.2), and the answer
//! to GetNextCACert (section 4.7.1). Each comes with the content that it is about.

use assay_types::Digest;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{
    ID_CONTENT_TYPE, ID_DATA, ID_ENVELOPED_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA,
};
use der::asn1::{Any, OctetString, SetOfVec};
use der::{Decode, Encode, Sequence, Tag, TagNumber, Tagged, ValueOrd};
use openssl::hash::{MessageDigest, hash};
use thiserror::Error;
use x509_cert::Certificate;

use crate::exact;

/// Longest content in bytes: what one frame of the service holds.
pub const MAX_CONTENT: usize = 1_024 * 1_024;
/// Longest signed attributes in bytes. Those of a CertRep have about 250, and a failInfoText at most some thousand.
pub const MAX_SIGNED_ATTRIBUTES: usize = 16 * 1_024;
/// As `crates/scep` takes them from requests, which they are copied from.
const MAX_TRANSACTION_ID: usize = 255;
const MAX_NONCE: usize = 64;
/// Certificates of a next CA: RA certificates, the CA, its chain.
const MAX_CERTIFICATES: usize = 16;

const MESSAGE_TYPE: ObjectIdentifier = scep("2.16.840.1.113733.1.9.2");
const PKI_STATUS: ObjectIdentifier = scep("2.16.840.1.113733.1.9.3");
const FAIL_INFO: ObjectIdentifier = scep("2.16.840.1.113733.1.9.4");
const SENDER_NONCE: ObjectIdentifier = scep("2.16.840.1.113733.1.9.5");
const RECIPIENT_NONCE: ObjectIdentifier = scep("2.16.840.1.113733.1.9.6");
const TRANSACTION_ID: ObjectIdentifier = scep("2.16.840.1.113733.1.9.7");
const FAIL_INFO_TEXT: ObjectIdentifier = scep("1.3.6.1.5.5.7.24.1");
const CERT_REP: &[u8] = b"3";

/// The ciphers of RFC 8894 section 3.5.2 and RFC 3565 that a policy can list.
const CIPHERS: [ObjectIdentifier; 4] = [
    ObjectIdentifier::new_unwrap("1.2.840.113549.3.7"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.2"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.22"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42"),
];

const fn scep(oid: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(oid)
}

/// The signed attributes of a CertRep that may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertRep {
    /// Its answer to the request.
    pub status: PkiStatus,
    /// Of the request that it answers.
    pub transaction_id: String,
    /// The DER SET OF that is hashed and signed.
    pub signed_attributes: Vec<u8>,
}

/// pkiStatus (RFC 8894 section 3.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkiStatus {
    /// Granted: the content is an EnvelopedData.
    Success,
    /// Refused: there is no content.
    Failure,
    /// Waiting for a decision: there is no content.
    Pending,
}

/// The certificates that GetNextCACert may have.
#[derive(Clone, Debug)]
pub struct NextCa {
    contents: Vec<Vec<u8>>,
}

/// Why a next CA cannot be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NextCaError {
    /// None, or more than [`NextCa::new`] takes.
    #[error("wanted 1 to {MAX_CERTIFICATES} certificates of the next CA")]
    Count,
    /// One that cannot be decoded.
    #[error("a certificate of the next CA cannot be decoded")]
    Certificate,
}

/// The rule that refused signed attributes or their content.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplyRefusal {
    /// Longer than [`MAX_CONTENT`] or [`MAX_SIGNED_ATTRIBUTES`].
    #[error("the content or the signed attributes are too long")]
    TooLong,
    /// Not DER, not sorted, or an attribute with several values.
    #[error("the signed attributes are not the DER of a SET OF Attribute with one value each")]
    Malformed,
    /// The same attribute again.
    #[error("the attribute {0} occurs twice")]
    Repeated(ObjectIdentifier),
    /// An attribute of another message.
    #[error("the attribute {0} does not belong to this message")]
    Unlisted(ObjectIdentifier),
    /// An attribute that the message needs.
    #[error("the attribute {0} is missing")]
    Missing(ObjectIdentifier),
    /// Another type, length or content than RFC 8894 section 3.2.1 and our requests have.
    #[error("the value of the attribute {0} is not one that this message has")]
    Value(ObjectIdentifier),
    /// Of other content.
    #[error("messageDigest is not the digest of the content")]
    MessageDigest,
    /// Anything but one EnvelopedData.
    #[error("the content of a SUCCESS is not an EnvelopedData for one recipient")]
    NotEnveloped,
    /// RFC 8894 section 3.3.2.
    #[error("a FAILURE or PENDING has content")]
    NotEmpty,
    /// Other certificates, or another order.
    #[error("the content is not the certificates of the next CA in the service's configuration")]
    NotNextCa,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
struct Attribute {
    oid: ObjectIdentifier,
    values: SetOfVec<Any>,
}

struct Attributes(Vec<(ObjectIdentifier, Any)>);

#[derive(Sequence)]
struct ContentInfo {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: EnvelopedData,
}

/// RFC 5652 section 6.1, without originatorInfo and unprotectedAttrs.
#[derive(Sequence)]
struct EnvelopedData {
    version: u8,
    recipients: SetOfVec<Any>,
    encrypted: EncryptedContent,
}

#[derive(Sequence)]
struct EncryptedContent {
    content_type: ObjectIdentifier,
    algorithm: Cipher,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    octets: OctetString,
}

#[derive(Sequence)]
struct Cipher {
    oid: ObjectIdentifier,
    iv: OctetString,
}

impl CertRep {
    /// Accepts the signed attributes of a CertRep over this content, which is empty for FAILURE and PENDING. `digest` is
    /// the algorithm of messageDigest and of the signature.
    ///
    /// # Errors
    /// [`ReplyRefusal`], the first rule that does not hold.
    pub fn check(
        content: &[u8],
        signed_attributes: &[u8],
        digest: Digest,
    ) -> Result<Self, ReplyRefusal> {
        let attributes = Attributes::parse(signed_attributes)?;
        let text = |oid| attributes.value(oid, Tag::PrintableString);
        let status = match text(PKI_STATUS)? {
            b"0" => PkiStatus::Success,
            b"2" => PkiStatus::Failure,
            b"3" => PkiStatus::Pending,
            _ => return Err(ReplyRefusal::Value(PKI_STATUS)),
        };
        let is_failure = status == PkiStatus::Failure;
        attributes.only(|oid| match oid {
            TRANSACTION_ID | MESSAGE_TYPE | RECIPIENT_NONCE | SENDER_NONCE | PKI_STATUS => true,
            FAIL_INFO | FAIL_INFO_TEXT => is_failure,
            _ => false,
        })?;
        if text(MESSAGE_TYPE)? != CERT_REP {
            return Err(ReplyRefusal::Value(MESSAGE_TYPE));
        }
        if is_failure && !matches!(text(FAIL_INFO)?, [b'0'..=b'4']) {
            return Err(ReplyRefusal::Value(FAIL_INFO));
        }
        if attributes.has(FAIL_INFO_TEXT) {
            let value = attributes.value(FAIL_INFO_TEXT, Tag::Utf8String)?;
            std::str::from_utf8(value).map_err(|_| ReplyRefusal::Value(FAIL_INFO_TEXT))?;
        }
        for oid in [RECIPIENT_NONCE, SENDER_NONCE] {
            let length = attributes.value(oid, Tag::OctetString)?.len();
            if !(1..=MAX_NONCE).contains(&length) {
                return Err(ReplyRefusal::Value(oid));
            }
        }
        let transaction_id = std::str::from_utf8(text(TRANSACTION_ID)?)
            .ok()
            .filter(|id| (1..=MAX_TRANSACTION_ID).contains(&id.len()))
            .filter(|id| {
                id.bytes()
                    .all(|octet| octet == b' ' || octet.is_ascii_graphic())
            })
            .ok_or(ReplyRefusal::Value(TRANSACTION_ID))?;
        check_content(content, status)?;
        attributes.check_digest(content, digest)?;
        Ok(Self {
            status,
            transaction_id: transaction_id.to_owned(),
            signed_attributes: signed_attributes.to_vec(),
        })
    }
}

impl NextCa {
    /// The lists that the present RA may announce: each in the order of GetCACert, with an RA of one key and with one of
    /// two, if the next CA has both.
    ///
    /// # Errors
    /// [`NextCaError`].
    pub fn new(lists: &[Vec<Vec<u8>>]) -> Result<Self, NextCaError> {
        let contents = lists.iter().map(|certificates| {
            if !(1..=MAX_CERTIFICATES).contains(&certificates.len()) {
                return Err(NextCaError::Count);
            }
            for certificate in certificates {
                Certificate::from_der(certificate).map_err(|_| NextCaError::Certificate)?;
            }
            degenerate(&certificates.concat()).map_err(|_| NextCaError::Certificate)
        });
        let contents = contents.collect::<Result<Vec<_>, _>>()?;
        if contents.is_empty() {
            return Err(NextCaError::Count);
        }
        Ok(Self { contents })
    }

    /// Accepts the signed attributes of GetNextCACert over this content. Its digest is always SHA-256.
    ///
    /// # Errors
    /// [`ReplyRefusal`], the first rule that does not hold.
    pub fn check(&self, content: &[u8], signed_attributes: &[u8]) -> Result<(), ReplyRefusal> {
        if !self.contents.iter().any(|wanted| wanted == content) {
            return Err(ReplyRefusal::NotNextCa);
        }
        let attributes = Attributes::parse(signed_attributes)?;
        attributes.only(|_| false)?;
        attributes.check_digest(content, Digest::Sha256)
    }
}

impl Attributes {
    fn parse(der: &[u8]) -> Result<Self, ReplyRefusal> {
        if der.len() > MAX_SIGNED_ATTRIBUTES {
            return Err(ReplyRefusal::TooLong);
        }
        let set: SetOfVec<Attribute> = exact::decode(der).map_err(|_| ReplyRefusal::Malformed)?;
        // Bounded by MAX_SIGNED_ATTRIBUTES.
        let mut attributes: Vec<(ObjectIdentifier, Any)> = Vec::new();
        for attribute in set.iter() {
            let oid = attribute.oid;
            let [value] = attribute.values.as_slice() else {
                return Err(ReplyRefusal::Malformed);
            };
            if attributes.iter().any(|(other, _)| *other == oid) {
                return Err(ReplyRefusal::Repeated(oid));
            }
            attributes.push((oid, value.clone()));
        }
        Ok(Self(attributes))
    }

    fn has(&self, oid: ObjectIdentifier) -> bool {
        self.0.iter().any(|(other, _)| *other == oid)
    }

    fn value(&self, oid: ObjectIdentifier, tag: Tag) -> Result<&[u8], ReplyRefusal> {
        let found = self.0.iter().find(|(other, _)| *other == oid);
        let (_, value) = found.ok_or(ReplyRefusal::Missing(oid))?;
        if value.tag() == tag {
            Ok(value.value())
        } else {
            Err(ReplyRefusal::Value(oid))
        }
    }

    /// Nothing but contentType, messageDigest and what else the message may have.
    fn only(&self, may_have: impl Fn(ObjectIdentifier) -> bool) -> Result<(), ReplyRefusal> {
        let is_listed = |oid| oid == ID_CONTENT_TYPE || oid == ID_MESSAGE_DIGEST || may_have(oid);
        let unlisted = self.0.iter().find(|(oid, _)| !is_listed(*oid));
        unlisted.map_or(Ok(()), |(oid, _)| Err(ReplyRefusal::Unlisted(*oid)))
    }

    fn check_digest(&self, content: &[u8], digest: Digest) -> Result<(), ReplyRefusal> {
        let content_type = self.value(ID_CONTENT_TYPE, Tag::ObjectIdentifier)?;
        if content_type != ID_DATA.as_bytes() {
            return Err(ReplyRefusal::Value(ID_CONTENT_TYPE));
        }
        let wanted = hash(MessageDigest::from(digest), content);
        let got = self.value(ID_MESSAGE_DIGEST, Tag::OctetString)?;
        if wanted.is_ok_and(|wanted| *wanted == *got) {
            Ok(())
        } else {
            Err(ReplyRefusal::MessageDigest)
        }
    }
}

fn check_content(content: &[u8], status: PkiStatus) -> Result<(), ReplyRefusal> {
    if content.len() > MAX_CONTENT {
        return Err(ReplyRefusal::TooLong);
    }
    match status {
        PkiStatus::Success => check_enveloped(content),
        PkiStatus::Failure | PkiStatus::Pending if content.is_empty() => Ok(()),
        PkiStatus::Failure | PkiStatus::Pending => Err(ReplyRefusal::NotEmpty),
    }
}

/// RFC 5652 section 6.1, as it is written for one recipient: by certificate (section 6.2.1) or by password (6.2.4).
fn check_enveloped(content: &[u8]) -> Result<(), ReplyRefusal> {
    let refused = || ReplyRefusal::NotEnveloped;
    let info: ContentInfo = exact::decode(content).map_err(|_| refused())?;
    let EnvelopedData {
        version,
        recipients,
        encrypted,
    } = info.content;
    let [recipient] = recipients.as_slice() else {
        return Err(refused());
    };
    let by_password = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(3),
    };
    // The version follows from the recipient: 0 or 2 by certificate, 3 by password.
    let is_recipient = match version {
        0 | 2 => recipient.tag() == Tag::Sequence,
        3 => recipient.tag() == by_password,
        _ => false,
    };
    let is_sound = info.content_type == ID_ENVELOPED_DATA
        && is_recipient
        && encrypted.content_type == ID_DATA
        && CIPHERS.contains(&encrypted.algorithm.oid);
    is_sound.then_some(()).ok_or_else(refused)
}

/// A certs-only SignedData (RFC 5652 section 5.2). DER would sort the certificates; clients take the first for the one
/// that matters, so they stand as they are configured.
fn degenerate(certificates: &[u8]) -> der::Result<Vec<u8>> {
    let version = 1_u8.to_der()?;
    let no_values = exact::tlv(Tag::Set, &[])?;
    let no_content = exact::tlv(Tag::Sequence, &ID_DATA.to_der()?)?;
    let certificates = exact::context(0, certificates)?;
    let parts = [
        version,
        no_values.clone(),
        no_content,
        certificates,
        no_values,
    ];
    let signed_data = exact::tlv(Tag::Sequence, &parts.concat())?;
    let parts = [ID_SIGNED_DATA.to_der()?, exact::context(0, &signed_data)?];
    exact::tlv(Tag::Sequence, &parts.concat())
}
