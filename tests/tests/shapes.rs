//! Enrolment in the shapes of clients that cannot be installed here, and in every other shape that is allowed.
//!
//! The messages are built and the replies read by `tests/python`, which shares no code with Assay.

use std::path::Path;

use anyhow::{Context, Result, bail};
use assay_tests::certificate::{Judges, write_pem};
use assay_tests::device::Anchors;
use assay_tests::installation::{Installation, pem};
use assay_tests::python::pki_message;
use openssl::x509::X509;
use serde::{Deserialize, Serialize};

const SUBJECT: &str = "CN=sensor-1,O=Example";

/// A profile for elliptic-curve keys.
const ELLIPTIC: &str = "elliptic";

/// What the makers of messages are told; certificates in hex.
#[derive(Debug, Serialize)]
struct Given {
    url: String,
    ra_enc: String,
    ra_sign: String,
    ca: String,
    /// One for each shape.
    challenges: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Enrolled {
    name: String,
    certificate: Option<String>,
    error: Option<String>,
}

/// The example for routers, with dates and exceptions that do not end.
const ROUTERS: &str = "cisco-router";
const WITHOUT_END: &str = "
expires = 2045-01-01T00:00:00Z
[quirks]
allow_3des = true
chain_in_reply = true
";

/// DER of the subject that `tests/python` sends for a router.
const ROUTER_SUBJECT: &str = "305d3110300e060355040b1307526f7574657273314930120603550405130b46545831383430414c4257301606092a864886\
    f70d01090813093139322e302e322e37301b06092a864886f70d010902160e52312e6578616d706c652e6f7267";

#[tokio::test]
async fn clients_that_are_not_installed_enrol_in_their_shapes() -> Result<()> {
    every_shape_of("clients", "devices").await
}

#[tokio::test]
async fn a_router_enrols_in_its_default_configuration_and_gets_its_subject_back() -> Result<()> {
    let mut installation = Installation::start().await?;
    let file = format!("{ROUTERS}.toml");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/examples");
    std::fs::copy(
        example.join(&file),
        installation.ready().policy_dir.join(&file),
    )?;
    installation.write_profile(ROUTERS, ROUTERS, WITHOUT_END)?;
    installation.add_forms().await?;
    installation
        .add_profile(ROUTERS, ROUTERS, WITHOUT_END)
        .await?;
    let subject = "serialNumber=FTX1840ALBW+unstructuredAddress=192.0.2.7+unstructuredName=R1.example.org,OU=Routers";
    let printed = installation
        .assay(&[
            "challenge",
            "issue",
            "--profile",
            ROUTERS,
            "--subject",
            subject,
            "--san",
            "dns:r1.example.org",
        ])
        .await?
        .succeeded()?
        .text();
    let challenges = vec![printed.trim_end_matches('\n').to_owned()];
    let issued = enrol(&installation, "routers", ROUTERS, challenges).await?;
    let [certificate] = issued.as_slice() else {
        bail!("{} certificates", issued.len());
    };
    let certificate = X509::from_der(certificate)?;
    // PrintableString, and IA5String for the host name, as they were sent.
    let subject = hex::encode(certificate.subject_name().to_der()?);
    assert_eq!(subject, ROUTER_SUBJECT);
    let names = certificate.subject_alt_names().context("a SAN")?;
    let hosts: Vec<_> = names.iter().filter_map(|name| name.dnsname()).collect();
    assert_eq!(hosts, ["r1.example.org"]);
    Ok(())
}

#[tokio::test]
async fn every_encoding_and_algorithm_that_is_allowed_enrols() -> Result<()> {
    every_shape_of("variants", "devices").await
}

#[tokio::test]
async fn elliptic_curve_requesters_open_their_replies_under_their_challenges() -> Result<()> {
    every_shape_of("elliptic", ELLIPTIC).await
}

async fn every_shape_of(group: &str, profile: &str) -> Result<()> {
    let installation = Installation::start().await?;
    if profile == ELLIPTIC {
        installation.add_elliptic_profile(profile).await?;
    }
    let count = count(&installation, group).await?;
    let mut challenges = Vec::new();
    for _ in 0..count {
        challenges.push(installation.challenge_of(profile, SUBJECT).await?);
    }
    enrol(&installation, group, profile, challenges).await?;
    Ok(())
}

/// Shapes of a group.
async fn count(installation: &Installation, group: &str) -> Result<usize> {
    let given = given(installation, "devices", Vec::new())?;
    let counted = pki_message(&["count", group], &given).await?;
    Ok(serde_json::from_slice(&counted.stdout)?)
}

fn given(installation: &Installation, profile: &str, challenges: Vec<String>) -> Result<Given> {
    let anchors = Anchors::of(installation)?;
    Ok(Given {
        url: installation.url_of(profile)?,
        ra_enc: hex::encode(&anchors.ra_enc),
        ra_sign: hex::encode(&anchors.ra_sign),
        ca: hex::encode(pem(&installation.ready().ca_pem)?),
        challenges,
    })
}

/// The certificates of every shape of a group, DER, each judged.
async fn enrol(
    installation: &Installation,
    group: &str,
    profile: &str,
    challenges: Vec<String>,
) -> Result<Vec<Vec<u8>>> {
    let count = challenges.len();
    let given = given(installation, profile, challenges)?;
    let judges = Judges::of(installation);
    let file = installation.scratch().join("issued.pem");
    let mut wrong = Vec::new();
    let mut issued = Vec::new();
    for line in pki_message(&["enrol", group], &given).await?.text().lines() {
        let enrolled: Enrolled = serde_json::from_str(line)?;
        let Some(certificate) = enrolled.certificate else {
            wrong.push(format!("{}: {:?}", enrolled.name, enrolled.error));
            continue;
        };
        let certificate = hex::decode(certificate)?;
        write_pem(&certificate, &file)?;
        judges.accept(&file).await.context(enrolled.name)?;
        issued.push(certificate);
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(issued)
}
