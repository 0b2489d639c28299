//! A fleet's responses are replaced within their window at the configured rate, while devices enrol.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use assay_tests::device::Anchors;
use assay_tests::installation::set;
use assay_tests::store::{alter, look, multiply_certificates};
use assay_tests::wait;
use rusqlite::Connection;

use crate::Scene;
use crate::load::{ALONE, HASHES, Waiting, counted, messages};

const CERTIFICATES: u32 = 500;
/// Certificates per second, `ocsp.rate`: a small part of what the token can sign, so that the refresh lasts as long as this
/// says on any machine.
const RATE: u32 = 50;
/// Of one commit; a batch may be signed at once.
const BATCH: f64 = 64.0;
/// The first is due again after three quarters of the refresh, when all were signed once.
const SETTINGS: [(&str, &str); 2] = [("refresh", "20s"), ("validity", "5m")];
/// Enrolments that begin and end one after the other while responses are still to be replaced: none queues behind them.
const ENROLMENTS: usize = 5;

#[tokio::test]
async fn all_are_refreshed_within_their_window_at_the_rate_while_devices_enrol() -> Result<()> {
    let _alone = ALONE.lock().await;
    let mut scene = Scene::set().await?;
    let device = scene.enrolled("pump-0").await?;
    let beside = messages(&scene, "beside", ENROLMENTS).await?;
    scene.installation.stop().await?;
    multiply_certificates(&scene.installation.ready().dir, CERTIFICATES).await?;
    // By the default settings, so that they would outlive the test.
    alter(
        &scene.installation.ready().dir,
        "DELETE FROM ocsp_responses",
    )
    .await?;
    let config = scene.installation.path("signer.toml");
    set(&config, &["ocsp", "rate"], i64::from(RATE))?;
    for (key, value) in SETTINGS {
        set(&config, &["ocsp", key], value)?;
    }
    scene.serve().await?;

    let dir = scene.installation.ready().dir.clone();
    let store = || look(&dir);
    let begin = Instant::now();
    let signed_before = signed(&scene).await?;
    // All of them once: what was signed when is what the refresh is measured against.
    wait::until("a response for each", wait::START, async || {
        let all = count(&store()?, "sha1 IS NOT NULL")? > i64::from(CERTIFICATES);
        Ok((all && count(&store()?, "sha1 IS NULL")? == 0).then_some(()))
    })
    .await?;
    let first: i64 = one(&store()?, "SELECT max(this_update) FROM ocsp_responses")?;
    let first_end: i64 = one(&store()?, "SELECT min(next_update) FROM ocsp_responses")?;

    let all = count(&store()?, &format!("this_update <= {first}"))?;
    let mut took = Vec::new();
    let mut waiting = beside.iter();
    let replaced = wait::until("new responses", wait::START, async || {
        // No row, at no time, tells what is over.
        ensure!(
            count(&store()?, &format!("next_update <= {}", now()))? == 0,
            "one ended"
        );
        let old = count(&store()?, &format!("this_update <= {first}"))?;
        // In the midst of the refresh, not before it.
        if (1..all).contains(&old)
            && let Some(one) = waiting.next()
        {
            let latency = enrol(&scene, one).await?;
            if count(&store()?, &format!("this_update <= {first}"))? > 0 {
                took.push(latency);
            }
        }
        let answer = scene.responder.get(&device).await?;
        scene.responder.read(&answer.body, &device)?;
        Ok((old == 0).then(now))
    })
    .await?;
    assert!(replaced < first_end, "{replaced} is not before {first_end}");

    let more = signed(&scene).await? - signed_before;
    let most = f64::from(RATE) * begin.elapsed().as_secs_f64() + BATCH;
    assert!(more <= most, "{more} signed, the rate allows {most:.0}");
    // Each once and once more, and the token did that and nothing else with this key.
    let (operations, _) = counted(&scene).await?;
    let operations = operations.get("ocsp-sign").copied().unwrap_or_default() as f64;
    let all = signed(&scene).await? * HASHES;
    assert!(all >= 2.0 * HASHES * f64::from(CERTIFICATES), "{all}");
    assert!(
        operations <= all + BATCH * HASHES,
        "{operations} operations for {all}"
    );

    assert_eq!(took.len(), ENROLMENTS, "during the refresh");
    println!(
        "{CERTIFICATES} responses replaced {} s before the first ended; {more:.0} signed of {most:.0} that the rate \
         allows; enrolments beside it: {took:?}",
        first_end - replaced,
    );
    Ok(())
}

async fn enrol(scene: &Scene, (device, message): &Waiting) -> Result<Duration> {
    let begin = Instant::now();
    let anchors = Anchors::of(&scene.installation)?;
    let url = scene.installation.url("devices")?;
    let answer = device.post(url, &anchors, message).await?;
    answer.certificate()?;
    Ok(begin.elapsed())
}

async fn signed(scene: &Scene) -> Result<f64> {
    Ok(scene.signer().await?.sum("assay_ocsp_signed_total", &[]))
}

fn count(store: &Connection, condition: &str) -> Result<i64> {
    one(
        store,
        &format!("SELECT count(*) FROM ocsp_responses WHERE {condition}"),
    )
}

fn one(store: &Connection, query: &str) -> Result<i64> {
    Ok(store.query_row(query, [], |row| row.get(0))?)
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}
