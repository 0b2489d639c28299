//! One RA certificate for both uses, for devices that cannot tell two apart: strongSwan and our own client enrol by it.

mod clients;

use std::path::PathBuf;

use anyhow::{Context, Result};
use assay_tests::http;
use assay_tests::installation::Installation;
use serde_json::Value;

const IN_FORCE: &str = "[quirks]\nsingle_ra = true\n";

/// An installation with the key, and the profile `single` with the exception.
async fn installation() -> Result<Installation> {
    let installation = Installation::start_with(&["--single-ra"]).await?;
    installation
        .add_profile("single", "devices", IN_FORCE)
        .await?;
    Ok(installation)
}

fn certificate(installation: &Installation) -> Result<PathBuf> {
    let file = installation.ready().ra_single_pem.clone();
    file.context("made without --single-ra")
}

/// The certificates of GetCACert, in their order.
async fn ca_certificates(installation: &Installation, profile: &str) -> Result<Vec<Vec<u8>>> {
    let url = installation.url_of(profile)?;
    let response = http::get(&format!("{url}?operation=GetCACert")).await?;
    assay_scep::parse_ca_certificates(&response.body).context("GetCACert gave no certificates")
}

/// The devices that needed the exception, by what `assay legacy list` tells.
async fn legacy(installation: &Installation) -> Result<Vec<(String, bool)>> {
    let list = ["legacy", "list", "--profile", "single", "--json"];
    let printed = installation.assay(&list).await?.succeeded()?.text();
    let rows: Vec<Value> = serde_json::from_str(&printed)?;
    let rows = rows.iter().map(|row| {
        assert_eq!(row["quirk"], "single_ra", "{row}");
        let device = row["device"].as_str().unwrap_or_default();
        (device.to_owned(), row["allowed"] == true)
    });
    Ok(rows.collect())
}
