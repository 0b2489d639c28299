//! The body of GetNextCACert (RFC 8894 §4.7.1): the certificates of the next CA, signed by the present one's RA.

use thiserror::Error;

use crate::{
    CertificateListError, Digest, Limits, MessageSigner, SignerCertificate,
    ca_certificates::check,
    certificate::CertificateParts,
    cms::{
        algorithm::rsa_encryption,
        signed_data::SignedData,
        signed_message::SignedMessage,
        write::{Unsigned, certificates_only},
    },
};

/// Digest of the signature: every client that knows of rollover knows it.
const DIGEST: Digest = Digest::Sha256;

/// No body could be built.
#[derive(Debug, Error)]
pub enum NextCaError<E> {
    /// The next certificates are none.
    #[error("the next certificates cannot be written")]
    Certificates(#[from] CertificateListError),
    /// The present RA certificate is none.
    #[error("the RA certificate is to be one DER certificate")]
    RaCertificate,
    /// The signer gave no signature.
    #[error("the next certificates were not signed")]
    Signer(#[source] E),
}

/// The body cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NextCaRefusal {
    /// It is no SignedData with one signer and a content.
    #[error("the body is no SignedData with one signer and a content")]
    Structure,
    /// Signed by another key than expected, or altered since.
    #[error("its signature is not by the RA certificate that is known")]
    Signature,
    /// It is a CertRep, whose content the RA key signs for other purposes.
    #[error("it carries attributes of a pkiMessage, which GetNextCACert never does")]
    PkiMessage,
    /// The content is not a list of certificates.
    #[error("its content is not a certs-only SignedData")]
    List,
}

/// The SignedData of GetNextCACert: its content is the certs-only SignedData of `next`, in the order of GetCACert: RA
/// certificates, issuing CA, chain. The same certificates stand in the outer SignedData, where jscep looks for them;
/// `ra_certificate`, whose key signs, is not among them: clients know it, and would take it for a next one.
///
/// # Errors
/// See [`NextCaError`].
pub async fn next_ca_certificates<S: MessageSigner>(
    next: &[Vec<u8>],
    ra_certificate: &[u8],
    signer: &S,
) -> Result<Vec<u8>, NextCaError<S::Error>> {
    check(next)?;
    let ra = CertificateParts::parse(ra_certificate).ok_or(NextCaError::RaCertificate)?;
    let content = certificates_only(next);
    let unsigned = Unsigned {
        content: Some(&content),
        digest: DIGEST,
        attributes: Vec::new(),
        signer_identifier: ra.issuer_and_serial(),
        certificates: next.iter().map(Vec::as_slice).collect(),
    };
    let signed_attributes = unsigned.signed_attributes();
    let signature = signer
        .sign(DIGEST, &content, &signed_attributes)
        .await
        .map_err(NextCaError::Signer)?;
    Ok(unsigned.assemble(&signed_attributes, &rsa_encryption(), &signature))
}

/// The next certificates, DER, in the order in which they stand in the content, once the signature is found to be by
/// `ra_certificate`. What stands in the outer SignedData is not signed and not read. A CertRep is refused whatever its content is:
/// the same RA key signs those, and the signature alone does not tell the two apart.
///
/// # Errors
/// See [`NextCaRefusal`].
pub fn parse_next_ca_certificates(
    body: &[u8],
    ra_certificate: &SignerCertificate,
) -> Result<Vec<Vec<u8>>, NextCaRefusal> {
    let limits = Limits::default();
    let message = SignedMessage::parse(body, &limits).map_err(|_| NextCaRefusal::Structure)?;
    let key = ra_certificate.key().map_err(|_| NextCaRefusal::Signature)?;
    message
        .verify_with(key)
        .map_err(|_| NextCaRefusal::Signature)?;
    if message.attributes().are_of_a_pki_message() {
        return Err(NextCaRefusal::PkiMessage);
    }
    let content = message.content().ok_or(NextCaRefusal::Structure)?;
    let list = SignedData::parse(content, &limits).map_err(|_| NextCaRefusal::List)?;
    if list.certificates.is_empty() {
        return Err(NextCaRefusal::List);
    }
    Ok(list.certificates.into_iter().map(<[u8]>::to_vec).collect())
}
