//! The values that several crates exchange: times and the names of algorithms.

mod algorithm;
mod time;

pub use algorithm::{CertIdHash, Curve, Digest, KeyTransport};
pub use time::Timestamp;
