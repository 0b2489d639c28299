//! `assay legacy`: who still needs an exception of a profile.

use assay_console::failure::Outcome;
use assay_console::output::{Column, Output};
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{LegacyUse, ListLegacyReply, ListLegacyRequest};
use clap::{Args, Subcommand};

use super::list::{PageArgs, RangeArgs, filter, time_text};

#[derive(Debug, Subcommand)]
pub(crate) enum LegacyCommand {
    /// List the devices that needed an exception, when last, and until when it holds
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only devices of this profile
    #[arg(long, value_parser = filter())]
    profile: Option<String>,

    /// Only the device with this subject, RFC 4514
    #[arg(long, value_parser = filter())]
    subject: Option<String>,

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
    let admin = Admin::connect(installation).await?;
    let request = |page| ListLegacyRequest {
        page,
        profile: args.profile.clone().unwrap_or_default(),
        subject: args.subject.clone().unwrap_or_default(),
        last: args.last.into(),
    };
    let call = AdministrationClient::list_legacy;
    let rows = |reply: ListLegacyReply| (reply.uses, reply.page);
    let listed = args.page.list(admin, call, request, rows).await?;
    listed.print(out, COLUMNS)
}

const COLUMNS: &[Column<LegacyUse>] = &[
    ("PROFILE", |found| found.profile.clone()),
    ("EXCEPTION", |found| found.quirk.clone()),
    ("DEVICE", |found| found.device.clone()),
    ("CERTIFICATES", |found| found.uses.to_string()),
    ("LAST", |found| time_text(found.last_at)),
    ("ALLOWED", |found| {
        if found.allowed { "yes" } else { "no" }.to_owned()
    }),
    ("UNTIL", |found| time_text(found.until)),
];
