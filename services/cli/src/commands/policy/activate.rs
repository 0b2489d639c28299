//! `assay policy activate`: hands a proposal to the signer, which puts it in force or says what it lacks.

use std::path::PathBuf;

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{ActivatePolicyReply, ActivatePolicyRequest};
use clap::Args;
use serde::Serialize;

use super::folder::Folder;
use crate::admin::Admin;
use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct ActivateArgs {
    /// Directory of the proposal
    proposal: PathBuf,
}

pub(super) async fn run(args: ActivateArgs, installation: &Installation, out: Output) -> Outcome {
    let folder = Folder::at(args.proposal);
    let mut admin = Admin::connect(installation).await?;
    let activated = activate(&mut admin, &folder).await?;
    out.one(&activated, Activated::lines)
}

pub(crate) async fn activate(admin: &mut Admin, folder: &Folder) -> Outcome<Activated> {
    let request = ActivatePolicyRequest {
        proposal: Some(folder.to_proto()?),
    };
    let reply = admin
        .call(request, AdministrationClient::activate_policy)
        .await?;
    Ok(reply.into())
}

#[derive(Debug, Serialize)]
pub(crate) struct Activated {
    number: u64,
    file_hash: String,
    model_hash: String,
    profiles: Vec<String>,
}

impl From<ActivatePolicyReply> for Activated {
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

impl Activated {
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
