//! Policy files as they are named on the command line.

use std::path::{Path, PathBuf};

use assay_policy::Bundle;
use clap::Args;

use crate::failure::{Failure, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    /// Policy files, or directories of them [default: the installation's policy directory]
    pub(super) files: Vec<PathBuf>,
}

impl FilesArgs {
    pub(super) fn read(&self, dir: Option<&Path>) -> Outcome<Vec<assay_policy::PolicyFile>> {
        let mut named = self.files.clone();
        if named.is_empty() {
            named.push(match dir {
                Some(dir) => Installation::at(dir).policy(),
                None => Installation::find(None)?.policy(),
            });
        }
        let mut files = Vec::new();
        for path in &named {
            if path.is_dir() {
                let found = Bundle::read_dir(path).or_fail(format!(
                    "cannot read the policy directory {}",
                    path.display()
                ))?;
                files.extend(found);
            } else {
                files.push(policy_file(path)?);
            }
        }
        if files.is_empty() {
            return Err(Failure::usage("no policy file there")
                .next("give files or directories of files named PROFILE.toml"));
        }
        Ok(files)
    }
}

fn policy_file(path: &Path) -> Outcome<assay_policy::PolicyFile> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| {
            Failure::usage(format!("{} has no usable file name", path.display()))
                .next("a policy file is named PROFILE.toml")
        })?;
    Ok(assay_policy::PolicyFile {
        name: name.to_owned(),
        content: files::read(path)?,
    })
}

/// Everything that is wrong, a line each: file, line, column, key and what would be right.
pub(crate) fn load(files: &[assay_policy::PolicyFile]) -> Outcome<Bundle> {
    Bundle::load(files).map_err(|errors| {
        for error in &errors {
            output::note(&error.to_string());
        }
        Failure::failed(format!("{} in the policy", count(errors.len(), "error")))
            .next("mend them and check again")
    })
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
