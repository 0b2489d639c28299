//! The SCEP server that is measured.

use assay_scep_client::{CaCertificates, Connection, Url};

use crate::failure::{Exit, Failure, OrFail, Outcome};
use crate::installation::Installation;

/// The URL given, else that of the profile in the installation.
pub(crate) fn url(given: Option<&str>, profile: &str, installation: &Installation) -> Outcome<Url> {
    match given {
        Some(url) => parse(url),
        None => parse(&installation.settings()?.profile_url(profile)),
    }
}

pub(crate) fn parse(url: &str) -> Outcome<Url> {
    Url::parse(url).or_usage("the URL cannot be used")
}

pub(crate) async fn connect(url: &Url) -> Outcome<Connection> {
    let opened = Connection::open(url).await;
    opened.map_err(|error| {
        Failure::new(Exit::Unreachable, "the server cannot be measured")
            .because(error)
            .next("see that it runs and listens there")
    })
}

/// What GetCACert gives. The RA is not yet held to the CA: some servers have it elsewhere.
pub(crate) async fn certificates(url: &Url) -> Outcome<CaCertificates> {
    CaCertificates::fetch(&mut connect(url).await?)
        .await
        .or_fail("the server cannot be measured")
}

/// The certificates of a server of our own, whose RA is under its CA.
pub(crate) async fn own_certificates(url: &Url) -> Outcome<CaCertificates> {
    let ca = certificates(url).await?;
    ca.check(None).or_fail("the server cannot be measured")?;
    Ok(ca)
}
