//! A profile in the terms of an HSM service: everything that it could have signed, and the form that covers it.

use std::time::Duration;

use assay_shape::{Demand, Form, Keys, NameDemand, NameValue, RsaSizes};

use crate::algorithm::{KeyUsageBit, extended_key_usage_name};
use crate::profile::{Profile, Quirk, RsaRule, SanRule, SanValue, ValueRule};
use crate::san::SanKind;

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
            uri_subtrees: Vec::new(),
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
        let subtrees = of_kind.map(|rule| match name_demand(rule).value {
            NameValue::Exactly(text) if kind == SanKind::Upn => {
                text.rsplit_once('@').map(|(_, realm)| realm.to_owned())
            }
            NameValue::Exactly(text) if text.starts_with('*') => None,
            NameValue::Exactly(text) => Some(text),
            NameValue::Between { suffix, .. } => {
                let mark = if kind == SanKind::Upn { '@' } else { '.' };
                suffix.split_once(mark).map(|(_, domain)| domain.to_owned())
            }
        });
        let subtrees: Option<Vec<String>> = subtrees.collect();
        let mut subtrees = subtrees.unwrap_or_default();
        subtrees.sort_unstable();
        subtrees.dedup();
        subtrees
    }
}

fn name_demand(rule: &SanRule) -> NameDemand {
    let value = match &rule.value {
        SanValue::One(ValueRule::Literal(text)) if rule.kind == SanKind::OtherName => {
            // Its type comes before its value.
            let oid = text.split(|c: char| c != '.' && !c.is_ascii_digit()).next();
            NameValue::Exactly(oid.unwrap_or_default().to_owned())
        }
        SanValue::One(ValueRule::Literal(text)) => NameValue::Exactly(text.clone()),
        SanValue::One(rule) => {
            let (mut prefix, mut suffix) = (String::new(), String::new());
            ends(rule, &mut prefix, &mut suffix);
            NameValue::Between { prefix, suffix }
        }
        SanValue::Claimed { .. } => NameValue::Between {
            prefix: String::new(),
            suffix: String::new(),
        },
    };
    NameDemand {
        kind: shape_kind(rule.kind),
        value,
    }
}

/// The literals at the beginning and at the end of a value that has another part.
fn ends(rule: &ValueRule, prefix: &mut String, suffix: &mut String) {
    let ValueRule::Join(parts) = rule else {
        return;
    };
    let literal = |part: &ValueRule| match part {
        ValueRule::Literal(text) => Some(text.clone()),
        ValueRule::Inventory | ValueRule::Claim(_) | ValueRule::Join(_) => None,
    };
    *prefix = parts.iter().map_while(literal).collect();
    let mut last: Vec<String> = parts.iter().rev().map_while(literal).collect();
    last.reverse();
    *suffix = last.concat();
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
