//! Subject alternative names (RFC 5280 section 4.2.1.6): the types that a policy can issue, and what a value of each
//! looks like.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use const_oid::ObjectIdentifier;
use der::asn1::AnyRef;
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};

use crate::exact;

/// User principal name, the otherName that Windows logon reads.
pub(crate) const UPN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.20.2.3");
/// The prefix of a security identifier in a URI that Windows logon reads, and what all tags of Microsoft begin with.
const SID_PREFIX: &str = "tag:microsoft.com,2022-09-14:sid:";
const MICROSOFT_TAG: &str = "tag:microsoft.com,";

/// Names in one certificate. A challenge binds at most 100 of each type.
const MAX_NAMES: usize = 1_000;
/// RFC 1035 section 2.3.4.
const MAX_DNS_NAME: usize = 253;
const MAX_DNS_LABEL: usize = 63;
/// RFC 5321 section 4.5.3.1.3.
const MAX_EMAIL: usize = 254;
/// As in policy files.
pub(crate) const MAX_URI: usize = 1_024;
/// Nesting of the value of an otherName.
const MAX_DEPTH: usize = 8;

/// The type of a subject alternative name, by the words of policy files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SanKind {
    /// dNSName.
    Dns,
    /// iPAddress.
    Ip,
    /// rfc822Name.
    Email,
    /// uniformResourceIdentifier, except the one below.
    Uri,
    /// otherName: user principal name.
    Upn,
    /// Any other otherName.
    Other,
    /// The URI `tag:microsoft.com,2022-09-14:sid:…`, to which Windows maps an account.
    MicrosoftSid,
}

impl SanKind {
    /// The word of policy files and forms.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Ip => "ip",
            Self::Email => "email",
            Self::Uri => "uri",
            Self::Upn => "upn",
            Self::Other => "other",
            Self::MicrosoftSid => "microsoft-sid",
        }
    }
}

impl fmt::Display for SanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a subjectAltName is refused, whatever the form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SanFault {
    /// Not the DER of GeneralNames.
    #[error("it is not the DER of GeneralNames")]
    Encoding,
    /// None, or too many.
    #[error("it has {0} names; wanted 1 to {MAX_NAMES}")]
    Count(usize),
    /// The same name again.
    #[error("a name of type {0} occurs twice")]
    Repeated(SanKind),
    /// A type that no form can list.
    #[error("it has a {0}, which no form can allow")]
    Type(&'static str),
    /// A value that its type does not allow.
    #[error("a name of type {0} is malformed")]
    Malformed(SanKind),
}

/// One name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct San {
    pub(crate) kind: SanKind,
    /// Text of the name; of another otherName the type.
    pub(crate) text: String,
}

/// The names of a subjectAltName extension.
pub(crate) fn parse(value: &[u8]) -> Result<Vec<San>, SanFault> {
    let names: Vec<GeneralName> = exact::decode(value).map_err(|_| SanFault::Encoding)?;
    if !(1..=MAX_NAMES).contains(&names.len()) {
        return Err(SanFault::Count(names.len()));
    }
    let mut seen = BTreeSet::new();
    let mut sans = Vec::with_capacity(names.len());
    for name in &names {
        let san = San::of(name)?;
        let text = san.comparable();
        let der = name.to_der().map_err(|_| SanFault::Encoding)?;
        // Of other names the text is only the type.
        let value = if text.is_empty() || san.kind == SanKind::Other {
            der
        } else {
            Vec::new()
        };
        if !seen.insert((san.kind, text, value)) {
            return Err(SanFault::Repeated(san.kind));
        }
        sans.push(san);
    }
    Ok(sans)
}

impl San {
    fn of(name: &GeneralName) -> Result<Self, SanFault> {
        let (kind, text, is_sound) = match name {
            GeneralName::DnsName(name) => (SanKind::Dns, name.as_str(), is_dns(name.as_str())),
            GeneralName::Rfc822Name(address) => {
                let address = address.as_str();
                (SanKind::Email, address, is_email(address))
            }
            GeneralName::UniformResourceIdentifier(uri) => {
                let uri = uri.as_str();
                let kind = uri_kind(uri);
                let is_sid = kind == SanKind::MicrosoftSid;
                let is_sound = is_uri(uri) && (!is_sid || uri.starts_with(SID_PREFIX));
                (kind, uri, is_sound)
            }
            GeneralName::IpAddress(address) => {
                (SanKind::Ip, "", matches!(address.as_bytes().len(), 4 | 16))
            }
            GeneralName::OtherName(other) => return Self::of_other(other),
            GeneralName::DirectoryName(_) => return Err(SanFault::Type("directoryName")),
            GeneralName::EdiPartyName(_) => return Err(SanFault::Type("ediPartyName")),
            GeneralName::RegisteredId(_) => return Err(SanFault::Type("registeredID")),
        };
        let text = text.to_owned();
        is_sound
            .then_some(Self { kind, text })
            .ok_or(SanFault::Malformed(kind))
    }

    fn of_other(other: &OtherName) -> Result<Self, SanFault> {
        if other.type_id != UPN {
            let der = other.value.to_der().map_err(|_| SanFault::Encoding)?;
            return is_der(&der, MAX_DEPTH)
                .then(|| Self {
                    kind: SanKind::Other,
                    text: other.type_id.to_string(),
                })
                .ok_or(SanFault::Malformed(SanKind::Other));
        }
        let text = std::str::from_utf8(other.value.value()).ok();
        let is_text = other.value.tag() == Tag::Utf8String;
        text.filter(|text| is_text && is_upn(text))
            .map(|text| Self {
                kind: SanKind::Upn,
                text: text.to_owned(),
            })
            .ok_or(SanFault::Malformed(SanKind::Upn))
    }

    /// The text in lower case where the standard of its type disregards case (RFC 5280 sections 7.2 and 7.5, RFC 3986
    /// section 3.1).
    fn comparable(&self) -> String {
        let text = self.text.as_str();
        let split = match self.kind {
            SanKind::Dns => return text.to_ascii_lowercase(),
            SanKind::Email | SanKind::Upn => text.rfind('@'),
            SanKind::Uri | SanKind::MicrosoftSid => text.find(':'),
            SanKind::Ip | SanKind::Other => None,
        };
        let (start, end) = split.map_or((text, ""), |at| text.split_at(at));
        match self.kind {
            SanKind::Email | SanKind::Upn => format!("{start}{}", end.to_ascii_lowercase()),
            SanKind::Uri | SanKind::MicrosoftSid => format!("{}{end}", start.to_ascii_lowercase()),
            SanKind::Dns | SanKind::Ip | SanKind::Other => text.to_owned(),
        }
    }

    /// Whether it lies within a subtree of its type.
    pub(crate) fn is_within(&self, subtree: &str) -> bool {
        match self.kind {
            SanKind::Dns => is_below(&self.text, subtree),
            SanKind::Upn => self
                .text
                .rsplit_once('@')
                .is_some_and(|(_, realm)| is_below(realm, subtree)),
            SanKind::Uri => uri_host(&self.text).is_some_and(|host| is_below(host, subtree)),
            SanKind::Other => self.text == subtree,
            SanKind::Ip | SanKind::Email | SanKind::MicrosoftSid => false,
        }
    }
}

/// Any spelling of the tag URI counts, so that none passes as a URI like others.
pub(crate) fn uri_kind(uri: &str) -> SanKind {
    let is_tag = uri
        .get(..MICROSOFT_TAG.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(MICROSOFT_TAG));
    if is_tag {
        SanKind::MicrosoftSid
    } else {
        SanKind::Uri
    }
}

/// `example.com` and whatever ends in `.example.com`.
pub(crate) fn is_below(host: &str, subtree: &str) -> bool {
    host.eq_ignore_ascii_case(subtree) || ends_below(host, subtree)
}

/// Whether it ends in `.` and the subtree, after at least one character.
pub(crate) fn ends_below(host: &str, subtree: &str) -> bool {
    let at = host.len().checked_sub(subtree.len());
    let split = at.and_then(|at| host.split_at_checked(at));
    split.is_some_and(|(start, end)| {
        end.eq_ignore_ascii_case(subtree) && start.len() > 1 && start.ends_with('.')
    })
}

/// The host of a URI's authority (RFC 3986 section 3.2.2), if it is a DNS name.
pub(crate) fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = host.split(':').next()?;
    is_dns(host).then_some(host)
}

/// Labels of letters, digits and inner hyphens (RFC 1034 section 3.5); the first may be `*`.
pub(crate) fn is_dns(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let is_inner = !label.starts_with('-') && !label.ends_with('-');
        let octets = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        (1..=MAX_DNS_LABEL).contains(&label.len()) && is_inner && label.bytes().all(octets)
    };
    name.len() <= MAX_DNS_NAME && name.parse::<Ipv4Addr>().is_err() && host.split('.').all(is_label)
}

/// A local part as a dot-atom (RFC 5321 section 4.1.2) at a DNS name.
fn is_email(address: &str) -> bool {
    let is_atom = |part: &str| {
        let octets =
            |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet);
        !part.is_empty() && part.bytes().all(octets)
    };
    let parts = address.rsplit_once('@');
    address.len() <= MAX_EMAIL
        && parts.is_some_and(|(local, domain)| {
            local.split('.').all(is_atom) && !domain.starts_with('*') && is_dns(domain)
        })
}

/// Absolute, of printable ASCII (RFC 3986).
pub(crate) fn is_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return false;
    };
    let in_scheme = |octet: u8| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet);
    let in_rest = |octet: u8| octet.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&octet);
    uri.len() <= MAX_URI
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(in_scheme)
        && !rest.is_empty()
        && rest.bytes().all(in_rest)
}

/// `user@realm`, without control characters or outer spaces.
fn is_upn(name: &str) -> bool {
    let is_clean = !name.contains(char::is_control) && name.trim() == name;
    let parts = name.split_once('@');
    name.len() <= MAX_URI
        && is_clean
        && parts.is_some_and(|(user, realm)| {
            !user.is_empty() && !realm.is_empty() && !realm.contains('@')
        })
}

/// One value, of definite lengths all the way down.
fn is_der(der: &[u8], depth: usize) -> bool {
    let Ok(value) = AnyRef::from_der(der) else {
        return false;
    };
    if !value.tag().is_constructed() {
        return true;
    }
    let Ok(mut reader) = SliceReader::new(value.value()) else {
        return value.value().is_empty();
    };
    while !reader.is_finished() {
        let inner = reader.tlv_bytes();
        if depth == 0 || !inner.is_ok_and(|inner| is_der(inner, depth - 1)) {
            return false;
        }
    }
    true
}
