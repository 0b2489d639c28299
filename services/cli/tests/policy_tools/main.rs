//! The policy tools that need no signer: the real `assay` on the shipped policies, with CSRs of OpenSSL's own client.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod check;
mod diff;
mod explain;
mod forms;
mod impact;
mod support;
#[path = "../../../../tests/shared/tier.rs"]
mod tier;
