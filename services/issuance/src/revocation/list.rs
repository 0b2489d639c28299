//! The TBSCertList (RFC 5280 section 5.1): full, version 2, numbered, with the issuer's name and key identifier verbatim.

use std::time::{Duration, SystemTime};

use assay_policy::Issuer;
use der::asn1::{Any, OctetString, Uint};
use der::{Decode, Encode, Sequence};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber, CrlReason};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::time::Time;

/// v2.
const VERSION_2: u8 = 1;

/// A certificate that is not to be relied on.
pub(crate) struct Entry {
    /// Content octets of the serial number.
    pub(crate) serial: Vec<u8>,
    pub(crate) revoked_at: SystemTime,
    pub(crate) reason: CrlReason,
}

/// Number and validity of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edition {
    pub(crate) number: u64,
    pub(crate) this_update: SystemTime,
    pub(crate) next_update: SystemTime,
}

#[derive(Sequence)]
struct TbsCertList {
    version: u8,
    signature: Any,
    issuer: Any,
    this_update: Time,
    next_update: Time,
    revoked: Option<Vec<RevokedCertificate>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    extensions: Extensions,
}

#[derive(Sequence)]
struct RevokedCertificate {
    serial: Uint,
    date: Time,
    extensions: Option<Extensions>,
}

/// DER of the list that `issuer` signs.
pub(crate) fn tbs(issuer: &Issuer, edition: Edition, entries: &[Entry]) -> der::Result<Vec<u8>> {
    let revoked = entries
        .iter()
        .map(revoked)
        .collect::<der::Result<Vec<_>>>()?;
    let key_identifier = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(issuer.key_identifier.as_slice())?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    };
    TbsCertList {
        version: VERSION_2,
        signature: Any::from_der(&issuer.signature_algorithm_der)?,
        issuer: Any::from_der(&issuer.subject_der)?,
        this_update: time(edition.this_update)?,
        next_update: time(edition.next_update)?,
        // RFC 5280 section 5.1.2.6: absent, not empty.
        revoked: (!revoked.is_empty()).then_some(revoked),
        extensions: vec![
            extension(&key_identifier)?,
            extension(&CrlNumber(Uint::new(&edition.number.to_be_bytes())?))?,
        ],
    }
    .to_der()
}

fn revoked(entry: &Entry) -> der::Result<RevokedCertificate> {
    Ok(RevokedCertificate {
        serial: Uint::new(&entry.serial)?,
        date: time(entry.revoked_at)?,
        // RFC 5280 section 5.3.1: left out rather than unspecified.
        extensions: (entry.reason != CrlReason::Unspecified)
            .then(|| extension(&entry.reason).map(|reason| vec![reason]))
            .transpose()?,
    })
}

/// Neither list nor entry has a critical extension.
fn extension<T: Encode + const_oid::AssociatedOid>(value: &T) -> der::Result<Extension> {
    Ok(Extension {
        extn_id: T::OID,
        critical: false,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}

/// UTCTime to 2049, GeneralizedTime after (RFC 5280 section 5.1.2.4), in whole seconds.
fn time(at: SystemTime) -> der::Result<Time> {
    let since_epoch = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs());
    Time::try_from(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_cert::crl::TbsCertList as Reference;

    fn issuer() -> Issuer {
        Issuer {
            subject_der: b"\x30\x0f\x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x0c\x04test".to_vec(),
            key_identifier: vec![7; 20],
            not_before: SystemTime::UNIX_EPOCH,
            not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000),
            signature_algorithm_der: b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02".to_vec(),
        }
    }

    fn edition() -> Edition {
        let this_update = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Edition {
            number: 300,
            this_update,
            next_update: this_update + Duration::from_secs(86_400),
        }
    }

    #[test]
    fn a_list_carries_number_key_identifier_and_each_entry_with_its_reason() {
        let entries = [
            Entry {
                serial: vec![0x41; 17],
                revoked_at: edition().this_update,
                reason: CrlReason::KeyCompromise,
            },
            Entry {
                serial: vec![0x42; 17],
                revoked_at: edition().this_update,
                reason: CrlReason::Unspecified,
            },
        ];
        let der = tbs(&issuer(), edition(), &entries).unwrap();
        let list: Reference = Reference::from_der(&der).unwrap();
        assert_eq!(list.issuer.to_der().unwrap(), issuer().subject_der);
        let revoked = list.revoked_certificates.unwrap();
        let reasons: Vec<bool> = revoked
            .iter()
            .map(|entry| entry.crl_entry_extensions.is_some())
            .collect();
        assert_eq!(reasons, [true, false]);
        assert_eq!(list.version, x509_cert::certificate::Version::V2);
        let extensions = list.crl_extensions.unwrap();
        assert!(extensions.iter().all(|extension| !extension.critical));
        let key_identifier = [&[0x30, 22, 0x80, 20][..], &[7; 20]].concat();
        assert_eq!(extensions[0].extn_value.as_bytes(), key_identifier);
        assert_eq!(extensions[1].extn_value.as_bytes(), b"\x02\x02\x01\x2c");
    }

    #[test]
    fn times_are_utc_time_to_2049_and_generalized_time_after() {
        // 2049-12-31T23:59:59Z, the second before 2050.
        let this_update = SystemTime::UNIX_EPOCH + Duration::from_secs(2_524_607_999);
        let edition = Edition {
            this_update,
            next_update: this_update + Duration::from_secs(1),
            ..edition()
        };
        let der = tbs(&issuer(), edition, &[]).unwrap();
        let list: Reference = Reference::from_der(&der).unwrap();
        assert!(matches!(list.this_update, Time::UtcTime(_)));
        assert!(matches!(list.next_update, Some(Time::GeneralTime(_))));
    }

    #[test]
    fn an_empty_list_has_no_list_of_entries() {
        let der = tbs(&issuer(), edition(), &[]).unwrap();
        let list: Reference = Reference::from_der(&der).unwrap();
        assert!(list.revoked_certificates.is_none());
    }
}
