//! `assay audit`: the records of what was done and decided, its checkpoints, and what an auditor pins.

mod checkpoint;
mod cosign;
mod signer_file;
mod trust;
mod witness;

use assay_proto::v1::ListAuditRequest;
use assay_proto::v1::administration_client::AdministrationClient;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use crate::admin::Admin;
use crate::failure::{OrFail, Outcome};
use crate::installation::Installation;
use crate::output::{Output, Row};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List records, oldest first
    List(ListArgs),
    Checkpoint(checkpoint::CheckpointArgs),
    Cosign(cosign::CosignArgs),
    Trust(trust::TrustArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only records after this sequence number, for the next page
    #[arg(long, default_value_t = 0)]
    after: u64,

    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: u32,

    /// Only records of this kind, such as request.issued or request.refused
    #[arg(long, default_value = "")]
    kind: String,

    /// Print each record's canonical JSON byte for byte as it is stored, one a line
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

pub(crate) async fn run(
    command: AuditCommand,
    installation: &Installation,
    out: Output,
) -> Outcome {
    match command {
        AuditCommand::List(args) => list(args, installation, out).await,
        AuditCommand::Checkpoint(args) => checkpoint::run(args, installation, out).await,
        AuditCommand::Cosign(args) => cosign::run(args, installation, out).await,
        AuditCommand::Trust(args) => trust::run(args, installation, out).await,
    }
}

async fn list(args: ListArgs, installation: &Installation, out: Output) -> Outcome {
    let mut admin = Admin::connect(installation).await?;
    let request = ListAuditRequest {
        after: args.after,
        limit: args.limit,
        kind: args.kind,
    };
    let records = admin
        .call(request, AdministrationClient::list_audit)
        .await?
        .records;
    if args.raw {
        return records.iter().try_for_each(|record| out.line(&record.json));
    }
    let rows: Vec<_> = records
        .into_iter()
        .map(|record| {
            serde_json::from_str(&record.json)
                .map(|value| RecordView {
                    sequence: record.sequence,
                    record: value,
                })
                .or_fail(format!("audit record {} is not JSON", record.sequence))
        })
        .collect::<Outcome<_>>()?;
    if out.is_json() {
        let values: Vec<_> = rows.iter().map(|row| &row.record).collect();
        return out.json(&values);
    }
    out.list(&rows)
}

/// A record as it lies in the log, whatever its kind.
#[derive(Debug, Serialize)]
struct RecordView {
    sequence: u64,
    record: Value,
}

impl RecordView {
    fn text(&self, key: &str) -> String {
        match self.record.get(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// What tells this record from others of its kind, in the order in which an operator asks.
    fn about(&self) -> String {
        [
            "profile",
            "rule",
            "detail",
            "serial",
            "subject",
            "challenge_id",
            "transaction_id",
        ]
        .iter()
        .map(|key| (key, self.text(key)))
        .filter(|(_, text)| !text.is_empty())
        .map(|(key, text)| format!("{key}={text}"))
        .collect::<Vec<_>>()
        .join(" ")
    }
}

impl Row for RecordView {
    const HEADERS: &'static [&'static str] = &["SEQUENCE", "TIME", "KIND", "ABOUT"];

    fn cells(&self) -> Vec<String> {
        let time = self
            .record
            .get("wall_ms")
            .and_then(Value::as_i64)
            .map_or_else(String::new, |ms| crate::output::time(ms / 1_000));
        vec![
            self.sequence.to_string(),
            time,
            self.text("kind"),
            self.about(),
        ]
    }
}
