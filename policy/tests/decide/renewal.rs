//! Renewals: the whole policy, with the renewed certificate's names for claims.

use std::time::Duration;

use assay_policy::{ClaimedNames, Claims, Facts, InventoryEntry, Profile, Renewed, Source, decide};
use assay_types::Digest;

use super::support::{self, changed_profile, dn, profile, renewed, san};
use super::{Case, UTF8, entry, refusal, set_cn, set_key};

const DAY: Duration = Duration::from_secs(86_400);

fn certificate(facts: &mut Facts, change: impl FnOnce(&mut Renewed, &mut Claims)) {
    support::regrant(facts, |source, claims| {
        let Source::Renewal(renewed) = source else {
            panic!("no renewed certificate in {source:?}");
        };
        change(renewed, claims);
    });
}

fn names(facts: &mut Facts, change: impl FnOnce(&mut ClaimedNames)) {
    certificate(facts, |_, claims| change(claims.names.as_mut().unwrap()));
}

/// Under `devices` with a window of 30 days, which has just opened.
pub(crate) const DEVICES: &[Case] = &[
    (
        "REN-02",
        |f| certificate(f, |_, claims| claims.profile = "smime".into()),
        "certificate 1f: wanted one issued under profile devices, got one under `smime`",
    ),
    (
        "REN-03",
        |f| f.now += Duration::from_secs(30 * 86_400 + 1),
        "certificate 1f: wanted renewal until 2026-12-22T00:00:00Z, got 2026-12-22T00:00:01Z",
    ),
    (
        "REN-04",
        |f| f.now -= Duration::from_secs(1),
        "certificate 1f: wanted renewal from 2026-11-22T00:00:00Z, got 2026-11-21T23:59:59Z",
    ),
    (
        "REN-05",
        |f| {
            let key = f.key.spki_sha256();
            certificate(f, |renewed, _| renewed.spki_sha256 = key);
        },
        "key: wanted another than that of certificate 1f, got the same",
    ),
    (
        "REN-07",
        |f| certificate(f, |renewed, _| renewed.successor = Some("2a".into())),
        "wanted one that was not renewed, got one that `2a` renewed",
    ),
    (
        "REN-06",
        |f| names(f, |it| it.subject = dn("CN=device-1,O=Elsewhere")),
        "certificate 1f: subject: wanted `CN=device-1,O=Example`, got `CN=device-1,O=Elsewhere`",
    ),
    (
        "REN-06",
        |f| names(f, |it| it.sans.push(san("ip:192.0.2.1"))),
        "certificate 1f: subjectAltName: wanted `dns:a.example.com, dns:b.example.com`",
    ),
    (
        "REN-06",
        |f| {
            names(f, |it| {
                it.sans = (0..9)
                    .map(|n| san(&format!("dns:{n}.example.com")))
                    .collect();
            });
        },
        "9 subject alternative names of type dns",
    ),
    (
        "SUB-05",
        |f| set_cn(f, UTF8, b"device-2"),
        "subject CN: wanted `device-1`, got `device-2`",
    ),
    (
        "SAN-04",
        |f| f.sans.as_mut().unwrap().truncate(1),
        "wanted `dns:a.example.com, dns:b.example.com`, got `dns:a.example.com`",
    ),
    (
        "EXT-03",
        |f| f.basic_constraints_ca = Some(true),
        "got CA:TRUE",
    ),
    ("POL-01", |f| f.profile = "fleet".into(), "wanted devices"),
    ("ALG-01", |f| f.message_digest = Digest::Sha1, "got sha1"),
    ("KEY-02", |f| set_key(f, &support::rsa(1024)), "got 1024"),
];

/// Under `fleet` with a window of 30 days.
pub(crate) const FLEET: &[Case] = &[
    (
        "CHA-05",
        strike_off,
        "wanted a name in inventory fleet, got `device-1`",
    ),
    (
        "CHA-06",
        |f| entry(f, |it| it.spki_sha256 = Some([0; 32].into())),
        "wanted SPKI SHA-256 0000",
    ),
    (
        "REN-06",
        |f| entry(f, |it| it.name = "device-2".into()),
        "wanted `CN=device-2,O=Example`, got `CN=device-1,O=Example`",
    ),
];

fn issued(name: &str) -> Option<InventoryEntry> {
    Some(InventoryEntry {
        name: name.into(),
        spki_sha256: None,
        already_issued: true,
    })
}

fn strike_off(facts: &mut Facts) {
    facts.grant = renewed("fleet", "CN=device-1,O=Example", &[]);
}

pub(crate) fn device() -> (Profile, Facts) {
    let profile = changed_profile(
        "demo",
        "devices",
        "window = \"90d\"\nsame_key = true",
        "window = \"30d\"\nonce = true",
    );
    let mut facts = support::device();
    let sans = ["dns:a.example.com", "dns:b.example.com"];
    facts.grant = renewed("devices", "CN=device-1,O=Example", &sans);
    (profile, facts)
}

pub(crate) fn fleet() -> (Profile, Facts) {
    let profile = changed_profile(
        "demo",
        "fleet",
        "[certificate]",
        "[renewal]\nwindow = \"30d\"\n[certificate]",
    );
    let mut facts = support::fleet();
    strike_off(&mut facts);
    certificate(&mut facts, |_, claims| {
        claims.inventory = issued("device-1");
    });
    (profile, facts)
}

#[test]
fn a_renewal_may_bring_a_new_key_or_the_same_where_the_profile_says_so() {
    let (new_key_only, mut facts) = device();
    assert_eq!(refusal(&new_key_only, &facts), None);
    let key = facts.key.spki_sha256();
    certificate(&mut facts, |renewed, _| renewed.spki_sha256 = key);
    let devices = profile("demo", "devices");
    assert_eq!(refusal(&devices, &facts), None);
    let renewal = devices.renewal().unwrap();
    assert!(renewal.same_key);
}

#[test]
fn a_renewal_may_come_in_the_first_and_in_the_last_second_of_its_window() {
    let (profile, mut facts) = device();
    assert_eq!(refusal(&profile, &facts), None, "the window opens");
    facts.now += 30 * DAY;
    assert_eq!(refusal(&profile, &facts), None, "NotAfter is inclusive");
}

#[test]
fn a_renewal_under_a_static_profile_needs_no_first_issue_and_no_shared_secret() {
    let (fleet, facts) = fleet();
    let claims = facts.grant.as_ref().unwrap().claims();
    assert!(claims.inventory.as_ref().unwrap().already_issued);
    assert_eq!(refusal(&fleet, &facts), None);

    let gateway = profile("examples", "vpn-gateway");
    assert!(!gateway.accept_shared_secret());
    let mut facts = support::gateway();
    facts.grant = renewed(
        "vpn-gateway",
        "OU=VPN+CN=gw1.example.com,O=Example GmbH",
        &["dns:gw1.example.com"],
    );
    certificate(&mut facts, |_, claims| {
        claims.inventory = issued("gw1.example.com");
    });
    assert_eq!(refusal(&gateway, &facts), None);
}

#[test]
fn a_renewal_issues_the_names_that_the_certificate_had() {
    let (profile, facts) = device();
    let permit = decide(&profile, &facts).unwrap();
    assert_eq!(*permit.subject(), dn("CN=device-1,O=Example"));
    assert_eq!(
        permit.sans(),
        [san("dns:a.example.com"), san("dns:b.example.com")]
    );
}
