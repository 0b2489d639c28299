//! Key generation: each attribute set and read back, and nothing overwritten.

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType};

use crate::template::{ED25519_NAME, ED25519_OID, P256, P384, ReadBack, mechanisms};
use crate::{
    CallError, FoundKey, KeyAlgorithm, KeyHandle, KeyRole, KeyUri, Session, Token, TokenError,
    describe,
};

/// Public exponent of generated RSA keys: F4, the least that FIPS 186-5 (A.1.1) allows.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// Longest CKA_LABEL and CKA_ID made, in octets; tokens take at least these.
const MAX_LABEL: usize = 64;
const MAX_ID: usize = 32;

/// The specification of a key to generate.
#[derive(Clone, Debug)]
pub struct GenerateKey {
    /// Decides usage and allowed mechanisms.
    pub role: KeyRole,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID.
    pub id: Vec<u8>,
    /// Kind and size.
    pub algorithm: KeyAlgorithm,
}

/// A key just generated.
#[derive(Clone, Debug)]
pub struct GeneratedKey {
    /// DER of its SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
    /// Attributes of the private key as read back, by PKCS#11 name.
    pub attributes: Vec<(String, String)>,
    /// Its URI with the PIN source of its token, as it may stand in a configuration.
    pub uri: KeyUri,
}

impl Session {
    /// Generates a key pair in the token with every attribute set, and reads them back. The session is one of `token`,
    /// which was opened with [`crate::Access::ReadWrite`].
    ///
    /// # Errors
    /// [`TokenError::Unfit`] for a key that its role has no use for, [`TokenError::Exists`] if the id or label is
    /// taken; [`TokenError::Generate`] says what is left, if anything.
    pub fn generate(&self, token: &Token, key: &GenerateKey) -> Result<GeneratedKey, TokenError> {
        check_specification(key)?;
        let taken = self
            .list(|found| key.has_name_of(found))
            .map_err(|error| TokenError::call("listing keys", &error))?;
        if !taken.is_empty() {
            return Err(TokenError::Exists {
                found: describe(&taken),
            });
        }
        let uri = token.uri().key(&key.label, &key.id);
        let made = self
            .generate_pair(key)
            .map_err(|error| CallError::from(error).to_string())
            .and_then(|private| self.inspect(key, uri, private));
        made.map_err(|reason| TokenError::Generate {
            reason,
            left: self.clean_up(key),
        })
    }

    /// The SubjectPublicKeyInfo DER of a key.
    ///
    /// # Errors
    /// [`TokenError::PublicKey`] where its public key object is not there once, or cannot be read.
    pub fn spki_der(&self, uri: &KeyUri) -> Result<Vec<u8>, TokenError> {
        let key = self
            .public_key(uri)
            .map_err(|error| TokenError::call("reading the public key object", &error))?;
        key.and_then(|key| key.public_key_to_der().ok())
            .ok_or_else(|| TokenError::PublicKey {
                uri: uri.to_string(),
            })
    }

    fn generate_pair(&self, key: &GenerateKey) -> Result<KeyHandle, Error> {
        let mechanism = match key.algorithm {
            KeyAlgorithm::Rsa(_) => Mechanism::RsaPkcsKeyPairGen,
            KeyAlgorithm::P256 | KeyAlgorithm::P384 => Mechanism::EccKeyPairGen,
            KeyAlgorithm::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
        };
        let generate = |curve| {
            let public = public(key, curve);
            let private = private(key);
            self.0
                .generate_key_pair(&mechanism, &public, &private)
                .map(|(_, private)| KeyHandle(private))
        };
        match generate(Curve::Named) {
            Err(_) if key.algorithm == KeyAlgorithm::Ed25519 => generate(Curve::Oid),
            made => made,
        }
    }

    /// Reads the new key back and refuses one that the token did not make as asked.
    fn inspect(
        &self,
        key: &GenerateKey,
        uri: KeyUri,
        private: KeyHandle,
    ) -> Result<GeneratedKey, String> {
        let text = |error: CallError| error.to_string();
        let ReadBack {
            mut attributes,
            mut problems,
        } = self.read_back(private, key.role).map_err(text)?;
        let wanted = mechanisms(key.role, key.algorithm);
        let allowed = self
            .0
            .get_attributes(private.0, &[AttributeType::AllowedMechanisms])
            .map_err(|error| text(error.into()))?;
        if let Some(Attribute::AllowedMechanisms(allowed)) = allowed.first() {
            let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            attributes.push(("CKA_ALLOWED_MECHANISMS".to_owned(), names.join(" ")));
            if allowed.len() != wanted.len() || !wanted.iter().all(|one| allowed.contains(one)) {
                problems.push("CKA_ALLOWED_MECHANISMS is not as set".to_owned());
            }
        } else {
            problems.push("CKA_ALLOWED_MECHANISMS cannot be read".to_owned());
        }
        if self.algorithm(private).map_err(text)? != Some(key.algorithm) {
            problems.push("the key is of another kind".to_owned());
        }
        if !problems.is_empty() {
            return Err(format!(
                "the token made it otherwise: {}",
                problems.join(", ")
            ));
        }
        attributes.push(("CKA_KEY_TYPE".to_owned(), key.algorithm.to_string()));
        attributes.push(("CKA_LABEL".to_owned(), key.label.clone()));
        attributes.push(("CKA_ID".to_owned(), hex::encode(&key.id)));
        Ok(GeneratedKey {
            spki_der: self.spki_der(&uri).map_err(|error| error.to_string())?,
            attributes,
            uri,
        })
    }

    /// Destroys what a failed generation made, and says what is left.
    fn clean_up(&self, key: &GenerateKey) -> String {
        let made = self.objects(|found| key.has_name_of(found));
        for (handle, _) in made.unwrap_or_default() {
            if let Err(error) = self.0.destroy_object(handle) {
                tracing::warn!(%error, "a half key pair could not be destroyed");
            }
        }
        match self.list(|found| key.has_name_of(found)) {
            Ok(left) if left.is_empty() => "nothing of it is left in the token".to_owned(),
            Ok(left) => format!("left in the token: {}", describe(&left)),
            Err(error) => format!("what is left of it cannot be listed: {error}"),
        }
    }
}

impl GenerateKey {
    /// The object, of any class, bears this id or this label.
    fn has_name_of(&self, found: &FoundKey) -> bool {
        found.id == self.id || found.label == self.label
    }
}

fn check_specification(key: &GenerateKey) -> Result<(), TokenError> {
    let right = if key.label.is_empty() || key.label.len() > MAX_LABEL {
        Some(format!("a key label has 1 to {MAX_LABEL} octets"))
    } else if key.id.is_empty() || key.id.len() > MAX_ID {
        Some(format!("a key id has 1 to {MAX_ID} octets"))
    } else {
        match (key.role, key.algorithm) {
            (KeyRole::LogSign, KeyAlgorithm::Rsa(_) | KeyAlgorithm::P384) => {
                Some("log-sign is Ed25519 or P-256".to_owned())
            }
            (_, KeyAlgorithm::Rsa(2048 | 3072 | 4096))
            | (
                KeyRole::CaSign
                | KeyRole::LogSign
                | KeyRole::OcspSign
                | KeyRole::Probe
                | KeyRole::RootSign,
                KeyAlgorithm::P256 | KeyAlgorithm::P384,
            )
            | (KeyRole::LogSign, KeyAlgorithm::Ed25519) => None,
            (_, KeyAlgorithm::Rsa(_)) => Some("RSA keys have 2048, 3072 or 4096 bits".to_owned()),
            (role, KeyAlgorithm::P256 | KeyAlgorithm::P384) => Some(format!("{role} needs RSA")),
            (role, KeyAlgorithm::Ed25519) => {
                Some(format!("{role} cannot use Ed25519, which is for log-sign"))
            }
        }
    };
    match right {
        None => Ok(()),
        Some(reason) => Err(TokenError::Unfit { reason }),
    }
}

/// Template of the private half: every attribute of usage set, for a token's own defaults may be
/// anything.
fn private(key: &GenerateKey) -> Vec<Attribute> {
    vec![
        Attribute::KeyType(key_type(key.algorithm)),
        Attribute::Label(key.label.clone().into_bytes()),
        Attribute::Id(key.id.clone()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Copyable(false),
        Attribute::Decrypt(key.role.decrypts()),
        Attribute::Sign(key.role.signs()),
        Attribute::SignRecover(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::AllowedMechanisms(mechanisms(key.role, key.algorithm)),
    ]
}

/// Template of the public half.
fn public(key: &GenerateKey, curve: Curve) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::KeyType(key_type(key.algorithm)),
        Attribute::Label(key.label.clone().into_bytes()),
        Attribute::Id(key.id.clone()),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Modifiable(false),
        Attribute::Copyable(false),
        Attribute::Encrypt(key.role.decrypts()),
        Attribute::Verify(key.role.signs()),
        Attribute::VerifyRecover(false),
        Attribute::Wrap(false),
        Attribute::Derive(false),
    ];
    match (key.algorithm, curve) {
        (KeyAlgorithm::Rsa(bits), _) => {
            template.push(Attribute::ModulusBits(cryptoki::types::Ulong::new(
                bits.into(),
            )));
            template.push(Attribute::PublicExponent(RSA_EXPONENT.to_vec()));
        }
        (KeyAlgorithm::P256, _) => template.push(Attribute::EcParams(P256.to_vec())),
        (KeyAlgorithm::P384, _) => template.push(Attribute::EcParams(P384.to_vec())),
        (KeyAlgorithm::Ed25519, Curve::Named) => {
            template.push(Attribute::EcParams(ED25519_NAME.to_vec()));
        }
        (KeyAlgorithm::Ed25519, Curve::Oid) => {
            template.push(Attribute::EcParams(ED25519_OID.to_vec()));
        }
    }
    template
}

/// The two spellings of Ed25519 in CKA_EC_PARAMS; tokens take one or the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Curve {
    Named,
    Oid,
}

fn key_type(algorithm: KeyAlgorithm) -> KeyType {
    match algorithm {
        KeyAlgorithm::Rsa(_) => KeyType::RSA,
        KeyAlgorithm::P256 | KeyAlgorithm::P384 => KeyType::EC,
        KeyAlgorithm::Ed25519 => KeyType::EC_EDWARDS,
    }
}
