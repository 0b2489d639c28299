//! What an operator does for a whole fleet at once takes a second, the start of the command included.

use std::time::{Duration, Instant};

use anyhow::Result;
use assay_tests::installation::Installation;
use tokio::sync::Mutex;

const CHALLENGES: usize = 1_000;
const NAMES: usize = 10_000;
const A_SECOND: Duration = Duration::from_secs(1);

/// What is timed runs alone, also where tests share a process.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn a_thousand_challenges_are_issued_in_a_second() -> Result<()> {
    let _alone = ALONE.lock().await;
    let installation = Installation::start().await?;
    let file = installation.scratch().join("subjects.txt");
    let subjects: String = (0..CHALLENGES)
        .map(|nth| format!("CN=sensor-{nth},O=Example\n"))
        .collect();
    std::fs::write(&file, subjects)?;
    let file = file.to_string_lossy();

    let begin = Instant::now();
    let arguments = [
        "challenge",
        "issue",
        "--profile",
        "devices",
        "--from",
        &file,
    ];
    let printed = installation.assay(&arguments).await?.succeeded()?.text();
    let took = begin.elapsed();

    let mut challenges: Vec<&str> = printed.lines().collect();
    assert_eq!(challenges.len(), CHALLENGES);
    challenges.sort_unstable();
    challenges.dedup();
    assert_eq!(challenges.len(), CHALLENGES, "each is another one");
    assert!(took <= A_SECOND, "it took {took:?}");
    Ok(())
}

#[tokio::test]
async fn ten_thousand_names_enter_the_inventory_in_a_second() -> Result<()> {
    let _alone = ALONE.lock().await;
    let installation = Installation::start().await?;
    let file = installation.scratch().join("names.txt");
    let names: String = (0..NAMES).map(|nth| format!("tracker-{nth}\n")).collect();
    std::fs::write(&file, names)?;
    let file = file.to_string_lossy();

    let begin = Instant::now();
    let arguments = ["inventory", "add", "--profile", "fleet", "--from", &file];
    installation.assay(&arguments).await?.succeeded()?;
    let took = begin.elapsed();

    assert!(took <= A_SECOND, "it took {took:?}");
    Ok(())
}
