//! Subject and subject alternative names, a field each.

use super::{Case, Sheet, Verdict};
use crate::attribute::type_name;
use crate::describe;
use crate::dn::DnAttribute;
use crate::facts::Attribute;
use crate::profile::{AttributeRule, RdnRule};
use crate::rules::{list, subject};
use crate::san::SubjectAltName;

pub(super) fn subject(case: &Case<'_>, sheet: &mut Sheet) {
    let (rules, rdns) = (case.subject_rules(), &case.facts.subject);
    let types = |rdn: &&RdnRule| subject::types(rdn.types().into_iter());
    let got = rdns
        .iter()
        .map(|rdn| subject::types(rdn.iter().map(|attribute| attribute.oid)));
    sheet.row(
        "subject",
        list(rules.iter().map(types)),
        list(got),
        match case.names {
            Ok(_) => &["SUB-03", "SUB-04"],
            // Where no names are known, none can be compared one by one.
            Err(_) => &["SUB-03", "SUB-04", "SUB-05"],
        },
    );
    for index in 0..rules.len().max(rdns.len()) {
        let rule = rules.get(index).copied();
        let rdn = rdns.get(index).map(Vec::as_slice);
        for attribute in rule.iter().flat_map(|rule| &rule.attributes) {
            wanted(case, index, attribute, rdn, sheet);
        }
        let rdn = rdn.unwrap_or_default();
        let surplus = rdn.iter().enumerate().filter(|(place, attribute)| {
            let mut earlier = rdn.iter().take(*place);
            earlier.any(|earlier| earlier.oid == attribute.oid)
                || rule.is_none_or(|rule| rule.attribute(&attribute.oid).is_none())
        });
        for (_, attribute) in surplus {
            unwanted(index, rule, attribute, sheet);
        }
    }
}

/// An attribute that the profile has at this place.
fn wanted(
    case: &Case<'_>,
    index: usize,
    rule: &AttributeRule,
    rdn: Option<&[Attribute]>,
    sheet: &mut Sheet,
) {
    let found = rdn.and_then(|rdn| rdn.iter().find(|attribute| attribute.oid == rule.oid));
    let names = case.names.as_ref().ok();
    let permitted: Option<&DnAttribute> = names
        .and_then(|names| names.subject.rdns().get(index))
        .and_then(|rdn| {
            let mut attributes = rdn.attributes().iter();
            attributes.find(|attribute| *attribute.oid() == rule.oid)
        });
    let mut wanted = match permitted {
        Some(attribute) => attribute.value().to_owned(),
        None => rule.value.to_string(),
    };
    let mut judged = Vec::new();
    let got = match found {
        None => {
            let missing = format!("subject {}: wanted one, got none", type_name(&rule.oid));
            judged.push(("SUB-04", Err(missing)));
            "none".to_owned()
        }
        Some(attribute) => {
            judged.extend(text(attribute));
            let encoding = encoding(rule, attribute);
            let shown = String::from_utf8_lossy(&attribute.value).into_owned();
            let tag = subject::tag_name(attribute.tag);
            let refused = encoding.is_err();
            judged.push(("SUB-06", encoding));
            if refused {
                let accepted = rule.accept.iter().map(|encoding| encoding.as_str());
                wanted = format!("{wanted} as {}", list(accepted));
                format!("{shown} as {tag}")
            } else {
                shown
            }
        }
    };
    if let Some(permitted) = permitted {
        judged.push(("SUB-05", subject::value(permitted, found)));
    }
    sheet.item(name(index, &rule.oid), wanted, got, judged);
}

/// An attribute that the profile has not at this place.
fn unwanted(index: usize, rule: Option<&RdnRule>, attribute: &Attribute, sheet: &mut Sheet) {
    let surplus = format!(
        "subject {}: wanted none, got one",
        type_name(&attribute.oid)
    );
    let mut judged = text(attribute);
    judged.push(("SUB-04", Err(surplus)));
    judged.push(match rule {
        Some(rule) => ("SUB-06", subject::encoding(rule, attribute)),
        None => ("SUB-05", Err("subject: wanted fewer RDNs".to_owned())),
    });
    let got = String::from_utf8_lossy(&attribute.value);
    sheet.item(name(index, &attribute.oid), "none", got, judged);
}

fn text(attribute: &Attribute) -> Vec<(&'static str, Verdict)> {
    vec![
        ("SUB-01", subject::string_type(attribute)),
        ("SUB-02", subject::clean(attribute)),
    ]
}

fn encoding(rule: &AttributeRule, attribute: &Attribute) -> Verdict {
    let alone = RdnRule {
        attributes: vec![rule.clone()],
        optional: false,
    };
    subject::encoding(&alone, attribute)
}

fn name(index: usize, oid: &const_oid::ObjectIdentifier) -> String {
    format!("subject {} (RDN {})", type_name(oid), index + 1)
}

pub(super) fn sans(case: &Case<'_>, sheet: &mut Sheet) {
    const ALL: [&str; 4] = ["SAN-01", "SAN-02", "SAN-03", "SAN-04"];
    let requested = case.facts.sans.as_deref();
    let got = requested.unwrap_or_default();
    let Ok(names) = &case.names else {
        let wanted = list(case.profile.sans.iter().map(describe::san));
        sheet.row("SAN", wanted, list(got), &ALL);
        return;
    };
    if names.sans.is_empty() && got.is_empty() {
        let got = match requested {
            Some(_) => "an empty list",
            None => "none",
        };
        sheet.row("SAN", "none", got, &ALL);
    }
    let same = |one: &SubjectAltName, other: &SubjectAltName| one.canonical() == other.canonical();
    for name in &names.sans {
        let times = got.iter().filter(|other| same(other, name)).count();
        if times == 0 && names.is_added(name) {
            let wanted = format!("{name}, which the profile adds");
            sheet.item("SAN", wanted, "none", vec![("SAN-04", Ok(()))]);
        } else {
            san(case, name, 1, times, sheet);
        }
    }
    for (index, name) in got.iter().enumerate() {
        let earlier = got.iter().take(index).any(|other| same(other, name));
        let is_permitted = names.sans.iter().any(|wanted| same(wanted, name));
        if !is_permitted && !earlier {
            let times = got.iter().filter(|other| same(other, name)).count();
            san(case, name, 0, times, sheet);
        }
    }
}

fn san(case: &Case<'_>, name: &SubjectAltName, wanted: usize, times: usize, sheet: &mut Sheet) {
    let kind = name.kind();
    let shown = name.to_string();
    let canonical = name.canonical();
    let mut requested = case.facts.sans.iter().flatten();
    let asked = requested.find(|asked| asked.canonical() == canonical);
    let count = |name: &SubjectAltName, times: usize| match times {
        0 => "none".to_owned(),
        1 => name.to_string(),
        more => format!("{name}, {more} times"),
    };
    let (wanted_text, got_text) = (count(name, wanted), count(asked.unwrap_or(name), times));
    let mut judged = Vec::new();
    if times > 0 {
        let listed = case.profile.sans.iter().any(|rule| rule.kind == kind);
        let unlisted = || format!("subjectAltName: the profile lists no {kind}");
        judged.push(("SAN-01", listed.then_some(()).ok_or_else(unlisted)));
        let form = name.check().map_err(|error| error.to_string());
        judged.push(("SAN-02", form));
        let twice = || format!("subjectAltName: {shown} {times} times");
        judged.push(("SAN-03", (times < 2).then_some(()).ok_or_else(twice)));
    }
    let differs = || format!("subjectAltName: wanted {wanted_text}, got {got_text}");
    let equal = (wanted == times).then_some(()).ok_or_else(differs);
    judged.push(("SAN-04", equal));
    sheet.item("SAN", wanted_text, got_text, judged);
}
