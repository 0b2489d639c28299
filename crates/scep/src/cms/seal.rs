//! EnvelopedData (RFC 5652 §6) for writers.

use openssl::{error::ErrorStack, rand::rand_bytes, symm::encrypt};
use zeroize::Zeroizing;

use crate::{
    Cipher, KeyTransport,
    asn1::{oid, tag, write},
    certificate::SUBJECT_KEY_IDENTIFIER,
    rsa::RsaKey,
};

/// Whom an envelope is for.
pub(crate) struct Recipient<'a> {
    /// RecipientIdentifier, DER: issuerAndSerialNumber or `[0]` subjectKeyIdentifier.
    pub(crate) identifier: &'a [u8],
    pub(crate) key: &'a RsaKey,
}

/// A ContentInfo with the EnvelopedData of `plaintext` under a fresh key and IV.
pub(crate) fn seal(
    plaintext: &[u8],
    cipher: Cipher,
    transport: KeyTransport,
    recipients: &[Recipient<'_>],
) -> Result<Vec<u8>, ErrorStack> {
    let mut key = Zeroizing::new(vec![0; cipher.key_length()]);
    let mut iv = vec![0; cipher.block_length()];
    rand_bytes(&mut key)?;
    rand_bytes(&mut iv)?;
    let ciphertext = encrypt(cipher.openssl(), &key, Some(&iv), plaintext)?;

    let mut infos = Vec::with_capacity(recipients.len());
    let mut version = 0;
    for recipient in recipients {
        // KeyTransRecipientInfo and EnvelopedData are 2 with a subjectKeyIdentifier, else 0 (RFC 5652 §6.1, §6.2.1).
        let by_key_identifier = recipient.identifier.first() == Some(&SUBJECT_KEY_IDENTIFIER);
        let info_version = if by_key_identifier { 2 } else { 0 };
        version = version.max(info_version);
        infos.push(write::sequence(&[
            &write::small_integer(info_version),
            recipient.identifier,
            &transport.identifier(),
            &write::octet_string(&recipient.key.encrypt(transport, &key)?),
        ]));
    }

    let encrypted_content = write::sequence(&[
        &write::oid(&oid::DATA),
        &cipher.identifier(&iv),
        &write::tlv(tag::context(0), &[&ciphertext]),
    ]);
    let enveloped = write::sequence(&[
        &write::small_integer(version),
        &write::set_of(infos),
        &encrypted_content,
    ]);
    Ok(super::write::content_info(&oid::ENVELOPED_DATA, &enveloped))
}
