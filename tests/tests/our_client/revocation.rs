//! What was revoked is in the CRL that its certificate names.

use anyhow::{Context, Result};
use assay_tests::installation::Installation;
use assay_tests::{crl, http, wait};
use openssl::x509::{CrlStatus, X509, X509Crl};

use super::{Device, field};

/// Where the certificate says that the CRL is.
fn crl_url(certificate: &X509) -> Result<String> {
    let points = certificate
        .crl_distribution_points()
        .context("no CRL distribution point")?;
    let url = points
        .get(0)
        .and_then(|point| point.distpoint())
        .and_then(|name| name.fullname())
        .and_then(|names| names.get(0))
        .and_then(|name| name.uri())
        .context("no URL")?;
    Ok(url.to_owned())
}

/// Where the certificate says that its issuer's is.
fn issuer_url(certificate: &X509) -> Result<String> {
    let access = certificate.authority_info().context("no AIA")?;
    let url = access
        .get(0)
        .and_then(|access| access.location().uri())
        .context("no URL")?;
    Ok(url.to_owned())
}

/// The CRL at the address that the certificate gives.
async fn crl_of(certificate: &X509) -> Result<X509Crl> {
    let url = crl_url(certificate)?;
    Ok(X509Crl::from_der(&http::get(&url).await?.body)?)
}

fn is_revoked(crl: &X509Crl, certificate: &X509) -> bool {
    matches!(crl.get_by_cert(certificate), CrlStatus::Revoked(_))
}

async fn until_revoked(certificate: &X509, revoked: bool) -> Result<X509Crl> {
    wait::until("the CRL", wait::REACTION, async || {
        let crl = crl_of(certificate).await?;
        Ok((is_revoked(&crl, certificate) == revoked).then_some(crl))
    })
    .await
}

#[tokio::test]
async fn hold_release_and_revocation_reach_the_crl_that_the_certificate_names() -> Result<()> {
    let installation = Installation::start().await?;
    let device = Device::new(&installation, "box-1");
    device
        .enrol_by_challenge("devices", &[])
        .await?
        .succeeded()?;
    let (certificate, serial) = (device.certificate()?, device.serial()?);
    let ca = X509::from_pem(&std::fs::read(&installation.ready().ca_pem)?)?;
    assert!(!is_revoked(&crl_of(&certificate).await?, &certificate));

    for (arguments, revoked, state) in [
        (&["cert", "hold", &serial][..], true, "held"),
        (&["cert", "release", &serial], false, "issued"),
        (
            &["cert", "revoke", &serial, "--reason", "key-compromise"],
            true,
            "revoked",
        ),
    ] {
        installation.assay(arguments).await?.succeeded()?;
        let crl = until_revoked(&certificate, revoked).await?;
        assert!(crl.verify(&*ca.public_key()?)?);
        let shown = installation
            .assay(&["--json", "cert", "show", &serial])
            .await?
            .succeeded()?;
        assert_eq!(field(&shown, "/state")?, state);
    }

    let again = installation
        .assay(&["--json", "cert", "revoke", &serial])
        .await?
        .succeeded()?;
    assert_eq!(field(&again, "/changed")?, "false");
    installation
        .assay(&["cert", "release", &serial])
        .await?
        .failed()?;

    // Nothing to judge a CRL by: the command does not report success.
    std::fs::remove_file(&installation.ready().ca_pem)?;
    let unchecked = installation.assay(&["cert", "revoke", &serial]).await?;
    assert_eq!(unchecked.status.code(), Some(1), "{unchecked:?}");
    let said = unchecked.all();
    assert!(said.contains("the change is recorded, and"), "{said}");
    assert!(said.contains("CA certificates in"), "{said}");
    Ok(())
}

/// The holder renewed, and then a thief with the same key, whose certificate was renewed once more.
#[tokio::test]
async fn all_that_was_renewed_with_a_stolen_key_is_shown_and_revoked_in_one_step() -> Result<()> {
    let installation = Installation::start().await?;
    let device = |name| Device::new(&installation, name);
    let (old, own, stolen, again) = (
        device("box-1"),
        device("box-1-own"),
        device("box-1-stolen"),
        device("box-1-again"),
    );
    old.enrol_by_challenge("devices", &[]).await?.succeeded()?;
    for (new, by) in [(&own, &old), (&stolen, &old), (&again, &stolen)] {
        let renew = ["--renew", &by.path("pem"), &by.path("key")];
        new.enrol("devices", &renew).await?.succeeded()?;
    }
    let (old, own) = (old.serial()?, own.serial()?);
    let (stolen, again) = (stolen.serial()?, again.serial()?);

    let shown = installation.assay(&["cert", "show", &stolen]).await?;
    let shown = String::from_utf8(shown.succeeded()?.stdout)?;
    let tree = [
        format!("  {old}  issued"),
        format!("    {stolen}  issued"),
        format!("      {again}  issued"),
    ];
    let lines: Vec<&str> = shown.lines().collect();
    let mut at = tree
        .iter()
        .map(|line| lines.iter().position(|it| it.starts_with(line.as_str())));
    assert!(at.all(|at| at.is_some()), "{shown}");
    assert!(shown.contains("<- this certificate"), "{shown}");
    let shown = installation
        .assay(&["--json", "cert", "show", &old])
        .await?
        .succeeded()?;
    assert_eq!(field(&shown, "/descendants/2/serial")?, again);
    assert_eq!(field(&shown, "/descendants/2/renewal_of")?, stolen);

    let revoke = ["cert", "revoke", &old, "--reason", "key-compromise"];
    let alone = installation.assay(&revoke).await?.succeeded()?;
    assert!(
        alone.stderr.contains("warning: 3 live certificates"),
        "{}",
        alone.stderr
    );
    for serial in [&own, &stolen, &again] {
        assert!(alone.stderr.contains(serial.as_str()), "{}", alone.stderr);
    }
    let all = [&revoke[..], &["--with-successors"]].concat();
    let all = installation.assay(&all).await?.succeeded()?;
    let all = String::from_utf8(all.stdout)?;
    for serial in [&own, &stolen, &again] {
        let line = format!("revoked {serial}, a successor of {old}: in CRL ");
        assert!(all.contains(&line), "{all}");
    }
    let json = ["--json", "cert", "revoke", &old, "--with-successors"];
    let json = installation.assay(&json).await?.succeeded()?;
    assert_eq!(field(&json, "/changed")?, "false");
    Ok(())
}

#[tokio::test]
async fn the_ca_certificate_is_where_certificates_say() -> Result<()> {
    let installation = Installation::start().await?;
    let device = Device::new(&installation, "box-1");
    device
        .enrol_by_challenge("devices", &[])
        .await?
        .succeeded()?;
    let certificate = device.certificate()?;
    let answer = http::get(&issuer_url(&certificate)?).await?;
    assert_eq!(answer.header("content-type"), Some("application/pkix-cert"));
    let ca = X509::from_der(&answer.body)?;
    assert!(certificate.verify(&*ca.public_key()?)?);
    Ok(())
}

#[tokio::test]
async fn a_profile_that_names_the_issuing_ca_leads_to_its_crl_and_certificate() -> Result<()> {
    let installation = Installation::start().await?;
    let root = crl::url(&installation)?;
    let root = root.strip_suffix("/crl/ca.crl").context(root.clone())?;
    let places = format!(
        "[certificate]
         crl_distribution_points = ['{root}/crl/{{ca}}.crl']
         ca_issuers = ['{root}/aia/{{ca}}.cer']"
    );
    installation
        .add_profile("rollover", "devices", &places)
        .await?;
    let device = Device::new(&installation, "box-1");
    device
        .enrol_by_challenge("rollover", &[])
        .await?
        .succeeded()?;
    let (certificate, serial) = (device.certificate()?, device.serial()?);
    let ca = X509::from_pem(&std::fs::read(&installation.ready().ca_pem)?)?;
    let identifier = ca.subject_key_id().context("no key identifier")?;
    let identifier = hex::encode(identifier.as_slice());
    assert_eq!(
        crl_url(&certificate)?,
        format!("{root}/crl/{identifier}.crl")
    );
    let crl = until_revoked(&certificate, false).await?;
    assert!(crl.verify(&*ca.public_key()?)?);

    let url = issuer_url(&certificate)?;
    assert_eq!(url, format!("{root}/aia/{identifier}.cer"));
    let answer = http::get(&url).await?;
    assert_eq!(answer.header("content-type"), Some("application/pkix-cert"));
    assert_eq!(answer.body, ca.to_der()?);

    installation
        .assay(&["cert", "revoke", &serial])
        .await?
        .succeeded()?;
    until_revoked(&certificate, true).await?;
    Ok(())
}

#[tokio::test]
async fn a_device_fetches_certificates_and_the_crl_over_scep() -> Result<()> {
    let installation = Installation::start().await?;
    let (asking, other) = (
        Device::new(&installation, "box-1"),
        Device::new(&installation, "box-2"),
    );
    for device in [&asking, &other] {
        device
            .enrol_by_challenge("devices", &[])
            .await?
            .succeeded()?;
    }
    let got = asking
        .ask(&["get-cert", &other.serial()?])
        .await?
        .succeeded()?;
    assert_eq!(
        X509::from_pem(&got.stdout)?.to_der()?,
        other.certificate()?.to_der()?
    );
    let none = asking
        .ask(&["get-cert", "0102030405060708"])
        .await?
        .failed()?;
    assert!(none.stderr.contains("badCertId"), "{}", none.stderr);

    installation
        .assay(&["cert", "revoke", &other.serial()?])
        .await?
        .succeeded()?;
    let crl = asking.ask(&["get-crl"]).await?.succeeded()?;
    let crl = X509Crl::from_pem(&crl.stdout)?;
    assert!(is_revoked(&crl, &other.certificate()?));
    assert!(!is_revoked(&crl, &asking.certificate()?));
    Ok(())
}
