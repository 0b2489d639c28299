//! A linter of certificates and CRLs by others: pkilint, from PyPI.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::installation;
use crate::tool;

/// What is told: everything that somebody should look at.
const SEVERITY: &str = "WARNING";

/// The linter, installed.
#[derive(Clone, Debug)]
pub struct Linter {
    programs: PathBuf,
}

/// What the linter says of one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// `WARNING`, `ERROR` or `FATAL`.
    pub severity: String,
    /// pkilint's name for it.
    pub code: String,
    /// Where in the certificate.
    pub path: String,
}

#[derive(Deserialize)]
struct Report {
    results: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    node_path: String,
    finding_descriptions: Vec<Description>,
}

#[derive(Deserialize)]
struct Description {
    severity: String,
    code: String,
}

impl Linter {
    /// Installs it beside the binaries, once, where it is not there yet.
    ///
    /// # Errors
    ///
    /// When it cannot be had, with what to do about it.
    pub async fn installed() -> Result<Self> {
        static INSTALLED: OnceCell<PathBuf> = OnceCell::const_new();
        let programs = INSTALLED.get_or_try_init(install).await?;
        Ok(Self {
            programs: programs.clone(),
        })
    }

    /// Judges a certificate by RFC 5280.
    ///
    /// # Errors
    ///
    /// When the linter cannot read it.
    pub async fn certificate(&self, file: &Path) -> Result<Vec<Finding>> {
        let mut command = Command::new(self.programs.join("lint_pkix_cert"));
        command.arg("lint");
        judge(command, file).await
    }

    /// Judges a CRL by RFC 5280.
    ///
    /// # Errors
    ///
    /// When the linter cannot read it.
    pub async fn crl(&self, file: &Path) -> Result<Vec<Finding>> {
        let mut command = Command::new(self.programs.join("lint_crl"));
        command.args(["lint", "-t", "CRL", "-p", "PKIX"]);
        judge(command, file).await
    }
}

async fn install() -> Result<PathBuf> {
    let binary = installation::binary("assay")?;
    let target = binary.parent().and_then(Path::parent);
    let home = target.context("no target directory")?.join("pkilint");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install-pkilint.sh");
    tool::run(Command::new(script).arg(&home), &[])
        .await?
        .succeeded()?;
    Ok(home.join("bin"))
}

async fn judge(mut command: Command, file: &Path) -> Result<Vec<Finding>> {
    command.args(["-s", SEVERITY, "-f", "JSON"]).arg(file);
    let ran = tool::run(&mut command, &[]).await?;
    // The exit status counts the findings; a traceback has it too, and no report.
    let report: Report = serde_json::from_slice(&ran.stdout)
        .with_context(|| format!("{}: no report: {}", file.display(), ran.all()))?;
    let counted = ran.status.code();
    let findings: Vec<Finding> = report
        .results
        .into_iter()
        .flat_map(|place| {
            let path = place.node_path;
            place
                .finding_descriptions
                .into_iter()
                .map(move |found| Finding {
                    severity: found.severity,
                    code: found.code,
                    path: path.clone(),
                })
        })
        .collect();
    ensure!(
        findings.is_empty() == (counted == Some(0)),
        "{}: status {counted:?} with {findings:?}",
        file.display()
    );
    Ok(findings)
}
