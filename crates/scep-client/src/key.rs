//! The device's own key, in software: it signs the CSR and the request, and an RSA key opens the reply.

use std::path::Path;

use assay_scep::{Decryptor, Digest, KeyTransport, MessageSigner};
use clap::ValueEnum;
use openssl::ec::{EcGroup, EcKey};
use openssl::encrypt::Decrypter;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, PKeyRef, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::Signer;
use zeroize::Zeroizing;

use crate::failure::{Failure, OrFail, Outcome};
use crate::files;

/// An RSA or elliptic-curve key pair.
#[derive(Clone, Debug)]
pub(crate) struct DeviceKey(PKey<Private>);

/// What kind of key is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyType {
    /// RSA, as long as --bits says; it can renew without a challenge
    Rsa,
    /// NIST P-256
    P256,
    /// NIST P-384
    P384,
}

impl DeviceKey {
    pub(crate) fn generate(bits: u32) -> Outcome<Self> {
        let what = "cannot make the device's key";
        let rsa = Rsa::generate(bits).or_fail(what)?;
        Ok(Self(PKey::from_rsa(rsa).or_fail(what)?))
    }

    /// `bits`: of an RSA key.
    pub(crate) fn of_type(key_type: KeyType, bits: u32) -> Outcome<Self> {
        let curve = match key_type {
            KeyType::Rsa => return Self::generate(bits),
            KeyType::P256 => Nid::X9_62_PRIME256V1,
            KeyType::P384 => Nid::SECP384R1,
        };
        let key = EcGroup::from_curve_name(curve)
            .and_then(|group| EcKey::generate(&group))
            .and_then(PKey::from_ec_key);
        Ok(Self(key.or_fail("cannot make the device's key")?))
    }

    /// Whether it opens what is encrypted to it.
    pub(crate) fn decrypts(&self) -> bool {
        self.0.id() == Id::RSA
    }

    pub(crate) fn from_der(der: &[u8]) -> Outcome<Self> {
        let key = PKey::private_key_from_der(der).or_fail("a cached key is unreadable")?;
        Ok(Self(key))
    }

    /// A key in an unencrypted PEM file.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let wrong = || Failure::failed(format!("{} holds no usable key", path.display()));
        let next = "give an unencrypted RSA or elliptic-curve key, PEM";
        let pem = Zeroizing::new(files::read(path)?);
        // An empty answer to the question for a passphrase, which would otherwise go to the terminal.
        let key = PKey::private_key_from_pem_callback(&pem, |_| Ok(0))
            .map_err(|error| wrong().because(error).next(next))?;
        match key.id() {
            Id::RSA | Id::EC => Ok(Self(key)),
            _ => Err(wrong()
                .because("it is neither an RSA nor an elliptic-curve key")
                .next(next)),
        }
    }

    pub(crate) fn to_der(&self) -> Outcome<Vec<u8>> {
        self.0.private_key_to_der().or_fail("cannot write the key")
    }

    /// PKCS#8, PEM.
    pub(crate) fn to_pem(&self) -> Outcome<Zeroizing<Vec<u8>>> {
        let pem = self
            .0
            .private_key_to_pem_pkcs8()
            .or_fail("cannot write the key")?;
        Ok(Zeroizing::new(pem))
    }

    pub(crate) fn spki_der(&self) -> Outcome<Vec<u8>> {
        self.0
            .public_key_to_der()
            .or_fail("cannot write the public key")
    }

    pub(crate) fn public(&self) -> &PKeyRef<Private> {
        &self.0
    }

    /// RSASSA-PKCS1-v1_5, or ECDSA.
    pub(crate) fn sign(&self, digest: Digest, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        Signer::new(message_digest(digest), &self.0)?.sign_oneshot_to_vec(message)
    }
}

impl MessageSigner for DeviceKey {
    type Error = ErrorStack;

    async fn sign(&self, digest: Digest, signed_attributes: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        Self::sign(self, digest, signed_attributes)
    }
}

impl Decryptor for DeviceKey {
    type Error = ErrorStack;

    async fn decrypt(
        &self,
        transport: KeyTransport,
        encrypted_key: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, ErrorStack> {
        let mut decrypter = Decrypter::new(&self.0)?;
        match transport {
            KeyTransport::Pkcs1v15 => decrypter.set_rsa_padding(Padding::PKCS1)?,
            KeyTransport::Oaep { digest, mgf } => {
                decrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
                decrypter.set_rsa_oaep_md(message_digest(digest))?;
                decrypter.set_rsa_mgf1_md(message_digest(mgf))?;
            }
        }
        let mut key = Zeroizing::new(vec![0; decrypter.decrypt_len(encrypted_key)?]);
        Ok(decrypter
            .decrypt(encrypted_key, &mut key)
            .ok()
            .map(|length| {
                key.truncate(length);
                key
            }))
    }
}

fn message_digest(digest: Digest) -> MessageDigest {
    match digest {
        Digest::Sha1 => MessageDigest::sha1(),
        Digest::Sha256 => MessageDigest::sha256(),
        Digest::Sha384 => MessageDigest::sha384(),
        Digest::Sha512 => MessageDigest::sha512(),
    }
}
