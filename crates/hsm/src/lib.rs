//! PKCS#11 tokens behind killable worker processes: key roles, preflight, health and recovery.
//!
//! A PKCS#11 library has no time-outs, may crash, and holds the login of its whole process. So it
//! never runs in the process that parses requests: [`Hsm`] and [`Ceremony`] start this very
//! executable again as a worker, speak to it over a socket pair, and kill it when it hangs.
//!
//! - The worker reads the PIN, and tries it once. Its parent never holds it.
//! - A key has one [`KeyRole`]. ca-sign signs whole certificates and CRLs that the worker has
//!   understood, ocsp-sign whole statuses of that CA's certificates, ra-sign signed attributes, log-sign
//!   checkpoints of its one log, and nothing signs a digest of the caller's choosing:
//!   a compromised parent has no oracle for arbitrary bytes. Only ra-single, which an installation
//!   may do without, both decrypts and signs.
//! - The worker counts what each key does, and [`Health`] reports it.
//! - No answer takes longer than its deadline, and an operation whose worker died is tried once
//!   more, on another.
//!
//! Every binary that starts workers calls [`run_worker_if_asked`] first thing in `main`.

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
mod runs;
mod supervisor;
mod token;
mod uri;
mod wire;
mod worker;

pub use algorithm::SignatureAlgorithm;
pub use assay_types::{Digest, KeyTransport};
pub use ceremony::{Ceremony, FoundKey, GenerateKey, GeneratedKey, init_token};
pub use config::{CeremonyConfig, HsmConfig, KeyConfig};
pub use error::{CeremonyError, OperationError, StartError};
pub use health::{Health, WorkerHealth};
pub use hsm::{BadCiphertext, Hsm, LogKey, Observer, Plaintext};
pub use job::Priority;
pub use pin::{Pin, PinError, PinSource};
pub use role::{KeyAlgorithm, KeyRole, RaKeys, UnknownName};
pub use runs::WorkerRun;
pub use token::{Operation, Token};
pub use uri::{KeyUri, TokenUri, UriError};
pub use worker::run_worker_if_asked;
