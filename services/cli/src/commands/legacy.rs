//! `assay legacy`: who still needs an exception of a profile.

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{LegacyUse, ListLegacyRequest, PageRequest};
use clap::{Args, Subcommand};

use super::list::{PageArgs, RangeArgs, time_text};
use crate::admin::Admin;
use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum LegacyCommand {
    /// List the devices that needed an exception, when last, and until when it holds
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only devices of this profile
    #[arg(long, default_value = "", hide_default_value = true)]
    profile: String,

    /// Only the device with this subject, RFC 4514
    #[arg(long, default_value = "", hide_default_value = true)]
    subject: String,

    #[command(flatten)]
    last: RangeArgs,

    #[command(flatten)]
    page: PageArgs,
}

pub(crate) async fn run(
    command: LegacyCommand,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let LegacyCommand::List(args) = command;
    let mut admin = Admin::connect(installation).await?;
    let filters = ListLegacyRequest {
        page: None,
        profile: args.profile,
        subject: args.subject,
        last: args.last.into(),
    };
    let page = async |page: PageRequest| {
        let request = ListLegacyRequest {
            page: Some(page),
            ..filters.clone()
        };
        let call = AdministrationClient::list_legacy;
        let reply = admin.call(request, call).await?;
        Ok((reply.uses, reply.page))
    };
    args.page.fetch(page).await?.print(out, &HEADERS, cells)
}

const HEADERS: [&str; 7] = [
    "PROFILE",
    "EXCEPTION",
    "DEVICE",
    "CERTIFICATES",
    "LAST",
    "ALLOWED",
    "UNTIL",
];

fn cells(found: &LegacyUse) -> Vec<String> {
    vec![
        found.profile.clone(),
        found.quirk.clone(),
        found.device.clone(),
        found.uses.to_string(),
        time_text(found.last_at),
        if found.allowed { "yes" } else { "no" }.to_owned(),
        time_text(found.until),
    ]
}
