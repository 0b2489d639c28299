//! pkiMessages to send.

use openssl::error::ErrorStack;
use thiserror::Error;

use crate::{
    Cipher, Digest, KeyTransport, MessageSigner, MessageType, Refusal, SignerCertificate,
    asn1::{oid, write},
    certificate::CertificateParts,
    cms::{
        algorithm::{DigestExt, rsa_encryption},
        seal::{Recipient, seal},
        write::Unsigned,
    },
    key::PublicKey,
};

/// A request could not be built.
#[derive(Debug, Error)]
pub enum ClientError<E> {
    /// The signer gave no signature.
    #[error("the message was not signed")]
    Signer(#[source] E),
    /// One of the certificates is none.
    #[error("the {0} is to be one DER certificate")]
    Certificate(&'static str),
    /// A recipient's key cannot be encrypted to.
    #[error("the recipient's key is to be RSA")]
    Recipient(#[source] Refusal),
    /// OpenSSL failed.
    #[error("the envelope was not encrypted")]
    Crypto(#[from] ErrorStack),
}

/// A pkiMessage to be built (RFC 8894 §3.2). Every field is free, so that a test can say what no client would.
#[derive(Debug, Clone)]
pub struct PkiMessageBuilder<'a> {
    /// messageType as it goes into the attribute; the empty string leaves the attribute out.
    pub message_type: &'a str,
    /// transactionID; `None` leaves the attribute out.
    pub transaction_id: Option<&'a str>,
    /// senderNonce; `None` leaves the attribute out.
    pub sender_nonce: Option<&'a [u8]>,
    /// Digest of the signature.
    pub digest: Digest,
    /// signatureAlgorithm, DER; by the key of the signer's certificate unless set: `rsaEncryption` with NULL, or ECDSA.
    pub signature_algorithm: Option<Vec<u8>>,
    /// Cipher of the envelope.
    pub cipher: Cipher,
    /// Key transport of the envelope.
    pub key_transport: KeyTransport,
    /// Certificates (DER) that the envelope is for.
    pub recipients: Vec<&'a [u8]>,
    /// Certificate (DER) of the signing key.
    pub signer_certificate: &'a [u8],
    /// The certificates (DER) in the bag; only the signer's unless set.
    pub certificates: Option<Vec<&'a [u8]>>,
    /// Further signed attributes, each a whole DER Attribute.
    pub extra_attributes: Vec<Vec<u8>>,
}

impl<'a> PkiMessageBuilder<'a> {
    /// A PKCSReq with SHA-256, AES-128-CBC and RSAES-PKCS1-v1_5.
    #[must_use]
    pub fn new(
        signer_certificate: &'a [u8],
        recipient: &'a [u8],
        transaction_id: &'a str,
        sender_nonce: &'a [u8],
    ) -> Self {
        PkiMessageBuilder {
            message_type: MessageType::PkcsReq.as_str(),
            transaction_id: Some(transaction_id),
            sender_nonce: Some(sender_nonce),
            digest: Digest::Sha256,
            signature_algorithm: None,
            cipher: Cipher::Aes128Cbc,
            key_transport: KeyTransport::Pkcs1v15,
            recipients: vec![recipient],
            signer_certificate,
            certificates: None,
            extra_attributes: Vec::new(),
        }
    }

    /// Envelopes `content` (a DER CSR for PKCSReq and RenewalReq) and signs the message.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn build<S: MessageSigner>(
        &self,
        content: &[u8],
        signer: &S,
    ) -> Result<Vec<u8>, ClientError<S::Error>> {
        let envelope = self.envelope(content)?;
        self.build_around(Some(&envelope), signer).await
    }

    /// The ContentInfo of the EnvelopedData of `content`, for [`PkiMessageBuilder::build_around`].
    ///
    /// # Errors
    /// A recipient is no RSA certificate.
    pub fn envelope<E>(&self, content: &[u8]) -> Result<Vec<u8>, ClientError<E>> {
        let mut certificates = Vec::with_capacity(self.recipients.len());
        for recipient in &self.recipients {
            let parts = CertificateParts::parse(recipient)
                .ok_or(ClientError::Certificate("recipient certificate"))?;
            let certificate = SignerCertificate::parse(recipient)
                .ok_or(ClientError::Certificate("recipient certificate"))?;
            certificates.push((parts.issuer_and_serial(), certificate));
        }
        let mut recipients = Vec::with_capacity(certificates.len());
        for (identifier, certificate) in &certificates {
            recipients.push(Recipient {
                identifier,
                key: certificate.rsa_key().map_err(ClientError::Recipient)?,
            });
        }
        Ok(seal(content, self.cipher, self.key_transport, &recipients)?)
    }

    /// Signs a message around any eContent.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn build_around<S: MessageSigner>(
        &self,
        e_content: Option<&[u8]>,
        signer: &S,
    ) -> Result<Vec<u8>, ClientError<S::Error>> {
        let certificate = CertificateParts::parse(self.signer_certificate)
            .ok_or(ClientError::Certificate("signer certificate"))?;
        let unsigned = Unsigned {
            content: e_content,
            digest: self.digest,
            attributes: self.attributes(),
            signer_identifier: certificate.issuer_and_serial(),
            certificates: self
                .certificates
                .clone()
                .unwrap_or_else(|| vec![self.signer_certificate]),
        };
        let signed_attributes = unsigned.signed_attributes();
        let signature = signer
            .sign(
                self.digest,
                unsigned.content.unwrap_or_default(),
                &signed_attributes,
            )
            .await
            .map_err(ClientError::Signer)?;
        let algorithm = self
            .signature_algorithm
            .clone()
            .unwrap_or_else(|| signature_algorithm(self.signer_certificate, self.digest));
        Ok(unsigned.assemble(&signed_attributes, &algorithm, &signature))
    }

    fn attributes(&self) -> Vec<Vec<u8>> {
        let text = |attribute_type, value| {
            write::attribute(attribute_type, &write::printable_string(value))
        };
        let nonce = |nonce| write::attribute(&oid::SENDER_NONCE, &write::octet_string(nonce));
        let mut attributes = self.extra_attributes.clone();
        if !self.message_type.is_empty() {
            attributes.push(text(&oid::MESSAGE_TYPE, self.message_type));
        }
        attributes.extend(
            self.transaction_id
                .map(|value| text(&oid::TRANSACTION_ID, value)),
        );
        attributes.extend(self.sender_nonce.map(nonce));
        attributes
    }
}

fn signature_algorithm(certificate: &[u8], digest: Digest) -> Vec<u8> {
    let certificate = SignerCertificate::parse(certificate);
    let key = certificate.as_ref().and_then(|signer| signer.key().ok());
    match key {
        Some(key @ PublicKey::Ec(_)) => digest.signed_by(key),
        Some(PublicKey::Rsa(_)) | None => rsa_encryption(),
    }
}
