//! Workers die, hang and lose their token; the service comes back without a restart of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::fs;
use std::time::Duration;

use assay_hsm::{Digest, Health, Hsm, OperationError, RaKeys};
use rustix::process::{Pid, Signal, kill_process};
use support::{Installation, PATIENCE, der, until};

fn pid(health: &Health) -> Pid {
    Pid::from_raw(health.workers[0].pid.unwrap().try_into().unwrap()).unwrap()
}

fn current_pid(hsm: &Hsm) -> Pid {
    pid(&hsm.health().borrow())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_is_lost_when_a_worker_is_killed_in_the_middle_of_them() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let attributes = der::signed_attributes();
    for round in 1..=3 {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let (hsm, attributes) = (hsm.clone(), attributes.clone());
            tasks.spawn(async move {
                hsm.sign_reply("r1", RaKeys::Pair, Digest::Sha256, &attributes)
                    .await
            });
        }
        // Some are done, many are not.
        tasks.join_next().await.unwrap().unwrap().unwrap();
        kill_process(current_pid(&hsm), Signal::KILL).unwrap();
        while let Some(result) = tasks.join_next().await {
            result.unwrap().unwrap();
        }
        let health = until(&mut hsm.health(), |health| {
            health.ready && health.workers[0].restarts == round
        })
        .await;
        assert!(health.cause.is_none());
    }
    hsm.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_takes_over_while_the_first_restarts() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    config.workers = 2;
    let hsm = Hsm::start(config).await.unwrap();
    kill_process(current_pid(&hsm), Signal::KILL).unwrap();
    let attributes = der::signed_attributes();
    for _ in 0..50 {
        hsm.sign_reply("r1", RaKeys::Pair, Digest::Sha256, &attributes)
            .await
            .unwrap();
        assert!(hsm.health().borrow().ready);
    }
    until(&mut hsm.health(), |health| {
        health.workers.iter().all(|worker| worker.healthy) && health.workers[0].restarts == 1
    })
    .await;
    hsm.shutdown().await;
}

/// Long enough for any operation of a worker that runs, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_worker_that_hangs_is_killed_at_its_deadline_and_replaced() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    config.operation_deadline = DEADLINE;
    // So that the operation, not the probe, meets the hung worker.
    config.health_interval = Duration::from_secs(3600);
    let hsm = Hsm::start(config).await.unwrap();
    // The first probe leaves at the start, whatever the interval. Were the worker stopped with it in flight, its
    // deadline would come first, and the younger operation would be tried again instead of ending.
    until(&mut hsm.health(), |health| {
        !health.workers[0].operations.is_empty()
    })
    .await;
    let attributes = der::signed_attributes();
    hsm.sign_reply("r1", RaKeys::Pair, Digest::Sha256, &attributes)
        .await
        .unwrap();
    let stopped = current_pid(&hsm);
    kill_process(stopped, Signal::STOP).unwrap();
    let error = hsm
        .sign_reply("r2", RaKeys::Pair, Digest::Sha256, &attributes)
        .await;
    assert_eq!(error.unwrap_err(), OperationError::Deadline);
    hsm.sign_reply("r3", RaKeys::Pair, Digest::Sha256, &attributes)
        .await
        .unwrap();
    assert_ne!(current_pid(&hsm), stopped);
    hsm.shutdown().await;
}

#[tokio::test]
async fn an_idle_worker_that_hangs_is_found_by_the_probe() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    config.operation_deadline = DEADLINE;
    let hsm = Hsm::start(config).await.unwrap();
    kill_process(current_pid(&hsm), Signal::STOP).unwrap();
    let mut health = hsm.health();
    let down = until(&mut health, |health| !health.ready).await;
    assert!(down.cause.unwrap().contains("no answer within 5000 ms"));
    until(&mut health, |health| health.ready).await;
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_token_moved_away_and_back_is_found_again() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let attributes = der::signed_attributes();
    let mut health = hsm.health();
    let tokens = installation.token.path().join("tokens");
    let away = installation.token.path().join("away");

    fs::rename(&tokens, &away).unwrap();
    fs::create_dir(&tokens).unwrap();
    let down = until(&mut health, |health| {
        !health.ready
            && health
                .cause
                .as_deref()
                .is_some_and(|cause| cause.contains("no token"))
    })
    .await;
    assert!(!down.workers[0].healthy);
    let error = hsm
        .sign_reply("r1", RaKeys::Pair, Digest::Sha256, &attributes)
        .await
        .unwrap_err();
    assert!(
        matches!(error, OperationError::TokenUnavailable { .. }),
        "{error}"
    );
    assert!(!error.is_permanent());

    fs::remove_dir(&tokens).unwrap();
    fs::rename(&away, &tokens).unwrap();
    until(&mut health, |health| health.ready).await;
    hsm.sign_reply("r2", RaKeys::Pair, Digest::Sha256, &attributes)
        .await
        .unwrap();
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_pin_that_turns_wrong_is_tried_once_more_and_never_again() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    fs::write(installation.token.path().join("pin"), "wrong-pin").unwrap();
    kill_process(current_pid(&hsm), Signal::KILL).unwrap();
    let mut health = hsm.health();
    let down = until(&mut health, |health| {
        health
            .cause
            .as_deref()
            .is_some_and(|cause| cause.contains("refused the PIN"))
    })
    .await;
    assert!(!down.ready);
    // The right PIN alone changes nothing: only an operator's restart tries again.
    fs::write(installation.token.path().join("pin"), support::PIN).unwrap();
    let attributes = der::signed_attributes();
    let error = hsm
        .sign_reply("r1", RaKeys::Pair, Digest::Sha256, &attributes)
        .await
        .unwrap_err();
    assert!(
        matches!(error, OperationError::TokenUnavailable { .. }),
        "{error}"
    );
    hsm.shutdown().await;
}

#[tokio::test]
async fn shutdown_ends_the_workers_and_later_operations_fail() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let worker = current_pid(&hsm);
    hsm.shutdown().await;
    let gone = async {
        while rustix::process::test_kill_process(worker).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    let error = hsm
        .sign_reply(
            "r1",
            RaKeys::Pair,
            Digest::Sha256,
            &der::signed_attributes(),
        )
        .await;
    assert_eq!(error.unwrap_err(), OperationError::WorkerLost);
}
