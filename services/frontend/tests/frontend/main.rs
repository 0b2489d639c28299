//! The real frontend process over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may, like tests"
)]

mod files;
mod floods;
mod http;
mod ocsp;
mod service;
mod stand;
