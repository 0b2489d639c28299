use std::time::Duration;

use std::collections::BTreeSet;

use assay_store::{
    CertificateState, Consume, CrlOutcome, CrlReason, NewCrl, PermitOutcome, ReleaseOutcome,
    RevokeOutcome, StoreError,
};
use assay_types::Timestamp;
use tokio::task::JoinSet;

use crate::support::*;

const CA: &str = "ca";

fn renewal(old: u64, revoke_after: Option<Duration>) -> Consume {
    Consume::Renewal {
        old: serial(old),
        revoke_after,
        challenge: None,
    }
}

fn crl(number: u64, this_update: Timestamp) -> NewCrl {
    NewCrl {
        ca_id: CA.to_owned(),
        number,
        der: format!("crl {number}").into_bytes(),
        this_update,
        next_update: this_update + HOUR,
    }
}

async fn listed(fixture: &Fixture) -> Vec<(assay_types::Serial, Timestamp, CrlReason)> {
    let list = fixture.store.revoked_entries(CA.to_owned(), None);
    list.await
        .unwrap()
        .entries
        .into_iter()
        .map(|entry| (entry.serial, entry.revoked_at, entry.reason))
        .collect()
}

#[tokio::test]
async fn a_certificate_is_revoked_once_and_that_is_recorded_once() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.issued(1).await;
    let open = permit(2, fixture.challenge("open").await);
    store.permit(open).await.unwrap();
    let before = store.counts().await.unwrap().audit_records;
    let revoke =
        |number, reason| store.revoke(serial(number), reason, NOW + secs(1), vec![clock_step()]);

    let first = revoke(1, CrlReason::KeyCompromise).await.unwrap();
    assert_eq!(first, RevokeOutcome::Revoked);
    let again = revoke(1, CrlReason::Superseded).await.unwrap();
    assert_eq!(again, RevokeOutcome::AlreadyRevoked);
    let intent = revoke(2, CrlReason::Superseded).await.unwrap();
    assert_eq!(intent, RevokeOutcome::NotIssued);
    let unknown = revoke(9, CrlReason::Superseded).await.unwrap();
    assert_eq!(unknown, RevokeOutcome::NotFound);
    assert_eq!(store.counts().await.unwrap().audit_records, before + 1);

    let fixture = fixture.reopen();
    let row = fixture.certificate(1).await;
    assert_eq!(
        (row.revoked_at, row.revocation_reason),
        (Some(NOW + secs(1)), Some(CrlReason::KeyCompromise))
    );
}

#[tokio::test]
async fn a_hold_is_released_or_made_final_from_its_own_time() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.issued(1).await;
    let hold = |at| store.hold(serial(1), at, vec![clock_step()]);
    let release = || store.release(serial(1), vec![clock_step()]);

    assert_eq!(release().await.unwrap(), ReleaseOutcome::NotHeld);
    assert_eq!(hold(NOW + secs(1)).await.unwrap(), RevokeOutcome::Revoked);
    assert_eq!(
        hold(NOW + secs(2)).await.unwrap(),
        RevokeOutcome::AlreadyRevoked
    );
    assert_eq!(
        listed(&fixture).await,
        [(serial(1), NOW + secs(1), CrlReason::CertificateHold)]
    );
    assert_eq!(release().await.unwrap(), ReleaseOutcome::Released);
    assert_eq!(listed(&fixture).await, []);

    let held = store
        .revoke(serial(1), CrlReason::CertificateHold, NOW + secs(3), vec![])
        .await
        .unwrap();
    assert_eq!(held, RevokeOutcome::Revoked);
    let last = store
        .revoke(serial(1), CrlReason::KeyCompromise, NOW + secs(4), vec![])
        .await
        .unwrap();
    assert_eq!(last, RevokeOutcome::Revoked);
    assert_eq!(release().await.unwrap(), ReleaseOutcome::NotHeld);
    assert_eq!(
        listed(&fixture).await,
        [(serial(1), NOW + secs(3), CrlReason::KeyCompromise)]
    );
    let unknown = store.release(serial(9), vec![]).await.unwrap();
    assert_eq!(unknown, ReleaseOutcome::NotFound);
}

#[tokio::test]
async fn without_its_audit_record_nothing_is_revoked() {
    let fixture = Fixture::new();
    fixture.issued(1).await;
    fixture.break_log();
    let refused = fixture
        .store
        .revoke(serial(1), CrlReason::KeyCompromise, NOW, vec![clock_step()])
        .await;
    assert!(
        matches!(refused, Err(StoreError::Altered(_))),
        "{refused:?}"
    );
    let refused = fixture.store.insert_crl(crl(1, NOW), vec![clock_step()]);
    assert!(refused.await.is_err());
    assert_eq!(fixture.certificate(1).await.revoked_at, None);
    let number = fixture.store.next_crl_number(CA.to_owned()).await.unwrap();
    assert_eq!(number, 1);
}

#[tokio::test]
async fn only_a_certificate_that_stands_can_be_renewed() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    for number in 1..4 {
        fixture.issued(number).await;
    }
    let open = permit(4, fixture.challenge("open").await);
    store.permit(open).await.unwrap();
    store.hold(serial(2), NOW, vec![]).await.unwrap();
    store
        .revoke(serial(3), CrlReason::KeyCompromise, NOW, vec![])
        .await
        .unwrap();

    for (old, late, outcome) in [
        (9, Duration::ZERO, PermitOutcome::OldUnknown),
        (4, Duration::ZERO, PermitOutcome::OldUnknown),
        (2, Duration::ZERO, PermitOutcome::OldRevoked),
        (3, Duration::ZERO, PermitOutcome::OldRevoked),
        (1, 24 * HOUR + secs(1), PermitOutcome::OldExpired),
    ] {
        let mut write = permit(10, renewal(old, None));
        write.now = NOW + late;
        assert_eq!(store.permit(write).await.unwrap(), outcome, "{old}");
    }
    let mut last_second = permit(10, renewal(1, None));
    last_second.now = NOW + 24 * HOUR;
    let outcome = store.permit(last_second).await.unwrap();
    assert!(matches!(outcome, PermitOutcome::Recorded { .. }));
}

#[tokio::test]
async fn a_renewal_supersedes_when_it_is_issued_and_not_before() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.issued(1).await;
    fixture.issued(2).await;
    store
        .permit(permit(11, renewal(1, Some(HOUR))))
        .await
        .unwrap();
    store.permit(permit(12, renewal(2, None))).await.unwrap();
    store.permit(permit(13, renewal(2, None))).await.unwrap();
    assert_eq!(fixture.certificate(1).await.superseded_by, None);

    let fixture = fixture.reopen();
    let store = &fixture.store;
    let open = store.open_intents(None).await.unwrap();
    let first = open.first().unwrap();
    assert_eq!(
        (first.renewal_of.clone(), first.revoke_after),
        (Some(serial(1)), Some(HOUR))
    );
    store.complete(completion(11)).await.unwrap();
    store.complete(completion(12)).await.unwrap();
    store
        .fail_intent(serial(13), NOW, true, vec![])
        .await
        .unwrap();

    let scheduled = fixture.certificate(1).await;
    assert_eq!(scheduled.superseded_by, Some(serial(11)));
    assert_eq!(
        (scheduled.revoked_at, scheduled.revoke_at),
        (None, Some(NOW + HOUR))
    );
    let kept = fixture.certificate(2).await;
    assert_eq!(
        (kept.superseded_by, kept.revoke_at),
        (Some(serial(12)), None)
    );
    assert_eq!(fixture.certificate(11).await.renewal_of, Some(serial(1)));
}

#[tokio::test]
async fn a_scheduled_revocation_comes_due_once_also_on_hold_and_is_not_put_off() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.issued(1).await;
    for (number, after) in [(11, secs(10)), (12, HOUR)] {
        let write = permit(number, renewal(1, Some(after)));
        store.permit(write).await.unwrap();
        store.complete(completion(number)).await.unwrap();
    }
    store.hold(serial(1), NOW + secs(5), vec![]).await.unwrap();
    assert_eq!(store.due_revocations(NOW + secs(9)).await.unwrap(), []);
    let due = store.due_revocations(NOW + secs(10)).await.unwrap();
    let due: Vec<_> = due.into_iter().map(|row| row.serial).collect();
    assert_eq!(due, [serial(1)]);
    store
        .revoke(serial(1), CrlReason::Superseded, NOW + secs(10), vec![])
        .await
        .unwrap();
    assert_eq!(store.due_revocations(Timestamp::MAX).await.unwrap(), []);
    assert_eq!(
        listed(&fixture).await,
        [(serial(1), NOW + secs(5), CrlReason::Superseded)]
    );
}

#[tokio::test]
async fn an_expired_certificate_is_listed_once_after_its_end() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.issued(1).await;
    let given_up = permit(2, fixture.challenge("given up").await);
    store.permit(given_up).await.unwrap();
    store
        .fail_intent(serial(2), NOW + secs(2), true, vec![])
        .await
        .unwrap();
    store
        .revoke(
            serial(1),
            CrlReason::CessationOfOperation,
            NOW + secs(1),
            vec![],
        )
        .await
        .unwrap();
    let all = [
        (serial(1), NOW + secs(1), CrlReason::CessationOfOperation),
        (serial(2), NOW + secs(2), CrlReason::Unspecified),
    ];
    let row = fixture.certificate(2).await;
    assert_eq!(row.state, CertificateState::Abandoned);

    let end = NOW + 24 * HOUR;
    for (number, this_update) in [(1, end - secs(1)), (2, end), (3, end + secs(1))] {
        assert_eq!(listed(&fixture).await, all, "before CRL {number}");
        let outcome = store.insert_crl(crl(number, this_update), vec![]).await;
        assert_eq!(outcome.unwrap(), CrlOutcome::Kept);
    }
    assert_eq!(listed(&fixture).await, []);
}

#[tokio::test]
async fn entries_belong_to_one_ca() {
    let fixture = Fixture::new();
    let mut other = permit(1, fixture.challenge("c").await);
    other.transaction.ca_id = "next".to_owned();
    fixture.store.permit(other).await.unwrap();
    fixture.store.complete(completion(1)).await.unwrap();
    let revoke = fixture
        .store
        .revoke(serial(1), CrlReason::Unspecified, NOW, vec![]);
    revoke.await.unwrap();
    assert_eq!(listed(&fixture).await, []);
    let next = fixture.store.revoked_entries("next".to_owned(), None);
    assert_eq!(next.await.unwrap().entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_crls_get_numbers_without_gaps() {
    let fixture = Fixture::new();
    let mut signers = JoinSet::new();
    for _ in 0..10 {
        let store = fixture.store.clone();
        signers.spawn(async move {
            let mut number = store.next_crl_number(CA.to_owned()).await.unwrap();
            let mut tries = 1;
            while let CrlOutcome::Outrun { next } = store
                .insert_crl(crl(number, NOW), vec![clock_step()])
                .await
                .unwrap()
            {
                number = next;
                tries += 1;
                assert!(tries <= 10);
            }
            number
        });
    }
    let mut numbers = signers.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    let counts = fixture.store.counts().await.unwrap();
    assert_eq!(counts.audit_records, 10);

    let ahead = fixture.store.insert_crl(crl(12, NOW), vec![clock_step()]);
    assert_eq!(ahead.await.unwrap(), CrlOutcome::Outrun { next: 11 });
    assert_eq!(fixture.store.counts().await.unwrap(), counts);
}

#[tokio::test]
async fn the_latest_crl_is_whole_and_old_ones_are_hashes() {
    let fixture = Fixture::new();
    assert_eq!(fixture.store.latest_crl(CA.to_owned()).await.unwrap(), None);
    for number in 1..=20 {
        let kept = fixture.store.insert_crl(crl(number, NOW), vec![]);
        assert_eq!(kept.await.unwrap(), CrlOutcome::Kept);
    }
    let fixture = fixture.reopen();
    let latest = fixture.store.latest_crl(CA.to_owned()).await.unwrap();
    let latest = latest.unwrap();
    assert_eq!((latest.number, latest.der), (20, b"crl 20".to_vec()));
    assert_eq!(latest.sha256, digest("crl 20"));
    let kept = "SELECT count(*) FROM crl_contents WHERE ca_id = ?1";
    let kept: u32 = fixture
        .sqlite()
        .query_row(kept, [CA], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 16);
    let next = fixture.store.next_crl_number(CA.to_owned()).await.unwrap();
    assert_eq!(next, 21);
}

#[test]
fn a_reason_has_one_code_and_one_name() {
    let mut names = BTreeSet::new();
    for code in 0..=u8::MAX {
        let Ok(reason) = CrlReason::try_from(code) else {
            assert!(code == 7 || code == 8 || code > 10, "{code}");
            continue;
        };
        assert_eq!(reason.code(), code);
        assert!(names.insert(reason.as_str()), "{code}");
    }
    assert_eq!(names.len(), 9);
}

#[tokio::test]
async fn a_list_says_up_to_which_record_it_has_the_changes() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let covers = async || {
        let listed = store.revoked_entries(CA.to_owned(), None);
        listed.await.unwrap().covers
    };
    assert_eq!(covers().await, 0);
    let last = store.append_audit(vec![clock_step(), clock_step()]).await;
    assert_eq!(covers().await, last.unwrap());
}
