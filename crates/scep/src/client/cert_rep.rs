//! CertReps received.

use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    Decryptor, Envelope, FailInfo, Limits, Malformed, MessageType, Nonce, PkiStatus, Refusal,
    Secret, SignerCertificate, TransactionId, Undecipherable,
    asn1::{oid, tag},
    cms::signed_message::SignedMessage,
    parse_ca_certificates, parse_crls,
    password::{NoPasswordEnvelope, PasswordEnvelope},
};

/// A CertRep (RFC 8894 §3.3.2) as a client receives it. Compare transactionID and recipientNonce, then verify it with
/// the RA certificate, before anything in it is used.
#[derive(Debug, Clone)]
pub struct CertRep {
    message: SignedMessage,
    status: PkiStatus,
    fail_info: Option<FailInfo>,
    fail_info_text: Option<String>,
    transaction_id: TransactionId,
    sender_nonce: Nonce,
    recipient_nonce: Option<Nonce>,
    limits: Limits,
}

/// A CertRep that is not to be trusted.
#[derive(Debug, Error)]
pub enum CertRepError {
    /// Not a message of SCEP.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A SCEP attribute of a CertRep is missing or wrong.
    #[error("the CertRep's {0} is missing or not as RFC 8894 defines it")]
    Attribute(&'static str),
    /// Not signed by the RA, or altered.
    #[error("the CertRep is not signed by the RA: {}", .0.reason)]
    Signature(Refusal),
    /// The RA certificate is none, or its key verifies nothing.
    #[error("the RA certificate is to be one DER certificate with an RSA or elliptic-curve key")]
    RaCertificate,
    /// The envelope is none, or is for another.
    #[error("the CertRep's envelope is not for this certificate: {}", .0.reason)]
    Envelope(Refusal),
    /// The envelope is none that a password opens.
    #[error(transparent)]
    Password(#[from] NoPasswordEnvelope),
    /// The envelope does not open.
    #[error(transparent)]
    Undecipherable(#[from] Undecipherable),
    /// The content of the envelope is no certs-only SignedData.
    #[error("the envelope is to hold a certs-only SignedData")]
    Certificates,
    /// The content of the envelope carries no CRL.
    #[error("the envelope is to hold a SignedData with one CRL")]
    Crl,
}

impl CertRep {
    /// Reads a CertRep.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, CertRepError> {
        let message = SignedMessage::parse(bytes, limits)?;
        let attributes = message.attributes();
        if attributes.printable(&oid::MESSAGE_TYPE) != Some(MessageType::CertRep.as_str()) {
            return Err(CertRepError::Attribute("messageType"));
        }
        let status = attributes
            .printable(&oid::PKI_STATUS)
            .and_then(PkiStatus::from_value);
        let status = status.ok_or(CertRepError::Attribute("pkiStatus"))?;
        let fail_info = attributes
            .printable(&oid::FAIL_INFO)
            .and_then(FailInfo::from_value);
        if (status == PkiStatus::Failure) != fail_info.is_some() {
            return Err(CertRepError::Attribute("failInfo"));
        }
        let text = attributes.value(&oid::FAIL_INFO_TEXT, tag::UTF8_STRING);
        let transaction_id = attributes
            .printable(&oid::TRANSACTION_ID)
            .and_then(|value| TransactionId::new(value, limits));
        let nonce = |attribute_type| {
            attributes
                .value(attribute_type, tag::OCTET_STRING)
                .and_then(Nonce::new)
        };
        Ok(CertRep {
            status,
            fail_info,
            fail_info_text: text.map(|text| String::from_utf8_lossy(text).into_owned()),
            transaction_id: transaction_id.ok_or(Malformed::TransactionId)?,
            sender_nonce: nonce(&oid::SENDER_NONCE).ok_or(Malformed::SenderNonce)?,
            recipient_nonce: nonce(&oid::RECIPIENT_NONCE),
            limits: *limits,
            message,
        })
    }

    /// pkiStatus.
    #[must_use]
    pub fn status(&self) -> PkiStatus {
        self.status
    }

    /// failInfo: there if and only if the status is FAILURE.
    #[must_use]
    pub fn fail_info(&self) -> Option<FailInfo> {
        self.fail_info
    }

    /// failInfoText.
    #[must_use]
    pub fn fail_info_text(&self) -> Option<&str> {
        self.fail_info_text.as_deref()
    }

    /// transactionID: to be the request's.
    #[must_use]
    pub fn transaction_id(&self) -> &TransactionId {
        &self.transaction_id
    }

    /// recipientNonce: to be the request's senderNonce.
    #[must_use]
    pub fn recipient_nonce(&self) -> Option<&Nonce> {
        self.recipient_nonce.as_ref()
    }

    /// senderNonce: fresh with each reply.
    #[must_use]
    pub fn sender_nonce(&self) -> &Nonce {
        &self.sender_nonce
    }

    /// Verifies the signature with the key of the RA-sign certificate (DER) that GetCACert gave.
    ///
    /// # Errors
    /// It was signed by another key, or altered.
    pub fn verify(&self, ra_certificate: &[u8]) -> Result<(), CertRepError> {
        let certificate =
            SignerCertificate::parse(ra_certificate).ok_or(CertRepError::RaCertificate)?;
        let key = certificate.key().map_err(|_| CertRepError::RaCertificate)?;
        self.message
            .verify_with(key)
            .map_err(CertRepError::Signature)
    }

    /// Opens the envelope of a SUCCESS with the requester's key, whose certificate (DER) signed the request: the
    /// certificates (DER), the issued one first.
    ///
    /// # Errors
    /// Outer: the decryptor gave no answer. Inner: there is no envelope for this certificate, or it does not open.
    pub async fn open<D: Decryptor>(
        &self,
        decryptor: &D,
        certificate: &[u8],
    ) -> Result<Result<Vec<Vec<u8>>, CertRepError>, D::Error> {
        let content = self.open_content(decryptor, certificate).await?;
        Ok(content.and_then(|content| {
            parse_ca_certificates(&content).map_err(|_| CertRepError::Certificates)
        }))
    }

    /// As [`CertRep::open`], for a requester whose key cannot decrypt: under the challengePassword of its request.
    ///
    /// # Errors
    /// There is no envelope under a password, it asks for more work than the limits allow, or it does not open.
    pub fn open_with_password(&self, password: &Secret) -> Result<Vec<Vec<u8>>, CertRepError> {
        let content = self.message.content().unwrap_or_default();
        let envelope = PasswordEnvelope::parse(content, &self.limits)??;
        let content = envelope.open(password)?;
        parse_ca_certificates(&content).map_err(|_| CertRepError::Certificates)
    }

    /// As [`CertRep::open`], for the answer to a GetCRL: the CRL (DER).
    ///
    /// # Errors
    /// As those of [`CertRep::open`].
    pub async fn open_crl<D: Decryptor>(
        &self,
        decryptor: &D,
        certificate: &[u8],
    ) -> Result<Result<Vec<u8>, CertRepError>, D::Error> {
        let content = self.open_content(decryptor, certificate).await?;
        Ok(content.and_then(|content| {
            let crls = parse_crls(&content).map_err(|_| CertRepError::Crl)?;
            crls.into_iter().next().ok_or(CertRepError::Crl)
        }))
    }

    async fn open_content<D: Decryptor>(
        &self,
        decryptor: &D,
        certificate: &[u8],
    ) -> Result<Result<Zeroizing<Vec<u8>>, CertRepError>, D::Error> {
        let envelope = match self.envelope(certificate) {
            Ok(envelope) => envelope,
            Err(error) => return Ok(Err(error)),
        };
        let opened = envelope.open(decryptor, certificate).await?;
        Ok(opened.map_err(CertRepError::from))
    }

    fn envelope(&self, certificate: &[u8]) -> Result<Envelope, CertRepError> {
        let content = self.message.content().unwrap_or_default();
        let envelope = Envelope::parse(content, &self.limits)?.map_err(CertRepError::Envelope)?;
        envelope
            .recipient_index(&[certificate])
            .map_err(CertRepError::Envelope)?;
        Ok(envelope)
    }
}
