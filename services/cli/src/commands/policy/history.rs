//! `assay policy history`: every version, and who stood for it.

use assay_console::failure::Outcome;
use assay_console::output::{Column, Output};
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{ListPoliciesReply, ListPoliciesRequest, PolicyInfo};
use clap::Args;

use super::super::list::{PageArgs, RangeArgs, filter, time_text};

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only versions that have this profile
    #[arg(long, value_parser = filter())]
    profile: Option<String>,

    #[command(flatten)]
    activated: RangeArgs,

    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn run(args: HistoryArgs, installation: &Installation, out: Output) -> Outcome {
    let admin = Admin::connect(installation).await?;
    let request = |page| ListPoliciesRequest {
        page,
        profile: args.profile.clone().unwrap_or_default(),
        activated: args.activated.into(),
    };
    let call = AdministrationClient::list_policies;
    let rows = |reply: ListPoliciesReply| (reply.policies, reply.page);
    let listed = args.page.list(admin, call, request, rows).await?;
    listed.print(out, COLUMNS)
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

const COLUMNS: &[Column<PolicyInfo>] = &[
    ("NUMBER", |info| info.number.to_string()),
    ("ACTIVE", |info| {
        if info.active { "yes" } else { "" }.to_owned()
    }),
    ("PROFILES", |info| info.profiles.join(" ")),
    ("TICKET", |info| info.ticket.clone()),
    ("AUTHOR", |info| info.author.clone()),
    ("APPROVED BY", |info| info.approvers.join(" ")),
    ("ACTIVATED", |info| time_text(info.activated_at)),
    ("BY", |info| info.activated_by.clone()),
    ("EXPIRES", |info| time_text(info.expires)),
    ("FILE HASH", |info| info.file_hash.clone()),
];
