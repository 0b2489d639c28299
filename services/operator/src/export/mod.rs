//! An export as it is written: a directory, from the items that the signer sends.

mod bundle;
mod folder;
mod growing;
mod receive;

use assay_console::failure::Failure;

pub use receive::{Received, Receiver};

/// The signer sent something that contradicts what it sent before.
fn inconsistent(what: impl Into<String>) -> Failure {
    Failure::failed(format!(
        "the signer's export does not hold: {}",
        what.into()
    ))
    .next("nothing was kept; look at the signer's log, and at `assay audit checkpoint`")
}
