//! What was decided is decided again from what was kept, or the difference has a name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod again;
mod form;
#[path = "../../../../tests/shared/rsa.rs"]
mod rsa;
mod support;
mod under;
