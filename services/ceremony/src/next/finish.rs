//! `assay-ceremony next finish`: the CA before has ended, and signer.toml says so.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use assay_pkcs11::KeyUri;
use assay_runtime::identity::Identity;
use clap::Args;
use openssl::sha::sha256;
use openssl::x509::X509;
use serde::Serialize;

use super::edit;
use super::signer_toml::SignerToml;
use super::switch::{Life, text};
use crate::record::read_certificate;
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_operator::installation::Installation;

/// Beside signer.toml.
const PREVIOUS: &str = "signer.toml.before-rollover";
/// Octets of the CA key's digest in the name that a log has where nobody chose one.
const CA_DIGEST: usize = 8;

/// End a rollover once the CA before has ended: what signer.toml says then
///
/// The tables of [rollover] move up into [keys], [certificates] and [ocsp], and the log keeps its name: where [audit]
/// leaves origin out, it was made of the key of the CA before, and is written down. Without --write this says so and
/// changes nothing. Once the signer runs with it, nothing that the CA before issued can be revoked any more.
#[derive(Debug, Args)]
pub(super) struct FinishArgs {
    /// Change signer.toml, every other line kept; the file of before is kept as signer.toml.before-rollover
    #[arg(long)]
    write: bool,

    /// Even while the CA before is valid and has CRLs to sign
    #[arg(long)]
    early: bool,
}

#[derive(Debug, Serialize)]
struct Finished {
    written: bool,
    /// The file as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    /// What signer.toml says instead, apart from the missing `[rollover]`.
    lines: String,
    /// Labels of the keys that nothing uses any more.
    unused_keys: Vec<String>,
}

pub(super) fn run(args: &FinishArgs, installation: &Installation, out: Output) -> Outcome {
    let path = installation.signer_config();
    let before = files::read_text(&path)?;
    let file = SignerToml::parse(&path, &before)?;
    let ca = read_certificate(&installation.path(file.ca_certificate()))?;
    due(args, &file, &ca)?;
    let origin = match file.origin() {
        Some(origin) => origin.to_owned(),
        None => origin_of_before(installation, &file, &ca)?,
    };
    let moved = edit::moved(&before, &origin)?;
    let previous = args
        .write
        .then(|| write(&path, &before, &moved.text))
        .transpose()?;
    let finished = Finished {
        written: args.write,
        previous: previous.map(|previous| previous.display().to_string()),
        unused_keys: unused(&before, &moved.text),
        lines: moved.lines,
    };
    out.one(&finished, Finished::report)
}

impl Finished {
    fn report(&self) -> Vec<String> {
        let mut report = vec![
            match &self.previous {
                Some(previous) => {
                    format!("signer.toml was {previous}; without [rollover] it says now:")
                }
                None => "signer.toml is to say, without [rollover]:".to_owned(),
            },
            String::new(),
        ];
        report.extend(self.lines.lines().map(str::to_owned));
        report.push(String::new());
        report.push(if self.written {
            format!(
                "next: restart the signer; then nothing uses the keys {} any more (log-sign and probe stay in use)",
                self.unused_keys.join(", ")
            )
        } else {
            "next: `assay-ceremony next finish --write` changes the file and keeps every other line; then restart the signer"
                .to_owned()
        });
        report
    }
}

/// Not before the switch, and not while there are CRLs to sign.
fn due(args: &FinishArgs, file: &SignerToml, ca: &X509) -> Outcome {
    let rollover = file.rollover().ok_or_else(|| {
        Failure::failed("signer.toml has no tables [rollover]: there is nothing to finish")
            .next("`assay-ceremony next` makes the CA that takes over")
    })?;
    let switch_at = humantime::parse_rfc3339(&rollover.switch_at)
        .or_usage(format!("rollover.switch_at: `{}`", rollover.switch_at))?;
    let now = SystemTime::now();
    if now < switch_at {
        return Err(Failure::failed(format!(
            "the next CA takes over at {}: there is nothing to finish before",
            text(switch_at)
        )));
    }
    let der = ca.to_der().or_fail("the CA certificate is unreadable")?;
    let end = Life::of("the CA before".to_owned(), &der)?.until;
    if now < end && !args.early {
        return Err(Failure::failed(format!(
            "the CA before is valid until {}, and has CRLs to sign until then: finished now, nothing that it issued could be \
             revoked any more",
            text(end)
        ))
        .next("wait for its end; where all of its certificates have ended or are of no concern, give --early"));
    }
    Ok(())
}

/// The name that the signer gives a log where signer.toml leaves it out: its own name, and a digest of its CA's key.
fn origin_of_before(installation: &Installation, file: &SignerToml, ca: &X509) -> Outcome<String> {
    let what = "the log's name cannot be determined";
    let signer = read_certificate(&installation.path(file.signer_certificate()))?;
    let identity = Identity::from_certificate(&signer.to_der().or_fail(what)?).or_fail(what)?;
    let spki = ca
        .public_key()
        .and_then(|key| key.public_key_to_der())
        .or_fail(what)?;
    let digest = sha256(&spki);
    let (digest, _) = digest.split_at(CA_DIGEST);
    Ok(format!("assay/{}/{}", identity.name(), hex::encode(digest)))
}

/// Keeps the file of before, and writes the new one with the same mode and owner.
fn write(path: &Path, before: &str, after: &str) -> Outcome<PathBuf> {
    let what = || format!("cannot write {}", path.display());
    // Of a link, the file that it leads to.
    let file = fs::canonicalize(path).or_fail(what())?;
    let metadata = fs::metadata(&file).or_fail(what())?;
    let mode = metadata.permissions().mode();
    let previous = file.with_file_name(PREVIOUS);
    files::create(&previous, before.as_bytes(), mode)?;
    files::replace(&file, after.as_bytes(), mode)?;
    let new = fs::metadata(&file).or_fail(what())?;
    if (new.uid(), new.gid()) != (metadata.uid(), metadata.gid()) {
        chown(&file, Some(metadata.uid()), Some(metadata.gid())).or_fail(format!(
            "{} is written, and is not its owner's of before",
            file.display()
        ))?;
    }
    Ok(previous)
}

/// Labels of the keys that the file named in `[keys]` and `[ocsp]` and names no more.
fn unused(before: &str, after: &str) -> Vec<String> {
    let labels = |text: &str| {
        let file: toml::Table = text.parse().unwrap_or_default();
        let table = |name: &str| file.get(name).and_then(toml::Value::as_table).cloned();
        let keys = table("keys").unwrap_or_default().into_iter();
        let responder =
            table("ocsp").and_then(|ocsp| Some(("ocsp".to_owned(), ocsp.get("key")?.clone())));
        keys.chain(responder)
            .filter_map(|(_, uri)| Some(KeyUri::parse(uri.as_str()?).ok()?.object().to_owned()))
            .collect::<Vec<_>>()
    };
    let after = labels(after);
    let mut unused = labels(before);
    unused.retain(|label| !after.contains(label));
    unused
}
