use std::fmt;
use std::str::FromStr;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

/// RFC 5280 section 4.1.2.2.
const MAX_OCTETS: usize = 20;

/// A certificate's serial number: the content octets of a positive DER INTEGER. Prints as lowercase hex.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Vec<u8>);

/// Not a serial number of this CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a serial is a positive number of at most {MAX_OCTETS} octets, in hexadecimal digits with or without colons"
)]
pub struct BadSerial;

impl Serial {
    /// The content octets, as they go into a TBSCertificate.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
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
        let mut content = Vec::with_capacity(magnitude.len() + 1);
        if magnitude.first().is_some_and(|octet| octet & 0x80 != 0) {
            content.push(0);
        }
        content.extend_from_slice(magnitude);
        if content.len() > MAX_OCTETS {
            return Err(BadSerial);
        }
        Ok(Self(content))
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
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ToSql for Serial {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for Serial {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::try_from(value.as_blob()?).map_err(FromSqlError::other)
    }
}
