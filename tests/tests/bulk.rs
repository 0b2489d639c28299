//! One command for a whole fleet is a batch: it takes as long as a few commands for one device each, not as long as many.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use assay_tests::installation::Installation;
use tokio::sync::Mutex;

const CHALLENGES: usize = 1_000;
const NAMES: usize = 10_000;
/// Commands for one device, the start of the process included, that a batch may take as long as. A commit for each name
/// would take far longer.
const SINGLE: u32 = 50;
/// Rounds, one of which has to hold the bound. Measured on two cores: of 600 rounds beside four busy processes per core, one
/// exceeded it (by 37 %), and of 600 with two more that compute without end, 18 did, never two in succession. That is fewer
/// than one in 20, with 95 % confidence, so all six exceed it in fewer than one run in 10^7 if they are independent.
const ROUNDS: usize = 6;

/// What is timed runs alone, also where tests share a process.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn a_thousand_challenges_take_as_long_as_a_few_commands() -> Result<()> {
    let _alone = ALONE.lock().await;
    let installation = Installation::start().await?;
    let mut challenges = Vec::new();
    a_batch_is_quick(async |round| {
        let single = format!("CN=single-{round},O=Example");
        let begin = Instant::now();
        installation.challenge(&single, &[]).await?;
        let single = begin.elapsed();

        let file = installation.scratch().join("subjects.txt");
        let subjects: String = (0..CHALLENGES)
            .map(|nth| format!("CN=sensor-{round}-{nth},O=Example\n"))
            .collect();
        std::fs::write(&file, subjects)?;
        let file = file.to_string_lossy();
        let issue = [
            "challenge",
            "issue",
            "--profile",
            "devices",
            "--from",
            &file,
        ];
        let begin = Instant::now();
        let printed = installation.assay(&issue).await?.succeeded()?.text();
        let batch = begin.elapsed();
        challenges = printed.lines().map(str::to_owned).collect();
        Ok((single, batch))
    })
    .await?;
    assert_eq!(challenges.len(), CHALLENGES);
    challenges.sort_unstable();
    challenges.dedup();
    assert_eq!(challenges.len(), CHALLENGES, "each is another one");
    Ok(())
}

#[tokio::test]
async fn ten_thousand_names_enter_the_inventory_as_quickly_as_a_few() -> Result<()> {
    let _alone = ALONE.lock().await;
    let installation = Installation::start().await?;
    a_batch_is_quick(async |round| {
        let single = format!("single-{round}");
        let begin = Instant::now();
        installation.add_to_inventory(&[&single]).await?;
        let single = begin.elapsed();

        let names: Vec<_> = (0..NAMES)
            .map(|nth| format!("tracker-{round}-{nth}"))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let begin = Instant::now();
        installation.add_to_inventory(&names).await?;
        Ok((single, begin.elapsed()))
    })
    .await
}

/// Holds what a batch takes against what a command for one device takes in the same round.
async fn a_batch_is_quick(
    mut round: impl AsyncFnMut(usize) -> Result<(Duration, Duration)>,
) -> Result<()> {
    let mut rounds = Vec::new();
    for number in 0..ROUNDS {
        let (single, batch) = round(number).await?;
        if batch <= single * SINGLE {
            return Ok(());
        }
        rounds.push((single, batch));
    }
    bail!("a command for one device, and a batch: {rounds:?}")
}
