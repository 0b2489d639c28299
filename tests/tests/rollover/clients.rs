//! Clients that we did not write: strongSwan before, during and after the switch, OpenSSL on what GetNextCACert says.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use assay_tests::certificate::Judges;
use assay_tests::http;
use assay_tests::installation::pem;
use assay_tests::strongswan::{self, Anchors};
use assay_tests::tool::{command, run};

use super::{Scene, subject};

#[tokio::test]
async fn strongswan_enrols_before_during_and_after_the_switch() -> Result<()> {
    let before = async |scene: &Scene| {
        let old = &scene.installation.ready().ca_pem;
        let known = fetch(scene, "before").await?;
        ensure!(
            pem(&known.ca)? == pem(old)?,
            "the next CA was named before its time"
        );
        let present = scene.present().await?;
        let announced = present.next(scene.url()?).await?;
        enrol(scene, "before", &known, old).await?;
        // By the files that GetNextCACert brought.
        let ahead = next_files(scene).await?;
        enrol(scene, "ahead", &ahead, &scene.next_file("ca.pem")).await?;
        Ok((known, announced))
    };
    let (scene, (known, announced)) = Scene::before_the_switch("1h", &[], before).await?;
    let (old, next) = (
        scene.installation.ready().ca_pem.clone(),
        scene.next_file("ca.pem"),
    );

    let left = scene.switch_at.duration_since(SystemTime::now());
    let left = left.unwrap_or_default();
    tokio::time::sleep(left.saturating_sub(Duration::from_millis(100))).await;
    // Begun under the old one's certificates just before the switch, answered about then or just after.
    enrol(&scene, "during", &known, &old).await?;
    scene.switched(&announced).await?;
    enrol(&scene, "late", &known, &old).await?;

    let renewed = fetch(&scene, "after").await?;
    assert_eq!(pem(&renewed.ca)?, pem(&next)?);
    enrol(&scene, "after", &renewed, &next).await
}

#[tokio::test]
async fn openssl_verifies_the_announcement_which_ends_with_the_switch() -> Result<()> {
    let before = async |scene: &Scene| {
        let present = scene.present().await?;
        let next = present.next(scene.url()?).await?;
        assert_eq!(next.ca, pem(&scene.next_file("ca.pem"))?);
        assert_eq!(next.anchors.ra_enc, pem(&scene.next_file("ra-enc.pem"))?);
        assert_eq!(next.anchors.ra_sign, pem(&scene.next_file("ra-sign.pem"))?);
        let capabilities = scene.capabilities().await?;
        ensure!(capabilities.lines().any(|line| line == "GetNextCACert"));
        let announcement = http::get(&announcement_url(scene)?).await?;
        Ok((next, announcement))
    };
    let (scene, (next, announcement)) = Scene::before_the_switch("1h", &[], before).await?;
    assert_eq!(
        announcement.header("content-type"),
        Some("application/x-x509-next-ca-cert")
    );
    let ready = scene.installation.ready();
    let mut cms = command("openssl", "openssl")?;
    cms.args([
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-nointern",
        "-purpose",
        "any",
    ]);
    cms.arg("-certfile").arg(&ready.ra_sign_pem);
    cms.arg("-CAfile").arg(chain(&scene)?);
    let inner = run(&mut cms, &announcement.body).await?.succeeded()?.stdout;
    for list in [&inner, &announcement.body] {
        assert_eq!(list_of(list).await?, 4, "RA, RA, CA, root");
    }

    scene.switched(&next).await?;
    assert_eq!(http::get(&announcement_url(&scene)?).await?.status, 404);
    ensure!(!scene.capabilities().await?.contains("GetNextCACert"));
    let failed = scene.installation.assay(&["scep", "get-next-ca"]).await?;
    let told = failed.failed()?.all();
    ensure!(told.contains("there is no next CA"), "{told}");
    Ok(())
}

fn announcement_url(scene: &Scene) -> Result<String> {
    Ok(format!("{}?operation=GetNextCACert", scene.url()?))
}

/// Certificates that OpenSSL reads in a PKCS #7 body.
async fn list_of(body: &[u8]) -> Result<usize> {
    let mut pkcs7 = command("openssl", "openssl")?;
    pkcs7.args(["pkcs7", "-inform", "DER", "-print_certs"]);
    let printed = run(&mut pkcs7, body).await?.succeeded()?.text();
    Ok(printed.matches("BEGIN CERTIFICATE").count())
}

/// The present CA and its root, in one file.
fn chain(scene: &Scene) -> Result<PathBuf> {
    let ready = scene.installation.ready();
    let file = scene.installation.scratch().join("chain.pem");
    let both = [
        std::fs::read(&ready.ca_pem)?,
        std::fs::read(&ready.root_pem)?,
    ];
    std::fs::write(&file, both.concat())?;
    Ok(file)
}

async fn fetch(scene: &Scene, name: &str) -> Result<Anchors> {
    Anchors::fetch(&scene.installation.scratch().join(name), scene.url()?).await
}

/// `assay scep get-next-ca`, told apart as strongSwan needs them.
async fn next_files(scene: &Scene) -> Result<Anchors> {
    let printed = scene.installation.assay(&["scep", "get-next-ca"]).await?;
    let printed = printed.succeeded()?.text();
    let folder = scene.installation.scratch().join("next");
    std::fs::create_dir(&folder)?;
    let mut files = Vec::new();
    for (number, part) in printed
        .split_inclusive("-----END CERTIFICATE-----\n")
        .enumerate()
    {
        let file = folder.join(format!("{number}.pem"));
        std::fs::write(&file, part)?;
        files.push(file);
    }
    Anchors::among(&files)
}

/// Enrols, and has the judges find the certificate to be of `ca`.
async fn enrol(scene: &Scene, name: &str, known: &Anchors, ca: &Path) -> Result<()> {
    let subject = subject(name);
    let challenge = scene.installation.challenge_of("devices", &subject).await?;
    let scratch = scene.installation.scratch();
    let (key, certificate) = (
        scratch.join(format!("{name}.key")),
        scratch.join(format!("{name}.pem")),
    );
    strongswan::generate_key(&key).await?;
    let root = &scene.installation.ready().root_pem;
    let dn = format!("O=Example, CN={name}");
    let mut scep = known.enrol(scene.url()?, &key, &dn, root)?;
    scep.args(["--password", &challenge]);
    let enrolled = run(&mut scep, &[]).await?.succeeded();
    std::fs::write(&certificate, enrolled.context(name.to_owned())?.stdout)?;
    Judges::under(&scene.installation, ca)
        .accept(&certificate)
        .await
}
