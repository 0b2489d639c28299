//! Tests that documents name as `PACKAGE::PATH::TEST`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;

/// The packages in which tests are looked for, each with its folder.
#[derive(Debug)]
pub struct NamedTests {
    folders: BTreeMap<String, PathBuf>,
}

impl NamedTests {
    /// Those of every package of the workspace.
    ///
    /// # Errors
    ///
    /// When Cargo does not tell them.
    pub fn of_the_workspace() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .no_deps()
            .exec()?;
        let folders = metadata.packages.iter().map(|package| {
            let folder = package.manifest_path.as_std_path().parent();
            Ok((
                package.name.to_string(),
                folder.context("a manifest without a folder")?.to_owned(),
            ))
        });
        Ok(Self {
            folders: folders.collect::<Result<_>>()?,
        })
    }

    /// Whether there is a function of this name after `#[test]` or `#[tokio::test]` in that file of the package.
    ///
    /// # Errors
    ///
    /// When the name is not of this form, or of no package.
    pub fn has(&self, test: &str) -> Result<bool> {
        let (package, rest) = test.split_once("::").context(test.to_owned())?;
        let (path, function) = rest.rsplit_once("::").context(test.to_owned())?;
        let folder = self.folders.get(package).context(package.to_owned())?;
        let path = path.replace("::", "/");
        let declared = format!("fn {function}(");
        for top in ["src", "tests"] {
            for file in [".rs", "/main.rs", "/mod.rs"] {
                let file = folder.join(top).join(format!("{path}{file}"));
                let Ok(source) = std::fs::read_to_string(&file) else {
                    continue;
                };
                if let Some((before, _)) = source.split_once(&declared) {
                    let attributes = before.rsplit("\n\n").next().unwrap_or_default();
                    return Ok(attributes.contains("test]") || attributes.contains("test("));
                }
            }
        }
        Ok(false)
    }
}
