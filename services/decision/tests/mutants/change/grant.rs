//! Changes of what authorises the request, of the time and of the hashes.

use assay_types::Hash;

use super::Change;
use crate::claims::{Claims, Entry, Kind};
use crate::keys::key;
use crate::pair::{NOW, Pair};

const DAY: u64 = 86_400;

fn entry(pair: &mut Pair, change: impl FnOnce(&mut Entry)) -> bool {
    pair.claims.entry.as_mut().map(change).is_some()
}

fn claims(pair: &mut Pair, change: impl FnOnce(&mut Claims)) -> bool {
    change(&mut pair.claims);
    true
}

pub(super) const CLAIMS: &[Change] = &[
    ("another kind", |p, d| {
        let kinds = [Kind::OneTime, Kind::Static, Kind::Renewal, Kind::None];
        let kind = *d.one_of(&kinds);
        let changes = kind != p.claims.kind;
        p.claims.kind = kind;
        changes
    }),
    ("a challenge of another profile", |p, _| {
        claims(p, |it| it.profile = "elsewhere".into())
    }),
    ("another subject", |p, _| {
        claims(p, |it| it.subject = "CN=device-2,O=Example".into())
    }),
    ("another organisation", |p, _| {
        claims(p, |it| {
            it.subject = it.subject.replace("Example", "Elsewhere");
        })
    }),
    ("a subject that is more", |p, _| {
        claims(p, |it| it.subject = format!("UID=7,{}", it.subject))
    }),
    ("no subject", |p, _| {
        claims(p, |it| it.subject = String::new())
    }),
    ("upper case", |p, _| {
        claims(p, |it| it.subject = it.subject.replace("device", "DEVICE"))
    }),
    ("a name fewer", |p, _| p.claims.sans.pop().is_some()),
    ("a name more", |p, _| {
        claims(p, |it| it.sans.push("dns:c.example.com".into()))
    }),
    ("an address more", |p, _| {
        claims(p, |it| it.sans.push("ip:2001:db8::7".into()))
    }),
    ("a name twice", |p, _| {
        let name = p.claims.sans.first().cloned();
        name.map(|name| p.claims.sans.push(name)).is_some()
    }),
    ("the order of the names", |p, _| {
        claims(p, |it| it.sans.reverse())
    }),
    ("nine names", |p, _| {
        claims(p, |it| {
            it.sans = (0..9).map(|n| format!("dns:{n}.example.com")).collect();
        })
    }),
    ("names of both sides", |p, _| {
        p.sans = Some(vec![(0x82, b"c.example.com".to_vec())]);
        claims(p, |it| it.sans = vec!["dns:c.example.com".into()])
    }),
    ("not in the inventory", |p, _| {
        p.claims.entry.take().is_some()
    }),
    ("another name of the inventory", |p, _| {
        entry(p, |it| it.name = "device-9".into())
    }),
    ("a name of the inventory that is no text", |p, _| {
        entry(p, |it| it.name = " device-1".into())
    }),
    ("a name of the inventory that is too long", |p, _| {
        entry(p, |it| it.name = "x".repeat(65))
    }),
    ("a pin", |p, _| {
        let pin = Hash::of(&p.key);
        entry(p, |it| it.pin = Some(pin))
    }),
    ("the pin of another key", |p, _| {
        entry(p, |it| it.pin = Some([9; 32].into()))
    }),
    ("no pin", |p, _| entry(p, |it| it.pin = None)),
    ("issued before", |p, _| entry(p, |it| it.issued = true)),
    ("the same key as before", |p, _| {
        p.claims.old_key = Hash::of(&p.key);
        p.claims.kind == Kind::Renewal
    }),
    ("a certificate that was renewed before", |p, _| {
        p.claims.successor = Some("2a");
        p.claims.kind == Kind::Renewal
    }),
    ("the key that the old certificate has", |p, _| {
        p.key = key("a third RSA 3072");
        p.claims.kind == Kind::Renewal
    }),
];

fn move_to(pair: &mut Pair, now: u64) -> bool {
    pair.now = now;
    true
}

pub(super) const TIME: &[Change] = &[
    ("a moment later", |p, d| {
        let later = u64::try_from(d.below(59)).unwrap();
        move_to(p, p.now + later)
    }),
    ("the last second of the challenge", |p, _| {
        move_to(p, p.claims.expires.saturating_sub(1))
    }),
    ("the end of the challenge", |p, _| {
        move_to(p, p.claims.expires)
    }),
    ("a challenge of a day", |p, _| {
        claims(p, |it| it.expires += DAY)
    }),
    ("some days later", |p, d| {
        let days = u64::try_from(d.below(60)).unwrap();
        move_to(p, p.now + days * DAY)
    }),
    ("some days later with a challenge", |p, d| {
        let days = u64::try_from(d.below(60)).unwrap();
        p.claims.expires += days * DAY;
        p.claims.not_after += days * DAY;
        move_to(p, p.now + days * DAY)
    }),
    ("long before", |p, _| move_to(p, 1_000_000_000)),
    ("2027", |p, _| move_to(p, 1_798_761_600)),
    ("2030", |p, _| move_to(p, 1_893_456_000)),
    ("the old certificate's last second", |p, _| {
        p.now = p.claims.not_after;
        p.claims.kind == Kind::Renewal
    }),
    ("past the old certificate", |p, _| {
        p.now = p.claims.not_after + 1;
        p.claims.kind == Kind::Renewal
    }),
    ("ten days past the old certificate", |p, d| {
        p.now = p.claims.not_after + 10 * DAY + u64::try_from(d.below(2)).unwrap();
        p.claims.kind == Kind::Renewal
    }),
    ("the first second of the window", |p, _| {
        p.claims.not_after = p.now + 30 * DAY;
        p.claims.kind == Kind::Renewal
    }),
    ("before the window", |p, _| {
        p.claims.not_after = NOW + 100 * DAY;
        p.claims.kind == Kind::Renewal
    }),
];

pub(super) const HASH: &[Change] = &[
    ("another hash of the message", |p, d| {
        p.message_hash = *d.one_of::<&str>(&["sha1", "sha256", "sha384", "sha512"]);
        true
    }),
    ("another hash of the CSR", |p, d| {
        p.csr_signature = *d.one_of(&[5, 11, 12, 13]);
        true
    }),
    ("SHA-512 in both", |p, _| {
        (p.message_hash, p.csr_signature) = ("sha512", 13);
        true
    }),
    ("SHA-1 in both, as an exception", |p, d| {
        (p.message_hash, p.csr_signature) = ("sha1", 5);
        let until = d.one_of(&["2026-11-22T00:00:01Z", "2026-11-22T00:00:00Z"]);
        let quirk = format!("allow_sha1 = {{ value = true, until = {until} }}\n");
        super::policy::add_to(p, "[quirks]\n", &quirk)
    }),
];
