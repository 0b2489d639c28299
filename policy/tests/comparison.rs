//! Names that differ in case: one device, and carried as the profile says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod support;

use assay_policy::{Attribute, Bundle, Facts, PolicyFile, Profile, decide, fields};
use support::{dn, one_time, san};

const DNS: &str = "[[san]]\ntype = \"dns\"\nclaimed = { min = 0, max = 8 }";
const SANS: &str = "[[san]]\ntype = \"dns\"\nclaimed = { min = 1, max = 8 }\n\n[[san]]\ntype = \"uri\"\nvalue = { literal = \"IntuneDeviceId://A1\" }\n\n[[san]]\ntype = \"email\"\nclaimed = { min = 1, max = 1 }\n\n[[san]]\ntype = \"upn\"\nclaimed = { min = 1, max = 1 }\n\n[[subject]]\ntype = \"DC\"\nvalue = { claim = \"DC\" }\naccept = [\"ia5\"]\nissue = \"ia5\"";
const CLAIMED: [&str; 4] = [
    "dns:r1.example.org",
    "uri:IntuneDeviceId://A1",
    "email:Jo@example.org",
    "upn:Jo@EXAMPLE.org",
];
const ASKED: [&str; 4] = [
    "upn:Jo@example.ORG",
    "email:Jo@Example.org",
    "dns:R1.Example.org",
    "uri:intunedeviceid://A1",
];

fn profile(name_case: &str) -> Profile {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/devices.toml"));
    let text = text.unwrap().replace(DNS, SANS).replace(
        "[certificate]\n",
        &format!("[certificate]\nname_case = \"{name_case}\"\n"),
    );
    let file = PolicyFile {
        name: "devices.toml".to_owned(),
        content: text.into_bytes(),
    };
    let bundle = Bundle::load(&[file]).unwrap();
    bundle.profile("devices").unwrap().clone()
}

fn request(asked: &[&str]) -> Facts {
    let mut facts = support::device();
    facts.grant = one_time("devices", "DC=Example,CN=device-1,O=Example", &CLAIMED);
    facts.subject.push(vec![Attribute {
        oid: "0.9.2342.19200300.100.1.25".parse().unwrap(),
        tag: 0x16,
        value: b"eXample".to_vec(),
    }]);
    facts.sans = Some(asked.iter().map(|name| san(name)).collect());
    facts
}

#[test]
fn names_that_are_equal_are_carried_as_asked_or_in_lower_case() {
    for (name_case, subject, sans) in [
        (
            "requested",
            "DC=eXample,CN=device-1,O=Example",
            [
                "dns:R1.Example.org",
                "uri:intunedeviceid://A1",
                "email:Jo@Example.org",
                "upn:Jo@example.ORG",
            ],
        ),
        (
            "lower",
            "DC=example,CN=device-1,O=Example",
            [
                "dns:r1.example.org",
                "uri:intunedeviceid://A1",
                "email:Jo@example.org",
                "upn:Jo@example.org",
            ],
        ),
    ] {
        let permit = decide(&profile(name_case), &request(&ASKED)).unwrap();
        assert_eq!(*permit.subject(), dn(subject), "{name_case}");
        assert_eq!(permit.sans(), sans.map(san), "{name_case}");
    }
}

#[test]
fn case_matters_in_every_other_part_of_a_name() {
    for (place, other) in [
        (0, "upn:jo@example.ORG"),
        (1, "email:jo@Example.org"),
        (3, "uri:intunedeviceid://a1"),
    ] {
        let mut asked = ASKED;
        asked[place] = other;
        let facts = request(&asked);
        let refusal = decide(&profile("requested"), &facts).unwrap_err();
        assert_eq!(refusal.rule.as_str(), "SAN-04", "{other}");
    }
    let mut facts = request(&ASKED);
    facts.subject[1][0].value = b"Device-1".to_vec();
    let refusal = decide(&profile("requested"), &facts).unwrap_err();
    assert_eq!(refusal.rule.as_str(), "SUB-05");
}

#[test]
fn a_challenge_is_for_the_names_in_whatever_case_they_are_given() {
    let capitals = ["dns:R1.Example.ORG", CLAIMED[1], CLAIMED[2], CLAIMED[3]].map(san);
    let subject = dn("DC=EXAMPLE,CN=device-1,O=Example");
    assert_eq!(
        profile("lower").check_challenge(&subject, &capitals),
        Ok(())
    );
    let twice = [
        CLAIMED[0],
        "dns:R1.example.org",
        CLAIMED[1],
        CLAIMED[2],
        CLAIMED[3],
    ]
    .map(san);
    let refusal = profile("lower")
        .check_challenge(&subject, &twice)
        .unwrap_err();
    assert_eq!(refusal.rule.as_str(), "CHA-04");
}

#[test]
fn the_explanation_shows_each_name_as_it_was_asked_for() {
    let shown = fields(&profile("requested"), &request(&ASKED));
    let host = shown
        .iter()
        .find(|field| field.wanted == "dns:r1.example.org");
    assert_eq!(host.unwrap().got, "dns:R1.Example.org");
}

/// The name that `devices` would add in this test.
const ADDED: &str = "dns:r1.example.org";

fn adding() -> Profile {
    let to = "[[san]]\ntype = \"dns\"\nvalue = { literal = \"R1.example.org\" }\nadd = true";
    support::changed_profile("demo", "devices", DNS, to)
}

#[test]
fn a_name_that_the_profile_adds_is_issued_whether_asked_for_or_not() {
    let mut facts = support::device();
    facts.grant = one_time("devices", "CN=device-1,O=Example", &[ADDED]);
    for asked in [None, Some(vec![san("dns:R1.EXAMPLE.org")])] {
        facts.sans = asked;
        let permit = decide(&adding(), &facts).unwrap();
        assert_eq!(permit.sans(), [san(ADDED)], "{:?}", facts.sans);
    }
    let shown = fields(
        &adding(),
        &Facts {
            sans: None,
            ..facts
        },
    );
    let added = shown.iter().find(|field| field.name == "SAN").unwrap();
    assert_eq!(added.wanted, "dns:R1.example.org, which the profile adds");
    assert_eq!(added.got, "none");
}

#[test]
fn beside_an_added_name_no_other_can_be_asked_for() {
    let mut facts = support::device();
    facts.grant = one_time("devices", "CN=device-1,O=Example", &[ADDED]);
    for asked in [
        vec!["dns:r2.example.org"],
        vec![ADDED, "dns:r2.example.org"],
        vec![],
    ] {
        facts.sans = Some(asked.iter().map(|name| san(name)).collect());
        let refusal = decide(&adding(), &facts).unwrap_err();
        assert_eq!(refusal.rule.as_str(), "SAN-04", "{asked:?}");
    }
}
