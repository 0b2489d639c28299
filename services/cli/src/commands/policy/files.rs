//! Policy files as they are named on the command line.

use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output;
use assay_operator::installation::Installation;
use assay_policy::{Bundle, LoadError, PolicyFile, Proposal};
use clap::Args;

use super::folder::Folder;

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    /// Policy files, or directories of them [default: the installation's policy directory]
    pub(super) files: Vec<PathBuf>,
}

impl FilesArgs {
    pub(super) fn read(&self, dir: Option<&Path>) -> Outcome<Vec<PolicyFile>> {
        let mut named = self.files.clone();
        if named.is_empty() {
            named.push(match dir {
                Some(dir) => Installation::at(dir).policy(),
                None => Installation::find(None)?.policy(),
            });
        }
        let mut files = Vec::new();
        for path in &named {
            files.extend(read(path)?);
        }
        if files.is_empty() {
            return Err(Failure::usage("no policy file there")
                .next("give files or directories of files named PROFILE.toml"));
        }
        Ok(files)
    }
}

/// The policy that one path of the command line stands for.
pub(super) struct Named {
    pub(super) bundle: Bundle,
    /// Where the path is a proposal's.
    pub(super) proposal: Option<Proposal>,
    /// Whether the path is that of one file.
    pub(super) is_file: bool,
}

impl Named {
    /// Reads a file `PROFILE.toml`, a directory of them, or the directory of a proposal.
    pub(super) fn read(path: &Path) -> Outcome<Self> {
        if !path.exists() {
            return Err(Failure::usage(format!("{} does not exist", path.display()))
                .next("name a file PROFILE.toml, a directory of such files, or a proposal"));
        }
        let folder = Folder::at(path);
        if folder.is_proposal() {
            let (proposal, _, files) = folder.read()?;
            return Ok(Self {
                bundle: load(&files)?,
                proposal: Some(proposal),
                is_file: false,
            });
        }
        let files = read(path)?;
        if files.is_empty() {
            return Err(
                Failure::usage(format!("no policy file in {}", path.display()))
                    .next("a policy file is named PROFILE.toml"),
            );
        }
        Ok(Self {
            bundle: load(&files)?,
            proposal: None,
            is_file: !path.is_dir(),
        })
    }
}

fn read(path: &Path) -> Outcome<Vec<PolicyFile>> {
    if !path.is_dir() {
        return Ok(vec![policy_file(path)?]);
    }
    let folder = Folder::at(path);
    if folder.is_proposal() {
        return folder.files();
    }
    Bundle::read_dir(path).or_fail(format!(
        "cannot read the policy directory {}",
        path.display()
    ))
}

fn policy_file(path: &Path) -> Outcome<PolicyFile> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| {
            Failure::usage(format!("{} has no usable file name", path.display()))
                .next("a policy file is named PROFILE.toml")
        })?;
    Ok(PolicyFile {
        name: name.to_owned(),
        content: files::read(path)?,
    })
}

/// Everything that is wrong, a line each: file, line, column, key and what would be right.
pub(crate) fn load(files: &[PolicyFile]) -> Outcome<Bundle> {
    Bundle::load(files).map_err(|errors| faulty(&errors))
}

/// Tells every error, and how many there are.
pub(crate) fn faulty(errors: &[LoadError]) -> Failure {
    for error in errors {
        output::note(&error.to_string());
    }
    Failure::failed(format!("{} in the policy", count(errors.len(), "error")))
        .next("correct them and check again")
}

pub(super) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
