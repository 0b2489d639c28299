//! `[audit]` as far as it is about the log's proofs.

use std::time::Duration;

use assay_audit::Checkpoint;
use assay_audit::note::{Algorithm, VerifierKey};
use assay_runtime::config::{ConfigError, Document};
use assay_runtime::mtls::TlsFiles;
use openssl::x509::X509;

use crate::config::AuditConfig;

/// More often, the token would do little else; more seldom, an intruder would have that long to take records back.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
const MOST_INTERVAL: Duration = Duration::from_secs(3600);
/// Witnesses at most; each is a line of every checkpoint.
const MAX_WITNESSES: usize = 16;
/// Octets of the CA key's digest in the origin that nobody chose.
const CA_DIGEST: usize = 8;

/// How the log is signed, and whose cosignatures count.
#[derive(Debug, Clone)]
pub(crate) struct LogSettings {
    /// Name of the log, of its key as well.
    pub(crate) origin: String,
    pub(crate) interval: Duration,
    pub(crate) witnesses: Vec<VerifierKey>,
}

impl LogSettings {
    pub(crate) fn read(
        document: &Document,
        config: &AuditConfig,
        transport: &TlsFiles,
        ca_der: &[u8],
    ) -> Result<Self, ConfigError> {
        let origin = match &config.origin {
            Some(origin) => origin.clone(),
            None => of_its_own(transport, ca_der),
        };
        if !Checkpoint::is_origin(&origin) {
            return Err(document.error(
                "audit.origin",
                format!(
                    "`{origin}` can name no log: 1 to 200 octets without spaces, control characters and plus signs"
                ),
            ));
        }
        if !(LEAST_INTERVAL..=MOST_INTERVAL).contains(&config.checkpoint_interval) {
            let text = "is not from 100ms to 1h";
            return Err(document.error("audit.checkpoint_interval", text));
        }
        Ok(Self {
            origin,
            interval: config.checkpoint_interval,
            witnesses: witnesses(document, &config.witnesses)?,
        })
    }
}

/// The signer's name, and the CA's key, which stays when its certificate is renewed.
fn of_its_own(transport: &TlsFiles, ca_der: &[u8]) -> String {
    // Where the certificate has no name the listener refuses to start, with all that is to be said.
    let name = transport.identity().map_or_else(
        |_| "signer".to_owned(),
        |identity| identity.name().to_owned(),
    );
    let digest = X509::from_der(ca_der)
        .and_then(|ca| ca.public_key())
        .and_then(|key| key.public_key_to_der())
        .map_or([0; 32], |spki| openssl::sha::sha256(&spki));
    let (digest, _) = digest.split_at(CA_DIGEST);
    format!("assay/{name}/{}", hex::encode(digest))
}

fn witnesses(document: &Document, vkeys: &[String]) -> Result<Vec<VerifierKey>, ConfigError> {
    let wrong = |text: String| document.error("audit.witnesses", text);
    if vkeys.len() > MAX_WITNESSES {
        return Err(wrong(format!(
            "at most {MAX_WITNESSES} witnesses can be pinned"
        )));
    }
    let mut keys: Vec<VerifierKey> = Vec::new();
    for vkey in vkeys {
        let key: VerifierKey = vkey
            .parse()
            .map_err(|error| wrong(format!("`{vkey}`: {error}")))?;
        if key.algorithm() != Algorithm::CosignatureV1 {
            return Err(wrong(format!(
                "`{vkey}` is no key of a witness: its type must be 0x04, cosignature/v1; `assay witness key` makes one"
            )));
        }
        if keys.iter().any(|other| other.name() == key.name()) {
            return Err(wrong(format!("`{}` stands twice", key.name())));
        }
        keys.push(key);
    }
    Ok(keys)
}
