//! `assay policy activate`: hands a proposal to the signer, which puts it in force or says what it lacks.

use std::path::PathBuf;

use assay_console::failure::Outcome;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{ActivatePolicyReply, ActivatePolicyRequest};
use clap::Args;

use super::folder::Folder;

#[derive(Debug, Args)]
pub(crate) struct ActivateArgs {
    /// Directory of the proposal
    proposal: PathBuf,
}

pub(super) async fn run(args: ActivateArgs, installation: &Installation, out: Output) -> Outcome {
    let folder = Folder::at(args.proposal);
    let mut admin = Admin::connect(installation).await?;
    let activated = activate(&mut admin, &folder).await?;
    out.one(&activated, lines)
}

pub(crate) async fn activate(admin: &mut Admin, folder: &Folder) -> Outcome<ActivatePolicyReply> {
    let request = ActivatePolicyRequest {
        proposal: Some(folder.to_proto()?),
    };
    admin
        .call(request, AdministrationClient::activate_policy)
        .await
}

fn lines(reply: &ActivatePolicyReply) -> Vec<String> {
    vec![
        format!(
            "policy {} is in force: {}",
            reply.number,
            reply.profiles.join(", ")
        ),
        format!("file hash   {}", reply.file_hash),
        format!("model hash  {}", reply.model_hash),
    ]
}
