//! What the documents send a reader to is there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What a reader is sent to.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "policy/RULES.md",
    "tests/CONFORMANCE.md",
    "softhsm/README.md",
];

#[test]
fn every_path_that_a_document_names_exists() -> Result<()> {
    let root = root()?;
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let file = root.join(document);
        let Ok(text) = std::fs::read_to_string(&file) else {
            missing.push(format!("{document} itself"));
            continue;
        };
        let folder = file.parent().context("a document lies in a folder")?;
        for path in named_paths(&root, &text) {
            if !root.join(&path).exists() && !folder.join(&path).exists() {
                missing.push(format!("{document} names {path}"));
            }
        }
        for target in link_targets(&text) {
            if !folder.join(&target).exists() {
                missing.push(format!("{document} links to {target}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    Ok(())
}

/// Code spans that are paths of this repository: they begin with the name of something at its top.
fn named_paths(root: &Path, text: &str) -> Vec<String> {
    let is_path = |span: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let top = span.split('/').next().unwrap_or_default();
        span.contains(['/', '.'])
            && span.chars().all(plain)
            && !top.trim_matches('.').is_empty()
            && root.join(top).exists()
    };
    let outside_blocks = text.split("```").step_by(2);
    outside_blocks
        .flat_map(|part| part.split('`').skip(1).step_by(2))
        .filter(|span| is_path(span))
        .map(str::to_owned)
        .collect()
}

/// Targets of Markdown links that are no URLs, without their fragments.
fn link_targets(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .filter_map(|target| target.split('#').next())
        .map(str::to_owned)
        .collect()
}

fn root() -> Result<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(tests
        .parent()
        .context("the tests lie in the workspace")?
        .to_owned())
}
