//! The RA as devices know it: by two certificates of one use each, or by one of both uses where they cannot tell two
//! apart.

use std::time::SystemTime;

use assay_hsm::RaKeys;
use assay_policy::{Profile, Quirk};
use assay_scep::Request;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::sign::Verifier;
use openssl::x509::X509;

/// Whom requests are enveloped to, and who signs the replies to them.
#[derive(Debug)]
pub(crate) struct Ra {
    pub(crate) keys: RaKeys,
    /// The certificate that requests are enveloped to, DER.
    pub(crate) recipient: Vec<u8>,
    /// The certificate of the key that signs replies, DER.
    pub(crate) signer: Vec<u8>,
    signer_key: PKey<Public>,
}

/// A profile wants an RA that is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "profile `{profile}`: {quirk} needs a key that this signer has not: name certificates.ra_single in signer.toml and ca.ra.single \
     in hsm.toml (`assay-ceremony create --single-ra` makes both with a CA) and restart, or take {quirk} out of the profile",
    quirk = Quirk::SingleRa
)]
pub(crate) struct NoSingleRa {
    pub(crate) profile: String,
}

impl Ra {
    pub(crate) fn pair(recipient: Vec<u8>, signer: Vec<u8>) -> Result<Self, ErrorStack> {
        Self::new(RaKeys::Pair, recipient, signer)
    }

    pub(crate) fn single(certificate: Vec<u8>) -> Result<Self, ErrorStack> {
        Self::new(RaKeys::Single, certificate.clone(), certificate)
    }

    fn new(keys: RaKeys, recipient: Vec<u8>, signer: Vec<u8>) -> Result<Self, ErrorStack> {
        Ok(Self {
            keys,
            signer_key: X509::from_der(&signer)?.public_key()?,
            recipient,
            signer,
        })
    }

    /// As GetCACert lists them.
    pub(crate) fn certificates(&self) -> Vec<&[u8]> {
        match self.keys {
            RaKeys::Pair => vec![&self.recipient, &self.signer],
            RaKeys::Single => vec![&self.recipient],
        }
    }

    /// Whether the request is enveloped to it.
    pub(crate) fn receives(&self, request: &Request) -> bool {
        let envelope = request.envelope();
        envelope.is_ok_and(|envelope| envelope.recipient_index(&[&self.recipient]).is_ok())
    }

    /// Whether its signature over a reply's signed attributes verifies.
    pub(crate) fn reply_verifies(
        &self,
        digest: MessageDigest,
        signed_attrs: &[u8],
        signature: &[u8],
    ) -> bool {
        Verifier::new(digest, &self.signer_key)
            .and_then(|mut verifier| verifier.verify_oneshot(signature, signed_attrs))
            .unwrap_or(false)
    }
}

/// A key of two uses is weaker than two keys: whoever runs the signer is told of a profile that asks for it.
pub fn warn_of_single_ra(profile: &Profile, now: SystemTime) {
    if !profile.quirks_at(now).single_ra {
        return;
    }
    let until = profile.sunset(Quirk::SingleRa);
    tracing::warn!(
        profile = profile.name().as_str(),
        until = until.map(|until| humantime::format_rfc3339_seconds(until).to_string()),
        "{} is in force: one RA key both decrypts and signs; `assay legacy list` names the devices that need it",
        Quirk::SingleRa
    );
}
