//! `assay-audit tree`: the tree of an export, from which a new journal of the HSM service begins.

use std::path::PathBuf;

use assay_audit::Checkpoint;
use assay_audit::note::Note;
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_types::Hash;
use assay_verify::{Directory, Options, signed_tree};
use clap::Args;
use serde::Serialize;

const EXAMPLES: &str = "\
The file holds the checkpoint of the export with its cosignatures, and the hashes from which the tree continues. Export at a
checkpoint that a witness cosigned:

  assay export --cosigned --out last
  assay-audit tree last --out tree.json
  assay-hsm journal create --log tree.json --witness witnesses.vkeys --last-crl last.crl --config /etc/assay/hsm.toml";

/// Write the tree of an export, for a new journal of the HSM service
///
/// A journal that is created for CAs that were used begins with this tree, so that the HSM service signs no checkpoint that does not
/// continue it. The hashes of the export must give the root of its checkpoint; `assay-hsm journal create` verifies the
/// signatures.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TreeArgs {
    /// Directory of the export
    #[arg(value_name = "EXPORT")]
    export: PathBuf,

    /// File to write; it must not exist yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Serialize)]
struct Written {
    file: String,
    origin: String,
    records: u64,
    root: Hash,
    /// Signatures besides the log's own; nothing is known of their keys.
    cosignatures: usize,
}

pub(crate) fn run(args: &TreeArgs, out: Output) -> Outcome {
    let export = args.export.display();
    if !args.export.is_dir() {
        let what = format!("{export} is not a directory");
        return Err(Failure::usage(what).next("name a directory that `assay export` wrote"));
    }
    let what = || format!("{export} does not hold the tree of its checkpoint");
    let source = Directory::new(&args.export);
    let tree = signed_tree(&source, &Options::default()).map_err(|finding| {
        Failure::failed(format!("{}: {finding}", what())).next("take the export again")
    })?;
    let note: Note = tree.checkpoint.parse().or_fail(what())?;
    let checkpoint: Checkpoint = note.text().parse().or_fail(what())?;
    let text = tree.to_canonical().or_fail(what())? + "\n";
    files::create(&args.out, text.as_bytes(), files::PUBLIC)?;
    let written = Written {
        file: args.out.display().to_string(),
        origin: checkpoint.origin,
        records: checkpoint.size,
        root: checkpoint.root,
        cosignatures: note.signatures().len().saturating_sub(1),
    };
    out.one(&written, |written| {
        vec![
            format!("file          {}", written.file),
            format!("log           {}", written.origin),
            format!("records       {}", written.records),
            format!("root          {}", written.root),
            format!("cosignatures  {}", written.cosignatures),
        ]
    })
}
