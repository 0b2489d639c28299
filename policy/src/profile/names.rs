//! The names that policy and claims permit, computed without a look at the request.

use const_oid::ObjectIdentifier;

use super::{Profile, SanValue, ValueRule};
use crate::attribute;
use crate::dn::{Dn, DnAttribute, DnError, Rdn};
use crate::grant::Claims;
use crate::san::{SanError, SubjectAltName};

/// The one subject and the one set of subject alternative names that may be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PermittedNames {
    pub(crate) subject: Dn,
    /// In the order of the policy file, claimed ones sorted: so that the certificate is deterministic.
    pub(crate) sans: Vec<SubjectAltName>,
}

/// Why claims permit no names under a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NamesError {
    /// The challenge's subject lacks an attribute that the profile takes from it.
    #[error("the subject of challenge or renewed certificate must have exactly one {0}")]
    MissingClaim(String),
    /// No inventory entry where the profile takes a value from it.
    #[error("the profile takes a value from its inventory, and no entry was found")]
    MissingInventory,
    /// The number of claimed names of a type is out of bounds.
    #[error(
        "the challenge binds {got} subject alternative names of type {kind}; the profile allows {min} to {max}"
    )]
    ClaimedCount {
        /// Type of name.
        kind: &'static str,
        /// How many the challenge binds.
        got: usize,
        /// Least.
        min: usize,
        /// Most.
        max: usize,
    },
    /// The subject would not be fit for a certificate.
    #[error("the subject would not be fit for a certificate: {0}")]
    Subject(#[from] DnError),
    /// A subject alternative name would not be fit for a certificate.
    #[error("a subject alternative name would not be fit for a certificate: {0}")]
    San(#[from] SanError),
    /// A joined URI that is of another type than its rule's.
    #[error("{0} is of a type that the profile does not list")]
    UnlistedSan(String),
    /// One name twice.
    #[error("{0} would be issued twice")]
    DuplicateSan(String),
}

/// What values may come from besides literals.
#[derive(Clone, Copy, Default)]
pub(crate) struct Values<'a> {
    pub(crate) subject: Option<&'a Dn>,
    pub(crate) sans: &'a [SubjectAltName],
    /// Name of the inventory's entry.
    pub(crate) inventory: Option<&'a str>,
}

impl<'a> From<&'a Claims> for Values<'a> {
    fn from(claims: &'a Claims) -> Self {
        let names = claims.names.as_ref();
        Self {
            subject: names.map(|names| &names.subject),
            sans: names.map_or(&[], |names| &names.sans),
            inventory: claims.inventory.as_ref().map(|entry| entry.name.as_str()),
        }
    }
}

impl Profile {
    pub(crate) fn permitted_names(&self, values: Values<'_>) -> Result<PermittedNames, NamesError> {
        let mut rdns = Vec::with_capacity(self.subject.len());
        for rule in &self.subject {
            let mut attributes = Vec::with_capacity(rule.attributes.len());
            for attribute in &rule.attributes {
                attributes.push(DnAttribute::new(
                    attribute.oid,
                    attribute.value.resolve(values)?,
                )?);
            }
            rdns.push(Rdn::new(attributes)?);
        }
        Ok(PermittedNames {
            subject: Dn::new(rdns)?,
            sans: self.permitted_sans(values)?,
        })
    }

    fn permitted_sans(&self, values: Values<'_>) -> Result<Vec<SubjectAltName>, NamesError> {
        let mut sans = Vec::new();
        for rule in &self.sans {
            match &rule.value {
                SanValue::One(value) => {
                    sans.push(SubjectAltName::from_kind(
                        rule.kind,
                        &value.resolve(values)?,
                    )?);
                }
                SanValue::Claimed { min, max } => {
                    let mut claimed = values.sans_of(rule.kind);
                    if !(*min..=*max).contains(&claimed.len()) {
                        return Err(NamesError::ClaimedCount {
                            kind: rule.kind.as_str(),
                            got: claimed.len(),
                            min: *min,
                            max: *max,
                        });
                    }
                    claimed.sort();
                    sans.append(&mut claimed);
                }
            }
        }
        for (index, name) in sans.iter().enumerate() {
            name.check()?;
            if !self.sans.iter().any(|rule| rule.kind == name.kind()) {
                return Err(NamesError::UnlistedSan(name.to_string()));
            }
            if sans.iter().take(index).any(|earlier| earlier == name) {
                return Err(NamesError::DuplicateSan(name.to_string()));
            }
        }
        Ok(sans)
    }
}

impl Values<'_> {
    fn sans_of(&self, kind: crate::san::SanKind) -> Vec<SubjectAltName> {
        self.sans
            .iter()
            .filter(|name| name.kind() == kind)
            .cloned()
            .collect()
    }

    fn attribute(&self, oid: &ObjectIdentifier) -> Option<&str> {
        self.subject?.value_of(oid)
    }
}

impl ValueRule {
    pub(crate) fn resolve(&self, values: Values<'_>) -> Result<String, NamesError> {
        match self {
            Self::Literal(text) => Ok(text.clone()),
            Self::Inventory => values
                .inventory
                .map(str::to_owned)
                .ok_or(NamesError::MissingInventory),
            Self::Claim(oid) => values
                .attribute(oid)
                .map(str::to_owned)
                .ok_or_else(|| NamesError::MissingClaim(attribute::type_name(oid))),
            Self::Join(parts) => parts.iter().map(|part| part.resolve(values)).collect(),
        }
    }
}
