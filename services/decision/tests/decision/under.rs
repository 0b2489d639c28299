//! Recorded requests under another policy.

use assay_decision::{Flip, Prospect, decide_under};
use assay_policy::Bundle;

use crate::support::*;

fn flip(case: &Case, draft: &Bundle) -> Option<Flip> {
    let evidence = case.evidence();
    decide_under(&evidence, draft).unwrap().flip(&evidence)
}

fn rule(case: &Case, draft: &Bundle) -> String {
    let prospect = decide_under(&case.evidence(), draft).unwrap();
    let Prospect::Refusal(refusal) = prospect else {
        panic!("not refused: {prospect:?}");
    };
    refusal.rule.to_string()
}

#[test]
fn nothing_flips_under_the_policy_that_decided() {
    for case in permits().into_iter().chain(refusals()) {
        let draft = bundle(case.directory);
        assert_eq!(flip(&case, &draft), None, "{} {}", case.profile, case.what);
    }
}

#[test]
fn what_a_draft_no_longer_permits_flips_to_refused_by_its_rule() {
    let case = permits().remove(0);
    let draft = changed("demo", "devices", "min_bits = 2048", "min_bits = 4096");
    assert_eq!(flip(&case, &draft), Some(Flip::ToRefused));
    assert_eq!(rule(&case, &draft), "KEY-02");
}

#[test]
fn what_a_draft_newly_permits_flips_to_allowed() {
    let mut case = permits().remove(0);
    case.csr = csr("CN=device-1,O=Elsewhere", &["dns:a.example.com"], None);
    case.grant = one_time("devices", "CN=device-1,O=Elsewhere", &["dns:a.example.com"]);
    let draft = changed(
        "demo",
        "devices",
        "literal = \"Example\"",
        "literal = \"Elsewhere\"",
    );
    assert_eq!(flip(&case, &bundle("demo")), None);
    assert_eq!(flip(&case, &draft), Some(Flip::ToAllowed));
}

#[test]
fn another_rule_that_refuses_is_told_apart() {
    let case = refusals().remove(0);
    let draft = changed(
        "demo",
        "devices",
        "[\"sha256\", \"sha384\", \"sha512\"]\ncsr",
        "[\"sha384\", \"sha512\"]\ncsr",
    );
    assert_eq!(flip(&case, &draft), Some(Flip::OtherRule));
    assert_eq!(rule(&case, &draft), "ALG-01");
}

#[test]
fn an_approval_that_comes_or_goes_is_a_flip_of_its_own() {
    let approval = "[approval]\nexpires = \"7d\"\n\n[certificate]";
    let case = permits().remove(0);
    let draft = changed("demo", "devices", "[certificate]", approval);
    assert_eq!(flip(&case, &draft), Some(Flip::ApprovalAdded));

    let pending = permits().into_iter().filter(|case| case.what == "approval");
    let text = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy/examples/smime.toml"),
    );
    let text = text.unwrap();
    let table = text.split("\n[").find(|part| part.starts_with("approval]"));
    let draft = changed("examples", "smime", &format!("\n[{}", table.unwrap()), "");
    let mut seen = 0;
    for case in pending {
        assert_eq!(flip(&case, &draft), Some(Flip::ApprovalDropped));
        seen += 1;
    }
    assert_eq!(seen, 2, "one that waits, one that was approved");
}

#[test]
fn a_draft_is_judged_as_if_it_had_been_in_force() {
    let case = permits().remove(0);
    let (from, to) = ("not_before = 2025-01-01", "not_before = 2044-01-01");
    let draft = changed("demo", "devices", from, to);
    assert_eq!(flip(&case, &draft), None);
}

#[test]
fn without_its_profile_a_request_is_refused() {
    let case = permits().remove(0);
    let draft = bundle("examples");
    let evidence = case.evidence();
    assert_eq!(
        decide_under(&evidence, &draft).unwrap(),
        Prospect::NoProfile
    );
    assert_eq!(flip(&case, &draft), Some(Flip::ToRefused));
}

#[test]
fn evidence_that_holds_no_request_is_no_flip_but_an_error() {
    let mut evidence = permits().remove(0).evidence();
    evidence.csr.truncate(100);
    let deviation = decide_under(&evidence, &bundle("demo")).unwrap_err();
    assert_eq!(deviation.what(), "csr");
}
