//! `assay policy show`: one version, and back out of the signer what was signed.

use std::path::PathBuf;

use assay_console::failure::Outcome;
use assay_console::files;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_policy::PolicyFile;
use assay_proto::v1::GetPolicyRequest;
use assay_proto::v1::administration_client::AdministrationClient;
use clap::Args;

use super::folder::Folder;
use super::history::lines;

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Number of the version, as `assay policy history` shows it
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    number: u64,

    /// Write its files, its proposal and the signatures to this directory, which is made
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) async fn run(args: ShowArgs, installation: &Installation, out: Output) -> Outcome {
    let mut admin = Admin::connect(installation).await?;
    let request = GetPolicyRequest {
        number: args.number,
    };
    let reply = admin
        .call(request, AdministrationClient::get_policy)
        .await?;
    if let Some(path) = args.output {
        let folder = Folder::at(path);
        let proposal = reply.proposal.unwrap_or_default();
        let policy: Vec<PolicyFile> = proposal
            .files
            .into_iter()
            .map(|file| PolicyFile {
                name: file.name,
                content: file.content,
            })
            .collect();
        folder.create(&policy, &proposal.proposal, &proposal.author_signature)?;
        for (number, signature) in (1..).zip(&proposal.approvals) {
            let file = folder.approval_file(&number.to_string());
            files::create(&file, signature, files::PUBLIC)?;
        }
    }
    out.one(&reply.info.unwrap_or_default(), lines)
}
