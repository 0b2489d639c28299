//! The tables of `tests/python/pki_message/cases.py`, sent to a real installation one by one.

use anyhow::{Context, Result, ensure};
use assay_scep::client::CertRep;
use assay_scep::{Limits, Nonce, PkiStatus};
use assay_tests::device::{Anchors, Device};
use assay_tests::http;
use assay_tests::installation::{Installation, pem};
use assay_tests::metrics::Metrics;
use assay_tests::operator::Operator;
use assay_tests::python::pki_message;
use assay_tests::wait;
use serde::Deserialize;

const SUBJECT: &str = "CN=sensor-1,O=Example";

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    message: String,
    expected: Expected,
    transaction_id: String,
    sender_nonce: String,
}

#[derive(Debug, Deserialize)]
struct Expected {
    status: u16,
    fail_info: Option<u8>,
    /// What failInfoText begins with; `None`: there is none.
    rule: Option<String>,
    /// The cause shows only after decryption.
    decrypted: bool,
}

/// Private-key operations, as numbers come in metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Operations {
    decryptions: f64,
    replies: f64,
    certificates: f64,
}

impl Operations {
    /// As the signer counts what it has an answer to.
    async fn so_far(metrics: &str) -> Result<Self> {
        let metrics = Metrics::scrape(metrics).await?;
        let of = |role: &str| {
            let label = format!("role=\"{role}\"");
            metrics.sum("assay_token_operation_seconds_count", &[&label])
        };
        Ok(Self {
            decryptions: of("ra-decrypt"),
            replies: of("ra-sign"),
            certificates: of("ca-sign"),
        })
    }

    /// As the HSM service counts; the signer asks it now and then.
    async fn of_service(operator: &mut Operator) -> Result<Self> {
        let hsm = operator.status().await?.hsm;
        let counts = hsm.map(|hsm| hsm.operations).unwrap_or_default();
        let of = |role| counts.get(role).copied().unwrap_or_default() as f64;
        Ok(Self {
            decryptions: of("ra-decrypt"),
            replies: of("ra-sign"),
            certificates: of("ca-sign"),
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            decryptions: self.decryptions - before.decryptions,
            replies: self.replies - before.replies,
            certificates: self.certificates - before.certificates,
        }
    }
}

#[tokio::test]
async fn what_no_cert_rep_can_answer_is_http_400_and_touches_no_key() -> Result<()> {
    every_case_of("structure").await
}

#[tokio::test]
async fn an_altered_message_is_bad_message_check_before_decryption() -> Result<()> {
    every_case_of("check").await
}

#[tokio::test]
async fn an_algorithm_not_offered_is_bad_alg_before_decryption() -> Result<()> {
    every_case_of("algorithms").await
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_before_decryption() -> Result<()> {
    every_case_of("requests").await
}

#[tokio::test]
async fn every_failure_up_to_the_equality_of_keys_is_one_and_the_same() -> Result<()> {
    every_case_of("undecipherable").await
}

#[tokio::test]
async fn what_policy_refuses_costs_no_ca_operation() -> Result<()> {
    every_case_of("policy").await
}

async fn every_case_of(group: &str) -> Result<()> {
    let installation = Installation::start().await?;
    let anchors = Anchors::of(&installation)?;
    let challenge = installation.challenge(SUBJECT, &[]).await?;
    let given = serde_json::json!({
        "ra_enc": hex::encode(&anchors.ra_enc),
        "ra_sign": hex::encode(&anchors.ra_sign),
        "ca": hex::encode(pem(&installation.ready().ca_pem)?),
        "challenge": challenge,
        "static_challenge": installation.ready().fleet_challenge,
    });
    let made = pki_message(&["cases", group], &given).await?.text();
    let url = installation.url("devices")?;
    let metrics = &installation.ready().metrics.signer;

    let mut wrong = Vec::new();
    let mut count = 0;
    for line in made.lines() {
        let case: Case = serde_json::from_str(line)?;
        count += 1;
        if let Err(error) = case.holds(url, &anchors, metrics).await {
            wrong.push(format!("{}: {error:#}", case.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 30, "only {count} cases");

    // The message that all were made of is good, and the refusals spent nothing of its challenge.
    let device = Device::new()?;
    let answer = device.enrol(url, &anchors, SUBJECT, &challenge).await?;
    answer.certificate()?;

    let counted = Operations::so_far(metrics).await?;
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    wait::until(
        "the HSM service counts the same",
        wait::REACTION,
        async || {
            let of_service = Operations::of_service(&mut operator).await?;
            Ok((of_service == counted).then_some(()))
        },
    )
    .await
    .with_context(|| format!("{counted:?}"))
}

impl Case {
    async fn holds(&self, url: &str, anchors: &Anchors, metrics: &str) -> Result<()> {
        let message = hex::decode(&self.message)?;
        // Past the budget for refusals the answer is 503 for a moment.
        let (spent, answer) = wait::until("an answer but 503", wait::REACTION, async || {
            let before = Operations::so_far(metrics).await?;
            let answer = http::post(url, &message).await?;
            let after = Operations::so_far(metrics).await?;
            Ok((answer.status != 503).then(|| (after.since(before), answer)))
        })
        .await?;
        let expected = &self.expected;
        ensure!(
            answer.status == expected.status,
            "HTTP {}, expected {}: {}",
            answer.status,
            expected.status,
            answer.text()
        );
        if expected.status == 200 {
            self.is_refused(anchors, &answer.body)?;
        }
        let allowed = Operations {
            decryptions: u8::from(expected.decrypted).into(),
            replies: u8::from(expected.status == 200).into(),
            certificates: 0.0,
        };
        ensure!(spent == allowed, "{spent:?}, expected {allowed:?}");
        Ok(())
    }

    fn is_refused(&self, anchors: &Anchors, body: &[u8]) -> Result<()> {
        let reply = CertRep::parse(body, &Limits::default())?;
        reply.verify(&anchors.ra_sign)?;
        ensure!(reply.transaction_id().as_str() == self.transaction_id);
        let nonce = reply.recipient_nonce().map(Nonce::as_bytes);
        ensure!(nonce.map(hex::encode).as_ref() == Some(&self.sender_nonce));

        let expected = &self.expected;
        let text = reply.fail_info_text();
        ensure!(reply.status() == PkiStatus::Failure, "{:?}", reply.status());
        let fail_info = reply.fail_info().context("no failInfo")?;
        ensure!(
            Some(fail_info as u8) == expected.fail_info,
            "{fail_info}, expected {:?}: {text:?}",
            expected.fail_info
        );
        let as_expected = match (text, &expected.rule) {
            (None, None) => true,
            (Some(text), Some(rule)) => text.starts_with(rule),
            (None, Some(_)) | (Some(_), None) => false,
        };
        ensure!(as_expected, "{text:?}, expected {:?}", expected.rule);
        Ok(())
    }
}
