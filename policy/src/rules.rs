//! The decision: one ordered list of rules, all of which must hold.

mod extensions;
mod fields;
mod grant;
mod keys;
mod renewal;
mod sans;
mod subject;

use std::fmt;

pub use fields::{Field, FieldState, fields};

use crate::dn::Dn;
use crate::facts::Facts;
use crate::grant::{Claims, Grant, Renewed, Source};
use crate::permit::Permit;
use crate::profile::{NamesError, PermittedNames, Profile, RdnRule, Values};
use crate::refusal::{Refusal, RuleId};
use crate::san::SubjectAltName;

/// One rule of the decision.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Stable identifier.
    pub id: RuleId,
    /// What must hold, in one line.
    pub title: &'static str,
    check: fn(&Case<'_>) -> Verdict,
}

/// Rules are told apart by their identifiers.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Rule {}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)
    }
}

/// `Err` holds the field, what was wanted and what came.
type Verdict = Result<(), String>;

/// A request before its rules, with the names that policy and claims permit.
struct Case<'a> {
    profile: &'a Profile,
    facts: &'a Facts,
    names: Result<PermittedNames, NamesError>,
}

const fn rule(id: &'static str, title: &'static str, check: fn(&Case<'_>) -> Verdict) -> Rule {
    Rule {
        id: RuleId(id),
        title,
        check,
    }
}

const CLAIMS: RuleId = RuleId("CHA-04");
const INVENTORY: RuleId = RuleId("CHA-05");

/// Every rule, in the order of evaluation. The first that does not hold is the refusal.
pub static RULES: &[Rule] = &[
    rule(
        "POL-01",
        "the request is decided under the profile that was selected",
        grant::profile,
    ),
    rule("POL-02", "the profile is in force", grant::in_force),
    rule(
        "REQ-01",
        "subject and extensions are well-formed, no extension occurs twice",
        extensions::well_formed,
    ),
    rule(
        "CHA-01",
        "the source is of the kind the profile wants",
        grant::kind,
    ),
    rule(
        "CHA-02",
        "the challenge was issued for this profile",
        grant::challenge_profile,
    ),
    rule(
        "CHA-03",
        "the one-time challenge has not expired",
        grant::unexpired,
    ),
    rule(
        "CHA-04",
        "the challenge is bound to exactly the names the profile issues",
        grant::claims_fit,
    ),
    rule(
        "CHA-05",
        "the requested name is in the profile's inventory and fit to be issued",
        grant::in_inventory,
    ),
    rule(
        "CHA-06",
        "the key is the one the inventory pins",
        grant::pinned_key,
    ),
    rule(
        "CHA-07",
        "an unpinned name needs accept_shared_secret",
        grant::shared_secret,
    ),
    rule(
        "CHA-08",
        "the static challenge has not issued for this name",
        grant::not_yet_issued,
    ),
    rule(
        "REN-01",
        "the profile lets its certificates be renewed",
        renewal::offered,
    ),
    rule(
        "REN-02",
        "the renewed certificate was issued under this profile",
        renewal::own_profile,
    ),
    rule(
        "REN-03",
        "the renewed certificate has not expired, or is in the grace that the profile gives",
        renewal::unexpired,
    ),
    rule(
        "REN-04",
        "the renewed certificate is in its renewal window",
        renewal::in_window,
    ),
    rule(
        "REN-05",
        "the key is a new one unless the profile allows the same",
        renewal::key,
    ),
    rule(
        "REN-06",
        "the renewed certificate has exactly the names the profile issues",
        renewal::names_unchanged,
    ),
    rule(
        "REN-07",
        "the renewed certificate was not renewed before, where the profile allows one renewal",
        renewal::not_yet_renewed,
    ),
    rule(
        "ALG-01",
        "the hash of the message's signature is allowed",
        keys::message_digest,
    ),
    rule(
        "ALG-02",
        "the hash of the CSR's signature is allowed",
        keys::csr_digest,
    ),
    rule(
        "SUB-01",
        "subject values are UTF8String, PrintableString, IA5String or TeletexString",
        subject::string_types,
    ),
    rule(
        "SUB-02",
        "subject values are clean text",
        subject::clean_text,
    ),
    rule(
        "SUB-03",
        "no RDN and no attribute type in an RDN occurs twice",
        subject::no_duplicates,
    ),
    rule(
        "SUB-04",
        "the subject has the profile's RDNs, in order, with their sets of types",
        subject::structure,
    ),
    rule(
        "SUB-05",
        "every subject value is the permitted one",
        subject::values,
    ),
    rule(
        "SUB-06",
        "every subject value is in an accepted encoding",
        subject::encodings,
    ),
    rule(
        "SAN-01",
        "subject alternative names are of types the profile lists",
        sans::listed_types,
    ),
    rule(
        "SAN-02",
        "subject alternative names are well-formed",
        sans::well_formed,
    ),
    rule(
        "SAN-03",
        "no subject alternative name occurs twice",
        sans::no_duplicates,
    ),
    rule(
        "SAN-04",
        "the set of subject alternative names is the permitted one",
        sans::equal_set,
    ),
    rule(
        "EXT-01",
        "a requested keyUsage equals the issued one",
        extensions::key_usage,
    ),
    rule(
        "EXT-02",
        "a requested extendedKeyUsage equals the issued one",
        extensions::extended_key_usage,
    ),
    rule(
        "EXT-03",
        "a requested basicConstraints equals the issued one",
        extensions::basic_constraints,
    ),
    rule(
        "EXT-04",
        "no other extension is requested that the profile does not ignore",
        extensions::no_other,
    ),
    rule(
        "KEY-01",
        "the key's algorithm and curve are allowed",
        keys::algorithm,
    ),
    rule(
        "KEY-02",
        "the RSA modulus has an allowed length",
        keys::rsa_length,
    ),
    rule(
        "KEY-03",
        "the RSA exponent is odd and at least 65537",
        keys::rsa_exponent,
    ),
    rule(
        "KEY-04",
        "the RSA modulus is odd and has no small factor",
        keys::rsa_factors,
    ),
    rule(
        "KEY-05",
        "the RSA modulus has no ROCA fingerprint",
        keys::rsa_roca,
    ),
    rule(
        "KEY-06",
        "the RSA primes are not close",
        keys::rsa_close_primes,
    ),
    rule("KEY-07", "the EC point is on its curve", keys::ec_point),
];

/// Decides a request. A permit is the only way to [`crate::tbs`].
///
/// # Errors
/// The first rule of [`RULES`] that does not hold.
pub fn decide(profile: &Profile, facts: &Facts) -> Result<Permit, Refusal> {
    let case = Case::new(profile, facts);
    for rule in RULES {
        (rule.check)(&case).map_err(|detail| Refusal::new(rule.id, &detail))?;
    }
    let unfit = |error: &dyn fmt::Display| Refusal::new(CLAIMS, &error.to_string());
    let names = case.names.map_err(|error| unfit(&error))?;
    let names = names.carried(profile.certificate.name_case, facts);
    Permit::new(profile, facts, names.map_err(|error| unfit(&error))?)
}

/// What one rule says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleVerdict {
    /// The rule.
    pub rule: &'static Rule,
    /// Why it does not hold; `None` where it holds.
    pub refusal: Option<Refusal>,
}

/// Every rule, in the order of [`RULES`], and whether it holds: for explanation, as nothing is issued upon it.
pub fn verdicts(profile: &Profile, facts: &Facts) -> Vec<RuleVerdict> {
    Case::new(profile, facts).verdicts()
}

/// Every rule that does not hold, for explanation; empty where [`decide`] permits.
pub fn explain(profile: &Profile, facts: &Facts) -> Vec<Refusal> {
    verdicts(profile, facts)
        .into_iter()
        .filter_map(|verdict| verdict.refusal)
        .collect()
}

pub(crate) fn check_claims(
    profile: &Profile,
    subject: &Dn,
    sans: &[SubjectAltName],
) -> Result<(), Refusal> {
    let names = profile.permitted_names(Values {
        subject: Some(subject),
        sans,
        inventory: None,
    });
    grant::claims_equal(names.as_ref(), subject, sans)
        .and_then(|()| names.map_err(|error| error.to_string()))
        .and_then(|names| subject::issuable(profile, &names))
        .map_err(|detail| Refusal::new(CLAIMS, &detail))
}

pub(crate) fn inventory_subject(profile: &Profile, name: &str) -> Result<Dn, Refusal> {
    profile
        .permitted_names(Values {
            inventory: Some(name),
            ..Values::default()
        })
        .map_err(|error| error.to_string())
        .and_then(|names| {
            subject::issuable(profile, &names)?;
            Ok(names.subject)
        })
        .map_err(|detail| Refusal::new(INVENTORY, &detail))
}

impl<'a> Case<'a> {
    fn new(profile: &'a Profile, facts: &'a Facts) -> Self {
        let claims = facts.grant.as_ref().map(Grant::claims);
        let values = claims.map(Values::from).unwrap_or_default();
        Self {
            profile,
            facts,
            names: profile.permitted_names(values),
        }
    }

    /// What authorises the request.
    fn grant(&self) -> Option<&'a Grant> {
        self.facts.grant.as_ref()
    }

    /// The source and its claims, where it is a challenge.
    fn challenge(&self) -> Option<(&'a Source, &'a Claims)> {
        let grant = self.grant()?;
        grant.source().challenge_kind()?;
        Some((grant.source(), grant.claims()))
    }

    /// The renewed certificate and its claims, where the source is a renewal.
    fn renewal(&self) -> Option<(&'a Renewed, &'a Claims)> {
        let grant = self.grant()?;
        Some((grant.source().renewed()?, grant.claims()))
    }

    fn verdicts(&self) -> Vec<RuleVerdict> {
        RULES
            .iter()
            .map(|rule| RuleVerdict {
                rule,
                refusal: (rule.check)(self)
                    .err()
                    .map(|detail| Refusal::new(rule.id, &detail)),
            })
            .collect()
    }

    /// The rules of the subject's RDNs: those of the permitted one, or all where none is.
    fn subject_rules(&self) -> Vec<&'a RdnRule> {
        let all = &self.profile.subject;
        match &self.names {
            Ok(names) => names
                .places
                .iter()
                .filter_map(|place| all.get(*place))
                .collect(),
            Err(_) => all.iter().collect(),
        }
    }

    fn names(&self) -> Result<&PermittedNames, String> {
        self.names.as_ref().map_err(ToString::to_string)
    }
}

/// Request text in a refusal: quoted, control characters escaped.
fn quote(text: &str) -> String {
    format!("`{}`", text.escape_debug())
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}
