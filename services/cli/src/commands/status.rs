//! `assay status`: is the signer ready, and if not, why not.

use std::collections::BTreeMap;

use assay_proto::v1::{StatusReply, WorkerStatus};
use clap::Args;
use serde::Serialize;

use crate::admin::Admin;
use crate::failure::{Exit, Failure, Outcome};
use crate::installation::Installation;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {}

pub(crate) async fn run(_: StatusArgs, installation: &Installation, out: Output) -> Outcome {
    let mut admin = Admin::connect(installation).await?;
    let view = StatusView::from(admin.status().await?);
    out.one(&view, StatusView::lines)?;
    if view.ready {
        return Ok(());
    }
    Err(Failure::new(Exit::Unreachable, "the signer is not ready")
        .next("mend the causes listed; it becomes ready again by itself"))
}

#[derive(Debug, Serialize)]
struct StatusView {
    version: String,
    boot_id: String,
    ready: bool,
    causes: Vec<String>,
    warnings: Vec<String>,
    workers: Vec<WorkerView>,
    policy_number: u64,
    policy_hash: String,
    open_intents: u64,
    certificates: u64,
}

#[derive(Debug, Serialize)]
struct WorkerView {
    pid: u32,
    healthy: bool,
    token_label: String,
    token_serial: String,
    restarts: u32,
    operations: BTreeMap<String, u64>,
    cpu_seconds: f64,
}

impl From<StatusReply> for StatusView {
    fn from(reply: StatusReply) -> Self {
        let StatusReply {
            version,
            boot_id,
            ready,
            causes,
            workers,
            policy_number,
            policy_hash,
            open_intents,
            certificates,
            warnings,
        } = reply;
        Self {
            version,
            boot_id,
            ready,
            causes,
            warnings,
            workers: workers.into_iter().map(WorkerView::from).collect(),
            policy_number,
            policy_hash,
            open_intents,
            certificates,
        }
    }
}

impl From<WorkerStatus> for WorkerView {
    fn from(worker: WorkerStatus) -> Self {
        let WorkerStatus {
            pid,
            healthy,
            token_label,
            token_serial,
            restarts,
            operations,
            cpu_seconds,
        } = worker;
        Self {
            pid,
            healthy,
            token_label,
            token_serial,
            restarts,
            operations: operations.into_iter().collect(),
            cpu_seconds,
        }
    }
}

impl StatusView {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("signer        {} (boot {})", self.version, self.boot_id),
            format!("ready         {}", if self.ready { "yes" } else { "no" }),
        ];
        lines.extend(
            self.causes
                .iter()
                .map(|cause| format!("  cause       {cause}")),
        );
        lines.extend(
            self.warnings
                .iter()
                .map(|warning| format!("  warning     {warning}")),
        );
        lines.push(format!(
            "policy        {} {}",
            self.policy_number, self.policy_hash
        ));
        lines.push(format!("certificates  {}", self.certificates));
        lines.push(format!("open intents  {}", self.open_intents));
        lines.extend(self.workers.iter().map(WorkerView::line));
        lines
    }
}

impl WorkerView {
    fn line(&self) -> String {
        let operations: Vec<_> = self
            .operations
            .iter()
            .map(|(role, count)| format!("{role} {count}"))
            .collect();
        format!(
            "worker        pid {}, {}, token {} ({}), {} restarts, {:.2} s CPU; {}",
            self.pid,
            if self.healthy {
                "healthy"
            } else {
                "not healthy"
            },
            self.token_label,
            self.token_serial,
            self.restarts,
            self.cpu_seconds,
            operations.join(", "),
        )
    }
}
