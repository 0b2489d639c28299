//! Subject alternative names as typed values, RFC 5280 section 4.2.1.6.

mod form;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use const_oid::ObjectIdentifier;
use der::asn1::{Any, Ia5String, OctetString};
use der::{Decode, Encode};
use x509_cert::ext::pkix::name::{GeneralName, OtherName};

use crate::algorithm::words;
use crate::comparison::Comparison;

pub(crate) use form::MAX_URI;

/// User principal name, the otherName that Windows logon reads.
const UPN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.20.2.3");
/// What Intune puts before a security identifier in a URI name, and what all tags of Microsoft begin with.
const MICROSOFT_SID_PREFIX: &str = "tag:microsoft.com,2022-09-14:sid:";
const MICROSOFT_TAG: &str = "tag:microsoft.com,";

/// One subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectAltName {
    /// dNSName.
    Dns(String),
    /// iPAddress.
    Ip(IpAddr),
    /// rfc822Name.
    Email(String),
    /// uniformResourceIdentifier.
    Uri(String),
    /// otherName of type 1.3.6.1.4.1.311.20.2.3, a UTF8String.
    Upn(String),
    /// Any other otherName: its type and the DER of its value.
    OtherName {
        /// type-id.
        oid: ObjectIdentifier,
        /// The value inside `[0] EXPLICIT`.
        der: Vec<u8>,
    },
}

words! {
    /// The type of a subject alternative name as a policy file names it.
    SanKind {
        /// dNSName.
        Dns = "dns",
        /// iPAddress.
        Ip = "ip",
        /// rfc822Name.
        Email = "email",
        /// uniformResourceIdentifier, but for the one below.
        Uri = "uri",
        /// otherName: user principal name.
        Upn = "upn",
        /// Any other otherName.
        OtherName = "other",
        /// The URI `tag:microsoft.com,2022-09-14:sid:…`, a type of its own so that no rule for URIs lets it in. Any
        /// spelling of a tag of Microsoft is of this type, and only that one is well-formed.
        MicrosoftSid = "microsoft-sid",
    }
}

/// Why a subject alternative name is refused; says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SanError {
    /// The text names no type.
    #[error("`{0}`: a name is written TYPE:VALUE with TYPE one of dns, ip, email, uri, upn, other")]
    UnknownType(String),
    /// The value does not fit its type.
    #[error("{name}: {wanted}")]
    Value {
        /// The name as text.
        name: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// A form that no policy can list.
    #[error("the form {0} is not supported")]
    UnsupportedForm(&'static str),
    /// Not DER of GeneralNames.
    #[error("not the DER of GeneralNames: {0}")]
    Der(#[from] der::Error),
}

impl SubjectAltName {
    /// The type, for matching against a policy.
    pub fn kind(&self) -> SanKind {
        match self {
            Self::Dns(_) => SanKind::Dns,
            Self::Ip(_) => SanKind::Ip,
            Self::Email(_) => SanKind::Email,
            Self::Uri(uri) if is_microsoft_tag(uri) => SanKind::MicrosoftSid,
            Self::Uri(_) => SanKind::Uri,
            Self::Upn(_) => SanKind::Upn,
            Self::OtherName { .. } => SanKind::OtherName,
        }
    }

    /// The form that all names have which are equal to this one under [`Comparison::of_san`].
    #[must_use]
    pub fn canonical(&self) -> Self {
        let comparison = Comparison::of_san(self.kind());
        match self {
            Self::Dns(name) => Self::Dns(comparison.canonical(name)),
            Self::Email(address) => Self::Email(comparison.canonical(address)),
            Self::Uri(uri) => Self::Uri(comparison.canonical(uri)),
            Self::Upn(name) => Self::Upn(comparison.canonical(name)),
            Self::Ip(_) | Self::OtherName { .. } => self.clone(),
        }
    }

    /// Names in the form in which two sets of them are compared.
    pub(crate) fn canonical_set(names: &[Self]) -> Vec<Self> {
        let mut names: Vec<Self> = names.iter().map(Self::canonical).collect();
        names.sort();
        names
    }

    /// A name of a type whose value is text.
    pub(crate) fn from_kind(kind: SanKind, value: &str) -> Result<Self, SanError> {
        let name = match kind {
            SanKind::Dns => Self::Dns(value.to_owned()),
            SanKind::Email => Self::Email(value.to_owned()),
            SanKind::Uri | SanKind::MicrosoftSid => Self::Uri(value.to_owned()),
            SanKind::Upn => Self::Upn(value.to_owned()),
            SanKind::Ip => Self::Ip(value.parse().map_err(|_| SanError::Value {
                name: format!("ip:{value}"),
                wanted: "an IPv4 or IPv6 address without a mask",
            })?),
            SanKind::OtherName => return parse_other_name(value),
        };
        name.check()?;
        Ok(name)
    }

    /// Whether the value is one its type allows.
    ///
    /// # Errors
    /// [`SanError::Value`].
    pub fn check(&self) -> Result<(), SanError> {
        let verdict = match self {
            Self::Dns(name) => form::check_dns(name),
            Self::Ip(_) => Ok(()),
            Self::Email(address) => form::check_email(address),
            Self::Uri(uri) if is_microsoft_tag(uri) => form::check_microsoft_sid(uri),
            Self::Uri(uri) => form::check_uri(uri),
            Self::Upn(name) => form::check_upn(name),
            Self::OtherName { oid, der } => form::check_other_name(oid, der),
        };
        verdict.map_err(|wanted| SanError::Value {
            name: self.to_string(),
            wanted,
        })
    }

    /// Reads the value of a subjectAltName extension. Values are not judged here: [`SubjectAltName::check`] does.
    ///
    /// # Errors
    /// [`SanError::Der`], [`SanError::UnsupportedForm`].
    pub fn list_from_der(der: &[u8]) -> Result<Vec<Self>, SanError> {
        Vec::<GeneralName>::from_der(der)?
            .into_iter()
            .map(Self::from_general_name)
            .collect()
    }

    /// DER of GeneralNames, in the order given.
    ///
    /// # Errors
    /// [`SanError::Der`] where a value cannot be encoded.
    pub fn list_to_der(names: &[Self]) -> Result<Vec<u8>, SanError> {
        let names = names
            .iter()
            .map(Self::to_general_name)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(names.to_der()?)
    }

    fn from_general_name(name: GeneralName) -> Result<Self, SanError> {
        Ok(match name {
            GeneralName::DnsName(name) => Self::Dns(name.to_string()),
            GeneralName::Rfc822Name(address) => Self::Email(address.to_string()),
            GeneralName::UniformResourceIdentifier(uri) => Self::Uri(uri.to_string()),
            GeneralName::IpAddress(octets) => Self::Ip(ip_from_octets(octets.as_bytes())?),
            GeneralName::OtherName(other) => from_other_name(&other)?,
            GeneralName::DirectoryName(_) => {
                return Err(SanError::UnsupportedForm("directoryName"));
            }
            GeneralName::EdiPartyName(_) => return Err(SanError::UnsupportedForm("ediPartyName")),
            GeneralName::RegisteredId(_) => return Err(SanError::UnsupportedForm("registeredID")),
        })
    }

    fn to_general_name(&self) -> Result<GeneralName, SanError> {
        Ok(match self {
            Self::Dns(name) => GeneralName::DnsName(Ia5String::new(name)?),
            Self::Email(address) => GeneralName::Rfc822Name(Ia5String::new(address)?),
            Self::Uri(uri) => GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?),
            Self::Ip(IpAddr::V4(ip)) => GeneralName::IpAddress(OctetString::new(ip.octets())?),
            Self::Ip(IpAddr::V6(ip)) => GeneralName::IpAddress(OctetString::new(ip.octets())?),
            Self::Upn(name) => GeneralName::OtherName(OtherName {
                type_id: UPN,
                value: Any::new(der::Tag::Utf8String, name.as_bytes())?,
            }),
            Self::OtherName { oid, der } => GeneralName::OtherName(OtherName {
                type_id: *oid,
                value: Any::from_der(der)?,
            }),
        })
    }
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Ip(ip) => write!(f, "ip:{ip}"),
            Self::Email(address) => write!(f, "email:{address}"),
            Self::Uri(uri) => write!(f, "uri:{uri}"),
            Self::Upn(name) => write!(f, "upn:{name}"),
            Self::OtherName { oid, der } => write!(f, "other:{oid};{}", hex::encode(der)),
        }
    }
}

/// `TYPE:VALUE`, as [`fmt::Display`] writes it; an otherName is `other:OID;HEX`.
impl FromStr for SubjectAltName {
    type Err = SanError;

    fn from_str(text: &str) -> Result<Self, SanError> {
        let unknown = || SanError::UnknownType(text.to_owned());
        let (kind, value) = text.split_once(':').ok_or_else(unknown)?;
        let kind = [
            SanKind::Dns,
            SanKind::Ip,
            SanKind::Email,
            SanKind::Uri,
            SanKind::Upn,
            SanKind::OtherName,
        ]
        .into_iter()
        .find(|known| known.as_str() == kind)
        .ok_or_else(unknown)?;
        Self::from_kind(kind, value)
    }
}

fn is_microsoft_tag(uri: &str) -> bool {
    uri.get(..MICROSOFT_TAG.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(MICROSOFT_TAG))
}

fn ip_from_octets(octets: &[u8]) -> Result<IpAddr, SanError> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Ok(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(octets)
        .map(IpAddr::from)
        .map_err(|_| SanError::Value {
            name: format!("ip:{}", hex::encode(octets)),
            wanted: "an iPAddress has 4 or 16 octets",
        })
}

fn from_other_name(other: &OtherName) -> Result<SubjectAltName, SanError> {
    if other.type_id == UPN {
        let name = other.value.decode_as::<String>()?;
        return Ok(SubjectAltName::Upn(name));
    }
    Ok(SubjectAltName::OtherName {
        oid: other.type_id,
        der: other.value.to_der()?,
    })
}

fn parse_other_name(value: &str) -> Result<SubjectAltName, SanError> {
    let parsed = value.split_once(';').and_then(|(oid, digits)| {
        Some(SubjectAltName::OtherName {
            oid: ObjectIdentifier::new(oid).ok()?,
            der: hex::decode(digits).ok()?,
        })
    });
    let name = parsed.ok_or_else(|| SanError::Value {
        name: format!("other:{value}"),
        wanted: "an otherName is written other:OID;HEX with the DER of its value",
    })?;
    name.check()?;
    Ok(name)
}
