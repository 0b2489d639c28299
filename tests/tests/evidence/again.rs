//! Every decision is made again, with nothing but the database, the policy files and the CA certificate.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use assay_audit::Event;
use assay_decision::{Ca, Derived, Evidence, decide_again, issued_sha256};
use assay_policy::Bundle;
use assay_tests::device::{Anchors, Answer, Device, dns_names};
use assay_tests::installation::{Installation, pem};
use assay_tests::query::RENEWAL_REQ;
use assay_tests::store;
use openssl::x509::X509;

use crate::{kept, log};

/// DER of the certificates by serial, hex.
fn certificates(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let connection = store::look(dir)?;
    let mut query = connection.prepare(
        "SELECT lower(hex(serial)), der FROM certificates JOIN certificate_contents USING (position)",
    )?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Lets each kind of decision happen; the last request is refused to somebody whom nothing authorises.
async fn live(installation: &Installation) -> Result<()> {
    let anchors = Anchors::of(installation)?;
    let url = installation.url("devices")?;
    let approval = "ticket = 'LIFE-9'\n[approval]\nexpires = '1h'\n";
    installation
        .add_profile("approved", "devices", approval)
        .await?;

    // By a one-time challenge with a name, then by the certificate.
    let subject = "CN=pump-1,O=Example";
    let name = "pump-1.example.com";
    let challenge = installation
        .challenge(subject, &[&format!("dns:{name}")])
        .await?;
    let first = Device::new()?;
    let csr = first.csr(subject, Some(&challenge), &[dns_names(&[name])?])?;
    let message = first.pkcs_req(&anchors, &csr).await?;
    let answer = first.post(url, &anchors, &message).await?;
    let first = first.holding(answer.certificate()?);
    let next = Device::new()?;
    let csr = next.csr(subject, None, &[dns_names(&[name])?])?;
    let message = first.of_type(&anchors, RENEWAL_REQ, &csr).await?;
    first.post(url, &anchors, &message).await?.certificate()?;

    // The same certificate asks for another name, and a challenge is used for another name.
    let csr = next.csr("CN=pump-2,O=Example", None, &[])?;
    let message = first.of_type(&anchors, RENEWAL_REQ, &csr).await?;
    let refused = first.post(url, &anchors, &message).await?;
    assert!(matches!(refused, Answer::Refused(_)), "{refused:?}");
    let challenge = installation.challenge("CN=pump-3,O=Example", &[]).await?;
    let refused = Device::new()?
        .enrol(url, &anchors, "CN=pump-4,O=Example", &challenge)
        .await?;
    assert!(matches!(refused, Answer::Refused(_)), "{refused:?}");

    // By the challenge of the fleet.
    installation.add_to_inventory(&["tracker-1"]).await?;
    let fleet = &installation.ready().fleet_challenge;
    Device::new()?
        .enrol(
            installation.url("fleet")?,
            &anchors,
            "CN=tracker-1,O=Example",
            fleet,
        )
        .await?
        .certificate()?;

    // After an approval.
    let url = installation.url_of("approved")?;
    let subject = "CN=pump-5,O=Example";
    let challenge = installation.challenge_of("approved", subject).await?;
    let device = Device::new()?;
    let csr = device.csr(subject, Some(&challenge), &[])?;
    let message = device.pkcs_req(&anchors, &csr).await?;
    let answer = device.post(&url, &anchors, &message).await?;
    assert_eq!(answer, Answer::Pending);
    let listed = installation.assay(&["--json", "request", "list"]).await?;
    let listed: serde_json::Value = serde_json::from_slice(&listed.succeeded()?.stdout)?;
    let id = listed.pointer("/0/id").and_then(serde_json::Value::as_str);
    installation
        .assay(&["request", "approve", id.context("nothing waits")?])
        .await?
        .succeeded()?;
    let ca = X509::from_pem(&std::fs::read(&installation.ready().ca_pem)?)?;
    let poll = device.poll(&anchors, &ca, message.transaction_id()).await?;
    device.post(&url, &anchors, &poll).await?.certificate()?;

    let refused = Device::new()?
        .enrol(&url, &anchors, "CN=pump-6,O=Example", "what-nobody-issued")
        .await?;
    assert!(matches!(refused, Answer::Refused(_)), "{refused:?}");
    Ok(())
}

fn policy(installation: &Installation) -> Result<Bundle> {
    let files = Bundle::read_dir(&installation.ready().policy_dir)?;
    Bundle::load(&files).map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

#[tokio::test]
async fn every_decision_is_made_again_from_what_the_database_keeps() -> Result<()> {
    let installation = Installation::start().await?;
    // The demo has enrolled a device of its own under this one.
    let first = policy(&installation)?;
    live(&installation).await?;

    let dir = &installation.ready().dir;
    let policies = [first, policy(&installation)?];
    let ca = Ca::from_der(&pem(&installation.ready().ca_pem)?)?;
    let (mut kept, certificates) = (kept(dir)?, certificates(dir)?);
    let mut issued_claims = BTreeMap::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for record in log(dir)? {
        let event = &record.draft.event;
        if let Event::ChallengeIssued {
            challenge_id,
            claims_sha256,
            ..
        } = event
        {
            issued_claims.insert(challenge_id.as_str().to_owned(), *claims_sha256);
        }
        let Some(hash) = event.evidence() else {
            *seen.entry(event.kind()).or_default() += 1;
            continue;
        };
        let (salt, content, _) = kept.remove(&record.sequence).context("evidence is lost")?;
        let evidence = Evidence::open(&salt, &content, hash)?;
        let in_force = record.draft.context.policy_hash;
        let mut policies = policies.iter();
        let bundle = policies.find(|bundle| in_force == Some(bundle.model_hash()));
        let bundle = bundle.context("decided under another policy")?;
        let (decided, recorded) = (evidence.decided_ms, record.draft.moment.wall_ms);
        ensure!(
            (decided..decided + Duration::from_secs(60)).contains(&recorded),
            "decided {decided}, recorded {recorded}"
        );
        let derived = decide_again(&evidence, bundle, &ca)?;

        let (request, kind) = match (event, derived) {
            (
                Event::IntentOpened {
                    request, issuance, ..
                },
                Derived::Permit { tbs, tbs_digest },
            ) => {
                assert_eq!(issuance.tbs_digest, tbs_digest);
                let certificate = &certificates[issuance.serial.as_str()];
                // Behind the header of the outer SEQUENCE, of four octets at this length.
                assert!(certificate[4..].starts_with(&tbs), "another certificate");
                (request, "permit")
            }
            (Event::RequestPending { request, .. }, Derived::Pending) => (request, "pending"),
            (Event::RequestRefused { request, rule, .. }, Derived::Refusal(refusal)) => {
                assert_eq!(rule.as_str(), refusal.rule.as_str());
                (request, "refusal")
            }
            (event, derived) => anyhow::bail!("{event:?} is {derived:?}"),
        };
        *seen.entry(kind).or_default() += 1;
        let grant = evidence.grant.as_ref().context("nothing authorised it")?;
        if let Some(claims) = issued_sha256(grant)? {
            let id = grant.source().id();
            assert_eq!(issued_claims[id], Some(claims));
            // A poll brings none.
            if let Some(presented) = &request.challenge_id {
                assert_eq!(presented.as_str(), id);
            }
        }
    }
    assert!(kept.is_empty(), "evidence of no record: {:?}", kept.keys());
    assert_eq!(
        (seen["permit"], seen["refusal"], seen["pending"]),
        (5, 2, 1)
    );
    assert_eq!(
        seen["request.refused"], 1,
        "of what nobody issued nothing is kept"
    );
    assert_eq!(seen.get("intent.opened"), None);
    Ok(())
}
