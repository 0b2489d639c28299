//! The key wrap of RFC 3211 §2.3: a content-encryption key under a derived one.

use openssl::{
    error::ErrorStack,
    rand::rand_bytes,
    symm::{Crypter, Mode},
};
use zeroize::Zeroizing;

use crate::{
    Cipher, Undecipherable,
    asn1::{oid, read::Fields, write},
    cms::algorithm::AlgorithmIdentifier,
};

/// Octets before the key in a wrapped key: its length, then the complement of its first three.
const WRAP_HEADER: usize = 4;
const CHECK: usize = 3;
/// Octets of the longest wrapped key: a length in one octet, padded to whole blocks.
const LONGEST_WRAPPED: usize = 272;

/// id-alg-PWRI-KEK with its cipher (RFC 3211 §2.3).
#[derive(Debug, Clone)]
pub(super) struct Kek {
    pub(super) cipher: Cipher,
    iv: Vec<u8>,
}

impl Kek {
    /// AES as strong as the content's; AES-128 around Triple DES.
    pub(super) fn fresh(content: Cipher) -> Result<Self, ErrorStack> {
        let cipher = match content {
            Cipher::DesEde3Cbc => Cipher::Aes128Cbc,
            Cipher::Aes128Cbc | Cipher::Aes192Cbc | Cipher::Aes256Cbc => content,
        };
        let mut iv = vec![0; cipher.block_length()];
        rand_bytes(&mut iv)?;
        Ok(Kek { cipher, iv })
    }

    pub(super) fn parse(identifier: &AlgorithmIdentifier<'_>) -> Option<Self> {
        if identifier.oid != oid::PWRI_KEK {
            return None;
        }
        let inner = AlgorithmIdentifier::take(&mut Fields::new(identifier.parameters_der()?))?;
        let (cipher, iv) = Cipher::from_identifier(&inner)?;
        Some(Kek { cipher, iv })
    }

    pub(super) fn identifier(&self) -> Vec<u8> {
        write::sequence(&[
            &write::oid(&oid::PWRI_KEK),
            &self.cipher.identifier(&self.iv),
        ])
    }

    /// Two blocks at least, and whole ones: unwrapping begins with the last two.
    pub(super) fn takes(&self, wrapped: &[u8]) -> bool {
        let block = self.cipher.block_length();
        (2 * block..=LONGEST_WRAPPED).contains(&wrapped.len())
            && wrapped.len().is_multiple_of(block)
    }

    /// Length, check octets, key and random padding, encrypted twice in one chain of blocks.
    pub(super) fn wrap(&self, kek: &[u8], key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let block = self.cipher.block_length();
        let length = (WRAP_HEADER + key.len())
            .next_multiple_of(block)
            .max(2 * block);
        let mut padding = Zeroizing::new(vec![0; length - WRAP_HEADER - key.len()]);
        rand_bytes(&mut padding)?;
        let mut plain = Zeroizing::new(Vec::with_capacity(length));
        // Content-encryption keys have 16 to 32 octets.
        plain.push(key.len().to_le_bytes()[0]);
        plain.extend(key.iter().take(CHECK).map(|octet| !octet));
        plain.extend_from_slice(key);
        plain.extend_from_slice(&padding);

        let once = self.cbc(Mode::Encrypt, kek, &self.iv, &plain)?;
        let last = once.len().saturating_sub(block);
        let twice = self.cbc(
            Mode::Encrypt,
            kek,
            once.get(last..).unwrap_or_default(),
            &once,
        )?;
        Ok(twice.to_vec())
    }

    pub(super) fn unwrap(
        &self,
        kek: &[u8],
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Undecipherable> {
        let plain = self.decrypt_twice(kek, wrapped).ok_or(Undecipherable)?;
        let (header, rest) = plain.split_at_checked(WRAP_HEADER).ok_or(Undecipherable)?;
        let (length, check) = header.split_first().ok_or(Undecipherable)?;
        let key = rest.get(..usize::from(*length)).ok_or(Undecipherable)?;
        let beginning = key.get(..CHECK).ok_or(Undecipherable)?;
        let difference = check
            .iter()
            .zip(beginning)
            .fold(0, |difference, (check, octet)| {
                difference | (check ^ !octet)
            });
        (difference == 0)
            .then(|| Zeroizing::new(key.to_vec()))
            .ok_or(Undecipherable)
    }

    /// The last block of the inner ciphertext, which began the outer chain, comes out first.
    fn decrypt_twice(&self, kek: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let block = self.cipher.block_length();
        let last = wrapped.len().checked_sub(block)?;
        let before = wrapped.get(last.checked_sub(block)?..last)?;
        let decrypt = |iv: &[u8], octets: &[u8]| self.cbc(Mode::Decrypt, kek, iv, octets).ok();
        let iv = decrypt(before, wrapped.get(last..)?)?;
        let once = decrypt(&iv, wrapped)?;
        decrypt(&self.iv, &once)
    }

    fn cbc(
        &self,
        mode: Mode,
        key: &[u8],
        iv: &[u8],
        octets: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        let mut crypter = Crypter::new(self.cipher.openssl(), mode, key, Some(iv))?;
        crypter.pad(false);
        let mut output = Zeroizing::new(vec![0; octets.len() + self.cipher.block_length()]);
        let written = crypter.update(octets, &mut output)?;
        let rest = output.get_mut(written..).unwrap_or_default();
        let written = written + crypter.finalize(rest)?;
        output.truncate(written);
        Ok(output)
    }
}
