//! RULES.md and the code list the same rules in the same order.
#![allow(clippy::unwrap_used, reason = "test code")]

use assay_policy::{Comparison, LoadRule, RULES, SanKind};

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

/// Types and comparison of each row of the table of comparisons.
fn compared() -> Vec<(Vec<&'static str>, &'static str)> {
    let (_, rest) = DOCUMENT.split_once("## Comparison of names").unwrap();
    let (table, _) = rest.split_once("\n## ").unwrap();
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| SAN `") || line.contains("attribute"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1);
        let types = cells
            .next()
            .unwrap()
            .split('`')
            .skip(1)
            .step_by(2)
            .collect();
        (types, cells.next().unwrap().split('`').nth(1).unwrap())
    })
    .collect()
}

#[test]
fn the_table_of_comparisons_is_that_of_the_code() {
    let rows = compared();
    for kind in SanKind::ALL {
        let row = rows
            .iter()
            .find(|(types, _)| types.contains(&kind.as_str()));
        let (_, comparison) = row.unwrap();
        assert_eq!(*comparison, Comparison::of_san(*kind).as_str(), "{kind}");
    }
    let attributes = [
        ("DC", "0.9.2342.19200300.100.1.25"),
        ("emailAddress", "1.2.840.113549.1.9.1"),
    ];
    for (name, oid) in attributes {
        let row = rows.iter().find(|(types, _)| types.contains(&name));
        let comparison = Comparison::of_attribute(&oid.parse().unwrap());
        assert_eq!(row.unwrap().1, comparison.as_str(), "{name}");
    }
    // CN, O and unstructuredName stand for every other attribute.
    let (_, other) = rows.iter().find(|(types, _)| types.is_empty()).unwrap();
    for oid in ["2.5.4.3", "2.5.4.10", "1.2.840.113549.1.9.2"] {
        assert_eq!(
            *other,
            Comparison::of_attribute(&oid.parse().unwrap()).as_str()
        );
    }
}
