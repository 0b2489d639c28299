//! `assay audit`: the records of what was done and decided, its checkpoints, and what an auditor pins.

mod checkpoint;
mod cosign;
mod signer_file;
mod trust;
mod witness;

use assay_audit::Event;
use assay_console::failure::{OrFail, Outcome};
use assay_console::output::{Column, Output};
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{AuditRecord, ListAuditReply, ListAuditRequest};
use assay_types::TimestampMillis;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::list::{PageArgs, RangeArgs, filter, transaction};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List records, newest first; --json prints them as they are stored, with times in milliseconds since 1970
    List(ListArgs),
    Checkpoint(checkpoint::CheckpointArgs),
    Cosign(cosign::CosignArgs),
    Trust(trust::TrustArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only records of this kind, such as request.issued or request.refused
    #[arg(long, hide_possible_values = true, value_parser = PossibleValuesParser::new(Event::KINDS))]
    kind: Option<String>,

    /// Only records that name this profile
    #[arg(long, value_parser = filter())]
    profile: Option<String>,

    /// Only records that name the certificate with this serial number, hex, with or without colons
    #[arg(long, value_parser = filter())]
    serial: Option<String>,

    /// Only records that name this SCEP transaction
    #[arg(long, value_name = "ID", value_parser = transaction)]
    transaction: Option<String>,

    #[command(flatten)]
    recorded: RangeArgs,

    #[command(flatten)]
    page: PageArgs,

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
    let admin = Admin::connect(installation).await?;
    let request = |page| ListAuditRequest {
        page,
        kind: args.kind.clone().unwrap_or_default(),
        profile: args.profile.clone().unwrap_or_default(),
        serial: args.serial.clone().unwrap_or_default(),
        transaction_id: args.transaction.clone().unwrap_or_default(),
        recorded: args.recorded.into(),
    };
    let call = AdministrationClient::list_audit;
    let rows = |reply: ListAuditReply| (reply.records, reply.page);
    let listed = args.page.list(admin, call, request, rows).await?;
    if args.raw {
        let mut lines = listed.rows.iter();
        lines.try_for_each(|record| out.line(&record.json))?;
        listed.note_more();
        return Ok(());
    }
    let records: Vec<Value> = listed.rows.iter().map(parse).collect::<Outcome<_>>()?;
    out.list(&records, COLUMNS)?;
    listed.note_more();
    Ok(())
}

/// A record as it lies in the log, whatever its kind.
fn parse(record: &AuditRecord) -> Outcome<Value> {
    serde_json::from_str(&record.json)
        .or_fail(format!("audit record {} is not JSON", record.sequence))
}

fn text(record: &Value, key: &str) -> String {
    match record.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// What tells this record from others of its kind, in the order in which an operator asks.
fn about(record: &Value) -> String {
    [
        "class",
        "profile",
        "rule",
        "detail",
        "serial",
        "subject",
        "challenge_id",
        "transaction_id",
        "requests",
        "signer_keys",
    ]
    .iter()
    .map(|key| (key, about_member(record, key)))
    .filter(|(_, text)| !text.is_empty())
    .map(|(key, text)| format!("{key}={text}"))
    .collect::<Vec<_>>()
    .join(" ")
}

/// The number of keys of a count is a lower bound where more could not be distinguished.
fn about_member(record: &Value, key: &str) -> String {
    let value = text(record, key);
    match key {
        "signer_keys" if value == "0" => String::new(),
        "signer_keys" if record.get("more_signer_keys") == Some(&Value::Bool(true)) => {
            format!("at least {value}")
        }
        _ => value,
    }
}

const COLUMNS: &[Column<Value>] = &[
    ("SEQUENCE", |record| text(record, "sequence")),
    ("TIME", time),
    ("KIND", |record| text(record, "kind")),
    ("ABOUT", about),
];

fn time(record: &Value) -> String {
    let ms = record.get("wall_ms").and_then(Value::as_i64);
    ms.map(|ms| TimestampMillis::from_millis(ms).seconds().to_string())
        .unwrap_or_default()
}
