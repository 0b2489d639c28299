//! The key that stands for one that a ciphertext does not have, so that a client cannot find out which ciphertexts are good
//! (RFC 3218, section 2.3.2).

use std::path::Path;

use assay_hsm::wire::{Message, Operation, Request};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use zeroize::Zeroizing;

use crate::error::StartError;
use crate::secret;

/// Key lengths of AES-128, of AES-192 and triple DES, and of AES-256.
const LENGTHS: [u8; 3] = [16, 24, 32];

/// A secret of the service's own, from which substitutes are derived: one ciphertext has the same for ever.
pub(crate) struct Substitute(PKey<Private>);

impl Substitute {
    /// The secret in this directory, which is made if it is not there.
    pub(crate) fn open(directory: &Path) -> Result<Self, StartError> {
        let secret = secret::unwrap_secret(directory)?;
        let key = PKey::hmac(secret.as_slice());
        key.map(Self).map_err(|error| StartError::System {
            action: "using the secret for substitute keys",
            reason: error.to_string(),
        })
    }

    /// The key of this length for an operation. It depends on everything that the operation says, so that two operations on
    /// one ciphertext do not show whether either has a key.
    pub(crate) fn key(
        &self,
        operation: &Operation<'_>,
        length: u8,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        if !LENGTHS.contains(&length) {
            return Err(format!("a key has 16, 24 or 32 octets, not {length}"));
        }
        let request = Request {
            request_id: "",
            operation: *operation,
        };
        let octets = Message::Request(request).encode();
        let octets = octets.map_err(|error| error.to_string())?;
        let derived = Signer::new(MessageDigest::sha256(), &self.0)
            .and_then(|mut signer| signer.sign_oneshot_to_vec(&octets));
        let mut derived = Zeroizing::new(derived.map_err(|error| error.to_string())?);
        derived.truncate(usize::from(length));
        Ok(derived)
    }
}
