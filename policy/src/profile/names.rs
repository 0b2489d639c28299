//! The names that policy and claims permit, computed without a look at the request.

use super::{Claimed, NameCase, Profile, RdnRule, SanValue, ValueRule};
use crate::attribute;
use crate::comparison::Comparison;
use crate::dn::{Dn, DnAttribute, DnError, Rdn};
use crate::facts::Facts;
use crate::grant::Claims;
use crate::san::{SanError, SubjectAltName};

/// The one subject and the one set of subject alternative names that may be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PermittedNames {
    pub(crate) subject: Dn,
    /// In the order of the policy file, claimed ones sorted: so that the certificate is deterministic.
    pub(crate) sans: Vec<SubjectAltName>,
    /// The profile's rule of each RDN, which an optional one may not have.
    pub(crate) places: Vec<usize>,
    /// Those of them, in canonical form, that are issued without being asked for.
    pub(crate) added: Vec<SubjectAltName>,
}

/// Why claims permit no names under a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NamesError {
    /// The challenge's subject lacks an attribute that the profile takes from it.
    #[error("the subject of challenge or renewed certificate must have exactly one {0}")]
    MissingClaim(String),
    /// The challenge's subject has fewer attributes of a type than the profile takes from it.
    #[error("the subject of challenge or renewed certificate must have at least {number} {name}")]
    MissingNumberedClaim {
        /// Attribute type.
        name: String,
        /// Which of them is missing, from 1.
        number: usize,
    },
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
        let mut places = Vec::with_capacity(self.subject.len());
        for (place, rule) in self.subject.iter().enumerate() {
            match rule.permitted(values) {
                Ok(rdn) => {
                    rdns.push(rdn);
                    places.push(place);
                }
                Err(error) if rule.optional && error.is_missing_claim() => {}
                Err(error) => return Err(error),
            }
        }
        let mut added = Vec::new();
        Ok(PermittedNames {
            subject: Dn::new(rdns)?,
            sans: self.permitted_sans(values, &mut added)?,
            places,
            added,
        })
    }

    fn permitted_sans(
        &self,
        values: Values<'_>,
        added: &mut Vec<SubjectAltName>,
    ) -> Result<Vec<SubjectAltName>, NamesError> {
        let mut sans = Vec::new();
        for rule in &self.sans {
            match &rule.value {
                SanValue::One(value) => {
                    let name = SubjectAltName::from_kind(rule.kind, &value.resolve(values)?)?;
                    if rule.add {
                        added.push(name.canonical());
                    }
                    sans.push(name);
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
                    claimed.sort_by_cached_key(SubjectAltName::canonical);
                    sans.append(&mut claimed);
                }
            }
        }
        for (index, name) in sans.iter().enumerate() {
            name.check()?;
            if !self.sans.iter().any(|rule| rule.kind == name.kind()) {
                return Err(NamesError::UnlistedSan(name.to_string()));
            }
            let canonical = name.canonical();
            let mut earlier = sans.iter().take(index);
            if earlier.any(|earlier| earlier.canonical() == canonical) {
                return Err(NamesError::DuplicateSan(name.to_string()));
            }
        }
        Ok(sans)
    }
}

impl PermittedNames {
    /// Whether this one is issued without being asked for.
    pub(crate) fn is_added(&self, name: &SubjectAltName) -> bool {
        self.added.contains(&name.canonical())
    }

    /// The names as a certificate carries them: each value in lower case where case does not matter, or as the request
    /// has it, which was found equal. A name that was not asked for is carried as policy and claims spell it.
    pub(crate) fn carried(self, case: NameCase, facts: &Facts) -> Result<Self, DnError> {
        let requested = facts.sans.as_deref().unwrap_or_default();
        let san = |name: SubjectAltName| {
            let canonical = name.canonical();
            match case {
                NameCase::Lower => canonical,
                NameCase::Requested => requested
                    .iter()
                    .find(|asked| asked.canonical() == canonical)
                    .map_or(name, Clone::clone),
            }
        };
        let mut rdns = Vec::with_capacity(self.subject.rdns().len());
        for (index, rdn) in self.subject.rdns().iter().enumerate() {
            let mut attributes = Vec::with_capacity(rdn.attributes().len());
            for attribute in rdn.attributes() {
                let (oid, value) = (*attribute.oid(), attribute.value());
                let comparison = Comparison::of_attribute(&oid);
                let value = match case {
                    NameCase::Lower => comparison.canonical(value),
                    NameCase::Requested => {
                        let mut asked = facts.subject.get(index).into_iter().flatten();
                        asked
                            .find(|asked| asked.oid == oid)
                            .and_then(|asked| std::str::from_utf8(&asked.value).ok())
                            .filter(|asked| comparison.equal(asked, value))
                            .unwrap_or(value)
                            .to_owned()
                    }
                };
                attributes.push(DnAttribute::new(oid, value)?);
            }
            rdns.push(Rdn::new(attributes)?);
        }
        Ok(Self {
            subject: Dn::new(rdns)?,
            sans: self.sans.into_iter().map(san).collect(),
            places: self.places,
            added: self.added,
        })
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

    fn attribute(&self, claimed: Claimed) -> Option<&str> {
        let subject = self.subject?;
        let Some(number) = claimed.number else {
            return subject.value_of(&claimed.oid);
        };
        let attributes = subject.rdns().iter().flat_map(Rdn::attributes);
        let mut of_type = attributes.filter(|attribute| *attribute.oid() == claimed.oid);
        of_type.nth(number.checked_sub(1)?).map(DnAttribute::value)
    }
}

impl RdnRule {
    fn permitted(&self, values: Values<'_>) -> Result<Rdn, NamesError> {
        let mut attributes = Vec::with_capacity(self.attributes.len());
        for attribute in &self.attributes {
            let value = attribute.value.resolve(values)?;
            attributes.push(DnAttribute::new(attribute.oid, value)?);
        }
        Ok(Rdn::new(attributes)?)
    }
}

impl NamesError {
    fn is_missing_claim(&self) -> bool {
        match self {
            Self::MissingClaim(_) | Self::MissingNumberedClaim { .. } => true,
            Self::MissingInventory
            | Self::ClaimedCount { .. }
            | Self::Subject(_)
            | Self::San(_)
            | Self::UnlistedSan(_)
            | Self::DuplicateSan(_) => false,
        }
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
            Self::Claim(claimed) => {
                let missing = || match (attribute::type_name(&claimed.oid), claimed.number) {
                    (name, None) => NamesError::MissingClaim(name),
                    (name, Some(number)) => NamesError::MissingNumberedClaim { name, number },
                };
                let value = values.attribute(*claimed);
                value.map(str::to_owned).ok_or_else(missing)
            }
            Self::Join(parts) => parts.iter().map(|part| part.resolve(values)).collect(),
        }
    }
}
