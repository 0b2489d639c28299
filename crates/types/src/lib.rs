//! The values that several crates exchange: times, serial numbers, hashes, the names of algorithms, the size of CRLs, and
//! canonical JSON.
//!
//! The feature `rusqlite` lets them be bound to statements and read from columns, the feature `openssl` turns names of
//! algorithms into OpenSSL's. A crate that asks for neither links neither.

mod algorithm;
mod canonical;
mod crl;
pub mod duration;
mod hash;
mod key;
mod serial;
mod signature;
mod time;

pub use algorithm::{CertIdHash, Curve, Digest, KeyTransport};
pub use canonical::{CanonicalError, canonical, from_canonical, to_canonical};
pub use crl::{
    CRL_ENTRIES_WARNING, MAX_CRL, MAX_CRL_ENTRIES, MAX_CRL_ENTRY, MAX_SCEP_CRL, MAX_TBS_CERT_LIST,
    RevokedCertificates, der_header,
};
pub use hash::{Hash, NotAHash};
pub use key::{KeyAlgorithm, KeyRole, UnknownName};
pub use serial::{BadSerial, Serial};
pub use signature::SignatureAlgorithm;
pub use time::{Timestamp, TimestampMillis};
