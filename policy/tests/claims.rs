//! What a profile takes of a claimed subject, and what a request may ask for without effect.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod support;

use assay_policy::{Bundle, FieldState, PolicyFile, decide, fields};
use support::{changed_profile, one_time, request, rsa};

const OU: &str =
    "[[subject]]\ntype = \"OU\"\nvalue = VALUE\naccept = [\"utf8\"]\nissue = \"utf8\"\n\n";
const CN: &str = "[[subject]]\ntype = \"CN\"";
const TEMPLATE: &str = "1.3.6.1.4.1.311.21.7";

/// The text of `devices` with an OU for each of these values, before CN.
fn with_units(values: &[&str]) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/devices.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let units: String = values
        .iter()
        .map(|value| OU.replace("VALUE", value))
        .collect();
    text.replacen(CN, &format!("{units}{CN}"), 1)
}

fn load(text: String) -> Result<Bundle, String> {
    let file = PolicyFile {
        name: "devices.toml".to_owned(),
        content: text.into_bytes(),
    };
    Bundle::load(&[file]).map_err(|errors| errors[0].problem().to_owned())
}

#[test]
fn of_several_claims_of_a_type_each_has_its_number() {
    let first = "{ claim = \"OU\", number = 1 }";
    let second = "{ claim = \"OU\", number = 2 }";
    let bundle = load(with_units(&[first, second])).unwrap();
    let profile = bundle.profile("devices").unwrap();
    let claimed = "CN=device-1,OU=Berlin,OU=Sales,O=Example";
    let grant = || one_time("devices", claimed, &[]);
    for (subject, refused) in [
        (claimed, None),
        ("CN=device-1,OU=Sales,OU=Berlin,O=Example", Some("SUB-05")),
        ("CN=device-1,OU=Sales,O=Example", Some("SUB-04")),
    ] {
        let facts = request("devices", subject, &[], &rsa(2048), grant());
        let rule = decide(profile, &facts).err();
        let rule = rule.as_ref().map(|refusal| refusal.rule.as_str());
        assert_eq!(rule, refused, "{subject}");
    }
    // A challenge has all of them and no more.
    for subject in [
        "CN=device-1,OU=Sales,O=Example",
        "CN=device-1,OU=a,OU=b,OU=c,O=Example",
    ] {
        let refusal = profile
            .check_challenge(&support::dn(subject), &[])
            .unwrap_err();
        assert_eq!(refusal.rule.as_str(), "CHA-04", "{subject}");
    }
}

#[test]
fn a_claim_that_could_be_several_or_none_is_refused_when_the_file_is_loaded() {
    let plain = "{ claim = \"OU\" }";
    for (values, told) in [
        (
            vec![plain, plain],
            "wanted { claim = \"OU\", number = 1 } to 2",
        ),
        (
            vec!["{ claim = \"OU\", number = 2 }"],
            "needs at least 2 attributes OU in the subject, got 1",
        ),
        (vec!["{ claim = \"OU\", number = 0 }"], "0"),
        (
            vec!["{ literal = \"x\", number = 1 }"],
            "number says which of several claims is meant",
        ),
    ] {
        let problem = load(with_units(&values)).unwrap_err();
        assert!(problem.contains(told), "{values:?}: {problem}");
    }
}

#[test]
fn an_extension_that_the_profile_ignores_is_shown_and_changes_nothing() {
    let line = format!("[enrolment]\nignored_extensions = [\"{TEMPLATE}\"]\n");
    let profile = changed_profile("demo", "devices", "[enrolment]\n", &line);
    let mut facts = support::device();
    facts.other_extensions = vec![TEMPLATE.parse().unwrap()];
    assert!(decide(&profile, &facts).is_ok());
    let shown = fields(&profile, &facts);
    let name = format!("extension {TEMPLATE}");
    let field = shown.iter().find(|field| field.name == name).unwrap();
    assert_eq!(field.state, FieldState::Ignored);

    facts
        .other_extensions
        .push("1.3.6.1.4.1.311.25.2".parse().unwrap());
    let refusal = decide(&profile, &facts).unwrap_err();
    assert_eq!(refusal.rule.as_str(), "EXT-04");
    assert!(refusal.detail.contains("1.3.6.1.4.1.311.25.2"), "{refusal}");
}

#[test]
fn what_has_a_rule_of_its_own_cannot_be_ignored() {
    for (oid, told) in [
        ("2.5.29.17", "are compared with what is issued"),
        ("2.5.29.15", "are compared with what is issued"),
        ("2.5.29.37", "are compared with what is issued"),
        ("2.5.29.19", "are compared with what is issued"),
        ("2.5.29.14", "always ignored"),
        ("2.5.29.35", "always ignored"),
        ("template", "wanted a dotted OID"),
    ] {
        let line = format!("[enrolment]\nignored_extensions = [\"{oid}\"]\n");
        let problem = load(with_units(&[]).replacen("[enrolment]\n", &line, 1)).unwrap_err();
        assert!(problem.contains(told), "{oid}: {problem}");
    }
}

#[test]
fn an_optional_rdn_is_there_exactly_where_it_is_claimed() {
    let text = with_units(&["{ claim = \"OU\" }\noptional = true"]);
    let bundle = load(text).unwrap();
    let profile = bundle.profile("devices").unwrap();
    let (with, without) = ("CN=device-1,OU=Sales,O=Example", "CN=device-1,O=Example");
    for (claimed, subject, refused) in [
        (with, with, None),
        (without, without, None),
        (with, without, Some("SUB-04")),
        (without, with, Some("SUB-04")),
        (with, "CN=device-1,OU=Other,O=Example", Some("SUB-05")),
    ] {
        let grant = one_time("devices", claimed, &[]);
        let facts = request("devices", subject, &[], &rsa(2048), grant);
        let outcome = decide(profile, &facts);
        if refused.is_none() {
            assert_eq!(
                outcome
                    .as_ref()
                    .map(|permit| permit.subject().to_string())
                    .ok()
                    .as_deref(),
                Some(claimed)
            );
        }
        let rule = outcome.err();
        assert_eq!(
            rule.as_ref().map(|refusal| refusal.rule.as_str()),
            refused,
            "{claimed}: {subject}"
        );
        // Each field is judged by the rule of its own place.
        let shown = fields(profile, &facts);
        let cn = shown
            .iter()
            .find(|field| field.name.starts_with("subject CN"));
        assert!(refused.is_some() || cn.unwrap().wanted == "device-1");
    }
    let two = "CN=device-1,OU=a,OU=b,O=Example";
    let refusal = profile.check_challenge(&support::dn(two), &[]).unwrap_err();
    assert_eq!(refusal.rule.as_str(), "CHA-04");
}

#[test]
fn a_subject_of_optional_rdns_alone_needs_a_name_that_is_always_there() {
    let text = with_units(&[]);
    let start = text.find("[[subject]]").unwrap();
    let end = text.find("[[san]]").unwrap();
    let cn = "[[subject]]\ntype = \"CN\"\nvalue = { claim = \"CN\" }\naccept = [\"utf8\"]\nissue = \"utf8\"\noptional = true\n\n";
    let text = format!("{}{cn}{}", &text[..start], &text[end..]);
    let problem = load(text.clone()).unwrap_err();
    assert!(problem.contains("whose RDNs are all optional"), "{problem}");
    assert!(load(text.replace("claimed = { min = 0,", "claimed = { min = 1,")).is_ok());
}

#[test]
fn an_rdn_without_a_claim_cannot_be_optional() {
    let problem = load(with_units(&["{ literal = \"x\" }\noptional = true"])).unwrap_err();
    assert!(problem.contains("wanted a claim in it"), "{problem}");
}
