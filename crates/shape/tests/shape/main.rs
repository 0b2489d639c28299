//! What the service signs, and what it refuses. OpenSSL judges what was accepted.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "test code"
)]

mod crl;
mod forms;
mod leaf;
mod mutations;
mod mutator;
mod ocsp;
mod policy;
#[path = "../../../../policy/tests/support/mod.rs"]
mod policy_support;
mod reply;
mod support;
#[path = "../../../../tests/shared/tier.rs"]
mod tier;

use support::tlv;
