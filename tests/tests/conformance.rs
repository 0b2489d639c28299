//! `tests/CONFORMANCE.md` keeps its word: the tests it names exist, and no requirement is without one.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use assay_tests::named::NamedTests;

/// Fewer rows than this are no table of RFC 8894.
const LEAST_ROWS: usize = 100;

/// Columns of a table: id, section, level, requirement, what Assay does, test.
const COLUMNS: usize = 6;

/// As the table explains them; the key words are RFC 2119's.
const LEVELS: [&str; 7] = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "T", "D"];

struct Row<'a> {
    id: &'a str,
    level: &'a str,
    test: &'a str,
}

#[test]
fn every_requirement_has_an_id_of_its_own_and_a_level() -> Result<()> {
    let text = document()?;
    let rows = rows(&text)?;
    ensure!(rows.len() >= LEAST_ROWS, "only {} rows", rows.len());
    let mut ids = BTreeSet::new();
    for row in &rows {
        assert!(ids.insert(row.id), "{} twice", row.id);
        assert!(LEVELS.contains(&row.level), "{}: {}", row.id, row.level);
    }
    Ok(())
}

#[test]
fn every_test_that_is_named_exists() -> Result<()> {
    let text = document()?;
    let tests = NamedTests::of_the_workspace()?;
    let mut missing = Vec::new();
    for row in rows(&text)? {
        if let Some(test) = named(row.test)
            && !tests.has(test)?
        {
            missing.push(format!("{}: {test}", row.id));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    Ok(())
}

#[test]
fn no_requirement_is_open() -> Result<()> {
    let text = document()?;
    for row in rows(&text)? {
        assert!(named(row.test).is_some(), "{} has no test", row.id);
    }
    Ok(())
}

fn rows(text: &str) -> Result<Vec<Row<'_>>> {
    text.lines()
        .filter(|line| line.starts_with("| R-") || line.starts_with("| C-"))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            match cells[..] {
                [id, _, level, _, _, test] => Ok(Row { id, level, test }),
                _ => anyhow::bail!("not {COLUMNS} columns: {line}"),
            }
        })
        .collect()
}

fn named(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

fn document() -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFORMANCE.md");
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}
