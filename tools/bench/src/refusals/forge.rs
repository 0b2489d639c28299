//! Requests that are right in everything public, of one length, and wrong in one thing inside.

use std::collections::BTreeMap;

use assay_policy::{Dn, StringEncoding};
use assay_scep::client::{EnvelopeParts, PkiMessageBuilder, assemble_csr, new_csr_info};
use assay_scep::{Cipher, Digest, KeyTransport};
use assay_scep_client::{CaCertificates, DeviceKey, transient_certificate};
use hyper::body::Bytes;
use openssl::bn::{BigNum, MsbOption};
use openssl::encrypt::Encrypter;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Public};
use openssl::rand::rand_bytes;
use openssl::rsa::{Padding, Rsa};
use openssl::symm;
use openssl::x509::X509;

use super::cause::Cause;
use crate::failure::{Failure, OrFail, Outcome};

/// Messages for each cause, sent in turn: no single ciphertext is to stand for its cause.
const POOL: usize = 16;
const CIPHER: Cipher = Cipher::Aes128Cbc;
/// Octets of an AES-192 key, under the identifier of AES-128.
const WRONG_KEY_OCTETS: usize = 24;
/// The largest that OpenSSL and this server's codec verify with.
const COSTLY_MODULUS_BITS: i32 = 8_192;
const COSTLY_EXPONENT_BITS: i32 = 64;
/// Longest filling of a CSR; the costly key and its signature are 1.5 KiB longer than others.
const MAX_FILLING: usize = 3_072;
const NONCE_OCTETS: usize = 16;
const SUBJECT: &str = "CN=refused,O=Example";
const DIGEST: Digest = Digest::Sha256;
const WHAT: &str = "cannot build the requests";

/// A message with what its reply must refer to.
pub(crate) struct Attempt {
    pub(crate) message: Bytes,
    pub(crate) transaction_id: String,
    pub(crate) nonce: [u8; NONCE_OCTETS],
}

/// Attempts by cause.
pub(crate) type Attempts = BTreeMap<Cause, Vec<Attempt>>;

/// Makes them.
pub(crate) struct Forge {
    ca: CaCertificates,
    ra_key: PKey<Public>,
    subject: Vec<u8>,
    signer: DeviceKey,
    signer_certificate: Vec<u8>,
    stranger: DeviceKey,
}

impl Forge {
    pub(crate) fn new(ca: CaCertificates, keys: Vec<DeviceKey>) -> Outcome<Self> {
        let Ok([signer, stranger]) = <[DeviceKey; super::KEYS]>::try_from(keys) else {
            return Err(Failure::failed(WHAT).because("another number of keys"));
        };
        let subject = Dn::parse_rfc4514(SUBJECT)
            .or_fail(WHAT)?
            .to_der(StringEncoding::Utf8)
            .or_fail(WHAT)?;
        let ra = X509::from_der(&ca.encryption).or_fail(WHAT)?;
        Ok(Self {
            ra_key: ra.public_key().or_fail(WHAT)?,
            signer_certificate: signer
                .spki_der()
                .and_then(|spki| transient_certificate(&signer, &subject, &spki))
                .or_fail(WHAT)?,
            ca,
            subject,
            signer,
            stranger,
        })
    }

    pub(crate) async fn attempts(&self, causes: &[Cause]) -> Outcome<Attempts> {
        let length = self.costly_csr()?.len();
        let mut attempts = Attempts::new();
        for &cause in causes {
            let mut pool = Vec::with_capacity(POOL);
            for _ in 0..POOL {
                pool.push(self.attempt(cause, length).await?);
            }
            attempts.insert(cause, pool);
        }
        Ok(attempts)
    }

    async fn attempt(&self, cause: Cause, length: usize) -> Outcome<Attempt> {
        let content = self.content(cause, length)?;
        let envelope = self.envelope(cause, &content)?;
        let nonce: [u8; NONCE_OCTETS] = random().or_fail(WHAT)?;
        // Begins with the cause, by which a log can be read.
        let transaction_id = format!("{:02}-{}", cause as u8, hex::encode(nonce));
        let message = PkiMessageBuilder::new(
            &self.signer_certificate,
            &self.ca.encryption,
            &transaction_id,
            &nonce,
        )
        .build_around(Some(&envelope), &self.signer)
        .await
        .or_fail(WHAT)?;
        Ok(Attempt {
            message: message.into(),
            transaction_id,
            nonce,
        })
    }

    /// What is in the envelope: a CSR, but for garbage.
    fn content(&self, cause: Cause, length: usize) -> Outcome<Vec<u8>> {
        match cause {
            Cause::KeyPadding | Cause::KeyLength | Cause::ContentPadding | Cause::FlippedBlock => {
                self.csr(&self.signer, length, 0)
            }
            Cause::CsrSignature => self.csr(&self.signer, length, 1),
            Cause::CsrKey => self.csr(&self.stranger, length, 0),
            Cause::CostlyKey => self.costly_csr(),
            Cause::Garbage => {
                let mut garbage = vec![0; length];
                rand_bytes(&mut garbage).or_fail(WHAT)?;
                Ok(garbage)
            }
        }
    }

    /// A CSR of exactly `length` octets; `flip` is what goes wrong with the last octet of its signature.
    fn csr(&self, key: &DeviceKey, length: usize, flip: u8) -> Outcome<Vec<u8>> {
        let spki = key.spki_der().or_fail(WHAT)?;
        let info = |filling| new_csr_info(&self.subject, &spki, Some(&"x".repeat(filling)), &[]);
        let info = (0..MAX_FILLING)
            .map(info)
            .find(|info| {
                let unsigned = vec![0; key.public().size()];
                assemble_csr(info, DIGEST, &unsigned).len() == length
            })
            .ok_or_else(|| Failure::failed(WHAT).because("no CSR is of that length"))?;
        let mut signature = key.sign(DIGEST, &info).or_fail(WHAT)?;
        if let Some(last) = signature.last_mut() {
            *last ^= flip;
        }
        Ok(assemble_csr(&info, DIGEST, &signature))
    }

    /// Nobody has this key: its modulus is any odd number.
    fn costly_csr(&self) -> Outcome<Vec<u8>> {
        let spki = costly_key().or_fail(WHAT)?;
        let info = new_csr_info(&self.subject, &spki, Some("x"), &[]);
        let octets = usize::try_from(COSTLY_MODULUS_BITS / 8).or_fail(WHAT)?;
        // Below the modulus, as RSA wants it.
        let signature = vec![0x7f; octets];
        Ok(assemble_csr(&info, DIGEST, &signature))
    }

    fn envelope(&self, cause: Cause, content: &[u8]) -> Outcome<Vec<u8>> {
        let key: [u8; 16] = random().or_fail(WHAT)?;
        let iv: [u8; 16] = random().or_fail(WHAT)?;
        let encrypted_key = match cause {
            Cause::KeyPadding => self.wrap_without_padding(),
            Cause::KeyLength => {
                random::<WRONG_KEY_OCTETS>().and_then(|key| self.wrap(&key, Padding::PKCS1))
            }
            Cause::ContentPadding
            | Cause::FlippedBlock
            | Cause::Garbage
            | Cause::CsrSignature
            | Cause::CsrKey
            | Cause::CostlyKey => self.wrap(&key, Padding::PKCS1),
        };
        let mut plaintext = pad(content);
        if let (Cause::ContentPadding, Some(last)) = (cause, plaintext.last_mut()) {
            // Padding is 1 to 16 octets that say how many they are (RFC 5652 §6.3).
            *last = 0;
        }
        let mut ciphertext = encrypt(&key, &iv, &plaintext).or_fail(WHAT)?;
        let middle = ciphertext.len() / 2;
        if let (Cause::FlippedBlock, Some(octet)) = (cause, ciphertext.get_mut(middle)) {
            *octet ^= 1;
        }
        EnvelopeParts {
            recipient: &self.ca.encryption,
            key_transport: KeyTransport::Pkcs1v15,
            encrypted_key: &encrypted_key.or_fail(WHAT)?,
            cipher: CIPHER,
            iv: &iv,
            ciphertext: &ciphertext,
        }
        .to_der()
        .ok_or_else(|| Failure::failed(WHAT))
    }

    fn wrap(&self, key: &[u8], padding: Padding) -> Result<Vec<u8>, ErrorStack> {
        let mut encrypter = Encrypter::new(&self.ra_key)?;
        encrypter.set_rsa_padding(padding)?;
        let mut wrapped = vec![0; encrypter.encrypt_len(key)?];
        let length = encrypter.encrypt(key, &mut wrapped)?;
        wrapped.truncate(length);
        Ok(wrapped)
    }

    /// A block that begins 00 01 where RFC 8017 §7.2.1 wants 00 02.
    fn wrap_without_padding(&self) -> Result<Vec<u8>, ErrorStack> {
        let mut block = vec![0; self.ra_key.size()];
        rand_bytes(&mut block)?;
        for (octet, value) in block.iter_mut().zip([0, 1]) {
            *octet = value;
        }
        self.wrap(&block, Padding::NONE)
    }
}

fn random<const N: usize>() -> Result<[u8; N], ErrorStack> {
    let mut octets = [0; N];
    rand_bytes(&mut octets)?;
    Ok(octets)
}

/// RFC 5652 §6.3.
fn pad(content: &[u8]) -> Vec<u8> {
    let block = CIPHER.block_length();
    let length = block - content.len() % block;
    let octet = u8::try_from(length).unwrap_or_default();
    [content, &vec![octet; length]].concat()
}

fn encrypt(key: &[u8], iv: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let cipher = symm::Cipher::aes_128_cbc();
    let mut crypter = symm::Crypter::new(cipher, symm::Mode::Encrypt, key, Some(iv))?;
    crypter.pad(false);
    let mut ciphertext = vec![0; plaintext.len() + cipher.block_size()];
    let written = crypter.update(plaintext, &mut ciphertext)?;
    ciphertext.truncate(written);
    Ok(ciphertext)
}

fn costly_key() -> Result<Vec<u8>, ErrorStack> {
    let odd = |bits| {
        let mut number = BigNum::new()?;
        number.rand(bits, MsbOption::ONE, true)?;
        Ok::<_, ErrorStack>(number)
    };
    let key = Rsa::from_public_components(odd(COSTLY_MODULUS_BITS)?, odd(COSTLY_EXPONENT_BITS)?)?;
    key.public_key_to_der()
}
