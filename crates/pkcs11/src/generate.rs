//! Key ceremonies: keys made, read and used one at a time.

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;

use super::structure::{Issuer, Refusal, Subject, check_certificate, check_request};
use super::template::{self, Curve, ReadBack};
use super::token::{Access, Token};
use super::{key, operation};
use crate::wire::{CeremonyAnswer, CeremonyRequest};
use crate::{
    CeremonyError, FoundKey, GenerateKey, GeneratedKey, KeyAlgorithm, KeyRole, KeyUri,
    SignatureAlgorithm, StartError, TokenUri,
};

/// Longest CKA_LABEL and CKA_ID made, in octets; tokens take at least these.
const MAX_LABEL: usize = 64;
const MAX_ID: usize = 32;

pub(super) struct Ceremony {
    uri: TokenUri,
    session: Session,
    token: Token,
}

impl Ceremony {
    pub(super) fn open(module: &str, uri: &str) -> Result<Self, StartError> {
        let uri = TokenUri::parse(uri).map_err(|error| StartError::Config {
            field: "token".to_owned(),
            right: error.to_string(),
        })?;
        let token = Token::open(module, &uri, Access::ReadWrite)?;
        Ok(Self {
            session: token.session()?,
            uri: uri.at(&token.identity.label, &token.identity.serial),
            token,
        })
    }

    pub(super) fn answer(&self, request: CeremonyRequest) -> Result<CeremonyAnswer, CeremonyError> {
        match request {
            CeremonyRequest::List => {
                let found = key::list(&self.session, |_| true).map_err(failed("listing keys"))?;
                let keys = found.into_iter().map(|(_, key)| key).collect();
                Ok(CeremonyAnswer::Keys(keys))
            }
            CeremonyRequest::Generate(key) => self.generate(&key).map(CeremonyAnswer::Generated),
            CeremonyRequest::PublicKey { key } => {
                let (uri, _) = self.find(&key)?;
                self.spki(&uri).map(CeremonyAnswer::Octets)
            }
            CeremonyRequest::SignCertificate {
                key,
                role,
                issuer,
                tbs,
            } => self
                .sign_certificate(&key, role, issuer, &tbs)
                .map(CeremonyAnswer::Octets),
            CeremonyRequest::SignCsr { key, info } => {
                self.sign_csr(&key, &info).map(CeremonyAnswer::Octets)
            }
        }
    }

    fn generate(&self, key: &GenerateKey) -> Result<GeneratedKey, CeremonyError> {
        check_specification(key)?;
        let taken = self.same_name(key)?;
        if !taken.is_empty() {
            return Err(CeremonyError::Exists {
                found: key::describe(&taken),
            });
        }
        let made = self
            .generate_pair(key)
            .map_err(|error| error.to_string())
            .and_then(|private| self.read_back(key, private));
        made.map_err(|reason| CeremonyError::Generate {
            reason,
            left: self.clean_up(key),
        })
    }

    fn generate_pair(&self, key: &GenerateKey) -> Result<ObjectHandle, Error> {
        let mechanism = match key.algorithm {
            KeyAlgorithm::Rsa(_) => Mechanism::RsaPkcsKeyPairGen,
            KeyAlgorithm::P256 | KeyAlgorithm::P384 => Mechanism::EccKeyPairGen,
            KeyAlgorithm::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
        };
        let generate = |curve| {
            let public = template::public(key, curve);
            let private = template::private(key);
            self.session
                .generate_key_pair(&mechanism, &public, &private)
                .map(|(_, private)| private)
        };
        match generate(Curve::Named) {
            Err(_) if key.algorithm == KeyAlgorithm::Ed25519 => generate(Curve::Oid),
            made => made,
        }
    }

    /// Reads the new key back and refuses one that the token did not make as asked.
    fn read_back(&self, key: &GenerateKey, private: ObjectHandle) -> Result<GeneratedKey, String> {
        let text = |error: Error| error.to_string();
        let ReadBack {
            mut attributes,
            mut problems,
        } = template::check(&self.session, private, key.role).map_err(text)?;
        let wanted = template::mechanisms(key.role, key.algorithm);
        let allowed = self
            .session
            .get_attributes(private, &[AttributeType::AllowedMechanisms])
            .map_err(text)?;
        if let Some(Attribute::AllowedMechanisms(allowed)) = allowed.first() {
            let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            attributes.push(("CKA_ALLOWED_MECHANISMS".to_owned(), names.join(" ")));
            if allowed.len() != wanted.len() || !wanted.iter().all(|one| allowed.contains(one)) {
                problems.push("CKA_ALLOWED_MECHANISMS is not as set".to_owned());
            }
        } else {
            problems.push("CKA_ALLOWED_MECHANISMS cannot be read".to_owned());
        }
        if key::algorithm(&self.session, private).map_err(text)? != Some(key.algorithm) {
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
        let uri = self.uri.key(&key.label, &key.id);
        Ok(GeneratedKey {
            spki_der: self.spki(&uri).map_err(|error| error.to_string())?,
            attributes,
            uri: uri.to_string(),
        })
    }

    /// Destroys what a failed generation made, and says what is left.
    fn clean_up(&self, key: &GenerateKey) -> String {
        for (handle, _) in self.same_name(key).unwrap_or_default() {
            if let Err(error) = self.session.destroy_object(handle) {
                tracing::warn!(%error, "a half key pair could not be destroyed");
            }
        }
        match self.same_name(key) {
            Ok(left) if left.is_empty() => "nothing of it is left in the token".to_owned(),
            Ok(left) => format!("left in the token: {}", key::describe(&left)),
            Err(error) => format!("what is left of it cannot be told: {error}"),
        }
    }

    /// Objects of any class that bear this id or this label.
    fn same_name(&self, key: &GenerateKey) -> Result<Vec<(ObjectHandle, FoundKey)>, CeremonyError> {
        key::list(&self.session, |found| {
            found.id == key.id || found.label == key.label
        })
        .map_err(failed("listing keys"))
    }

    fn sign_certificate(
        &self,
        key: &str,
        role: KeyRole,
        issuer: Vec<u8>,
        tbs: &[u8],
    ) -> Result<Vec<u8>, CeremonyError> {
        let subject = match role {
            KeyRole::RootSign => Subject::Authority,
            KeyRole::CaSign => Subject::Delegate,
            KeyRole::RaDecrypt
            | KeyRole::RaSign
            | KeyRole::RaSingle
            | KeyRole::LogSign
            | KeyRole::OcspSign
            | KeyRole::Probe => {
                return Err(CeremonyError::Refused {
                    reason: format!("a {role} key signs no certificates"),
                });
            }
        };
        let (_, signer) = self.find(key)?;
        let issuer = Issuer {
            name: issuer,
            algorithm: signer.signature_algorithm()?,
        };
        check_certificate(tbs, &issuer, subject).map_err(refused)?;
        self.sign(&signer, tbs)
    }

    fn sign_csr(&self, key: &str, info: &[u8]) -> Result<Vec<u8>, CeremonyError> {
        let (uri, signer) = self.find(key)?;
        signer.signature_algorithm()?;
        check_request(info, &self.spki(&uri)?).map_err(refused)?;
        self.sign(&signer, info)
    }

    fn sign(&self, signer: &Signer, data: &[u8]) -> Result<Vec<u8>, CeremonyError> {
        operation::sign(&self.session, signer.handle, signer.algorithm, data)
            .map_err(failed("signing"))
    }

    fn find(&self, uri: &str) -> Result<(KeyUri, Signer), CeremonyError> {
        let refused = |reason: String| CeremonyError::Refused { reason };
        let uri = KeyUri::parse(uri).map_err(|error| refused(error.to_string()))?;
        self.token
            .expect_holds(&uri)
            .map_err(|error| refused(error.to_string()))?;
        let found = key::find_private(&self.session, &uri).map_err(failed("finding the key"))?;
        let [handle] = found.as_slice() else {
            return Err(CeremonyError::KeyCount {
                uri: uri.to_string(),
                count: found.len(),
            });
        };
        let algorithm = key::algorithm(&self.session, *handle)
            .map_err(failed("reading the kind of the key"))?
            .ok_or_else(|| {
                refused("the key is neither RSA, P-256, P-384 nor Ed25519".to_owned())
            })?;
        Ok((
            uri,
            Signer {
                handle: *handle,
                algorithm,
            },
        ))
    }

    fn spki(&self, uri: &KeyUri) -> Result<Vec<u8>, CeremonyError> {
        let key =
            key::public_key(&self.session, uri).map_err(failed("reading the public key object"))?;
        key.public_key_to_der()
            .map_err(|error| CeremonyError::Token {
                action: "encoding the public key".to_owned(),
                code: error.to_string(),
            })
    }
}

struct Signer {
    handle: ObjectHandle,
    algorithm: KeyAlgorithm,
}

impl Signer {
    fn signature_algorithm(&self) -> Result<SignatureAlgorithm, CeremonyError> {
        operation::signature_algorithm(self.algorithm).ok_or_else(|| CeremonyError::Refused {
            reason: "an Ed25519 key signs no certificates here: use P-256, P-384 or RSA".to_owned(),
        })
    }
}

fn check_specification(key: &GenerateKey) -> Result<(), CeremonyError> {
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
        Some(reason) => Err(CeremonyError::Refused { reason }),
    }
}

fn failed(action: &'static str) -> impl Fn(Error) -> CeremonyError {
    move |error| CeremonyError::Token {
        action: action.to_owned(),
        code: error.to_string(),
    }
}

fn refused(refusal: Refusal) -> CeremonyError {
    CeremonyError::Refused {
        reason: refusal.to_string(),
    }
}
