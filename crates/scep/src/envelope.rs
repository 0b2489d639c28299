//! EnvelopedData (RFC 5652 §6): read on public data, opened through a [`Decryptor`].

use openssl::{
    error::ErrorStack,
    rand::rand_bytes,
    symm::{Crypter, Mode},
};
use zeroize::Zeroizing;

use crate::{
    Algorithms, Cipher, Decryptor, KeyTransport, Limits, Malformed, Refusal, Undecipherable,
    asn1::{ber, oid, read::Element, read::Fields, tag},
    certificate::CertificateParts,
    cms::{
        algorithm::{AlgorithmIdentifier, KeyTransportExt},
        signed_data::{content_info, implicit_octets},
    },
};

/// The EnvelopedData of a message (RFC 8894 §3.2.2), still closed.
#[derive(Debug, Clone)]
pub struct Envelope {
    recipients: Vec<Recipient>,
    content: EncryptedContent,
}

/// EncryptedContentInfo (RFC 5652 §6.1) of id-data.
#[derive(Debug, Clone)]
pub(crate) struct EncryptedContent {
    pub(crate) cipher: Cipher,
    iv: Vec<u8>,
    ciphertext: Vec<u8>,
}

/// KeyTransRecipientInfo (RFC 5652 §6.2.1).
#[derive(Debug, Clone)]
struct Recipient {
    /// RecipientIdentifier, whole encoding.
    identifier: Vec<u8>,
    transport: KeyTransport,
    encrypted_key: Vec<u8>,
}

impl Envelope {
    /// Reads a ContentInfo. The outer error is a spent budget; the inner one is for a CertRep: badAlg for algorithms
    /// and kinds of recipients that are never taken, badRequest where it is not an EnvelopedData.
    pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Result<Self, Refusal>, Malformed> {
        const NOT_AN_ENVELOPE: Refusal = Refusal::bad_request("envelope-structure");
        let der = match ber::normalise(bytes, limits) {
            Ok(der) => der,
            Err(
                Malformed::Encoding { .. }
                | Malformed::TrailingOctets { .. }
                | Malformed::Structure(_),
            ) => {
                return Ok(Err(NOT_AN_ENVELOPE));
            }
            Err(spent) => return Err(spent),
        };
        let Some(parts) = Parts::parse(&der) else {
            return Ok(Err(NOT_AN_ENVELOPE));
        };
        let recipients = parts
            .recipients
            .collect(limits.recipients)
            .ok_or(Malformed::TooMany {
                what: "recipients",
                limit: limits.recipients,
            })?;
        Ok(Self::from_parts(&recipients, parts.encrypted_content).unwrap_or(Err(NOT_AN_ENVELOPE)))
    }

    /// `None`: not as defined.
    fn from_parts(infos: &[Element<'_>], content: Fields<'_>) -> Option<Result<Self, Refusal>> {
        let content = EncryptedContent::parse(content)?;

        /// `[1] KeyAgreeRecipientInfo`: for a certificate that is not ours, since the RA's key is RSA.
        const KEY_AGREEMENT: u8 = tag::context_constructed(1);
        let mut recipients = Vec::with_capacity(infos.len());
        for info in infos.iter().filter(|info| info.tag != KEY_AGREEMENT) {
            if info.tag != tag::SEQUENCE {
                return Some(Err(Refusal::bad_algorithm("recipient-kind")));
            }
            let mut fields = info.fields();
            fields.take(tag::INTEGER)?;
            let identifier = fields.any()?.der.to_vec();
            let transport = KeyTransport::from_identifier(&AlgorithmIdentifier::take(&mut fields)?);
            let encrypted_key = fields.take(tag::OCTET_STRING)?.content.to_vec();
            fields.finish()?;
            let Some(transport) = transport else {
                return Some(Err(Refusal::bad_algorithm("key-transport-algorithm")));
            };
            recipients.push(Recipient {
                identifier,
                transport,
                encrypted_key,
            });
        }
        if recipients.is_empty() {
            return Some(Err(Refusal::bad_algorithm("recipient-kind")));
        }
        Some(content.map(|content| Envelope {
            recipients,
            content,
        }))
    }

    pub(crate) fn check_algorithms(&self, algorithms: &Algorithms) -> Result<(), Refusal> {
        if !algorithms.ciphers.contains(&self.content.cipher) {
            return Err(Refusal::bad_algorithm("content-encryption-algorithm"));
        }
        if !self
            .recipients
            .iter()
            .all(|recipient| algorithms.key_transports.contains(&recipient.transport))
        {
            return Err(Refusal::bad_algorithm("key-transport-algorithm"));
        }
        Ok(())
    }

    /// Index in `ra_certificates` (DER) of the one that it is for, by issuerAndSerialNumber or subjectKeyIdentifier:
    /// clients encrypt to every certificate of GetCACert, so the first recipient need not be us.
    ///
    /// # Errors
    /// badRequest where it is for none of them.
    pub fn recipient_index(&self, ra_certificates: &[&[u8]]) -> Result<usize, Refusal> {
        ra_certificates
            .iter()
            .position(|certificate| self.recipient(certificate).is_some())
            .ok_or(Refusal::bad_request("not-for-this-ra"))
    }

    /// The content-encryption algorithm, which the reply mirrors.
    #[must_use]
    pub fn cipher(&self) -> Cipher {
        self.content.cipher
    }

    /// Opens it for the holder of `ra_certificate` (DER).
    ///
    /// A random key is drawn first and takes the place of one that did not unwrap to the right length (RFC 3218
    /// §2.3), so that a bad unwrapping goes the way of a bad padding.
    ///
    /// # Errors
    /// Outer: the decryptor gave no answer. Inner: everything else, without a cause.
    pub async fn open<D: Decryptor>(
        &self,
        decryptor: &D,
        ra_certificate: &[u8],
    ) -> Result<Result<Zeroizing<Vec<u8>>, Undecipherable>, D::Error> {
        let mut key = Zeroizing::new(vec![0; self.content.cipher.key_length()]);
        let Ok(()) = rand_bytes(&mut key) else {
            return Ok(Err(Undecipherable));
        };
        let Some(recipient) = self.recipient(ra_certificate) else {
            return Ok(Err(Undecipherable));
        };

        let unwrapped = decryptor
            .decrypt(recipient.transport, key.len(), &recipient.encrypted_key)
            .await?;
        replace_if_it_fits(&mut key, &unwrapped.unwrap_or_default());
        Ok(self.content.decrypt(&key))
    }

    fn recipient(&self, certificate: &[u8]) -> Option<&Recipient> {
        let certificate = CertificateParts::parse(certificate)?;
        self.recipients.iter().find(|recipient| {
            Fields::new(&recipient.identifier)
                .any()
                .is_some_and(|identifier| certificate.is_named_by(&identifier))
        })
    }
}

impl EncryptedContent {
    /// Outer `None`: not as defined. badAlg for a cipher that is never taken.
    pub(crate) fn parse(mut content: Fields<'_>) -> Option<Result<Self, Refusal>> {
        let content_type = content.take(tag::OBJECT_IDENTIFIER)?.oid()?;
        let cipher = AlgorithmIdentifier::take(&mut content)?;
        let ciphertext = implicit_octets(&mut content)?;
        content.finish()?;
        if content_type != oid::DATA {
            return None;
        }
        let Some((cipher, iv)) = Cipher::from_identifier(&cipher) else {
            return Some(Err(Refusal::bad_algorithm("content-encryption-algorithm")));
        };
        Some(Ok(EncryptedContent {
            cipher,
            iv,
            ciphertext,
        }))
    }

    pub(crate) fn decrypt(&self, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, Undecipherable> {
        let mut plaintext = self.decrypt_blocks(key).map_err(|_| Undecipherable)?;
        let length =
            unpadded_length(&plaintext, self.cipher.block_length()).ok_or(Undecipherable)?;
        plaintext.truncate(length);
        Ok(plaintext)
    }

    /// CBC without OpenSSL's unpadding, which reports its failure by another path.
    fn decrypt_blocks(&self, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        let mut crypter = Crypter::new(self.cipher.openssl(), Mode::Decrypt, key, Some(&self.iv))?;
        crypter.pad(false);
        let mut plaintext =
            Zeroizing::new(vec![0; self.ciphertext.len() + self.cipher.block_length()]);
        let written = crypter.update(&self.ciphertext, &mut plaintext)?;
        let rest = plaintext.get_mut(written..).unwrap_or_default();
        let written = written + crypter.finalize(rest)?;
        plaintext.truncate(written);
        Ok(plaintext)
    }
}

/// Overwrites `key` by `candidate` where their lengths are equal, by a mask and not by a branch.
fn replace_if_it_fits(key: &mut [u8], candidate: &[u8]) {
    let mask = u8::from(candidate.len() == key.len()).wrapping_neg();
    for (index, octet) in key.iter_mut().enumerate() {
        let replacement = candidate.get(index).copied().unwrap_or_default();
        *octet ^= (*octet ^ replacement) & mask;
    }
}

/// Length without the padding of RFC 5652 §6.3; every octet of the last block is looked at whatever the others are.
fn unpadded_length(plaintext: &[u8], block_length: usize) -> Option<usize> {
    let last_block = plaintext
        .len()
        .checked_sub(block_length)
        .and_then(|start| plaintext.get(start..))?;
    let padding = last_block.last().copied()?;
    let length = usize::from(padding);
    let mut difference = u8::from(length == 0) | u8::from(length > block_length);
    for (from_end, octet) in last_block.iter().rev().enumerate() {
        let is_padding = u8::from(from_end < length).wrapping_neg();
        difference |= (octet ^ padding) & is_padding;
    }
    (difference == 0).then(|| plaintext.len() - length)
}

/// Borrowed parts of an EnvelopedData.
pub(crate) struct Parts<'a> {
    pub(crate) recipients: Fields<'a>,
    pub(crate) encrypted_content: Fields<'a>,
}

impl<'a> Parts<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut fields = content_info(der, &oid::ENVELOPED_DATA)?;
        fields.take(tag::INTEGER)?;
        fields.take_if(tag::context_constructed(0));
        let recipients = fields.take(tag::SET)?.fields();
        let encrypted_content = fields.take(tag::SEQUENCE)?.fields();
        fields.take_if(tag::context_constructed(1));
        fields.finish()?;
        Some(Parts {
            recipients,
            encrypted_content,
        })
    }
}
