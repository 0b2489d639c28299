//! The forms of the structures that an HSM service signs, and the checks that it applies to each, whatever the client
//! asks.
//!
//! A check takes the bytes that are to be signed and the service's own configuration, and returns what it read or the
//! rule that refused. There is no I/O, no key and no clock here: the time is an argument. What depends on earlier
//! signatures (serial numbers in use, revocations, the size of the log) is the caller's to compare with what a check
//! returns.
//!
//! Each accepted encoding is unique: encoded again, what was read is the same bytes. So nothing is signed that was not
//! understood.

mod covers;
mod crl;
mod exact;
mod form;
mod key;
mod leaf;
mod name;
mod ocsp;
mod reply;
mod reserved;
mod san;

use std::time::Duration;

pub use covers::{Demand, NameDemand, NameValue, Uncovered};
pub use crl::{Crl, CrlEntry, CrlRefusal, CrlRules, Reason};
pub use form::{Form, FormError, FormFault, Forms, Keys, LeafForm, MAX_LIFETIME, Misfit, RsaSizes};
pub use key::{KeyFault, KeyIdentity};
pub use leaf::{Leaf, LeafRefusal, LeafRules, MAX_TBS};
pub use name::NameFault;
pub use ocsp::{OcspRefusal, Responder, ResponderError, Status, StatusResponse};
pub use reply::{
    CertRep, MAX_CONTENT, MAX_SIGNED_ATTRIBUTES, NextCa, NextCaError, PkiStatus, ReplyRefusal,
};
pub use reserved::{CertificateError, Issuer, Reserved};
pub use san::{SanFault, SanKind};

/// How far a structure's own time may lie from the service's clock.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);
