//! Exports made of real parts, by a signer that is played, and then altered by whoever holds which keys.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "test code"
)]

mod challenges;
mod clocks;
mod counted;
mod crls;
mod dice;
mod document;
mod export;
mod flips;
mod honest;
mod imports;
mod journal;
mod keeper;
mod keys;
mod logs;
mod maker;
mod missing;
mod partial;
mod recovered;
mod renewals;
mod rewrites;
mod rollover;
#[path = "../../../../tests/shared/rsa.rs"]
mod rsa;
mod scenes;
mod tampering;
#[path = "../../../../tests/shared/tier.rs"]
mod tier;
mod tiles;
mod unseen;
