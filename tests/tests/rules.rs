//! `policy/RULES.md` lists every rule that a refusal or a log can name, and every test that it names exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use assay_tests::named::NamedTests;

/// Where the code names rules.
const SOURCES: [&str; 4] = [
    "policy/src",
    "crates/lint/src",
    "crates/scep/src",
    "services/issuance/src",
];

/// Fewer than this and the search does not find what it is for.
const LEAST_RULES: usize = 100;

#[test]
fn every_rule_that_the_code_names_is_listed_and_every_listed_one_is_named() -> Result<()> {
    let document = document()?;
    let headings = document
        .lines()
        .filter_map(|line| line.strip_prefix("### ")?.split_once(": "));
    let rows = document.lines().filter_map(|line| {
        let cell = line.strip_prefix("| `")?;
        cell.starts_with("SCEP:").then(|| cell.split_once('`'))?
    });
    let listed: Vec<&str> = headings.chain(rows).map(|(id, _)| id).collect();
    let mut named = BTreeSet::new();
    for source in SOURCES {
        for file in files(&root().join(source))? {
            let text = std::fs::read_to_string(&file)?;
            let code = text.split("#[cfg(test)]\nmod ").next();
            named.extend(rules_in(code.unwrap_or_default()));
        }
    }
    assert!(named.len() >= LEAST_RULES, "only {named:?}");
    let once: BTreeSet<String> = listed.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(once.len(), listed.len(), "an id is listed twice");
    let differences: Vec<_> = once.symmetric_difference(&named).collect();
    assert!(differences.is_empty(), "on one side only: {differences:?}");
    Ok(())
}

#[test]
fn every_rule_of_the_signer_names_tests_that_exist() -> Result<()> {
    let document = document()?;
    let tests = NamedTests::of_the_workspace()?;
    let (_, signer) = document
        .split_once("## What the signer adds\n")
        .context("no rules of the signer")?;
    let signer = signer.split("\n## ").next().unwrap_or_default();
    let mut wrong = Vec::new();
    for section in signer.split("\n### ").skip(1) {
        let (id, text) = section.split_once(": ").context("no id")?;
        let shown: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("- Shown by: `")?.strip_suffix('`'))
            .collect();
        if shown.is_empty() {
            wrong.push(format!("{id} names no test"));
        }
        for test in shown {
            if !tests.has(test)? {
                wrong.push(format!("{id}: {test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// Ids between quotes, such as `"SUB-05"`, and causes of the codec: what is quoted in a call of `bad_…`, or after
/// `SCEP:`.
fn rules_in(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = "";
    // Pieces outside of quotes are looked at too: none of them is an id.
    for piece in source.split('"') {
        let is_call = ["bad_algorithm(", "bad_message_check(", "bad_request("]
            .iter()
            .any(|call| before.trim_end().ends_with(call));
        if is_call {
            found.push(format!("SCEP:{piece}"));
        } else if is_id(piece) || (piece.starts_with("SCEP:") && !piece.ends_with("{}")) {
            found.push(piece.to_owned());
        }
        before = piece;
    }
    found
}

/// `SUB-05`, `LINT-41`.
fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(group, number)| {
        (3..=4).contains(&group.len())
            && group.bytes().all(|byte| byte.is_ascii_uppercase())
            && number.len() == 2
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document() -> Result<String> {
    let file = root().join("policy/RULES.md");
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}
