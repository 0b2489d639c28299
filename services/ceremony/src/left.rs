//! What a ceremony finds before it starts, and what it leaves when it ends early.

use assay_pkcs11::TokenUri;

use super::generation::Generation;
use super::token::{Library, OpenToken};
use super::transcript;
use assay_console::failure::{Failure, Outcome};
use assay_operator::installation::Installation;

/// Refuses to start over the remains of an earlier run: nothing is overwritten.
pub(super) fn no_files(installation: &Installation) -> Outcome {
    let found = files(installation, Generation::FIRST);
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "an earlier ceremony left files here: {}",
        join(&found)
    ))
    .next("nothing was changed; use another --dir, or move these away if their keys are of no use any more"))
}

/// Refuses a token that holds keys of the generation's names.
pub(super) fn no_keys(token: &OpenToken, uri: &TokenUri, generation: Generation) -> Outcome {
    let found = keys_of(token, generation)?;
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "token {} already holds {}",
        uri.label().unwrap_or_default(),
        join(&found)
    ))
    .next("nothing was changed; use an empty token, or delete these objects with the HSM's own tools if they are of no use any more"))
}

/// Adds to the failure of a first ceremony exactly what is left in the tokens and in the directory.
pub(super) fn with_remains(
    failure: Failure,
    library: &Library,
    tokens: &[&TokenUri],
    installation: &Installation,
) -> Failure {
    let left = found(library, tokens, Generation::FIRST, installation);
    if left.is_empty() {
        return failure.next("nothing is left behind; fix the cause and run it again");
    }
    with(&failure, &left)
        .next("delete these keys with the HSM's own tools or take an empty token, move these files away, then run it again")
}

/// The failure with what is left, a line for each place.
pub(super) fn with(failure: &Failure, left: &[String]) -> Failure {
    Failure::new(
        failure.exit(),
        format!("{failure}\n  left {}", left.join("\n  left ")),
    )
}

/// Exactly what there is of a generation, an entry for each place: keys in the tokens, files in the directory.
pub(super) fn found(
    library: &Library,
    tokens: &[&TokenUri],
    generation: Generation,
    installation: &Installation,
) -> Vec<String> {
    let mut left = Vec::new();
    for token in tokens {
        let label = token.label().or(token.serial()).unwrap_or_default();
        // Opened anew: the session at work may be what failed.
        let found = library
            .open(token)
            .and_then(|opened| keys_of(&opened, generation));
        match found {
            Ok(found) if found.is_empty() => {}
            Ok(found) => left.push(format!("in token {label}: {}", join(&found))),
            Err(_) => left.push(format!(
                "token {label} could not be listed: look with its own tools"
            )),
        }
    }
    let files = files(installation, generation);
    if !files.is_empty() {
        left.push(format!(
            "in {}: {}",
            installation.root().display(),
            join(&files)
        ));
    }
    left
}

/// What lies in the generation's folder, and the transcript beside that of the first.
fn files(installation: &Installation, generation: Generation) -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(installation.path(generation.folder()))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(generation.file(&entry.ok()?.file_name().to_string_lossy())))
        .collect();
    found.sort();
    if generation == Generation::FIRST && transcript::file(installation).exists() {
        found.push("transcript.json".to_owned());
    }
    found
}

/// Objects in the token that bear the name of a role in this generation.
fn keys_of(token: &OpenToken, generation: Generation) -> Outcome<Vec<String>> {
    let found = token.list(|key| generation.owns(&key.label))?;
    let mut named: Vec<_> = found
        .iter()
        .map(|key| format!("{} ({}, id {})", key.label, key.class, hex::encode(&key.id)))
        .collect();
    named.sort();
    Ok(named)
}

fn join(found: &[String]) -> String {
    found.join(", ")
}
