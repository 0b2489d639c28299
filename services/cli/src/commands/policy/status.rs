//! `assay policy status`: what is in force, or how far a proposal has come.

use std::path::PathBuf;

use assay_console::failure::Outcome;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    CheckPolicyReply, CheckPolicyRequest, ListPoliciesRequest, PageRequest, PolicyBasisReply,
    PolicyInfo,
};
use clap::Args;
use serde::Serialize;

use super::folder::Folder;
use super::{basis, history};

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Directory of a proposal
    proposal: Option<PathBuf>,
}

pub(super) async fn run(args: StatusArgs, installation: &Installation, out: Output) -> Outcome {
    let mut admin = Admin::connect(installation).await?;
    if let Some(path) = args.proposal {
        let request = CheckPolicyRequest {
            proposal: Some(Folder::at(path).to_proto()?),
        };
        let reply = admin
            .call(request, AdministrationClient::check_policy)
            .await?;
        return out.one(&reply, progress);
    }
    let now = Now {
        in_force: in_force(&mut admin).await?,
        basis: basis::fetch(&mut admin).await?,
    };
    out.one(&now, |now| {
        let mut lines = match &now.in_force {
            Some(version) => history::lines(version),
            None => vec!["no version is in force".to_owned()],
        };
        lines.extend(basis::people(&now.basis));
        lines
    })
}

/// The version in force; `None` where there is none, or the signer was started without it.
pub(crate) async fn in_force(admin: &mut Admin) -> Outcome<Option<PolicyInfo>> {
    let request = ListPoliciesRequest {
        // It is the newest, if any is.
        page: Some(PageRequest {
            size: 1,
            token: String::new(),
        }),
        ..ListPoliciesRequest::default()
    };
    let listed = admin
        .call(request, AdministrationClient::list_policies)
        .await?;
    Ok(listed.policies.into_iter().find(|info| info.active))
}

#[derive(Debug, Serialize)]
struct Now {
    in_force: Option<PolicyInfo>,
    basis: PolicyBasisReply,
}

fn progress(reply: &CheckPolicyReply) -> Vec<String> {
    let mut lines = vec![
        format!("version      {}", reply.number),
        format!("author       {}", reply.author),
        format!(
            "approved by  {} ({} of {})",
            reply.approvers.join(", "),
            reply.approvers.len(),
            reply.approvals_needed
        ),
    ];
    if reply.ready {
        lines.push("ready: `assay policy activate` puts it in force".to_owned());
    }
    let problems = reply.problems.iter();
    lines.extend(problems.map(|line| format!("lacks        {line}")));
    lines
}
