//! `assay policy`: checks policy files without a signer, and puts a set of them in force.

use std::path::{Path, PathBuf};

use assay_policy::Bundle;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    ActivatePolicyReply, ActivatePolicyRequest, ListPoliciesRequest, PolicyInfo, PolicyProposal,
};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::admin::Admin;
use crate::failure::{Failure, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::output::{self, Output, Row};

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check policy files; needs no signer
    Check(FilesArgs),
    /// Check a set of policy files and put it in force, all of it or nothing
    Activate(FilesArgs),
    /// List the versions that were activated
    List,
}

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    /// Policy files, or directories of them [default: the installation's policy directory]
    files: Vec<PathBuf>,
}

pub(crate) async fn run(command: PolicyCommand, dir: Option<&Path>, out: Output) -> Outcome {
    match command {
        PolicyCommand::Check(args) => check(&args, dir, out),
        PolicyCommand::Activate(args) => {
            let installation = Installation::find(dir)?;
            let files = args.read(Some(installation.root()))?;
            load(&files)?;
            let mut admin = Admin::connect(&installation).await?;
            let activated = ActivatedView::from(activate(&mut admin, files).await?);
            out.one(&activated, ActivatedView::lines)
        }
        PolicyCommand::List => {
            let mut admin = Admin::connect(&Installation::find(dir)?).await?;
            let reply = admin
                .call(ListPoliciesRequest {}, AdministrationClient::list_policies)
                .await?;
            let rows: Vec<_> = reply.policies.into_iter().map(PolicyView::from).collect();
            out.list(&rows)
        }
    }
}

fn check(args: &FilesArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let bundle = load(&args.read(dir)?)?;
    let checked = Checked {
        profiles: bundle.profiles.keys().map(ToString::to_string).collect(),
        file_hash: hex::encode(bundle.file_hash),
        model_hash: hex::encode(bundle.model_hash),
    };
    out.one(&checked, |checked| {
        vec![
            format!("good: {}", checked.profiles.join(", ")),
            format!("file hash   {}", checked.file_hash),
            format!("model hash  {}", checked.model_hash),
        ]
    })
}

/// Sends a whole set of policy files to the signer.
pub(crate) async fn activate(
    admin: &mut Admin,
    files: Vec<assay_policy::PolicyFile>,
) -> Outcome<ActivatePolicyReply> {
    let files = files
        .into_iter()
        .map(|file| assay_proto::v1::PolicyFile {
            name: file.name,
            content: file.content,
        })
        .collect();
    admin
        .call(
            ActivatePolicyRequest {
                proposal: Some(PolicyProposal {
                    files,
                    ..PolicyProposal::default()
                }),
            },
            AdministrationClient::activate_policy,
        )
        .await
}

/// Everything that is wrong, a line each: file, line, column, key and what would be right.
fn load(files: &[assay_policy::PolicyFile]) -> Outcome<Bundle> {
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

impl FilesArgs {
    fn read(&self, dir: Option<&Path>) -> Outcome<Vec<assay_policy::PolicyFile>> {
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

#[derive(Debug, Serialize)]
struct Checked {
    profiles: Vec<String>,
    file_hash: String,
    model_hash: String,
}

#[derive(Debug, Serialize)]
struct ActivatedView {
    number: u64,
    file_hash: String,
    model_hash: String,
    profiles: Vec<String>,
}

impl From<ActivatePolicyReply> for ActivatedView {
    fn from(reply: ActivatePolicyReply) -> Self {
        let ActivatePolicyReply {
            number,
            file_hash,
            model_hash,
            profiles,
        } = reply;
        Self {
            number,
            file_hash,
            model_hash,
            profiles,
        }
    }
}

impl ActivatedView {
    fn lines(&self) -> Vec<String> {
        vec![
            format!(
                "policy {} is in force: {}",
                self.number,
                self.profiles.join(", ")
            ),
            format!("file hash   {}", self.file_hash),
            format!("model hash  {}", self.model_hash),
        ]
    }
}

#[derive(Debug, Serialize)]
struct PolicyView {
    number: u64,
    active: bool,
    profiles: Vec<String>,
    file_hash: String,
    model_hash: String,
    activated_at: String,
    activated_by: String,
}

impl From<PolicyInfo> for PolicyView {
    fn from(info: PolicyInfo) -> Self {
        let PolicyInfo {
            number,
            file_hash,
            model_hash,
            activated_at,
            activated_by,
            active,
            profiles,
            ..
        } = info;
        Self {
            number,
            active,
            profiles,
            file_hash,
            model_hash,
            activated_at: output::time(activated_at),
            activated_by,
        }
    }
}

impl Row for PolicyView {
    const HEADERS: &'static [&'static str] = &[
        "NUMBER",
        "ACTIVE",
        "PROFILES",
        "ACTIVATED",
        "BY",
        "FILE HASH",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.number.to_string(),
            if self.active { "yes" } else { "" }.to_owned(),
            self.profiles.join(" "),
            self.activated_at.clone(),
            self.activated_by.clone(),
            self.file_hash.clone(),
        ]
    }
}
