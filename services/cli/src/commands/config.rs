//! `assay config check`: each service checks its own file, so that check and start cannot disagree.

use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::output::{Column, Output};
use assay_operator::installation::Installation;
use clap::{Args, Subcommand};
use serde::Serialize;
use tokio::process::Command;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check hsm.toml, signer.toml and frontend.toml without starting anything
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Check this file as the HSM service's
    #[arg(long, value_name = "FILE")]
    hsm: Option<PathBuf>,

    /// Check this file as the signer's
    #[arg(long, value_name = "FILE")]
    signer: Option<PathBuf>,

    /// Check this file as a frontend's
    #[arg(long, value_name = "FILE")]
    frontend: Option<PathBuf>,
}

pub(crate) async fn run(command: ConfigCommand, dir: Option<&Path>, out: Output) -> Outcome {
    let ConfigCommand::Check(args) = command;
    let mut rows = Vec::new();
    for (program, file) in args.files(dir)? {
        rows.push(check(program, &file).await?);
    }
    out.list(&rows, COLUMNS)?;
    match rows.iter().filter(|row| !row.good).count() {
        0 => Ok(()),
        bad => Err(
            Failure::usage(format!("{bad} of {} files cannot be used", rows.len()))
                .next("correct what is said above and check again"),
        ),
    }
}

impl CheckArgs {
    fn files(self, dir: Option<&Path>) -> Outcome<Vec<(&'static str, PathBuf)>> {
        let mut named: Vec<_> = [
            ("assay-hsm", self.hsm),
            ("assay-signer", self.signer),
            ("assay-frontend", self.frontend),
        ]
        .into_iter()
        .filter_map(|(program, file)| Some((program, file?)))
        .collect();
        if named.is_empty() {
            let installation = Installation::find(dir)?;
            // The tiers live on different hosts: whichever file is here is checked.
            named = [
                ("assay-hsm", installation.hsm_config()),
                ("assay-signer", installation.signer_config()),
                ("assay-frontend", installation.frontend_config()),
            ]
            .into_iter()
            .filter(|(_, file)| file.is_file())
            .collect();
        }
        if named.is_empty() {
            return Err(
                Failure::usage("none of hsm.toml, signer.toml and frontend.toml is here")
                    .next("name a file with --hsm, --signer or --frontend"),
            );
        }
        Ok(named)
    }
}

async fn check(program: &'static str, file: &Path) -> Outcome<Checked> {
    let path = service_binary(program)?;
    let run = Command::new(&path)
        .arg("--config")
        .arg(file)
        .arg("--check")
        .kill_on_drop(true)
        .output()
        .await
        .or_fail(format!("cannot run {}", path.display()))?;
    let said = String::from_utf8_lossy(if run.status.success() {
        &run.stdout
    } else {
        &run.stderr
    });
    Ok(Checked {
        file: file.display().to_string(),
        good: run.status.success(),
        message: said.trim().to_owned(),
    })
}

/// The services' executables stand beside this one.
pub(crate) fn service_binary(name: &str) -> Outcome<PathBuf> {
    let own = std::env::current_exe().or_fail("cannot find this executable's own path")?;
    let path = own.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::failed(format!("{} is missing", path.display()))
        .next("build all binaries (`cargo build`) or install them beside assay"))
}

#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    good: bool,
    message: String,
}

const COLUMNS: &[Column<Checked>] = &[
    ("FILE", |checked| checked.file.clone()),
    ("GOOD", |checked| {
        if checked.good { "yes" } else { "no" }.to_owned()
    }),
    ("MESSAGE", |checked| checked.message.clone()),
];
