//! `assay policy status`: what is in force, or how far a proposal has come.

use std::path::PathBuf;

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{CheckPolicyReply, CheckPolicyRequest, ListPoliciesRequest};
use clap::Args;
use serde::Serialize;

use super::basis::Basis;
use super::folder::Folder;
use super::history::Version;
use crate::admin::Admin;
use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::Output;

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
        return out.one(&Progress::from(reply), Progress::lines);
    }
    let listed = admin
        .call(ListPoliciesRequest {}, AdministrationClient::list_policies)
        .await?;
    let in_force = listed.policies.into_iter().find(|info| info.active);
    let standing = Standing {
        in_force: in_force.map(Version::from),
        basis: Basis::fetch(&mut admin).await?,
    };
    out.one(&standing, |standing| {
        let mut lines = match &standing.in_force {
            Some(version) => version.lines(),
            None => vec!["no version is in force".to_owned()],
        };
        lines.extend(standing.basis.people());
        lines
    })
}

#[derive(Debug, Serialize)]
struct Standing {
    in_force: Option<Version>,
    basis: Basis,
}

#[derive(Debug, Serialize)]
struct Progress {
    ready: bool,
    number: u64,
    author: String,
    approvers: Vec<String>,
    approvals_needed: u32,
    problems: Vec<String>,
}

impl From<CheckPolicyReply> for Progress {
    fn from(reply: CheckPolicyReply) -> Self {
        let CheckPolicyReply {
            ready,
            problems,
            number,
            author,
            approvers,
            approvals_needed,
        } = reply;
        Self {
            ready,
            number,
            author,
            approvers,
            approvals_needed,
            problems,
        }
    }
}

impl Progress {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("version      {}", self.number),
            format!("author       {}", self.author),
            format!(
                "approved by  {} ({} of {})",
                self.approvers.join(", "),
                self.approvers.len(),
                self.approvals_needed
            ),
        ];
        if self.ready {
            lines.push("ready: `assay policy activate` puts it in force".to_owned());
        }
        lines.extend(
            self.problems
                .iter()
                .map(|line| format!("lacks        {line}")),
        );
        lines
    }
}
