//! Parts of a profile in the words that people read: where versions are compared, and where a request is explained.

use std::fmt::{self, Display};
use std::time::{Duration, SystemTime};

use crate::algorithm::extended_key_usage_name;
use crate::attribute::type_name;
use crate::profile::{
    AttributeRule, ChallengeRule, Claimed, KeyRules, Profile, RdnRule, RsaRule, SanRule, SanValue,
    ValueRule,
};
use assay_types::Curve;

const DAY: u64 = 24 * 3600;

pub(crate) fn duration(value: Duration) -> String {
    match days(value) {
        Some(1) => "1 day".to_owned(),
        Some(days) => format!("{days} days"),
        None => assay_types::duration::text(value),
    }
}

pub(crate) fn days(value: Duration) -> Option<u64> {
    let seconds = value.as_secs();
    (seconds > 0 && seconds.is_multiple_of(DAY)).then_some(seconds / DAY)
}

pub(crate) fn time(value: SystemTime) -> String {
    humantime::format_rfc3339_seconds(value).to_string()
}

/// Text of the policy's author: in quotes, with what is not ASCII spelt out too, as two letters may look alike.
pub(crate) fn text(value: &str) -> String {
    let shown = value.escape_debug().to_string();
    let spelt = value.escape_default().to_string();
    if shown == spelt {
        format!("\"{shown}\"")
    } else {
        format!("\"{shown}\" ({spelt})")
    }
}

/// `<claim CN>.wifi.example.com`: what is in angle brackets stands for a value; a bracket of a literal has a backslash.
/// No two values that mean something else are written alike.
impl Display for ValueRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(value) => {
                let shown = value.escape_default().to_string();
                f.write_str(&shown.replace('<', "\\<"))
            }
            Self::Inventory => f.write_str("<inventory name>"),
            Self::Claim(Claimed { oid, number: None }) => write!(f, "<claim {}>", type_name(oid)),
            Self::Claim(Claimed {
                oid,
                number: Some(number),
            }) => write!(f, "<claim {} {number}>", type_name(oid)),
            Self::Join(parts) => parts.iter().try_for_each(|part| part.fmt(f)),
        }
    }
}

pub(crate) fn attribute(rule: &AttributeRule) -> String {
    format!("{}={}", type_name(&rule.oid), rule.value)
}

pub(crate) fn rdn(rule: &RdnRule) -> String {
    let attributes: Vec<String> = rule.attributes.iter().map(attribute).collect();
    let optional = if rule.optional { " (optional)" } else { "" };
    attributes.join("+") + optional
}

pub(crate) fn san(rule: &SanRule) -> String {
    let SanRule { kind, value, add } = rule;
    match value {
        SanValue::One(value) if *add => format!("{kind} {value} (added)"),
        SanValue::One(value) => format!("{kind} {value}"),
        SanValue::Claimed { min, max } => format!("{kind} <claimed, {min} to {max}>"),
    }
}

pub(crate) fn curve(curve: Curve) -> &'static str {
    match curve {
        Curve::P256 => "P-256",
        Curve::P384 => "P-384",
        Curve::P521 => "P-521",
    }
}

pub(crate) fn rsa(rule: RsaRule) -> String {
    let RsaRule { min_bits, max_bits } = rule;
    format!("RSA of {min_bits} to {max_bits} bits")
}

pub(crate) fn challenge(rule: &ChallengeRule) -> String {
    match rule {
        ChallengeRule::OneTime => "one-time".to_owned(),
        ChallengeRule::Static {
            inventory,
            accept_shared_secret,
        } => {
            let unpinned = if *accept_shared_secret {
                "names without a pinned key included"
            } else {
                "names with a pinned key only"
            };
            format!("static for inventory {inventory}, {unpinned}")
        }
    }
}

/// What a whole profile grants, in one line.
pub(crate) fn grant(profile: &Profile) -> String {
    let joined = |items: Vec<String>| {
        if items.is_empty() {
            "none".to_owned()
        } else {
            items.join(", ")
        }
    };
    let KeyRules {
        rsa: rsa_rule,
        curves,
    } = &profile.keys;
    let keys = rsa_rule.map(rsa).into_iter();
    let keys = keys.chain(curves.iter().map(|known| curve(*known).to_owned()));
    let usages = profile.extended_key_usage().iter();
    format!(
        "all of it (challenge {}; subject {}; SAN {}; key {}; validity {}; extended key usage {})",
        challenge(&profile.enrolment.challenge),
        joined(profile.subject.iter().map(rdn).collect()),
        joined(profile.sans.iter().map(san).collect()),
        joined(keys.collect()),
        duration(profile.certificate.validity),
        joined(usages.map(extended_key_usage_name).collect()),
    )
}

/// A list of words as it stands in a line.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}
