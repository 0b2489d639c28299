//! The way to the HSM service: what may be asked of its keys, and the frames between it and its clients.
//!
//! A PKCS#11 library has no time-outs, may crash, and holds the login of its whole process. So it never runs in the
//! process that parses requests: the service `assay-hsm` runs it under a user of its own and serves a Unix socket.
//!
//! - [`wire`] is the protocol. The service links nothing else of this crate.
//! - [`User`] is who may be at the other end. Each side checks the other by the credentials of the socket.
//! - `Hsm`, with the feature `client`, is a connection that comes back by itself, and `CaKeys` the keys of one CA behind
//!   it. No answer takes longer than its deadline, and an operation whose service was lost is asked a second time.

mod ra;
mod user;
pub mod wire;

#[cfg(feature = "client")]
mod client;

pub use assay_types::{Digest, KeyAlgorithm, KeyRole, KeyTransport, SignatureAlgorithm};
pub use ra::RaKeys;
pub use user::{NotAPeer, User, UserName, name_of};
pub use wire::LogKey;

#[cfg(feature = "client")]
pub use client::{
    CaCertificates, CaKeys, ContentKey, Health, Hsm, HsmConfig, Observer, Operation,
    OperationError, Priority, Run, SignedCheckpoint, StartError, Token,
};
