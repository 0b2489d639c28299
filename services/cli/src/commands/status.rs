//! `assay status`: is the signer ready, and if not, why not.

use assay_console::failure::{Exit, Failure, Outcome};
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::Timestamp;
use assay_proto::v1::{ClockStatus, HsmStatus, StatusReply, StoppedProfile};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {}

pub(crate) async fn run(_: StatusArgs, installation: &Installation, out: Output) -> Outcome {
    let mut admin = Admin::connect(installation).await?;
    let status = admin.status().await?;
    out.one(&status, lines)?;
    if status.ready {
        return Ok(());
    }
    Err(Failure::new(Exit::Unreachable, "the signer is not ready")
        .next("fix the causes listed; it becomes ready again by itself"))
}

fn lines(status: &StatusReply) -> Vec<String> {
    let mut lines = vec![
        format!("signer        {} (boot {})", status.version, status.boot_id),
        format!("ready         {}", if status.ready { "yes" } else { "no" }),
    ];
    let causes = status.causes.iter();
    lines.extend(causes.map(|cause| format!("  cause       {cause}")));
    let warnings = status.warnings.iter();
    lines.extend(warnings.map(|warning| format!("  warning     {warning}")));
    let stopped = status.stopped.iter();
    lines.extend(stopped.map(stopped_line));
    lines.extend(status.clock.as_ref().map(clock_line));
    lines.push(format!(
        "policy        {} {}",
        status.policy_number, status.policy_hash
    ));
    lines.push(format!("certificates  {}", status.certificates));
    lines.push(format!("open intents  {}", status.open_intents));
    lines.extend(status.hsm.iter().map(hsm_line));
    lines
}

fn stopped_line(stop: &StoppedProfile) -> String {
    let since = stop.stopped_at.map(|at| at.to_string()).unwrap_or_default();
    let StoppedProfile {
        profile,
        stopped_by,
        reason,
        ..
    } = stop;
    format!("stopped       {profile} since {since} by {stopped_by}: {reason}")
}

fn clock_line(clock: &ClockStatus) -> String {
    let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let now = text(clock.now).unwrap_or_default();
    let state = match (text(clock.jumped_from), text(clock.jumped_to)) {
        (Some(from), Some(to)) => format!("continued since it jumped from {from} to {to}"),
        _ => text(clock.settling_until).map_or("as expected".to_owned(), |until| {
            format!("a jump was accepted, settling until {until}")
        }),
    };
    format!("clock         {now}, {state}")
}

fn hsm_line(hsm: &HsmStatus) -> String {
    let operations: Vec<_> = hsm
        .operations
        .iter()
        .map(|(role, count)| format!("{role} {count}"))
        .collect();
    format!(
        "HSM service   pid {}, {}, token {} ({}), {} reconnections, {:.2} s CPU; {}",
        hsm.pid,
        if hsm.healthy {
            "healthy"
        } else {
            "not healthy"
        },
        hsm.token_label,
        hsm.token_serial,
        hsm.reconnections,
        hsm.cpu_seconds,
        operations.join(", "),
    )
}
