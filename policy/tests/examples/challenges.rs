//! What authorises a request: CHA and REN.

use std::time::Duration;

use assay_policy::{Facts, Grant, InventoryEntry, Profile, Source};
use assay_types::Hash;

use super::requests::{device, devices};
use super::support::{self, changed_profile, profile, rsa};
use super::{Case, Example, Passes, Refused};

const SUBJECT: &str = "CN=device-1,O=Example";
const NAME: &str = "dns:a.example.com";

fn claiming(subject: &str, names: &[&str]) -> Vec<Case> {
    let mut facts = device();
    facts.grant = support::one_time("devices", subject, names);
    vec![(devices(), facts)]
}

fn at_expiry(less: u64) -> Vec<Case> {
    let mut facts = device();
    facts.now += Duration::from_secs(60 - less);
    vec![(devices(), facts)]
}

fn fleet(change: impl FnOnce(&mut Facts)) -> Vec<Case> {
    let mut facts = support::fleet();
    change(&mut facts);
    vec![(profile("demo", "fleet"), facts)]
}

fn entry(pin: Option<Hash>, issued: bool) -> Option<InventoryEntry> {
    Some(InventoryEntry {
        name: "device-1".to_owned(),
        spki_sha256: pin,
        already_issued: issued,
    })
}

fn fleet_with(inventory: Option<InventoryEntry>, subject: &str) -> Vec<Case> {
    let grant = Grant::shared("s-1".to_owned(), "fleet".to_owned(), inventory);
    let facts = support::request("fleet", subject, &[], &rsa(2048), Some(grant));
    vec![(profile("demo", "fleet"), facts)]
}

/// A renewal under `fleet`, were it to have `[renewal]`.
fn fleet_again(entry: Option<InventoryEntry>) -> Vec<Case> {
    let renewal = "[renewal]\nwindow = \"30d\"\n\n[certificate]\n";
    let profile = changed_profile("demo", "fleet", "[certificate]\n", renewal);
    let mut facts = support::fleet();
    facts.grant = support::renewed("fleet", SUBJECT, &[]);
    support::regrant(&mut facts, |_, claims| claims.inventory = entry);
    vec![(profile, facts)]
}

/// `devices` with the window of 30 days and this setting.
fn thirty_days(same_key: bool) -> Profile {
    let from = "window = \"90d\"\nsame_key = true";
    let to = format!("window = \"30d\"\nsame_key = {same_key}");
    changed_profile("demo", "devices", from, &to)
}

/// Of a certificate of `profile` that ends in 30 days.
fn renewal(under: Profile, profile: &str, subject: &str, names: &[&str]) -> Case {
    let mut facts = device();
    facts.grant = support::renewed(profile, subject, names);
    (under, facts)
}

fn usual(change: impl FnOnce(&mut Facts)) -> Vec<Case> {
    let (profile, mut facts) = renewal(thirty_days(true), "devices", SUBJECT, &[NAME]);
    change(&mut facts);
    vec![(profile, facts)]
}

fn with_its_key(same_key: bool) -> Vec<Case> {
    let (profile, mut facts) = renewal(thirty_days(same_key), "devices", SUBJECT, &[NAME]);
    let key = facts.key.spki_sha256();
    support::regrant(&mut facts, |source, _| {
        if let Source::Renewal(renewed) = source {
            renewed.spki_sha256 = key;
        }
    });
    vec![(profile, facts)]
}

/// `devices` with one renewal per certificate, or with more, where the certificate was renewed before or not.
fn renewed_before(once: bool, successor: Option<&str>) -> Vec<Case> {
    let from = "window = \"90d\"";
    let profile = changed_profile("demo", "devices", from, &format!("{from}\nonce = {once}"));
    let (profile, mut facts) = renewal(profile, "devices", SUBJECT, &[NAME]);
    support::regrant(&mut facts, |source, _| {
        if let Source::Renewal(renewed) = source {
            renewed.successor = successor.map(str::to_owned);
        }
    });
    vec![(profile, facts)]
}

const LATER: Duration = Duration::from_secs(30 * 86_400);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn nine() -> Vec<String> {
    (1..=9).map(|n| format!("dns:{n}.example.com")).collect()
}

pub(super) const EXAMPLES: &[Example] = &[
    (
        "CHA-01",
        Passes,
        "a one-time challenge under `devices`, a static one under `fleet`",
        || [claiming(SUBJECT, &[NAME]), fleet(|_| {})].concat(),
    ),
    (
        "CHA-01",
        Refused,
        "a static challenge under `devices`",
        || {
            let mut facts = device();
            facts.grant = support::inventory("devices", "device-1", None);
            vec![(devices(), facts)]
        },
    ),
    ("CHA-01", Refused, "no challenge", || {
        let mut facts = device();
        facts.grant = None;
        vec![(devices(), facts)]
    }),
    (
        "CHA-02",
        Passes,
        "a challenge issued for `devices` under `devices`",
        || claiming(SUBJECT, &[NAME]),
    ),
    (
        "CHA-02",
        Refused,
        "a challenge issued for `smime` under `devices`",
        || {
            let mut facts = device();
            facts.grant = support::one_time("smime", SUBJECT, &[NAME]);
            vec![(devices(), facts)]
        },
    ),
    (
        "CHA-03",
        Passes,
        "a challenge one second before its expiry",
        || at_expiry(1),
    ),
    (
        "CHA-03",
        Refused,
        "the same challenge at its expiry",
        || at_expiry(0),
    ),
    (
        "CHA-04",
        Passes,
        "a challenge for `CN=device-1,O=Example` and `dns:a.example.com`",
        || claiming(SUBJECT, &[NAME]),
    ),
    (
        "CHA-04",
        Refused,
        "a challenge for `CN=device-1,O=Elsewhere`",
        || claiming("CN=device-1,O=Elsewhere", &[NAME]),
    ),
    ("CHA-04", Refused, "one for `ip:192.0.2.1`", || {
        claiming(SUBJECT, &["ip:192.0.2.1"])
    }),
    ("CHA-04", Refused, "one for nine DNS names", || {
        let names = nine();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        claiming(SUBJECT, &names)
    }),
    (
        "CHA-05",
        Passes,
        "under `fleet`, `CN=device-1` where the inventory has `device-1`",
        || fleet_with(entry(None, false), SUBJECT),
    ),
    (
        "CHA-05",
        Refused,
        "under `fleet`, `CN=device-9` where it has not",
        || fleet_with(None, "CN=device-9,O=Example"),
    ),
    (
        "CHA-05",
        Refused,
        "a renewal for a name that was struck off",
        || fleet_again(None),
    ),
    (
        "CHA-06",
        Passes,
        "under `fleet`, the key whose SPKI hash stands beside `device-1`, or any key where none stands there",
        || {
            let pin = support::fleet().key.spki_sha256();
            let pinned = fleet_with(entry(Some(pin), false), SUBJECT);
            [pinned, fleet_with(entry(None, false), SUBJECT)].concat()
        },
    ),
    (
        "CHA-06",
        Refused,
        "under `fleet`, another key than the pinned one, in a renewal too: pin the new key, or none, before",
        || {
            let other = entry(Some([9; 32].into()), false);
            [fleet_with(other.clone(), SUBJECT), fleet_again(other)].concat()
        },
    ),
    (
        "CHA-07",
        Passes,
        "under `fleet`, which has `accept_shared_secret = true`, a name without a pin",
        || fleet(|_| {}),
    ),
    (
        "CHA-07",
        Refused,
        "under `examples/vpn-gateway.toml`, which has `false`, a name without a pin",
        || {
            let mut facts = support::gateway();
            facts.grant = support::inventory("vpn-gateway", "gw1.example.com", None);
            vec![(profile("examples", "vpn-gateway"), facts)]
        },
    ),
    (
        "CHA-08",
        Passes,
        "under `fleet`, the first certificate of `device-1`",
        || fleet_with(entry(None, false), SUBJECT),
    ),
    (
        "CHA-08",
        Refused,
        "under `fleet`, a second one before an operator resets the name",
        || fleet_with(entry(None, true), SUBJECT),
    ),
    (
        "REN-01",
        Passes,
        "a renewal under `devices`, which has `[renewal]`",
        || vec![renewal(devices(), "devices", SUBJECT, &[NAME])],
    ),
    (
        "REN-01",
        Refused,
        "a renewal under `fleet`, which has not",
        || {
            let mut cases = fleet_again(entry(None, true));
            cases[0].0 = profile("demo", "fleet");
            cases
        },
    ),
    (
        "REN-02",
        Passes,
        "the renewal of a certificate issued under `devices`",
        || usual(|_| {}),
    ),
    (
        "REN-02",
        Refused,
        "the renewal, under `devices`, of a certificate issued under `smime`",
        || vec![renewal(devices(), "smime", SUBJECT, &[NAME])],
    ),
    (
        "REN-03",
        Passes,
        "a renewal at the certificate's NotAfter",
        || usual(|facts| facts.now += LATER),
    ),
    (
        "REN-03",
        Passes,
        "with `grace = \"14d\"`, 14 days later",
        || {
            let from = "window = \"90d\"\n";
            let profile =
                changed_profile("demo", "devices", from, &format!("{from}grace = \"14d\"\n"));
            let (profile, mut facts) = renewal(profile, "devices", SUBJECT, &[NAME]);
            facts.now += LATER + 14 * DAY;
            vec![(profile, facts)]
        },
    ),
    ("REN-03", Refused, "a renewal one second later", || {
        usual(|facts| facts.now += LATER + SECOND)
    }),
    (
        "REN-04",
        Passes,
        "with `window = \"30d\"`, a renewal 30 days before NotAfter",
        || usual(|_| {}),
    ),
    (
        "REN-04",
        Refused,
        "with `window = \"30d\"`, a renewal one second earlier",
        || usual(|facts| facts.now -= SECOND),
    ),
    ("REN-05", Passes, "a new key", || {
        vec![renewal(thirty_days(false), "devices", SUBJECT, &[NAME])]
    }),
    (
        "REN-05",
        Passes,
        "with `same_key = true`, the renewed certificate's key",
        || with_its_key(true),
    ),
    (
        "REN-05",
        Refused,
        "with `same_key = false`, the renewed certificate's key",
        || with_its_key(false),
    ),
    (
        "REN-06",
        Passes,
        "the renewal of a certificate for `CN=device-1,O=Example`",
        || usual(|_| {}),
    ),
    (
        "REN-06",
        Refused,
        "the renewal of one for `CN=device-1,O=Elsewhere`, from before the profile's literal changed",
        || {
            vec![renewal(
                devices(),
                "devices",
                "CN=device-1,O=Elsewhere",
                &[NAME],
            )]
        },
    ),
    ("REN-06", Refused, "of one for nine DNS names", || {
        let names = nine();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        vec![renewal(devices(), "devices", SUBJECT, &names)]
    }),
    (
        "REN-07",
        Passes,
        "with `once = true`, the first renewal of a certificate",
        || renewed_before(true, None),
    ),
    (
        "REN-07",
        Passes,
        "with `once = false`, a second one too",
        || renewed_before(false, Some("2a")),
    ),
    (
        "REN-07",
        Refused,
        "with `once = true`, a second renewal of the same certificate",
        || renewed_before(true, Some("2a")),
    ),
];
