//! Envelopes put together by hand.

use crate::{Cipher, KeyTransport, certificate::CertificateParts, cms::seal::assemble};

/// The parts of an EnvelopedData (RFC 5652 §6.1) for one recipient, whether or not they belong together. For
/// [`PkiMessageBuilder::build_around`](super::PkiMessageBuilder::build_around).
#[derive(Debug, Clone, Copy)]
pub struct EnvelopeParts<'a> {
    /// Certificate (DER) that names the recipient.
    pub recipient: &'a [u8],
    /// keyEncryptionAlgorithm.
    pub key_transport: KeyTransport,
    /// encryptedKey.
    pub encrypted_key: &'a [u8],
    /// contentEncryptionAlgorithm.
    pub cipher: Cipher,
    /// Its initialisation vector.
    pub iv: &'a [u8],
    /// encryptedContent.
    pub ciphertext: &'a [u8],
}

impl EnvelopeParts<'_> {
    /// The ContentInfo, DER; `None` where `recipient` is no certificate.
    #[must_use]
    pub fn to_der(&self) -> Option<Vec<u8>> {
        let identifier = CertificateParts::parse(self.recipient)?.issuer_and_serial();
        Some(assemble(
            self.key_transport,
            &[(&identifier, self.encrypted_key.to_vec())],
            self.cipher,
            self.iv,
            self.ciphertext,
        ))
    }
}
