use std::fmt;
use std::str::FromStr;

use assay_types::{Hash, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::sign::Verifier;
use sha2::{Digest, Sha256};

use super::{KEY_ID, Note, Signature, is_name};

/// Octets of an Ed25519 public key (RFC 8032, section 5.1.5).
const ED25519_KEY: usize = 32;
/// Octets of the time before a cosignature's signature.
const TIME: usize = 8;

/// How a key signs, by its signature type of C2SP signed-note.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// 0x01: Ed25519 over the text.
    Ed25519,
    /// 0x02: ECDSA P-256 with SHA-256 over the text, DER.
    EcdsaP256,
    /// 0x04: a witness's cosignature/v1 of C2SP tlog-cosignature: Ed25519 over a time and the text.
    CosignatureV1,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Ed25519, Self::EcdsaP256, Self::CosignatureV1];

    fn octet(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::EcdsaP256 => 0x02,
            Self::CosignatureV1 => 0x04,
        }
    }
}

/// A public key with the name that it signs under; written as a vkey: NAME+KEYID+BASE64.
#[derive(Clone)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    /// 32 octets of Ed25519, or the DER SubjectPublicKeyInfo.
    public: Vec<u8>,
    key: PKey<Public>,
}

/// Why a text is no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not NAME+KEYID+BASE64.
    #[error("a verifier key is NAME+KEYID+BASE64, KEYID of eight lowercase hexadecimal digits")]
    Form,
    /// No name for a key.
    #[error("the name of a key is not empty and has neither spaces nor plus signs")]
    Name,
    /// The id is not that of this name and key.
    #[error("the key id is not that of this name and key: it would be {}", hex::encode(.0))]
    Id([u8; KEY_ID]),
    /// An algorithm that is not known here.
    #[error(
        "signature type {0:#04x} is not known: 0x01 Ed25519, 0x02 ECDSA P-256, 0x04 cosignature/v1"
    )]
    Algorithm(u8),
    /// The octets are no such key.
    #[error("the octets are no public key of that type")]
    Key,
}

/// Why a note does not hold under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// None names the key.
    #[error("no signature of this key")]
    Missing,
    /// More than one does.
    #[error("more than one signature of this key")]
    Twice,
    /// It does not verify.
    #[error("the signature of this key does not verify")]
    Wrong,
}

impl VerifierKey {
    /// An Ed25519 key of 32 octets that signs notes ([`Algorithm::Ed25519`]) or cosigns checkpoints
    /// ([`Algorithm::CosignatureV1`]).
    ///
    /// # Errors
    /// Where name or key are none.
    pub fn ed25519(name: &str, algorithm: Algorithm, public: &[u8]) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::Ed25519 | Algorithm::CosignatureV1 => Self::new(name, algorithm, public),
            Algorithm::EcdsaP256 => Err(KeyError::Key),
        }
    }

    /// The key of a DER SubjectPublicKeyInfo, Ed25519 or P-256, that signs notes.
    ///
    /// # Errors
    /// Where the name is none, or the key is of another kind.
    pub fn from_spki(name: &str, spki: &[u8]) -> Result<Self, KeyError> {
        let key = PKey::public_key_from_der(spki).map_err(|_| KeyError::Key)?;
        if key.id() == Id::ED25519 {
            let public = key.raw_public_key().map_err(|_| KeyError::Key)?;
            return Self::new(name, Algorithm::Ed25519, &public);
        }
        Self::new(name, Algorithm::EcdsaP256, spki)
    }

    fn new(name: &str, algorithm: Algorithm, public: &[u8]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name);
        }
        let key = match algorithm {
            Algorithm::Ed25519 | Algorithm::CosignatureV1 => ed25519(public),
            Algorithm::EcdsaP256 => p256(public),
        };
        Ok(Self {
            name: name.to_owned(),
            algorithm,
            public: public.to_vec(),
            key: key.ok_or(KeyError::Key)?,
        })
    }

    /// Who signs with it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What tells it from other keys of the name.
    pub fn id(&self) -> [u8; KEY_ID] {
        let digest = Sha256::new();
        let hash: Hash = match self.algorithm {
            Algorithm::Ed25519 | Algorithm::CosignatureV1 => digest
                .chain_update(&self.name)
                .chain_update([b'\n', self.algorithm.octet()])
                .chain_update(&self.public)
                .into(),
            // By the key alone, as in RFC 6962, section 3.2.
            Algorithm::EcdsaP256 => digest.chain_update(&self.public).into(),
        };
        let [a, b, c, d, ..] = *hash.as_bytes();
        [a, b, c, d]
    }

    /// The key's one signature in the note, verified; for a cosignature with its time.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, note: &Note) -> Result<Option<Timestamp>, SignatureError> {
        let mut by_it = note.signatures().iter().filter(|line| line.is_by(self));
        let signature = by_it.next().ok_or(SignatureError::Missing)?;
        if by_it.next().is_some() {
            return Err(SignatureError::Twice);
        }
        self.verify_line(note.text(), signature)
    }

    /// The same for one line over a text.
    ///
    /// # Errors
    /// [`SignatureError::Missing`] for another key's, [`SignatureError::Wrong`].
    pub fn verify_line(
        &self,
        text: &str,
        signature: &Signature,
    ) -> Result<Option<Timestamp>, SignatureError> {
        if !signature.is_by(self) {
            return Err(SignatureError::Missing);
        }
        let (time, octets, signed) = match self.algorithm {
            Algorithm::Ed25519 | Algorithm::EcdsaP256 => {
                (None, signature.octets(), text.to_owned())
            }
            Algorithm::CosignatureV1 => {
                let (time, octets) = signature
                    .octets()
                    .split_first_chunk::<TIME>()
                    .ok_or(SignatureError::Wrong)?;
                let seconds = i64::try_from(u64::from_be_bytes(*time));
                let time = Timestamp::from_seconds(seconds.map_err(|_| SignatureError::Wrong)?);
                (Some(time), octets, cosigned(time, text))
            }
        };
        if self.is_right(signed.as_bytes(), octets) {
            Ok(time)
        } else {
            Err(SignatureError::Wrong)
        }
    }

    fn is_right(&self, signed: &[u8], octets: &[u8]) -> bool {
        let verifier = match self.algorithm {
            Algorithm::Ed25519 | Algorithm::CosignatureV1 => {
                Verifier::new_without_digest(&self.key)
            }
            Algorithm::EcdsaP256 => Verifier::new(MessageDigest::sha256(), &self.key),
        };
        verifier
            .and_then(|mut verifier| verifier.verify_oneshot(octets, signed))
            .unwrap_or(false)
    }
}

/// What a witness signs at `time` (C2SP tlog-cosignature).
pub fn cosigned(time: Timestamp, checkpoint: &str) -> String {
    let seconds = time.seconds();
    format!("cosignature/v1\ntime {seconds}\n{checkpoint}")
}

fn ed25519(public: &[u8]) -> Option<PKey<Public>> {
    if public.len() != ED25519_KEY {
        return None;
    }
    PKey::public_key_from_raw_bytes(public, Id::ED25519).ok()
}

fn p256(spki: &[u8]) -> Option<PKey<Public>> {
    let key = PKey::public_key_from_der(spki).ok()?;
    let curve = key.ec_key().ok()?.group().curve_name();
    // The one encoding: the id is a hash over it.
    let whole = key.public_key_to_der().ok()?;
    (curve == Some(Nid::X9_62_PRIME256V1) && whole == spki).then_some(key)
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // Base64 has plus signs itself.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(KeyError::Form);
        };
        let mut key_id = [0; KEY_ID];
        hex::decode_to_slice(id, &mut key_id).map_err(|_| KeyError::Form)?;
        let bytes = BASE64.decode(encoded).map_err(|_| KeyError::Form)?;
        let (octet, public) = bytes.split_first().ok_or(KeyError::Form)?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.octet() == *octet)
            .ok_or(KeyError::Algorithm(*octet))?;
        let key = Self::new(name, algorithm, public)?;
        if id != hex::encode(key.id()) {
            return Err(KeyError::Id(key.id()));
        }
        Ok(key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = BASE64.encode([&[self.algorithm.octet()], &self.public[..]].concat());
        write!(f, "{}+{}+{encoded}", self.name, hex::encode(self.id()))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.algorithm, &self.public) == (&other.name, other.algorithm, &other.public)
    }
}

impl Eq for VerifierKey {}
