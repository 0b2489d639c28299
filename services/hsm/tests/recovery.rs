//! The service dies, hangs and loses its token; its client finds it again without a restart of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use assay_hsm::{OperationError, Token};
use rustix::process::{Pid, Signal, kill_process};
use support::{Installation, MODULE, SPY, reply, until};

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_is_lost_when_the_service_is_killed_in_the_middle_of_them() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    for round in 1..=3 {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let keys = hsm.keys.clone();
            tasks.spawn(async move { reply::send(&keys).await });
        }
        // Some are done, many are not.
        tasks.join_next().await.unwrap().unwrap().unwrap();
        kill_process(hsm.pid(), Signal::KILL).unwrap();
        while let Some(result) = tasks.join_next().await {
            result.unwrap().unwrap();
        }
        let health = until(&mut hsm.health(), |health| {
            health.ready && health.reconnections == round
        })
        .await;
        assert!(health.cause.is_none());
    }
    hsm.shutdown().await;
}

/// Long enough for any operation of a service that runs, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(5);

/// Stops a process. Its threads stop one after the other, and one that still runs could answer.
async fn stop(pid: Pid) {
    kill_process(pid, Signal::STOP).unwrap();
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    let is_stopped = || {
        fs::read_dir(&tasks).unwrap().all(|task| {
            let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            // The state comes after the name, which is in parentheses.
            stat.rsplit_once(") ").unwrap().1.starts_with('T')
        })
    };
    while !is_stopped() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_service_that_does_not_run_is_given_up_at_the_deadline_and_found_again() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    config.operation_deadline = DEADLINE;
    // So that the operation, not the probe, meets the stopped service.
    config.health_interval = Duration::from_secs(3600);
    let hsm = config.start().await;
    // The first probe leaves at the start, whatever the interval. Were the service stopped with it in flight, its
    // deadline would come first, and the younger operation would be tried again instead of ending.
    until(&mut hsm.health(), |health| !health.operations.is_empty()).await;
    reply::send(&hsm).await.unwrap();
    let stopped = hsm.pid();
    stop(stopped).await;
    let error = reply::send(&hsm).await;
    assert_eq!(error.unwrap_err(), OperationError::Deadline);
    kill_process(stopped, Signal::CONT).unwrap();
    until(&mut hsm.health(), |health| {
        health.ready && health.reconnections > 0
    })
    .await;
    reply::send(&hsm).await.unwrap();
    hsm.shutdown().await;
}

#[tokio::test]
async fn an_idle_service_that_does_not_run_is_found_by_the_probe() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    config.operation_deadline = DEADLINE;
    let hsm = config.start().await;
    let stopped = hsm.pid();
    stop(stopped).await;
    let mut health = hsm.health();
    let down = until(&mut health, |health| !health.ready).await;
    assert!(down.cause.unwrap().contains("no answer within 6000 ms"));
    kill_process(stopped, Signal::KILL).unwrap();
    until(&mut health, |health| health.ready).await;
    hsm.shutdown().await;
}

/// OpenSC's tracing module writes each call to a pipe; once nobody reads it, the next call hangs in the library.
#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_hangs_ends_the_process_and_the_next_one_serves() {
    let installation = Installation::new().await;
    let pipe = installation.token.path().join("trace");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let reader = Pipe::open(&pipe);
    let mut config = installation.config();
    config.operation_deadline = Duration::from_secs(2);
    config.module = SPY.into();
    let trace = pipe.display().to_string();
    for (name, value) in [("PKCS11SPY", MODULE), ("PKCS11SPY_OUTPUT", trace.as_str())] {
        config.environment.push((name.to_owned(), value.to_owned()));
    }
    let hsm = config.start().await;
    reply::send(&hsm).await.unwrap();
    let hung = hsm.pid();
    reader.pause(true);
    // The calls of the probe fill the pipe; an operation that comes then finds no service, or hangs itself.
    let mut health = hsm.health();
    until(&mut health, |health| !health.ready).await;
    reader.pause(false);
    until(&mut health, |health| health.ready).await;
    assert_ne!(hsm.pid(), hung);
    reply::send(&hsm).await.unwrap();
    let ends = hsm.process.ends();
    assert!(
        ends.iter().any(|end| end.signal() == Some(ABORTED)),
        "{ends:?}"
    );
    assert!(
        hsm.log().contains("did not return in time"),
        "{}",
        hsm.log()
    );
    hsm.shutdown().await;
}

/// SIGABRT.
const ABORTED: i32 = 6;

/// Reads a pipe, but while it is paused.
struct Pipe(Arc<(Mutex<bool>, Condvar)>);

impl Pipe {
    fn open(path: &Path) -> Self {
        // Also for writing, so that the pipe has no end.
        let mut file = fs::File::options()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let paused = Arc::new((Mutex::new(false), Condvar::new()));
        let shared = Arc::clone(&paused);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let (paused, changed) = &*shared;
                drop(
                    changed
                        .wait_while(paused.lock().unwrap(), |paused| *paused)
                        .unwrap(),
                );
                assert!(file.read(&mut buffer).unwrap() > 0);
            }
        });
        Self(paused)
    }

    fn pause(&self, now: bool) {
        *self.0.0.lock().unwrap() = now;
        self.0.1.notify_all();
    }
}

#[tokio::test]
async fn a_token_moved_away_and_back_is_found_again() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
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
    assert!(!down.ready);
    let error = reply::send(&hsm).await.unwrap_err();
    assert!(
        matches!(error, OperationError::TokenUnavailable { .. }),
        "{error}"
    );
    assert!(!error.is_permanent());

    fs::remove_dir(&tokens).unwrap();
    fs::rename(&away, &tokens).unwrap();
    until(&mut health, |health| health.ready).await;
    reply::send(&hsm).await.unwrap();
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_pin_that_turns_wrong_is_tried_once_and_another_one_is_tried_again() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    fs::write(installation.token.path().join("pin"), "wrong-pin").unwrap();
    kill_process(hsm.pid(), Signal::KILL).unwrap();
    let mut health = hsm.health();
    // However often the process is started again.
    let down = until(&mut health, |health| {
        health
            .cause
            .as_deref()
            .is_some_and(|cause| cause.contains("refused this PIN before"))
    })
    .await;
    assert!(!down.ready);
    let log = hsm.log();
    assert_eq!(log.matches("refused the PIN").count(), 1, "{log}");
    assert!(!log.contains("wrong-pin"), "{log}");
    let error = reply::send(&hsm).await.unwrap_err();
    assert!(
        matches!(error, OperationError::TokenUnavailable { .. }),
        "{error}"
    );

    fs::write(installation.token.path().join("pin"), support::PIN).unwrap();
    until(&mut health, |health| health.ready).await;
    hsm.shutdown().await;
}

/// Waits until the service that is started again and again says this, whatever it says before.
async fn says(hsm: &support::Service, text: &str) {
    let mut health = hsm.hsm.health();
    let down = until(&mut health, |health| {
        health
            .cause
            .as_deref()
            .is_some_and(|cause| cause.contains(text))
    });
    assert!(!down.await.ready);
}

#[tokio::test]
async fn two_wrong_pins_that_take_turns_are_tried_once_each() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let pin = installation.token.path().join("pin");
    fs::write(&pin, "wrong-pin-a").unwrap();
    kill_process(hsm.pid(), Signal::KILL).unwrap();
    says(&hsm, "refused this PIN before").await;
    fs::write(&pin, "wrong-pin-b").unwrap();
    let log = async |refusals: usize| {
        while hsm.log().matches("refused the PIN").count() < refusals {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, log(2))
        .await
        .unwrap();
    for wrong in ["wrong-pin-a", "wrong-pin-b"] {
        fs::write(&pin, wrong).unwrap();
        // By a service that was started after the change.
        let before = hsm.log().matches("refused this PIN before").count();
        let again = async {
            while hsm.log().matches("refused this PIN before").count() < before + 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(support::PATIENCE, again)
            .await
            .unwrap();
    }
    let log = hsm.log();
    assert_eq!(log.matches("refused the PIN").count(), 2, "{log}");

    fs::write(&pin, support::PIN).unwrap();
    until(&mut hsm.health(), |health| health.ready).await;
    hsm.shutdown().await;
}

/// However often the process is started again, the token sees one try, until an operator has looked at it.
#[tokio::test]
async fn a_kill_during_the_login_costs_one_try_and_an_operator_says_how_it_continues() {
    let installation = Installation::new().await;
    let folder = installation.token.path().to_owned();
    let module = folder.join("hanging.so");
    let compiled = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&module)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/support/hanging.c"
        ))
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{compiled:?}");
    let mut config = installation.config();
    config.module = module;
    let shown = folder.display().to_string();
    config.environment.push(("HANGING".to_owned(), shown));
    let logins = || {
        let counted = fs::read_to_string(folder.join("logins"));
        counted.map_or(0, |counted| counted.lines().count())
    };
    let hsm = config.start().await;
    assert_eq!(logins(), 1);
    let serving = hsm.pid();
    // A kill of a service at work leaves nothing.
    hsm.kill().await;
    assert_eq!(logins(), 2);
    assert_ne!(hsm.pid(), serving);

    fs::write(folder.join("hang"), "").unwrap();
    kill_process(hsm.pid(), Signal::KILL).unwrap();
    let hangs = async {
        while logins() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, hangs)
        .await
        .unwrap();
    kill_process(hsm.process.pid().unwrap(), Signal::KILL).unwrap();
    says(&hsm, "the outcome of that try is not known").await;
    fs::remove_file(folder.join("hang")).unwrap();
    says(&hsm, "assay-hsm clear-pin-marker").await;
    assert_eq!(logins(), 3);
    let said = config.done(&["clear-pin-marker"]);
    assert!(said.contains("is cleared"), "{said}");
    until(&mut hsm.hsm.health(), |health| health.ready).await;
    assert_eq!(logins(), 4);
    let said = config.done(&["clear-pin-marker"]);
    assert!(said.contains("no marker"), "{said}");
    hsm.shutdown().await;
}

#[tokio::test]
async fn after_a_shutdown_operations_fail() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let keys = hsm.keys.clone();
    hsm.shutdown().await;
    let error = reply::send(&keys);
    assert_eq!(error.await.unwrap_err(), OperationError::ServiceLost);
}
