use std::ops::Range;

use assay_store::{
    CertificateState, ChallengeState, Consume, PermitOutcome, PermitWrite, Polled, QuotaCharge,
    StoreError,
};
use tokio::task::JoinSet;

use crate::support::*;

fn recorded(outcome: &PermitOutcome) -> bool {
    matches!(outcome, PermitOutcome::Recorded { .. })
}

fn of_fleet(name: &str) -> Consume {
    Consume::Static {
        id: "fleet".to_owned(),
        name: name.to_owned(),
    }
}

async fn permit_in_parallel(
    fixture: &Fixture,
    consume: &Consume,
    numbers: Range<u64>,
) -> Vec<PermitOutcome> {
    let mut uses = JoinSet::new();
    for number in numbers {
        let store = fixture.store.clone();
        let write = permit(number, consume.clone());
        uses.spawn(async move { store.permit(write).await.unwrap() });
    }
    uses.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parallel_uses_of_a_one_time_challenge_record_one_intent() {
    let fixture = Fixture::new();
    let consume = fixture.challenge("c").await;
    let before = fixture.store.counts().await.unwrap();
    let outcomes = permit_in_parallel(&fixture, &consume, 0..100).await;

    let (first, others): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| recorded(outcome));
    assert_eq!(first.len(), 1);
    assert_eq!(others, [&PermitOutcome::ChallengeSpent; 99]);
    let after = fixture.store.counts().await.unwrap();
    assert_eq!(after.open_intents, 1);
    assert_eq!(after.audit_records, before.audit_records + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parallel_uses_of_a_static_challenge_record_one_intent_a_name() {
    let fixture = Fixture::new();
    fixture.fleet(&["a", "b"]).await;
    for (name, numbers) in [("a", 0..100), ("b", 100..200)] {
        let outcomes = permit_in_parallel(&fixture, &of_fleet(name), numbers).await;
        let used =
            |outcome: &&PermitOutcome| matches!(outcome, PermitOutcome::InventoryUsed { .. });
        assert_eq!(
            outcomes.iter().filter(|outcome| recorded(outcome)).count(),
            1
        );
        assert_eq!(outcomes.iter().filter(used).count(), 99);
    }
    assert_eq!(fixture.store.counts().await.unwrap().open_intents, 2);
}

#[tokio::test]
async fn a_static_challenge_issues_only_for_names_of_the_inventory_until_it_is_revoked() {
    let fixture = Fixture::new();
    fixture.fleet(&["a", "b"]).await;
    let store = &fixture.store;
    let unknown = store.permit(permit(1, of_fleet("x"))).await.unwrap();
    assert_eq!(unknown, PermitOutcome::InventoryUnknown);
    assert!(recorded(
        &store.permit(permit(2, of_fleet("a"))).await.unwrap()
    ));
    let used = store.permit(permit(3, of_fleet("a"))).await.unwrap();
    assert_eq!(used, PermitOutcome::InventoryUsed { serial: serial(2) });

    store
        .revoke_challenge("fleet".to_owned(), vec![clock_step()])
        .await
        .unwrap();
    let revoked = store.permit(permit(4, of_fleet("b"))).await.unwrap();
    assert_eq!(revoked, PermitOutcome::ChallengeRevoked);
}

#[tokio::test]
async fn a_challenge_of_one_kind_is_not_taken_for_the_other() {
    let fixture = Fixture::new();
    fixture.fleet(&["a"]).await;
    fixture.challenge("c").await;
    for consume in [
        Consume::OneTime {
            id: "fleet".to_owned(),
        },
        Consume::Static {
            id: "c".to_owned(),
            name: "a".to_owned(),
        },
        Consume::OneTime {
            id: "none".to_owned(),
        },
    ] {
        let outcome = fixture.store.permit(permit(1, consume)).await.unwrap();
        assert_eq!(outcome, PermitOutcome::ChallengeUnknown);
    }
}

#[tokio::test]
async fn a_challenge_expires_at_its_time() {
    let fixture = Fixture::new();
    let consume = fixture.challenge("c").await;
    let mut late = permit(1, consume.clone());
    late.now = NOW + HOUR;
    let outcome = fixture.store.permit(late).await.unwrap();
    assert_eq!(outcome, PermitOutcome::ChallengeExpired);
    let mut in_time = permit(1, consume);
    in_time.now = NOW + HOUR - secs(1);
    assert!(recorded(&fixture.store.permit(in_time).await.unwrap()));
}

#[tokio::test]
async fn a_full_quota_refuses_and_leaves_everything_as_it_was() {
    let fixture = Fixture::new();
    let limit = |mut write: PermitWrite, limit| {
        let profile = QuotaCharge {
            key: "devices".to_owned(),
            window_start: NOW,
            limit: 100,
        };
        let name = QuotaCharge {
            key: "devices/a".to_owned(),
            window_start: NOW,
            limit,
        };
        write.quotas = vec![profile, name];
        write
    };
    for number in 0..2 {
        let consume = fixture.challenge(&number.to_string()).await;
        let outcome = fixture
            .store
            .permit(limit(permit(number, consume), 2))
            .await
            .unwrap();
        assert!(recorded(&outcome));
    }
    let consume = fixture.challenge("c").await;
    let before = fixture.store.counts().await.unwrap();
    for full in [2, 0] {
        let write = limit(permit(2, consume.clone()), full);
        let outcome = fixture.store.permit(write).await.unwrap();
        assert_eq!(
            outcome,
            PermitOutcome::QuotaExceeded {
                key: "devices/a".to_owned()
            }
        );
    }
    assert_eq!(fixture.store.counts().await.unwrap(), before);
    let row = find_challenge(&fixture.store, keyed("c")).await.unwrap();
    assert_eq!(row.state, ChallengeState::Open);
    // The refused ones were not charged to the profile: it has used 2.
    let mut last = permit(3, fixture.challenge("last").await);
    last.quotas.iter_mut().for_each(|quota| quota.limit = 3);
    assert!(recorded(&fixture.store.permit(last).await.unwrap()));

    let fixture = fixture.reopen();
    let mut next_window = limit(permit(2, consume), 2);
    next_window
        .quotas
        .iter_mut()
        .for_each(|quota| quota.window_start = quota.window_start + HOUR);
    assert!(recorded(&fixture.store.permit(next_window).await.unwrap()));
}

#[tokio::test]
async fn a_transaction_is_bound_by_a_permit_and_superseded_by_the_next() {
    let fixture = Fixture::new();
    let first = permit(1, fixture.challenge("first").await);
    let key = first.transaction.clone();
    let mut other = permit(
        2,
        Consume::OneTime {
            id: "none".to_owned(),
        },
    );
    other.transaction = key.clone();

    let refused = fixture.store.permit(other.clone()).await.unwrap();
    assert_eq!(refused, PermitOutcome::ChallengeUnknown);
    assert_eq!(fixture.store.find_polled(key.clone()).await.unwrap(), None);

    assert!(recorded(&fixture.store.permit(first).await.unwrap()));
    fixture.store.complete(completion(1)).await.unwrap();
    let polled = fixture.store.find_polled(key.clone()).await.unwrap();
    let Some(Polled::Permitted(row)) = polled else {
        panic!("{polled:?}");
    };
    assert_eq!(
        (row.state, row.serial),
        (CertificateState::Issued, serial(1))
    );
    assert_eq!(row.cert_rep.as_deref(), Some(b"reply 1".as_slice()));

    other.consume = fixture.challenge("second").await;
    assert!(recorded(&fixture.store.permit(other).await.unwrap()));
    let polled = fixture.store.find_polled(key.clone()).await.unwrap();
    let Some(Polled::Permitted(row)) = polled else {
        panic!("{polled:?}");
    };
    assert_eq!(
        (row.state, row.serial),
        (CertificateState::Intent, serial(2))
    );
    assert_eq!(row.csr_digest, digest("csr 2"));

    let mut foreign = key;
    foreign.signer_spki_sha256 = digest("another key");
    assert_eq!(fixture.store.find_polled(foreign).await.unwrap(), None);
}

#[tokio::test]
async fn an_equal_csr_of_the_same_key_is_not_permitted_twice_in_the_window() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let first = permit(1, fixture.challenge("first").await);
    let mut again = first.clone();
    again.consume = fixture.challenge("second").await;
    again.intent.serial = serial(2);
    again.request_digest = digest("another message");

    assert!(recorded(&store.permit(first).await.unwrap()));
    let open = store.permit(again.clone()).await.unwrap();
    assert_eq!(open, PermitOutcome::InProgress { serial: serial(1) });
    store.complete(completion(1)).await.unwrap();
    let issued = store.permit(again.clone()).await.unwrap();
    assert_eq!(issued, PermitOutcome::AlreadyIssued { serial: serial(1) });

    let mut foreign = again.clone();
    foreign.transaction.signer_spki_sha256 = digest("another key");
    foreign.consume = fixture.challenge("third").await;
    foreign.intent.serial = serial(3);
    assert!(recorded(&store.permit(foreign).await.unwrap()));

    again.retransmit_since = NOW + secs(1);
    assert!(recorded(&store.permit(again).await.unwrap()));
}

#[tokio::test]
async fn without_its_audit_record_nothing_is_permitted() {
    let fixture = Fixture::new();
    let consume = fixture.challenge("c").await;
    let before = fixture.store.counts().await.unwrap();
    fixture.break_log();
    let refused = fixture.store.permit(permit(1, consume.clone())).await;
    assert!(
        matches!(refused, Err(StoreError::Altered(_))),
        "{refused:?}"
    );
    assert_eq!(fixture.store.counts().await.unwrap(), before);

    fixture.mend_log();
    assert!(recorded(
        &fixture.store.permit(permit(1, consume)).await.unwrap()
    ));
}

#[tokio::test]
async fn a_serial_is_never_used_twice() {
    let fixture = Fixture::new();
    let first = permit(1, fixture.challenge("first").await);
    let mut second = permit(2, fixture.challenge("second").await);
    second.intent.serial = serial(1);
    fixture.store.permit(first).await.unwrap();
    assert!(matches!(
        fixture.store.permit(second).await,
        Err(StoreError::Sql(_))
    ));
    let row = find_challenge(&fixture.store, keyed("second"))
        .await
        .unwrap();
    assert_eq!(row.state, ChallengeState::Open);
}

/// Both or neither: a challenge that is gone renews nothing, and an old certificate that is none spends no challenge.
#[tokio::test]
async fn a_renewal_uses_up_the_challenge_that_goes_with_it() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.issued(1).await;
    fixture.challenge("fresh").await;
    let renewal = |number, old| {
        let consume = Consume::Renewal {
            old: serial(old),
            revoke_after: None,
            challenge: Some("fresh".to_owned()),
        };
        store.permit(permit(number, consume))
    };
    assert_eq!(renewal(2, 9).await.unwrap(), PermitOutcome::OldUnknown);
    assert!(recorded(&renewal(3, 1).await.unwrap()));
    assert_eq!(renewal(4, 1).await.unwrap(), PermitOutcome::ChallengeSpent);

    // What was given up gives it back, once.
    store
        .fail_intent(serial(3), NOW, true, vec![])
        .await
        .unwrap();
    assert!(recorded(&renewal(5, 1).await.unwrap()));
}
