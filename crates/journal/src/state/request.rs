use assay_types::{Hash, Serial, Timestamp};

use crate::entry::Reason;

/// A certificate that is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct CertificateRequest<'a> {
    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub issuer: Hash,
    /// Serial number.
    pub serial: &'a Serial,
    /// End of its validity.
    pub not_after: Timestamp,
    /// Name of the form that it fits.
    pub form: &'a str,
    /// The TBSCertificate.
    pub tbs: &'a [u8],
}

/// A CRL that is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct CrlRequest<'a> {
    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub issuer: Hash,
    /// Its cRLNumber.
    pub number: u64,
    /// Its thisUpdate.
    pub this_update: Timestamp,
    /// Its nextUpdate.
    pub next_update: Timestamp,
    /// SHA-256 of the TBSCertList.
    pub digest: Hash,
    /// Everything that it lists.
    pub listed: &'a [Listed],
}

/// An entry of a CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Serial number.
    pub serial: Serial,
    /// Reason code; [`Reason::Unspecified`] if there is none.
    pub reason: Reason,
    /// Its revocationDate.
    pub date: Timestamp,
}

/// An OCSP response that is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct StatusRequest<'a> {
    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub issuer: Hash,
    /// Serial number.
    pub serial: &'a Serial,
    /// The certStatus of the response.
    pub status: Status,
}

/// CertStatus of RFC 6960 section 4.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not revoked.
    Good,
    /// Revoked or on hold.
    Revoked {
        /// Reason code; [`Reason::Unspecified`] if there is none.
        reason: Reason,
        /// Its revocationTime.
        date: Timestamp,
    },
    /// The responder does not know the certificate.
    Unknown,
}

/// A checkpoint that is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointRequest<'a> {
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
    /// The leaf hashes since the last checkpoint.
    pub leaves: &'a [Hash],
}

/// The last CRL of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastCrl {
    /// Its cRLNumber.
    pub number: u64,
    /// Its thisUpdate. After a jump of the clock into the past was accepted, at most the time of that.
    pub this_update: Timestamp,
    /// Its nextUpdate.
    pub next_update: Timestamp,
    /// SHA-256 of the TBSCertList; of the whole CRL if it is a floor.
    pub digest: Hash,
    /// Number of its entry in the journal.
    pub entry: u64,
}
