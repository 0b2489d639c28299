//! The records of floods: nothing is lost, and neither the log nor the state file grows without bound.

use std::time::Duration;

use crate::support::{Answer, Device, Message, Stand, changed, subject};

/// The size of a record in the state file by SECURITY.md, with its leaf, its indexes and its commit.
const RECORD_BYTES: u64 = 2_048;
const SECOND: Duration = Duration::from_secs(1);

/// A device that was issued a certificate, and its request.
async fn enrolled(stand: &Stand) -> (Device, Message) {
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.send(&device, &message).await.certificate();
    (device, message)
}

/// Sends a message whose answer is not looked at.
async fn flood(stand: &Stand, profile: &str, message: &Message, times: usize) {
    for _ in 0..times {
        stand.post(profile, message).await;
    }
}

/// Requests in the counts of a class, and the most signer keys that one of them names.
async fn counted(stand: &Stand, class: &str) -> (u64, u64) {
    let records = stand.all_records("requests.counted").await;
    let of_class = records.iter().filter(|record| record["class"] == class);
    of_class.fold((0, 0), |(requests, keys), record| {
        let number = |member: &str| record[member].as_u64().unwrap();
        (
            requests + number("requests"),
            keys.max(number("signer_keys")),
        )
    })
}

#[tokio::test]
async fn replays_past_their_budget_are_counted_and_write_nothing() {
    const REPLAYS: u64 = 5_000;
    let stand = Stand::new().await;
    let (device, message) = enrolled(&stand).await;
    for _ in 0..210 {
        assert!(matches!(
            stand.send(&device, &message).await,
            Answer::Issued(_)
        ));
    }
    assert_eq!(stand.all_records("request.replayed").await.len(), 200);

    let before = (stand.store.file_bytes(), stand.store.counts());
    let before = (before.0.await.unwrap(), before.1.await.unwrap());
    flood(&stand, "devices", &message, 1_000).await;
    assert_eq!(stand.store.counts().await.unwrap(), before.1);
    assert_eq!(stand.store.file_bytes().await.unwrap(), before.0);

    // A minute of replays.
    for _ in 0..60 {
        let rest = (REPLAYS - 1_210) / 60;
        flood(&stand, "devices", &message, usize::try_from(rest).unwrap()).await;
        stand.after(SECOND).await;
    }
    let singles = stand.all_records("request.replayed").await.len() as u64;
    // The first one of the minute found nothing.
    assert_eq!(singles, 200 + 11);
    let (requests, keys) = counted(&stand, "replayed").await;
    assert_eq!(requests + singles, 1_210 + (REPLAYS - 1_210) / 60 * 60);
    assert_eq!(keys, 1);
    let counts = stand.all_records("requests.counted").await.len();
    assert!(counts <= 60, "{counts}");

    let records = stand.store.counts().await.unwrap().audit_records - before.1.audit_records;
    let bytes = stand.store.file_bytes().await.unwrap() - before.0;
    assert!(
        bytes <= records * RECORD_BYTES,
        "{bytes} bytes for {records} records"
    );
}

#[tokio::test]
async fn new_messages_for_one_certificate_are_answered_and_no_reply_is_kept_past_the_budget() {
    let stand = Stand::new().await;
    let (device, message) = enrolled(&stand).await;
    flood(&stand, "devices", &message, 200).await;
    let csr = device.csr(
        &subject("pump-2"),
        Some(&stand.challenge(&subject("pump-2")).await),
    );
    let first = device
        .message(&stand.ca, crate::support::PKCS_REQ, &csr)
        .await;
    stand.send(&device, &first).await.certificate();
    let bytes = stand.store.file_bytes().await.unwrap();
    for _ in 0..5 {
        let again = device
            .message(&stand.ca, crate::support::PKCS_REQ, &csr)
            .await;
        stand.send(&device, &again).await.certificate();
    }
    assert_eq!(stand.store.file_bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn failed_challenges_are_recorded_in_a_flood_of_garbage_and_raise_an_alarm() {
    let stand = Stand::new().await;
    let (device, other) = (Device::new(), Device::other());
    let mut garbage = device.pkcs_req(&stand.ca, &subject("pump-1"), "none").await;
    let guess = garbage.clone();
    garbage.bytes.push(0);
    flood(&stand, "devices", &garbage, 500).await;
    assert_eq!(stand.all_records("request.malformed").await.len(), 50);

    assert!(stand.warnings().is_empty());
    for number in 0..21 {
        let guess = device
            .pkcs_req(&stand.ca, &subject("pump-1"), &format!("guess {number}"))
            .await;
        stand.send(&device, &guess).await;
    }
    stand.tend().await;
    let failed = ended(&stand).await;
    assert_eq!(failed, 21);
    let warnings = stand.warnings();
    let alarm = warnings
        .iter()
        .find(|text| text.starts_with("challenges: "));
    assert!(alarm.unwrap().contains("devices"), "{warnings:?}");

    // Past the budget of the profile they are counted, with the number of keys.
    let of_other = other.pkcs_req(&stand.ca, &subject("pump-1"), "guess").await;
    for guess in [&guess, &of_other] {
        flood(&stand, "devices", guess, 50).await;
    }
    stand.tend().await;
    let (requests, keys) = counted(&stand, "challenge-failed").await;
    assert_eq!((ended(&stand).await, requests, keys), (100, 21, 1));
    flood(&stand, "devices", &guess, 3).await;
    flood(&stand, "devices", &of_other, 4).await;
    stand.after(SECOND).await;
    let (requests, keys) = counted(&stand, "challenge-failed").await;
    assert_eq!((requests, keys), (28, 2));

    // The alarm outlasts the attack.
    stand.after(Duration::from_secs(86_000)).await;
    assert_eq!(stand.warnings().len(), warnings.len());
}

/// Requests that ended in a refusal, signed or not, with a record of their own; garbage is malformed.
async fn ended(stand: &Stand) -> usize {
    let refused = stand.all_records("request.refused").await.len();
    refused + stand.all_records("request.deferred").await.len()
}

#[tokio::test]
async fn counts_that_cannot_be_written_are_kept_until_they_can() {
    let stand = Stand::new().await;
    let (_, message) = enrolled(&stand).await;
    flood(&stand, "devices", &message, 300).await;
    stand.refuse_rows("audit", true).await;
    let _ = stand.try_to_tend().await;
    flood(&stand, "devices", &message, 7).await;
    stand.refuse_rows("audit", false).await;
    stand.after(SECOND).await;
    assert_eq!(counted(&stand, "replayed").await.0, 107);
}

#[tokio::test]
async fn a_loop_of_restarts_gives_no_further_single_records() {
    let mut stand = Stand::new().await;
    let (_, message) = enrolled(&stand).await;
    flood(&stand, "devices", &message, 300).await;
    for _ in 0..5 {
        stand.restart().await.unwrap();
        flood(&stand, "devices", &message, 20).await;
    }
    // Two for each start.
    let singles = stand.all_records("request.replayed").await.len();
    assert_eq!(singles, 200 + 10);
}

#[tokio::test]
async fn polls_of_a_waiting_request_are_counted_past_their_budget() {
    let profile = changed(
        crate::support::DEVICES,
        "default = true\n[approval]\nexpires = '1h'",
    );
    let stand = Stand::with(crate::support::Setup {
        profiles: Some(vec![("devices", profile)]),
        ..crate::support::Setup::default()
    })
    .await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    assert_eq!(stand.send(&device, &message).await, Answer::Pending);
    let poll = device.poll(&stand.ca, &message).await;
    flood(&stand, "devices", &poll, 150).await;
    flood(&stand, "devices", &message, 150).await;
    stand.tend().await;
    assert_eq!(stand.all_records("request.polled").await.len(), 200);
    assert_eq!(counted(&stand, "polled").await.0, 100);
    assert_eq!(stand.all_records("request.pending").await.len(), 1);
}

/// Each interval removes twice what can be made in it, so that a day of evidence is gone within half a day.
#[tokio::test]
async fn evidence_of_a_day_that_ends_together_is_gone_within_its_time() {
    const ROWS: u32 = 2 * 86_400;
    /// Twice what can be made in the ten seconds from one removal to the next.
    const REMOVED: u32 = 2 * 420 * 10;
    let stand = Stand::new().await;
    let sql = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS} + 999)
         INSERT INTO file.audit (sequence, record) SELECT n, CAST('{{\"kind\":\"a\"}}' AS BLOB) FROM n"
    );
    stand.store.alter_file(sql, Vec::new()).await.unwrap();
    let until = stand.clock.now().seconds() + 1;
    let sql = format!(
        "INSERT INTO file.evidence (sequence, salt, content, keep_until)
         SELECT sequence, zeroblob(32), x'7b7d', {until} FROM file.audit WHERE sequence >= 1000"
    );
    let made = stand.store.alter_file(sql, Vec::new()).await.unwrap();
    assert_eq!(made, usize::try_from(ROWS).unwrap());
    stand.clock.advance(Duration::from_secs(10));
    let due = async || {
        let sql = format!("UPDATE file.evidence SET salt = salt WHERE keep_until = {until}");
        stand.store.alter_file(sql, Vec::new()).await.unwrap()
    };
    let intervals = ROWS.div_ceil(REMOVED);
    for _ in 0..intervals - 2 {
        stand.tend().await;
    }
    assert!(due().await > 0);
    stand.tend().await;
    stand.tend().await;
    assert_eq!(due().await, 0);
}
