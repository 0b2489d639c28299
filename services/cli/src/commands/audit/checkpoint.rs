//! `assay audit checkpoint`: what the log says of itself, signed.

use std::path::PathBuf;

use assay_audit::Checkpoint;
use assay_audit::note::Note;
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::GetCheckpointRequest;
use assay_proto::v1::administration_client::AdministrationClient;
use clap::Args;
use serde::Serialize;

/// Print or save the latest checkpoint of the log, with its cosignatures
///
/// A checkpoint (C2SP tlog-checkpoint) is a signed note: origin, number of records, root hash. Whoever keeps one away from
/// the signer can show later that the log still holds every record of then: `assay-audit verify` holds an export to it.
#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    /// Write the note into this file, which must not exist
    #[arg(long, short = 'o', value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Shown {
    origin: String,
    size: u64,
    root: String,
    /// Names of the log and of the witnesses that cosigned, as the note says; nothing is verified here.
    signatures: Vec<String>,
    note: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

pub(super) async fn run(args: CheckpointArgs, installation: &Installation, out: Output) -> Outcome {
    let (note, checkpoint) = fetch(&mut Admin::connect(installation).await?).await?;
    let shown = Shown {
        origin: checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root.to_string(),
        signatures: note
            .signatures()
            .iter()
            .map(|signature| signature.name().to_owned())
            .collect(),
        note: note.to_string(),
        file: args.out.as_ref().map(|file| file.display().to_string()),
    };
    if let Some(file) = &args.out {
        files::create(file, shown.note.as_bytes(), files::PUBLIC)?;
    } else if !out.is_json() {
        return out.bytes(shown.note.as_bytes());
    }
    out.one(&shown, |shown| {
        vec![format!(
            "checkpoint of {} records written to {}, signed by {}",
            shown.size,
            shown.file.as_deref().unwrap_or_default(),
            shown.signatures.join(", ")
        )]
    })
}

/// The latest checkpoint; its signatures are for the caller to verify.
pub(super) async fn fetch(admin: &mut Admin) -> Outcome<(Note, Checkpoint)> {
    let reply = admin
        .call(
            GetCheckpointRequest {},
            AdministrationClient::get_checkpoint,
        )
        .await?;
    if reply.note.is_empty() {
        return Err(Failure::failed("no checkpoint was signed yet")
            .next("the signer signs one within [audit] checkpoint_interval of a new record"));
    }
    let what = "the signer sent no checkpoint";
    let note: Note = reply.note.parse().or_fail(what)?;
    let checkpoint = note.text().parse().or_fail(what)?;
    Ok((note, checkpoint))
}
