//! PKCS#11 tokens behind killable worker processes: key roles, preflight, health and recovery.

mod algorithm;
mod ceremony;
mod config;
mod error;
mod health;
mod hsm;
mod job;
mod link;
mod pin;
mod role;
mod supervisor;
mod uri;
mod wire;
mod worker;

pub use algorithm::{Digest, KeyTransport, SignatureAlgorithm};
pub use ceremony::{Ceremony, FoundKey, GenerateKey, GeneratedKey, init_token};
pub use config::{CeremonyConfig, HsmConfig, KeyConfig};
pub use error::{CeremonyError, OperationError, StartError};
pub use health::{Health, WorkerHealth};
pub use hsm::{BadCiphertext, Hsm, Observer, Plaintext};
pub use pin::{Pin, PinError, PinSource};
pub use role::{KeyAlgorithm, KeyRole, UnknownName};
pub use uri::{KeyUri, TokenUri, UriError};
pub use worker::run_worker_if_asked;
