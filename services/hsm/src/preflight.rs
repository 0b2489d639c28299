//! Checks before service: every key is there once, is of the right kind, cannot leave the token,
//! can be used as its role needs, and belongs to its certificate.

use assay_pkcs11::{
    CallError, DecryptionPadding, KeyHandle, Session, Token, TokenError, describe, verify,
};
use openssl::pkey::{PKey, Public};
use openssl::rand::rand_bytes;
use openssl::x509::X509;

use assay_hsm::{KeyAlgorithm, KeyRole, KeyTransport, LogKey};
use assay_pkcs11::KeyUri;

use crate::error::StartError;
use crate::settings::KeySettings;
use crate::transport;

/// Smallest RSA key taken into service (NIST SP 800-131A revision 2, table 2).
const MIN_RSA_BITS: u32 = 2048;

/// Starts what a sign key signs to prove itself. No TBS, CRL, request or set of attributes starts
/// with this octet.
const PROOF_CONTEXT: &[u8] = b"assay proof of possession v1\0";

/// Octets of a challenge.
const CHALLENGE: usize = 32;

/// A key that passed.
pub(crate) struct CheckedKey {
    pub(crate) role: KeyRole,
    pub(crate) uri: KeyUri,
    pub(crate) handle: KeyHandle,
    pub(crate) algorithm: KeyAlgorithm,
    /// Of its certificate, or where it has none, of its public key object; proven to be the private key's.
    pub(crate) public_key: PKey<Public>,
    /// For a key that decrypts, what it can undo.
    pub(crate) transports: Vec<KeyTransport>,
}

/// Runs every check on one key.
pub(crate) fn check(
    token: &Token,
    session: &Session,
    setup: &KeySettings,
) -> Result<CheckedKey, StartError> {
    let uri = setup.uri.clone();
    token.expect_holds(&uri)?;
    let subject = Candidate {
        token,
        session,
        role: setup.role,
        uri: &uri,
    };
    let handle = subject.find()?;
    subject.check_attributes(handle)?;
    let algorithm = subject.check_kind(handle)?;
    subject.check_mechanisms(algorithm)?;
    let certificate = setup.certificate.as_deref();
    let (public_key, transports) = match certificate {
        Some(certificate) => subject.check_certificate(handle, algorithm, certificate)?,
        None => (subject.check_public_key(handle, algorithm)?, Vec::new()),
    };
    Ok(CheckedKey {
        public_key,
        transports,
        role: setup.role,
        handle,
        algorithm,
        uri,
    })
}

/// Refuses one key for two roles, whatever names it bears: its uses would no longer be told apart.
pub(crate) fn check_distinct(keys: &[&CheckedKey]) -> Result<(), StartError> {
    for (place, key) in keys.iter().enumerate() {
        let twin = keys.iter().take(place).find(|other| {
            other.handle == key.handle || other.public_key.public_eq(&key.public_key)
        });
        if let Some(twin) = twin {
            return Err(StartError::KeyShared {
                role: key.role,
                uri: key.uri.to_string(),
                other: twin.role,
            });
        }
    }
    Ok(())
}

/// The log key's public half, if there is one.
pub(crate) fn log_key(keys: &[&CheckedKey]) -> Result<Option<LogKey>, StartError> {
    let Some(key) = keys.iter().find(|key| key.role == KeyRole::LogSign) else {
        return Ok(None);
    };
    let spki_der = key
        .public_key
        .public_key_to_der()
        .map_err(|error| TokenError::Call {
            action: "encoding the log key".to_owned(),
            code: error.to_string(),
        })?;
    Ok(Some(LogKey {
        algorithm: key.algorithm,
        spki_der,
    }))
}

struct Candidate<'a> {
    token: &'a Token,
    session: &'a Session,
    role: KeyRole,
    uri: &'a KeyUri,
}

impl Candidate<'_> {
    fn find(&self) -> Result<KeyHandle, StartError> {
        let found = self
            .session
            .private_keys(self.uri)
            .map_err(|error| failed("finding a key", &error))?;
        match found.as_slice() {
            [handle] => Ok(*handle),
            [] => Err(StartError::KeyNotFound {
                role: self.role,
                uri: self.uri.to_string(),
                hint: self.hint()?,
            }),
            _ => Err(StartError::KeyAmbiguous {
                role: self.role,
                uri: self.uri.to_string(),
                count: found.len(),
            }),
        }
    }

    fn hint(&self) -> Result<String, StartError> {
        let near = self
            .session
            .list(|found| {
                found.class == "private"
                    && (found.id == self.uri.id() || found.label == self.uri.object())
            })
            .map_err(|error| failed("listing keys", &error))?;
        Ok(if near.is_empty() {
            "no private key has that id or label; make the keys with `assay-ceremony`".to_owned()
        } else {
            format!("id and label must both match, there is {}", describe(&near))
        })
    }

    fn check_attributes(&self, handle: KeyHandle) -> Result<(), StartError> {
        let problems = self
            .session
            .attribute_problems(handle, self.role)
            .map_err(|error| failed("reading attributes", &error))?;
        if problems.is_empty() {
            Ok(())
        } else {
            Err(StartError::KeyAttributes {
                role: self.role,
                uri: self.uri.to_string(),
                problems: problems.join(", "),
            })
        }
    }

    fn check_kind(&self, handle: KeyHandle) -> Result<KeyAlgorithm, StartError> {
        let algorithm = self
            .session
            .algorithm(handle)
            .map_err(|error| failed("reading the kind of a key", &error))?;
        let right = match self.role {
            KeyRole::RaDecrypt | KeyRole::RaSign | KeyRole::RaSingle => {
                "an RSA key of 2048 bits or more is needed"
            }
            KeyRole::CaSign | KeyRole::OcspSign | KeyRole::Probe | KeyRole::RootSign => {
                "P-256, P-384 or RSA of 2048 bits or more is needed"
            }
            // Others have no place in a signed note.
            KeyRole::LogSign => "Ed25519 or P-256 is needed",
        };
        let fits = |algorithm: &KeyAlgorithm| match (algorithm, self.role) {
            (KeyAlgorithm::Rsa(_) | KeyAlgorithm::P384, KeyRole::LogSign) => false,
            (KeyAlgorithm::Rsa(bits), _) => *bits >= MIN_RSA_BITS,
            (
                KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::Ed25519,
                KeyRole::RaDecrypt | KeyRole::RaSign | KeyRole::RaSingle,
            ) => false,
            (KeyAlgorithm::P256 | KeyAlgorithm::P384, _) => true,
            (KeyAlgorithm::Ed25519, role) => role == KeyRole::LogSign,
        };
        algorithm.filter(fits).ok_or_else(|| StartError::KeyKind {
            role: self.role,
            uri: self.uri.to_string(),
            found: algorithm.map_or("of another kind".to_owned(), |found| found.to_string()),
            right: right.to_owned(),
        })
    }

    /// Checks that the token offers what the key is for.
    fn check_mechanisms(&self, algorithm: KeyAlgorithm) -> Result<(), StartError> {
        if self.role.signs()
            && let Some(mechanism) = self.token.missing_signature(self.role, algorithm)?
        {
            return Err(self.missing(mechanism, "use a key of another kind or another token"));
        }
        if self.role.decrypts() {
            self.check_decryption()?;
        }
        Ok(())
    }

    fn check_decryption(&self) -> Result<(), StartError> {
        let DecryptionPadding { pkcs1, oaep } = self.token.decryption_padding()?;
        if pkcs1 {
            return Ok(());
        }
        let refused = "tokens in FIPS 140-3 mode often refuse PKCS#1 v1.5 decryption, which nearly \
                       every SCEP client needs: allow it in the token's policy, or put the RA key on \
                       another token";
        if oaep {
            tracing::warn!(role = %self.role, "only RSAES-OAEP clients can enrol: {refused}");
            return Ok(());
        }
        Err(self.missing("CKM_RSA_PKCS".to_owned(), refused))
    }

    fn missing(&self, mechanism: String, hint: &str) -> StartError {
        StartError::MechanismMissing {
            token: self.token.identity().label.clone(),
            role: self.role,
            mechanism,
            hint: hint.to_owned(),
        }
    }

    /// Proves that the key is the certificate's. Comparing public keys would prove only that a
    /// public key object lies beside it. Each use is proven; returns the key transports that work,
    /// none for a key that only signs.
    fn check_certificate(
        &self,
        handle: KeyHandle,
        algorithm: KeyAlgorithm,
        certificate: &[u8],
    ) -> Result<(PKey<Public>, Vec<KeyTransport>), StartError> {
        let mismatch = |reason: &str| StartError::CertificateMismatch {
            role: self.role,
            uri: self.uri.to_string(),
            reason: reason.to_owned(),
        };
        let public_key = X509::from_der(certificate)
            .and_then(|certificate| certificate.public_key())
            .map_err(|_| mismatch("the certificate cannot be read"))?;
        let challenge = proof()?;
        let unproven = || mismatch("the key does not prove itself to the certificate's public key");
        if self.role.signs() && !self.proves(handle, algorithm, &public_key, &challenge)? {
            return Err(unproven());
        }
        if !self.role.decrypts() {
            return Ok((public_key, Vec::new()));
        }
        let transports = transport::working(self.session, handle, &public_key, &challenge);
        if transports.is_empty() {
            return Err(unproven());
        }
        Ok((public_key, transports))
    }

    /// Reads the public key object of a sign key without a certificate, and proves that it is the private key's.
    fn check_public_key(
        &self,
        handle: KeyHandle,
        algorithm: KeyAlgorithm,
    ) -> Result<PKey<Public>, StartError> {
        let mismatch = |reason: &str| StartError::PublicKeyMismatch {
            role: self.role,
            uri: self.uri.to_string(),
            reason: reason.to_owned(),
        };
        let public_key = self
            .session
            .public_key(self.uri)
            .map_err(|error| failed("reading a public key", &error))?
            .ok_or_else(|| mismatch("it is missing, there twice, or unreadable"))?;
        if self.role.signs() && !self.proves(handle, algorithm, &public_key, &proof()?)? {
            return Err(mismatch("the private key does not prove itself to it"));
        }
        Ok(public_key)
    }

    fn proves(
        &self,
        handle: KeyHandle,
        algorithm: KeyAlgorithm,
        public_key: &PKey<Public>,
        challenge: &[u8],
    ) -> Result<bool, StartError> {
        let signature = self
            .session
            .sign(handle, algorithm, challenge)
            .map_err(|error| failed("proving a key", &error))?;
        Ok(verify(public_key, algorithm, challenge, &signature).unwrap_or(false))
    }
}

fn failed(action: &str, error: &CallError) -> StartError {
    TokenError::call(action, error).into()
}

/// What a key does its work on to prove itself.
fn proof() -> Result<Vec<u8>, StartError> {
    let mut challenge = PROOF_CONTEXT.to_vec();
    challenge.extend_from_slice(&random()?);
    Ok(challenge)
}

/// Fresh random octets.
pub(crate) fn random() -> Result<[u8; CHALLENGE], StartError> {
    let mut octets = [0; CHALLENGE];
    rand_bytes(&mut octets).map_err(|_| StartError::System {
        action: "drawing random numbers",
        reason: "the operating system has none".to_owned(),
    })?;
    Ok(octets)
}
