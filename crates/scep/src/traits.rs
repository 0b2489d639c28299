//! Private-key operations, which happen elsewhere.

use std::future::Future;

use zeroize::Zeroizing;

use crate::{Digest, KeyTransport};

/// Unwraps a content-encryption key with the recipient's private key.
pub trait Decryptor: Sync {
    /// The operation gave no answer (a token that is gone, a full queue).
    type Error;

    /// The key has `length` octets, the key length of the content's cipher. `Ok(None)` is a bad ciphertext: tell it apart from
    /// a good one nowhere, neither in logs nor in time.
    ///
    /// # Errors
    /// Only where no answer is to be had; never for a bad ciphertext.
    fn decrypt(
        &self,
        transport: KeyTransport,
        length: usize,
        encrypted_key: &[u8],
    ) -> impl Future<Output = Result<Option<Zeroizing<Vec<u8>>>, Self::Error>> + Send;
}

/// Signs with the private key of the message's signer certificate, by RSASSA-PKCS1-v1_5.
pub trait MessageSigner: Sync {
    /// The operation gave no answer.
    type Error;

    /// `signed_attributes` is the DER `SET OF Attribute` (first octet 0x31) to be hashed with `digest` and signed. They are
    /// about `content`, which is empty where the message has none.
    ///
    /// # Errors
    /// Where no signature is to be had.
    fn sign(
        &self,
        digest: Digest,
        content: &[u8],
        signed_attributes: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, Self::Error>> + Send;
}
