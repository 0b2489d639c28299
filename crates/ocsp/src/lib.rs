//! OCSP requests and responses (RFC 6960) as the lightweight profile (RFC 5019) has them: one certificate in each.
//!
//! A relying party sends a [`CertId`] and reads a [`Response`]; a responder has the DER of a [`ResponseData`] signed and
//! sends it in a [`BasicResponse`]. Nothing here does I/O, hashes or signs. Every input has a limit in octets, and DER is
//! not descended into where this profile does not need it, so that no input can exhaust the stack or the memory.

mod cert_id;
mod error;
mod request;
mod response;
mod response_data;

pub use cert_id::{CertId, Issuer};
pub use error::Error;
pub use request::MAX_REQUEST;
pub use response::{BasicResponse, MAX_RESPONSE, Response, Unsuccessful};
pub use response_data::{MAX_RESPONSE_DATA, ResponseData, Status};
pub use x509_cert::ext::pkix::CrlReason;
