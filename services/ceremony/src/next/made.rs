//! What there is of a next CA, and what signer.toml has to say of it.

use assay_pkcs11::KeyRole;
use serde::Serialize;

use super::signer_toml::SignerToml;
use crate::certify::CA_FILE;
use crate::generation::Generation;
use crate::layout::quoted;
use crate::transcript::{CertificateEntry, KeyEntry, State, Successor, Transcript};
use crate::{csr, root};
use assay_console::failure::{Failure, Outcome};
use assay_console::output::{self, Output};
use assay_operator::installation::Installation;

#[derive(Debug, Serialize)]
pub(crate) struct Made {
    generation: Generation,
    state: State,
    switch_at: String,
    overlap: String,
    keys: Vec<KeyEntry>,
    certificates: Vec<CertificateEntry>,
    /// For signer.toml, once there is all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<String>,
    /// The lines printed for people.
    #[serde(skip)]
    report: Vec<String>,
}

impl Made {
    pub(crate) fn of(
        generation: Generation,
        transcript: &Transcript,
        installation: &Installation,
    ) -> Outcome<Self> {
        let successor = transcript.successor(generation).ok_or_else(|| {
            Failure::failed(format!("the transcript knows no generation {generation}"))
        })?;
        let complete = successor.state == State::Complete;
        let responds = SignerToml::find(installation)?.is_some_and(|file| file.has_ocsp());
        let lines = complete.then(|| tables(successor, responds)).transpose()?;
        let mut report = vec![format!("CA generation {generation}")];
        report.extend(transcript.lines_of(generation));
        match &lines {
            Some(lines) => {
                report.push("add to signer.toml:".to_owned());
                report.extend(lines.lines().map(str::to_owned));
                report.push(
                    "next: restart the signer, then propose, approve and activate a version of the policy: from then on \
                     devices are told of the next CA"
                        .to_owned(),
                );
            }
            None => report.push(format!(
                "next: have the root sign {} as a CA, then `assay-ceremony import`",
                installation.path(generation.file(csr::FILE)).display()
            )),
        }
        Ok(Self {
            generation,
            state: successor.state,
            switch_at: successor.switch_at.clone(),
            overlap: successor.overlap.clone(),
            keys: successor.keys.clone(),
            certificates: successor.certificates.clone(),
            lines,
            report,
        })
    }

    /// Prints it, and on standard error what is better known.
    pub(crate) fn print(&self, notes: &[String], out: Output) -> Outcome {
        for note in notes {
            output::note(&format!("note: {note}"));
        }
        out.one(self, |made| made.report.clone())
    }

    /// The tables alone, to be appended to signer.toml.
    pub(super) fn print_tables(&self, notes: &[String], out: Output) -> Outcome {
        for note in notes {
            output::note(&format!("note: {note}"));
        }
        let lines = |made: &Self| {
            made.lines
                .iter()
                .flat_map(|lines| lines.lines())
                .map(str::to_owned)
                .collect()
        };
        out.one(self, lines)
    }
}

/// The tables, with an empty line before them.
fn tables(successor: &Successor, responds: bool) -> Outcome<String> {
    let generation = successor.generation;
    let key = |role: KeyRole| {
        let mut keys = successor.keys.iter();
        let found = keys.find(|key| key.role == role.as_str());
        found.map(|key| quoted(&key.uri))
    };
    let needed = |role: KeyRole| {
        key(role).ok_or_else(|| Failure::failed(format!("the ceremony made no {role} key")))
    };
    let file = |name: &str| quoted(&generation.file(name));
    let single = key(KeyRole::RaSingle);
    let single_key = single.as_ref();
    let single_key = single_key.map_or_else(String::new, |uri| format!("ra-single = {uri}\n"));
    let single_certificate = single.map_or_else(String::new, |_| {
        format!("ra_single = {}\n", file("ra-single.pem"))
    });
    let mut text = format!(
        "
# The CA that takes over at switch_at. Until then devices learn of it by GetNextCACert; requests to either RA are answered
# under its CA. `assay-ceremony next finish` moves these tables up once the old CA has ended.
[rollover]
switch_at = {switch_at}
overlap = {overlap}

[rollover.keys]
ra-decrypt = {ra_decrypt}
ra-sign = {ra_sign}
{single_key}ca-sign = {ca_sign}

[rollover.certificates]
ca = {ca}
ra_enc = {ra_enc}
ra_sign = {ra_sign_certificate}
{single_certificate}chain = [{chain}]
",
        switch_at = quoted(&successor.switch_at),
        overlap = quoted(&successor.overlap),
        ra_decrypt = needed(KeyRole::RaDecrypt)?,
        ra_sign = needed(KeyRole::RaSign)?,
        ca_sign = needed(KeyRole::CaSign)?,
        ca = file(CA_FILE),
        ra_enc = file("ra-enc.pem"),
        ra_sign_certificate = file("ra-sign.pem"),
        chain = chain(successor).join(", "),
    );
    if responds {
        text += &ocsp_table(generation, &needed(KeyRole::OcspSign)?);
    }
    Ok(text)
}

/// The table of the next CA's responder, with an empty line before it; `key` is a TOML string.
pub(crate) fn ocsp_table(generation: Generation, key: &str) -> String {
    format!(
        "
[rollover.ocsp]
key = {key}
certificate = {}
",
        quoted(&generation.file(crate::ocsp::FILE))
    )
}

/// The certificates above it: those that were imported with it, or the root of the first ceremony.
fn chain(successor: &Successor) -> Vec<String> {
    let folder = successor.generation.folder();
    let imported: Vec<String> = successor
        .certificates
        .iter()
        .map(|certificate| certificate.file.as_str())
        .filter(|file| {
            let name = file.strip_prefix(&folder).unwrap_or_default();
            name.starts_with("/chain-") || name.strip_prefix('/') == Some(root::FILE)
        })
        .map(quoted)
        .collect();
    if imported.is_empty() {
        vec![quoted(&Generation::FIRST.file(root::FILE))]
    } else {
        imported
    }
}
