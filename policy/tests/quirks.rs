//! An exception holds until its end, and from then on nothing is left of it.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::time::{Duration, SystemTime};

use assay_policy::{ContentCipher, Facts, Profile, Quirk, Quirks, decide, explain, tbs};
use assay_types::Digest;
use support::{changed_profile, issuer, now, serial};

const QUIRKS: &str = "[renewal]
window";
const LAST_SECOND: Duration = Duration::from_secs(1);

/// `devices` with a `[quirks]` table, which may say `UNTIL` for the time that [`now`] gives.
fn devices(quirks: &str) -> Profile {
    let until = quirks.replace("UNTIL", "2026-11-22T00:00:00Z");
    let tables = format!("[quirks]\n{until}\n\n{QUIRKS}");
    changed_profile("demo", "devices", QUIRKS, &tables)
}

/// Those that are in force, in the order of declaration.
fn active(profile: &Profile, now: SystemTime) -> Vec<Quirk> {
    let quirks = profile.quirks_at(now);
    let all = Quirk::ALL.iter().copied();
    all.filter(|quirk| quirks.has(*quirk)).collect()
}

fn last_second() -> SystemTime {
    now() - LAST_SECOND
}

#[test]
fn without_the_table_nothing_is_excepted() {
    let profile = support::profile("demo", "devices");
    assert_eq!(profile.quirks_at(now()), Quirks::default());
    assert_eq!(active(&profile, now()), []);
    assert!(!profile.message_digests(now()).contains(&Digest::Sha1));
    assert!(
        !profile
            .ciphers(now())
            .contains(&ContentCipher::TripleDesCbc)
    );
}

#[test]
fn each_exception_is_on_before_its_end_and_off_at_it() {
    let cases = [
        (Quirk::AllowSha1, "true"),
        (Quirk::Allow3Des, "true"),
        (Quirk::SingleRa, "true"),
        (Quirk::ChainInReply, "true"),
        (Quirk::NotBeforeSkew, "\"9h\""),
    ];
    assert_eq!(cases.map(|(quirk, _)| quirk), *Quirk::ALL);
    for (quirk, value) in cases {
        let lasting = devices(&format!("{quirk} = {value}"));
        assert_eq!(active(&lasting, now()), [quirk]);
        let ending = devices(&format!("{quirk} = {{ value = {value}, until = UNTIL }}"));
        assert_eq!(active(&ending, last_second()), [quirk]);
        assert_eq!(active(&ending, now()), []);
        assert_eq!(ending.quirks_at(now()), Quirks::default());
        assert_ne!(lasting.settings(), ending.settings());
        assert_eq!(lasting.sunset(quirk), None);
        assert_eq!(ending.sunset(quirk), Some(now()));
    }
}

#[test]
fn what_is_advertised_and_what_is_enforced_end_together() {
    let profile = devices(
        "allow_sha1 = { value = true, until = UNTIL }\nallow_3des = { value = true, until = UNTIL }",
    );
    let with = |time| {
        (
            profile.message_digests(time).contains(&Digest::Sha1),
            profile.csr_digests(time).contains(&Digest::Sha1),
            profile.ciphers(time).contains(&ContentCipher::TripleDesCbc),
        )
    };
    assert_eq!(with(last_second()), (true, true, true));
    assert_eq!(with(now()), (false, false, false));

    let sha1 = |time| {
        let mut facts = support::device();
        facts.now = time;
        facts.message_digest = Digest::Sha1;
        facts.csr_digest = Digest::Sha1;
        let refusals = explain(&profile, &facts);
        refusals
            .iter()
            .map(|refusal| refusal.rule.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(sha1(last_second()), [""; 0]);
    assert_eq!(sha1(now()), ["ALG-01", "ALG-02"]);
}

#[test]
fn an_algorithm_outside_the_lists_names_the_exception_it_needs() {
    let profile = devices("allow_sha1 = true\nallow_3des = true");
    for digest in Digest::ALL {
        let excepted = Quirk::of_digest(digest).is_some();
        assert_eq!(excepted, digest == Digest::Sha1);
        assert!(profile.message_digests(now()).contains(&digest));
    }
    for cipher in ContentCipher::ALL {
        let excepted = Quirk::of_cipher(*cipher).is_some();
        assert_eq!(excepted, *cipher == ContentCipher::TripleDesCbc);
        assert!(profile.ciphers(now()).contains(cipher));
    }
}

#[test]
fn not_before_is_earlier_by_the_skew_and_the_certificate_may_be_as_much_longer() {
    let profile = devices("not_before_skew = { value = \"9h\", until = UNTIL }");
    let issued_at = |time| {
        let facts = Facts {
            now: time,
            ..support::device()
        };
        let permit = decide(&profile, &facts).unwrap();
        let longest = profile.expected(&permit).unwrap().max_validity;
        let issuer = issuer();
        let (not_before, not_after) = profile.validity(time, &issuer);
        assert_eq!(not_after.duration_since(not_before).unwrap(), longest);
        let tbs = tbs(&profile, permit, &issuer, &serial(), not_before, not_after).unwrap();
        time.duration_since(tbs.not_before()).unwrap()
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    assert_eq!(issued_at(last_second()), hours(10));
    assert_eq!(issued_at(now()), hours(1));
}
