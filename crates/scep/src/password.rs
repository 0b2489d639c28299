//! EnvelopedData under a password: PasswordRecipientInfo (RFC 5652 §6.2.4) with PBKDF2 (RFC 8018) and the key wrap of
//! RFC 3211 §2.3, for requesters whose keys cannot decrypt (RFC 8894 §3.1).

mod kek;

use openssl::{error::ErrorStack, pkcs5::pbkdf2_hmac, rand::rand_bytes, symm::encrypt};
use thiserror::Error;
use zeroize::Zeroizing;

use self::kek::Kek;
use crate::{
    Cipher, Digest, Limits, Malformed, Secret, Undecipherable,
    asn1::{
        ber, oid,
        read::{Element, Fields},
        tag, write,
    },
    cms::{
        algorithm::{AlgorithmIdentifier, DigestExt},
        seal::enveloped_data,
    },
    envelope::{EncryptedContent, Parts},
};

/// `[3] PasswordRecipientInfo` of RecipientInfo.
const PASSWORD_RECIPIENT: u8 = tag::context_constructed(3);
/// EnvelopedData with such a recipient (RFC 5652 §6.1).
const ENVELOPED_DATA_VERSION: u8 = 3;

/// Octets of a fresh salt.
const SALT: usize = 16;
/// Iterations of a fresh envelope. The password is a one-time challenge of 160 random bits, which no iteration makes
/// stronger: they stand here for the sake of readers that refuse fewer.
const ITERATIONS: u32 = 10_000;
/// Fewer are taken from nobody (RFC 8018 §4.2).
const LEAST_ITERATIONS: u32 = 1_000;
/// Octets of a salt that is read (RFC 8018 §4.1).
const SALT_BOUNDS: std::ops::RangeInclusive<usize> = 8..=64;

/// A CertRep's envelope that cannot be tried with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoPasswordEnvelope {
    /// Not an EnvelopedData for one PasswordRecipientInfo.
    #[error("the envelope is to be an EnvelopedData for one PasswordRecipientInfo")]
    Structure,
    /// Another derivation than PBKDF2 by HMAC with SHA-1 or SHA-2, or a salt out of bounds.
    #[error(
        "the password's key is to be derived by PBKDF2, HMAC with SHA-1 or SHA-2, with a salt of 8 to 64 octets"
    )]
    Derivation,
    /// Too few iterations to be safe, or too many to be done.
    #[error("PBKDF2 is to have {least} to {most} iterations")]
    Iterations {
        /// Fewest.
        least: u32,
        /// Most.
        most: u32,
    },
    /// Another wrapping than id-alg-PWRI-KEK, or another cipher than AES and Triple DES.
    #[error("the keys are to be under id-alg-PWRI-KEK and AES or Triple DES in CBC mode")]
    Encryption,
}

/// A ContentInfo with the EnvelopedData of `plaintext` under a fresh key, and that under `password`.
pub(crate) fn seal(
    plaintext: &[u8],
    cipher: Cipher,
    password: &Secret,
) -> Result<Vec<u8>, ErrorStack> {
    let mut key = Zeroizing::new(vec![0; cipher.key_length()]);
    let (mut iv, mut salt) = (vec![0; cipher.block_length()], vec![0; SALT]);
    rand_bytes(&mut key)?;
    rand_bytes(&mut iv)?;
    rand_bytes(&mut salt)?;
    let ciphertext = encrypt(cipher.openssl(), &key, Some(&iv), plaintext)?;

    let kek = Kek::fresh(cipher)?;
    let derivation = Derivation {
        salt,
        iterations: ITERATIONS,
        prf: Digest::Sha256,
    };
    let wrapped = kek.wrap(&derivation.key(password, kek.cipher.key_length())?, &key)?;
    let info = write::tlv(
        PASSWORD_RECIPIENT,
        &[
            &write::small_integer(0),
            &derivation.identifier(),
            &kek.identifier(),
            &write::octet_string(&wrapped),
        ],
    );
    Ok(enveloped_data(
        ENVELOPED_DATA_VERSION,
        vec![info],
        cipher,
        &iv,
        &ciphertext,
    ))
}

/// An envelope for whoever knows the password, still closed.
#[derive(Debug, Clone)]
pub(crate) struct PasswordEnvelope {
    derivation: Derivation,
    kek: Kek,
    wrapped: Vec<u8>,
    content: EncryptedContent,
}

impl PasswordEnvelope {
    /// Reads a ContentInfo. The outer error is no encoding at all, or a spent budget.
    pub(crate) fn parse(
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Result<Self, NoPasswordEnvelope>, Malformed> {
        let der = ber::normalise(bytes, limits)?;
        let parts = Parts::parse(&der).and_then(|parts| {
            let [info] = parts.recipients.collect(1)?.try_into().ok()?;
            Some((info, EncryptedContent::parse(parts.encrypted_content)?))
        });
        let Some((info, content)) = parts else {
            return Ok(Err(NoPasswordEnvelope::Structure));
        };
        let Ok(content) = content else {
            return Ok(Err(NoPasswordEnvelope::Encryption));
        };
        Ok(Self::from_parts(&info, content, limits))
    }

    fn from_parts(
        info: &Element<'_>,
        content: EncryptedContent,
        limits: &Limits,
    ) -> Result<Self, NoPasswordEnvelope> {
        let (derivation, encryption, wrapped) =
            fields(info).ok_or(NoPasswordEnvelope::Structure)?;
        let kek = Kek::parse(&encryption)
            .filter(|kek| kek.takes(wrapped))
            .ok_or(NoPasswordEnvelope::Encryption)?;
        let derivation = Derivation::parse(&derivation, kek.cipher.key_length())
            .ok_or(NoPasswordEnvelope::Derivation)?;
        let (least, most) = (LEAST_ITERATIONS, limits.pbkdf2_iterations);
        if !(least..=most).contains(&derivation.iterations) {
            return Err(NoPasswordEnvelope::Iterations { least, most });
        }
        Ok(PasswordEnvelope {
            derivation,
            kek,
            wrapped: wrapped.to_vec(),
            content,
        })
    }

    /// A wrong password and an altered envelope look alike.
    pub(crate) fn open(&self, password: &Secret) -> Result<Zeroizing<Vec<u8>>, Undecipherable> {
        let derived = self
            .derivation
            .key(password, self.kek.cipher.key_length())
            .map_err(|_| Undecipherable)?;
        let key = self.kek.unwrap(&derived, &self.wrapped)?;
        if key.len() != self.content.cipher.key_length() {
            return Err(Undecipherable);
        }
        self.content.decrypt(&key)
    }
}

/// keyDerivationAlgorithm, keyEncryptionAlgorithm and encryptedKey.
fn fields<'a>(
    info: &Element<'a>,
) -> Option<(AlgorithmIdentifier<'a>, AlgorithmIdentifier<'a>, &'a [u8])> {
    if info.tag != PASSWORD_RECIPIENT {
        return None;
    }
    let mut fields = info.fields();
    fields.take(tag::INTEGER)?;
    let derivation = AlgorithmIdentifier::parse(&fields.take(tag::context_constructed(0))?)?;
    let encryption = AlgorithmIdentifier::take(&mut fields)?;
    let wrapped = fields.take(tag::OCTET_STRING)?.content;
    fields.finish()?;
    Some((derivation, encryption, wrapped))
}

/// PBKDF2 (RFC 8018 A.2).
#[derive(Debug, Clone)]
struct Derivation {
    salt: Vec<u8>,
    iterations: u32,
    prf: Digest,
}

impl Derivation {
    /// `key_length`: what keyLength says, if it says anything.
    fn parse(identifier: &AlgorithmIdentifier<'_>, key_length: usize) -> Option<Self> {
        if identifier.oid != oid::PBKDF2 {
            return None;
        }
        let mut fields = Fields::new(identifier.parameters_der()?)
            .take(tag::SEQUENCE)?
            .fields();
        let salt = fields.take(tag::OCTET_STRING)?.content;
        let iterations = fields.take(tag::INTEGER)?.small_number()?;
        if let Some(length) = fields.take_if(tag::INTEGER) {
            let length = usize::try_from(length.small_number()?).ok()?;
            if length != key_length {
                return None;
            }
        }
        let prf = if fields.is_empty() {
            // The default of RFC 8018 A.2.
            Digest::Sha1
        } else {
            Digest::of_hmac(&AlgorithmIdentifier::take(&mut fields)?)?
        };
        fields.finish()?;
        SALT_BOUNDS.contains(&salt.len()).then(|| Derivation {
            salt: salt.to_vec(),
            iterations,
            prf,
        })
    }

    /// `[0] IMPLICIT KeyDerivationAlgorithmIdentifier`; keyLength is left out, as the cipher says it.
    fn identifier(&self) -> Vec<u8> {
        let prf = write::sequence(&[&write::oid(&self.prf.hmac_oid()), &write::null()]);
        let parameters = write::sequence(&[
            &write::octet_string(&self.salt),
            &write::integer(&self.iterations.to_be_bytes()),
            &prf,
        ]);
        write::context(0, &[&write::oid(&oid::PBKDF2), &parameters])
    }

    fn key(&self, password: &Secret, length: usize) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        let mut key = Zeroizing::new(vec![0; length]);
        pbkdf2_hmac(
            password.expose().as_bytes(),
            &self.salt,
            usize::try_from(self.iterations).unwrap_or(usize::MAX),
            self.prf.into(),
            &mut key,
        )?;
        Ok(key)
    }
}
