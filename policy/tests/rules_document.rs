//! RULES.md and the code list the same rules in the same order.
#![allow(clippy::unwrap_used, reason = "test code")]

use assay_policy::{LoadRule, RULES};

const DOCUMENT: &str = include_str!("../RULES.md");

/// Id, title and text of each rule in the document.
fn documented() -> Vec<(&'static str, &'static str, &'static str)> {
    DOCUMENT
        .split("\n### ")
        .skip(1)
        .map(|section| {
            let (heading, text) = section.split_once('\n').unwrap();
            let (id, title) = heading.split_once(": ").unwrap();
            (id, title, text)
        })
        .collect()
}

#[test]
fn rules_md_lists_the_rules_of_the_code_in_their_order() {
    let decision: Vec<_> = documented()
        .into_iter()
        .filter(|(id, _, _)| {
            !["TOM-", "SIG-", "LINT-"]
                .iter()
                .any(|prefix| id.starts_with(prefix))
        })
        // Of a version and a profile as a whole, which the signer holds beside its own.
        .filter(|(id, _, _)| !matches!(*id, "POL-03" | "POL-04"))
        .map(|(id, title, _)| (id, title))
        .collect();
    let code: Vec<_> = RULES
        .iter()
        .map(|rule| (rule.id.as_str(), rule.title))
        .collect();
    assert_eq!(decision, code);
    let loading: Vec<_> = documented()
        .into_iter()
        .map(|(id, _, _)| id)
        .filter(|id| id.starts_with("TOM-"))
        .collect();
    let code: Vec<_> = LoadRule::ALL.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(loading, code);
}

#[test]
fn each_rule_has_an_example_that_passes_and_one_that_is_refused() {
    for (id, _, text) in documented() {
        for start in ["- Passes: ", "- Refused: "] {
            assert_eq!(
                text.matches(start).count(),
                1,
                "{id} needs one line `{start}`"
            );
        }
    }
}
