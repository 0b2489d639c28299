//! Evidence has its time; the log has none.

use anyhow::Result;
use assay_decision::{Evidence, Verdict};
use assay_tests::device::{Anchors, Answer, Device};
use assay_tests::installation::{Installation, set};
use assay_tests::wait;
use assay_types::Timestamp;

use crate::{kept, log};

#[tokio::test]
async fn evidence_goes_when_its_time_is_over_and_the_log_and_the_signer_stay() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let configuration = installation.path("signer.toml");
    set(&configuration, &["audit", "keep_evidence"], "1s")?;
    installation.serve().await?;
    let anchors = Anchors::of(&installation)?;
    let dir = installation.ready().dir.clone();
    let earlier = kept(&dir)?;

    let challenge = installation.challenge("CN=pump-1,O=Example", &[]).await?;
    let url = installation.url("devices")?.to_owned();
    let refused = Device::new()?
        .enrol(&url, &anchors, "CN=pump-2,O=Example", &challenge)
        .await?;
    assert!(matches!(refused, Answer::Refused(_)), "{refused:?}");
    let answer = Device::new()?
        .enrol(&url, &anchors, "CN=pump-1,O=Example", &challenge)
        .await?;
    answer.certificate()?;
    let before = log(&dir)?;
    let mut rows = kept(&dir)?;
    rows.retain(|sequence, _| !earlier.contains_key(sequence));
    let [refusal, permit] = rows.keys().copied().collect::<Vec<_>>()[..] else {
        anyhow::bail!("not two: {:?}", rows.keys());
    };
    let Verdict::Permit(permitted) = Evidence::from_canonical(&rows[&permit].1)?.verdict else {
        anyhow::bail!("the later one is no permit");
    };
    assert_eq!(rows[&permit].2, permitted.not_after.seconds() + 1);

    let until = rows[&refusal].2;
    wait::until("its time", wait::REACTION, async || {
        let now = Timestamp::from(std::time::SystemTime::now()).seconds();
        Ok((now > until).then_some(()))
    })
    .await?;
    // The first thing a signer does beside its requests is to prune.
    installation.stop().await?;
    installation.serve().await?;
    wait::until("the pruning", wait::REACTION, async || {
        Ok((!kept(&dir)?.contains_key(&refusal)).then_some(()))
    })
    .await?;
    assert!(
        kept(&dir)?.contains_key(&permit),
        "a certificate is in force"
    );
    let after = log(&dir)?;
    assert_eq!(after[..before.len()], before[..]);

    let challenge = installation.challenge("CN=pump-3,O=Example", &[]).await?;
    Device::new()?
        .enrol(
            installation.url("devices")?,
            &anchors,
            "CN=pump-3,O=Example",
            &challenge,
        )
        .await?
        .certificate()?;
    Ok(())
}
