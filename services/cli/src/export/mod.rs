//! `assay export`: the audit log with all that an auditor needs to decide again, as a directory to take home.

mod bundle;
mod folder;
mod growing;
mod receive;

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use assay_proto::v1::ExportRequest;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_runtime::drain::Shutdown;
use clap::Args;
use serde::Serialize;
use tonic::Streaming;

use self::folder::Folder;
use self::receive::Receiver;
use crate::admin::{self, Admin};
use crate::failure::{Exit, Failure, OrFail, Outcome};
use crate::installation::Installation;
use crate::output::Output;

/// A signer that sends nothing for so long has stopped.
const SILENCE: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
The directory holds the records, the Merkle tree over them, a signed checkpoint, every policy version with its approvals, \
the evidence of each decision and the issued certificates; no challenge, PIN or key. `assay-audit verify DIR` proves it \
offline.

A range keeps the records of that time, rounded outwards to bundles of 256, and every record that puts a policy in force; \
of all others only the hash, so that the tree stays whole.

Examples:
  assay export --out audit-2026
  assay export --from 2026-10-01 --to 2026-11-01 --out october";

/// Export the audit log for an auditor
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// Directory to make; it must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Only records from this time on, UTC: 2026-10-01 or 2026-10-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,

    /// Only records before this time, UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<i64>,

    /// End at the newest checkpoint that a witness cosigned, rather than at the newest
    #[arg(long)]
    cosigned: bool,
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
        summary = export(&args, installation) => summary?,
        () = shutdown.requested() => return Err(interrupted()),
    };
    out.one(&summary, Summary::lines)
}

async fn export(args: &ExportArgs, installation: &Installation) -> Outcome<Summary> {
    let start = std::time::Instant::now();
    let folder = Folder::create(&args.out)?;
    let mut admin = Admin::connect(installation).await?;
    let request = ExportRequest {
        from_ms: args.from.unwrap_or(0),
        to_ms: args.to.unwrap_or(0),
        cosigned: args.cosigned,
    };
    let mut items: Streaming<_> = admin.call(request, AdministrationClient::export).await?;
    let mut receiver = Receiver::new(folder);
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
    let (folder, received) = receiver.finish()?;
    let (files, octets) = folder.close(received.size, received.bundles)?;
    Ok(Summary {
        directory: args.out.display().to_string(),
        records: received.size,
        records_held: received.records_held,
        evidence: received.evidence,
        certificates: received.certificates,
        policies: received.policies,
        issuers: received.issuers,
        files,
        octets,
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

/// Milliseconds since the epoch.
fn time(text: &str) -> Result<i64, String> {
    let whole = if text.len() == "2026-10-01".len() {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    let wrong = || "write a time as 2026-10-01 or 2026-10-01T08:00:00Z".to_owned();
    let time = humantime::parse_rfc3339_weak(&whole).map_err(|_| wrong())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| wrong())?;
    i64::try_from(since.as_millis()).map_err(|_| wrong())
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "stopped before the export was whole").next("nothing was kept")
}

/// The signer sent something that contradicts what it sent before.
fn inconsistent(what: impl Into<String>) -> Failure {
    Failure::failed(format!(
        "the signer's export does not hold: {}",
        what.into()
    ))
    .next("nothing was kept; look at the signer's log, and at `assay audit checkpoint`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_or_moments_and_nothing_else() {
        assert_eq!(time("1970-01-02"), Ok(86_400_000));
        assert_eq!(time("1970-01-01T00:00:01Z"), Ok(1_000));
        for wrong in ["", "yesterday", "1969-01-01", "2026-13-01"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
