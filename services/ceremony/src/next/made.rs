//! What there is of a next CA, and what signer.toml has to say of it.

use assay_pkcs11::KeyRole;
use serde::Serialize;

use super::signer_toml::SignerToml;
use crate::csr;
use crate::generation::Generation;
use crate::layout::{self, quoted};
use crate::transcript::{Ca, State, Transcript};
use assay_console::failure::Outcome;
use assay_console::output::{self, Output};
use assay_operator::installation::Installation;

#[derive(Debug, Serialize)]
pub(crate) struct Made {
    #[serde(flatten)]
    ca: Ca,
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
        let ca = transcript.ca(generation)?;
        let complete = ca.state == State::Complete;
        let responds = SignerToml::find(installation)?.is_some_and(|file| file.has_ocsp());
        let lines = complete.then(|| tables(ca, responds)).transpose()?;
        let mut report = vec![format!("CA generation {generation}")];
        report.extend(transcript.lines(generation)?);
        match &lines {
            Some(lines) => {
                report.push("add to signer.toml:".to_owned());
                report.extend(lines.lines().map(str::to_owned));
                report.push(
                    "hsm.toml names it; next: restart assay-hsm and the signer, then propose, approve and activate a version of the policy: from then on \
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
            ca: ca.clone(),
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
fn tables(ca: &Ca, responds: bool) -> Outcome<String> {
    let switch = ca.switch()?;
    let mut text = format!(
        "
# The CA that takes over at switch_at. Until then devices learn of it by GetNextCACert; requests to either RA are answered
# under its CA. `assay-ceremony next finish` moves these tables up once the old CA has ended.
[rollover]
switch_at = {switch_at}
overlap = {overlap}

[rollover.certificates]
{certificates}",
        switch_at = quoted(&switch.at),
        overlap = quoted(&switch.overlap),
        certificates = layout::certificates(ca),
    );
    if responds {
        ca.key(KeyRole::OcspSign)?;
        text += &ocsp_table(ca.generation);
    }
    Ok(text)
}

/// The table of the next CA's responder, with an empty line before it.
pub(crate) fn ocsp_table(generation: Generation) -> String {
    format!(
        "
[rollover.ocsp]
certificate = {}
",
        quoted(&generation.file(crate::ocsp::FILE))
    )
}
