//! An installation whose log is witnessed.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use anyhow::{Result, ensure};
use assay_audit::Checkpoint;
use assay_audit::note::{Note, VerifierKey};
use assay_tests::device::{Anchors, Device};
use assay_tests::installation::{Installation, set};
use assay_tests::wait;

use super::run::Witness;
use super::{WITNESS, text};

pub(crate) async fn enrol(installation: &Installation, name: &str) -> Result<Vec<u8>> {
    let subject = format!("CN={name},O=Example");
    let challenge = installation.challenge(&subject, &[]).await?;
    let anchors = Anchors::of(installation)?;
    let answer = Device::new()?
        .enrol(installation.url("devices")?, &anchors, &subject, &challenge)
        .await?;
    Ok(answer.certificate()?.to_vec())
}

pub(crate) fn serial_of(certificate: &[u8]) -> Result<String> {
    let certificate = openssl::x509::X509::from_der(certificate)?;
    let serial = certificate.serial_number().to_bn()?.to_hex_str()?;
    Ok(serial.to_lowercase())
}

pub(crate) async fn head(installation: &Installation) -> Result<Note> {
    let printed = installation.assay(&["audit", "checkpoint"]).await?;
    Ok(Note::from_str(&printed.succeeded()?.text())?)
}

pub(crate) fn size(note: &Note) -> Result<u64> {
    Ok(Checkpoint::from_str(note.text())?.size)
}

/// Waits for a head over more than so many records.
pub(crate) async fn head_after(installation: &Installation, before: u64) -> Result<Note> {
    wait::until("another checkpoint", wait::REACTION, async || {
        let note = head(installation).await?;
        Ok((size(&note)? > before).then_some(note))
    })
    .await
}

/// Has the head cosigned and reads it with the cosignature. The log may continue meanwhile; then the next head is tried.
pub(crate) async fn cosigned_head(
    installation: &Installation,
    url: &str,
    key: &VerifierKey,
) -> Result<Note> {
    wait::until("a cosigned head", wait::REACTION, async || {
        let cosign = ["--json", "audit", "cosign", "--witness", url];
        let told = installation.assay(&cosign).await?.succeeded()?.text();
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let of = |key: &str| told.pointer(&format!("/0/{key}")).context("no row");
        assert_eq!(of("witness")?, WITNESS);
        let note = head(installation).await?;
        if *of("size")? != size(&note)? {
            return Ok(None);
        }
        ensure!(key.verify(&note)?.is_some(), "no cosignature on {note}");
        Ok(Some(note))
    })
    .await
}

/// An installation that takes the cosignatures of `witness`, and its log's verifier key as an auditor gets it.
pub(crate) async fn watched_by(witness: &Witness) -> Result<(Installation, PathBuf)> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    set(
        &installation.path("signer.toml"),
        &["audit", "witnesses"],
        vec![witness.vkey.clone()],
    )?;
    installation.serve().await?;
    let trust = installation.scratch().join("trust");
    installation
        .assay(&["audit", "trust", "--out", text(&trust)?])
        .await?
        .succeeded()?;
    Ok((installation, trust))
}
