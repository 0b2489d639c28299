//! The TBSCertificate: built from policy and permit alone.

mod extensions;

use std::time::{Duration, SystemTime};

use assay_types::Hash;
use der::asn1::{Any, Uint};
use der::{Decode, Encode, Sequence};
use x509_cert::certificate::Rfc5280;
use x509_cert::ext::Extension;
use x509_cert::time::{Time, Validity};

use crate::permit::Permit;
use crate::profile::{CA, MAX_KEY_IDENTIFIER, Profile};

/// RFC 5280 section 4.1.2.2.
const MAX_SERIAL: usize = 20;
/// 128 random bits.
const MIN_SERIAL: usize = 16;

/// What the builder needs of the issuing CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// DER of the CA certificate's subject; copied verbatim.
    pub subject_der: Vec<u8>,
    /// The CA certificate's subject key identifier.
    pub key_identifier: Vec<u8>,
    /// No leaf is valid before its issuer.
    pub not_before: SystemTime,
    /// No leaf outlives its issuer.
    pub not_after: SystemTime,
    /// DER AlgorithmIdentifier of the signature to come.
    pub signature_algorithm_der: Vec<u8>,
}

/// A TBSCertificate that policy permitted. Only [`tbs`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tbs {
    der: Vec<u8>,
    serial: Vec<u8>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// Why no TBSCertificate is built. Every one is a fault of the caller's, not of the request.
#[derive(Debug, thiserror::Error)]
pub enum TbsError {
    /// The permit was given by another profile, or another version of it.
    #[error("the permit was given by another version of the profile; decide again")]
    ForeignPermit,
    /// The serial number is not fit.
    #[error(
        "a serial number is a positive INTEGER of 16 to 20 octets, got {octets} octets or one that is not positive"
    )]
    Serial {
        /// Octets given.
        octets: usize,
    },
    /// The validity is not one the profile and the issuer allow.
    #[error("validity: {0}")]
    Validity(&'static str),
    /// The profile's URLs have no room for it.
    #[error(
        "`{CA}` in a URL stands for a subject key identifier of 1 to {MAX_KEY_IDENTIFIER} octets, the CA's has {octets}"
    )]
    KeyIdentifier {
        /// Octets of the CA's.
        octets: usize,
    },
    /// An extension's value cannot be written.
    #[error("a subject alternative name cannot be encoded")]
    San(#[from] crate::san::SanError),
    /// DER could not be read or written.
    #[error("the TBSCertificate cannot be encoded")]
    Der(#[from] der::Error),
}

/// RFC 5280 section 4.1.
#[derive(Sequence)]
struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: Uint,
    signature: Any,
    issuer: Any,
    validity: Validity<Rfc5280>,
    subject: Any,
    subject_public_key_info: Any,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

/// `v3(2)`.
const VERSION_3: u8 = 2;

/// Builds the TBSCertificate of a permitted request. Pure: the same arguments give the same bytes. `serial` is the
/// big-endian content of a positive INTEGER; times are truncated to seconds.
///
/// # Errors
/// [`TbsError`].
pub fn tbs(
    profile: &Profile,
    permit: Permit,
    issuer: &Issuer,
    serial: &[u8],
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<Tbs, TbsError> {
    if permit.profile_hash != profile.hash {
        return Err(TbsError::ForeignPermit);
    }
    check_serial(serial)?;
    check_validity(permit.max_validity, issuer, not_before, not_after)?;
    let Permit {
        profile_hash: _,
        subject,
        subject_der,
        sans,
        spki_der,
        max_validity: _,
    } = permit;
    let extensions = extensions::build(profile, issuer, subject.is_empty(), &sans, &spki_der)?;
    let der = TbsCertificate {
        version: VERSION_3,
        serial: Uint::new(serial)?,
        signature: Any::from_der(&issuer.signature_algorithm_der)?,
        issuer: Any::from_der(&issuer.subject_der)?,
        validity: Validity::new(Time::try_from(not_before)?, Time::try_from(not_after)?),
        subject: Any::from_der(&subject_der)?,
        subject_public_key_info: Any::from_der(&spki_der)?,
        extensions,
    }
    .to_der()?;
    Ok(Tbs {
        der,
        serial: serial.to_vec(),
        not_before,
        not_after,
    })
}

impl Tbs {
    /// DER of the TBSCertificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER.
    pub fn digest(&self) -> Hash {
        Hash::of(&self.der)
    }

    /// Big-endian content of the serial number.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// Start of validity.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// End of validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

fn check_serial(serial: &[u8]) -> Result<(), TbsError> {
    // A leading zero octet or a set top bit would change the INTEGER's length or sign.
    let positive = serial
        .first()
        .is_some_and(|first| (0x01..0x80).contains(first));
    if positive && (MIN_SERIAL..=MAX_SERIAL).contains(&serial.len()) {
        Ok(())
    } else {
        Err(TbsError::Serial {
            octets: serial.len(),
        })
    }
}

fn check_validity(
    max_validity: Duration,
    issuer: &Issuer,
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<(), TbsError> {
    let length = not_after
        .duration_since(not_before)
        .map_err(|_| TbsError::Validity("NotAfter must not be before NotBefore"))?;
    if not_before < issuer.not_before || not_after > issuer.not_after {
        return Err(TbsError::Validity("it must lie within the issuer's"));
    }
    if length > max_validity {
        return Err(TbsError::Validity(
            "it must not be longer than the profile allows",
        ));
    }
    Ok(())
}
