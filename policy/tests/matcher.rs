//! No mutant of a sound request passes that a second, simpler matcher refuses, and none is refused that it permits.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod support;

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use assay_policy::{
    Attribute, ClaimedNames, Facts, Grant, Profile, PublicKeyFacts, Renewed, Source,
    SubjectAltName, decide,
};
use assay_types::Digest;
use const_oid::ObjectIdentifier;
use proptest::prelude::*;
use support::{now, profile, san};

const SUBJECT: &str = "CN=device-1,O=Example";
const CLIENT_AUTH: ObjectIdentifier = const_oid::db::rfc5280::ID_KP_CLIENT_AUTH;
const OIDS: [&str; 4] = ["2.5.4.3", "2.5.4.10", "2.5.4.11", "2.5.4.5"];
const VALUES: [&str; 6] = [
    "Example",
    "device-1",
    "device-2",
    "device-1 ",
    "Device-1",
    "",
];
const TAGS: [u8; 5] = [0x0c, 0x13, 0x14, 0x16, 0x1e];
const SANS: [&str; 5] = [
    "dns:a.example.com",
    "dns:b.example.com",
    "dns:c.example.com",
    "ip:192.0.2.1",
    "email:a@b.c",
];
const CLAIMS: [&str; 3] = [SUBJECT, "CN=device-2,O=Example", "CN=device-1,O=Elsewhere"];

const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);
/// NotAfter of a renewed certificate: past, the last second, the first one of the window, before it.
const ENDS: [fn(SystemTime) -> SystemTime; 4] = [
    |now| now - SECOND,
    |now| now,
    |now| now + 90 * DAY,
    |now| now + 90 * DAY + SECOND,
];

/// The second matcher: what `devices.toml` says, in a dozen lines that share nothing with the rules.
fn permitted(facts: &Facts) -> bool {
    let Some(grant) = &facts.grant else {
        return false;
    };
    let claims = grant.claims();
    let (Some(names), Some(expires)) = (&claims.names, claims.expires) else {
        return false;
    };
    let in_time = match grant.source() {
        Source::OneTimeChallenge { .. } => facts.now < expires,
        Source::Renewal(_) => (expires - 90 * DAY..=expires).contains(&facts.now),
        Source::StaticChallenge { .. } => return false,
    };
    let (profile, subject, sans) = (&claims.profile, &names.subject, &names.sans);
    let text = subject.to_string();
    let Some(cn) = text
        .strip_prefix("CN=")
        .and_then(|rest| rest.strip_suffix(",O=Example"))
    else {
        return false;
    };
    let is = |rdn: &[Attribute], oid: &str, value: &str| {
        matches!(rdn, [only] if only.oid.to_string() == oid
            && matches!(only.tag, 0x0c | 0x13) && only.value == value.as_bytes())
    };
    let names = |names: &[SubjectAltName]| {
        let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let claimed = names(sans);
    let all_different = claimed.windows(2).all(|pair| pair[0] != pair[1]);
    let dns_only = claimed.iter().all(|name| name.starts_with("dns:"));
    facts.profile == "devices"
        && profile == "devices"
        && in_time
        && matches!(facts.subject.as_slice(), [o, rest] if is(o, "2.5.4.10", "Example") && is(rest, "2.5.4.3", cn))
        && dns_only
        && all_different
        && facts.sans.as_ref().map_or(claimed.is_empty(), |sans| {
            !sans.is_empty() && names(sans) == claimed
        })
        && facts.key_usage.is_none_or(|usage| usage == 5)
        && facts
            .extended_key_usage
            .as_ref()
            .is_none_or(|usages| *usages == [CLIENT_AUTH])
        && facts.basic_constraints_ca != Some(true)
        && facts.other_extensions.is_empty()
        && facts.malformed.is_empty()
        && facts.message_digest != Digest::Sha1
        && facts.csr_digest != Digest::Sha1
        && keys()
            .iter()
            .any(|(key, sound)| *sound && *key == facts.key)
}

/// Keys, and whether the profile allows them.
fn keys() -> &'static [(PublicKeyFacts, bool)] {
    static KEYS: OnceLock<Vec<(PublicKeyFacts, bool)>> = OnceLock::new();
    KEYS.get_or_init(|| {
        [
            (support::rsa(2048), true),
            (support::rsa(3072), true),
            (support::rsa(1024), false),
            (support::rsa_with_exponent(3), false),
            (support::ec(), false),
            (vec![0x30, 0], false),
        ]
        .map(|(spki, sound)| (PublicKeyFacts::from_spki(&spki), sound))
        .to_vec()
    })
}

fn devices() -> &'static Profile {
    static PROFILE: OnceLock<Profile> = OnceLock::new();
    PROFILE.get_or_init(|| profile("demo", "devices"))
}

/// One change; the numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Mutation {
    Attribute {
        rdn: usize,
        oid: usize,
        tag: usize,
        value: usize,
    },
    AddRdn {
        oid: usize,
        value: usize,
    },
    AddToRdn {
        rdn: usize,
        oid: usize,
        value: usize,
    },
    RemoveRdn(usize),
    SwapRdns,
    Sans(Option<Vec<usize>>),
    Claim {
        subject: usize,
        sans: Vec<usize>,
        profile: bool,
        expired: bool,
    },
    Renewal {
        subject: usize,
        sans: Vec<usize>,
        profile: bool,
        ends: usize,
    },
    NoGrant,
    Profile,
    KeyUsage(Option<u16>),
    ExtendedKeyUsage(Option<Vec<bool>>),
    Ca(Option<bool>),
    OtherExtension,
    Digests {
        message: usize,
        csr: usize,
    },
    Key(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = 0..6_usize;
    let sans = prop::collection::vec(0..SANS.len(), 0..4);
    prop_oneof![
        (index.clone(), index.clone(), index.clone(), index.clone()).prop_map(
            |(rdn, oid, tag, value)| Mutation::Attribute {
                rdn,
                oid,
                tag,
                value
            }
        ),
        (index.clone(), index.clone()).prop_map(|(oid, value)| Mutation::AddRdn { oid, value }),
        (index.clone(), index.clone(), index.clone())
            .prop_map(|(rdn, oid, value)| Mutation::AddToRdn { rdn, oid, value }),
        index.clone().prop_map(Mutation::RemoveRdn),
        Just(Mutation::SwapRdns),
        prop::option::of(sans.clone()).prop_map(Mutation::Sans),
        (index.clone(), sans.clone(), any::<bool>(), any::<bool>()).prop_map(
            |(subject, sans, profile, expired)| Mutation::Claim {
                subject,
                sans,
                profile,
                expired
            }
        ),
        (index.clone(), sans, any::<bool>(), index.clone()).prop_map(
            |(subject, sans, profile, ends)| Mutation::Renewal {
                subject,
                sans,
                profile,
                ends
            }
        ),
        Just(Mutation::NoGrant),
        Just(Mutation::Profile),
        prop::option::of(0..16_u16).prop_map(Mutation::KeyUsage),
        prop::option::of(prop::collection::vec(any::<bool>(), 0..3))
            .prop_map(Mutation::ExtendedKeyUsage),
        prop::option::of(any::<bool>()).prop_map(Mutation::Ca),
        Just(Mutation::OtherExtension),
        (index.clone(), index.clone())
            .prop_map(|(message, csr)| Mutation::Digests { message, csr }),
        index.prop_map(Mutation::Key),
    ]
}

fn attribute(oid: usize, tag: usize, value: usize) -> Attribute {
    Attribute {
        oid: OIDS[oid % OIDS.len()].parse().unwrap(),
        tag: TAGS[tag % TAGS.len()],
        value: VALUES[value % VALUES.len()].into(),
    }
}

fn sans(indices: &[usize]) -> Vec<SubjectAltName> {
    indices.iter().map(|index| san(SANS[*index])).collect()
}

fn apply(mutation: &Mutation, facts: &mut Facts) {
    let rdns = facts.subject.len().max(1);
    match mutation {
        Mutation::Attribute {
            rdn,
            oid,
            tag,
            value,
        } => {
            if let Some(set) = facts.subject.get_mut(rdn % rdns) {
                *set = vec![attribute(*oid, *tag, *value)];
            }
        }
        Mutation::AddRdn { oid, value } => facts.subject.push(vec![attribute(*oid, 0, *value)]),
        Mutation::AddToRdn { rdn, oid, value } => {
            if let Some(set) = facts.subject.get_mut(rdn % rdns) {
                set.push(attribute(*oid, 0, *value));
            }
        }
        Mutation::RemoveRdn(rdn) => {
            if !facts.subject.is_empty() {
                facts.subject.remove(rdn % rdns);
            }
        }
        Mutation::SwapRdns => facts.subject.reverse(),
        Mutation::Sans(names) => facts.sans = names.as_deref().map(sans),
        Mutation::Claim {
            subject,
            sans: names,
            profile,
            expired,
        } => {
            let bound = ClaimedNames {
                subject: support::dn(CLAIMS[subject % CLAIMS.len()]),
                sans: sans(names),
            };
            let profile = if *profile { "devices" } else { "fleet" }.to_owned();
            let expires = now() + Duration::from_secs(if *expired { 0 } else { 1 });
            let grant = Grant::one_time("c-2".to_owned(), profile, bound, expires);
            facts.grant = Some(grant);
        }
        Mutation::Renewal {
            subject,
            sans: names,
            profile,
            ends,
        } => {
            let renewed = Renewed {
                serial: "1f".to_owned(),
                spki_sha256: facts.key.spki_sha256(),
                successor: None,
            };
            let bound = ClaimedNames {
                subject: support::dn(CLAIMS[subject % CLAIMS.len()]),
                sans: sans(names),
            };
            let profile = if *profile { "devices" } else { "fleet" }.to_owned();
            let not_after = ENDS[ends % ENDS.len()](now());
            let grant = Grant::renewal(renewed, profile, bound, not_after, None);
            facts.grant = Some(grant);
        }
        Mutation::NoGrant => facts.grant = None,
        Mutation::Profile => facts.profile = "fleet".to_owned(),
        Mutation::KeyUsage(bits) => facts.key_usage = *bits,
        Mutation::ExtendedKeyUsage(usages) => {
            facts.extended_key_usage = usages.as_ref().map(|usages| {
                let other = const_oid::db::rfc5280::ID_KP_SERVER_AUTH;
                usages
                    .iter()
                    .map(|client| if *client { CLIENT_AUTH } else { other })
                    .collect()
            });
        }
        Mutation::Ca(ca) => facts.basic_constraints_ca = *ca,
        Mutation::OtherExtension => facts.other_extensions.push("1.2.3.4".parse().unwrap()),
        Mutation::Digests { message, csr } => {
            let all = Digest::ALL;
            facts.message_digest = all[message % all.len()];
            facts.csr_digest = all[csr % all.len()];
        }
        Mutation::Key(index) => facts.key = keys()[index % keys().len()].0.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn decide_and_a_simple_matcher_agree(mutations in prop::collection::vec(mutation(), 1..4)) {
        let mut facts = support::device();
        facts.key = keys()[0].0.clone();
        for mutation in &mutations {
            apply(mutation, &mut facts);
        }
        let decided = decide(devices(), &facts);
        prop_assert_eq!(decided.is_ok(), permitted(&facts), "{:?}", decided.err());
    }
}

#[test]
fn both_matchers_permit_the_sound_request() {
    let mut facts = support::device();
    facts.key = keys()[0].0.clone();
    assert!(permitted(&facts));
    assert!(decide(devices(), &facts).is_ok());
}
