//! Requests that wait for an operator: PENDING, polled for, decided.

use anyhow::{Context, Result};
use assay_scep::FailInfo;
use assay_tests::device::{Answer, Device, Message};
use assay_tests::http;
use assay_tests::installation::{Installation, set};
use assay_tests::metrics::Metrics;
use assay_tests::tool::Ran;
use assay_tests::wait;
use serde_json::Value;

use crate::{Scene, subject};

const PROFILE: &str = "approved";
/// As the signer counts them, by role of the key.
const OPERATIONS: &str = "assay_token_operation_seconds_count";
const BAD_CERT_ID: FailInfo = FailInfo::BadCertId;

/// A device whose request waits.
struct Waiting {
    device: Device,
    request: Message,
    id: String,
}

impl Waiting {
    async fn queue(scene: &mut Scene, name: &str) -> Result<Self> {
        let subject = subject(name);
        let challenge = scene.installation.challenge_of(PROFILE, &subject).await?;
        let device = Device::new()?;
        let csr = device.csr(&subject, Some(&challenge), &[])?;
        let request = device.pkcs_req(&scene.anchors, &csr).await?;
        let (answer, record) = scene.post(PROFILE, &device, &request).await?;
        assert_eq!(answer, Answer::Pending, "{record:?}");
        let id = only_waiting(&scene.installation).await?;
        Ok(Self {
            device,
            request,
            id,
        })
    }

    async fn poll(&self, scene: &Scene) -> Result<Message> {
        let transaction_id = self.request.transaction_id();
        self.device
            .poll(&scene.anchors, &scene.ca, transaction_id)
            .await
    }
}

async fn scene(approval: &str) -> Result<Scene> {
    let scene = Scene::set().await?;
    let changes = format!("ticket = 'LIFE-8'\n[approval]\n{approval}\n");
    scene
        .installation
        .add_profile(PROFILE, "devices", &changes)
        .await?;
    Ok(scene)
}

async fn only_waiting(installation: &Installation) -> Result<String> {
    let listed = installation.assay(&["--json", "request", "list"]).await?;
    let listed: Vec<Value> = serde_json::from_slice(&listed.succeeded()?.stdout)?;
    let [request] = &listed[..] else {
        anyhow::bail!("not one request that waits: {listed:?}");
    };
    let id = request.get("id").and_then(Value::as_str);
    Ok(id.context("a request without id")?.to_owned())
}

async fn decide(scene: &Scene, verdict: &str, id: &str) -> Result<Ran> {
    scene.installation.assay(&["request", verdict, id]).await
}

#[tokio::test]
async fn an_approved_request_gets_one_certificate_however_often_it_polls() -> Result<()> {
    let mut scene = scene("expires = '1h'").await?;
    let waiting = Waiting::queue(&mut scene, "pump-1").await?;
    let before = scene.operator.certificates().await?.len();

    let poll = waiting.poll(&scene).await?;
    let (answer, _) = scene.post(PROFILE, &waiting.device, &poll).await?;
    assert_eq!(answer, Answer::Pending);
    // The device lost the answer and asks again from the start.
    let (answer, _) = scene
        .post(PROFILE, &waiting.device, &waiting.request)
        .await?;
    assert_eq!(answer, Answer::Pending);
    assert_eq!(scene.operator.certificates().await?.len(), before);

    decide(&scene, "approve", &waiting.id).await?.succeeded()?;
    let mut issued = Vec::new();
    for _ in 0..2 {
        let poll = waiting.poll(&scene).await?;
        let (answer, _) = scene.post(PROFILE, &waiting.device, &poll).await?;
        issued.push(answer.certificate()?.to_vec());
    }
    let (answer, _) = scene
        .post(PROFILE, &waiting.device, &waiting.request)
        .await?;
    issued.push(answer.certificate()?.to_vec());
    issued.dedup();
    assert_eq!(issued.len(), 1);
    assert_eq!(scene.operator.certificates().await?.len(), before + 1);

    let again = decide(&scene, "approve", &waiting.id)
        .await?
        .failed()?
        .all();
    assert!(again.contains("issued"), "{again}");
    Ok(())
}

/// Every private-key operation but those of the health check.
async fn token_operations(installation: &Installation) -> Result<f64> {
    let metrics = Metrics::scrape(&installation.ready().metrics.signer).await?;
    let of = |role: &str| {
        let labels = [format!("role=\"{role}\"")];
        metrics.sum(OPERATIONS, &labels.each_ref().map(String::as_str))
    };
    Ok(["ra-decrypt", "ra-sign", "ca-sign"].map(of).iter().sum())
}

#[tokio::test]
async fn the_same_message_again_is_answered_from_the_store_while_its_request_waits() -> Result<()> {
    let mut scene = scene("expires = '1h'").await?;
    let waiting = Waiting::queue(&mut scene, "pump-1").await?;
    let url = scene.installation.url_of(PROFILE)?;
    let before = token_operations(&scene.installation).await?;
    assert!(before > 0.0);
    let first = http::post(&url, &waiting.request.bytes).await?;
    let second = http::post(&url, &waiting.request.bytes).await?;
    assert_eq!((first.status, &first.body), (200, &second.body));
    let answer = waiting
        .device
        .read(&scene.anchors, &waiting.request, &first.body)
        .await?;
    assert_eq!(answer, Answer::Pending);
    let after = token_operations(&scene.installation).await?;
    assert!((after - before).abs() < f64::EPSILON, "{before}, {after}");

    // Not under another profile, and not past the decision.
    let refusal = (FailInfo::BadRequest, "SIG-12");
    scene
        .refused("devices", &waiting.device, &waiting.request, refusal)
        .await?;
    decide(&scene, "approve", &waiting.id).await?.succeeded()?;
    let (answer, _) = scene
        .post(PROFILE, &waiting.device, &waiting.request)
        .await?;
    answer.certificate()?;
    Ok(())
}

#[tokio::test]
async fn only_the_key_and_the_transaction_that_asked_may_poll() -> Result<()> {
    let mut scene = scene("expires = '1h'").await?;
    let waiting = Waiting::queue(&mut scene, "pump-1").await?;
    decide(&scene, "approve", &waiting.id).await?.succeeded()?;

    let thief = Device::new()?;
    let transaction_id = waiting.request.transaction_id().to_owned();
    let stolen = thief
        .poll(&scene.anchors, &scene.ca, &transaction_id)
        .await?;
    scene
        .refused(PROFILE, &thief, &stolen, (BAD_CERT_ID, "SIG-16"))
        .await?;
    let other = waiting
        .device
        .poll(&scene.anchors, &scene.ca, "another")
        .await?;
    scene
        .refused(PROFILE, &waiting.device, &other, (BAD_CERT_ID, "SIG-16"))
        .await?;
    let elsewhere = waiting.poll(&scene).await?;
    let refusal = (FailInfo::BadRequest, "SIG-12");
    scene
        .refused("devices", &waiting.device, &elsewhere, refusal)
        .await?;

    let poll = waiting.poll(&scene).await?;
    let (answer, _) = scene.post(PROFILE, &waiting.device, &poll).await?;
    answer.certificate()?;
    Ok(())
}

#[tokio::test]
async fn a_denied_request_is_refused_and_cannot_be_approved_any_more() -> Result<()> {
    let mut scene = scene("expires = '1h'").await?;
    let waiting = Waiting::queue(&mut scene, "pump-1").await?;
    decide(&scene, "deny", &waiting.id).await?.succeeded()?;
    decide(&scene, "approve", &waiting.id).await?.failed()?;
    let poll = waiting.poll(&scene).await?;
    let refusal = (FailInfo::BadRequest, "SIG-13");
    scene
        .refused(PROFILE, &waiting.device, &poll, refusal)
        .await
}

#[tokio::test]
async fn a_request_that_nobody_decided_expires() -> Result<()> {
    let mut scene = scene("expires = '2s'").await?;
    let waiting = Waiting::queue(&mut scene, "pump-1").await?;
    wait::until("expiry", wait::REACTION, async || {
        let poll = waiting.poll(&scene).await?;
        let (answer, record) = scene.post(PROFILE, &waiting.device, &poll).await?;
        if answer == Answer::Pending {
            return Ok(None);
        }
        assert_eq!(answer, Answer::Refused(FailInfo::BadRequest));
        assert_eq!(record.context("no record")?.text("rule"), "SIG-13");
        Ok(Some(()))
    })
    .await?;
    decide(&scene, "approve", &waiting.id).await?.failed()?;
    Ok(())
}

#[tokio::test]
async fn a_reserved_challenge_is_of_no_use_to_another_request() -> Result<()> {
    let mut scene = scene("expires = '1h'").await?;
    let name = subject("pump-1");
    let challenge = scene.installation.challenge_of(PROFILE, &name).await?;
    let (first, second) = (Device::new()?, Device::new()?);
    let csr = first.csr(&name, Some(&challenge), &[])?;
    let message = first.pkcs_req(&scene.anchors, &csr).await?;
    let (answer, _) = scene.post(PROFILE, &first, &message).await?;
    assert_eq!(answer, Answer::Pending);

    let csr = second.csr(&name, Some(&challenge), &[])?;
    let message = second.pkcs_req(&scene.anchors, &csr).await?;
    let refusal = (FailInfo::BadRequest, "SIG-06");
    scene.refused(PROFILE, &second, &message, refusal).await
}

#[tokio::test]
async fn under_four_eyes_two_operators_approve() -> Result<()> {
    let mut scene = scene("expires = '1h'\nfour_eyes = true").await?;
    scene = with_second_operator(scene).await?;
    let waiting = Waiting::queue(&mut scene, "pump-1").await?;

    decide(&scene, "approve", &waiting.id).await?.succeeded()?;
    let poll = waiting.poll(&scene).await?;
    let (answer, _) = scene.post(PROFILE, &waiting.device, &poll).await?;
    assert_eq!(answer, Answer::Pending);
    let twice = decide(&scene, "approve", &waiting.id)
        .await?
        .failed()?
        .all();
    assert!(twice.contains("another operator"), "{twice}");

    let settings = scene.installation.path("assay.toml");
    for (key, file) in [("certificate", "pem"), ("private_key", "key")] {
        let file = format!("transport/operator-second.{file}");
        set(&settings, &["administration", key], file)?;
    }
    decide(&scene, "approve", &waiting.id).await?.succeeded()?;
    let poll = waiting.poll(&scene).await?;
    let (answer, _) = scene.post(PROFILE, &waiting.device, &poll).await?;
    answer.certificate()?;
    Ok(())
}

/// The signer reads whom it allows when it starts.
async fn with_second_operator(mut scene: Scene) -> Result<Scene> {
    let installation = &mut scene.installation;
    installation.stop().await?;
    installation
        .ceremony(&["transport", "--operator", "second"])
        .await?
        .succeeded()?;
    let operators = ["assay://operator/main", "assay://operator/second"];
    let allow: Vec<toml::Value> = operators.map(toml::Value::from).to_vec();
    set(
        &installation.path("signer.toml"),
        &["administration", "allow"],
        allow,
    )?;
    installation.serve().await?;
    let operator = assay_tests::operator::Operator::connect(&installation.ready().dir).await?;
    Ok(Scene { operator, ..scene })
}
