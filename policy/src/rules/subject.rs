//! SUB: the requested subject equals the permitted one, RDN by RDN.

use const_oid::ObjectIdentifier;

use super::{Case, Verdict, quote};
use crate::attribute::{StringEncoding, type_name};
use crate::comparison::Comparison;
use crate::dn::{DnAttribute, check_text};
use crate::facts::Attribute;
use crate::profile::{AttributeRule, IssuedEncoding, PermittedNames, Profile, RdnRule};

pub(super) fn string_types(case: &Case<'_>) -> Verdict {
    each(case, string_type)
}

pub(super) fn string_type(attribute: &Attribute) -> Verdict {
    match StringEncoding::from_tag(attribute.tag) {
        Some(_) => Ok(()),
        None => Err(format!(
            "wanted UTF8String, PrintableString, IA5String or TeletexString, got {}",
            tag_name(attribute.tag)
        )),
    }
}

pub(super) fn clean_text(case: &Case<'_>) -> Verdict {
    each(case, clean)
}

pub(super) fn clean(attribute: &Attribute) -> Verdict {
    let text = std::str::from_utf8(&attribute.value)
        .map_err(|_| "wanted valid UTF-8, got other octets".to_owned())?;
    let encoding = StringEncoding::from_tag(attribute.tag);
    if encoding.is_none_or(|encoding| !encoding.admits(text)) {
        return Err(format!(
            "wanted only characters of its string type, got {}",
            quote(text)
        ));
    }
    check_text(text).map_err(|wanted| format!("{wanted}, got {}", quote(text)))
}

pub(super) fn no_duplicates(case: &Case<'_>) -> Verdict {
    let rdns = &case.facts.subject;
    for (index, rdn) in rdns.iter().enumerate() {
        if let Some(twice) = first_repeated(rdn.iter().map(|attribute| attribute.oid)) {
            return Err(format!(
                "subject: wanted each type once in an RDN, got {} twice",
                type_name(&twice)
            ));
        }
        if rdns
            .iter()
            .take(index)
            .any(|earlier| same_values(earlier, rdn))
        {
            return Err(format!(
                "subject: wanted each RDN once, got {} twice",
                types(rdn.iter().map(|a| a.oid))
            ));
        }
    }
    Ok(())
}

pub(super) fn structure(case: &Case<'_>) -> Verdict {
    let wanted: Vec<Vec<ObjectIdentifier>> = case
        .subject_rules()
        .into_iter()
        .map(RdnRule::types)
        .collect();
    let got: Vec<Vec<ObjectIdentifier>> = case
        .facts
        .subject
        .iter()
        .map(|rdn| sorted(rdn.iter().map(|attribute| attribute.oid)))
        .collect();
    if wanted == got {
        return Ok(());
    }
    let show = |name: &[Vec<ObjectIdentifier>]| {
        super::list(name.iter().map(|rdn| types(rdn.iter().copied())))
    };
    Err(format!(
        "subject: wanted the RDNs {}, got {}",
        show(&wanted),
        show(&got)
    ))
}

pub(super) fn values(case: &Case<'_>) -> Verdict {
    let names = case.names()?;
    for (wanted, got) in names.subject.rdns().iter().zip(&case.facts.subject) {
        for attribute in wanted.attributes() {
            let found = got
                .iter()
                .find(|candidate| candidate.oid == *attribute.oid());
            value(attribute, found)?;
        }
    }
    // SUB-04 has compared the number of RDNs with the policy; this one compares it with the permitted name.
    if names.subject.rdns().len() == case.facts.subject.len() {
        Ok(())
    } else {
        Err("subject: wanted as many RDNs as the profile has".to_owned())
    }
}

/// The permitted attribute, and the one of its type at its place in the request.
pub(super) fn value(wanted: &DnAttribute, found: Option<&Attribute>) -> Verdict {
    let comparison = Comparison::of_attribute(wanted.oid());
    let text = found.and_then(|candidate| std::str::from_utf8(&candidate.value).ok());
    if text.is_some_and(|text| comparison.equal(text, wanted.value())) {
        return Ok(());
    }
    let found = found
        .map(|candidate| String::from_utf8_lossy(&candidate.value))
        .unwrap_or_default();
    Err(format!(
        "subject {}: wanted {}, got {}",
        type_name(wanted.oid()),
        quote(wanted.value()),
        quote(&found),
    ))
}

pub(super) fn encodings(case: &Case<'_>) -> Verdict {
    for (rule, rdn) in case.subject_rules().into_iter().zip(&case.facts.subject) {
        for attribute in rdn {
            encoding(rule, attribute)?;
        }
    }
    Ok(())
}

/// An attribute of the request, by the rule of its RDN.
pub(super) fn encoding(rule: &RdnRule, attribute: &Attribute) -> Verdict {
    let accept = rule
        .attribute(&attribute.oid)
        .map_or(&[][..], |rule| &rule.accept);
    if accept
        .iter()
        .any(|encoding| encoding.tag() == attribute.tag)
    {
        return Ok(());
    }
    Err(format!(
        "subject {}: wanted {}, got {}",
        type_name(&attribute.oid),
        super::list(accept.iter().map(|encoding| encoding.as_str())),
        tag_name(attribute.tag),
    ))
}

/// Whether every value can be written in the encoding the profile issues.
pub(super) fn issuable(profile: &Profile, names: &PermittedNames) -> Verdict {
    for (place, rdn) in names.places.iter().zip(names.subject.rdns()) {
        for attribute in rdn.attributes() {
            let rule = profile.attribute_rule(*place, attribute.oid());
            if rule.is_some_and(|rule| !rule.can_issue(attribute.value())) {
                let kind = type_name(attribute.oid());
                let value = quote(attribute.value());
                return Err(format!(
                    "{kind}: {value} cannot be written in the string type that the profile issues"
                ));
            }
        }
    }
    Ok(())
}

impl Profile {
    fn attribute_rule(&self, place: usize, oid: &ObjectIdentifier) -> Option<&AttributeRule> {
        self.subject.get(place)?.attribute(oid)
    }

    /// DER of a permitted subject, each value in the encoding its rule issues.
    pub(crate) fn subject_der(
        &self,
        names: &PermittedNames,
        requested: &[Vec<Attribute>],
    ) -> Result<Vec<u8>, crate::dn::DnError> {
        names.subject.to_der_with(|index, attribute| {
            let oid = attribute.oid();
            let place = names.places.get(index);
            let rule = place.and_then(|place| self.attribute_rule(*place, oid));
            let issue = rule.map(|rule| rule.issue);
            match issue {
                Some(IssuedEncoding::As(encoding)) => encoding,
                Some(IssuedEncoding::Requested) => {
                    let mut asked = requested.get(index).into_iter().flatten();
                    asked
                        .find(|asked| asked.oid == *oid)
                        .and_then(|asked| StringEncoding::from_tag(asked.tag))
                        .unwrap_or(StringEncoding::Utf8)
                }
                None => StringEncoding::Utf8,
            }
        })
    }
}

impl AttributeRule {
    /// Whether a value can be written in a string type that the rule issues.
    pub(crate) fn can_issue(&self, value: &str) -> bool {
        match self.issue {
            IssuedEncoding::As(encoding) => encoding.admits(value),
            IssuedEncoding::Requested => self.accept.iter().any(|it| it.admits(value)),
        }
    }
}

impl RdnRule {
    pub(super) fn types(&self) -> Vec<ObjectIdentifier> {
        sorted(self.attributes.iter().map(|attribute| attribute.oid))
    }

    pub(super) fn attribute(&self, oid: &ObjectIdentifier) -> Option<&AttributeRule> {
        self.attributes.iter().find(|rule| rule.oid == *oid)
    }
}

fn each(case: &Case<'_>, check: impl Fn(&Attribute) -> Verdict) -> Verdict {
    for attribute in case.facts.subject.iter().flatten() {
        check(attribute)
            .map_err(|detail| format!("subject {}: {detail}", type_name(&attribute.oid)))?;
    }
    Ok(())
}

fn sorted(oids: impl Iterator<Item = ObjectIdentifier>) -> Vec<ObjectIdentifier> {
    let mut oids: Vec<_> = oids.collect();
    oids.sort();
    oids
}

fn first_repeated(oids: impl Iterator<Item = ObjectIdentifier>) -> Option<ObjectIdentifier> {
    sorted(oids).windows(2).find_map(|pair| match pair {
        [first, second] if first == second => Some(*first),
        _ => None,
    })
}

/// The same set of types and values, in whatever encoding.
fn same_values(left: &[Attribute], right: &[Attribute]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .all(|a| right.iter().any(|b| a.oid == b.oid && same_value(a, b)))
}

fn same_value(left: &Attribute, right: &Attribute) -> bool {
    let texts = std::str::from_utf8(&left.value)
        .ok()
        .zip(std::str::from_utf8(&right.value).ok());
    texts.map_or(left.value == right.value, |(left_text, right_text)| {
        Comparison::of_attribute(&left.oid).equal(left_text, right_text)
    })
}

pub(super) fn types(oids: impl Iterator<Item = ObjectIdentifier>) -> String {
    sorted(oids)
        .iter()
        .map(type_name)
        .collect::<Vec<_>>()
        .join("+")
}

pub(super) fn tag_name(tag: u8) -> String {
    let name = match tag {
        0x0c => "UTF8String",
        0x13 => "PrintableString",
        0x14 => "TeletexString",
        0x16 => "IA5String",
        0x1c => "UniversalString",
        0x1e => "BMPString",
        other => return format!("tag {other:#04x}"),
    };
    name.to_owned()
}
