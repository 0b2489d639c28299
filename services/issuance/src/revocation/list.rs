//! The TBSCertList (RFC 5280 section 5.1): full, version 2, numbered, with the issuer's name and key identifier verbatim.

use std::time::{Duration, SystemTime};

use assay_policy::Issuer;
use assay_store::RevokedEntry;
use assay_types::{Hash, RevokedCertificates, der_header};
use der::Encode;
use der::asn1::{OctetString, Uint};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::time::Time;

/// v2.
const VERSION_2: u8 = 1;
/// SEQUENCE.
const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed.
const EXTENSIONS: u8 = 0xa0;

/// Number and validity of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edition {
    pub(crate) number: u64,
    pub(crate) this_update: SystemTime,
    pub(crate) next_update: SystemTime,
}

/// A TBSCertList.
#[derive(Debug)]
pub(crate) struct Tbs {
    pub(crate) der: Vec<u8>,
    /// SHA-256 of the DER of its revokedCertificates; of nothing if there are none.
    pub(crate) entries_sha256: Hash,
}

impl Tbs {
    /// The list that `issuer` signs. 500,000 entries take 20 MB, of which there are two copies while this works.
    pub(crate) fn new(
        issuer: &Issuer,
        edition: Edition,
        revoked: &[RevokedEntry],
    ) -> der::Result<Self> {
        let key_identifier = AuthorityKeyIdentifier {
            key_identifier: Some(OctetString::new(issuer.key_identifier.as_slice())?),
            authority_cert_issuer: None,
            authority_cert_serial_number: None,
        };
        let extensions: Extensions = vec![
            extension(&key_identifier)?,
            extension(&CrlNumber(Uint::new(&edition.number.to_be_bytes())?))?,
        ];
        let extensions = extensions.to_der()?;
        let mut entries = RevokedCertificates::default();
        for entry in revoked {
            entries.push(&entry.serial, entry.revoked_at, entry.reason.code());
        }
        let entries_sha256 = entries.digest();
        let (version, this_update) = (VERSION_2.to_der()?, time(edition.this_update)?.to_der()?);
        let (next_update, entries) = (time(edition.next_update)?.to_der()?, entries.into_der());
        let tag = der_header(EXTENSIONS, extensions.len());
        let fields: [&[u8]; 8] = [
            &version,
            &issuer.signature_algorithm_der,
            &issuer.subject_der,
            &this_update,
            &next_update,
            &entries,
            &tag,
            &extensions,
        ];
        let length = fields.iter().map(|field| field.len()).sum();
        let header = der_header(SEQUENCE, length);
        let mut der = Vec::with_capacity(header.len() + length);
        der.extend_from_slice(&header);
        for field in fields {
            der.extend_from_slice(field);
        }
        Ok(Self {
            der,
            entries_sha256,
        })
    }
}

/// Whether a list, DER, has an entry for each of these, with that time and reason. They are in the order of serial numbers, as in a list.
pub(super) fn has_all(list: &[u8], revoked: &[&RevokedEntry]) -> bool {
    let mut rest = list;
    revoked.iter().all(|revoked| {
        let entry =
            RevokedCertificates::entry(&revoked.serial, revoked.revoked_at, revoked.reason.code());
        let found = rest.windows(entry.len()).position(|it| it == entry);
        let after = found.and_then(|at| rest.get(at + entry.len()..));
        rest = after.unwrap_or_default();
        after.is_some()
    })
}

/// Not critical, as both are.
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
    use assay_store::CrlReason;
    use assay_types::Serial;
    use der::Decode;
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
        let entry = |octet: u8, reason| RevokedEntry {
            serial: Serial::try_from([octet; 17].as_slice()).unwrap(),
            revoked_at: edition().this_update.into(),
            reason,
        };
        let entries = [
            entry(0x41, CrlReason::KeyCompromise),
            entry(0x42, CrlReason::Unspecified),
        ];
        let der = Tbs::new(&issuer(), edition(), &entries).unwrap().der;
        let list: Reference = Reference::from_der(&der).unwrap();
        assert_eq!(list.issuer.to_der().unwrap(), issuer().subject_der);
        assert_eq!(list.to_der().unwrap(), der);
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
        let der = Tbs::new(&issuer(), edition, &[]).unwrap().der;
        let list: Reference = Reference::from_der(&der).unwrap();
        assert!(matches!(list.this_update, Time::UtcTime(_)));
        assert!(matches!(list.next_update, Some(Time::GeneralTime(_))));
    }

    #[test]
    fn an_empty_list_has_no_list_of_entries() {
        let Tbs {
            der,
            entries_sha256,
        } = Tbs::new(&issuer(), edition(), &[]).unwrap();
        assert_eq!(entries_sha256, Hash::of(b""));
        let list: Reference = Reference::from_der(&der).unwrap();
        assert!(list.revoked_certificates.is_none());
    }
}
