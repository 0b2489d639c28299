//! SignedData (RFC 5652 §5) for writers.

use der::asn1::ObjectIdentifier;

use crate::{
    Digest,
    asn1::{oid, write},
    cms::algorithm::DigestExt,
};

pub(crate) fn content_info(content_type: &ObjectIdentifier, content: &[u8]) -> Vec<u8> {
    write::sequence(&[&write::oid(content_type), &write::context(0, &[content])])
}

/// A certs-only SignedData (RFC 5652 §5.2): the certificates in the order given. CertificateSet is a SET OF, which DER
/// would sort and so put a CA before its RA; clients take the first certificate for the issued one.
pub(crate) fn certificates_only<C: AsRef<[u8]>>(certificates: &[C]) -> Vec<u8> {
    degenerate(&write::context(0, &[&concat(certificates)]))
}

/// A SignedData that carries one CRL and nothing else (RFC 8894 §3.3.4).
pub(crate) fn crl_only(crl: &[u8]) -> Vec<u8> {
    degenerate(&write::context(1, &[crl]))
}

fn degenerate(carried: &[u8]) -> Vec<u8> {
    let signed_data = write::sequence(&[
        &write::small_integer(1),
        &write::set(&[]),
        &write::sequence(&[&write::oid(&oid::DATA)]),
        carried,
        &write::set(&[]),
    ]);
    content_info(&oid::SIGNED_DATA, &signed_data)
}

/// What of a SignedData is known before its signature.
pub(crate) struct Unsigned<'a> {
    pub(crate) content: Option<&'a [u8]>,
    pub(crate) digest: Digest,
    /// The signed attributes beside contentType and messageDigest, whole encodings.
    pub(crate) attributes: Vec<Vec<u8>>,
    /// SignerIdentifier, DER.
    pub(crate) signer_identifier: Vec<u8>,
    pub(crate) certificates: Vec<&'a [u8]>,
}

impl Unsigned<'_> {
    /// The signed attributes as they are to be hashed and signed (RFC 5652 §5.4).
    ///
    /// contentType and messageDigest are there without content too: clients look for them in every CertRep.
    pub(crate) fn signed_attributes(&self) -> Vec<u8> {
        let hash = self.digest.hash(self.content.unwrap_or_default());
        let mut attributes = self.attributes.clone();
        attributes.push(write::attribute(
            &oid::CONTENT_TYPE,
            &write::oid(&oid::DATA),
        ));
        attributes.push(write::attribute(
            &oid::MESSAGE_DIGEST,
            &write::octet_string(&hash),
        ));
        write::set_of(attributes)
    }

    /// The whole ContentInfo, with `signature` over `signed_attributes`.
    pub(crate) fn assemble(
        &self,
        signed_attributes: &[u8],
        signature_algorithm: &[u8],
        signature: &[u8],
    ) -> Vec<u8> {
        let content = self
            .content
            .map(|content| write::context(0, &[&write::octet_string(content)]));
        let by_key_identifier =
            self.signer_identifier.first() == Some(&crate::certificate::SUBJECT_KEY_IDENTIFIER);
        let version = write::small_integer(if by_key_identifier { 3 } else { 1 });
        let mut implicit_attributes = signed_attributes.to_vec();
        if let Some(first) = implicit_attributes.first_mut() {
            *first = crate::asn1::tag::context_constructed(0);
        }
        let signer = write::sequence(&[
            &version,
            &self.signer_identifier,
            &self.digest.identifier(),
            &implicit_attributes,
            signature_algorithm,
            &write::octet_string(signature),
        ]);
        let signed_data = write::sequence(&[
            &version,
            &write::set(&[&self.digest.identifier()]),
            &write::sequence(&[&write::oid(&oid::DATA), &content.unwrap_or_default()]),
            &write::context(0, &[&concat(&self.certificates)]),
            &write::set(&[&signer]),
        ]);
        content_info(&oid::SIGNED_DATA, &signed_data)
    }
}

fn concat<C: AsRef<[u8]>>(certificates: &[C]) -> Vec<u8> {
    let parts: Vec<&[u8]> = certificates.iter().map(AsRef::as_ref).collect();
    parts.concat()
}
