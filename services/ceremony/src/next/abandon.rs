//! `assay-ceremony next abandon`: a next CA that is not to take over.

use serde::Serialize;

use super::signer_toml::SignerToml;
use crate::generation::Generation;
use crate::hsm_toml;
use crate::left;
use crate::token::Library;
use crate::transcript::{Transcript, now};
use assay_console::failure::{Failure, Outcome};
use assay_console::output::Output;
use assay_operator::installation::Installation;

#[derive(Debug, Serialize)]
struct Abandoned {
    generation: Generation,
    /// An entry for each place.
    left: Vec<String>,
}

pub(super) fn run(installation: &Installation, out: Output) -> Outcome {
    let mut transcript = Transcript::load_complete(installation)?;
    let generation = transcript.newest();
    if let Some(file) = SignerToml::find(installation)? {
        in_no_use(&file, &transcript, generation)?;
    }
    if generation == Generation::FIRST {
        return Err(Failure::failed("there is no next CA here to be given up"));
    }
    transcript.ca_mut(generation)?.abandoned = Some(now());
    let token = transcript.token_args()?;
    let library = Library::load(&token)?;
    transcript.save(installation)?;
    hsm_toml::remove(installation, transcript.ca(generation)?)?;
    let left = left::found(&library, &[&token.token], generation, installation);
    out.one(&Abandoned { generation, left }, |abandoned| {
        let mut lines = vec![format!("CA generation {generation} is given up")];
        let left = abandoned.left.iter();
        lines.extend(left.map(|left| format!("  left {left}")));
        lines.push(
            "next: delete its keys with the HSM's own tools; `assay-ceremony next` makes another one under other names"
                .to_owned(),
        );
        lines
    })
}

fn in_no_use(file: &SignerToml, transcript: &Transcript, generation: Generation) -> Outcome {
    if file.taking_over(transcript) == Some(generation) {
        return Err(Failure::failed(format!(
            "signer.toml names CA generation {generation} in [rollover]"
        ))
        .next("take the tables [rollover] out and restart the signer first; devices that were told of that CA keep what they were told"));
    }
    if file.present(transcript) == Some(generation) && generation != Generation::FIRST {
        return Err(Failure::failed(format!(
            "CA generation {generation} is the present one"
        )));
    }
    Ok(())
}
