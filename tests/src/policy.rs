//! Policy brought into force by the real commands, with the keys that the demo made on the spot.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::installation::Installation;
use crate::tool::Ran;

impl Installation {
    /// Proposes the files of a directory as `author`, approves them as `approver-1` and activates them.
    ///
    /// # Errors
    ///
    /// When any of the three is refused.
    pub async fn put_in_force(&self, files: &Path) -> Result<()> {
        let proposal = self.new_proposal();
        self.propose(files, &proposal, &[]).await?.succeeded()?;
        self.approve(&proposal, "approver-1").await?.succeeded()?;
        self.activate(&proposal).await?.succeeded()?;
        Ok(())
    }

    /// A directory for a proposal that is not there yet.
    pub fn new_proposal(&self) -> PathBuf {
        (1_u32..)
            .map(|number| self.scratch().join(format!("proposal-{number}")))
            .find(|path| !path.exists())
            .unwrap_or_default()
    }

    /// `assay policy propose` as `author`, with further arguments.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn propose(&self, files: &Path, proposal: &Path, further: &[&str]) -> Result<Ran> {
        let files = files.to_string_lossy();
        let proposal = proposal.to_string_lossy();
        let (certificate, key) = self.credential("author");
        let mut arguments = vec!["policy", "propose", &files, "--ticket", "TEST-1"];
        if !further.contains(&"--expires") {
            arguments.extend(["--expires", "365d"]);
        }
        arguments.extend([
            "--certificate",
            &certificate,
            "--key",
            &key,
            "-o",
            &proposal,
        ]);
        arguments.extend(further);
        self.assay(&arguments).await
    }

    /// `assay policy approve` as a person.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn approve(&self, proposal: &Path, person: &str) -> Result<Ran> {
        let proposal = proposal.to_string_lossy();
        let (certificate, key) = self.credential(person);
        let credential = ["--certificate", &certificate, "--key", &key];
        let arguments = [&["policy", "approve", &proposal], &credential[..]].concat();
        self.assay(&arguments).await
    }

    /// `assay policy activate`.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn activate(&self, proposal: &Path) -> Result<Ran> {
        let proposal = proposal.to_string_lossy();
        self.assay(&["policy", "activate", &proposal]).await
    }

    /// Certificate and key of a person.
    pub fn credential(&self, person: &str) -> (String, String) {
        let file = |ending: &str| {
            let path = self.path(format!("approvers/{person}.{ending}"));
            path.to_string_lossy().into_owned()
        };
        (file("pem"), file("key"))
    }
}
