//! The values that several crates exchange: times, serial numbers, hashes, the names of algorithms, and canonical JSON.
//!
//! The feature `rusqlite` lets them be bound to statements and read from columns, the feature `openssl` turns names of
//! algorithms into OpenSSL's. A crate that asks for neither links neither.

mod algorithm;
mod canonical;
mod hash;
mod key;
mod serial;
mod signature;
mod time;

pub use algorithm::{CertIdHash, Curve, Digest, KeyTransport};
pub use canonical::{CanonicalError, canonical, from_canonical, to_canonical};
pub use hash::{Hash, NotAHash};
pub use key::{KeyAlgorithm, KeyRole, UnknownName};
pub use serial::{BadSerial, Serial};
pub use signature::SignatureAlgorithm;
pub use time::{Timestamp, TimestampMillis};
