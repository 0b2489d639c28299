//! Receipts, for whoever has two keys and the certificate.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use assay_tests::installation::{Installation, auditor};

use super::run::Witness;
use super::scene::serial_of;
use super::{WITNESS, text};

/// Fetched by file and by serial, a receipt holds without an installation, and each member that is changed is named.
pub(crate) async fn hold_offline(
    installation: &Installation,
    trust: &Path,
    witness: &Witness,
    certificate: &[u8],
) -> Result<()> {
    let scratch = installation.scratch();
    let file = |name: &str| scratch.join(name);
    let (pem, receipt) = (file("device.pem"), file("device.receipt"));
    let x509 = openssl::x509::X509::from_der(certificate)?;
    std::fs::write(&pem, x509.to_pem()?)?;
    installation
        .assay(&["receipt", text(&pem)?, "--out", text(&receipt)?])
        .await?
        .succeeded()?;
    let by_serial = serial_of(certificate)?;
    let printed = installation.assay(&["receipt", &by_serial]).await?;
    let good = std::fs::read_to_string(&receipt)?;
    assert_eq!(printed.succeeded()?.text(), good);

    let log_key = trust.join("log.vkey");
    let verify = async |receipt: &Path, certificate: &Path| {
        auditor(&[
            "receipt",
            text(receipt)?,
            "--certificate",
            text(certificate)?,
            "--log-key",
            text(&log_key)?,
            "--witness",
            &witness.vkey,
        ])
        .await
    };
    let proven = verify(&receipt, &pem).await?.succeeded()?.text();
    assert!(proven.contains("proven: record"), "{proven}");
    assert!(
        proven.contains(&format!("cosigned by   {WITNESS}")),
        "{proven}"
    );

    let altered = file("altered.receipt");
    let value: serde_json::Value = serde_json::from_str(&good)?;
    let of = |pointer: &str| value.pointer(pointer).and_then(serde_json::Value::as_str);
    let digest = of("/record/request_digest").context("no digest")?;
    let hash = of("/proof/0").context("no proof")?;
    let flip = |hex: &str| {
        let first = if hex.starts_with('0') { "1" } else { "0" };
        format!("{first}{}", hex.get(1..).unwrap_or_default())
    };
    for (from, to, named) in [
        (digest, flip(digest), "proof: "),
        (hash, flip(hash), "proof: "),
        ("\\n\\n", "\\n".to_owned(), "checkpoint: "),
        (
            "checkpoint\":\"a",
            "checkpoint\":\"b".to_owned(),
            "checkpoint: ",
        ),
        ("{\"checkpoint", " {\"checkpoint".to_owned(), "canonical"),
        (
            "assay-receipt/1",
            "assay-receipt/2".to_owned(),
            "assay-receipt/1",
        ),
    ] {
        let changed = good.replacen(from, &to, 1);
        ensure!(changed != good, "{from} is not in the receipt");
        std::fs::write(&altered, changed)?;
        let told = verify(&altered, &pem).await?.failed()?;
        assert_eq!(told.status.code(), Some(1));
        assert!(told.all().contains(named), "{from}: {}", told.all());
    }
    let ca = &installation.ready().ca_pem;
    let told = verify(&receipt, ca).await?.failed()?.all();
    assert!(told.contains("certificate_sha256: "), "{told}");
    let other = Witness::new().await?;
    let told = auditor(&[
        "receipt",
        text(&receipt)?,
        "--certificate",
        text(&pem)?,
        "--log-key",
        text(&log_key)?,
        "--witness",
        &other.vkey,
    ])
    .await?
    .failed()?
    .all();
    assert!(told.contains("checkpoint: no cosignature of"), "{told}");
    Ok(())
}
