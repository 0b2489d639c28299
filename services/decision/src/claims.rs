//! What authorised a request, as JSON: one member `authority` that says which kind, and the fields of that kind alone.

use std::str::FromStr;
use std::time::SystemTime;

use assay_audit::{Hash, Inexpressible, canonical};
use assay_policy::{Authority, ChallengeKind, Dn, InventoryEntry, SubjectAltName};
use serde::{Deserialize, Serialize};

use crate::facts::{moment, unix};

/// [`Authority`] in a form that can be kept: names in RFC 4514 and `TYPE:VALUE` text, times in Unix seconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "authority", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Claims {
    /// A challenge bound to names.
    OneTime {
        /// Public id of the challenge.
        id: String,
        /// The profile it was issued for.
        profile: String,
        /// The subject it is bound to.
        subject: String,
        /// The names it is bound to.
        sans: Vec<String>,
        /// Unix seconds.
        expires: i64,
    },
    /// A challenge shared by the devices of an inventory.
    Static {
        /// Public id of the challenge.
        id: String,
        /// The profile it was issued for.
        profile: String,
        /// What the inventory said of the name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inventory: Option<Entry>,
    },
    /// A certificate of this CA that signed the request.
    Renewal {
        /// Its serial, hex.
        serial: String,
        /// The profile it was issued under.
        profile: String,
        /// The subject it was issued for.
        subject: String,
        /// The names it was issued for.
        sans: Vec<String>,
        /// Unix seconds.
        not_after: i64,
        /// SHA-256 of its SubjectPublicKeyInfo.
        old_spki_sha256: Hash,
        /// What the inventory said of the name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inventory: Option<Entry>,
    },
    /// Nothing.
    None {},
}

/// A line of an inventory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The device's name.
    pub name: String,
    /// The key that is pinned to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spki_sha256: Option<Hash>,
    /// Whether the name had its certificate under the static challenge already.
    pub already_issued: bool,
}

/// Claims that are no authority's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// A subject is no name.
    #[error("subject `{0}`: not an RFC 4514 name")]
    Subject(String),
    /// A subject alternative name is none.
    #[error("name `{0}`: not TYPE:VALUE")]
    San(String),
    /// The same authority is written in another way.
    #[error("the claims are not written in their one form")]
    Form,
}

impl From<&Authority> for Claims {
    fn from(authority: &Authority) -> Self {
        match authority {
            Authority::OneTimeChallenge {
                id,
                profile,
                subject,
                sans,
                expires,
            } => Self::OneTime {
                id: id.clone(),
                profile: profile.clone(),
                subject: subject.to_string(),
                sans: texts(sans),
                expires: unix(*expires),
            },
            Authority::StaticChallenge {
                id,
                profile,
                inventory,
            } => Self::Static {
                id: id.clone(),
                profile: profile.clone(),
                inventory: inventory.as_ref().map(Entry::from),
            },
            Authority::Renewal {
                serial,
                profile,
                subject,
                sans,
                not_after,
                old_spki_sha256,
                inventory,
            } => Self::Renewal {
                serial: serial.clone(),
                profile: profile.clone(),
                subject: subject.to_string(),
                sans: texts(sans),
                not_after: unix(*not_after),
                old_spki_sha256: Hash::from(*old_spki_sha256),
                inventory: inventory.as_ref().map(Entry::from),
            },
            Authority::None => Self::None {},
        }
    }
}

impl TryFrom<&Claims> for Authority {
    type Error = ClaimsError;

    fn try_from(claims: &Claims) -> Result<Self, ClaimsError> {
        let authority = match claims.clone() {
            Claims::OneTime {
                id,
                profile,
                subject,
                sans,
                expires,
            } => Self::OneTimeChallenge {
                id,
                profile,
                subject: parse_subject(subject)?,
                sans: parse_sans(sans)?,
                expires: seconds(expires),
            },
            Claims::Static {
                id,
                profile,
                inventory,
            } => Self::StaticChallenge {
                id,
                profile,
                inventory: inventory.map(InventoryEntry::from),
            },
            Claims::Renewal {
                serial,
                profile,
                subject,
                sans,
                not_after,
                old_spki_sha256,
                inventory,
            } => Self::Renewal {
                serial,
                profile,
                subject: parse_subject(subject)?,
                sans: parse_sans(sans)?,
                not_after: seconds(not_after),
                old_spki_sha256: old_spki_sha256.into(),
                inventory: inventory.map(InventoryEntry::from),
            },
            Claims::None {} => Self::None,
        };
        // Names have spellings; a record has one.
        if Claims::from(&authority) == *claims {
            Ok(authority)
        } else {
            Err(ClaimsError::Form)
        }
    }
}

impl From<&InventoryEntry> for Entry {
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

impl From<Entry> for InventoryEntry {
    fn from(entry: Entry) -> Self {
        let Entry {
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

impl Claims {
    /// The `claims_sha256` of the `challenge.issued` record that these claims must go back to; `None` where no challenge
    /// authorised the request.
    ///
    /// # Errors
    /// As [`claims_sha256`].
    pub fn issued_sha256(&self) -> Result<Option<Hash>, Inexpressible> {
        match self {
            Self::OneTime {
                profile,
                subject,
                sans,
                ..
            } => claims_sha256(ChallengeKind::OneTime, profile, subject, sans).map(Some),
            Self::Static { profile, .. } => {
                claims_sha256(ChallengeKind::Static, profile, "", &[]).map(Some)
            }
            Self::Renewal { .. } | Self::None {} => Ok(None),
        }
    }
}

fn texts(sans: &[SubjectAltName]) -> Vec<String> {
    sans.iter().map(ToString::to_string).collect()
}

fn parse_subject(text: String) -> Result<Dn, ClaimsError> {
    Dn::parse_rfc4514(&text).map_err(|_| ClaimsError::Subject(text))
}

fn parse_sans(texts: Vec<String>) -> Result<Vec<SubjectAltName>, ClaimsError> {
    texts
        .into_iter()
        .map(|text| SubjectAltName::from_str(&text).map_err(|_| ClaimsError::San(text)))
        .collect()
}

/// Past the reach of milliseconds a time is cut, and then no longer what was written.
fn seconds(seconds: i64) -> SystemTime {
    moment(seconds.saturating_mul(1_000))
}
