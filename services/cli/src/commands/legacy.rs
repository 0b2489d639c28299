//! `assay legacy`: who still needs an exception of a profile.

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{LegacyUse, ListLegacyRequest};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::admin::Admin;
use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::{self, Output, Row};

#[derive(Debug, Subcommand)]
pub(crate) enum LegacyCommand {
    /// List the devices that needed an exception, when last, and until when it holds
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this profile's
    #[arg(long, default_value = "")]
    profile: String,

    /// At most so many
    #[arg(long, default_value_t = 1_000)]
    limit: u32,
}

pub(crate) async fn run(
    command: LegacyCommand,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let LegacyCommand::List(args) = command;
    let mut admin = Admin::connect(installation).await?;
    let request = ListLegacyRequest {
        profile: args.profile,
        limit: args.limit,
    };
    let reply = admin
        .call(request, AdministrationClient::list_legacy)
        .await?;
    let rows: Vec<_> = reply.uses.into_iter().map(UseView::from).collect();
    out.list(&rows)
}

#[derive(Debug, Serialize)]
struct UseView {
    profile: String,
    quirk: String,
    device: String,
    uses: u64,
    first_at: String,
    last_at: String,
    /// Whether the profile in force still allows it.
    allowed: bool,
    /// Empty where the profile sets no end.
    until: String,
}

impl From<LegacyUse> for UseView {
    fn from(found: LegacyUse) -> Self {
        let LegacyUse {
            profile,
            quirk,
            device,
            uses,
            first_at,
            last_at,
            allowed,
            until,
        } = found;
        Self {
            profile,
            quirk,
            device,
            uses,
            first_at: output::time(first_at),
            last_at: output::time(last_at),
            allowed,
            until: output::time(until),
        }
    }
}

impl Row for UseView {
    const HEADERS: &'static [&'static str] = &[
        "PROFILE",
        "EXCEPTION",
        "DEVICE",
        "CERTIFICATES",
        "LAST",
        "ALLOWED",
        "UNTIL",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.profile.clone(),
            self.quirk.clone(),
            self.device.clone(),
            self.uses.to_string(),
            self.last_at.clone(),
            if self.allowed { "yes" } else { "no" }.to_owned(),
            self.until.clone(),
        ]
    }
}
