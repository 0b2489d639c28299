//! `[audit]` as far as it is about the log's proofs.

use std::time::Duration;

use assay_audit::Checkpoint;
use assay_audit::note::{Algorithm, VerifierKey};
use assay_issuance::LogSettings;
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

pub(super) fn read_log(
    document: &Document,
    config: &AuditConfig,
    transport: &TlsFiles,
    ca_der: &[u8],
) -> Result<LogSettings, ConfigError> {
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
    Ok(LogSettings {
        origin,
        interval: config.checkpoint_interval,
        witnesses: witnesses(document, &config.witnesses)?,
    })
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
                "`{vkey}` is no key of a witness: its type must be 0x04, cosignature/v1; `assay-audit witness key` makes one"
            )));
        }
        if keys.iter().any(|other| other.name() == key.name()) {
            return Err(wrong(format!("`{}` stands twice", key.name())));
        }
        keys.push(key);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use openssl::pkey::PKey;

    use super::*;

    fn read(config: &AuditConfig) -> Result<LogSettings, String> {
        let nowhere = TlsFiles {
            certificate: PathBuf::from("none"),
            private_key: PathBuf::from("none"),
            trust_anchors: PathBuf::from("none"),
        };
        let text = "[audit]\norigin = \"a\"\ncheckpoint_interval = \"1s\"\nwitnesses = []\n";
        let document = Document::from_text("signer.toml", text);
        read_log(&document, config, &nowhere, b"").map_err(|error| error.to_string())
    }

    fn vkey(name: &str, algorithm: Algorithm) -> String {
        let public = PKey::generate_ed25519().unwrap().raw_public_key().unwrap();
        VerifierKey::ed25519(name, algorithm, &public)
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_witness_is_pinned_by_its_cosigning_key_once() {
        let a = vkey("a", Algorithm::CosignatureV1);
        let pinned = |witnesses: Vec<String>| {
            read(&AuditConfig {
                witnesses,
                ..AuditConfig::default()
            })
        };
        let read = pinned(vec![a.clone(), vkey("b", Algorithm::CosignatureV1)]).unwrap();
        assert_eq!(read.witnesses.len(), 2);
        let many = (0..=MAX_WITNESSES)
            .map(|nth| vkey(&format!("w{nth}"), Algorithm::CosignatureV1))
            .collect();
        for (wrong, told) in [
            (vec!["a+b".to_owned()], "NAME+KEYID+BASE64"),
            (vec![vkey("log", Algorithm::Ed25519)], "no key of a witness"),
            (
                vec![a, vkey("a", Algorithm::CosignatureV1)],
                "`a` stands twice",
            ),
            (many, "at most 16 witnesses"),
        ] {
            let error = pinned(wrong).unwrap_err();
            assert!(
                error.starts_with("signer.toml:4:") && error.contains(told),
                "{error}"
            );
        }
    }

    #[test]
    fn a_log_has_a_name_that_a_note_can_bear() {
        let named = |origin: Option<&str>| {
            read(&AuditConfig {
                origin: origin.map(str::to_owned),
                ..AuditConfig::default()
            })
        };
        assert_eq!(
            named(Some("log.example.org/a")).unwrap().origin,
            "log.example.org/a"
        );
        assert_eq!(named(None).unwrap().origin, "assay/signer/0000000000000000");
        for wrong in ["", "two words", "a+b", &"a".repeat(201)] {
            let error = named(Some(wrong)).unwrap_err();
            assert!(error.starts_with("signer.toml:2:"), "{error}");
        }
    }

    #[test]
    fn the_interval_has_two_ends() {
        let every = |ms| {
            read(&AuditConfig {
                checkpoint_interval: Duration::from_millis(ms),
                ..AuditConfig::default()
            })
        };
        for right in [100, 1_000, 3_600_000] {
            every(right).unwrap();
        }
        for wrong in [0, 99, 3_600_001] {
            let error = every(wrong).unwrap_err();
            assert!(error.starts_with("signer.toml:3:"), "{error}");
        }
    }
}
