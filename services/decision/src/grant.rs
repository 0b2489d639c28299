//! What authorises a request, as JSON: the kind of source with what identifies it, and its claims.

use std::str::FromStr;
use std::time::SystemTime;

use assay_audit::{Inexpressible, canonical};
use assay_policy::{
    ChallengeKind, ClaimedNames, Claims, Dn, ForeignClaims, Grant, InventoryEntry, Renewed, Source,
    SubjectAltName,
};
use assay_types::{Hash, Timestamp};
use serde::{Deserialize, Serialize};

/// A [`Grant`] in a form that can be kept: names in RFC 4514 and `TYPE:VALUE` text, times in Unix seconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantWire {
    source: SourceWire,
    claims: ClaimsWire,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum SourceWire {
    OneTime { id: String },
    Static { id: String },
    Renewal { serial: String, spki_sha256: Hash },
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimsWire {
    profile: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    names: Option<NamesWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inventory: Option<EntryWire>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamesWire {
    subject: String,
    sans: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryWire {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spki_sha256: Option<Hash>,
    already_issued: bool,
}

/// JSON that is not a grant.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// Not JSON, or not of this shape.
    #[error("not an object with `source` and `claims`")]
    Parse(#[source] serde_json::Error),
    /// A subject is not a name.
    #[error("subject `{0}`: not an RFC 4514 name")]
    Subject(String),
    /// A subject alternative name is not one.
    #[error("name `{0}`: not TYPE:VALUE")]
    San(String),
    /// A source of this kind makes other claims.
    #[error("the claims are not those of the source")]
    Claims(#[source] ForeignClaims),
    /// The same grant is written in another way.
    #[error("the grant is not written in its one form")]
    Form,
}

/// Reads the `grant` of a line of evidence.
///
/// # Errors
/// Where it is not a grant in the one form that evidence has.
pub fn read_grant(json: &[u8]) -> Result<Grant, GrantError> {
    let wire: GrantWire = serde_json::from_slice(json).map_err(GrantError::Parse)?;
    Grant::try_from(wire)
}

impl From<&Grant> for GrantWire {
    fn from(grant: &Grant) -> Self {
        let Claims {
            profile,
            names,
            expires,
            inventory,
        } = grant.claims();
        Self {
            source: grant.source().into(),
            claims: ClaimsWire {
                profile: profile.clone(),
                names: names.as_ref().map(NamesWire::from),
                expires: expires.map(Into::into),
                inventory: inventory.as_ref().map(EntryWire::from),
            },
        }
    }
}

impl TryFrom<GrantWire> for Grant {
    type Error = GrantError;

    fn try_from(wire: GrantWire) -> Result<Self, GrantError> {
        let ClaimsWire {
            profile,
            names,
            expires,
            inventory,
        } = wire.claims.clone();
        let claims = Claims {
            profile,
            names: names.map(ClaimedNames::try_from).transpose()?,
            expires: expires.map(SystemTime::from),
            inventory: inventory.map(InventoryEntry::from),
        };
        let source = wire.source.clone().into();
        let grant = Self::from_parts(source, claims).map_err(GrantError::Claims)?;
        // Names have spellings, and times end with the year 9999; a record has one form.
        if GrantWire::from(&grant) == wire {
            Ok(grant)
        } else {
            Err(GrantError::Form)
        }
    }
}

impl From<&Source> for SourceWire {
    fn from(source: &Source) -> Self {
        match source.clone() {
            Source::OneTimeChallenge { id } => Self::OneTime { id },
            Source::StaticChallenge { id } => Self::Static { id },
            Source::Renewal(Renewed {
                serial,
                spki_sha256,
            }) => Self::Renewal {
                serial,
                spki_sha256: Hash::from(spki_sha256),
            },
        }
    }
}

impl From<SourceWire> for Source {
    fn from(wire: SourceWire) -> Self {
        match wire {
            SourceWire::OneTime { id } => Self::OneTimeChallenge { id },
            SourceWire::Static { id } => Self::StaticChallenge { id },
            SourceWire::Renewal {
                serial,
                spki_sha256,
            } => Self::Renewal(Renewed {
                serial,
                spki_sha256: spki_sha256.into(),
            }),
        }
    }
}

impl From<&ClaimedNames> for NamesWire {
    fn from(names: &ClaimedNames) -> Self {
        Self {
            subject: names.subject.to_string(),
            sans: texts(&names.sans),
        }
    }
}

impl TryFrom<NamesWire> for ClaimedNames {
    type Error = GrantError;

    fn try_from(wire: NamesWire) -> Result<Self, GrantError> {
        let NamesWire { subject, sans } = wire;
        Ok(Self {
            subject: Dn::parse_rfc4514(&subject).map_err(|_| GrantError::Subject(subject))?,
            sans: sans
                .into_iter()
                .map(|text| SubjectAltName::from_str(&text).map_err(|_| GrantError::San(text)))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<&InventoryEntry> for EntryWire {
    fn from(entry: &InventoryEntry) -> Self {
        let InventoryEntry {
            name,
            spki_sha256,
            already_issued,
        } = entry;
        Self {
            name: name.clone(),
            spki_sha256: spki_sha256.map(Hash::from),
            already_issued: *already_issued,
        }
    }
}

impl From<EntryWire> for InventoryEntry {
    fn from(entry: EntryWire) -> Self {
        let EntryWire {
            name,
            spki_sha256,
            already_issued,
        } = entry;
        Self {
            name,
            spki_sha256: spki_sha256.map(Into::into),
            already_issued,
        }
    }
}

/// What a `challenge.issued` record says of what the challenge is bound to: SHA-256 of the canonical JSON of
/// `[kind, profile, subject, [sans, sorted]]`, the subject empty for a static challenge.
///
/// # Errors
/// None in truth: lists of strings can be expressed.
pub fn claims_sha256(
    kind: ChallengeKind,
    profile: &str,
    subject: &str,
    sans: &[String],
) -> Result<Hash, Inexpressible> {
    let mut sorted = sans.to_vec();
    sorted.sort();
    let text = canonical(&(kind.as_str(), profile, subject, sorted))?;
    Ok(Hash::of(text.as_bytes()))
}

/// The `claims_sha256` of the `challenge.issued` record that a grant must go back to; `None` where its source is not a
/// challenge.
///
/// # Errors
/// As [`claims_sha256`].
pub fn issued_sha256(grant: &Grant) -> Result<Option<Hash>, Inexpressible> {
    let Some(kind) = grant.source().challenge_kind() else {
        return Ok(None);
    };
    let claims = grant.claims();
    let (subject, sans) = match &claims.names {
        Some(names) => (names.subject.to_string(), texts(&names.sans)),
        None => (String::new(), Vec::new()),
    };
    claims_sha256(kind, &claims.profile, &subject, &sans).map(Some)
}

fn texts(sans: &[SubjectAltName]) -> Vec<String> {
    sans.iter().map(ToString::to_string).collect()
}
