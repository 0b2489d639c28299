//! What survives a process that dies, and what one that cannot write says. The processes are this test binary again.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use assay_store::{
    CertificateState, ChallengeQuery, Consume, OpenError, Options, PermitOutcome, Store, StoreError,
};
use assay_types::Serial;

use crate::support::*;

const PATH: &str = "ASSAY_STORE_TEST_PATH";
const RUNS: u64 = 3;
const ACKNOWLEDGED: usize = 25;

/// More enrolments than a child can make before its end.
const NUMBERS_A_RUN: u64 = 1_000_000;

fn path_of_parent() -> PathBuf {
    PathBuf::from(std::env::var_os(PATH).expect("started by another test"))
}

fn child(test: &str, path: &Path, wrapper: &[&str]) -> Child {
    let itself = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(itself),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(itself);
            command
        }
    };
    command
        .args([
            "--exact",
            &format!("durability::{test}"),
            "--ignored",
            "--nocapture",
        ])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// One enrolment after the other, each step told only once it is acknowledged; ends with the first error.
async fn enrol_until_error(store: &Store, first: u64) -> StoreError {
    for number in first..first + NUMBERS_A_RUN {
        let name = format!("challenge {number}");
        let inserted = store
            .insert_challenges(vec![one_time(&name)], vec![clock_step()])
            .await;
        if let Err(error) = inserted {
            return error;
        }
        match store
            .permit(permit(number, Consume::OneTime { id: name }))
            .await
        {
            Ok(outcome) => assert!(matches!(outcome, PermitOutcome::Recorded { .. })),
            Err(error) => return error,
        }
        println!("\npermitted {}", serial(number));
        if let Err(error) = store.complete(completion(number)).await {
            return error;
        }
        println!("\nissued {}", serial(number));
    }
    panic!("nothing ended it");
}

#[tokio::test]
#[ignore = "started and killed by another test"]
async fn child_that_enrols_until_it_is_killed() {
    let store = open(&path_of_parent());
    let first = store.counts().await.unwrap().audit_records * 2;
    let error = enrol_until_error(&store, first).await;
    panic!("{error}");
}

/// What a child said was acknowledged: word and serial.
fn told(line: &str) -> Option<(&str, Serial)> {
    let (word, serial) = line.split_once(' ')?;
    ["permitted", "issued"]
        .contains(&word)
        .then(|| (word, serial.parse().unwrap()))
}

async fn assert_holds(store: &Store, line: &str) {
    let Some((word, serial)) = told(line) else {
        return;
    };
    let row = store.find_certificate(serial).await.unwrap().expect(line);
    let certificate_there = row.state == CertificateState::Issued && row.der.is_some();
    assert!(word == "permitted" || certificate_there, "{line}: {row:?}");
}

async fn assert_log_is_whole(path: &Path, store: &Store) {
    let records = store.counts().await.unwrap().audit_records;
    let sqlite = rusqlite::Connection::open(path).unwrap();
    let number = |sql: &str| {
        sqlite
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(
        number("SELECT count(*) FROM audit").cast_unsigned(),
        records
    );
    let every = ChallengeQuery {
        now: NOW,
        ..ChallengeQuery::default()
    };
    let challenges = store.list_challenges(every).await.unwrap();
    let counts = store.counts().await.unwrap();
    let begun = counts.certificates + counts.open_intents;
    let replies = number("SELECT count(*) FROM reply_contents").cast_unsigned();
    assert_eq!(challenges.next, None);
    let steps = challenges.rows.len() as u64 + begun + replies;
    assert_eq!(steps, records, "a record a step, and a step a record");
    let intact: String = sqlite
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(intact, "ok");
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(directory.path());
    let mut acknowledged = Vec::new();
    for _ in 0..RUNS {
        let mut child = child("child_that_enrols_until_it_is_killed", &path, &[]);
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut lines = lines.filter(|line| told(line).is_some());
        acknowledged.extend(lines.by_ref().take(ACKNOWLEDGED));
        child.kill().unwrap();
        acknowledged.extend(lines);
        child.wait().unwrap();
    }
    assert!(acknowledged.len() >= ACKNOWLEDGED * 3);
    let store = open(&path);
    for line in &acknowledged {
        assert_holds(&store, line).await;
    }
    assert_log_is_whole(&path, &store).await;
}

#[tokio::test]
#[ignore = "started by another test"]
async fn child_that_enrols_until_it_cannot_write() {
    let store = open(&path_of_parent());
    let error = enrol_until_error(&store, 0).await;
    assert!(
        matches!(error, StoreError::Unwritable(_) | StoreError::DiskFull(_)),
        "{error:?}"
    );
    println!("\nrefused");
}

#[tokio::test]
async fn a_file_that_cannot_grow_is_an_error_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(directory.path());
    // Files of at most 2,048 blocks of 512 octets; without the trap the kernel would end the process instead.
    let limited = [
        "sh",
        "-c",
        "trap '' XFSZ; ulimit -f 2048; exec \"$@\"",
        "sh",
    ];
    let child = child("child_that_enrols_until_it_cannot_write", &path, &limited);
    let output = child.wait_with_output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.lines().any(|line| line == "refused"), "{output}");

    let store = open(&path);
    for line in output.lines() {
        assert_holds(&store, line).await;
    }
    assert_log_is_whole(&path, &store).await;
    store.append_audit(vec![clock_step()]).await.unwrap();
}

#[test]
#[ignore = "started by another test"]
fn child_that_finds_the_store_locked() {
    let path = path_of_parent();
    match Store::open(&path, &key(), &Options::default()) {
        Err(error @ OpenError::Locked { .. }) => println!("\n{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_process_is_refused_in_one_line_that_names_the_first() {
    let fixture = Fixture::new();
    let child = child("child_that_finds_the_store_locked", &fixture.path(), &[]);
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let line = output
        .lines()
        .find(|line| line.contains("in use by another signer"))
        .unwrap();
    assert!(
        line.contains(&format!("process {}", std::process::id())),
        "{line}"
    );
    assert!(line.contains("signer.db"), "{line}");
}

#[tokio::test]
async fn a_full_queue_says_busy_and_what_was_taken_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(directory.path());
    let options = Options {
        write_queue: 1,
        batch: 1,
        ..Options::default()
    };
    let store = Store::create(&path, &key(), &options).unwrap();
    // Holds the writer for less than its time-out.
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writes = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        writes.spawn(async move { store.append_audit(vec![clock_step()]).await });
    }
    let first = writes.join_next().await.unwrap().unwrap();
    assert!(matches!(first, Err(StoreError::Busy)), "{first:?}");
    blocker.execute_batch("ROLLBACK").unwrap();
    let (done, refused): (Vec<_>, Vec<_>) =
        writes.join_all().await.into_iter().partition(Result::is_ok);
    assert!(
        refused
            .iter()
            .all(|error| matches!(error, Err(StoreError::Busy)))
    );
    assert_eq!(
        store.counts().await.unwrap().audit_records,
        done.len() as u64
    );
    assert!(!done.is_empty());
}
