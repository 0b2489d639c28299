//! `assay-ceremony next finish`: the CA before has ended, and signer.toml says so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use assay_pkcs11::KeyRole;
use assay_runtime::identity::Identity;
use clap::Args;
use openssl::x509::X509;
use serde::Serialize;

use super::edit;
use super::signer_toml::SignerToml;
use super::switch::{Life, text};
use crate::record::read_certificate;
use crate::transcript::{Ca, Transcript};
use crate::{hsm_toml, layout};
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_operator::installation::Installation;

/// Beside signer.toml.
const PREVIOUS: &str = "signer.toml.before-rollover";

/// End a rollover once the CA before has ended: what signer.toml says then
///
/// The tables of [rollover] move up into [certificates] and [ocsp], and the log keeps its name: where [audit]
/// leaves origin out, it was made of the key of the CA before, and is written down. With --write,
/// hsm.toml loses the table [[ca]] of the CA before. Without --write this says so and changes nothing. Once the signer runs with it, nothing that the CA before issued can be revoked any more.
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
    let transcript = Transcript::load(installation)?;
    let ended = file.present(&transcript);
    let ended = ended.map(|ended| transcript.ca(ended)).transpose()?;
    let previous = args
        .write
        .then(|| write(&path, &before, &moved.text))
        .transpose()?;
    if let Some(ended) = ended.filter(|_| args.write) {
        hsm_toml::remove(installation, ended)?;
    }
    let finished = Finished {
        written: args.write,
        previous: previous.map(|previous| previous.display().to_string()),
        unused_keys: ended.map(unused).unwrap_or_default(),
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
                "next: restart the signer, then assay-hsm; then nothing uses the keys {} any more (log-sign and probe stay in use)",
                self.unused_keys.join(", ")
            )
        } else {
            "next: `assay-ceremony next finish --write` changes the file and keeps every other line; then restart the signer and assay-hsm"
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
    layout::origin_of(identity.name(), ca)
}

/// Keeps the file of before, and writes the new one with the same mode and owner.
fn write(path: &Path, before: &str, after: &str) -> Outcome<PathBuf> {
    let what = || format!("cannot write {}", path.display());
    // Of a link, the file that it leads to.
    let file = fs::canonicalize(path).or_fail(what())?;
    let mode = fs::metadata(&file).or_fail(what())?.permissions().mode();
    let previous = file.with_file_name(PREVIOUS);
    files::create(&previous, before.as_bytes(), mode)?;
    files::rewrite(&file, after.as_bytes())?;
    Ok(previous)
}

/// Labels of the keys of a CA that has ended. The log's key and the probe's stay in use, and the root's is elsewhere.
fn unused(ca: &Ca) -> Vec<String> {
    let stays = [KeyRole::LogSign, KeyRole::Probe, KeyRole::RootSign].map(KeyRole::as_str);
    let ended = ca.keys.iter().filter(|key| !stays.contains(&&*key.role));
    ended.map(|key| key.label.clone()).collect()
}
