//! A challenge is good for one certificate.

use assay_verify::{Check, Verdict, Where};

use crate::honest::assert_verdict;
use crate::maker::{Maker, files};
use crate::scenes::{DEVICE, asks};

/// The signer's own keys signed all of it: two certificates on the word of one challenge.
#[test]
fn a_challenge_spent_twice_is_found_with_the_certificate_that_it_was_spent_on() {
    const SAN: &str = "dns:a.example.com";
    let mut maker = Maker::new();
    maker.start();
    maker.activate(&files("CHG-1"), &[]);
    let by = maker.challenge("devices", DEVICE, &[SAN]);
    let first = maker.issue(&asks("devices", DEVICE, &[SAN], by.clone()));
    assert_verdict(&maker.parts.clone().export().verify(), Verdict::Proven);

    let intent = maker.parts.records.len() as u64 + 1;
    maker.issue(&asks("devices", DEVICE, &[SAN], by));
    let report = maker.parts.export().verify();
    assert_verdict(&report, Verdict::Bad);
    let [found] = report.bad.as_slice() else {
        panic!("{:?}", report.bad);
    };
    assert_eq!(found.check, Check::Challenges);
    assert_eq!(found.at, Where::Record(intent));
    assert_eq!(found.member, "source.id");
    // Nothing tells it from one that came to nothing, whose record is missing.
    let freed = ["intent.abandoned", "pending.denied", "pending.expired"];
    assert_eq!(*found.missing, freed);
    assert!(found.wanted.starts_with("a challenge that is open, or "));
    assert_eq!(found.got, format!("one spent on certificate {first}"));
}
