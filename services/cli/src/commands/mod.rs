//! One file a command: its arguments, what it does, how it prints.

pub(crate) mod audit;
pub(crate) mod certificates;
pub(crate) mod challenge;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod enrol;
mod expiring;
pub(crate) mod inventory;
pub(crate) mod legacy;
mod lineage;
pub(crate) mod list;
pub(crate) mod policy;
pub(crate) mod receipt;
pub(crate) mod recover;
pub(crate) mod requests;
mod revocation;
pub(crate) mod rollover;
pub(crate) mod scep;
mod server;
pub(crate) mod status;
