//! Keys made and used by hand, in the presence of an operator.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::config::{check_module, utf8};
use crate::link::{Launch, Link};
use crate::wire::{CeremonyAnswer, CeremonyRequest, Setup, TokenIdentity};

use crate::{
    CeremonyConfig, CeremonyError, KeyAlgorithm, KeyRole, KeyUri, Pin, StartError, TokenUri,
};

/// How long one step may take: an RSA-4096 key takes minutes on a small token.
const STEP_DEADLINE: Duration = Duration::from_secs(300);

/// One worker on one token, for a key ceremony. It can make keys, which a service worker cannot.
pub struct Ceremony {
    /// Away while a step is done, and for good if the step was broken off.
    link: Mutex<Option<Link>>,
}

impl Ceremony {
    /// Starts the worker and logs in once.
    ///
    /// # Errors
    /// [`StartError`], whose text says how to mend it.
    pub async fn open(config: CeremonyConfig) -> Result<Self, StartError> {
        check_module(&config.module, &config.token)?;
        let setup = Setup::Ceremony {
            module: &utf8(&config.module)?,
            token: &config.token.to_string(),
        };
        let launch = Launch {
            program: config.program,
            environment: config.environment,
        };
        let (link, ready) = Link::start::<Result<(), StartError>>(&launch, &setup).await?;
        ready?;
        Ok(Self {
            link: Mutex::new(Some(link)),
        })
    }

    /// Every key and certificate object of the token, to say exactly what is there.
    ///
    /// # Errors
    /// [`CeremonyError`] as for any operation.
    pub async fn list_keys(&self) -> Result<Vec<FoundKey>, CeremonyError> {
        match self.ask(&CeremonyRequest::List).await? {
            CeremonyAnswer::Keys(keys) => Ok(keys),
            CeremonyAnswer::Generated(_) | CeremonyAnswer::Octets(_) => Err(confused()),
        }
    }

    /// Generates a key pair in the token with every attribute set, and reads them back.
    ///
    /// # Errors
    /// [`CeremonyError::Exists`] if the id or label is taken; [`CeremonyError::Generate`] says
    /// what is left, if anything.
    pub async fn generate(&self, key: GenerateKey) -> Result<GeneratedKey, CeremonyError> {
        match self.ask(&CeremonyRequest::Generate(key)).await? {
            CeremonyAnswer::Generated(key) => Ok(key),
            CeremonyAnswer::Keys(_) | CeremonyAnswer::Octets(_) => Err(confused()),
        }
    }

    /// The SubjectPublicKeyInfo DER of a key.
    ///
    /// # Errors
    /// [`CeremonyError::KeyCount`] if there is not exactly one.
    pub async fn public_key(&self, key: &KeyUri) -> Result<Vec<u8>, CeremonyError> {
        let key = key.to_string();
        self.octets(&CeremonyRequest::PublicKey { key }).await
    }

    /// Signs a TBSCertificate under the issuer given, a DER Name: root-sign signs CA certificates
    /// only, ca-sign all but those.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] names the rule.
    pub async fn sign_certificate(
        &self,
        key: &KeyUri,
        role: KeyRole,
        issuer: &[u8],
        tbs: &[u8],
    ) -> Result<Vec<u8>, CeremonyError> {
        self.octets(&CeremonyRequest::SignCertificate {
            key: key.to_string(),
            role,
            issuer: issuer.to_vec(),
            tbs: tbs.to_vec(),
        })
        .await
    }

    /// Signs a CertificationRequestInfo (RFC 2986, section 4.1) that holds the key's public half.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] names the rule.
    pub async fn sign_csr(&self, key: &KeyUri, info: &[u8]) -> Result<Vec<u8>, CeremonyError> {
        self.octets(&CeremonyRequest::SignCsr {
            key: key.to_string(),
            info: info.to_vec(),
        })
        .await
    }

    /// Ends the worker.
    pub async fn close(self) {
        if let Some(link) = self.link.into_inner() {
            link.stop().await;
        }
    }

    async fn octets(&self, request: &CeremonyRequest) -> Result<Vec<u8>, CeremonyError> {
        match self.ask(request).await? {
            CeremonyAnswer::Octets(octets) => Ok(octets),
            CeremonyAnswer::Keys(_) | CeremonyAnswer::Generated(_) => Err(confused()),
        }
    }

    async fn ask(&self, request: &CeremonyRequest) -> Result<CeremonyAnswer, CeremonyError> {
        let mut place = self.link.lock().await;
        // Taken out, so that a step broken off takes the worker with it.
        let mut link = place
            .take()
            .ok_or_else(|| lost("an earlier step broke off"))?;
        let answer = timeout(STEP_DEADLINE, link.ask(request)).await;
        match answer {
            Ok(Ok(answer)) => {
                *place = Some(link);
                answer
            }
            Ok(Err(error)) => Err(lost(&format!("{error} ({})", link.kill().await))),
            Err(_) => {
                link.kill().await;
                Err(lost(&format!(
                    "no answer within {} s",
                    STEP_DEADLINE.as_secs()
                )))
            }
        }
    }
}

impl fmt::Debug for Ceremony {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ceremony").finish_non_exhaustive()
    }
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

/// Initialises a new token and its user PIN, in a worker of its own: `program`, or this very
/// executable where `None`.
///
/// # Errors
/// [`CeremonyError::Exists`] if a token of that label is there already.
pub async fn init_token(
    module: &Path,
    environment: &[(String, String)],
    program: Option<&Path>,
    label: &str,
    so_pin: &Pin,
    user_pin: &Pin,
) -> Result<TokenUri, CeremonyError> {
    let setup = Setup::InitToken {
        module: &utf8(module)?,
        label,
        so_pin: so_pin.expose(),
        user_pin: user_pin.expose(),
    };
    let launch = Launch {
        program: program.map(Path::to_owned),
        environment: environment.to_vec(),
    };
    let (link, made) = Link::start::<Result<TokenIdentity, CeremonyError>>(&launch, &setup).await?;
    link.stop().await;
    let token = made?;
    Ok(TokenUri::of_token(&token.label, &token.serial))
}

fn lost(reason: &str) -> CeremonyError {
    CeremonyError::WorkerLost {
        reason: reason.to_owned(),
    }
}

fn confused() -> CeremonyError {
    lost("it answered another question")
}
