//! Lints of the subject and the subject alternative names.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;
use der::{Decode, Tag};

use crate::canonical::is_printable_string;
use crate::constraints::{EMAIL_ADDRESS, Name};
use crate::expected::equal;
use crate::parse::{Tbs, children, hexadecimal, values};
use crate::{Expectation, Verdict};

const DOMAIN_COMPONENT: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25");
const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
const DN_QUALIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.46");
/// An empty SEQUENCE.
const EMPTY: &[u8] = &[0x30, 0];
const UNSTRUCTURED_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.2");
const UNSTRUCTURED_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.8");
/// RFC 5280 appendix A.1, in characters; RFC 4519 and RFC 2985 for the last five.
const UPPER_BOUNDS: [(ObjectIdentifier, usize); 15] = [
    (ObjectIdentifier::new_unwrap("2.5.4.3"), 64),
    (SERIAL_NUMBER, 64),
    (COUNTRY, 2),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), 128),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), 128),
    (ObjectIdentifier::new_unwrap("2.5.4.9"), 128),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), 64),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), 64),
    (ObjectIdentifier::new_unwrap("2.5.4.12"), 64),
    (ObjectIdentifier::new_unwrap("2.5.4.65"), 128),
    (
        ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1"),
        256,
    ),
    (DOMAIN_COMPONENT, 63),
    (EMAIL_ADDRESS, 255),
    (UNSTRUCTURED_NAME, 255),
    (UNSTRUCTURED_ADDRESS, 255),
];
/// `ub-name`.
const UB_NAME: usize = 32_768;
const MAX_DNS_NAME: usize = 253;
const MAX_DNS_LABEL: usize = 63;

pub(crate) fn subject_expected(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    equal("Name", expectation.subject_der, tbs.subject)
}

pub(crate) fn subject_present(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    let critical_san = tbs
        .extension(&ID_CE_SUBJECT_ALT_NAME)
        .is_some_and(|san| san.critical);
    if tbs.subject != EMPTY || critical_san {
        Ok(())
    } else {
        Err("wanted a subject, or a critical subjectAltName beside an empty one".to_owned())
    }
}

pub(crate) fn subject_strings(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    for rdn in rdns(tbs)? {
        for Attribute { oid, tag, value } in rdn {
            let allowed: &[Tag] = match oid {
                DOMAIN_COMPONENT | EMAIL_ADDRESS => &[Tag::Ia5String],
                COUNTRY | SERIAL_NUMBER | DN_QUALIFIER => &[Tag::PrintableString],
                // RFC 2985 section 5.4.1: PKCS9String.
                UNSTRUCTURED_NAME => &[Tag::Ia5String, Tag::Utf8String, Tag::PrintableString],
                _ => &[Tag::Utf8String, Tag::PrintableString],
            };
            if !allowed.contains(&tag) {
                return Err(format!("{oid}: wanted one of {allowed:?}, got {tag}"));
            }
            let text = std::str::from_utf8(value)
                .map_err(|_| format!("{oid}: wanted text, got {}", hexadecimal(value)))?;
            let in_charset = (tag != Tag::PrintableString || text.bytes().all(is_printable_string))
                && (tag != Tag::Ia5String || text.is_ascii());
            if !in_charset
                || text.is_empty()
                || text.trim() != text
                || text.contains(char::is_control)
            {
                return Err(format!(
                    "{oid}: wanted clean text of its string type, got {}",
                    hexadecimal(value)
                ));
            }
        }
    }
    Ok(())
}

pub(crate) fn subject_duplicates(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    let rdns = rdns(tbs)?;
    for (index, rdn) in rdns.iter().enumerate() {
        if rdn.is_empty() || rdns.iter().take(index).any(|earlier| earlier == rdn) {
            return Err(format!(
                "wanted each RDN once and none empty, see RDN {}",
                index + 1
            ));
        }
        for (position, attribute) in rdn.iter().enumerate() {
            if rdn
                .iter()
                .take(position)
                .any(|earlier| earlier.oid == attribute.oid)
            {
                return Err(format!(
                    "wanted each type once in an RDN, got {} twice",
                    attribute.oid
                ));
            }
        }
    }
    Ok(())
}

pub(crate) fn san_expected(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let got = tbs.extension(&ID_CE_SUBJECT_ALT_NAME).map(|san| san.value);
    match (expectation.san_der, got) {
        (None, None) => Ok(()),
        (Some(wanted), Some(got)) => equal("GeneralNames", wanted, got),
        (Some(_), None) => Err("wanted subject alternative names, got none".to_owned()),
        (None, Some(got)) => Err(format!(
            "wanted no subject alternative names, got {}",
            hexadecimal(got)
        )),
    }
}

pub(crate) fn san_forms(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    let Some(names) = general_names(tbs)? else {
        return Ok(());
    };
    if names.is_empty() {
        return Err("wanted at least one name".to_owned());
    }
    names.iter().try_for_each(|(tag, value)| {
        if is_well_formed(*tag, value) {
            Ok(())
        } else {
            Err(format!(
                "wanted a well-formed name, got {tag} {}",
                hexadecimal(value)
            ))
        }
    })
}

pub(crate) fn san_duplicates(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    let names = general_names(tbs)?.unwrap_or_default();
    let mut seen = Vec::with_capacity(names.len());
    for name in &names {
        let comparable = (name.0, without_case(name.0, name.1));
        if seen.contains(&comparable) {
            return Err(format!(
                "wanted each name once, got {} twice",
                hexadecimal(name.1)
            ));
        }
        seen.push(comparable);
    }
    Ok(())
}

/// A name in lower case where its standard disregards case: DNS names and the domain of a mailbox (RFC 5280 sections 7.2
/// and 7.5), the scheme of a URI (RFC 3986 section 3.1). Of a UPN only the octets are compared.
fn without_case(tag: Tag, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    let Tag::ContextSpecific { number, .. } = tag else {
        return value;
    };
    let end = value.len();
    let at = |octet: u8, from_end: bool| {
        let mut octets = value.iter();
        let found = |other: &u8| *other == octet;
        if from_end {
            octets.rposition(found)
        } else {
            octets.position(found)
        }
    };
    let range = match number.0 {
        1 => at(b'@', true).map(|at| at..end),
        2 => Some(0..end),
        6 => at(b':', false).map(|at| 0..at),
        _ => None,
    };
    if let Some(part) = range.and_then(|range| value.get_mut(range)) {
        part.make_ascii_lowercase();
    }
    value
}

pub(crate) fn subject_lengths(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    for Attribute { oid, tag: _, value } in rdns(tbs)?.into_iter().flatten() {
        let bound = UPPER_BOUNDS
            .iter()
            .find(|(kind, _)| *kind == oid)
            .map_or(UB_NAME, |(_, bound)| *bound);
        let length = String::from_utf8_lossy(value).chars().count();
        if length > bound || (oid == COUNTRY && length != 2) {
            return Err(format!(
                "{oid}: wanted at most {bound} characters, and two for a country, got {length}"
            ));
        }
    }
    Ok(())
}

/// A leaf with the CA's name would be found where the CA is looked for.
pub(crate) fn subject_not_issuer(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    if tbs.subject == tbs.issuer {
        Err("wanted a name of the subject's own, got the issuer's".to_owned())
    } else {
        Ok(())
    }
}

pub(crate) fn constraints(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let all = &expectation.issuer.name_constraints;
    let check = |what: &str, name: Name<'_>| {
        all.iter().try_for_each(|constraints| {
            constraints
                .check(name)
                .map_err(|problem| format!("{what}: {problem}"))
        })
    };
    if tbs.subject != EMPTY {
        check("subject", Name::directory(tbs.subject))?;
    }
    for attribute in rdns(tbs)?.into_iter().flatten() {
        if attribute.oid == EMAIL_ADDRESS {
            check("subject emailAddress", Name::mailbox(attribute.value))?;
        }
    }
    for (tag, value) in general_names(tbs)?.unwrap_or_default() {
        let what = format!("subjectAltName {tag} {}", hexadecimal(value));
        check(&what, Name::general(tag, value))?;
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
struct Attribute<'a> {
    oid: ObjectIdentifier,
    tag: Tag,
    value: &'a [u8],
}

fn rdns<'a>(tbs: &Tbs<'a>) -> Result<Vec<Vec<Attribute<'a>>>, String> {
    let unreadable = |error: der::Error| format!("wanted a Name: {error}");
    let mut rdns = Vec::new();
    for (tag, rdn) in children(tbs.subject).map_err(unreadable)? {
        tag.assert_eq(Tag::Set).map_err(unreadable)?;
        let attributes = values(rdn).map_err(unreadable)?;
        let attributes = attributes
            .into_iter()
            .map(|(tag, content)| attribute(tag, content));
        rdns.push(attributes.collect::<Result<_, _>>().map_err(unreadable)?);
    }
    Ok(rdns)
}

fn attribute(tag: Tag, content: &[u8]) -> der::Result<Attribute<'_>> {
    tag.assert_eq(Tag::Sequence)?;
    match values(content)?.as_slice() {
        [(Tag::ObjectIdentifier, oid), (tag, value)] => Ok(Attribute {
            oid: ObjectIdentifier::from_bytes(oid)?,
            tag: *tag,
            value,
        }),
        _ => Err(Tag::Sequence.value_error().into()),
    }
}

/// Tag and content of a name.
type GeneralName<'a> = (Tag, &'a [u8]);

fn general_names<'a>(tbs: &Tbs<'a>) -> Result<Option<Vec<GeneralName<'a>>>, String> {
    let Some(san) = tbs.extension(&ID_CE_SUBJECT_ALT_NAME) else {
        return Ok(None);
    };
    children(san.value)
        .map(Some)
        .map_err(|error| format!("wanted GeneralNames: {error}"))
}

/// The forms that a policy can issue; any other is not well-formed here.
fn is_well_formed(tag: Tag, value: &[u8]) -> bool {
    let Tag::ContextSpecific {
        constructed,
        number,
    } = tag
    else {
        return false;
    };
    match (number.0, constructed) {
        (0, true) => is_other_name(value),
        (1, false) => is_email(value),
        (2, false) => is_dns(value),
        (6, false) => is_uri(value),
        (7, false) => matches!(value.len(), 4 | 16),
        _ => false,
    }
}

fn is_other_name(value: &[u8]) -> bool {
    let Ok(parts) = values(value) else {
        return false;
    };
    match parts.as_slice() {
        [
            (Tag::ObjectIdentifier, oid),
            (
                Tag::ContextSpecific {
                    constructed: true,
                    number,
                },
                inner,
            ),
        ] => {
            ObjectIdentifier::from_bytes(oid).is_ok()
                && number.0 == 0
                && der::asn1::AnyRef::from_der(inner).is_ok()
        }
        _ => false,
    }
}

fn is_dns(value: &[u8]) -> bool {
    let host = value.strip_prefix(b"*.").unwrap_or(value);
    value.len() <= MAX_DNS_NAME && host.split(|byte| *byte == b'.').all(is_dns_label)
}

fn is_dns_label(label: &[u8]) -> bool {
    (1..=MAX_DNS_LABEL).contains(&label.len())
        && label.first() != Some(&b'-')
        && label.last() != Some(&b'-')
        && label
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn is_email(value: &[u8]) -> bool {
    let mut halves = value.rsplitn(2, |byte| *byte == b'@');
    let (domain, local) = (
        halves.next().unwrap_or_default(),
        halves.next().unwrap_or_default(),
    );
    is_dns(domain)
        && !local.is_empty()
        && local
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !b"()<>[]:;@\\,\"".contains(byte))
}

fn is_uri(value: &[u8]) -> bool {
    let scheme = value.iter().position(|byte| *byte == b':').unwrap_or(0);
    scheme > 0
        && value.first().is_some_and(u8::is_ascii_alphabetic)
        && value.len() > scheme + 1
        && value.iter().all(u8::is_ascii_graphic)
}
