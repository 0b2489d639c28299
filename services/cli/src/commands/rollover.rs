//! `assay rollover`: what happens when a CA takes over from another.

use std::time::UNIX_EPOCH;

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{PlanRolloverReply, PlanRolloverRequest, RolloverCa, RolloverStep};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::admin::Admin;
use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::{self, Output};

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
    at: Option<i64>,
}

pub(crate) async fn run(
    command: RolloverCommand,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let RolloverCommand::Rehearse(RehearseArgs { at }) = command;
    let mut admin = Admin::connect(installation).await?;
    let request = PlanRolloverRequest {
        at: at.unwrap_or_default(),
    };
    let reply = admin
        .call(request, AdministrationClient::plan_rollover)
        .await?;
    out.one(&PlanView::from(reply), PlanView::lines)
}

/// Unix seconds.
fn moment(text: &str) -> Result<i64, String> {
    let wrong = || "write RFC 3339 in UTC, such as 2027-01-15T02:00:00Z".to_owned();
    let time = humantime::parse_rfc3339(text).map_err(|_| wrong())?;
    let since_epoch = time.duration_since(UNIX_EPOCH).map_err(|_| wrong())?;
    i64::try_from(since_epoch.as_secs()).map_err(|_| wrong())
}

#[derive(Debug, Serialize)]
struct PlanView {
    at: String,
    /// none, unapproved, announced, overlap or over.
    stage: String,
    authorities: Vec<CaView>,
    steps: Vec<StepView>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CaView {
    subject: String,
    ca_sha256: String,
    ra_sha256: Vec<String>,
    not_before: String,
    not_after: String,
    ra_not_after: String,
    /// GetCACert names it.
    named: bool,
    /// Requests to its RA are answered.
    answers: bool,
    certificates: u64,
    last_not_after: String,
}

#[derive(Debug, Serialize)]
struct StepView {
    /// Empty where it waits for people.
    at: String,
    what: String,
}

impl From<PlanRolloverReply> for PlanView {
    fn from(reply: PlanRolloverReply) -> Self {
        let PlanRolloverReply {
            at,
            stage,
            authorities,
            steps,
            warnings,
        } = reply;
        Self {
            at: output::time(at),
            stage,
            authorities: authorities.into_iter().map(CaView::from).collect(),
            steps: steps.into_iter().map(StepView::from).collect(),
            warnings,
        }
    }
}

impl From<RolloverCa> for CaView {
    fn from(ca: RolloverCa) -> Self {
        let RolloverCa {
            subject,
            ca_sha256,
            ra_sha256,
            not_before,
            not_after,
            ra_not_after,
            named,
            answers,
            certificates,
            last_not_after,
        } = ca;
        Self {
            subject,
            ca_sha256,
            ra_sha256,
            not_before: output::time(not_before),
            not_after: output::time(not_after),
            ra_not_after: output::time(ra_not_after),
            named,
            answers,
            certificates,
            last_not_after: output::time(last_not_after),
        }
    }
}

impl From<RolloverStep> for StepView {
    fn from(step: RolloverStep) -> Self {
        let RolloverStep { at, what } = step;
        Self {
            at: output::time(at),
            what,
        }
    }
}

impl PlanView {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("at {}: {}", self.at, stage(&self.stage))];
        lines.extend(self.authorities.iter().flat_map(CaView::lines));
        if !self.steps.is_empty() {
            lines.extend([String::new(), "what happens".to_owned()]);
        }
        lines.extend(self.steps.iter().map(|step| {
            let at = match step.at.as_str() {
                "" => "waits for people",
                at => at,
            };
            format!("  {at:<20}  {}", step.what)
        }));
        if !self.warnings.is_empty() {
            lines.extend([String::new(), "warnings".to_owned()]);
        }
        let warnings = self.warnings.iter();
        lines.extend(warnings.map(|warning| format!("  {warning}")));
        lines
    }
}

fn stage(name: &str) -> &str {
    match name {
        "none" => "no CA is to take over; `assay-ceremony next` makes one",
        "unapproved" => "a CA is to take over, and no version of the policy in force approves it",
        "announced" => "devices are told of the CA that takes over",
        "overlap" => "the next CA has taken over; the old RA is still answered",
        "over" => "the next CA has taken over; the old one signs CRLs and OCSP responses alone",
        other => other,
    }
}

impl CaView {
    fn lines(&self) -> Vec<String> {
        let yes = |yes| if yes { "yes" } else { "no" };
        vec![
            String::new(),
            self.subject.clone(),
            format!("  SHA-256              {}", self.ca_sha256),
            format!(
                "  valid                {} to {}",
                self.not_before, self.not_after
            ),
            format!("  RA until             {}", self.ra_not_after),
            format!("  named by GetCACert   {}", yes(self.named)),
            format!("  its RA is answered   {}", yes(self.answers)),
            match self.last_not_after.as_str() {
                "" => "  certificates         none in force now".to_owned(),
                last => format!(
                    "  certificates         {} in force now, the last until {last}",
                    self.certificates
                ),
            },
        ]
    }
}
