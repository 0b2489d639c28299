//! What is known of a request: the only input of a decision besides the profile.

mod request;

use std::time::SystemTime;

use assay_types::Digest;
use const_oid::ObjectIdentifier;

pub use request::RequestedExtension;

use crate::grant::Grant;
use crate::key::PublicKeyFacts;
use crate::san::SubjectAltName;

/// Everything a decision may look at. Nothing here is trusted for being here: it reaches a certificate only by
/// equality with what policy and grant say.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The profile that was selected.
    pub profile: String,
    /// The signer's clock.
    pub now: SystemTime,
    /// Subject of the CSR: RDNs and their attributes in DER order.
    pub subject: Vec<Vec<Attribute>>,
    /// Requested subjectAltName; `None` if there is no such extension.
    pub sans: Option<Vec<SubjectAltName>>,
    /// The key to certify.
    pub key: PublicKeyFacts,
    /// Requested key usage, `1 << n` for bit n of RFC 5280 section 4.2.1.3.
    pub key_usage: Option<u16>,
    /// Requested extended key usage.
    pub extended_key_usage: Option<Vec<ObjectIdentifier>>,
    /// The cA field of a requested basicConstraints.
    pub basic_constraints_ca: Option<bool>,
    /// Requested extensions that no field above holds; key identifiers are not among them.
    pub other_extensions: Vec<ObjectIdentifier>,
    /// What could not be read, or occurred twice: any entry is a refusal.
    pub malformed: Vec<Malformed>,
    /// Requested extensions that the signer overrides: key identifiers. For counters only.
    pub ignored_extensions: usize,
    /// Hash of the CSR's signature.
    pub csr_digest: Digest,
    /// Hash of the CMS signature.
    pub message_digest: Digest,
    /// What authorises the request; `None` where nothing does.
    pub grant: Option<Grant>,
}

/// One attribute of a requested subject, as its DER has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Attribute type.
    pub oid: ObjectIdentifier,
    /// Tag octet of the value.
    pub tag: u8,
    /// Content octets of the value.
    pub value: Vec<u8>,
}

/// A part of a request that is not what its standard says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// `subject`, or the name or OID of an extension.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}
