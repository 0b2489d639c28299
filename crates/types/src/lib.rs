//! The values that several crates exchange: times and the names of algorithms.

mod digest;
mod time;

pub use digest::CertIdHash;
pub use time::Timestamp;
