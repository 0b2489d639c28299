//! What may be linked into Assay, by the rules of deny.toml: licences, banned crates and where crates come from.
//!
//! `cargo deny` checks the same file in `make test-all`. It also compares the texts of licences, but takes minutes to
//! compile on a fresh machine.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use serde::Deserialize;

#[derive(Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    /// Crates that may depend on it all the same.
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

#[test]
fn every_dependency_is_licensed_and_comes_from_where_deny_toml_says() -> Result<()> {
    let rules = rules()?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for target in &rules.graph.targets {
        for package in metadata(target)?.packages {
            count += 1;
            let name = format!("{} {}", package.name, package.version);
            let license = package.license.as_deref().unwrap_or_default();
            if !satisfied(license, &rules.licenses.allow) {
                wrong.push(format!("{name}: licence {license:?}"));
            }
            if let Some(source) = unknown_source(&package, &rules.sources) {
                wrong.push(format!("{name}: from {source}"));
            }
        }
    }
    assert!(count > 100, "only {count} packages");
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn no_crate_depends_on_one_that_deny_toml_bans() -> Result<()> {
    let rules = rules()?;
    let bans = rules.bans.deny;
    assert!(!bans.is_empty());
    let mut wrong = Vec::new();
    for target in &rules.graph.targets {
        for package in metadata(target)?.packages {
            let name = package.name.as_str();
            for ban in &bans {
                // Without wrappers nothing may depend on it, so it is not in the graph.
                if ban.wrappers.is_empty() && name == ban.name {
                    wrong.push(format!("{name} is in the graph of {target}"));
                }
                let is_ours = package.source.is_none();
                let depends = package.dependencies.iter().any(|dependency| {
                    // Tests of other projects are not built here.
                    let is_built = is_ours || dependency.kind != DependencyKind::Development;
                    // An optional one of ours is asked for by another of ours.
                    let is_used = is_ours || !dependency.optional;
                    dependency.name == ban.name && is_built && is_used
                });
                if depends && !ban.wrappers.iter().any(|wrapper| wrapper == name) {
                    wrong.push(format!("{name} -> {}", ban.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
    let allowed = allowed.map(str::to_owned).into();
    for (expression, wanted) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND Apache-2.0", true),
        ("(MIT OR GPL-3.0) AND BSD-4-Clause", false),
        ("BSD-4-Clause OR Apache-2.0 WITH LLVM-exception", true),
    ] {
        assert_eq!(satisfied(expression, &allowed), wanted, "{expression}");
    }
}

/// Whether an SPDX expression holds with these licences. One without a licence does not.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.trim();
    let either = parts(expression, &[" OR ", "/"]);
    if either.len() > 1 {
        return either.into_iter().any(|part| satisfied(part, allowed));
    }
    let both = parts(expression, &[" AND "]);
    if both.len() > 1 {
        return both.into_iter().all(|part| satisfied(part, allowed));
    }
    match expression
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
    {
        Some(inner) => satisfied(inner, allowed),
        None => allowed.contains(expression),
    }
}

/// The parts of an expression between separators that are in no parentheses.
fn parts<'a>(expression: &'a str, separators: &[&str]) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut depth, mut begin, mut skip) = (0_usize, 0, 0);
    for (at, character) in expression.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let rest = expression.get(at..).unwrap_or_default();
        let separator = separators.iter().find(|mark| rest.starts_with(**mark));
        if let Some(separator) = separator.filter(|_| depth == 0 && at >= skip) {
            parts.push(expression.get(begin..at).unwrap_or_default());
            begin = at + separator.len();
            skip = begin;
        }
    }
    parts.push(expression.get(begin..).unwrap_or_default());
    parts
}

/// Where a package comes from, unless it is ours or of an allowed registry.
fn unknown_source(package: &Package, sources: &Sources) -> Option<String> {
    let source = package.source.as_ref()?.repr.clone();
    let known = sources
        .allow_registry
        .iter()
        .any(|registry| source == format!("registry+{registry}"));
    (!known).then_some(source)
}

fn rules() -> Result<Rules> {
    let text = std::fs::read_to_string(root()?.join("deny.toml"))?;
    Ok(toml::from_str(&text)?)
}

/// The packages that are built for a target platform, with those that only our tests need.
fn metadata(target: &str) -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.manifest_path(root()?.join("Cargo.toml"));
    let options = ["--locked".to_owned(), format!("--filter-platform={target}")];
    Ok(command.other_options(options).exec()?)
}

fn root() -> Result<&'static Path> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().context("the tests lie in the workspace")
}
