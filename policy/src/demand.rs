//! A profile in the terms of an HSM service: everything that it could have signed, and the form that covers it.

use std::collections::BTreeSet;
use std::time::Duration;

use assay_shape::{Demand, Form, Keys, NameDemand, NameValue, RsaSizes};

use crate::algorithm::{KeyUsageBit, extended_key_usage_name};
use crate::profile::{Profile, Quirk, RsaRule, SanRule, SanValue, ValueRule};
use crate::san::{SanKind, SubjectAltName};

impl Profile {
    /// Everything that the profile could issue, exceptions included whatever their end.
    pub fn demand(&self) -> Demand {
        let rules = &self.certificate;
        Demand {
            extended_key_usage: rules.extended_key_usage.iter().copied().collect(),
            key_usage: self.key_usage(),
            validity: rules.validity,
            backdate: self.longest_backdate(),
            sans: self.sans.iter().map(name_demand).collect(),
            rsa: self.keys.rsa.map(sizes),
            curves: self.keys.curves.clone(),
            crl_distribution_points: rules.crl_distribution_points.clone(),
            ca_issuers: rules.ca_issuers.clone(),
            ocsp: rules.ocsp.clone(),
            policies: rules.policies.clone(),
        }
    }

    /// A form that covers [`Profile::demand`] and little else, with the profile's name.
    pub fn form(&self) -> Form {
        let rules = &self.certificate;
        let mut sans: Vec<assay_shape::SanKind> =
            self.sans.iter().map(|rule| shape_kind(rule.kind)).collect();
        sans.sort_unstable();
        sans.dedup();
        let usages = rules.key_usage.iter().copied().map(KeyUsageBit::as_str);
        let purposes = rules.extended_key_usage.iter();
        Form {
            name: self.name.to_string(),
            ca: None,
            extended_key_usage: purposes.map(extended_key_usage_name).collect(),
            key_usage: usages.map(str::to_owned).collect(),
            lifetime_min: Duration::ZERO,
            lifetime_max: rules.validity,
            backdate_max: self.longest_backdate(),
            sans,
            dns_subtrees: self.subtrees(SanKind::Dns),
            upn_subtrees: self.subtrees(SanKind::Upn),
            uri_subtrees: self.subtrees(SanKind::Uri),
            other_names: self.subtrees(SanKind::OtherName),
            keys: Keys {
                rsa: self.keys.rsa.map(sizes),
                curves: self.keys.curves.clone(),
            },
            crl_distribution_points: rules.crl_distribution_points.clone(),
            ca_issuers: rules.ca_issuers.clone(),
            ocsp: rules.ocsp.clone(),
            policies: rules.policies.iter().map(ToString::to_string).collect(),
        }
    }

    fn longest_backdate(&self) -> Duration {
        let skew = self.quirks.get(&Quirk::NotBeforeSkew);
        let skew = skew.map_or(Duration::ZERO, |exception| exception.value);
        self.certificate.backdate.saturating_add(skew)
    }

    /// Domains, or types of other names, that every name of this type lies in; none if one may have any value.
    fn subtrees(&self, kind: SanKind) -> Vec<String> {
        let of_kind = self.sans.iter().filter(|rule| rule.kind == kind);
        let subtrees: Option<BTreeSet<String>> = of_kind
            .map(|rule| subtree(kind, &name_demand(rule).value))
            .collect();
        subtrees.unwrap_or_default().into_iter().collect()
    }
}

/// What a form may list so that every such name lies in it; `None` if there is nothing to list.
fn subtree(kind: SanKind, value: &NameValue) -> Option<String> {
    let (start, end) = match value {
        NameValue::Exactly(text) => (text, text),
        NameValue::Between { prefix, suffix } => (prefix, suffix),
    };
    let domain = match (kind, value) {
        (SanKind::OtherName, NameValue::Exactly(oid)) => return Some(oid.clone()),
        (SanKind::Dns, NameValue::Exactly(name)) => name.strip_prefix("*.").unwrap_or(name),
        (SanKind::Dns, NameValue::Between { .. }) => end.split_once('.')?.1,
        (SanKind::Upn, _) => end.rsplit_once('@')?.1,
        // Only a slash ends the host for certain.
        (SanKind::Uri, _) => start.split_once("://")?.1.split_once('/')?.0,
        (SanKind::Ip | SanKind::Email | SanKind::MicrosoftSid | SanKind::OtherName, _) => {
            return None;
        }
    };
    let domain = domain.to_ascii_lowercase();
    // Not every end of a name is a domain.
    let is_domain = SubjectAltName::Dns(domain.clone()).check().is_ok();
    (is_domain && !domain.starts_with('*')).then_some(domain)
}

fn name_demand(rule: &SanRule) -> NameDemand {
    let (prefix, suffix, is_whole) = match &rule.value {
        SanValue::One(value) => ends(value),
        SanValue::Claimed { .. } => (String::new(), String::new(), false),
    };
    let value = match (rule.kind, prefix.split_once(';')) {
        // The type comes before the value, written OID;HEX.
        (SanKind::OtherName, Some((oid, _))) => NameValue::Exactly(oid.to_owned()),
        _ if is_whole => NameValue::Exactly(prefix),
        _ => NameValue::Between { prefix, suffix },
    };
    NameDemand {
        kind: shape_kind(rule.kind),
        value,
    }
}

/// The literals at the beginning and at the end of a value, and whether they are all of it.
fn ends(value: &ValueRule) -> (String, String, bool) {
    let parts = match value {
        ValueRule::Join(parts) => parts.as_slice(),
        ValueRule::Literal(_) | ValueRule::Inventory | ValueRule::Claim(_) => {
            std::slice::from_ref(value)
        }
    };
    let literal = |part: &ValueRule| match part {
        ValueRule::Literal(text) => Some(text.clone()),
        ValueRule::Inventory | ValueRule::Claim(_) | ValueRule::Join(_) => None,
    };
    let first: Vec<String> = parts.iter().map_while(literal).collect();
    let mut last: Vec<String> = parts.iter().rev().map_while(literal).collect();
    last.reverse();
    (first.concat(), last.concat(), first.len() == parts.len())
}

fn sizes(rule: RsaRule) -> RsaSizes {
    RsaSizes {
        min_bits: rule.min_bits,
        max_bits: rule.max_bits,
    }
}

fn shape_kind(kind: SanKind) -> assay_shape::SanKind {
    match kind {
        SanKind::Dns => assay_shape::SanKind::Dns,
        SanKind::Ip => assay_shape::SanKind::Ip,
        SanKind::Email => assay_shape::SanKind::Email,
        SanKind::Uri => assay_shape::SanKind::Uri,
        SanKind::Upn => assay_shape::SanKind::Upn,
        SanKind::OtherName => assay_shape::SanKind::Other,
        SanKind::MicrosoftSid => assay_shape::SanKind::MicrosoftSid,
    }
}
