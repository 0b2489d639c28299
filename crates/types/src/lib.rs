//! The values that several crates exchange: times, serial numbers, hashes and the names of algorithms.
//!
//! The feature `rusqlite` lets them be bound to statements and read from columns, the feature `openssl` turns names of
//! algorithms into OpenSSL's. A crate that asks for neither links neither.

mod algorithm;
mod hash;
mod serial;
mod time;

pub use algorithm::{CertIdHash, Curve, Digest, KeyTransport};
pub use hash::{Hash, NotAHash};
pub use serial::{BadSerial, Serial};
pub use time::{Timestamp, TimestampMillis};
