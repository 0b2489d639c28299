//! SCEP (RFC 8894) messages: bytes to types and back, for servers and clients; no I/O and no private keys.
//!
//! A server reads a [`Request`], holds it to its [`Algorithms`], verifies it, opens its [`Envelope`] through a
//! [`Decryptor`], reads the [`Csr`] inside, and answers with [`cert_rep`] through a [`MessageSigner`]. The client
//! side is in [`client`].

mod algorithm;
mod asn1;
mod ca_certificates;
mod certificate;
pub mod client;
mod cms;
mod csr;
mod directory_string;
mod ec;
mod envelope;
mod error;
mod key;
mod limits;
mod message;
mod next_ca;
mod password;
mod query;
mod reply;
mod request;
mod rsa;
mod secret;
mod traits;

pub use algorithm::{Algorithms, Cipher, capabilities};
pub use assay_types::{Curve, Digest, KeyTransport};
pub use ca_certificates::{
    CertificateListError, ca_certificates, parse_ca_certificates, parse_crls,
};
pub use certificate::SignerCertificate;
pub use csr::{Csr, CsrError, RequestedExtension};
pub use der::asn1::ObjectIdentifier;
pub use envelope::Envelope;
pub use error::{Malformed, Refusal, Undecipherable};
pub use limits::Limits;
pub use message::{FailInfo, MessageType, Nonce, PkiStatus, TransactionId};
pub use next_ca::{NextCaError, NextCaRefusal, next_ca_certificates, parse_next_ca_certificates};
pub use query::{IssuerAndSerial, IssuerAndSubject};
pub use reply::{Outcome, ReplyContext, ReplyError, cert_rep};
pub use request::Request;
pub use secret::Secret;
pub use traits::{Decryptor, MessageSigner};
