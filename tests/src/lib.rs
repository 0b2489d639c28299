//! The harness: starts the real processes on free ports in private directories, and drives them as devices, operators,
//! attackers and crashes do.
//!
//! The binaries are the ones `cargo build --workspace --bins` leaves in the target directory; nothing in here stands in
//! for a part of Assay. Every wait has a deadline and an event it waits for.

pub mod audit;
pub mod certificate;
pub mod contract;
pub mod crl;
pub mod device;
pub mod frontend;
pub mod hsm;
pub mod http;
pub mod installation;
pub mod linter;
pub mod metrics;
pub mod named;
pub mod ocsp;
pub mod operator;
pub mod policy;
mod prepared;
pub mod process;
pub mod profile;
pub mod python;
pub mod query;
pub mod restarted;
pub mod store;
pub mod strongswan;
pub mod tiers;
pub mod tool;
pub mod trace;
pub mod wait;
