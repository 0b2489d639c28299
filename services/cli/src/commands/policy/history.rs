//! `assay policy history`: every version, and who stood for it.

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{ListPoliciesRequest, PageRequest, PolicyInfo};
use clap::Args;

use super::super::list::{PageArgs, RangeArgs, time_text};
use crate::admin::Admin;
use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only versions that have this profile
    #[arg(long, default_value = "", hide_default_value = true)]
    profile: String,

    #[command(flatten)]
    activated: RangeArgs,

    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn run(args: HistoryArgs, installation: &Installation, out: Output) -> Outcome {
    let mut admin = Admin::connect(installation).await?;
    let filters = ListPoliciesRequest {
        page: None,
        profile: args.profile,
        activated: args.activated.into(),
    };
    let page = async |page: PageRequest| {
        let request = ListPoliciesRequest {
            page: Some(page),
            ..filters.clone()
        };
        let call = AdministrationClient::list_policies;
        let reply = admin.call(request, call).await?;
        Ok((reply.policies, reply.page))
    };
    args.page.fetch(page).await?.print(out, &HEADERS, cells)
}

pub(super) fn lines(info: &PolicyInfo) -> Vec<String> {
    let in_force = if info.active { ", in force" } else { "" };
    vec![
        format!("version       {}{in_force}", info.number),
        format!("profiles      {}", info.profiles.join(", ")),
        format!("ticket        {}", info.ticket),
        format!("author        {}", info.author),
        format!("approved by   {}", info.approvers.join(", ")),
        format!(
            "activated     {} by {}",
            time_text(info.activated_at),
            info.activated_by
        ),
        format!("expires       {}", time_text(info.expires)),
        format!("file hash     {}", info.file_hash),
        format!("model hash    {}", info.model_hash),
        format!("proposal      {}", info.proposal_sha256),
    ]
}

const HEADERS: [&str; 10] = [
    "NUMBER",
    "ACTIVE",
    "PROFILES",
    "TICKET",
    "AUTHOR",
    "APPROVED BY",
    "ACTIVATED",
    "BY",
    "EXPIRES",
    "FILE HASH",
];

fn cells(info: &PolicyInfo) -> Vec<String> {
    vec![
        info.number.to_string(),
        if info.active { "yes" } else { "" }.to_owned(),
        info.profiles.join(" "),
        info.ticket.clone(),
        info.author.clone(),
        info.approvers.join(" "),
        time_text(info.activated_at),
        info.activated_by.clone(),
        time_text(info.expires),
        info.file_hash.clone(),
    ]
}
