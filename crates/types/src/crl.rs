//! The size of a CRL. Every limit on the way of a list, from the database to the devices, is derived from
//! [`MAX_CRL_ENTRIES`] here, so that none of them refuses what another one allows.

use crate::serial::MAX_OCTETS;
use crate::{Hash, Serial, Timestamp};

/// Largest number of entries of a CRL. A list that was cut to fit would make revoked certificates valid again, so the
/// revocation that does not fit is refused instead.
pub const MAX_CRL_ENTRIES: u32 = 500_000;

/// Number of entries from which the signer warns: 80 % of [`MAX_CRL_ENTRIES`].
pub const CRL_ENTRIES_WARNING: u32 = MAX_CRL_ENTRIES / 5 * 4;

/// Bytes of tag and length of a DER value that is shorter than 128 bytes.
const HEADER: usize = 2;
/// GeneralizedTime, which is longer than UTCTime: `20500101000000Z`.
const TIME: usize = HEADER + 15;
/// crlEntryExtensions with a reasonCode alone: the object identifier 2.5.29.21, and an ENUMERATED in an OCTET STRING.
const REASON: usize = HEADER + HEADER + (HEADER + 3) + HEADER + (HEADER + 1);

/// Largest entry of revokedCertificates in bytes: a serial number, a date and a reason.
pub const MAX_CRL_ENTRY: usize = HEADER + (HEADER + MAX_OCTETS) + TIME + REASON;

/// Bytes of a TBSCertList beside its entries: the issuer's name, which is the longest of them, times, algorithm and extensions.
const CRL_FRAME: usize = 64 << 10;

/// Largest TBSCertList in bytes.
pub const MAX_TBS_CERT_LIST: usize = CRL_FRAME + MAX_CRL_ENTRIES as usize * MAX_CRL_ENTRY;

/// Bytes of a signed structure beside what is signed: the algorithm and the signature, of which that of RSA with 16,384 bits is
/// the longest.
const SIGNATURE: usize = 4 << 10;

/// Largest CertificateList in bytes.
pub const MAX_CRL: usize = MAX_TBS_CERT_LIST + SIGNATURE;

/// Largest CRL in bytes that GetCRL of SCEP is answered with. The reply has it in a structure that the HSM service takes in one
/// frame of 1 MiB, and devices have little memory; a longer list is fetched from its distribution point.
pub const MAX_SCEP_CRL: usize = 512 << 10;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// crlEntryExtensions with a reasonCode, without the code.
const REASON_CODE: [u8; 13] = [
    SEQUENCE, 12, SEQUENCE, 10, 0x06, 3, 0x55, 0x1d, 0x15, 0x04, 3, 0x0a, 1,
];
/// The reason `unspecified`, which is left out (RFC 5280 section 5.3.1).
const UNSPECIFIED: u8 = 0;

/// The revokedCertificates of a CRL (RFC 5280 section 5.1) in DER, entry by entry. The signer makes its lists with it, and the
/// verifier of the log makes them again.
#[derive(Debug, Default)]
pub struct RevokedCertificates {
    entries: Vec<u8>,
}

impl RevokedCertificates {
    /// Adds an entry. A list is in the order of serial numbers, compared as their content octets.
    pub fn push(&mut self, serial: &Serial, revoked_at: Timestamp, reason: u8) {
        append(&mut self.entries, serial, revoked_at, reason);
    }

    /// An entry by itself.
    #[must_use]
    pub fn entry(serial: &Serial, revoked_at: Timestamp, reason: u8) -> Vec<u8> {
        let mut entry = Vec::new();
        append(&mut entry, serial, revoked_at, reason);
        entry
    }

    /// The whole, with tag and length. Without entries it is empty, as an empty list is left out (RFC 5280 section 5.1.2.6).
    #[must_use]
    pub fn into_der(self) -> Vec<u8> {
        if self.entries.is_empty() {
            return self.entries;
        }
        let mut der = der_header(SEQUENCE, self.entries.len());
        der.reserve_exact(self.entries.len());
        der.extend_from_slice(&self.entries);
        der
    }

    /// SHA-256 of [`RevokedCertificates::into_der`].
    #[must_use]
    pub fn digest(&self) -> Hash {
        let header = match self.entries.len() {
            0 => Vec::new(),
            length => der_header(SEQUENCE, length),
        };
        Hash::of_parts(&[&header, &self.entries])
    }
}

/// An entry of revokedCertificates, DER.
fn append(to: &mut Vec<u8>, serial: &Serial, revoked_at: Timestamp, reason: u8) {
    let serial = serial.as_bytes();
    let (tag, time) = time(revoked_at);
    let reason = (reason != UNSPECIFIED).then_some(reason);
    let extensions = reason.map_or(0, |_| REASON_CODE.len() + 1);
    let length = HEADER + serial.len() + HEADER + time.len() + extensions;
    // Each of them is shorter than 128 bytes.
    to.extend([SEQUENCE, short(length), INTEGER, short(serial.len())]);
    to.extend_from_slice(serial);
    to.extend([tag, short(time.len())]);
    to.extend_from_slice(time.as_bytes());
    if let Some(code) = reason {
        to.extend(REASON_CODE);
        to.push(code);
    }
}

/// Tag and length of a DER value.
#[must_use]
pub fn der_header(tag: u8, length: usize) -> Vec<u8> {
    let octets = length.to_be_bytes();
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    let octets = octets.get(zeros..).unwrap_or_default();
    if length < 0x80 {
        vec![tag, short(length)]
    } else {
        [&[tag, 0x80 | short(octets.len())], octets].concat()
    }
}

/// A length below 128.
fn short(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

/// UTCTime to 2049, GeneralizedTime after (RFC 5280 section 5.1.2.4).
fn time(at: Timestamp) -> (u8, String) {
    let digits = at.to_string();
    let digits = digits.chars().filter(char::is_ascii_digit);
    let mut text: String = digits.chain(['Z']).collect();
    if text.as_str() < "2050" {
        text.drain(..2);
        return (UTC_TIME, text);
    }
    (GENERALIZED_TIME, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use super::*;

    /// 2050-01-01T00:00:00Z.
    const YEAR_2050: Timestamp = Timestamp::from_seconds(2_524_608_000);

    fn der(octets: &[u8], at: Timestamp, reason: u8) -> String {
        let mut list = RevokedCertificates::default();
        list.push(&Serial::try_from(octets).unwrap(), at, reason);
        let digest = list.digest();
        let der = list.into_der();
        assert_eq!(Hash::of(&der), digest);
        hex::encode(der)
    }

    #[test]
    fn the_limits_follow_from_the_number_of_entries() {
        let mut list = RevokedCertificates::default();
        list.push(
            &Serial::try_from([0x7f; 20].as_slice()).unwrap(),
            YEAR_2050,
            10,
        );
        assert_eq!(list.into_der().len(), HEADER + MAX_CRL_ENTRY);
        assert_eq!(
            MAX_TBS_CERT_LIST,
            CRL_FRAME + 500_000 * MAX_CRL_ENTRY,
            "of the largest list"
        );
        assert_eq!(MAX_CRL - MAX_TBS_CERT_LIST, SIGNATURE);
        assert_eq!(CRL_ENTRIES_WARNING, 400_000);
    }

    #[test]
    fn an_entry_has_its_one_encoding() {
        let second_before = Timestamp::from_seconds(2_524_607_999);
        assert_eq!(
            der(&[0x80], second_before, 0),
            "3015301302020080170d3439313233313233353935395a"
        );
        assert_eq!(
            der(&[0x41], YEAR_2050, 1),
            "3024302202014118\
             0f32303530303130313030303030305a300c300a0603551d1504030a0101"
        );
        assert!(RevokedCertificates::default().into_der().is_empty());
        assert_eq!(RevokedCertificates::default().digest(), Hash::of(b""));
    }
}
