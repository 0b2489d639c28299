//! EnvelopedData (RFC 5652 §6) for writers.

use openssl::{error::ErrorStack, rand::rand_bytes, symm::encrypt};
use zeroize::Zeroizing;

use crate::{
    Cipher, KeyTransport,
    asn1::{oid, tag, write},
    certificate::SUBJECT_KEY_IDENTIFIER,
    cms::algorithm::KeyTransportExt,
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

    let mut encrypted_keys = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let encrypted_key = recipient.key.encrypt(transport, &key)?;
        encrypted_keys.push((recipient.identifier, encrypted_key));
    }
    Ok(assemble(
        transport,
        &encrypted_keys,
        cipher,
        &iv,
        &ciphertext,
    ))
}

/// A ContentInfo with an EnvelopedData of its parts; `encrypted_keys` are RecipientIdentifiers with what is for them.
pub(crate) fn assemble(
    transport: KeyTransport,
    encrypted_keys: &[(&[u8], Vec<u8>)],
    cipher: Cipher,
    iv: &[u8],
    ciphertext: &[u8],
) -> Vec<u8> {
    let mut infos = Vec::with_capacity(encrypted_keys.len());
    let mut version = 0;
    for (identifier, encrypted_key) in encrypted_keys {
        // KeyTransRecipientInfo and EnvelopedData are 2 with a subjectKeyIdentifier, else 0 (RFC 5652 §6.1, §6.2.1).
        let by_key_identifier = identifier.first() == Some(&SUBJECT_KEY_IDENTIFIER);
        let info_version = if by_key_identifier { 2 } else { 0 };
        version = version.max(info_version);
        infos.push(write::sequence(&[
            &write::small_integer(info_version),
            identifier,
            &transport.identifier(),
            &write::octet_string(encrypted_key),
        ]));
    }
    enveloped_data(version, infos, cipher, iv, ciphertext)
}

/// A ContentInfo with an EnvelopedData of encoded RecipientInfos.
pub(crate) fn enveloped_data(
    version: u8,
    infos: Vec<Vec<u8>>,
    cipher: Cipher,
    iv: &[u8],
    ciphertext: &[u8],
) -> Vec<u8> {
    let encrypted_content = write::sequence(&[
        &write::oid(&oid::DATA),
        &cipher.identifier(iv),
        &write::tlv(tag::context(0), &[ciphertext]),
    ]);
    let enveloped = write::sequence(&[
        &write::small_integer(version),
        &write::set_of(infos),
        &encrypted_content,
    ]);
    super::write::content_info(&oid::ENVELOPED_DATA, &enveloped)
}
