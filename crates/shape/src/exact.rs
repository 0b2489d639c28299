//! DER in its one encoding.

use assay_types::Timestamp;
use der::asn1::Any;
use der::{Decode, Encode, Tag, TagNumber};
use x509_cert::time::Time;

/// The last year that UTCTime can express (RFC 5280 section 4.1.2.5).
const LAST_UTC_YEAR: u16 = 2049;

/// Decodes, and refuses what does not encode to the same bytes: the decoder is more lenient than DER in places.
pub(crate) fn decode<'a, T>(der: &'a [u8]) -> der::Result<T>
where
    T: Decode<'a, Error = der::Error> + Encode,
{
    let value = T::from_der(der)?;
    if value.to_der()? == der {
        Ok(value)
    } else {
        Err(der::ErrorKind::Noncanonical { tag: Tag::Sequence }.into())
    }
}

/// The time, if it is UTCTime to 2049 and GeneralizedTime after that (RFC 5280 sections 4.1.2.5 and 5.1.2.4).
pub(crate) fn moment(time: &Time) -> Option<Timestamp> {
    let is_short = time.to_date_time().year() <= LAST_UTC_YEAR;
    let is_right = matches!(time, Time::UtcTime(_)) == is_short;
    is_right.then(|| Timestamp::default() + time.to_unix_duration())
}

/// The value under the tag `[number]`, constructed.
pub(crate) fn context(number: u32, content: &[u8]) -> der::Result<Vec<u8>> {
    tlv(
        Tag::ContextSpecific {
            constructed: true,
            number: TagNumber(number),
        },
        content,
    )
}

pub(crate) fn tlv(tag: Tag, content: &[u8]) -> der::Result<Vec<u8>> {
    Any::new(tag, content)?.to_der()
}
