//! The value that stands for a permission: made by a decision, spent on one certificate.

use std::time::Duration;

use assay_types::Hash;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;

use crate::dn::Dn;
use crate::facts::Facts;
use crate::profile::{PermittedNames, Profile};
use crate::refusal::{Refusal, RuleId};
use crate::san::{SanError, SubjectAltName};

/// Permission to build one certificate. Only [`crate::decide`] makes one and [`crate::tbs`] consumes it; it can be
/// neither copied nor stored.
#[derive(Debug)]
pub struct Permit {
    pub(crate) profile_hash: Hash,
    pub(crate) subject: Dn,
    pub(crate) subject_der: Vec<u8>,
    pub(crate) sans: Vec<SubjectAltName>,
    pub(crate) spki_der: Vec<u8>,
    pub(crate) max_validity: Duration,
}

/// What a certificate under a permit must carry, for checks that do not trust the builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// DER of the subject.
    pub subject_der: Vec<u8>,
    /// DER of the SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
    /// The value of the subjectAltName extension, if there is one.
    pub san_der: Option<Vec<u8>>,
    /// Every extension and its criticality, in order.
    pub extensions: Vec<(ObjectIdentifier, bool)>,
    /// `1 << n` for bit n of the key usage.
    pub key_usage: u16,
    /// Extended key usages in order; empty where the extension is absent.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// Certificate policies in order; empty where the extension is absent.
    pub policies: Vec<ObjectIdentifier>,
    /// Locations of the CRL; empty where the extension is absent. As the profile has them: whoever checks puts the
    /// issuer's key identifier, lowercase hex, in the place of `{ca}`.
    pub crl_distribution_points: Vec<String>,
    /// Locations of the issuer's certificate, as the profile has them too.
    pub ca_issuers: Vec<String>,
    /// Locations of an OCSP responder.
    pub ocsp: Vec<String>,
    /// Longest time between NotBefore and NotAfter.
    pub max_validity: Duration,
}

impl Permit {
    pub(crate) fn new(
        profile: &Profile,
        facts: &Facts,
        names: PermittedNames,
    ) -> Result<Self, Refusal> {
        let subject_der = profile
            .subject_der(&names, &facts.subject)
            .map_err(|error| Refusal::new(RuleId("SUB-05"), &error.to_string()))?;
        let spki_der = facts
            .key
            .rebuild()
            .map_err(|error| Refusal::new(RuleId("KEY-01"), &format!("key: {error}")))?;
        Ok(Self {
            profile_hash: profile.hash,
            subject: names.subject,
            subject_der,
            sans: names.sans,
            spki_der,
            max_validity: profile.max_validity(facts.now),
        })
    }

    /// The subject to be issued.
    pub fn subject(&self) -> &Dn {
        &self.subject
    }

    /// The subject alternative names to be issued, in order.
    pub fn sans(&self) -> &[SubjectAltName] {
        &self.sans
    }
}

impl Profile {
    /// What a certificate under `permit` must carry. Written down apart from the builder, so that a check against it
    /// finds the builder's mistakes.
    ///
    /// # Errors
    /// Where the names cannot be encoded.
    pub fn expected(&self, permit: &Permit) -> Result<Expected, SanError> {
        let has_san = !permit.sans.is_empty();
        let rules = &self.certificate;
        let extensions = [
            (oids::ID_CE_BASIC_CONSTRAINTS, true, true),
            (oids::ID_CE_KEY_USAGE, true, true),
            (
                oids::ID_CE_EXT_KEY_USAGE,
                false,
                !rules.extended_key_usage.is_empty(),
            ),
            (oids::ID_CE_SUBJECT_KEY_IDENTIFIER, false, true),
            (oids::ID_CE_AUTHORITY_KEY_IDENTIFIER, false, true),
            (
                oids::ID_CE_SUBJECT_ALT_NAME,
                permit.subject.is_empty(),
                has_san,
            ),
            (
                oids::ID_CE_CERTIFICATE_POLICIES,
                false,
                !rules.policies.is_empty(),
            ),
            (
                oids::ID_CE_CRL_DISTRIBUTION_POINTS,
                false,
                !rules.crl_distribution_points.is_empty(),
            ),
            (
                oids::ID_PE_AUTHORITY_INFO_ACCESS,
                false,
                !(rules.ca_issuers.is_empty() && rules.ocsp.is_empty()),
            ),
        ];
        Ok(Expected {
            subject_der: permit.subject_der.clone(),
            spki_der: permit.spki_der.clone(),
            san_der: has_san
                .then(|| SubjectAltName::list_to_der(&permit.sans))
                .transpose()?,
            extensions: extensions
                .into_iter()
                .filter(|(_, _, present)| *present)
                .map(|(oid, critical, _)| (oid, critical))
                .collect(),
            key_usage: self.key_usage(),
            extended_key_usage: self.extended_key_usage().to_vec(),
            policies: rules.policies.clone(),
            crl_distribution_points: rules.crl_distribution_points.clone(),
            ca_issuers: rules.ca_issuers.clone(),
            ocsp: rules.ocsp.clone(),
            max_validity: permit.max_validity,
        })
    }
}
