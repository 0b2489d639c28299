use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// RFC 5280 section 4.1.2.2.
pub(crate) const MAX_OCTETS: usize = 20;

/// A certificate's serial number: the content octets of a positive DER INTEGER. Prints as lowercase hex. It is 21 bytes in
/// place, since a list of 500,000 of them is in memory several times while a CRL is made.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Serial {
    /// Zeros behind the content.
    octets: [u8; MAX_OCTETS],
    length: u8,
}

/// Not a serial number as RFC 5280 allows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a serial is a positive number of at most {MAX_OCTETS} octets, in hexadecimal digits with or without colons"
)]
pub struct BadSerial;

impl Serial {
    /// The content octets of the INTEGER, as they go into a TBSCertificate.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.octets
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

/// As their content octets.
impl Ord for Serial {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for Serial {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl TryFrom<&[u8]> for Serial {
    type Error = BadSerial;

    /// Takes a big-endian number, whether or not it has its sign octet.
    fn try_from(bytes: &[u8]) -> Result<Self, BadSerial> {
        let first = bytes
            .iter()
            .position(|octet| *octet != 0)
            .ok_or(BadSerial)?;
        let (_, magnitude) = bytes.split_at(first);
        let sign = usize::from(magnitude.first().is_some_and(|octet| octet & 0x80 != 0));
        let length = sign + magnitude.len();
        let mut octets = [0; MAX_OCTETS];
        let content = octets.get_mut(sign..length).ok_or(BadSerial)?;
        content.copy_from_slice(magnitude);
        let length = u8::try_from(length).map_err(|_| BadSerial)?;
        Ok(Self { octets, length })
    }
}

impl FromStr for Serial {
    type Err = BadSerial;

    fn from_str(text: &str) -> Result<Self, BadSerial> {
        let mut digits: String = text.chars().filter(|character| *character != ':').collect();
        if digits.len() % 2 == 1 {
            digits.insert(0, '0');
        }
        Self::try_from(hex::decode(digits).map_err(|_| BadSerial)?.as_slice())
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "rusqlite")]
impl rusqlite::ToSql for Serial {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        self.as_bytes().to_sql()
    }
}

#[cfg(feature = "rusqlite")]
impl rusqlite::types::FromSql for Serial {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        Self::try_from(value.as_blob()?).map_err(rusqlite::types::FromSqlError::other)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use super::*;

    #[test]
    fn a_serial_has_one_form_however_it_was_written() {
        let serial: Serial = "00:AB:01".parse().unwrap();
        assert_eq!(serial.as_bytes(), [0x00, 0xab, 0x01]);
        assert_eq!(serial.to_string(), "00ab01");
        for same in ["ab01", "AB01", "0ab01", "00:00:ab:01"] {
            assert_eq!(same.parse(), Ok(serial.clone()), "{same}");
        }
        assert_eq!(serial.to_string().parse(), Ok(serial));
    }

    #[test]
    fn serials_are_ordered_as_their_octets() {
        let of = |text: &str| text.parse::<Serial>().unwrap();
        let mut sorted = ["02", "7f", "0100", "00ff", "01", "010000"].map(of);
        sorted.sort();
        assert_eq!(
            sorted.map(|serial| serial.to_string()),
            ["00ff", "01", "0100", "010000", "02", "7f"]
        );
    }

    #[test]
    fn a_serial_is_positive_and_at_most_20_octets() {
        let longest = [0x7f; 20];
        assert_eq!(
            Serial::try_from(longest.as_slice()).unwrap().as_bytes(),
            longest
        );
        let padded = [[0x00; 2].as_slice(), &longest].concat();
        assert_eq!(
            Serial::try_from(padded.as_slice()).unwrap().as_bytes(),
            longest
        );
        // The sign octet makes it 21.
        assert_eq!(Serial::try_from([0x80; 20].as_slice()), Err(BadSerial));
        assert_eq!(Serial::try_from([0x01; 21].as_slice()), Err(BadSerial));
        assert_eq!("7ff".parse::<Serial>().unwrap().to_string(), "07ff");
        for wrong in ["", "0", "00", "zz", "-1", "0x1"] {
            assert_eq!(wrong.parse::<Serial>(), Err(BadSerial), "{wrong}");
        }
    }
}
