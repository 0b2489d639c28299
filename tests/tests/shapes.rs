//! Enrolment in the shapes of clients that cannot be installed here, and in every other shape that is allowed.
//!
//! The messages are built and the replies read by `tests/python`, which shares no code with Assay.

use anyhow::{Context, Result};
use assay_tests::certificate::{Judges, write_pem};
use assay_tests::device::Anchors;
use assay_tests::installation::{Installation, pem};
use assay_tests::python::pki_message;
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

#[tokio::test]
async fn clients_that_are_not_installed_enrol_in_their_shapes() -> Result<()> {
    every_shape_of("clients", "devices").await
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
    let anchors = Anchors::of(&installation)?;
    let given = Given {
        url: installation.url_of(profile)?,
        ra_enc: hex::encode(&anchors.ra_enc),
        ra_sign: hex::encode(&anchors.ra_sign),
        ca: hex::encode(pem(&installation.ready().ca_pem)?),
        challenges: Vec::new(),
    };
    let count: usize =
        serde_json::from_slice(&pki_message(&["count", group], &given).await?.stdout)?;
    let mut challenges = Vec::new();
    for _ in 0..count {
        challenges.push(installation.challenge_of(profile, SUBJECT).await?);
    }
    let given = Given {
        challenges,
        ..given
    };

    let judges = Judges::of(&installation);
    let file = installation.scratch().join("issued.pem");
    let mut wrong = Vec::new();
    for line in pki_message(&["enrol", group], &given).await?.text().lines() {
        let enrolled: Enrolled = serde_json::from_str(line)?;
        let Some(certificate) = enrolled.certificate else {
            wrong.push(format!("{}: {:?}", enrolled.name, enrolled.error));
            continue;
        };
        write_pem(&hex::decode(certificate)?, &file)?;
        judges.accept(&file).await.context(enrolled.name)?;
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}
