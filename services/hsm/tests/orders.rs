//! Orders of the operator of the HSM host, to a service that runs and of one that does not: brakes, ceilings, the clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::time::Duration;

use assay_hsm::{KeyRole, KeyTransport, OperationError, RaKeys, Token};
use assay_types::{Hash, Serial, Timestamp};
use support::{Installation, der, reply};

fn not_now(result: Result<Vec<u8>, OperationError>, reason: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, OperationError::NotNow { .. }), "{error}");
    assert!(!error.is_permanent());
    assert!(error.to_string().contains(reason), "{reason}: {error}");
}

#[tokio::test]
async fn a_suspension_holds_certificates_alone_until_it_is_resumed_whether_the_service_runs_or_not()
{
    let installation = Installation::new().await;
    let config = installation.config();
    let hsm = config.start().await;
    let sign = async |tbs: &der::Parts| hsm.sign_certificate("r1", &tbs.der()).await;
    let known = installation.tbs();
    let signature = sign(&known).await.unwrap();

    let said = config.done(&["suspend"]);
    assert!(said.contains("certificates are refused"), "{said}");
    assert!(config.done(&["status"]).contains("1, suspended"));
    let held = installation.tbs();
    not_now(sign(&held).await, "suspended");
    assert_eq!(sign(&known).await.unwrap(), signature);
    // The journal has the one, and says that the other was never signed.
    for (tbs, is_journalled) in [(&known, true), (&held, false)] {
        let serial = Serial::try_from(&tbs.serial[2..]).unwrap();
        assert_eq!(hsm.is_journalled(&serial).await.unwrap(), is_journalled);
    }
    hsm.sign_crl("r1", &installation.list(1).der())
        .await
        .unwrap();
    reply::send(&hsm).await.unwrap();
    hsm.kill().await;
    not_now(sign(&installation.tbs()).await, "suspended");
    config.done(&["resume"]);
    sign(&installation.tbs()).await.unwrap();
    hsm.shutdown().await;

    // Nothing runs: the order goes to the journal.
    config.done(&["suspend"]);
    let status = config.done(&["status"]);
    assert!(status.contains("2, suspended"), "{status}");
    let hsm = config.start().await;
    let tbs = installation.tbs().der();
    not_now(hsm.sign_certificate("r1", &tbs).await, "suspended");
    hsm.shutdown().await;
    config.done(&["resume"]);
    let hsm = config.start().await;
    hsm.sign_certificate("r1", &installation.tbs().der())
        .await
        .unwrap();
    hsm.shutdown().await;
    let orders = config.export().into_iter().filter(|item| {
        use assay_journal::Event;
        matches!(item.entry.event, Event::Suspended | Event::Resumed)
    });
    assert_eq!(orders.count(), 4);
}

#[tokio::test]
async fn ceilings_survive_a_kill_and_are_lifted_without_a_restart() {
    let installation = Installation::with_log(assay_hsm::KeyAlgorithm::Ed25519).await;
    let mut config = installation.config();
    config.limits = "certificates_per_hour = 2\ncrls_per_hour = 1\nleaves_per_hour = 1\n\
                     decryptions_per_hour = 70\nrevocations_per_hour = 1"
        .to_owned();
    let hsm = config.start().await;
    let sign = async || {
        let tbs = installation.tbs();
        let signed = hsm.sign_certificate("r1", &tbs.der()).await;
        signed.map(|_| tbs.serial)
    };
    let revoked = [sign().await.unwrap(), sign().await.unwrap()];
    let both = "certificates_per_hour";
    not_now(sign().await, both);
    let mut list = installation.list(1);
    list.entries = revoked
        .iter()
        .map(|serial| (serial.clone(), list.this_update, 1))
        .collect();
    not_now(
        hsm.sign_crl("r1", &list.der()).await,
        "revocations_per_hour",
    );
    list.entries.truncate(1);
    hsm.sign_crl("r1", &list.der()).await.unwrap();
    list.number = 2;
    not_now(hsm.sign_crl("r1", &list.der()).await, "crls_per_hour");
    let leaves = [Hash::of(b"a"), Hash::of(b"b")];
    let mut tree = assay_journal::Frontier::default();
    for leaf in leaves {
        tree.push(leaf);
    }
    let checkpoint = hsm.sign_checkpoint(2, tree.root(), &leaves).await;
    not_now(checkpoint.map(|signed| signed.signature), "leaves_per_hour");
    hsm.counted(KeyRole::LogSign, 0).await;
    hsm.counted(KeyRole::CaSign, 3).await;
    let unwrap = async || {
        let key = hsm.unwrap_key("r1", RaKeys::Pair, KeyTransport::Pkcs1v15, 16, &[1; 256]);
        key.await.map(|_| Vec::new())
    };
    unwrap().await.unwrap();

    hsm.kill().await;
    not_now(sign().await, both);
    // A process counts 64 decryptions ahead, so that a crash forgets none.
    for _ in 0..6 {
        unwrap().await.unwrap();
    }
    not_now(unwrap().await, "decryptions_per_hour");
    hsm.counted(KeyRole::RaDecrypt, 6).await;
    let status = config.done(&["status"]);
    assert!(status.contains("nearly reached"), "{status}");
    let said = config.done(&["lift", both, "3", "--for", "1h"]);
    assert!(
        said.starts_with("certificates_per_hour is 3 until "),
        "{said}"
    );
    sign().await.unwrap();
    not_now(sign().await, both);
    hsm.kill().await;
    not_now(sign().await, both);
    hsm.shutdown().await;

    config.done(&["lift", both, "4", "--for", "1h"]);
    let hsm = config.start().await;
    let sign = async || hsm.sign_certificate("r1", &installation.tbs().der()).await;
    sign().await.unwrap();
    not_now(sign().await, both);
    hsm.shutdown().await;
    for to in ["1", "2"] {
        let refused = config.refused(&["lift", both, to, "--for", "1h"]);
        assert!(refused.contains("is 2 by the configuration"), "{refused}");
    }
    for nothing in ["0s", "10ms"] {
        let refused = config.refused(&["lift", both, "4", "--for", nothing]);
        assert!(refused.contains("at least one second"), "{refused}");
    }
    let hsm = config.start().await;
    assert!(config.done(&["status"]).contains("of        4"));
    let said = config.done(&["lift", both, "--end"]);
    assert_eq!(said, format!("{both} is 2, by the configuration\n"));
    assert!(!config.done(&["status"]).contains("of        4"));
    hsm.shutdown().await;
    let unknown = config.run(&["lift", "certificates", "4", "--for", "1h"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[tokio::test]
async fn an_order_without_an_answer_may_have_been_carried_out_and_says_so() {
    let installation = Installation::new().await;
    let config = installation.config();
    let hsm = config.start().await;
    let stopped = hsm.pid();
    rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
    let said = config.refused(&["suspend"]);
    rustix::process::kill_process(stopped, rustix::process::Signal::CONT).unwrap();
    assert!(said.contains("no answer within 10 s"), "{said}");
    assert!(said.contains("may still be carried out"), "{said}");
    let carried_out = async {
        while !config.done(&["status"]).contains("suspended") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(support::PATIENCE, carried_out)
        .await
        .unwrap();
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_reader_that_has_enough_is_no_failure() {
    let installation = Installation::new().await;
    let config = installation.config();
    config.create_journal();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = std::process::Command::new(support::PROGRAM)
        .args(["status", "--config"])
        .arg(config.write())
        .stdout(writer)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
}

/// Root can become the user, and is told how.
#[tokio::test]
async fn another_user_is_told_as_whom_to_run_a_command() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let installation = Installation::new().await;
    let config = installation.config();
    config.create_journal();
    let state = config.directory.join("state");
    for (uid, command) in [
        (1, "`runuser -u daemon -- assay-hsm ...`"),
        (
            61_199,
            "`setpriv --reuid 61199 --regid 61199 --clear-groups -- assay-hsm ...`",
        ),
    ] {
        std::os::unix::fs::chown(&state, Some(uid), Some(uid)).unwrap();
        for arguments in [
            &["status"][..],
            &["suspend"],
            &["journal", "verify"],
            &["journal", "export"],
            &["journal", "prune"],
        ] {
            let said = config.refused(arguments);
            assert!(said.contains(command), "{arguments:?}: {said}");
        }
    }
}

/// Days as the tests' faked clock has them.
fn faked(days: i64) -> Vec<(String, String)> {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    assert!(
        std::path::Path::new(library).exists(),
        "the package faketime is not installed"
    );
    [
        ("LD_PRELOAD", library.to_owned()),
        ("FAKETIME", format!("{:+}", days * 86_400)),
        // Deadlines run as they are.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// The two times of a refusal: of the clock, and of the journal.
fn jump(refusal: &str) -> (String, String) {
    let times: Vec<&str> = refusal
        .split(|c: char| c.is_whitespace() || c == ',' || c == ';')
        .filter(|word| word.ends_with('Z') && word.contains('T'))
        .collect();
    (times[1].to_owned(), times[0].to_owned())
}

#[tokio::test]
async fn a_jump_of_the_clock_stops_everything_until_it_is_accepted_by_its_exact_times() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    let hsm = config.start().await;
    hsm.sign_certificate("r1", &installation.tbs().der())
        .await
        .unwrap();
    // Nothing has jumped.
    let now = der::now();
    let (from, to) = (now.to_string(), (now + der::DAY).to_string());
    let accept = ["accept-clock", "--from", &from, "--to", &to];
    let refused = config.refused(&accept);
    assert!(refused.contains("there is no jump to accept"), "{refused}");
    let said = config.done(&["journal", "prune"]);
    assert!(said.starts_with("0 certificates"), "{said}");
    hsm.shutdown().await;
    config.done(&["journal", "prune"]);

    // A month ahead, and from there a day back.
    for days in [30, 29] {
        config.variables = faked(days);
        let ahead = config.refused(&[]);
        assert!(ahead.contains("assay-hsm accept-clock"), "{ahead}");
        let prune = config.refused(&["journal", "prune"]);
        assert!(prune.contains("the clock says"), "{prune}");
        let (from, to) = jump(&ahead);
        let later: Timestamp = der::now() + der::DAY * 60;
        let later = later.to_string();
        let other = config.refused(&["accept-clock", "--from", &from, "--to", &later]);
        assert!(other.contains("the jump to accept is"), "{other}");
        let accepted = config.done(&["accept-clock", "--from", &from, "--to", &to]);
        assert!(accepted.contains("is accepted"), "{accepted}");
        let settling = config.refused(&["journal", "prune"]);
        assert!(settling.contains("for 24 hours"), "{settling}");
        let hsm = config.start().await;
        let mut tbs = installation.tbs();
        let moved = der::now() + der::DAY * u32::try_from(days).unwrap();
        tbs.not_before = der::time(moved - Duration::from_secs(60));
        tbs.not_after = der::time(moved + der::DAY);
        hsm.sign_certificate("r1", &tbs.der()).await.unwrap();
        hsm.shutdown().await;
    }
}
