//! `assay export`: the audit log with all that an auditor needs to decide again, as a directory to take home.

use std::path::PathBuf;
use std::time::Duration;

use assay_console::failure::{Exit, Failure, OrFail, Outcome};
use assay_console::output::Output;
use assay_operator::admin::{self, Admin};
use assay_operator::export::Receiver;
use assay_operator::installation::Installation;
use assay_proto::v1::ExportRequest;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_runtime::drain::Shutdown;
use clap::Args;
use serde::Serialize;
use tonic::Streaming;

use crate::commands::list::RangeArgs;

/// A signer that sends nothing for so long has stopped.
const SILENCE: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
The directory holds the records, the Merkle tree over them, a signed checkpoint, every policy version with its approvals, \
the evidence of each decision and the issued certificates; no challenge, PIN or key. `assay-audit verify DIR` proves it \
offline.

A range keeps the records of that time, rounded outwards to bundles of 256, and every record that puts a policy in force; \
of all others only the hash, so that the tree stays whole.

To verify the log together with the journal of the HSM service, export the journal first: `assay-hsm journal export` reports the
size of its last checkpoint. Give that size with --size, and both exports end at the same checkpoint.

Examples:
  assay export --out audit-2026
  assay export --size 4711 --out audit-2026
  assay export --from 2026-10-01 --to 2026-11-01 --out october";

/// Export the audit log for an auditor
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// Directory to make; it must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    #[command(flatten)]
    recorded: RangeArgs,

    /// End at the newest checkpoint that a witness cosigned, rather than at the newest
    #[arg(long)]
    cosigned: bool,

    /// End at the checkpoint of exactly N records, rather than at the newest
    #[arg(long, value_name = "N", conflicts_with = "cosigned", value_parser = clap::value_parser!(u64).range(1..))]
    size: Option<u64>,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Summary {
    directory: String,
    records: u64,
    records_held: u64,
    evidence: u64,
    certificates: u64,
    policies: u64,
    issuers: u64,
    files: usize,
    octets: u64,
    origin: String,
    root: String,
    cosignatures: usize,
    seconds: f64,
}

pub(crate) async fn run(args: ExportArgs, installation: &Installation, out: Output) -> Outcome {
    let shutdown = Shutdown::on_signals().or_fail("cannot take signals")?;
    // Dropped half-way, it leaves nothing.
    let summary = tokio::select! {
        summary = export(args, installation) => summary?,
        () = shutdown.requested() => return Err(interrupted()),
    };
    out.one(&summary, Summary::lines)
}

async fn export(args: ExportArgs, installation: &Installation) -> Outcome<Summary> {
    let start = std::time::Instant::now();
    let mut receiver = Receiver::create(&args.out)?;
    let mut admin = Admin::connect(installation).await?;
    let request = ExportRequest {
        recorded: args.recorded.into(),
        cosigned: args.cosigned,
        size: args.size.unwrap_or_default(),
    };
    let mut items: Streaming<_> = admin.call(request, AdministrationClient::export).await?;
    loop {
        let next = tokio::time::timeout(SILENCE, items.message()).await;
        let next = next.or_fail(format!(
            "the signer sent nothing for {} s",
            SILENCE.as_secs()
        ))?;
        match next.map_err(|status| admin::explain(&status, admin.address()))? {
            Some(item) => receiver.take(item)?,
            None => break,
        }
    }
    let received = receiver.finish()?;
    Ok(Summary {
        directory: args.out.display().to_string(),
        records: received.size,
        records_held: received.records_held,
        evidence: received.evidence,
        certificates: received.certificates,
        policies: received.policies,
        issuers: received.issuers,
        files: received.files,
        octets: received.octets,
        origin: received.origin,
        root: received.root.to_string(),
        cosignatures: received.cosignatures,
        seconds: start.elapsed().as_secs_f64(),
    })
}

impl Summary {
    fn lines(&self) -> Vec<String> {
        vec![
            format!("directory     {}", self.directory),
            format!(
                "records       {} of {} held",
                self.records_held, self.records
            ),
            format!("evidence      {}", self.evidence),
            format!("certificates  {}", self.certificates),
            format!("policies      {}", self.policies),
            format!("CAs           {}", self.issuers),
            format!("files         {}, {} octets", self.files, self.octets),
            format!("log           {}", self.origin),
            format!("root          {}", self.root),
            format!("cosignatures  {}", self.cosignatures),
        ]
    }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "stopped before the export was whole").next("nothing was kept")
}
