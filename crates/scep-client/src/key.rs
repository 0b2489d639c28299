//! The device's own key, in software: it signs the CSR and the request, and an RSA key opens the reply.

use std::path::Path;

use assay_scep::{Decryptor, Digest, KeyTransport, MessageSigner};
use openssl::ec::{EcGroup, EcKey};
use openssl::encrypt::Decrypter;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, PKeyRef, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::Signer;
use zeroize::Zeroizing;

use crate::{Error, Result};

/// An RSA or elliptic-curve key pair.
#[derive(Clone, Debug)]
pub struct DeviceKey(PKey<Private>);

/// What kind of key is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// RSA, with so many bits.
    Rsa(u32),
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

impl DeviceKey {
    /// Makes a key.
    ///
    /// # Errors
    /// OpenSSL refuses, for instance the number of bits.
    pub fn generate(key_type: KeyType) -> Result<Self> {
        let on_curve = |curve| {
            EcGroup::from_curve_name(curve)
                .and_then(|group| EcKey::generate(&group))
                .and_then(PKey::from_ec_key)
        };
        let key = match key_type {
            KeyType::Rsa(bits) => Rsa::generate(bits).and_then(PKey::from_rsa),
            KeyType::P256 => on_curve(Nid::X9_62_PRIME256V1),
            KeyType::P384 => on_curve(Nid::SECP384R1),
        };
        key.map(Self).map_err(Error::Generate)
    }

    /// Whether it opens what is encrypted to it.
    pub fn decrypts(&self) -> bool {
        self.0.id() == Id::RSA
    }

    /// Reads what [`DeviceKey::to_der`] wrote.
    ///
    /// # Errors
    /// `der` is not a private key.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let key = PKey::private_key_from_der(der).map_err(Error::Encoding)?;
        Ok(Self(key))
    }

    /// Reads a key from an unencrypted PEM file.
    ///
    /// # Errors
    /// The file cannot be read, or contains no RSA or elliptic-curve key.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |source| Error::KeyFile {
            path: path.to_owned(),
            source,
        };
        let pem = Zeroizing::new(read_file(path)?);
        // An empty answer to the question for a passphrase, which would otherwise go to the terminal.
        let key = PKey::private_key_from_pem_callback(&pem, |_| Ok(0))
            .map_err(|error| wrong(error.into()))?;
        match key.id() {
            Id::RSA | Id::EC => Ok(Self(key)),
            _ => Err(wrong(
                "it is neither an RSA nor an elliptic-curve key".into(),
            )),
        }
    }

    /// PKCS#1 or SEC 1, DER.
    ///
    /// # Errors
    /// OpenSSL cannot encode the key.
    pub fn to_der(&self) -> Result<Vec<u8>> {
        self.0.private_key_to_der().map_err(Error::Encoding)
    }

    /// PKCS#8, PEM.
    ///
    /// # Errors
    /// OpenSSL cannot encode the key.
    pub fn to_pem(&self) -> Result<Zeroizing<Vec<u8>>> {
        let pem = self.0.private_key_to_pem_pkcs8().map_err(Error::Encoding)?;
        Ok(Zeroizing::new(pem))
    }

    /// The public key, DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// OpenSSL cannot encode the key.
    pub fn spki_der(&self) -> Result<Vec<u8>> {
        self.0.public_key_to_der().map_err(Error::Encoding)
    }

    /// To compare public keys.
    pub fn public(&self) -> &PKeyRef<Private> {
        &self.0
    }

    /// Signs with RSASSA-PKCS1-v1_5 or ECDSA.
    ///
    /// # Errors
    /// OpenSSL cannot sign.
    pub fn sign(&self, digest: Digest, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        Signer::new(digest.into(), &self.0)?.sign_oneshot_to_vec(message)
    }
}

impl MessageSigner for DeviceKey {
    type Error = ErrorStack;

    async fn sign(
        &self,
        digest: Digest,
        _content: &[u8],
        signed_attributes: &[u8],
    ) -> Result<Vec<u8>, ErrorStack> {
        Self::sign(self, digest, signed_attributes)
    }
}

impl Decryptor for DeviceKey {
    type Error = ErrorStack;

    async fn decrypt(
        &self,
        transport: KeyTransport,
        _length: usize,
        encrypted_key: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, ErrorStack> {
        let mut decrypter = Decrypter::new(&self.0)?;
        match transport {
            KeyTransport::Pkcs1v15 => decrypter.set_rsa_padding(Padding::PKCS1)?,
            KeyTransport::Oaep { digest, mgf } => {
                decrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
                decrypter.set_rsa_oaep_md(digest.into())?;
                decrypter.set_rsa_mgf1_md(mgf.into())?;
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

/// Reads a file of the device.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}
