//! Good, on hold, good again, revoked: by clients that we did not write.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use assay_tests::http;
use assay_tests::query::serial_hex;
use assay_tests::tool;
use assay_tests::wait;

use crate::Scene;

/// As SECURITY.md states it: the answer of a frontend that can ask the signer is at most this old.
const MAX_AGE: Duration = Duration::from_secs(10);
const UNAUTHORIZED: &str = "Responder Error: unauthorized (6)";

#[tokio::test]
async fn each_change_shows_within_the_stated_time_whoever_asks() -> Result<()> {
    let scene = Scene::set().await?;
    let device = scene.enrolled("pump-1").await?;
    let neighbour = scene.enrolled("pump-2").await?;
    let serial = serial_hex(&device)?;
    for (arguments, status, gnutls) in [
        (&["hold", &serial][..], "certificateHold", "revoked"),
        (&["release", &serial], "good", "good"),
        (
            &["revoke", &serial, "--reason", "key-compromise"],
            "keyCompromise",
            "revoked",
        ),
    ] {
        // In the frontend's memory just now, so that the change takes as long as it may.
        scene.responder.status(&device).await?;
        let arguments = [&["cert"], arguments].concat();
        scene.installation.assay(&arguments).await?.succeeded()?;
        let changed = Instant::now();
        wait::until(status, wait::REACTION, async || {
            let asked = changed.elapsed();
            let said = scene.responder.status(&device).await?;
            ensure!(
                said == status || asked < MAX_AGE,
                "{said} to a question {asked:?} after the change to {status}"
            );
            Ok((said == status).then_some(()))
        })
        .await?;
        assert_eq!(scene.responder.gnutls(&device).await?, gnutls);
        assert_eq!(scene.responder.status(&neighbour).await?, "good");
    }
    Ok(())
}

/// The delegation holds for a second reader: it signs OCSP and nothing else, and chains to the root.
#[tokio::test]
async fn the_responders_certificate_is_a_delegation_for_gnutls_too() -> Result<()> {
    let scene = Scene::set().await?;
    let ready = scene.installation.ready();
    let chain: Vec<u8> = [
        &scene.installation.path("certificates/ocsp.pem"),
        &ready.ca_pem,
    ]
    .map(std::fs::read)
    .into_iter()
    .collect::<Result<Vec<_>, _>>()?
    .concat();
    let verdict = async |purpose: &str| {
        let mut command = tool::command("certtool", "gnutls-bin")?;
        command.args(["--verify", "--verify-purpose", purpose]);
        command.arg("--load-ca-certificate").arg(&ready.root_pem);
        tool::run(&mut command, &chain).await
    };
    let said = verdict("1.3.6.1.5.5.7.3.9").await?.succeeded()?.all();
    assert!(said.contains("The certificate is trusted"), "{said}");
    verdict("1.3.6.1.5.5.7.3.2").await?.failed()?;
    Ok(())
}

#[tokio::test]
async fn the_certificate_names_the_responder_and_a_get_gives_what_a_post_does() -> Result<()> {
    let scene = Scene::set().await?;
    let device = scene.enrolled("pump-1").await?;
    let mut command = tool::command("openssl", "openssl")?;
    command.args(["x509", "-inform", "DER", "-noout", "-ocsp_uri"]);
    let named = tool::run(&mut command, &device).await?.succeeded()?.text();
    assert_eq!(named.trim(), scene.responder.url());

    let mut command = tool::command("certtool", "gnutls-bin")?;
    command.args(["--certificate-info", "--inder"]);
    let read = tool::run(&mut command, &device).await?.succeeded()?.text();
    let access = read.split("1.3.6.1.5.5.7.48.1 (id-ad-ocsp)").nth(1);
    let location = access.and_then(|after| after.lines().nth(1));
    let location = location.and_then(|line| line.trim().strip_prefix("Access Location URI: "));
    assert_eq!(location, Some(scene.responder.url()), "{read}");

    let get = scene.responder.get(&device).await?;
    let request = scene.responder.request(&device)?;
    let content_type = "application/ocsp-request";
    let post = http::post_as(scene.responder.url(), content_type, &request).await?;
    assert_eq!((get.status, post.status), (200, 200));
    assert_eq!(get.body, post.body);
    let said = scene.responder.read(&get.body, &device)?;
    assert!(said.good && !said.on_hold, "{said:?}");
    for header in ["etag", "last-modified", "expires", "cache-control"] {
        let value = get.header(header).context(header)?;
        assert_eq!(post.header(header), Some(value), "{header}");
    }
    Ok(())
}

#[tokio::test]
async fn what_nothing_is_signed_for_is_unauthorized() -> Result<()> {
    let scene = Scene::set().await?;
    let one = scene.enrolled("pump-1").await?;
    let other = scene.enrolled("pump-2").await?;
    let responder = &scene.responder;
    let unknown = responder.openssl(&[], &["-no_nonce"]).await?;
    drop(unknown.failed()?);
    let root = scene.installation.ready().root_pem.display().to_string();
    for (what, certificates, more) in [
        ("several", &[&one[..], &other][..], &[][..]),
        ("a CertID of SHA-512", &[&one], &["-sha512"]),
        (
            "an issuer that is not ours",
            &[],
            &["-issuer", &root, "-serial", "0x1234"],
        ),
    ] {
        let said = responder.openssl(certificates, more).await?.all();
        assert!(said.contains(UNAUTHORIZED), "{what}: {said}");
    }
    let mut serial = tool::command("openssl", "openssl")?;
    serial.args(["ocsp", "-url", responder.url(), "-issuer"]);
    serial.arg(&scene.installation.ready().ca_pem);
    serial.args(["-serial", "0x1234"]);
    let said = tool::run(&mut serial, &[]).await?.all();
    assert!(said.contains(UNAUTHORIZED), "{said}");
    Ok(())
}
