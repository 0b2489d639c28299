//! After the switch the old CA continues listing and answering for what it has issued, and what it has issued is renewed under
//! the next one.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use assay_scep::FailInfo;
use assay_tests::device::{Answer, Device, KnownCa};
use assay_tests::http;
use assay_tests::installation::set;
use assay_tests::ocsp::Responder;
use assay_tests::query::{serial, serial_hex};
use assay_tests::wait;
use openssl::x509::{X509, X509Crl};

use super::{Scene, subject};

#[tokio::test]
async fn the_old_ca_lists_and_answers_for_its_own_after_the_switch() -> Result<()> {
    let before = async |scene: &Scene| {
        let (old, next) = both(scene).await?;
        let of_old = scene.enrol("of-old", &old).await?;
        let of_next = scene.enrol("of-next", &next).await?;
        Ok((old, next, of_old, of_next))
    };
    let (scene, (old, next, of_old, of_next)) =
        Scene::before_the_switch("1h", &["--ocsp"], before).await?;
    scene.switched(&next).await?;

    let revoked = serial_hex(of_old.certificate())?;
    let revoke = ["cert", "revoke", &revoked, "--reason", "key-compromise"];
    scene.installation.assay(&revoke).await?.succeeded()?;
    for (known, device, listed) in [(&old, &of_old, true), (&next, &of_next, false)] {
        let crl = wait::until("the list", wait::REACTION, async || {
            let crl = fetch_list(&scene, device.certificate()).await?;
            let lists = lists(&crl, &of_old)?;
            Ok((lists == listed).then_some(crl))
        });
        let key = X509::from_der(&known.ca)?.public_key()?;
        ensure!(crl.await?.verify(&key)?, "a list of another CA");
    }
    let responder =
        |ca: &Path| Ok::<_, anyhow::Error>(Responder::of(&scene.installation)?.about(ca));
    let of_old_ca = responder(&scene.installation.ready().ca_pem)?;
    until(&of_old_ca, &of_old, "keyCompromise").await?;
    let of_next_ca = responder(&scene.next_file("ca.pem"))?;
    until(&of_next_ca, &of_next, "good").await?;

    // GetCRL and GetCert speak of the CA that is asked for, whichever RA is asked.
    let issuer = X509::from_der(&old.ca)?;
    let number = serial(of_old.certificate())?;
    for known in [&old, &next] {
        let query = of_next.get_crl(&known.anchors, &issuer, &number).await?;
        let url = scene.url()?;
        let crl = of_next.fetch_crl(url, &known.anchors, &query).await?;
        ensure!(lists(&X509Crl::from_der(&crl)?, &of_old)?);
        let query = of_next.get_cert(&known.anchors, &issuer, &number).await?;
        let answer = of_next.post(url, &known.anchors, &query).await?;
        assert_eq!(answer.certificate()?, of_old.certificate());
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_the_old_ca_is_renewed_under_the_next_one() -> Result<()> {
    let (scene, (old, next, device)) = Scene::before_the_switch("1h", &[], one_of_the_old).await?;
    scene.switched(&next).await?;

    let csr = device.csr(&subject("box-1"), None, &[])?;
    for known in [&next, &old] {
        let message = device.pkcs_req(&known.anchors, &csr).await?;
        let answer = device.post(scene.url()?, &known.anchors, &message).await?;
        let certificate = answer.certificate()?;
        ensure!(known.has_issued(certificate)?);
    }
    Ok(())
}

#[tokio::test]
async fn after_the_overlap_the_old_ra_is_answered_no_more_and_the_old_lists_go_on() -> Result<()> {
    let (scene, (old, next, device)) = Scene::before_the_switch("2s", &[], one_of_the_old).await?;
    scene.switched(&next).await?;
    wait::until("the end of the overlap", wait::REACTION, async || {
        let stage = scene.rehearsed(None).await?;
        Ok((super::text(&stage, "stage")? == "over").then_some(()))
    })
    .await?;

    // By the RA that is there: it is not the one that the request was for.
    let stranger = Device::new()?;
    let csr = stranger.csr(&subject("box-2"), Some("none"), &[])?;
    let message = stranger.pkcs_req(&old.anchors, &csr).await?;
    let refused = stranger.post(scene.url()?, &next.anchors, &message).await?;
    assert_eq!(refused, Answer::Refused(FailInfo::BadRequest));
    scene.enrol("box-3", &next).await?;
    let revoked = serial_hex(device.certificate())?;
    let revoke = ["cert", "revoke", &revoked, "--reason", "superseded"];
    scene.installation.assay(&revoke).await?.succeeded()?;
    wait::until("the old CA's list", wait::REACTION, async || {
        let crl = fetch_list(&scene, device.certificate()).await?;
        Ok(lists(&crl, &device)?.then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_restart_after_the_switch_goes_on_where_it_was() -> Result<()> {
    let (mut scene, (old, next)) = Scene::before_the_switch("1h", &[], both).await?;
    scene.switched(&next).await?;
    wait::until("the record", wait::REACTION, async || {
        Ok((scene.records("ca.switched").await?.len() == 1).then_some(()))
    })
    .await?;
    scene.installation.stop().await?;
    scene.installation.serve().await?;
    assert_eq!(scene.present().await?.ca, next.ca);
    scene.enrol("box-1", &next).await?;
    scene.enrol("box-2", &old).await?;
    assert_eq!(scene.records("ca.switched").await?.len(), 1);

    // What was done cannot be taken back by a setting.
    scene.installation.stop().await?;
    let file = scene.installation.path("signer.toml");
    set(&file, &["rollover", "switch_at"], "2031-01-01T00:00:00Z")?;
    let refused = scene
        .installation
        .serve()
        .await
        .err()
        .context("it was taken")?;
    let told = format!("{refused:#}\n{}", scene.installation.logs()?);
    ensure!(told.contains("rollover.switch_at"), "{told}");
    Ok(())
}

/// The present CA and the announced one.
async fn both(scene: &Scene) -> Result<(KnownCa, KnownCa)> {
    let old = scene.present().await?;
    let next = old.next(scene.url()?).await?;
    Ok((old, next))
}

/// The two CAs, and a device with a certificate of the present one.
async fn one_of_the_old(scene: &Scene) -> Result<(KnownCa, KnownCa, Device)> {
    let (old, next) = both(scene).await?;
    let device = scene.enrol("box-1", &old).await?;
    Ok((old, next, device))
}

/// The list at the distribution point that the certificate names; the port is another one after each start.
async fn fetch_list(scene: &Scene, certificate: &[u8]) -> Result<X509Crl> {
    let certificate = X509::from_der(certificate)?;
    let points = certificate
        .crl_distribution_points()
        .context("no distribution point")?;
    let names = points
        .iter()
        .find_map(|point| point.distpoint()?.fullname());
    let names = names.context("no name")?;
    let url = names.iter().find_map(|name| name.uri()).context("no URL")?;
    let path = url.split_once("/crl/").context("no CRL of ours")?.1;
    let root = scene.url()?.strip_suffix("/scep/devices");
    let url = format!("{}/crl/{path}", root.context("no root")?);
    let response = http::get(&url).await?;
    ensure!(response.status == 200, "{url}: HTTP {}", response.status);
    Ok(X509Crl::from_der(&response.body)?)
}

fn lists(crl: &X509Crl, device: &Device) -> Result<bool> {
    let wanted = serial(device.certificate())?;
    let wanted = openssl::bn::BigNum::from_slice(&wanted)?;
    for entry in crl.get_revoked().into_iter().flatten() {
        if entry.serial_number().to_bn()? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn until(responder: &Responder, device: &Device, status: &str) -> Result<()> {
    wait::until(status, wait::REACTION, async || {
        let said = responder.status(device.certificate()).await;
        Ok(said.is_ok_and(|said| said == status).then_some(()))
    })
    .await
}
