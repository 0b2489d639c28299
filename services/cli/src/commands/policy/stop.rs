//! `assay policy stop`: the emergency brake of one profile.

use assay_console::failure::Outcome;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::StopProfileRequest;
use assay_proto::v1::administration_client::AdministrationClient;
use clap::Args;
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The profile
    profile: String,

    /// Why, for the log
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(args: StopArgs, installation: &Installation, out: Output) -> Outcome {
    let mut admin = Admin::connect(installation).await?;
    let request = StopProfileRequest {
        profile: args.profile.clone(),
        reason: args.reason,
    };
    let reply = admin
        .call(request, AdministrationClient::stop_profile)
        .await?;
    let stopped = Stopped {
        profile: args.profile,
        changed: reply.changed,
    };
    out.one(&stopped, |stopped| {
        vec![if stopped.changed {
            format!(
                "{0} is stopped; `assay policy propose --resume {0}` is the way back",
                stopped.profile
            )
        } else {
            format!("{} was stopped before", stopped.profile)
        }]
    })
}

#[derive(Debug, Serialize)]
struct Stopped {
    profile: String,
    changed: bool,
}
