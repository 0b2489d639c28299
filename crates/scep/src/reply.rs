//! CertRep (RFC 8894 §3.3.2).

use openssl::error::ErrorStack;
use thiserror::Error;

use crate::{
    Cipher, Digest, FailInfo, KeyTransport, MessageSigner, MessageType, Nonce, PkiStatus, Refusal,
    Request, Secret,
    asn1::{oid, write},
    certificate::CertificateParts,
    cms::{
        algorithm::rsa_encryption,
        seal::{Recipient, seal},
        write::{Unsigned, certificates_only, crl_only},
    },
    password,
};

/// What a CertRep tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Granted.
    Success {
        /// DER certificates, the issued one first.
        certificates: Vec<Vec<u8>>,
    },
    /// The answer to GetCRL.
    Crl {
        /// The latest CRL, DER.
        crl: Vec<u8>,
    },
    /// Refused.
    Failure {
        /// failInfo.
        fail_info: FailInfo,
        /// failInfoText, only where the profile allows it.
        text: Option<String>,
    },
    /// To be polled for.
    Pending,
}

/// What a CertRep is built from beside its outcome.
#[derive(Debug, Clone, Copy)]
pub struct ReplyContext<'a> {
    /// The request that is answered.
    pub request: &'a Request,
    /// Certificate of the key that signs the reply, DER.
    pub ra_certificate: &'a [u8],
    /// Digest of the reply's signature.
    pub digest: Digest,
    /// Cipher of the reply's envelope.
    pub cipher: Cipher,
    /// The secret that came with the request; used only where the requester's key cannot decrypt (RFC 8894 §3.1).
    pub password: Option<&'a Secret>,
}

/// No CertRep could be built.
#[derive(Debug, Error)]
pub enum ReplyError<E> {
    /// The signer gave no signature.
    #[error("the reply was not signed")]
    Signer(#[source] E),
    /// A SUCCESS needs the request's signer certificate to encrypt to.
    #[error("the reply has no recipient")]
    Recipient(#[source] Refusal),
    /// The requester's key cannot decrypt, and there is no secret in its place.
    #[error("the requester's key cannot decrypt, and no challenge came with the request")]
    NoPassword,
    /// The RA certificate is not a certificate.
    #[error("the RA certificate is to be one DER certificate")]
    RaCertificate,
    /// OpenSSL failed: no random numbers, no memory.
    #[error("the reply was not encrypted")]
    Crypto(#[from] ErrorStack),
}

/// Builds a CertRep: DER but for the order of the certificates, and enveloped to the certificate that signed the
/// request and to no other (RFC 8894 §2.3), or under the password where that certificate's key cannot decrypt.
///
/// # Errors
/// See [`ReplyError`].
pub async fn cert_rep<S: MessageSigner>(
    context: &ReplyContext<'_>,
    outcome: &Outcome,
    signer: &S,
) -> Result<Vec<u8>, ReplyError<S::Error>> {
    let content = match outcome {
        Outcome::Success { certificates } => envelope(context, &certificates_only(certificates))?,
        Outcome::Crl { crl } => envelope(context, &crl_only(crl))?,
        // Nothing is said, in no octets: clients that verify with OpenSSL (certmonger) take an eContent that is absent
        // for one that is detached, and so read neither FAILURE nor PENDING.
        Outcome::Failure { .. } | Outcome::Pending => Vec::new(),
    };
    let ra_certificate =
        CertificateParts::parse(context.ra_certificate).ok_or(ReplyError::RaCertificate)?;
    let unsigned = Unsigned {
        content: Some(&content),
        digest: context.digest,
        attributes: attributes(context.request, outcome)?,
        signer_identifier: ra_certificate.issuer_and_serial(),
        certificates: vec![context.ra_certificate],
    };
    let signed_attributes = unsigned.signed_attributes();
    let signature = signer
        .sign(
            context.digest,
            unsigned.content.unwrap_or_default(),
            &signed_attributes,
        )
        .await
        .map_err(ReplyError::Signer)?;
    Ok(unsigned.assemble(&signed_attributes, &rsa_encryption(), &signature))
}

fn envelope<E>(context: &ReplyContext<'_>, content: &[u8]) -> Result<Vec<u8>, ReplyError<E>> {
    let signer = context.request.signer().map_err(ReplyError::Recipient)?;
    if signer.curve().is_some() {
        let password = context.password.ok_or(ReplyError::NoPassword)?;
        return Ok(password::seal(content, context.cipher, password)?);
    }
    let key = signer.rsa_key().map_err(ReplyError::Recipient)?;
    let recipient = Recipient {
        identifier: context.request.signer_identifier(),
        key,
    };
    Ok(seal(
        content,
        context.cipher,
        KeyTransport::Pkcs1v15,
        &[recipient],
    )?)
}

/// The SCEP attributes of a CertRep (RFC 8894 §3.2.1).
fn attributes(request: &Request, outcome: &Outcome) -> Result<Vec<Vec<u8>>, ErrorStack> {
    let text =
        |attribute_type, value| write::attribute(attribute_type, &write::printable_string(value));
    let octets = |attribute_type, nonce: &Nonce| {
        write::attribute(attribute_type, &write::octet_string(nonce.as_bytes()))
    };
    let mut attributes = vec![
        text(&oid::TRANSACTION_ID, request.transaction_id().as_str()),
        text(&oid::MESSAGE_TYPE, MessageType::CertRep.as_str()),
        octets(&oid::RECIPIENT_NONCE, request.sender_nonce()),
        octets(&oid::SENDER_NONCE, &Nonce::random()?),
    ];
    let status = match outcome {
        Outcome::Success { .. } | Outcome::Crl { .. } => PkiStatus::Success,
        Outcome::Pending => PkiStatus::Pending,
        Outcome::Failure {
            fail_info,
            text: fail_info_text,
        } => {
            attributes.push(text(&oid::FAIL_INFO, fail_info.as_str()));
            if let Some(fail_info_text) = fail_info_text {
                attributes.push(write::attribute(
                    &oid::FAIL_INFO_TEXT,
                    &write::utf8_string(fail_info_text),
                ));
            }
            PkiStatus::Failure
        }
    };
    attributes.push(text(&oid::PKI_STATUS, status.as_str()));
    Ok(attributes)
}
