//! The end: the next CA is the only one, in its place in signer.toml; the log, the policy and the auditor continue.

use anyhow::{Result, ensure};
use assay_tests::installation::value;
use assay_tests::query::RENEWAL_REQ;
use assay_tests::tool::Ran;
use assay_tests::wait;

use super::{Scene, subject};

#[tokio::test]
async fn the_rollover_is_finished_and_log_and_policy_go_on() -> Result<()> {
    let before = async |scene: &Scene| {
        let old = scene.present().await?;
        let next = old.next(scene.url()?).await?;
        let device = scene.enrol("box-1", &old).await?;
        let refused = finish(scene, &["--write"]).await?.failed()?.all();
        ensure!(refused.contains("nothing to finish before"), "{refused}");
        Ok((next, device))
    };
    let (mut scene, (next, device)) = Scene::before_the_switch("1h", &[], before).await?;
    scene.switched(&next).await?;
    wait::until("the record", wait::REACTION, async || {
        Ok((scene.records("ca.switched").await?.len() == 1).then_some(()))
    })
    .await?;
    let log = scene.installation.assay(&["audit", "checkpoint"]).await?;
    let origin = log.succeeded()?.text();
    let origin = origin.lines().next().unwrap_or_default().to_owned();

    scene.installation.stop().await?;
    finish(&scene, &["--write", "--early"]).await?.succeeded()?;
    let file = scene.installation.path("signer.toml");
    ensure!(
        value(&file, &["rollover"]).is_err(),
        "[rollover] is still there"
    );
    scene.installation.serve().await?;

    assert_eq!(scene.present().await?.ca, next.ca);
    scene.enrol("box-2", &next).await?;
    let plan = scene.rehearsed(None).await?;
    assert_eq!(super::text(&plan, "stage")?, "none");
    let log = scene.installation.assay(&["audit", "checkpoint"]).await?;
    let now = log.succeeded()?.text();
    assert_eq!(now.lines().next(), Some(origin.as_str()), "another log");

    // What the old CA issued is still ours to renew.
    let csr = device.csr(&subject("box-1"), None, &[])?;
    let message = device.of_type(&next.anchors, RENEWAL_REQ, &csr).await?;
    let answer = device.post(scene.url()?, &next.anchors, &message).await?;
    ensure!(next.has_issued(answer.certificate()?)?);

    // The next version names the next CA as the one that there is.
    let files = &scene.installation.ready().policy_dir;
    scene.installation.put_in_force(files).await?;
    scene.enrol("box-3", &next).await?;
    let gone = scene.installation.scratch().join("gone.pem");
    let ready = scene.installation.ready();
    let chain = [
        std::fs::read(&ready.ca_pem)?,
        std::fs::read(&ready.root_pem)?,
    ];
    std::fs::write(&gone, chain.concat())?;
    scene.audited(&[&gone]).await
}

async fn finish(scene: &Scene, further: &[&str]) -> Result<Ran> {
    let arguments = [&["next", "finish"], further].concat();
    scene.installation.ceremony(&arguments).await
}
