//! An installation whose keys are in memory: a CA with its RA, the people who approve its policy, the token that holds the
//! keys, and the files that a signer reads. For tests and for generated stores; no service links it.

mod ca;
mod folder;
mod people;
mod token;

pub use ca::{Ca, Pair, Validity};
pub use folder::{ORIGIN, write, write_ca};
pub use people::{APPROVALS, People, Proposed};
pub use token::{Signed, SoftToken};
