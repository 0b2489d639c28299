//! The workspace holds to the arrows of its architecture.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Which workspace crates each crate may depend on. A crate that is not listed fails the test.
const ARROWS: &[(&str, &[&str])] = &[
    ("assay-types", &[]),
    ("assay-config", &["assay-types"]),
    ("assay-sandbox", &[]),
    ("assay-connections", &[]),
    ("assay-proto", &["assay-types"]),
    ("assay-ocsp", &["assay-types"]),
    ("assay-shape", &["assay-ocsp", "assay-types"]),
    ("assay-policy", &["assay-shape", "assay-types"]),
    ("assay-scep-http", &[]),
    ("assay-scep", &["assay-scep-http", "assay-types"]),
    ("assay-scep-client", &["assay-scep", "assay-types"]),
    ("assay-pkcs11", &["assay-types"]),
    ("assay-journal", &["assay-types"]),
    ("assay-hsm", &["assay-shape", "assay-types"]),
    ("assay-lint", &[]),
    ("assay-audit", &["assay-types"]),
    ("assay-store", &["assay-audit", "assay-types"]),
    ("assay-runtime", &["assay-config", "assay-connections"]),
    (
        "assay-hsm-service",
        &[
            "assay-audit",
            "assay-config",
            "assay-hsm",
            "assay-journal",
            "assay-pkcs11",
            "assay-sandbox",
            "assay-shape",
            "assay-types",
        ],
    ),
    ("assay-console", &["assay-sandbox"]),
    (
        "assay-operator",
        &[
            "assay-audit",
            "assay-console",
            "assay-proto",
            "assay-runtime",
            "assay-types",
            "assay-verify",
        ],
    ),
    (
        "assay-decision",
        &[
            "assay-audit",
            "assay-lint",
            "assay-policy",
            "assay-scep",
            "assay-types",
        ],
    ),
    (
        "assay-verify",
        &[
            "assay-audit",
            "assay-decision",
            "assay-journal",
            "assay-policy",
            "assay-types",
        ],
    ),
    (
        "assay-frontend",
        &[
            "assay-ocsp",
            "assay-proto",
            "assay-runtime",
            "assay-sandbox",
            "assay-scep-http",
            "assay-types",
        ],
    ),
    (
        "assay-issuance",
        &[
            "assay-audit",
            "assay-decision",
            "assay-hsm",
            "assay-journal",
            "assay-lint",
            "assay-ocsp",
            "assay-policy",
            "assay-runtime",
            "assay-scep",
            "assay-store",
            "assay-types",
        ],
    ),
    (
        "assay-signer",
        &[
            "assay-audit",
            "assay-decision",
            "assay-hsm",
            "assay-issuance",
            "assay-ocsp",
            "assay-policy",
            "assay-proto",
            "assay-runtime",
            "assay-sandbox",
            "assay-scep",
            "assay-store",
            "assay-types",
        ],
    ),
    (
        "assay-ceremony",
        &[
            "assay-console",
            "assay-operator",
            "assay-pkcs11",
            "assay-policy",
            "assay-runtime",
            "assay-types",
        ],
    ),
    (
        "assay-auditor",
        &[
            "assay-audit",
            "assay-connections",
            "assay-console",
            "assay-types",
            "assay-verify",
        ],
    ),
    (
        "assay-cli",
        &[
            "assay-audit",
            "assay-console",
            "assay-decision",
            "assay-journal",
            "assay-operator",
            "assay-policy",
            "assay-proto",
            "assay-runtime",
            "assay-scep",
            "assay-scep-client",
            "assay-shape",
            "assay-types",
            "assay-verify",
        ],
    ),
    (
        "assay-software-token",
        &[
            "assay-hsm",
            "assay-ocsp",
            "assay-policy",
            "assay-proto",
            "assay-shape",
            "assay-types",
        ],
    ),
    (
        "assay-bench",
        &[
            "assay-audit",
            "assay-console",
            "assay-hsm",
            "assay-issuance",
            "assay-ocsp",
            "assay-operator",
            "assay-policy",
            "assay-proto",
            "assay-runtime",
            "assay-scep",
            "assay-scep-client",
            "assay-signer",
            "assay-software-token",
            "assay-store",
            "assay-types",
        ],
    ),
    (
        "assay-tests",
        &[
            "assay-audit",
            "assay-decision",
            "assay-journal",
            "assay-operator",
            "assay-policy",
            "assay-proto",
            "assay-runtime",
            "assay-scep",
            "assay-scep-http",
            "assay-store",
            "assay-types",
            "assay-verify",
        ],
    ),
];

/// Crates that exactly one crate of ours may lean on, and which; the benchmark and the harness look at a store's file from
/// outside, and the shared types say, where the store asks for it, how they are stored in a column.
const WARDS: [(&str, &[&str]); 2] = [
    ("cryptoki", &["assay-pkcs11"]),
    (
        "rusqlite",
        &["assay-types", "assay-store", "assay-bench", "assay-tests"],
    ),
];

#[test]
fn workspace_crates_depend_only_along_the_arrows() -> Result<()> {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ARROWS
        .iter()
        .map(|(from, to)| (*from, to.iter().copied().collect()))
        .collect();
    let workspace = metadata()?;
    let members: BTreeSet<String> = workspace
        .workspace_packages()
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    let mut wrong = Vec::new();
    for package in workspace.workspace_packages() {
        let name = package.name.as_str();
        let Some(targets) = allowed.get(name) else {
            wrong.push(format!("{name} has no place in the architecture"));
            continue;
        };
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            let is_built_in = dependency.kind != DependencyKind::Development;
            if is_built_in && members.contains(to) && !targets.contains(to) {
                wrong.push(format!("{name} -> {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// Tools may use what runs in service, and nothing that runs in service links a tool, such as the token of software.
#[test]
fn no_library_and_no_service_links_a_tool() -> Result<()> {
    let workspace = metadata()?;
    let (root, packages) = (&workspace.workspace_root, workspace.workspace_packages());
    let is_in =
        |package: &Package, folder: &str| package.manifest_path.starts_with(root.join(folder));
    let tools = packages.iter().filter(|package| is_in(package, "tools"));
    let tools: BTreeSet<&str> = tools.map(|package| package.name.as_str()).collect();
    assert!(tools.contains("assay-software-token"), "{tools:?}");
    for package in packages.iter().filter(|package| !is_in(package, "tools")) {
        for dependency in &package.dependencies {
            let is_linked = dependency.kind != DependencyKind::Development;
            let is_tool = tools.contains(dependency.name.as_str());
            assert!(
                !(is_linked && is_tool),
                "{} -> {}",
                package.name,
                dependency.name
            );
        }
    }
    Ok(())
}

/// The table of folders in ARCHITECTURE.md is in dependency order, and leaves no crate out.
#[test]
fn each_crate_depends_only_on_rows_above_it() -> Result<()> {
    let workspace = metadata()?;
    let text = std::fs::read_to_string(root()?.join("ARCHITECTURE.md"))?;
    let rows: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("/` |"))
        .map(|(folder, _)| folder)
        .collect();
    let mut places = BTreeMap::new();
    for package in workspace.workspace_packages() {
        let folder = package.manifest_path.parent().context("a folder")?;
        let folder = folder.strip_prefix(&workspace.workspace_root)?;
        let place = rows.iter().position(|row| folder == *row);
        let place = place.with_context(|| format!("{folder} has no row in ARCHITECTURE.md"))?;
        places.insert(package.name.as_str(), place);
    }
    let mut wrong = Vec::new();
    for package in workspace.workspace_packages() {
        let own = places.get(package.name.as_str());
        for dependency in &package.dependencies {
            let is_built_in = dependency.kind != DependencyKind::Development;
            let other = places.get(dependency.name.as_str());
            if is_built_in && other.is_some() && other >= own {
                wrong.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "not above: {wrong:#?}");
    Ok(())
}

/// What parses messages of devices is the signer's alone: the frontend hands them on unread.
#[test]
fn the_frontend_has_no_parser_of_messages() -> Result<()> {
    let names = linked("assay-frontend")?;
    assert!(names.contains("assay-scep-http"), "{names:?}");
    for parser in ["assay-scep", "cms"] {
        assert!(!names.contains(parser), "the frontend links {parser}");
    }
    Ok(())
}

/// The auditor's program needs no service, no connection, no token and no store.
#[test]
fn the_auditor_builds_alone() -> Result<()> {
    let names = linked("assay-auditor")?;
    assert!(names.contains("assay-verify"), "{names:?}");
    for absent in [
        "assay-hsm",
        "assay-issuance",
        "assay-operator",
        "assay-pkcs11",
        "assay-proto",
        "assay-runtime",
        "assay-signer",
        "assay-store",
        "cryptoki",
        "prost",
        "rusqlite",
        "rustls",
        "tonic",
    ] {
        assert!(!names.contains(absent), "assay-audit links {absent}");
    }
    Ok(())
}

/// What holds keys makes none, and no certificate of a CA: that is the ceremony's alone. The signer reaches keys through the
/// HSM service and links no PKCS#11, and the service has no runtime, no network and no store.
#[test]
fn the_hsm_service_and_the_signer_have_no_ceremony() -> Result<()> {
    for (program, absent) in [
        (
            "assay-hsm-service",
            ["hyper", "rusqlite", "rustls", "tokio", "tonic"],
        ),
        (
            "assay-signer",
            [
                "assay-pkcs11",
                "assay-hsm-service",
                "cryptoki",
                "cryptoki-sys",
                "libloading",
            ],
        ),
    ] {
        let names = linked(program)?;
        assert!(names.contains("assay-hsm"), "{names:?}");
        for absent in absent.into_iter().chain(["assay-ceremony"]) {
            assert!(!names.contains(absent), "{program} links {absent}");
        }
    }
    // What makes keys is a feature of assay-pkcs11.
    let makes_keys = |program: &str| -> Result<bool> {
        let features = tree(program, &["--format", "{p} [{f}]"])?;
        let mut lines = features.lines();
        let line = lines.find(|line| line.starts_with("assay-pkcs11 "));
        Ok(line.context("no assay-pkcs11")?.contains("generate"))
    };
    assert!(!makes_keys("assay-hsm-service")?);
    assert!(makes_keys("assay-ceremony")?);
    Ok(())
}

/// Names of the packages that a program of ours links when it is built alone, its own included. `cargo metadata` would
/// give the features that the whole workspace asks for.
fn linked(program: &str) -> Result<BTreeSet<String>> {
    let lines = tree(program, &[])?;
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

/// What a program of ours links when it is built alone, a line each.
fn tree(program: &str, more: &[&str]) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .current_dir(root()?)
        .args(["tree", "--package", program])
        .args(["--edges", "normal", "--prefix", "none", "--locked"])
        .args(more)
        .output()?;
    let said = String::from_utf8_lossy(&tree.stderr);
    ensure!(tree.status.success(), "cargo tree: {said}");
    Ok(String::from_utf8(tree.stdout)?)
}

#[test]
fn key_and_database_libraries_have_one_owner_each() -> Result<()> {
    let workspace = metadata()?;
    for (library, owners) in WARDS {
        for package in workspace.workspace_packages() {
            let uses = package
                .dependencies
                .iter()
                .any(|dependency| dependency.name == library);
            assert!(
                !uses || owners.contains(&package.name.as_str()),
                "{} depends on {library}, which belongs to {owners:?}",
                package.name,
            );
        }
    }
    Ok(())
}

#[test]
fn every_crate_inherits_the_lints_of_the_workspace() -> Result<()> {
    for package in metadata()?.workspace_packages() {
        let manifest: toml::Table = std::fs::read_to_string(&package.manifest_path)?.parse()?;
        let inherits = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        assert_eq!(
            inherits,
            Some(&toml::Value::Boolean(true)),
            "{}",
            package.name
        );
    }
    Ok(())
}

fn metadata() -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    Ok(command
        .manifest_path(root()?.join("Cargo.toml"))
        .no_deps()
        .exec()?)
}

fn root() -> Result<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(tests
        .parent()
        .context("the tests lie in the workspace")?
        .to_owned())
}
