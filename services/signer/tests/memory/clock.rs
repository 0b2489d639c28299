//! A wall clock that jumped: nothing is done by a time that nobody knows, until the clock is back or a person accepts the jump.

use std::time::Duration;

use assay_audit::Record;
use assay_store::AuditQuery;
use assay_types::Timestamp;
use tonic::Code;

use crate::revocation::reason;
use crate::support::{Answer, DEVICES, Device, RENEWAL_REQ, Setup, Stand, changed, subject};

const DAY: Duration = Duration::from_secs(86_400);
const SECONDS: Duration = Duration::from_secs(3);
/// The grace after which a superseded certificate is revoked.
const GRACE: &str = "default = true\n[renewal]\nsupersede = 'revoke'\nrevoke_after = '7d'";

/// `by` in seconds.
fn ahead(by: Duration) -> i64 {
    i64::try_from(by.as_secs()).unwrap()
}

/// The jump that the signer is not ready for.
async fn jump(stand: &Stand) -> Option<(Timestamp, Timestamp)> {
    let clock = stand.status().await.clock.unwrap();
    let from = Timestamp::try_from(clock.jumped_from?).unwrap();
    Some((from, Timestamp::try_from(clock.jumped_to?).unwrap()))
}

/// No record has a time that is not true.
async fn assert_true_times(stand: &Stand) {
    let page = stand.store.list_audit(AuditQuery::default()).await.unwrap();
    for row in page.rows {
        let moment = Record::from_canonical(&row.record).unwrap().draft.moment;
        assert!(moment.wall_ms.seconds() <= stand.clock.now());
    }
}

async fn is_answered(stand: &Stand, name: &str) -> bool {
    let device = Device::new();
    // The challenge is from before the jump.
    let message = device.pkcs_req(&stand.ca, &subject(name), "wrong").await;
    stand.send(&device, &message).await != Answer::Busy
}

#[tokio::test]
async fn a_start_with_the_clock_far_ahead_does_nothing_and_the_next_one_is_as_before() {
    for days in [45, 100] {
        let mut stand = Stand::with(Setup {
            ocsp: Some(""),
            profiles: Some(vec![("devices", changed(DEVICES, GRACE))]),
            ..Setup::default()
        })
        .await;
        let device = Device::new();
        let old = stand.enrol(&device, &subject("pump-1")).await;
        let holder = device.holding(&old);
        let csr = Device::other().csr(&subject("pump-1"), None);
        let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
        stand.send(&holder, &message).await.certificate();
        stand.tend().await;
        let (crl, responses) = (stand.crl().await, stand.ocsp_signatures());
        let records = stand.store.counts().await.unwrap().audit_records;

        stand.clock.advance(SECONDS);
        stand.clock.set_ahead(ahead(days * DAY));
        stand.restart().await.unwrap();
        for _ in 0..3 {
            stand.after(Duration::from_secs(1)).await;
        }
        assert!(!is_answered(&stand, "pump-2").await);
        assert!(stand.causes().iter().any(|it| it.contains("clock accept")));
        let (from, to) = jump(&stand).await.unwrap();
        assert_eq!(to - days * DAY, from);
        stand.clock.set_ahead(0);
        stand.restart().await.unwrap();
        stand.tend().await;

        assert_eq!(stand.crl().await, crl);
        assert_eq!(stand.ocsp_signatures(), responses);
        assert!(stand.row(&old).await.revoked_at.is_none());
        assert_true_times(&stand).await;
        // Two starts, and what belongs to each.
        let now = stand.store.counts().await.unwrap().audit_records;
        assert!(now <= records + 8, "{records} {now}");
        assert_eq!(stand.records("clock.step").await.len(), 0);
        assert_eq!(jump(&stand).await, None);
        stand.enrol(&Device::new(), &subject("pump-2")).await;
    }
}

/// Each step is within the tolerance, and the records of each run have its time.
#[tokio::test]
async fn steps_before_each_of_many_restarts_do_not_add_up() {
    const STEP: i64 = 290;
    let mut stand = Stand::new().await;
    let mut refused_at = None;
    for restart in 1..=3 {
        stand.clock.set_ahead(restart * STEP);
        stand.restart().await.unwrap();
        stand.tend().await;
        if jump(&stand).await.is_some() {
            refused_at = Some(restart);
            break;
        }
    }
    assert_eq!(refused_at, Some(2));
    assert!(!is_answered(&stand, "pump-1").await);
    stand.clock.set_ahead(0);
    stand.restart().await.unwrap();
    assert!(is_answered(&stand, "pump-1").await);
}

#[tokio::test]
async fn a_restart_after_a_night_or_a_week_is_not_a_jump() {
    for (reboot, gap, is_synchronised, believed) in [
        (false, DAY / 2, false, true),
        (false, 7 * DAY, false, true),
        (false, 30 * DAY, false, true),
        (true, DAY / 2, false, true),
        (true, 7 * DAY, false, true),
        (true, 8 * DAY, true, true),
        (true, 8 * DAY, false, false),
    ] {
        let mut stand = Stand::new().await;
        if reboot {
            stand.clock.reboot(gap, is_synchronised);
        } else {
            stand.clock.advance(gap);
        }
        stand.restart().await.unwrap();
        stand.tend().await;
        let said = format!("{reboot} {gap:?} {is_synchronised}");
        assert_eq!(jump(&stand).await.is_none(), believed, "{said}");
        assert_eq!(is_answered(&stand, "pump-1").await, believed, "{said}");
        // A restart does not make it believed.
        stand.restart().await.unwrap();
        stand.tend().await;
        assert_eq!(jump(&stand).await.is_none(), believed, "{said}");
        assert_true_times(&stand).await;
        if believed {
            continue;
        }
        // The time service comes.
        stand.clock.reboot(Duration::ZERO, true);
        stand.restart().await.unwrap();
        stand.tend().await;
        assert_eq!(jump(&stand).await, None);
    }
}

#[tokio::test]
async fn a_clock_or_a_machine_that_is_behind_the_log_or_the_journal_is_a_jump() {
    let mut stand = Stand::new().await;
    for behind in [6 * 60, ahead(45 * DAY)] {
        stand.clock.set_ahead(-behind);
        stand.restart().await.unwrap();
        stand.tend().await;
        assert!(jump(&stand).await.is_some());
        assert!(!is_answered(&stand, "pump-1").await);
        stand.clock.set_ahead(0);
        stand.tend().await;
        assert_eq!(jump(&stand).await, None);
    }
    let mut journal = stand.journal_as_signed();
    for (minutes, believed) in [(4, true), (6, false)] {
        let newest = stand.clock.now() + Duration::from_secs(minutes * 60);
        journal.newest_entry = newest.seconds();
        stand.journal = Some(journal.clone());
        stand.restart().await.unwrap();
        journal.log_size = 0;
        assert_eq!(jump(&stand).await.is_none(), believed);
        stand.tend().await;
        journal = stand.journal_as_signed();
    }
}

#[tokio::test]
async fn a_clock_that_jumps_while_the_signer_runs_stops_issuance_and_not_the_emergency_calls() {
    let stand = Stand::new().await;
    let certificate = stand.enrol(&Device::new(), &subject("pump-1")).await;
    let crls = stand.records("crl.issued").await.len();
    stand.clock.set_ahead(ahead(45 * DAY));
    // Before the signer looks at its clock by itself.
    assert!(!is_answered(&stand, "pump-2").await);
    stand.after(SECONDS).await;

    assert!(stand.stop("devices").await);
    // Recorded and under a head, and on a CRL once the time is known.
    let refused = stand.revoke(&certificate, "key-compromise").await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("the clock jumped"), "{refused}");
    let row = stand.row(&certificate).await;
    assert_eq!(row.revoked_at, Some(stand.clock.now()));
    assert_eq!(stand.records("crl.issued").await.len(), crls);
    let refused = stand.release(&certificate).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    stand.clock.set_ahead(0);
    stand.after(SECONDS).await;
    assert!(reason(&stand.crl().await, &certificate).is_some());
    assert_true_times(&stand).await;
}

#[tokio::test]
async fn a_jump_is_accepted_by_its_exact_times_and_nothing_is_dropped_for_a_day() {
    let mut stand = Stand::with(Setup {
        ocsp: Some(""),
        ..Setup::default()
    })
    .await;
    let certificate = stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.revoke(&certificate, "key-compromise").await.unwrap();
    let begun = stand.clock.now();
    let none = stand.accept_clock(begun, begun + DAY).await.unwrap_err();
    assert_eq!(none.code(), Code::FailedPrecondition);
    // Past the end of the certificate.
    stand.clock.set_ahead(ahead(100 * DAY));
    stand.after(SECONDS).await;
    let (from, to) = jump(&stand).await.unwrap();
    for (from, to) in [(from, to + SECONDS), (from - SECONDS, to), (to, from)] {
        let refused = stand.accept_clock(from, to).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(jump(&stand).await.is_some());
    }
    stand.after(DAY / 2).await;
    assert_eq!(stand.records("clock.accepted").await.len(), 0);
    stand.accept_clock(from, to).await.unwrap();
    let record = stand.last("clock.accepted").await;
    let times = (record["from"].as_i64(), record["to"].as_i64());
    assert_eq!(times, (Some(from.seconds()), Some(to.seconds())));
    let accepted = (to + DAY / 2).seconds() * 1_000;
    assert_eq!(record["wall_ms"].as_i64(), Some(accepted));

    // Two lists: the first one would have had it all the same.
    for _ in 0..2 {
        stand.after(DAY / 2 - SECONDS).await;
        stand.restart().await.unwrap();
        stand.tend().await;
        let clock = stand.status().await.clock.unwrap();
        assert!(clock.settling_until.is_some());
        let other = stand.enrol(&Device::new(), &subject("pump-2")).await;
        stand.revoke(&other, "superseded").await.unwrap();
        assert!(reason(&stand.crl().await, &certificate).is_some());
    }
    for _ in 0..2 {
        stand.after(2 * DAY).await;
    }
    assert!(stand.status().await.clock.unwrap().settling_until.is_none());
    assert!(reason(&stand.crl().await, &certificate).is_none());
    assert_eq!(stand.records("clock.step").await.len(), 0);
}

#[tokio::test]
async fn after_an_accepted_jump_backwards_the_time_is_that_of_the_clock() {
    let mut stand = Stand::new().await;
    stand.clock.set_ahead(-ahead(45 * DAY));
    stand.restart().await.unwrap();
    stand.tend().await;
    let (from, to) = jump(&stand).await.unwrap();
    assert_eq!(from - 45 * DAY, to);
    stand.accept_clock(from, to).await.unwrap();
    stand.tend().await;
    let crl = stand.crl().await.tbs_cert_list;
    assert_eq!(crl.this_update.to_unix_duration(), to.since_epoch());
    stand.restart().await.unwrap();
    stand.tend().await;
    assert_eq!(jump(&stand).await, None);
    assert!(is_answered(&stand, "pump-1").await);
}

#[tokio::test]
async fn a_rollover_waits_for_the_clock() {
    let switch = 10 * DAY;
    let mut stand = Stand::with(Setup {
        rollover: Some((crate::support::BEGIN + switch, 5 * DAY)),
        ..Setup::default()
    })
    .await;
    stand.clock.set_ahead(ahead(11 * DAY));
    stand.tend().await;
    stand.restart().await.unwrap();
    stand.tend().await;
    assert_eq!(stand.records("ca.switched").await.len(), 0);
    stand.clock.set_ahead(0);
    stand.after(switch).await;
    assert_eq!(stand.records("ca.switched").await.len(), 1);
}
