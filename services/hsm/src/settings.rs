//! What the service runs on: paths absolute, certificates read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_config::{ConfigError, Document};
use assay_hsm::{KeyRole, User};
use assay_journal::{Limit, Limits};
use assay_pkcs11::{KeyUri, PinSource};
use assay_sandbox::Confinement;
use assay_shape::{Form, Forms};
use assay_types::Hash;

use crate::config::{CaTable, HsmFile, LimitsTable, PairTable};

/// Where systemd keeps the credentials of a unit.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Most sessions: far beyond what cores and tokens make use of.
const MAX_THREADS: usize = 64;
/// A CA and those that take over from it.
const MAX_CAS: usize = 8;
/// Longest origin of a log, in octets.
const MAX_ORIGIN: usize = 200;
const LEAST_DEADLINE: Duration = Duration::from_millis(50);
const MOST_DEADLINE: Duration = Duration::from_secs(120);

/// A configuration that was read whole and found right.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) socket: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) peer: User,
    pub(crate) allow_same_user: bool,
    pub(crate) threads: usize,
    pub(crate) operation_deadline: Duration,
    pub(crate) log_filter: String,
    pub(crate) metrics_file: Option<PathBuf>,
    pub(crate) module: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
    /// The needs of the library.
    library: Confinement,
    /// Origin of the only log whose checkpoints are signed; its key is among `keys`.
    pub(crate) origin: Option<String>,
    /// Keys that are of no CA: probe, and log-sign where there is a log.
    pub(crate) keys: Vec<KeySettings>,
    pub(crate) cas: Vec<CaSettings>,
    pub(crate) forms: Forms,
    pub(crate) limits: Limits,
    pub(crate) intent_lifetime: Duration,
    /// SHA-256 over the file and each certificate that it names, in its order.
    pub(crate) digest: Hash,
}

/// A CA with its keys.
#[derive(Debug)]
pub(crate) struct CaSettings {
    pub(crate) name: String,
    /// DER.
    pub(crate) certificate: Vec<u8>,
    /// DER of each CA above it.
    pub(crate) chain: Vec<Vec<u8>>,
    /// DER of each further certificate of a ceremony.
    pub(crate) ceremony: Vec<Vec<u8>>,
    /// The place of the next CA among all.
    pub(crate) next: Option<usize>,
    pub(crate) crl_lifetime_max: Duration,
    pub(crate) ocsp_lifetime_max: Duration,
    /// ca-sign, ra-decrypt and ra-sign, once each; ra-single and ocsp-sign at will.
    pub(crate) keys: Vec<KeySettings>,
}

/// One key.
#[derive(Clone, Debug)]
pub(crate) struct KeySettings {
    pub(crate) role: KeyRole,
    pub(crate) uri: KeyUri,
    /// DER of its certificate, proven at start to hold the key's public half.
    pub(crate) certificate: Option<Vec<u8>>,
}

impl CaSettings {
    /// DER of the certificate over the key of this role, where there is one.
    pub(crate) fn certificate_of(&self, role: KeyRole) -> Option<&[u8]> {
        let key = self.keys.iter().find(|key| key.role == role)?;
        key.certificate.as_deref()
    }

    /// DER of each certificate that a ceremony made for the RA and the responder, and of the further ones.
    pub(crate) fn ceremony_certificates(&self) -> impl Iterator<Item = &[u8]> {
        let of_keys = self.keys.iter().filter(|key| key.role != KeyRole::CaSign);
        let of_keys = of_keys.filter_map(|key| key.certificate.as_deref());
        of_keys.chain(self.ceremony.iter().map(Vec::as_slice))
    }

    /// The list of GetCACert (RFC 8894, section 4.2): the RA's certificates, the CA's, the chain. Once with the RA of two keys,
    /// and once with that of one if there is one.
    pub(crate) fn ca_certificates(&self) -> Vec<Vec<Vec<u8>>> {
        let of = |role| self.certificate_of(role).map(<[u8]>::to_vec);
        let pair = [of(KeyRole::RaDecrypt), of(KeyRole::RaSign)];
        let single = of(KeyRole::RaSingle).map(|single| vec![single]);
        let ras = [Some(pair.into_iter().flatten().collect()), single];
        let rest = || {
            std::iter::once(&self.certificate)
                .chain(&self.chain)
                .cloned()
        };
        let lists = ras.into_iter().flatten();
        lists
            .map(|ra: Vec<Vec<u8>>| ra.into_iter().chain(rest()).collect())
            .collect()
    }
}

impl Settings {
    /// The directory of the journal.
    pub(crate) fn journal(&self) -> PathBuf {
        self.state.join("journal")
    }

    /// Reads and validates `file`; an error names the file, the line and the key.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        let document = Document::read(file)?;
        let config: HsmFile = document.parse()?;
        check_ranges(&document, &config)?;
        let peer = config.peer.find();
        let peer = peer.map_err(|error| document.error("peer", error))?;
        let folder = document.folder();
        let module = folder.join(&config.module.path);
        let mut keys = vec![KeySettings {
            role: KeyRole::Probe,
            uri: config.probe.key,
            certificate: None,
        }];
        let origin = config.log.map(|log| {
            keys.push(KeySettings {
                role: KeyRole::LogSign,
                uri: log.key,
                certificate: None,
            });
            log.origin
        });
        let names: Vec<String> = config.ca.iter().map(|ca| ca.name.clone()).collect();
        let cas = config.ca.into_iter();
        let cas = cas
            .map(|ca| read_ca(&document, ca, &names))
            .collect::<Result<Vec<_>, _>>()?;
        let forms = read_forms(&document, config.form, &names)?;
        for key in cas.iter().flat_map(|ca| &ca.keys).chain(&keys) {
            let held = key.uri.token().expect_module(&module);
            held.map_err(|error| document.error("module.path", error))?;
        }
        Ok(Self {
            socket: folder.join(config.socket),
            state: folder.join(config.state),
            peer,
            allow_same_user: config.allow_same_user,
            threads: config.threads,
            operation_deadline: config.operation_deadline,
            log_filter: config.log_filter,
            metrics_file: config.metrics_file.map(|file| folder.join(file)),
            library: config.module.confinement(folder),
            module,
            environment: config.module.environment.into_iter().collect(),
            origin,
            keys,
            digest: digest(&document, &cas),
            cas,
            forms,
            limits: limits(&config.limits),
            intent_lifetime: config.limits.intent_lifetime,
        })
    }
}

impl Settings {
    /// The needs of the service once its socket is there: those of the token, and the directories of the socket, which it removes
    /// at its end, and of the files that it writes.
    pub(crate) fn confinement(&self, ready_file: Option<&Path>) -> Confinement {
        let mut confinement = self.token_confinement();
        let written = [
            Some(self.socket.as_path()),
            ready_file,
            self.metrics_file.as_deref(),
        ];
        for file in written.into_iter().flatten() {
            confinement = confinement.write_beside(file);
        }
        confinement
    }

    /// The needs of a process that uses the token: those of the library, the PIN, and the directory of the state.
    pub(crate) fn token_confinement(&self) -> Confinement {
        let confinement = self.library.clone().write(&self.state);
        // All keys lie on one token, whose PIN is read once, so that the file alone does.
        let mut keys = self.cas.iter().flat_map(|ca| &ca.keys).chain(&self.keys);
        let pin = keys.find_map(|key| match key.uri.token().pin_source()? {
            PinSource::File(file) => Some(file.clone()),
            PinSource::Credential(_) => std::env::var_os(CREDENTIALS).map(PathBuf::from),
        });
        // The code that needs the PIN reports that there is none.
        match pin.filter(|pin| pin.exists()) {
            Some(pin) => confinement.read(pin),
            None => confinement,
        }
    }
}

fn check_ranges(document: &Document, config: &HsmFile) -> Result<(), ConfigError> {
    if !(1..=MAX_THREADS).contains(&config.threads) {
        let text = format!("{} is not from 1 to {MAX_THREADS}", config.threads);
        return Err(document.error("threads", text));
    }
    if !(LEAST_DEADLINE..=MOST_DEADLINE).contains(&config.operation_deadline) {
        return Err(document.error("operation_deadline", "is not from 50ms to 120s"));
    }
    if !(1..=MAX_CAS).contains(&config.ca.len()) {
        let text = format!(
            "there are {} tables [[ca]]: 1 to {MAX_CAS} are needed",
            config.ca.len()
        );
        return Err(document.error("ca", text));
    }
    match &config.log {
        Some(log) if !is_origin(&log.origin) => {
            let text = format!(
                "`{}` cannot name a log: 1 to {MAX_ORIGIN} octets without spaces, control characters and plus signs",
                log.origin
            );
            Err(document.error("log.origin", text))
        }
        Some(_) | None => Ok(()),
    }
}

/// The origin names the log key as well, so the rules for key names hold (C2SP signed-note).
fn is_origin(origin: &str) -> bool {
    let fits = |c: char| !(c.is_whitespace() || c.is_control() || c == '+');
    (1..=MAX_ORIGIN).contains(&origin.len()) && origin.chars().all(fits)
}

/// The forms, each found safe, and each of a CA that is there.
fn read_forms(
    document: &Document,
    forms: Vec<Form>,
    names: &[String],
) -> Result<Forms, ConfigError> {
    for form in &forms {
        if let Some(ca) = &form.ca
            && !names.contains(ca)
        {
            let text = format!(
                "form `{}`: no [[ca]] has the name `{ca}`; there is {}",
                form.name,
                names.join(", ")
            );
            return Err(document.error("form", text));
        }
    }
    Forms::new(forms).map_err(|error| document.error("form", error))
}

fn limits(table: &LimitsTable) -> Limits {
    let ceilings = [
        (Limit::CertificatesPerHour, table.certificates_per_hour),
        (Limit::CertificatesPerDay, table.certificates_per_day),
        (Limit::CrlsPerHour, table.crls_per_hour),
        (Limit::CrlsPerDay, table.crls_per_day),
        (Limit::DecryptionsPerHour, table.decryptions_per_hour),
        (Limit::DecryptionsPerDay, table.decryptions_per_day),
        (Limit::LeavesPerHour, table.leaves_per_hour),
        (Limit::LeavesPerDay, table.leaves_per_day),
        (Limit::RevocationsPerHour, table.revocations_per_hour),
    ];
    let all = ceilings.into_iter();
    all.fold(Limits::unlimited(), |limits, (limit, ceiling)| {
        limits.with(limit, ceiling)
    })
}

fn digest(document: &Document, cas: &[CaSettings]) -> Hash {
    let mut octets = document.text().as_bytes().to_vec();
    for ca in cas {
        let own = std::iter::once(ca.certificate.as_slice());
        let chain = ca.chain.iter().map(Vec::as_slice);
        for certificate in own.chain(chain).chain(ca.ceremony_certificates()) {
            octets.extend_from_slice(Hash::of(certificate).as_bytes());
        }
    }
    Hash::of(&octets)
}

fn read_ca(document: &Document, ca: CaTable, names: &[String]) -> Result<CaSettings, ConfigError> {
    if names.iter().filter(|name| **name == ca.name).count() > 1 {
        return Err(document.error("ca.name", format!("`{}` names two CAs", ca.name)));
    }
    let next = ca.next.map(|next| {
        let place = names.iter().position(|name| *name == next);
        place.filter(|_| next != ca.name).ok_or_else(|| {
            document.error("ca.next", format!("no other [[ca]] has the name `{next}`"))
        })
    });
    let files = |key: &str, files: &[PathBuf]| -> Result<Vec<_>, ConfigError> {
        let files = files.iter();
        files
            .map(|file| read_certificate(document, key, file))
            .collect()
    };
    let certificate = read_certificate(document, "ca.certificate", &ca.certificate)?;
    let pair = |role, name: &str, pair: PairTable| -> Result<KeySettings, ConfigError> {
        let certificate = read_certificate(document, name, &pair.certificate)?;
        Ok(KeySettings {
            role,
            uri: pair.key,
            certificate: Some(certificate),
        })
    };
    let mut keys = vec![
        KeySettings {
            role: KeyRole::CaSign,
            uri: ca.key,
            certificate: Some(certificate.clone()),
        },
        pair(KeyRole::RaDecrypt, "ca.ra.decrypt", ca.ra.decrypt)?,
        pair(KeyRole::RaSign, "ca.ra.sign", ca.ra.sign)?,
    ];
    if let Some(single) = ca.ra.single {
        keys.push(pair(KeyRole::RaSingle, "ca.ra.single", single)?);
    }
    if let Some(ocsp) = ca.ocsp {
        keys.push(pair(KeyRole::OcspSign, "ca.ocsp.certificate", ocsp)?);
    }
    Ok(CaSettings {
        name: ca.name,
        certificate,
        chain: files("ca.chain", &ca.chain)?,
        ceremony: files("ca.ceremony_certificates", &ca.ceremony_certificates)?,
        next: next.transpose()?,
        crl_lifetime_max: ca.crl_lifetime_max,
        ocsp_lifetime_max: ca.ocsp_lifetime_max,
        keys,
    })
}

/// DER of a PEM file.
fn read_certificate(document: &Document, key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let path = document.folder().join(path);
    let pem = std::fs::read(&path).map_err(|error| {
        document.error(key, format!("{} cannot be read: {error}", path.display()))
    })?;
    openssl::x509::X509::from_pem(&pem)
        .and_then(|certificate| certificate.to_der())
        .map_err(|_| document.error(key, format!("{} is not a PEM certificate", path.display())))
}
