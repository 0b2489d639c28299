//! Deciding again: equal where nothing was altered, a name for what was.

use std::time::Duration;

use assay_decision::{Ca, Derived, Deviation, Evidence, Verdict, decide_again, lint_again};
use assay_policy::Semantics;
use assay_types::Hash;

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

fn again(case: &Case, evidence: &Evidence) -> Result<Derived, Deviation> {
    decide_again(evidence, &bundle(case.directory), &ca())
}

fn first() -> (Case, Evidence) {
    let case = permits().remove(0);
    let evidence = case.evidence();
    (case, evidence)
}

#[track_caller]
fn deviates(outcome: Result<Derived, Deviation>, what: &str) {
    match outcome {
        Err(deviation) => assert_eq!(deviation.what(), what, "{deviation}"),
        Ok(derived) => panic!("nothing deviates: {derived:?}"),
    }
}

#[test]
fn every_kind_of_permit_is_decided_again_to_the_byte() {
    let mut pending = 0;
    for case in permits() {
        let evidence = case.evidence();
        let derived = again(&case, &evidence).unwrap_or_else(|deviation| {
            panic!("{} {}: {deviation}", case.profile, case.what);
        });
        match (&evidence.verdict, derived) {
            (Verdict::Permit(permitted), Derived::Permit { tbs, tbs_digest }) => {
                assert_eq!(Hash::of(&tbs), tbs_digest);
                assert_eq!(permitted.tbs_digest, tbs_digest);
            }
            (Verdict::Pending, Derived::Pending) => pending += 1,
            other => panic!("{}: {other:?}", case.what),
        }
    }
    assert_eq!(pending, 1);
}

#[test]
fn a_refusal_of_every_profile_is_decided_again_by_the_same_rule() {
    for case in refusals() {
        let evidence = case.evidence();
        let Derived::Refusal(refusal) = again(&case, &evidence).unwrap() else {
            panic!("{} {}: permitted", case.profile, case.what);
        };
        let Verdict::Refusal { rule } = &evidence.verdict else {
            panic!("{} {}: permitted", case.profile, case.what);
        };
        assert_eq!(refusal.rule.as_str(), rule);
    }
}

#[test]
fn an_altered_grant_deviates() {
    let (case, mut evidence) = first();
    evidence.grant = one_time("devices", "CN=device-2,O=Example", &["dns:a.example.com"]);
    deviates(again(&case, &evidence), "decision");

    evidence.grant = None;
    deviates(again(&case, &evidence), "decision");
}

#[test]
fn another_csr_deviates() {
    let (case, evidence) = first();
    let other = csr("CN=device-2,O=Example", &["dns:a.example.com"], None);
    let altered = Evidence {
        csr: other.der().to_vec(),
        ..evidence.clone()
    };
    deviates(again(&case, &altered), "decision");

    let altered = Evidence {
        csr: vec![0x30, 0],
        ..evidence
    };
    deviates(again(&case, &altered), "csr");
}

#[test]
fn a_whole_csr_is_held_to_its_signature() {
    let case = permits().remove(1);
    let mut evidence = case.evidence();
    assert!(evidence.csr_whole(), "a renewal brings no challenge");
    *evidence.csr.last_mut().unwrap() ^= 1;
    evidence.csr_sha256 = None;
    deviates(again(&case, &evidence), "csr");
}

#[test]
fn a_csr_that_was_kept_with_its_challenge_is_named() {
    let (case, mut evidence) = first();
    evidence.csr = case.csr.der().to_vec();
    deviates(again(&case, &evidence), "csr");
}

#[test]
fn another_hash_of_the_csr_deviates() {
    let (case, mut evidence) = first();
    evidence.csr_hash = assay_types::Digest::Sha512;
    deviates(again(&case, &evidence), "csr_hash");
}

#[test]
fn a_decision_under_semantics_that_are_not_known_is_not_made_again() {
    let (case, mut evidence) = first();
    for number in [0, 2] {
        evidence.semantics = Semantics::new(number);
        deviates(again(&case, &evidence), "semantics");
    }
}

#[test]
fn another_profile_or_policy_deviates() {
    let (case, mut evidence) = first();
    let shorter = changed("demo", "devices", "\"90d\"\nbackdate", "\"30d\"\nbackdate");
    deviates(decide_again(&evidence, &shorter, &ca()), "validity");
    let other = changed(
        "demo",
        "devices",
        "extended_key_usage = [\"clientAuth\"]",
        "extended_key_usage = [\"emailProtection\"]",
    );
    deviates(decide_again(&evidence, &other, &ca()), "tbs_digest");

    evidence.profile = "fleet".to_owned();
    deviates(again(&case, &evidence), "decision");
    evidence.profile = "unknown".to_owned();
    deviates(again(&case, &evidence), "profile");
}

#[test]
fn another_time_deviates() {
    let (case, mut evidence) = first();
    // A second moves the validity; the challenge expires after a minute.
    evidence.decided_ms = evidence.decided_ms + SECOND;
    deviates(again(&case, &evidence), "validity");
    evidence.decided_ms = evidence.decided_ms + Duration::from_secs(60);
    deviates(again(&case, &evidence), "decision");
}

#[test]
fn another_certificate_than_was_permitted_deviates() {
    let (case, evidence) = first();
    let altered = |change: &dyn Fn(&mut assay_decision::Permitted)| {
        let mut evidence = evidence.clone();
        let Verdict::Permit(permitted) = &mut evidence.verdict else {
            panic!("no permit");
        };
        change(permitted);
        again(&case, &evidence)
    };
    deviates(
        altered(&|it| it.not_after = it.not_after + SECOND),
        "validity",
    );
    deviates(
        altered(&|it| it.not_before = it.not_before - SECOND),
        "validity",
    );
    deviates(altered(&|it| it.serial[3] ^= 1), "tbs_digest");
    deviates(altered(&|it| it.serial.truncate(8)), "tbs");
    deviates(
        altered(&|it| it.tbs_digest = Hash::of(b"other")),
        "tbs_digest",
    );
    deviates(
        altered(&|it| it.issuer_sha256 = Hash::of(b"other")),
        "issuer_sha256",
    );
    let other = Ca::from_der(&ca_certificate("Other CA")).unwrap();
    deviates(
        decide_again(&evidence, &bundle("demo"), &other),
        "issuer_sha256",
    );
}

#[test]
fn a_permit_is_no_refusal_and_a_refusal_names_its_own_rule() {
    let (case, mut evidence) = first();
    evidence.verdict = Verdict::Refusal {
        rule: "SUB-02".to_owned(),
    };
    deviates(again(&case, &evidence), "decision");

    let case = refusals().remove(0);
    let mut evidence = case.evidence();
    evidence.verdict = Verdict::Refusal {
        rule: "POL-02".to_owned(),
    };
    deviates(again(&case, &evidence), "rule");
}

#[test]
fn a_profile_with_approval_issues_to_approved_requests_only() {
    let mut cases = permits();
    let (issued, queued) = (cases.remove(7), cases.remove(6));
    for case in [issued, queued] {
        let mut evidence = case.evidence();
        evidence.pending_id = None;
        deviates(again(&case, &evidence), "pending_id");
    }
    let (case, mut evidence) = first();
    evidence.verdict = Verdict::Pending;
    deviates(again(&case, &evidence), "pending_id");
}

/// The question of recovery before it signs: the TBS of a permit passes, and that of another one does not.
#[test]
fn a_tbs_is_linted_again_under_the_policy_of_its_permit() {
    let ca = ca();
    let lint = |case: &Case, evidence: &Evidence, tbs: &[u8]| {
        let bundle = bundle(case.directory);
        lint_again(evidence, &bundle, &ca.lint_issuer, &ca.issuer, tbs)
    };
    let mut others: Option<Vec<u8>> = None;
    let mut compared = 0;
    for case in permits() {
        let evidence = case.evidence();
        let Ok(Derived::Permit { tbs, .. }) = again(&case, &evidence) else {
            continue;
        };
        lint(&case, &evidence, &tbs).unwrap();
        let other = others.replace(tbs.clone());
        if let Some(other) = other.filter(|other| *other != tbs) {
            let outcome = lint(&case, &evidence, &other);
            assert!(matches!(outcome, Err(Deviation::Lint(_))), "{}", case.what);
            compared += 1;
        }
    }
    assert!(compared > 0);
}
