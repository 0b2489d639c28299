//! Budgets that hostile input meets before anything is interpreted.

use assay_types::MAX_SCEP_CRL;

/// What one message may cost to read. Every bound is checked before the structure that it bounds is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the whole message. A pkiMessage with a 4096-bit key and a chain is under 10 KiB.
    pub message: usize,
    /// Nested constructed encodings. A name in a certificate in a SignedData lies 12 deep, BER wrappings add a few.
    pub depth: usize,
    /// Encoded elements (TLVs). A message with one certificate has about 150; a segment of an OCTET STRING is one.
    pub elements: usize,
    /// Certificates in one SignedData. Clients send one to three.
    pub certificates: usize,
    /// RecipientInfos in one EnvelopedData. Some clients encrypt to each certificate of GetCACert.
    pub recipients: usize,
    /// Signed attributes of a SignerInfo, attributes of a CSR. RFC 8894 names eight.
    pub attributes: usize,
    /// Extensions in one extension request.
    pub extensions: usize,
    /// Octets of a transactionID. A decimal SHA-512 has 155.
    pub transaction_id: usize,
    /// Iterations of PBKDF2 that a sender may ask for. A million take about half a second.
    pub pbkdf2_iterations: u32,
    /// Octets of a challengePassword. Intune's are up to some kilobytes.
    pub challenge_password: usize,
}

/// Bytes of a CRL for each of its elements: an entry of 50 bytes has up to eight.
const CRL_BYTES_PER_ELEMENT: usize = 4;

impl Limits {
    /// For a client that reads replies: one to GetCRL has a CRL of up to [`MAX_SCEP_CRL`] bytes, and as much again around it.
    #[must_use]
    pub fn of_replies() -> Self {
        Self {
            message: 2 * MAX_SCEP_CRL,
            elements: MAX_SCEP_CRL / CRL_BYTES_PER_ELEMENT,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message: 128 * 1024,
            depth: 32,
            elements: 4096,
            certificates: 16,
            recipients: 8,
            attributes: 32,
            extensions: 32,
            transaction_id: 255,
            pbkdf2_iterations: 1_000_000,
            challenge_password: 8 * 1024,
        }
    }
}
