//! Policy comes into force by approval alone: the real signer against every approval that must not count.
#![allow(clippy::panic, reason = "test code")]

mod counting;
mod scene;
mod start;
mod stops;
