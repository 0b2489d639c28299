//! The client side: requests and what comes back. Built to say wrong things too, for tests of servers.

mod cert_rep;
mod enrolment;
mod envelope_parts;
mod pki_message;

pub use crate::password::NoPasswordEnvelope;
pub use cert_rep::{CertRep, CertRepError};
pub use enrolment::{
    assemble_certificate, assemble_csr, new_csr_info, new_csr_info_with, self_signed_tbs,
};
pub use envelope_parts::EnvelopeParts;
pub use pki_message::{ClientError, PkiMessageBuilder};
