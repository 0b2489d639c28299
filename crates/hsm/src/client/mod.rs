//! The signer's side: a connection that comes back by itself, and the keys of a CA behind it.

mod config;
mod error;
mod health;
mod hsm;
mod job;
mod keys;
mod link;
mod runs;
mod supervisor;
mod token;

pub use config::{CaCertificates, HsmConfig};
pub use error::{OperationError, StartError};
pub use health::Health;
pub use hsm::{Hsm, Observer};
pub use job::Priority;
pub use keys::CaKeys;
pub use runs::Run;
pub use token::{ContentKey, Operation, SignedCheckpoint, Token};
