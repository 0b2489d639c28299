//! The validated model of a profile: what a policy file says once it has been found sound.

mod model;
mod names;
mod place;
mod quirks;
mod renewal;

use std::fmt;
use std::time::{Duration, SystemTime};

use assay_types::Hash;
use const_oid::ObjectIdentifier;
use serde::Serialize;

pub(crate) use model::{
    AlgorithmRules, AttributeRule, CertificateRules, ChallengeRule, Claimed, Enrolment, Header,
    IssuedEncoding, KeyRules, RdnRule, RsaRule, SanRule, SanValue, ValueRule,
};
pub(crate) use names::{NamesError, PermittedNames, Values};
pub(crate) use place::{CA, MAX_KEY_IDENTIFIER};
pub(crate) use quirks::{Exception, QuirkRules};
pub use quirks::{Quirk, Quirks};
pub use renewal::{Approval, Renewal, Supersede};

use crate::dn::Dn;
use crate::facts::Attribute;
use crate::refusal::Refusal;
use crate::rules;
use crate::san::SubjectAltName;
use crate::tbs::Issuer;

/// Name of a profile: the name of its file, and the last segment of its SCEP URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ProfileName(String);

/// Longest profile name: one DNS label's length, fit for a URL segment and a metric label.
const MAX_PROFILE_NAME: usize = 63;

impl ProfileName {
    /// Lowercase letters, digits and inner hyphens, 1 to 63 of them.
    pub fn parse(text: &str) -> Option<Self> {
        let sound = (1..=MAX_PROFILE_NAME).contains(&text.len())
            && !text.starts_with('-')
            && !text.ends_with('-')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        sound.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ProfileName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A profile in force. Made by [`crate::Bundle::load`] only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Profile {
    pub(crate) name: ProfileName,
    #[serde(flatten)]
    pub(crate) header: Header,
    pub(crate) enrolment: Enrolment,
    pub(crate) algorithms: AlgorithmRules,
    pub(crate) keys: KeyRules,
    pub(crate) subject: Vec<RdnRule>,
    #[serde(rename = "san")]
    pub(crate) sans: Vec<SanRule>,
    pub(crate) certificate: CertificateRules,
    pub(crate) renewal: Option<Renewal>,
    pub(crate) approval: Option<Approval>,
    pub(crate) quirks: QuirkRules,
    /// SHA-256 of the canonical model of this profile.
    #[serde(skip)]
    pub(crate) hash: Hash,
}

crate::algorithm::words! {
    /// How requests under a profile are authorised.
    ChallengeKind {
        /// Bound to names, good for one certificate.
        OneTime = "one-time",
        /// Shared by the devices of an inventory.
        Static = "static",
    }
}

crate::algorithm::words! {
    /// How a certificate spells a part of a name whose case does not matter.
    NameCase {
        /// As the request has it.
        Requested = "requested",
        /// In lower case.
        Lower = "lower",
    }
}

/// Certificates in any one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quotas {
    /// For the profile as a whole.
    pub profile_per_hour: u32,
    /// For one subject.
    pub name_per_hour: u32,
}

impl Profile {
    /// The profile's name.
    pub fn name(&self) -> &ProfileName {
        &self.name
    }

    /// Version number; only rises.
    pub fn version(&self) -> u64 {
        self.header.version
    }

    /// Whether the profile serves SCEP paths that name none.
    pub fn is_default(&self) -> bool {
        self.header.default
    }

    /// How requests are authorised.
    pub fn challenge_kind(&self) -> ChallengeKind {
        match self.enrolment.challenge {
            ChallengeRule::OneTime => ChallengeKind::OneTime,
            ChallengeRule::Static { .. } => ChallengeKind::Static,
        }
    }

    /// Longest life of a challenge.
    pub fn challenge_ttl_max(&self) -> Duration {
        self.enrolment.challenge_ttl_max
    }

    /// Whether one static challenge may serve names whose key is not pinned.
    pub fn accept_shared_secret(&self) -> bool {
        match self.enrolment.challenge {
            ChallengeRule::OneTime => false,
            ChallengeRule::Static {
                accept_shared_secret,
                ..
            } => accept_shared_secret,
        }
    }

    /// Name of the inventory whose entries a static challenge serves.
    pub fn inventory(&self) -> Option<&str> {
        match &self.enrolment.challenge {
            ChallengeRule::OneTime => None,
            ChallengeRule::Static { inventory, .. } => Some(inventory),
        }
    }

    /// Index of the RDN, in DER order, and type of the attribute whose value is the inventory's name.
    pub fn inventory_rdn(&self) -> Option<(usize, ObjectIdentifier)> {
        self.subject.iter().enumerate().find_map(|(index, rdn)| {
            rdn.attributes
                .iter()
                .find(|attribute| attribute.value == ValueRule::Inventory)
                .map(|attribute| (index, attribute.oid))
        })
    }

    /// The name under which to look a request up in the inventory: the requested value of the attribute that
    /// [`Profile::inventory_rdn`] gives. A key for a lookup only; the decision compares again.
    pub fn inventory_name(&self, subject: &[Vec<Attribute>]) -> Option<String> {
        let (index, oid) = self.inventory_rdn()?;
        let attribute = subject
            .get(index)?
            .iter()
            .find(|attribute| attribute.oid == oid)?;
        String::from_utf8(attribute.value.clone()).ok()
    }

    /// NotBefore and NotAfter of a certificate issued at `now`, in whole seconds: backdated by the profile's settings,
    /// within the issuer's own validity.
    pub fn validity(&self, now: SystemTime, issuer: &Issuer) -> (SystemTime, SystemTime) {
        let backdate = self.backdate_at(now);
        let now = whole_seconds(now);
        let not_before = now
            .checked_sub(backdate)
            .unwrap_or(now)
            .max(issuer.not_before);
        let not_after = now
            .checked_add(self.certificate.validity)
            .unwrap_or(issuer.not_after)
            .min(issuer.not_after);
        (not_before, not_after)
    }

    /// Longest time between NotBefore and NotAfter of a certificate issued at `now`.
    pub fn max_validity(&self, now: SystemTime) -> Duration {
        self.certificate
            .validity
            .saturating_add(self.backdate_at(now))
    }

    fn backdate_at(&self, now: SystemTime) -> Duration {
        self.certificate
            .backdate
            .saturating_add(self.quirks_at(now).not_before_skew)
    }

    /// Certificates in any one hour.
    pub fn quotas(&self) -> Quotas {
        self.enrolment.quotas
    }

    /// Whether a refusal may name its rule to the client.
    pub fn fail_info_text(&self) -> bool {
        self.enrolment.fail_info_text
    }

    /// Whether a request may ask for this extension, which no certificate of the profile has, without effect.
    pub fn ignores(&self, extension: &ObjectIdentifier) -> bool {
        self.enrolment.ignored_extensions.contains(extension)
    }

    /// Refuses a one-time challenge that no request could ever be granted under: its names must be exactly those of
    /// a certificate of this profile.
    ///
    /// # Errors
    /// The refusal a request under such a challenge would meet.
    pub fn check_challenge(&self, subject: &Dn, sans: &[SubjectAltName]) -> Result<(), Refusal> {
        rules::check_claims(self, subject, sans)
    }

    /// The subject that is issued for an inventory name.
    ///
    /// # Errors
    /// The refusal a request under such a name would meet.
    pub fn inventory_subject(&self, name: &str) -> Result<Dn, Refusal> {
        rules::inventory_subject(self, name)
    }

    /// Key usage as bits, `1 << n` for bit n.
    pub fn key_usage(&self) -> u16 {
        self.certificate
            .key_usage
            .iter()
            .fold(0, |bits, usage| bits | usage.mask())
    }

    /// Extended key usages in the order of issue.
    pub fn extended_key_usage(&self) -> &[ObjectIdentifier] {
        &self.certificate.extended_key_usage
    }
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
