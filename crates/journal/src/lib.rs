//! The journal of an HSM service: a chained record of everything that the service signs, in a directory that the signer can
//! neither read nor write. `docs/journal.md` describes the format.
//!
//! [`Journal`] appends to it. [`State`] is what follows from its entries: which serial numbers are taken, what each CRL has
//! to list, which tree a checkpoint has to continue, and how much of each ceiling is used. [`verify`] proves a journal where
//! it lies, [`export`] writes it as one stream, and [`ExportReader`] proves that stream in a fixed amount of memory.

mod ceiling;
mod certificates;
mod entry;
mod error;
mod export;
mod files;
mod frontier;
mod head;
mod journal;
mod load;
mod prune;
mod scan;
mod state;
#[cfg(test)]
mod tests;

pub use ceiling::{Limit, Limits, UnknownLimit, Usage};
pub use entry::{
    Action, Body, Change, Counter, Entry, Event, Known, MAX_BODY, MAX_NAME, MAX_PAYLOAD, Origin,
    Reason, Start,
};
pub use error::{Error, Refusal};
pub use export::{ExportReader, Item, export, verify};
pub use files::{Cut, RESERVE};
pub use frontier::{BadFrontier, Frontier};
pub use head::{BadHead, Head};
pub use journal::{
    Admission, CrlFloor, Floors, Health, Journal, LogFloor, Options, Pending, Recorded, create,
};
pub use prune::Pruned;
pub use state::{
    CertificateRequest, CheckpointRequest, CrlRequest, LastCrl, Listed, State, Status,
    StatusRequest,
};
