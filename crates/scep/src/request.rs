//! A pkiMessage as a server receives it.

use crate::{
    Algorithms, Digest, Envelope, Limits, Malformed, MessageType, Nonce, Refusal,
    SignerCertificate, TransactionId,
    asn1::{oid, tag},
    cms::signed_message::SignedMessage,
};

/// A client's pkiMessage (RFC 8894 §3.2), read once and kept in parts.
///
/// Ask in this order: [`Request::message_type`], [`Request::check_algorithms`], [`Request::verify`],
/// [`Request::envelope`]; nothing of the message counts before it verified.
#[derive(Debug, Clone)]
pub struct Request {
    message: SignedMessage,
    message_type: String,
    transaction_id: TransactionId,
    sender_nonce: Nonce,
    envelope: Result<Envelope, Refusal>,
}

impl Request {
    /// Reads a message, in BER as RFC 8894 and its clients have it.
    ///
    /// # Errors
    /// No CertRep can be built for it, or a budget is spent: HTTP 400.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Request, Malformed> {
        let message = SignedMessage::parse(bytes, limits)?;
        let attributes = message.attributes();
        let transaction_id = attributes
            .printable(&oid::TRANSACTION_ID)
            .and_then(|value| TransactionId::new(value, limits))
            .ok_or(Malformed::TransactionId)?;
        let sender_nonce = attributes
            .value(&oid::SENDER_NONCE, tag::OCTET_STRING)
            .and_then(Nonce::new)
            .ok_or(Malformed::SenderNonce)?;
        let envelope = match message.content() {
            Some(content) => Envelope::parse(content, limits)?,
            None => Err(Refusal::bad_request("envelope-missing")),
        };
        Ok(Request {
            message_type: attributes
                .printable(&oid::MESSAGE_TYPE)
                .unwrap_or_default()
                .to_owned(),
            transaction_id,
            sender_nonce,
            envelope,
            message,
        })
    }

    /// transactionID.
    #[must_use]
    pub fn transaction_id(&self) -> &TransactionId {
        &self.transaction_id
    }

    /// senderNonce.
    #[must_use]
    pub fn sender_nonce(&self) -> &Nonce {
        &self.sender_nonce
    }

    /// messageType.
    ///
    /// # Errors
    /// The raw value where it is not a listed type; empty where there is none.
    pub fn message_type(&self) -> Result<MessageType, String> {
        MessageType::from_value(&self.message_type).ok_or_else(|| self.message_type.clone())
    }

    /// The digest algorithm of the signature, which the reply mirrors; `None` for one that is never taken.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.message.digest()
    }

    /// The certificate that the SignerInfo names, from the message's own certificates.
    ///
    /// # Errors
    /// badMessageCheck where the message does not carry it.
    pub fn signer(&self) -> Result<&SignerCertificate, Refusal> {
        self.message.signer()
    }

    /// Holds digest, signature, content encryption and key transport to a profile, on public data alone.
    ///
    /// An envelope that is not the one that was signed is left to [`Request::verify`]: an altered message is
    /// badMessageCheck wherever it was altered.
    ///
    /// # Errors
    /// badAlg; badRequest for a signer's key too small or too large to calculate with, or not on its curve.
    pub fn check_algorithms(&self, algorithms: &Algorithms) -> Result<(), Refusal> {
        self.message.check_algorithms(algorithms)?;
        match &self.envelope {
            _ if !self.message.digest_matches() => Ok(()),
            Ok(envelope) => envelope.check_algorithms(algorithms),
            Err(refusal) if refusal.fail_info == crate::FailInfo::BadAlg => Err(*refusal),
            Err(_) => Ok(()),
        }
    }

    /// Verifies the CMS signature with the signer's certificate, which is trusted for nothing else yet.
    ///
    /// # Errors
    /// badMessageCheck; badAlg where [`Request::check_algorithms`] would have said so.
    pub fn verify(&self) -> Result<(), Refusal> {
        self.message.verify()
    }

    /// The envelope.
    ///
    /// # Errors
    /// badRequest where the content is none; badAlg where [`Request::check_algorithms`] would have said so.
    pub fn envelope(&self) -> Result<&Envelope, Refusal> {
        self.envelope.as_ref().map_err(Clone::clone)
    }

    /// SignerIdentifier as it came: the reply's recipient is named the same way.
    pub(crate) fn signer_identifier(&self) -> &[u8] {
        self.message.signer_identifier()
    }
}
