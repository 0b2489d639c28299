//! The journal of this service: its start, and the commands about it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use assay_journal::{CrlFloor, Floors, Journal, Listed, LogFloor, Options, Reason, Start};
use assay_types::{Hash, Serial, Timestamp};
use clap::Subcommand;
use const_oid::AssociatedOid;
use der::Decode;
use openssl::x509::{X509, X509Crl};
use serde::Deserialize;
use x509_cert::crl::CertificateList;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{CrlNumber, CrlReason};

use crate::Installed;
use crate::orders::{self, Order, said};
use crate::settings::Settings;
use crate::socket;

/// Commands about the journal.
#[derive(Subcommand)]
pub(crate) enum Task {
    /// Create the journal, without which nothing is signed
    ///
    /// For CAs that have signed nothing yet, say --unused. For CAs that were used, the last CRL of each and the cosigned tree of
    /// the log are where the journal begins: the service never signs a CRL or a checkpoint that falls behind them.
    Create {
        #[command(flatten)]
        installed: Installed,
        /// The CAs have signed no certificate of a device and no CRL, and the log is empty
        #[arg(long, conflicts_with_all = ["last_crl", "log"])]
        unused: bool,
        /// The last CRL of a CA, PEM or DER; once for each CA that was used
        #[arg(long, value_name = "FILE")]
        last_crl: Vec<PathBuf>,
        /// The log's tree, JSON with `size`, `root` and `frontier` in hex
        #[arg(long, value_name = "FILE", required_unless_present = "unused")]
        log: Option<PathBuf>,
    },
    /// Prove that the journal is whole: every hash, every rule
    Verify(Installed),
    /// Write the journal as one file, for auditors and for `assay-audit verify --journal`
    Export {
        #[command(flatten)]
        installed: Installed,
        /// Where to; standard output if absent
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Drop the contents of certificates that expired more than their time ago; serial numbers and hashes stay
    Prune(Installed),
}

impl Task {
    pub(crate) fn run(self) -> Result<String, String> {
        match self {
            Self::Create {
                installed,
                unused: _,
                last_crl,
                log,
            } => create(&installed.settings()?, &last_crl, log.as_deref()),
            Self::Verify(installed) => {
                let settings = installed.settings()?;
                socket::check_user(&settings.state)?;
                let state = assay_journal::verify(&settings.journal());
                let state = state.map_err(|error| said(&error))?;
                let head = state.head();
                Ok(format!("whole: {} entries\n{head}", head.size))
            }
            Self::Export { installed, output } => {
                let settings = installed.settings()?;
                socket::check_user(&settings.state)?;
                export(&settings.journal(), output.as_deref())
            }
            Self::Prune(installed) => orders::give(&installed.settings()?, &Order::Prune),
        }
    }
}

/// The time by the system's clock.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Opens the journal and records this start.
pub(crate) fn open(settings: &Settings) -> Result<Arc<Journal>, String> {
    let options = Options::new(settings.limits.clone());
    let opened = Journal::open(&settings.journal(), options);
    let (journal, cut) = opened.map_err(|error| {
        if let assay_journal::Error::Missing { dir } = error {
            let dir = dir.display();
            return format!(
                "there is no journal in {dir}: make it with `assay-hsm journal create`"
            );
        }
        said(&error)
    })?;
    if let Some(cut) = cut {
        tracing::warn!(?cut, "the end of the journal that was not answered is cut");
    }
    let start = Start {
        configuration: settings.digest,
        allow_same_user: settings.allow_same_user && settings.peer.is_own(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    // Whether the kernel's clock is synchronised is not asked: after a week without an entry a person accepts the gap.
    let started = journal.started(start, false, now());
    let head = started.and_then(|pending| pending.wait());
    let head =
        head.map_err(|error| format!("{}; `assay-hsm accept-clock` accepts a jump", said(&error)))?;
    tracing::info!(%head, configuration = %settings.digest, "the journal holds");
    Ok(Arc::new(journal))
}

fn create(settings: &Settings, crls: &[PathBuf], log: Option<&Path>) -> Result<String, String> {
    let crls = crls.iter().map(|file| crl_floor(settings, file));
    let floors = Floors {
        crls: crls.collect::<Result<_, _>>()?,
        log: log.map(log_floor).transpose()?,
    };
    let directory = settings.journal();
    socket::hold_state(&settings.state)?;
    let head = assay_journal::create(&directory, &floors, now());
    let head = head.map_err(|error| said(&error))?;
    Ok(format!(
        "created {}\nidentity {}\npin it with auditors; the service may start",
        directory.display(),
        head.identity
    ))
}

/// The last CRL of the CA whose key signed it.
fn crl_floor(settings: &Settings, file: &Path) -> Result<CrlFloor, String> {
    let wrong = |reason: &str| format!("{}: {reason}", file.display());
    let octets = fs::read(file).map_err(|error| wrong(&error.to_string()))?;
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

/// The log's tree, as an auditor states it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tree {
    size: u64,
    root: Hash,
    frontier: Vec<Hash>,
}

fn log_floor(file: &Path) -> Result<LogFloor, String> {
    let wrong = |reason: String| format!("{}: {reason}", file.display());
    let octets = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let tree: Tree = serde_json::from_slice(&octets).map_err(|error| wrong(error.to_string()))?;
    let Tree {
        size,
        root,
        frontier,
    } = tree;
    Ok(LogFloor {
        size,
        root,
        frontier,
    })
}

/// A new file, which is taken away again if the export fails.
fn export(directory: &Path, output: Option<&Path>) -> Result<String, String> {
    let Some(path) = output else {
        let head = assay_journal::export(directory, io::stdout().lock());
        head.map_err(|error| said(&error))?;
        return Ok(String::new());
    };
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(failed)?;
    let exported = assay_journal::export(directory, &mut file).map_err(|error| said(&error));
    let synced = exported.and_then(|head| file.sync_all().map(|()| head).map_err(failed));
    if synced.is_err() {
        // The cause is told below.
        let _ = fs::remove_file(path);
    }
    let head = synced?;
    Ok(format!("exported {} entries\n{head}", head.size))
}
