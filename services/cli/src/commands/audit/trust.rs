//! `assay audit trust`: what an auditor pins, gathered on the operator's side.

use std::fs;
use std::path::{Path, PathBuf};

use assay_audit::Checkpoint;
use assay_audit::note::{Algorithm, Note, VerifierKey};
use assay_console::failure::{Failure, Next, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_policy::Approver;
use assay_types::Hash;
use assay_verify::Head;
use assay_verify::layout::trust::{
    ApproverEntry, ApproversFile, ApproversTable, JOURNALS, ca_file,
};
use clap::Args;
use openssl::pkey::PKey;
use openssl::x509::X509;
use serde::Serialize;

use super::checkpoint;
use super::signer_file::SignerFile;

/// Where the ceremony writes the public half of the log key.
const LOG_KEY_FILE: &str = "certificates/log-key.pem";

/// Write what an auditor trusts beforehand: log key, CAs, witnesses, journal and approvers
///
/// Gathers from signer.toml and the ceremony's files, not from what the running signer says: log.vkey, ca.pem (and ca-2.pem
/// and so on, where several CAs are pinned), witnesses.vkeys, approvers.toml with the certificates, and the present checkpoint, which must be signed by that log key.
/// The identity of the HSM service's journal is taken from that checkpoint (journals): compare it with what
/// `assay-hsm journal create` or `assay-hsm journal verify` prints on the host of the HSM service.
/// Hand the directory to the auditor by a way of its own; `assay-audit verify --trust DIR` holds exports to it.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// Directory to make; it must not exist
    #[arg(long, short = 'o', value_name = "DIR")]
    out: PathBuf,

    /// Public key of the log, PEM or vkey [default: certificates/log-key.pem, written by the ceremony]
    #[arg(long, value_name = "FILE")]
    log_key: Option<PathBuf>,

    /// PEM of a CA that issued before and is no longer in signer.toml, then those above it; repeat for more
    #[arg(long = "ca", value_name = "FILE")]
    cas: Vec<PathBuf>,

    /// Identity of a journal that the HSM service kept before, 64 hexadecimal digits; repeat for more
    #[arg(long = "journal", value_name = "IDENTITY")]
    journals: Vec<Hash>,

    /// Take this checkpoint, saved by `assay audit checkpoint`, and do not ask the signer
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// Everything, read and checked before the first file is written.
struct Trust {
    log: VerifierKey,
    checkpoint: Note,
    size: u64,
    /// Of each CA its certificate, then those above it.
    cas: Vec<Vec<X509>>,
    witnesses: Vec<VerifierKey>,
    journals: Vec<Hash>,
    approvals: usize,
    approvers: Vec<(ApproverEntry, X509)>,
}

#[derive(Debug, Serialize)]
struct Written {
    directory: String,
    log_key: String,
    size: u64,
    /// Of each CA.
    ca_sha256: Vec<String>,
    journals: Vec<Hash>,
    witnesses: usize,
    approvers: usize,
}

pub(super) async fn run(args: TrustArgs, installation: &Installation, out: Output) -> Outcome {
    if args.out.exists() {
        return Err(Failure::failed(format!("{} exists", args.out.display()))
            .next("nothing is ever overwritten: name another directory with -o"));
    }
    let (note, checkpoint) = match &args.checkpoint {
        Some(file) => saved(file)?,
        None => checkpoint::fetch(&mut Admin::connect(installation).await?)
            .await
            .next("give a saved checkpoint with --checkpoint")?,
    };
    let log_key = match &args.log_key {
        Some(file) => file.clone(),
        None => installation.path(LOG_KEY_FILE),
    };
    let log = read_log_key(&log_key, &checkpoint.origin)?;
    let mut trust = Trust::gather(installation, log, note, &args.cas)?;
    let present = checkpoint.extensions.iter();
    let present = present.filter_map(|line| line.parse::<Head>().ok());
    trust.journals = args.journals;
    trust.journals.extend(present.map(|head| head.identity));
    let written = trust.write(&args.out)?;
    out.one(&written, |written| {
        let mut lines = vec![
            format!("log         {}", written.log_key),
            format!("checkpoint  {} records", written.size),
        ];
        let cas = written.ca_sha256.iter();
        lines.extend(cas.map(|sha256| format!("CA          SHA-256 {sha256}")));
        let journals = written.journals.iter();
        lines.extend(journals.map(|identity| format!("journal     {identity}")));
        lines.push(format!(
            "{} witnesses and {} approvers' keys pinned in {}",
            written.witnesses, written.approvers, written.directory
        ));
        lines
    })
}

fn saved(file: &Path) -> Outcome<(Note, Checkpoint)> {
    let what = || format!("{} is no checkpoint", file.display());
    let note: Note = files::read_text(file)?.parse().or_fail(what())?;
    let checkpoint = note.text().parse().or_fail(what())?;
    Ok((note, checkpoint))
}

/// A PEM public key gets its name from the checkpoint, which it then has to have signed.
fn read_log_key(file: &Path, origin: &str) -> Outcome<VerifierKey> {
    let hint = "the ceremony writes certificates/log-key.pem; if it is lost, take the token's public key of log-sign, \
                PEM, and give it with --log-key";
    let text = files::read_text(file).next(hint)?;
    if let Ok(key) = text.trim().parse() {
        return Ok(key);
    }
    let what = || format!("{} holds no public key of a log", file.display());
    PKey::public_key_from_pem(text.as_bytes())
        .and_then(|key| key.public_key_to_der())
        .or_fail(what())
        .and_then(|spki| VerifierKey::from_spki(origin, &spki).or_fail(what()))
        .next(hint)
}

impl Trust {
    fn gather(
        installation: &Installation,
        log: VerifierKey,
        note: Note,
        before: &[PathBuf],
    ) -> Outcome<Self> {
        let path = installation.signer_config();
        let file: SignerFile = toml::from_str(&files::read_text(&path)?)
            .or_usage(format!("{} cannot be used", path.display()))?;
        let checkpoint = Checkpoint::open(&note, &log)
            .or_fail("the checkpoint does not hold under the log key")
            .next("one of them is another installation's, or the signer does not sign with the key of the ceremony")?;
        if let Some(origin) = file.audit.origin.filter(|name| *name != checkpoint.origin) {
            return Err(Failure::failed(format!(
                "the checkpoint is of {}, and {} names the log {origin}",
                checkpoint.origin,
                path.display()
            )));
        }
        let certificate = |path: &Path| -> Outcome<X509> {
            let path = installation.path(path);
            X509::from_pem(&files::read(&path)?)
                .or_fail(format!("{} holds no PEM certificate", path.display()))
        };
        let next = file.rollover.as_ref().map(|next| &next.certificates);
        let present = std::iter::once(&file.certificates).chain(next);
        let present = present.map(|section| {
            let paths = std::iter::once(&section.ca).chain(&section.chain);
            paths.map(|path| certificate(path)).collect()
        });
        let mut cas = Vec::new();
        for ca in present.chain(before.iter().map(|file| chain(file))) {
            let ca: Vec<X509> = ca?;
            // A CA of before may be given although signer.toml still names it.
            let known = cas
                .iter()
                .any(|known: &Vec<X509>| known.first() == ca.first());
            if !known {
                cas.push(ca);
            }
        }
        let witnesses = file
            .audit
            .witnesses
            .iter()
            .map(|text| witness(text))
            .collect::<Outcome<_>>()?;
        let mut approvers = Vec::new();
        for (number, section) in file.policy.approver.into_iter().enumerate() {
            let certificate = certificate(&section.certificate)?;
            let der = certificate
                .to_der()
                .or_fail("a certificate is unreadable")?;
            // Holds the name to the rules, before it becomes a file's.
            Approver::new(&section.person, &der, section.retired)
                .or_usage(format!("{}: policy.approver", path.display()))?;
            let entry = ApproverEntry {
                certificate: format!("approvers/{}-{}.pem", number + 1, section.person),
                person: section.person,
                retired: section.retired,
            };
            approvers.push((entry, certificate));
        }
        Ok(Self {
            log,
            checkpoint: note,
            size: checkpoint.size,
            cas,
            witnesses,
            journals: Vec::new(),
            approvals: file.policy.approvals,
            approvers,
        })
    }

    fn write(self, directory: &Path) -> Outcome<Written> {
        let what = "a certificate is unreadable";
        let create = |name: &str, content: &[u8]| {
            files::create(&directory.join(name), content, files::PUBLIC)
        };
        files::make_new_dir(directory)?;
        files::make_dir(&directory.join("approvers"))?;
        create("log.vkey", format!("{}\n", self.log).as_bytes())?;
        create("checkpoint", self.checkpoint.to_string().as_bytes())?;
        let mut ca_sha256 = Vec::new();
        for (number, ca) in (1..).zip(&self.cas) {
            let mut pems = Vec::new();
            for certificate in ca {
                pems.extend(certificate.to_pem().or_fail(what)?);
            }
            create(&ca_file(number), &pems)?;
            let own = ca.first().map(|ca| ca.to_der()).transpose().or_fail(what)?;
            ca_sha256.push(hex::encode(openssl::sha::sha256(&own.unwrap_or_default())));
        }
        if !self.witnesses.is_empty() {
            let lines: String = self
                .witnesses
                .iter()
                .map(|key| format!("{key}\n"))
                .collect();
            create("witnesses.vkeys", lines.as_bytes())?;
        }
        if !self.journals.is_empty() {
            let lines = self.journals.iter().map(|identity| format!("{identity}\n"));
            create(JOURNALS, lines.collect::<String>().as_bytes())?;
        }
        let mut entries = Vec::new();
        for (entry, certificate) in self.approvers {
            create(&entry.certificate, &certificate.to_pem().or_fail(what)?)?;
            entries.push(entry);
        }
        let approvers = entries.len();
        let table = ApproversFile {
            policy: ApproversTable {
                approvals: self.approvals,
                approver: entries,
            },
        };
        let text = toml::to_string(&table).or_fail("cannot write approvers.toml")?;
        create("approvers.toml", text.as_bytes())?;
        sync(directory)?;
        Ok(Written {
            directory: directory.display().to_string(),
            log_key: self.log.to_string(),
            size: self.size,
            ca_sha256,
            journals: self.journals,
            witnesses: self.witnesses.len(),
            approvers,
        })
    }
}

/// A CA and those above it from one file.
fn chain(file: &Path) -> Outcome<Vec<X509>> {
    let what = || format!("{} holds no PEM certificate", file.display());
    let chain = X509::stack_from_pem(&files::read(file)?).or_fail(what())?;
    if chain.is_empty() {
        return Err(Failure::failed(what()));
    }
    Ok(chain)
}

fn witness(text: &str) -> Outcome<VerifierKey> {
    let what = || format!("audit.witnesses: `{text}` is no witness's verifier key");
    let key: VerifierKey = text.parse().or_usage(what())?;
    if key.algorithm() == Algorithm::CosignatureV1 {
        Ok(key)
    } else {
        Err(Failure::usage(what()).because("its signature type is not 0x04"))
    }
}

fn sync(directory: &Path) -> Outcome {
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .or_fail(format!("cannot write {}", directory.display()))
}
