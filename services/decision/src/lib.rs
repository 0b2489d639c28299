//! Where the terms of SCEP and of policy meet: what is known of a request, what is kept of its decision, and the
//! decision made again from what was kept.
//!
//! The signer decides on [`facts`]; it keeps [`Evidence`] under a salted hash in the audit record. Whoever has the
//! evidence, the policy of that day and the CA certificate comes to the same facts by the same function, and by
//! [`decide_again`] to the same refusal or to the same TBSCertificate, byte for byte. [`decide_under`] says how the same
//! request would fare under another policy. Nothing here does I/O or reads a
//! clock.

mod again;
mod binary;
mod ca;
mod deviation;
mod evidence;
mod facts;
mod grant;
mod prospect;

pub use again::{Derived, decide_again, lint_again};
pub use ca::{Ca, CaError, expectation};
pub use deviation::Deviation;
pub use evidence::{BUILDER, Evidence, EvidenceError, Permitted, Verdict};
pub use facts::facts;
pub use grant::{claims_sha256, issued_sha256, read_grant};
pub use prospect::{Flip, Prospect, decide_under};
