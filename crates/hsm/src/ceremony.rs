//! Keys made and used by hand, in the presence of an operator.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    CeremonyConfig, CeremonyError, KeyAlgorithm, KeyRole, KeyUri, Pin, StartError, TokenUri,
};

/// One worker on one token, for a key ceremony. It can make keys, which a service worker cannot.
#[derive(Debug)]
pub struct Ceremony {}

impl Ceremony {
    /// Starts the worker and logs in once.
    ///
    /// # Errors
    /// [`StartError`], whose text says how to mend it.
    pub async fn open(_config: CeremonyConfig) -> Result<Self, StartError> {
        Err(StartError::Worker {
            reason: "not there yet".to_owned(),
        })
    }

    /// Every key and certificate object of the token, to say exactly what is there.
    ///
    /// # Errors
    /// [`CeremonyError`] as for any operation.
    pub async fn list_keys(&self) -> Result<Vec<FoundKey>, CeremonyError> {
        Ok(Vec::new())
    }

    /// Generates a key pair in the token with every attribute set, and reads them back.
    ///
    /// # Errors
    /// [`CeremonyError::Exists`] if the id or label is taken; [`CeremonyError::Generate`] says
    /// what is left, if anything.
    pub async fn generate(&self, _key: GenerateKey) -> Result<GeneratedKey, CeremonyError> {
        Err(CeremonyError::WorkerLost {
            reason: String::new(),
        })
    }

    /// The SubjectPublicKeyInfo DER of a key.
    ///
    /// # Errors
    /// [`CeremonyError::KeyCount`] if there is not exactly one.
    pub async fn public_key(&self, _key: &KeyUri) -> Result<Vec<u8>, CeremonyError> {
        Err(CeremonyError::WorkerLost {
            reason: String::new(),
        })
    }

    /// Signs a TBSCertificate under the issuer given, a DER Name: root-sign signs CA certificates
    /// only, ca-sign all but those.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] names the rule.
    pub async fn sign_certificate(
        &self,
        _key: &KeyUri,
        _role: KeyRole,
        _issuer: &[u8],
        _tbs: &[u8],
    ) -> Result<Vec<u8>, CeremonyError> {
        Err(CeremonyError::WorkerLost {
            reason: String::new(),
        })
    }

    /// Signs a CertificationRequestInfo (RFC 2986, section 4.1) that holds the key's public half.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] names the rule.
    pub async fn sign_csr(&self, _key: &KeyUri, _info: &[u8]) -> Result<Vec<u8>, CeremonyError> {
        Err(CeremonyError::WorkerLost {
            reason: String::new(),
        })
    }

    /// Ends the worker.
    pub async fn close(self) {}
}

/// What to generate.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GeneratedKey {
    /// DER of its SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
    /// Attributes of the private key as read back, by PKCS#11 name.
    pub attributes: Vec<(String, String)>,
    /// Its URI with the PIN source of the ceremony, as it may stand in a configuration.
    pub uri: String,
}

/// An object in the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundKey {
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID.
    pub id: Vec<u8>,
    /// CKA_CLASS: `private`, `public`, `certificate`, `secret` or `other`.
    pub class: String,
}

/// Initialises a new token and its user PIN.
///
/// # Errors
/// [`CeremonyError::Exists`] if a token of that label is there already.
pub async fn init_token(
    _module: &Path,
    _environment: &[(String, String)],
    _program: Option<&Path>,
    _label: &str,
    _so_pin: &Pin,
    _user_pin: &Pin,
) -> Result<TokenUri, CeremonyError> {
    Err(CeremonyError::WorkerLost {
        reason: String::new(),
    })
}
