//! The service's token behind killable worker processes: preflight, health and recovery.
//!
//! A PKCS#11 library has no time-outs, may crash, and holds the login of its whole process. So it
//! never runs in the process that parses requests: [`Hsm`] starts this very executable again as a
//! worker, speaks to it over a socket pair, and kills it when it hangs. A worker makes no keys:
//! that is done by hand, by another program.
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

mod config;
mod error;
mod health;
mod hsm;
mod job;
mod link;
mod ra;
mod runs;
mod supervisor;
mod token;
mod wire;
mod worker;

pub use assay_pkcs11::{KeyAlgorithm, KeyRole, KeyUri, SignatureAlgorithm, TokenError};
pub use assay_types::{Digest, KeyTransport};
pub use config::{HsmConfig, KeyConfig};
pub use error::{OperationError, StartError};
pub use health::{Health, WorkerHealth};
pub use hsm::{BadCiphertext, Hsm, LogKey, Observer, Plaintext};
pub use job::Priority;
pub use ra::RaKeys;
pub use runs::WorkerRun;
pub use token::{Operation, Token};
pub use worker::run_worker_if_asked;
