//! `assay rollover`: what happens when a CA takes over from another.

use std::time::UNIX_EPOCH;

use assay_console::failure::Outcome;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::Timestamp;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{PlanRolloverReply, PlanRolloverRequest, RolloverCa, RolloverStage};
use clap::{Args, Subcommand};

use super::list::time_text;

#[derive(Debug, Subcommand)]
pub(crate) enum RolloverCommand {
    /// Say what will happen and when, and who answers at a given moment
    ///
    /// Asks the running signer, which has proven the keys and certificates of both CAs. Changes nothing.
    Rehearse(RehearseArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RehearseArgs {
    /// Tell of this moment, RFC 3339 in UTC such as 2027-01-15T02:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
}

pub(crate) async fn run(
    command: RolloverCommand,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let RolloverCommand::Rehearse(RehearseArgs { at }) = command;
    let mut admin = Admin::connect(installation).await?;
    let request = PlanRolloverRequest { at };
    let reply = admin
        .call(request, AdministrationClient::plan_rollover)
        .await?;
    out.one(&reply, lines)
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let wrong = || "write RFC 3339 in UTC, such as 2027-01-15T02:00:00Z".to_owned();
    let time = humantime::parse_rfc3339(text).map_err(|_| wrong())?;
    time.duration_since(UNIX_EPOCH).map_err(|_| wrong())?;
    Ok(time.into())
}

fn lines(plan: &PlanRolloverReply) -> Vec<String> {
    let mut lines = vec![format!(
        "at {}: {}",
        time_text(plan.at),
        stage(plan.stage())
    )];
    lines.extend(plan.issuers.iter().flat_map(ca_lines));
    if !plan.steps.is_empty() {
        lines.extend([String::new(), "what happens".to_owned()]);
    }
    lines.extend(plan.steps.iter().map(|step| {
        let at = step
            .at
            .map_or("waits for people".to_owned(), |at| at.to_string());
        format!("  {at:<20}  {}", step.what)
    }));
    if !plan.warnings.is_empty() {
        lines.extend([String::new(), "warnings".to_owned()]);
    }
    let warnings = plan.warnings.iter();
    lines.extend(warnings.map(|warning| format!("  {warning}")));
    lines
}

fn stage(stage: RolloverStage) -> &'static str {
    match stage {
        RolloverStage::Unspecified => "the signer does not say how far the rollover is",
        RolloverStage::None => "no CA is to take over; `assay-ceremony next` makes one",
        RolloverStage::Unapproved => {
            "a CA is to take over, and no version of the policy in force approves it"
        }
        RolloverStage::Announced => "devices are told of the CA that takes over",
        RolloverStage::Overlap => "the next CA has taken over; the old RA is still answered",
        RolloverStage::Over => {
            "the next CA has taken over; the old one signs CRLs and OCSP responses alone"
        }
    }
}

fn ca_lines(ca: &RolloverCa) -> Vec<String> {
    let yes = |yes| if yes { "yes" } else { "no" };
    vec![
        String::new(),
        ca.subject.clone(),
        format!("  SHA-256              {}", ca.ca_sha256),
        format!(
            "  valid                {} to {}",
            time_text(ca.not_before),
            time_text(ca.not_after)
        ),
        format!("  RA until             {}", time_text(ca.ra_not_after)),
        format!("  named by GetCACert   {}", yes(ca.named)),
        format!("  its RA is answered   {}", yes(ca.answers)),
        match ca.last_not_after {
            None => "  certificates         none in force now".to_owned(),
            Some(last) => format!(
                "  certificates         {} in force now, the last until {last}",
                ca.certificates
            ),
        },
    ]
}
