//! `assay policy check`: files alone, without a signer. Everything that is wrong is told at once.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use assay_console::failure::{Exit, Failure, Outcome};
use assay_console::output::{self, Output};
use assay_policy::{Bundle, LoadError, ProfileName, Warning, warnings};
use assay_shape::Uncovered;
use clap::Args;
use serde::Serialize;

use super::files::{FilesArgs, count, faulty};
use super::forms;

const EXAMPLES: &str = "\
Every error is told at once, as FILE:LINE:COLUMN: KEY: RULE: what is wrong and what would be right; policy/RULES.md
explains the rules (TOM-01 to TOM-08). Exit code 0 where there is none, else 1.

Warnings name settings that are allowed and shut out common clients, and times that are past; they leave the exit code 0.

Examples:
  assay policy check policy/
  assay policy check wifi.toml
  assay policy check --forms hsm.toml policy/
  assay policy check --json policy/ | jq -r '.errors[] | [.file, .line, .rule, .problem] | @tsv'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    files: FilesArgs,

    /// Refuse a profile that no table [[form]] of this file covers; its other tables are not read
    #[arg(long, value_name = "HSM.TOML")]
    forms: Option<PathBuf>,
}

pub(super) fn check(args: &CheckArgs, dir: Option<&Path>, out: Output) -> Outcome {
    match Bundle::load(&args.files.read(dir)?) {
        Ok(bundle) => {
            if let Some(file) = &args.forms {
                refuse_uncovered(&forms::uncovered_by(&bundle, file)?, out)?;
            }
            let checked = Checked::good(&bundle, SystemTime::now());
            if !out.is_json() {
                for warning in &checked.warnings {
                    output::note(&format!("warning: {warning}"));
                }
            }
            out.one(&checked, Checked::lines)
        }
        Err(errors) if out.is_json() => {
            out.json(&Checked::faulty(errors.iter().map(Fault::from)))?;
            Err(Failure::reported(Exit::Failed))
        }
        Err(errors) => Err(faulty(&errors)),
    }
}

fn refuse_uncovered(uncovered: &[(&ProfileName, Uncovered)], out: Output) -> Outcome {
    if uncovered.is_empty() {
        return Ok(());
    }
    if out.is_json() {
        out.json(&Checked::faulty(uncovered.iter().map(Fault::from)))?;
        return Err(Failure::reported(Exit::Failed));
    }
    for (profile, problem) in uncovered {
        output::note(&format!("{profile}.toml: {problem}"));
    }
    let count = count(uncovered.len(), "profile");
    Err(Failure::failed(format!("{count} without a form"))
        .next("`assay policy forms` prints forms that cover them, to be added to hsm.toml"))
}

#[derive(Debug, Serialize)]
struct Checked {
    good: bool,
    profiles: Vec<String>,
    /// Null where there are errors.
    file_hash: Option<String>,
    model_hash: Option<String>,
    errors: Vec<Fault>,
    /// Of profiles without errors.
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Fault {
    file: String,
    /// From 1; null where the fault is of the file as a whole.
    line: Option<usize>,
    column: Option<usize>,
    /// Dotted path; empty where there is none.
    key: String,
    /// Null where the fault is that no form covers the profile.
    rule: Option<&'static str>,
    problem: String,
}

impl Checked {
    fn good(bundle: &Bundle, now: SystemTime) -> Self {
        let profiles = bundle.profiles().values();
        Self {
            warnings: profiles
                .flat_map(|profile| warnings(profile, now))
                .collect(),
            good: true,
            profiles: bundle.profiles().keys().map(ToString::to_string).collect(),
            file_hash: Some(bundle.file_hash().to_string()),
            model_hash: Some(bundle.model_hash().to_string()),
            errors: Vec::new(),
        }
    }

    fn faulty(errors: impl Iterator<Item = Fault>) -> Self {
        Self {
            good: false,
            profiles: Vec::new(),
            file_hash: None,
            model_hash: None,
            errors: errors.collect(),
            warnings: Vec::new(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let shown = |hash: &Option<String>| hash.clone().unwrap_or_default();
        vec![
            format!("good: {}", self.profiles.join(", ")),
            format!("file hash   {}", shown(&self.file_hash)),
            format!("model hash  {}", shown(&self.model_hash)),
        ]
    }
}

impl From<&LoadError> for Fault {
    fn from(error: &LoadError) -> Self {
        let place = error.line_column();
        Self {
            file: error.file().to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            key: error.key().to_owned(),
            rule: Some(error.rule().as_str()),
            problem: error.problem().to_owned(),
        }
    }
}

impl From<&(&ProfileName, Uncovered)> for Fault {
    fn from((profile, uncovered): &(&ProfileName, Uncovered)) -> Self {
        Self {
            file: format!("{profile}.toml"),
            line: None,
            column: None,
            key: String::new(),
            rule: None,
            problem: uncovered.to_string(),
        }
    }
}
