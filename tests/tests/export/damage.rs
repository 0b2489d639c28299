//! A real export that somebody touched is not proven, and what he touched is named.

use std::path::Path;

use anyhow::{Context, Result};
use assay_tests::installation::Installation;
use openssl::sha::sha256;
use serde_json::Value;

use crate::{Evidence, a_busy_day, files, json};

/// Writes a file of an export, and makes the manifest right again: whoever touches one can do both.
fn put(export: &Path, path: &str, content: &[u8]) -> Result<()> {
    std::fs::write(export.join(path), content)?;
    let manifest = export.join("manifest.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(&manifest)?)?;
    let file = value
        .get_mut("files")
        .and_then(Value::as_array_mut)
        .and_then(|files| files.iter_mut().find(|file| file["path"] == path))
        .with_context(|| format!("{path} is not in the manifest"))?;
    file["octets"] = content.len().into();
    file["sha256"] = hex::encode(sha256(content)).into();
    // Maps of serde_json are sorted, and so is canonical JSON.
    std::fs::write(&manifest, serde_json::to_string(&value)?)?;
    Ok(())
}

#[tokio::test]
async fn every_file_of_a_real_export_counts() -> Result<()> {
    let installation = Installation::start().await?;
    a_busy_day(&installation).await?;
    let evidence = Evidence::of(&installation, "export", &[]).await?;
    evidence.verify().await?.succeeded()?;
    let whole = files(&evidence.export)?;
    for (path, content) in whole.iter().filter(|(path, _)| *path != "manifest.json") {
        let mut changed = content.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 0x01;
        put(&evidence.export, path, &changed)?;
        let ran = evidence.verify().await?.failed()?;
        assert_eq!(ran.status.code(), Some(1), "{path}: {}", ran.all());
        let verdict = json(&ran)?;
        assert_eq!(verdict["verdict"], "bad", "{path}: {verdict}");
        assert!(verdict["bad"][0]["check"].is_string(), "{path}: {verdict}");
        put(&evidence.export, path, content)?;
    }
    evidence.verify().await?.succeeded()?;
    Ok(())
}
