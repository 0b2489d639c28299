//! Where random bytes and keys come from.

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;

/// Serial numbers, challenges, salts and ids are drawn from it. What it gives must be unpredictable, except in tests.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// Where the generator fails; the bytes must not be used then.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), ErrorStack>;

    /// A new RSA key pair of `bits`.
    ///
    /// # Errors
    /// Where the generator fails.
    fn rsa_key(&self, bits: u32) -> Result<PKey<Private>, ErrorStack>;
}

/// The generator of OpenSSL.
#[derive(Debug, Default)]
pub struct OpenSslRandom;

impl Random for OpenSslRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), ErrorStack> {
        openssl::rand::rand_bytes(bytes)
    }

    fn rsa_key(&self, bits: u32) -> Result<PKey<Private>, ErrorStack> {
        PKey::from_rsa(Rsa::generate(bits)?)
    }
}
