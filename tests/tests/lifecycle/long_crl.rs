//! A CRL of as many entries as there can be goes through every process, and a relying party gets it whole.

use std::time::Instant;

use anyhow::{Context, Result};
use assay_tests::certificate::write_pem;
use assay_tests::query::serial_hex;
use assay_tests::store::{alter, multiply_certificates};
use assay_tests::{crl, http, tool, wait};
use openssl::x509::{CrlStatus, X509, X509Crl};

use crate::{Scene, tier};

/// Bytes in memory at most, whatever the number of entries: a certificate takes 1 kB of the signer.
const MOST: [(&str, u64); 3] = [
    ("frontend", 256 << 20),
    ("signer", 2_048 << 20),
    ("HSM service", 512 << 20),
];

#[tokio::test]
async fn a_crl_of_many_entries_reaches_relying_parties_with_the_next_revocation() -> Result<()> {
    let mut scene = Scene::set().await?;
    let count = tier::size("entries of a CRL through all processes");
    let (first, second) = (
        scene.enrol("devices", "pump-1").await?,
        scene.enrol("devices", "pump-2").await?,
    );
    let dir = scene.installation.ready().dir.clone();
    scene.installation.stop().await?;
    multiply_certificates(&dir, u32::try_from(count)? - 1).await?;
    let revoke = "UPDATE certificates SET revoked_at = created_at, revocation_reason = 4 WHERE hex(serial) LIKE '11111111%'";
    assert_eq!(alter(&dir, revoke).await?, count - 1);
    let begin = Instant::now();
    scene.installation.serve().await?;
    eprintln!("{count} entries: serves after {:?}", begin.elapsed());

    let begin = Instant::now();
    let serial = serial_hex(second.certificate())?;
    let revoked = ["cert", "revoke", &serial, "--reason", "key-compromise"];
    let told = scene.installation.assay(&revoked).await?.succeeded()?.all();
    assert!(told.contains("CRL"), "{told}");
    eprintln!("revoked after {:?}", begin.elapsed());

    let url = crl::url(&scene.installation)?;
    let [first, second] = [&first, &second].map(|device| X509::from_der(device.certificate()));
    let (first, second) = (first?, second?);
    let list = wait::until("a CRL that lists it", wait::REACTION, async || {
        let response = http::get(&url).await?;
        if response.status != 200 {
            return Ok(None);
        }
        let list = X509Crl::from_der(&response.body)?;
        let is_listed = matches!(list.get_by_cert(&second), CrlStatus::Revoked(_));
        Ok(is_listed.then_some((list, response.body)))
    });
    let (list, der) = list.await?;
    let megabytes = der.len() >> 20;
    eprintln!("served after {:?}: {megabytes} MiB", begin.elapsed());
    assert_eq!(list.get_revoked().context("no entries")?.len(), count);
    assert!(matches!(list.get_by_cert(&first), CrlStatus::NotRevoked));
    assert!(list.verify(&*scene.ca.public_key()?)?);

    let scratch = scene.installation.scratch();
    let (file, leaf) = (scratch.join("long.crl"), scratch.join("leaf.pem"));
    std::fs::write(&file, list.to_pem()?)?;
    for (certificate, is_revoked) in [(&first, false), (&second, true)] {
        write_pem(&certificate.to_der()?, &leaf)?;
        let mut openssl = tool::command("openssl", "openssl")?;
        openssl.args(["verify", "-crl_check", "-CAfile"]);
        openssl.arg(&scene.installation.ready().root_pem);
        openssl
            .arg("-untrusted")
            .arg(&scene.installation.ready().ca_pem);
        openssl.arg("-CRLfile").arg(&file).arg(&leaf);
        let verdict = tool::run(&mut openssl, &[]).await?.all();
        assert_eq!(
            verdict.contains("certificate revoked"),
            is_revoked,
            "{verdict}"
        );
        assert_eq!(verdict.contains("leaf.pem: OK"), !is_revoked, "{verdict}");
    }

    let pids = scene.installation.ready().pids.clone();
    for ((name, most), pid) in MOST.iter().zip([pids.frontend, pids.signer, pids.hsm]) {
        let peak = peak(pid)?;
        eprintln!("the {name}: {} MiB at its peak", peak >> 20);
        assert!(peak <= *most, "the {name}: {peak} bytes");
    }
    Ok(())
}

/// The most memory that a process had, in bytes.
fn peak(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kilobytes.context("no VmHWM")?.parse::<u64>()? << 10)
}
