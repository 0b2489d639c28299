//! Which key transports a decryption key can undo.

use assay_pkcs11::{KeyHandle, Session};
use openssl::encrypt::Encrypter;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Public};
use openssl::rsa::Padding;

use assay_hsm::{Digest, KeyTransport};

use crate::preflight::CheckedKey;

/// What clients use: RSAES-OAEP with other hashes was not seen.
const KNOWN: [KeyTransport; 3] = [
    KeyTransport::Pkcs1v15,
    KeyTransport::Oaep {
        digest: Digest::Sha1,
        mgf: Digest::Sha1,
    },
    KeyTransport::Oaep {
        digest: Digest::Sha256,
        mgf: Digest::Sha256,
    },
];

/// Those that work. Each is tried: that a token lists RSAES-OAEP does not say with which hashes.
pub(crate) fn working(
    session: &Session,
    handle: KeyHandle,
    public_key: &PKey<Public>,
    sample: &[u8],
) -> Vec<KeyTransport> {
    KNOWN
        .into_iter()
        .filter(|transport| works(session, handle, public_key, *transport, sample))
        .collect()
}

/// Those that every decryption key can undo: what is advertised must not depend on which of them a
/// client will address.
pub(crate) fn common(keys: &[&CheckedKey]) -> Vec<KeyTransport> {
    let mut all = keys
        .iter()
        .filter(|key| key.role.decrypts())
        .map(|key| &key.transports);
    let mut common = all.next().cloned().unwrap_or_default();
    for transports in all {
        common.retain(|transport| transports.contains(transport));
    }
    common
}

/// Whether what is encrypted to the public key decrypts again. A ciphertext for another key does not.
fn works(
    session: &Session,
    handle: KeyHandle,
    public_key: &PKey<Public>,
    transport: KeyTransport,
    sample: &[u8],
) -> bool {
    encrypt(public_key, transport, sample).is_ok_and(|ciphertext| {
        session
            .decrypt(handle, transport, &ciphertext)
            .is_ok_and(|plaintext| *plaintext == sample)
    })
}

fn encrypt(
    key: &PKey<Public>,
    transport: KeyTransport,
    data: &[u8],
) -> Result<Vec<u8>, ErrorStack> {
    let mut encrypter = Encrypter::new(key)?;
    match transport {
        KeyTransport::Pkcs1v15 => encrypter.set_rsa_padding(Padding::PKCS1)?,
        KeyTransport::Oaep { digest, mgf } => {
            encrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
            encrypter.set_rsa_oaep_md(digest.into())?;
            encrypter.set_rsa_mgf1_md(mgf.into())?;
        }
    }
    let mut ciphertext = vec![0; encrypter.encrypt_len(data)?];
    let length = encrypter.encrypt(data, &mut ciphertext)?;
    ciphertext.truncate(length);
    Ok(ciphertext)
}
