//! What authorises a request: the source, which vouches for it, and its claims, which say what may be issued.

use std::fmt;
use std::time::SystemTime;

use assay_types::Hash;
use serde::{Deserialize, Serialize};

use crate::dn::Dn;
use crate::profile::ChallengeKind;
use crate::san::SubjectAltName;
use crate::text;

/// A source with its claims. It was verified before the decision, which takes it as true.
///
/// As JSON, names are RFC 4514 and `TYPE:VALUE` text, times are Unix seconds, and hashes are hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Grant {
    source: Source,
    claims: Claims,
}

/// A grant as it was kept, before its claims are compared with its source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    source: Source,
    claims: Claims,
}

/// What authorised a request. Whatever depends on the kind of source is answered by a method here, so that a further
/// source is a further variant and its answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// A challenge bound to names, good for one certificate.
    #[serde(rename = "one-time")]
    OneTimeChallenge {
        /// Public identifier of the challenge.
        id: String,
    },
    /// A challenge shared by the devices of an inventory.
    #[serde(rename = "static")]
    StaticChallenge {
        /// Public identifier of the challenge.
        id: String,
    },
    /// A certificate issued before, whose key signed the request; found in the index, valid and not revoked.
    Renewal(Renewed),
}

/// A certificate that is renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewed {
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// SHA-256 of its DER SubjectPublicKeyInfo.
    pub spki_sha256: Hash,
    /// Serial number of the latest certificate that renewed it already, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
}

/// What may be issued on the word of a source. The rules compare the request and the profile with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The profile that the challenge was issued for, or that the renewed certificate was issued under.
    pub profile: String,
    /// The names that the source is bound to; `None` where the inventory alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<ClaimedNames>,
    /// When the source ends, where it is bound to names: a challenge cannot be used from this time on, a certificate can be
    /// renewed up to and including this time, its NotAfter.
    #[serde(
        default,
        with = "text::seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires: Option<SystemTime>,
    /// The entry found today under [`crate::Profile::inventory_name`], if there is one and the source needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<InventoryEntry>,
}

/// Names that a source is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimedNames {
    /// The subject.
    #[serde(with = "text")]
    pub subject: Dn,
    /// The subject alternative names, as a set.
    #[serde(with = "text::list")]
    pub sans: Vec<SubjectAltName>,
}

impl ClaimedNames {
    /// Whether two sources are bound to the same names, each value compared as [`crate::Comparison`] says.
    pub fn same(&self, other: &Self) -> bool {
        self.subject.same(&other.subject)
            && SubjectAltName::canonical_set(&self.sans)
                == SubjectAltName::canonical_set(&other.sans)
    }
}

/// A line of an inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryEntry {
    /// Exact value of the attribute that the profile takes from its inventory.
    pub name: String,
    /// Pins the device's key: SHA-256 of its DER SubjectPublicKeyInfo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spki_sha256: Option<Hash>,
    /// Whether this name had its certificate under the static challenge already.
    pub already_issued: bool,
}

/// Claims of another kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a source of this kind does not make these claims")]
pub struct ForeignClaims;

impl Grant {
    /// A one-time challenge, issued for `profile` and `names`.
    pub fn one_time(id: String, profile: String, names: ClaimedNames, expires: SystemTime) -> Self {
        Self {
            source: Source::OneTimeChallenge { id },
            claims: Claims {
                profile,
                names: Some(names),
                expires: Some(expires),
                inventory: None,
            },
        }
    }

    /// A static challenge, issued for `profile`.
    pub fn shared(id: String, profile: String, inventory: Option<InventoryEntry>) -> Self {
        Self {
            source: Source::StaticChallenge { id },
            claims: Claims {
                profile,
                names: None,
                expires: None,
                inventory,
            },
        }
    }

    /// A certificate that was issued under `profile` for `names` and ends at `not_after`.
    pub fn renewal(
        renewed: Renewed,
        profile: String,
        names: ClaimedNames,
        not_after: SystemTime,
        inventory: Option<InventoryEntry>,
    ) -> Self {
        Self {
            source: Source::Renewal(renewed),
            claims: Claims {
                profile,
                names: Some(names),
                expires: Some(not_after),
                inventory,
            },
        }
    }

    /// A source with claims that were kept apart.
    ///
    /// # Errors
    /// Where a source of this kind makes other claims.
    pub fn from_parts(source: Source, claims: Claims) -> Result<Self, ForeignClaims> {
        let bound = source.binds_names();
        let whole = claims.names.is_some() == bound
            && claims.expires.is_some() == bound
            && (claims.inventory.is_none() || source.needs_inventory());
        if whole {
            Ok(Self { source, claims })
        } else {
            Err(ForeignClaims)
        }
    }

    /// What authorised the request.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What may be issued.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

impl TryFrom<Parts> for Grant {
    type Error = ForeignClaims;

    fn try_from(Parts { source, claims }: Parts) -> Result<Self, ForeignClaims> {
        Self::from_parts(source, claims)
    }
}

impl Source {
    /// The identifier of the challenge, or the serial number of the renewed certificate.
    pub fn id(&self) -> &str {
        match self {
            Self::OneTimeChallenge { id } | Self::StaticChallenge { id } => id,
            Self::Renewal(renewed) => &renewed.serial,
        }
    }

    /// The kind of challenge; `None` where the source is not a challenge.
    pub fn challenge_kind(&self) -> Option<ChallengeKind> {
        match self {
            Self::OneTimeChallenge { .. } => Some(ChallengeKind::OneTime),
            Self::StaticChallenge { .. } => Some(ChallengeKind::Static),
            Self::Renewal(_) => None,
        }
    }

    /// The identifier of the challenge; `None` where the source is not a challenge.
    pub fn challenge_id(&self) -> Option<&str> {
        self.challenge_kind().map(|_| self.id())
    }

    /// The certificate that the new one supersedes.
    pub fn renewed(&self) -> Option<&Renewed> {
        match self {
            Self::Renewal(renewed) => Some(renewed),
            Self::OneTimeChallenge { .. } | Self::StaticChallenge { .. } => None,
        }
    }

    /// Whether it is bound to names, and then to a time.
    pub fn binds_names(&self) -> bool {
        match self {
            Self::OneTimeChallenge { .. } | Self::Renewal(_) => true,
            Self::StaticChallenge { .. } => false,
        }
    }

    /// Whether the name must be in the profile's inventory, where the profile has one.
    pub fn needs_inventory(&self) -> bool {
        match self {
            Self::StaticChallenge { .. } | Self::Renewal(_) => true,
            Self::OneTimeChallenge { .. } => false,
        }
    }

    /// Whether several devices know the same secret. It then authorises one certificate for each name of the inventory.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::StaticChallenge { .. } => true,
            Self::OneTimeChallenge { .. } | Self::Renewal(_) => false,
        }
    }

    /// As `assay policy explain` shows it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::OneTimeChallenge { id } => format!("the one-time challenge {id}"),
            Self::StaticChallenge { id } => format!("the static challenge {id}"),
            Self::Renewal(Renewed { serial, .. }) => format!("renewal of certificate {serial}"),
        }
    }
}

/// As a refusal names it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneTimeChallenge { id } | Self::StaticChallenge { id } => {
                write!(f, "challenge {id}")
            }
            Self::Renewal(renewed) => write!(f, "certificate {}", renewed.serial),
        }
    }
}
