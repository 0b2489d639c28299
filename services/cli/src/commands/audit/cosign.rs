//! `assay audit cosign`: carries the latest checkpoint to witnesses, and what they say of it back.

use std::path::PathBuf;

use assay_audit::note::{Note, Signature};
use assay_audit::{Checkpoint, Submission};
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::output::{Column, Output};
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{AddCosignatureRequest, ProveConsistencyRequest};
use assay_types::Hash;
use clap::Args;
use serde::Serialize;

use super::checkpoint;
use super::witness::{Client, SYSTEM_ANCHORS, Url, Verdict};

/// Rounds with one witness: to learn its size, to answer, and once more for each other client that was faster.
const MAX_ROUNDS: usize = 4;
/// Lines of one answer that are taken: a witness has a key or two.
const MAX_COSIGNATURES: usize = 8;

/// Have witnesses cosign the latest checkpoint of the log
///
/// The signer itself has no way out. This command fetches its checkpoint, posts it to each witness (C2SP tlog-witness) with
/// a proof that the log has only grown since the witness last saw it, and brings the cosignatures back to the signer, which
/// takes those of the witnesses pinned in [audit] witnesses. Run it by a timer; a witness that refuses is the alarm.
#[derive(Debug, Args)]
pub(crate) struct CosignArgs {
    /// URL of a witness, http://HOST[:PORT][/PREFIX] or https; repeat for more
    #[arg(long = "witness", value_name = "URL", required = true)]
    witnesses: Vec<String>,

    /// Trust anchors of https witnesses, PEM
    #[arg(long, value_name = "FILE", default_value = SYSTEM_ANCHORS)]
    anchors: PathBuf,
}

#[derive(Debug, Serialize)]
struct Cosigned {
    witness: String,
    url: String,
    size: u64,
    cosignatures: u32,
}

const COLUMNS: &[Column<Cosigned>] = &[
    ("WITNESS", |row| row.witness.clone()),
    ("URL", |row| row.url.clone()),
    ("SIZE", |row| row.size.to_string()),
    ("COSIGNATURES", |row| row.cosignatures.to_string()),
];

pub(super) async fn run(args: CosignArgs, installation: &Installation, out: Output) -> Outcome {
    let urls: Vec<Url> = args
        .witnesses
        .iter()
        .map(|text| Url::parse(text))
        .collect::<Outcome<_>>()?;
    let is_https = urls.iter().any(Url::is_https);
    let client = Client::new(is_https.then_some(&*args.anchors))?;
    let mut admin = Admin::connect(installation).await?;
    let mut head = checkpoint::fetch(&mut admin).await?;
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for url in &urls {
        // One that is away does not keep the others from cosigning.
        match cosign(&mut admin, &client, url, &mut head).await {
            Ok(made) => rows.extend(made),
            Err(failure) => failures.push(failure),
        }
    }
    out.list(&rows, COLUMNS)?;
    let count = failures.len();
    match failures.into_iter().next() {
        None => Ok(()),
        Some(failure) if count == 1 => Err(failure),
        Some(failure) => Err(Failure::new(
            failure.exit(),
            format!("{count} witnesses did not cosign; the first: {failure}"),
        )),
    }
}

/// The checkpoint that is carried.
type Head = (Note, Checkpoint);

async fn cosign(
    admin: &mut Admin,
    client: &Client,
    url: &Url,
    head: &mut Head,
) -> Outcome<Vec<Cosigned>> {
    let lines = ask(admin, client, url, head).await?;
    let (_, checkpoint) = head;
    let mut made = Vec::new();
    for line in lines {
        let request = AddCosignatureRequest {
            size: checkpoint.size,
            line: line.to_string(),
        };
        let reply = admin
            .call(request, AdministrationClient::add_cosignature)
            .await?;
        made.push(Cosigned {
            witness: line.name().to_owned(),
            url: url.to_string(),
            size: checkpoint.size,
            cosignatures: reply.cosignatures,
        });
    }
    Ok(made)
}

/// Posts the checkpoint until the witness and we mean the same earlier one; a newer checkpoint in its place where another
/// run was faster.
async fn ask(
    admin: &mut Admin,
    client: &Client,
    url: &Url,
    head: &mut Head,
) -> Outcome<Vec<Signature>> {
    let mut old = 0;
    for _ in 0..MAX_ROUNDS {
        let (note, checkpoint) = &*head;
        let submission = Submission {
            old,
            proof: prove(admin, old, checkpoint.size).await?,
            note: note.clone(),
        };
        match client.submit(url, &submission).await? {
            Verdict::Cosigned(lines) => {
                return lines
                    .lines()
                    .take(MAX_COSIGNATURES)
                    .map(|line| {
                        line.parse()
                            .or_fail(format!("{url} answers with no cosignature"))
                    })
                    .collect();
            }
            Verdict::OtherSize(latest) if latest > checkpoint.size => {
                *head = checkpoint::fetch(admin).await?;
                let (_, newer) = &*head;
                if latest > newer.size {
                    return Err(Failure::failed(format!(
                        "{url} has cosigned {latest} records of {}, and the signer's checkpoint has {} only",
                        newer.origin, newer.size
                    ))
                    .next("the log was set back, or its state restored from a copy: find out before anything else"));
                }
                old = latest;
            }
            Verdict::OtherSize(latest) => old = latest,
            Verdict::Refused { status, reason } => {
                return Err(explain(url, status, &reason));
            }
        }
    }
    Err(
        Failure::failed(format!("{url} names another earlier size each time"))
            .next("others post checkpoints of this log too; try again"),
    )
}

async fn prove(admin: &mut Admin, old: u64, size: u64) -> Outcome<Vec<Hash>> {
    if old == 0 || old == size {
        return Ok(Vec::new());
    }
    let request = ProveConsistencyRequest {
        from_size: old,
        to_size: size,
    };
    let reply = admin
        .call(request, AdministrationClient::prove_consistency)
        .await?;
    reply
        .hashes
        .iter()
        .map(|hash| Hash::try_from(hash.as_slice()).or_fail("the signer sent no proof"))
        .collect()
}

/// What each refusal of C2SP tlog-witness means here.
fn explain(url: &Url, status: u16, reason: &str) -> Failure {
    let failure = Failure::failed(format!("{url} does not cosign ({status}): {reason}"));
    match status {
        403 | 404 => failure.next("the witness must know the log's verifier key: `assay-audit witness --log VKEY` there"),
        409 | 422 => failure.next(
            "the log is not the one that the witness saw before: it was set back, rewritten, or its state restored from a copy; find out before anything else",
        ),
        _ => failure.next("see the witness's own log"),
    }
}
