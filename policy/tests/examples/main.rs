//! The examples of RULES.md, run: each clause of each `Passes` and `Refused` has a request or a file here, and each of
//! those a clause there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod challenges;
mod files;
mod keys;
mod requests;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use assay_policy::{Facts, LoadRule, Profile, RULES, decide};

const DOCUMENT: &str = include_str!("../../RULES.md");

/// What becomes of an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Passes,
    Refused,
}
use Verdict::{Passes, Refused};

/// Rule, verdict, the clause as RULES.md has it, and the requests it speaks of.
type Example = (&'static str, Verdict, &'static str, fn() -> Vec<Case>);
type Case = (Profile, Facts);

type Clause = (String, Verdict, String);

/// Each clause of these rules. What follows a full stop is a remark.
fn documented(rules: &[&str]) -> BTreeSet<Clause> {
    let mut clauses = BTreeSet::new();
    for section in DOCUMENT.split("\n### ").skip(1) {
        let (id, rest) = section.split_once(": ").unwrap();
        if !rules.contains(&id) {
            continue;
        }
        let text = rest.split("\n## ").next().unwrap().replace("\n  ", " ");
        for line in text.lines() {
            for (verdict, start) in [(Passes, "- Passes: "), (Refused, "- Refused: ")] {
                let Some(line) = line.strip_prefix(start) else {
                    continue;
                };
                let sentence = sentence(line);
                for clause in sentence.trim_end_matches('.').split("; ") {
                    clauses.insert((id.to_owned(), verdict, clause.to_owned()));
                }
            }
        }
    }
    clauses
}

fn sentence(line: &str) -> &str {
    let ends = line.match_indices(". ").map(|(at, _)| at);
    let mut ends = ends.filter(|at| line[at + 2..].starts_with(|next: char| next.is_uppercase()));
    ends.next().map_or(line, |end| &line[..end])
}

#[test]
fn every_example_of_a_decision_comes_out_as_rules_md_says() {
    let examples = [requests::EXAMPLES, keys::EXAMPLES, challenges::EXAMPLES].concat();
    let run: BTreeSet<Clause> = examples
        .iter()
        .map(|(id, verdict, clause, _)| ((*id).to_owned(), *verdict, (*clause).to_owned()))
        .collect();
    let rules: Vec<&str> = RULES.iter().map(|rule| rule.id.as_str()).collect();
    let documented = documented(&rules);
    let missing: Vec<_> = documented.symmetric_difference(&run).collect();
    assert!(missing.is_empty(), "on one side only: {missing:#?}");
    let mut wrong = Vec::new();
    for (id, verdict, clause, cases) in &examples {
        let cases = cases();
        assert!(!cases.is_empty(), "{id}: {clause}");
        for (index, (profile, facts)) in cases.iter().enumerate() {
            let got = decide(profile, facts).err();
            let wanted = (*verdict == Refused).then_some(*id);
            if got.as_ref().map(|refusal| refusal.rule.as_str()) != wanted {
                wrong.push(format!("{id} {verdict:?} {clause} ({index}): {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_of_a_file_comes_out_as_rules_md_says() {
    let run: BTreeSet<Clause> = files::EXAMPLES
        .iter()
        .map(|(id, verdict, clause, _)| ((*id).to_owned(), *verdict, (*clause).to_owned()))
        .collect();
    let rules: Vec<&str> = LoadRule::ALL.iter().map(|rule| rule.as_str()).collect();
    let documented = documented(&rules);
    let missing: Vec<_> = documented.symmetric_difference(&run).collect();
    assert!(missing.is_empty(), "on one side only: {missing:#?}");
    for (id, verdict, clause, bundles) in files::EXAMPLES {
        for files in bundles() {
            let loaded = assay_policy::Bundle::load(&files);
            let rules: Vec<LoadRule> = match &loaded {
                Ok(_) => vec![],
                Err(errors) => errors.iter().map(assay_policy::LoadError::rule).collect(),
            };
            match verdict {
                Passes => assert!(rules.is_empty(), "{id} {clause}: {loaded:?}"),
                Refused => assert!(
                    rules.iter().any(|rule| rule.as_str() == *id),
                    "{id} {clause}: {loaded:?}"
                ),
            }
        }
    }
}
