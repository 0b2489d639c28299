//! Where a journal begins whose CAs were used before: after their last CRLs, and after a tree of the log that witnesses cosigned.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use assay_audit::note::{Algorithm, VerifierKey};
use assay_audit::{MAX_SIGNED_TREE, SignedTree, SignedTreeError};
use assay_hsm::KeyRole;
use assay_journal::{CrlFloor, Floors, Listed, LogFloor, Reason};
use assay_pkcs11::Module;
use assay_types::{Hash, MAX_CRL, Serial};
use clap::Args;
use const_oid::AssociatedOid;
use der::Decode;
use openssl::x509::{X509, X509Crl};
use x509_cert::crl::CertificateList;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{CrlNumber, CrlReason};

use crate::error::StartError;
use crate::orders::said;
use crate::pin::{self, Marker};
use crate::preflight;
use crate::settings::Settings;

/// Longest file of verifier keys: some hundred.
const MAX_KEYS: usize = 64 * 1024;

/// The floors of CAs that were used.
#[derive(Args)]
pub(crate) struct Used {
    /// The last CRL of a CA, PEM or DER; once for each CA that was used
    #[arg(long, value_name = "FILE")]
    last_crl: Vec<PathBuf>,
    /// The log's tree at its last cosigned checkpoint, written by `assay-audit tree`; if [log] is configured
    #[arg(long, value_name = "FILE", requires = "cosigned")]
    log: Option<PathBuf>,
    /// Verifier key of a witness that cosigned that checkpoint, or a file with one key per line; repeat for more
    #[arg(
        long,
        value_name = "VKEY|FILE",
        requires = "log",
        group = "cosigned",
        conflicts_with = "no_witness"
    )]
    witness: Vec<String>,
    /// No witness cosigns the log: only its own key vouches for the tree
    #[arg(long, requires = "log", group = "cosigned")]
    no_witness: bool,
}

impl Used {
    /// Reads and verifies every file.
    pub(crate) fn floors(&self, settings: &Settings) -> Result<Floors, String> {
        if self.last_crl.is_empty() && self.log.is_none() {
            return Err(
                "the CAs were used or not: give --last-crl and --log, or --unused if they have signed nothing"
                    .to_owned(),
            );
        }
        // Before the token is used, after which no other file can be read.
        let crls = self.last_crl.iter().map(|file| crl(settings, file));
        let crls = crls.collect::<Result<_, _>>()?;
        let log = match (&self.log, &settings.origin) {
            (Some(file), Some(origin)) => {
                let witnesses = self.witness.iter().map(|text| witnesses(text));
                let witnesses: Vec<Vec<_>> = witnesses.collect::<Result<_, _>>()?;
                Some(log(settings, origin, file, &witnesses.concat())?)
            }
            (Some(file), None) => {
                return Err(format!(
                    "{}: the configuration has no [log], whose key would verify it",
                    file.display()
                ));
            }
            (None, Some(_)) => {
                return Err(
                    "the configuration has a [log]: give its tree with --log; `assay-audit tree EXPORT --out FILE` writes it"
                        .to_owned(),
                );
            }
            (None, None) => None,
        };
        Ok(Floors { crls, log })
    }
}

/// A verifier key, or a file with one per line.
fn witnesses(text: &str) -> Result<Vec<VerifierKey>, String> {
    let key = |text: &str| {
        let key: VerifierKey = text.parse().map_err(|error| said(&error))?;
        match key.algorithm() {
            Algorithm::CosignatureV1 => Ok(key),
            Algorithm::Ed25519 | Algorithm::EcdsaP256 => {
                Err("this is the key of a log; a witness's has the signature type 0x04".to_owned())
            }
        }
    };
    if text.parse::<VerifierKey>().is_ok() {
        let key = key(text).map_err(|reason| format!("--witness {text}: {reason}"))?;
        return Ok(vec![key]);
    }
    let lines = read_text(Path::new(text), MAX_KEYS)
        .map_err(|reason| format!("--witness: neither a verifier key nor a file: {reason}"))?;
    let keys: Result<Vec<VerifierKey>, String> = lines.lines().map(key).collect();
    let wrong = |reason: String| format!("{text}: wanted a verifier key per line: {reason}");
    match keys.map_err(wrong)? {
        keys if keys.is_empty() => Err(wrong("it has none".to_owned())),
        keys => Ok(keys),
    }
}

/// A tree whose checkpoint the log's key signed and each of the witnesses cosigned.
fn log(
    settings: &Settings,
    origin: &str,
    file: &Path,
    witnesses: &[VerifierKey],
) -> Result<LogFloor, String> {
    let wrong = |error: SignedTreeError| {
        let right = match &error {
            SignedTreeError::Form(_) => "give the whole file that `assay-audit tree` wrote",
            SignedTreeError::Checkpoint(_) => {
                "give the tree of the log that [log] names, which the key of [log] signed"
            }
            SignedTreeError::Empty => "if the log is empty, say --unused",
            SignedTreeError::Size(_) | SignedTreeError::Root { .. } => {
                "write the file again with `assay-audit tree`"
            }
            SignedTreeError::Witness { .. } => {
                "take the tree of an export at a checkpoint that this witness cosigned (`assay export --cosigned`)"
            }
        };
        format!("{}: {}; {right}", file.display(), said(&error))
    };
    let text = read_text(file, MAX_SIGNED_TREE)?;
    let tree: SignedTree = text.parse().map_err(wrong)?;
    let key = log_key(settings, origin).map_err(|error| error.told())?;
    let checkpoint = tree.verify(&key, witnesses).map_err(wrong)?;
    Ok(LogFloor {
        size: checkpoint.size,
        root: checkpoint.root,
        frontier: tree.frontier,
    })
}

/// The log's key as the token has it. This process is confined before the library is loaded, as the service is.
fn log_key(settings: &Settings, origin: &str) -> Result<VerifierKey, StartError> {
    let missing = |right| StartError::Certificate {
        certificate: "[log]",
        right,
    };
    let keys = settings.keys.iter();
    let mut keys = keys.filter(|key| key.role == KeyRole::LogSign);
    let key = keys.next().ok_or(missing("a key is needed"))?;
    let set = crate::with_environment(&settings.environment);
    set.map_err(|error| StartError::System {
        action: "setting the library's environment",
        reason: error.to_string(),
    })?;
    let confined = settings.token_confinement().apply();
    confined.map_err(|error| StartError::System {
        action: "confining this process",
        reason: said(&error),
    })?;
    let module = Module::load(&settings.module)?;
    let marker = Marker::in_directory(&settings.state);
    let token = pin::log_in(&module, key.uri.token(), &marker)?;
    let checked = preflight::check(&token, &token.session()?, key)?;
    let found = preflight::log_key(&[&checked])?;
    let found = found.ok_or(missing("a key is needed"))?;
    VerifierKey::from_spki(origin, &found.spki_der)
        .map_err(|_| missing("origin and key must be those of a C2SP checkpoint"))
}

/// The last CRL of the CA whose key signed it.
fn crl(settings: &Settings, file: &Path) -> Result<CrlFloor, String> {
    let wrong = |reason: &str| format!("{}: {reason}", file.display());
    // PEM is a third longer, and has lines.
    let octets = read(file, MAX_CRL * 3 / 2)?;
    let crl = X509Crl::from_pem(&octets).or_else(|_| X509Crl::from_der(&octets));
    let crl = crl.map_err(|_| wrong("is not a CRL"))?;
    let signer = settings.cas.iter().find_map(|ca| {
        let key = X509::from_der(&ca.certificate).ok()?.public_key().ok()?;
        crl.verify(&key).unwrap_or(false).then_some(key)
    });
    let spki = signer.and_then(|key| key.public_key_to_der().ok());
    let spki = spki.ok_or_else(|| wrong("is not signed by a CA of the configuration"))?;
    let der = crl.to_der().map_err(|_| wrong("is not a CRL"))?;
    let list: CertificateList =
        CertificateList::from_der(&der).map_err(|_| wrong("is not a CRL of RFC 5280"))?;
    let list = &list.tbs_cert_list;
    let number = extension::<CrlNumber>(list.crl_extensions.as_deref());
    let number = number.and_then(|number| u64_of(number.0.as_bytes()));
    let next_update = list.next_update.as_ref();
    let listed = list.revoked_certificates.iter().flatten().map(|entry| {
        let reason = extension::<CrlReason>(entry.crl_entry_extensions.as_deref());
        Some(Listed {
            serial: Serial::try_from(entry.serial_number.as_bytes()).ok()?,
            reason: Reason::from_code(reason.map_or(0, |reason| reason as u8))?,
            date: entry.revocation_date.to_system_time().into(),
        })
    });
    Ok(CrlFloor {
        issuer: Hash::of(&spki),
        number: number.ok_or_else(|| wrong("has no CRLNumber of 64 bits"))?,
        this_update: list.this_update.to_system_time().into(),
        next_update: next_update
            .ok_or_else(|| wrong("has no nextUpdate"))?
            .to_system_time()
            .into(),
        digest: Hash::of(&der),
        listed: listed
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("has an entry that no CRL of this CA has"))?,
    })
}

fn extension<'a, T: Decode<'a> + AssociatedOid>(extensions: Option<&'a [Extension]>) -> Option<T> {
    let mut extensions = extensions.unwrap_or_default().iter();
    let found = extensions.find(|extension| extension.extn_id == T::OID)?;
    T::from_der(found.extn_value.as_bytes()).ok()
}

fn u64_of(octets: &[u8]) -> Option<u64> {
    let padding = size_of::<u64>().checked_sub(octets.len())?;
    let octets = [vec![0; padding], octets.to_vec()].concat();
    Some(u64::from_be_bytes(octets.try_into().ok()?))
}

/// A file of at most this many bytes.
fn read(file: &Path, most: usize) -> Result<Vec<u8>, String> {
    let wrong = |error: io::Error| format!("{}: {error}", file.display());
    let mut octets = Vec::new();
    let opened = File::open(file).map_err(wrong)?;
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    opened.take(limit).read_to_end(&mut octets).map_err(wrong)?;
    if octets.len() > most {
        return Err(format!("{}: longer than {most} bytes", file.display()));
    }
    Ok(octets)
}

/// The same as text.
fn read_text(file: &Path, most: usize) -> Result<String, String> {
    let text = String::from_utf8(read(file, most)?);
    text.map_err(|_| format!("{}: is not text in UTF-8", file.display()))
}
