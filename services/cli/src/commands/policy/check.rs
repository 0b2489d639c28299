//! `assay policy check`: files alone, without a signer.

use std::path::Path;

use serde::Serialize;

use super::files::{FilesArgs, load};
use crate::failure::Outcome;
use crate::output::Output;

pub(super) fn check(args: &FilesArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let bundle = load(&args.read(dir)?)?;
    let checked = Checked {
        profiles: bundle.profiles.keys().map(ToString::to_string).collect(),
        file_hash: hex::encode(bundle.file_hash),
        model_hash: hex::encode(bundle.model_hash),
    };
    out.one(&checked, |checked| {
        vec![
            format!("good: {}", checked.profiles.join(", ")),
            format!("file hash   {}", checked.file_hash),
            format!("model hash  {}", checked.model_hash),
        ]
    })
}

#[derive(Debug, Serialize)]
struct Checked {
    profiles: Vec<String>,
    file_hash: String,
    model_hash: String,
}
