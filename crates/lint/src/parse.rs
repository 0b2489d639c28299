//! The parts of a TBSCertificate as slices of its DER, read by hand rather than into the builder's types.

use std::time::{Duration, SystemTime};

use const_oid::ObjectIdentifier;
use der::asn1::BitStringRef;
use der::{Decode, Header, Reader, SliceReader, Tag, TagNumber};

/// Most extensions read: bounds the work; a certificate of ours has nine.
const MAX_EXTENSIONS: usize = 32;

/// RFC 5280 section 4.1. Every slice is a whole TLV unless said otherwise.
pub(crate) struct Tbs<'a> {
    /// All of it.
    pub(crate) der: &'a [u8],
    /// Content of the version INTEGER; `None` for v1, which is left out.
    pub(crate) version: Option<&'a [u8]>,
    /// Content octets.
    pub(crate) serial: &'a [u8],
    pub(crate) signature: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) not_before: Time<'a>,
    pub(crate) not_after: Time<'a>,
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
    /// Tags of fields between the key and the extensions.
    pub(crate) unique_identifiers: usize,
    pub(crate) extensions: Vec<Extension<'a>>,
}

pub(crate) struct Time<'a> {
    pub(crate) tag: Tag,
    pub(crate) text: &'a [u8],
}

pub(crate) struct Extension<'a> {
    pub(crate) oid: ObjectIdentifier,
    pub(crate) critical: bool,
    /// Content of the OCTET STRING.
    pub(crate) value: &'a [u8],
}

impl<'a> Tbs<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> der::Result<Self> {
        let mut outer = SliceReader::new(der)?;
        let (tag, content) = tlv(&mut outer)?;
        tag.assert_eq(Tag::Sequence)?;
        outer.finish()?;
        let mut fields = SliceReader::new(content)?;
        let version = version(&mut fields)?;
        let (tag, serial) = tlv(&mut fields)?;
        tag.assert_eq(Tag::Integer)?;
        let signature = sequence(&mut fields)?;
        let issuer = sequence(&mut fields)?;
        let (not_before, not_after) = validity(&mut fields)?;
        let subject = sequence(&mut fields)?;
        let spki = sequence(&mut fields)?;
        let (unique_identifiers, extensions) = tail(&mut fields)?;
        Ok(Self {
            der,
            version,
            serial,
            signature,
            issuer,
            not_before,
            not_after,
            subject,
            spki,
            unique_identifiers,
            extensions,
        })
    }

    pub(crate) fn extension(&self, oid: &ObjectIdentifier) -> Option<&Extension<'a>> {
        self.extensions
            .iter()
            .find(|extension| extension.oid == *oid)
    }
}

impl Time<'_> {
    /// The moment, if the text is `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` as RFC 5280 section 4.1.2.5 wants.
    pub(crate) fn moment(&self) -> Option<SystemTime> {
        let text = std::str::from_utf8(self.text).ok()?;
        let digits = text
            .strip_suffix('Z')
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        let (year, rest) = match (self.tag, digits.len()) {
            (Tag::UtcTime, 12) => {
                let year: u16 = digits.get(..2)?.parse().ok()?;
                (
                    if year < 50 { 2000 + year } else { 1900 + year },
                    digits.get(2..)?,
                )
            }
            (Tag::GeneralizedTime, 14) => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
            _ => return None,
        };
        let pair = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
        let date =
            der::DateTime::new(year, pair(0)?, pair(2)?, pair(4)?, pair(6)?, pair(8)?).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(date.unix_duration().as_secs()))
    }
}

/// Tag and content of the next value.
pub(crate) fn tlv<'a>(reader: &mut SliceReader<'a>) -> der::Result<(Tag, &'a [u8])> {
    let header = Header::decode(reader)?;
    Ok((header.tag(), reader.read_slice(header.length())?))
}

/// The values inside a SEQUENCE or SET given as a whole TLV.
pub(crate) fn children(der: &[u8]) -> der::Result<Vec<(Tag, &[u8])>> {
    let mut outer = SliceReader::new(der)?;
    let (_, content) = tlv(&mut outer)?;
    outer.finish()?;
    values(content)
}

/// The values that follow each other in `content`.
pub(crate) fn values(content: &[u8]) -> der::Result<Vec<(Tag, &[u8])>> {
    let mut reader = SliceReader::new(content)?;
    let mut values = Vec::new();
    while !reader.is_finished() {
        values.push(tlv(&mut reader)?);
    }
    Ok(values)
}

fn sequence<'a>(reader: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    let bytes = reader.tlv_bytes()?;
    Header::decode(&mut SliceReader::new(bytes)?)?
        .tag()
        .assert_eq(Tag::Sequence)?;
    Ok(bytes)
}

fn context(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

fn version<'a>(fields: &mut SliceReader<'a>) -> der::Result<Option<&'a [u8]>> {
    if Tag::peek(fields)? != context(0) {
        return Ok(None);
    }
    let (_, explicit) = tlv(fields)?;
    let mut inner = SliceReader::new(explicit)?;
    let (tag, version) = tlv(&mut inner)?;
    tag.assert_eq(Tag::Integer)?;
    inner.finish()?;
    Ok(Some(version))
}

fn validity<'a>(fields: &mut SliceReader<'a>) -> der::Result<(Time<'a>, Time<'a>)> {
    let (tag, content) = tlv(fields)?;
    tag.assert_eq(Tag::Sequence)?;
    let mut times = SliceReader::new(content)?;
    let mut time = || tlv(&mut times).map(|(tag, text)| Time { tag, text });
    let validity = (time()?, time()?);
    times.finish()?;
    Ok(validity)
}

fn tail<'a>(fields: &mut SliceReader<'a>) -> der::Result<(usize, Vec<Extension<'a>>)> {
    let mut unique_identifiers = 0;
    let mut extensions = Vec::new();
    while !fields.is_finished() {
        let (tag, content) = tlv(fields)?;
        if tag == context(3) && fields.is_finished() {
            extensions = list_of_extensions(content)?;
        } else {
            unique_identifiers += 1;
        }
    }
    Ok((unique_identifiers, extensions))
}

fn list_of_extensions(explicit: &[u8]) -> der::Result<Vec<Extension<'_>>> {
    let list = children(explicit)?;
    if list.len() > MAX_EXTENSIONS {
        return Err(der::ErrorKind::Failed.into());
    }
    list.into_iter()
        .map(|(tag, content)| {
            tag.assert_eq(Tag::Sequence)?;
            extension(content)
        })
        .collect()
}

fn extension(content: &[u8]) -> der::Result<Extension<'_>> {
    let mut reader = SliceReader::new(content)?;
    let oid = ObjectIdentifier::decode(&mut reader)?;
    // DER leaves the default out: an explicit FALSE is not DER.
    let critical = if Tag::peek(&reader)? == Tag::Boolean {
        let critical = bool::decode(&mut reader)?;
        if !critical {
            return Err(Tag::Boolean.value_error().into());
        }
        critical
    } else {
        false
    };
    let (tag, value) = tlv(&mut reader)?;
    tag.assert_eq(Tag::OctetString)?;
    reader.finish()?;
    Ok(Extension {
        oid,
        critical,
        value,
    })
}

/// Algorithm OID, parameters and key bits of a SubjectPublicKeyInfo.
pub(crate) struct Key<'a> {
    pub(crate) oid: ObjectIdentifier,
    /// A named curve.
    pub(crate) parameters: Option<ObjectIdentifier>,
    pub(crate) parameters_der: &'a [u8],
    pub(crate) bits: &'a [u8],
}

impl<'a> Key<'a> {
    pub(crate) fn parse(spki: &'a [u8]) -> der::Result<Self> {
        let mut outer = SliceReader::new(spki)?;
        let (_, content) = tlv(&mut outer)?;
        let mut fields = SliceReader::new(content)?;
        let (_, algorithm) = tlv(&mut fields)?;
        let bits = BitStringRef::decode(&mut fields)?;
        fields.finish()?;
        let mut algorithm = SliceReader::new(algorithm)?;
        let oid = ObjectIdentifier::decode(&mut algorithm)?;
        let parameters_der = algorithm.read_slice(algorithm.remaining_len())?;
        let parameters = ObjectIdentifier::from_der(parameters_der).ok();
        let bits = bits
            .as_bytes()
            .ok_or_else(|| Tag::BitString.value_error())?;
        Ok(Self {
            oid,
            parameters,
            parameters_der,
            bits,
        })
    }
}

/// Text of bytes for a finding.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
