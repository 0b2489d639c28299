use assay_store::{
    ChallengeQuery, ChallengeState, Consume, PendingQuery, PendingState, PermitOutcome, Polled,
    Reserve, StoreError,
};
use assay_types::Timestamp;
use tokio::task::JoinSet;

use crate::support::*;

fn recorded(outcome: &PermitOutcome) -> bool {
    matches!(outcome, PermitOutcome::Recorded { .. })
}

async fn one_time_of(fixture: &Fixture, id: &str) -> Reserve {
    fixture.challenge(id).await;
    Reserve::OneTime { id: id.to_owned() }
}

fn of_fleet(name: &str) -> Reserve {
    Reserve::Static {
        id: "fleet".to_owned(),
        name: name.to_owned(),
    }
}

fn renewal(old: u64) -> Reserve {
    Reserve::Renewal {
        old: serial(old),
        revoke_after: Some(HOUR),
    }
}

fn of(state: PendingState) -> PendingQuery {
    PendingQuery {
        state: Some(state),
        ..PendingQuery::default()
    }
}

#[tokio::test]
async fn a_queued_request_comes_back_as_it_was_given() {
    let fixture = Fixture::new();
    let given = pending(1, one_time_of(&fixture, "c").await);
    assert!(recorded(&fixture.store.queue(given.clone()).await.unwrap()));

    let fixture = fixture.reopen();
    let store = &fixture.store;
    let row = store.find_pending_by_id(given.id.clone()).await.unwrap();
    let row = row.unwrap();
    assert_eq!(
        (row.state, row.serial.clone()),
        (PendingState::Waiting, None)
    );
    assert_eq!((&row.csr, row.csr_digest), (&given.csr, given.csr_digest));
    assert_eq!(row.signer_certificate, given.signer_certificate);
    assert_eq!(
        (&row.message_hash, &row.csr_hash),
        (&given.message_hash, &given.csr_hash)
    );
    assert_eq!((&row.subject, &row.sans), (&given.subject, &given.sans));
    assert_eq!(
        (&row.key_info, &row.evidence),
        (&given.key_info, &given.evidence)
    );
    assert_eq!(
        (&row.reserve, &row.request),
        (&given.reserve, &given.request)
    );
    assert_eq!(row.approvals, Vec::<String>::new());
    let polled = Polled::Queued(Box::new(row.clone()));
    assert_eq!(
        store.find_polled(given.transaction.clone()).await.unwrap(),
        Some(polled)
    );
    let same_message = store.find_pending_by_request(given.request_digest);
    assert_eq!(same_message.await.unwrap(), Some(row.clone()));
    assert_eq!(row.cert_rep, given.cert_rep);
    let mut foreign = given.transaction;
    foreign.signer_spki_sha256 = digest("another key");
    assert_eq!(store.find_polled(foreign).await.unwrap(), None);
}

#[tokio::test]
async fn a_reserved_challenge_serves_nothing_else_and_cannot_be_taken_back() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let reserve = one_time_of(&fixture, "c").await;
    store.queue(pending(1, reserve.clone())).await.unwrap();
    let kept = PermitOutcome::Reserved {
        id: "pending 1".to_owned(),
    };
    assert_eq!(store.queue(pending(2, reserve)).await.unwrap(), kept);
    let direct = Consume::OneTime { id: "c".to_owned() };
    assert_eq!(store.permit(permit(2, direct)).await.unwrap(), kept);
    let row = find_challenge(store, keyed("c")).await.unwrap();
    assert_eq!(row.state, ChallengeState::Reserved);
    assert_eq!(row.pending_id.as_deref(), Some("pending 1"));
    let found = async |transaction: &str| {
        let query = ChallengeQuery {
            transaction_id: Some(transaction.to_owned()),
            ..ChallengeQuery::default()
        };
        let page = store.list_challenges(query).await.unwrap();
        let ids: Vec<_> = page.rows.into_iter().map(|row| row.id).collect();
        ids
    };
    assert_eq!(found("transaction 1").await, ["c"]);
    assert_eq!(found("transaction 2").await, [""; 0]);
    let revoked = store.revoke_challenge("c".to_owned(), vec![]).await;
    assert_eq!(
        revoked.unwrap(),
        assay_store::Revocation::Unchanged(ChallengeState::Reserved)
    );
}

#[tokio::test]
async fn a_reserved_name_serves_nothing_else() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.fleet(&["a", "b"]).await;
    store.queue(pending(1, of_fleet("a"))).await.unwrap();
    let kept = PermitOutcome::Reserved {
        id: "pending 1".to_owned(),
    };
    assert_eq!(store.queue(pending(2, of_fleet("a"))).await.unwrap(), kept);
    let direct = Consume::Static {
        id: "fleet".to_owned(),
        name: "a".to_owned(),
    };
    assert_eq!(store.permit(permit(2, direct)).await.unwrap(), kept);
    assert!(recorded(
        &store.queue(pending(3, of_fleet("b"))).await.unwrap()
    ));
    let unknown = store.queue(pending(4, of_fleet("x"))).await.unwrap();
    assert_eq!(unknown, PermitOutcome::InventoryUnknown);
}

#[tokio::test]
async fn a_certificate_has_one_waiting_renewal() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.issued(1).await;
    assert!(recorded(
        &store.queue(pending(11, renewal(1))).await.unwrap()
    ));
    let kept = PermitOutcome::Reserved {
        id: "pending 11".to_owned(),
    };
    assert_eq!(store.queue(pending(12, renewal(1))).await.unwrap(), kept);
    let unknown = store.queue(pending(13, renewal(9))).await.unwrap();
    assert_eq!(unknown, PermitOutcome::OldUnknown);

    let mut late = pending(14, renewal(1));
    late.created_at = NOW + 25 * HOUR;
    store
        .expire_pending(NOW + 25 * HOUR, |_| clock_step())
        .await
        .unwrap();
    assert_eq!(store.queue(late).await.unwrap(), PermitOutcome::OldExpired);
}

#[tokio::test]
async fn an_equal_csr_of_the_same_key_is_queued_once() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let first = pending(1, one_time_of(&fixture, "first").await);
    let mut again = first.clone();
    again.id = "another".to_owned();
    again.reserve = one_time_of(&fixture, "second").await;
    again.request_digest = digest("another message");
    store.queue(first).await.unwrap();
    let before = store.counts().await.unwrap();
    let queued = store.queue(again.clone()).await.unwrap();
    assert_eq!(
        queued,
        PermitOutcome::AlreadyQueued {
            id: "pending 1".to_owned()
        }
    );
    assert_eq!(store.counts().await.unwrap(), before);
    let row = find_challenge(store, keyed("second")).await;
    assert_eq!(row.unwrap().state, ChallengeState::Open);

    again.transaction.signer_spki_sha256 = digest("another key");
    assert!(recorded(&store.queue(again).await.unwrap()));
}

#[tokio::test]
async fn an_equal_csr_that_was_issued_is_not_queued() {
    let fixture = Fixture::new();
    fixture.issued(1).await;
    let again = pending(1, one_time_of(&fixture, "again").await);
    let outcome = fixture.store.queue(again).await.unwrap();
    assert_eq!(outcome, PermitOutcome::AlreadyIssued { serial: serial(1) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parallel_requests_on_one_challenge_queue_one() {
    let fixture = Fixture::new();
    let reserve = one_time_of(&fixture, "c").await;
    let before = fixture.store.counts().await.unwrap().audit_records;
    let mut requests = JoinSet::new();
    for number in 0..100 {
        let store = fixture.store.clone();
        let write = pending(number, reserve.clone());
        requests.spawn(async move { store.queue(write).await.unwrap() });
    }
    let outcomes = requests.join_all().await;
    let queued = outcomes.iter().filter(|outcome| recorded(outcome)).count();
    let kept = |outcome: &&PermitOutcome| matches!(outcome, PermitOutcome::Reserved { .. });
    assert_eq!(queued, 1);
    assert_eq!(outcomes.iter().filter(kept).count(), 99);
    let waiting = fixture.store.list_pending(of(PendingState::Waiting));
    assert_eq!(waiting.await.unwrap().rows.len(), 1);
    let counts = fixture.store.counts().await.unwrap();
    assert_eq!(counts.audit_records, before + 1);
}

#[tokio::test]
async fn without_its_audit_record_nothing_is_queued() {
    let fixture = Fixture::new();
    let reserve = one_time_of(&fixture, "c").await;
    fixture.break_log();
    let refused = fixture.store.queue(pending(1, reserve)).await;
    assert!(
        matches!(refused, Err(StoreError::Altered(_))),
        "{refused:?}"
    );
    assert_eq!(
        fixture
            .store
            .list_pending(PendingQuery::default())
            .await
            .unwrap()
            .rows,
        []
    );
    let row = find_challenge(&fixture.store, keyed("c")).await;
    assert_eq!(row.unwrap().state, ChallengeState::Open);
}

#[tokio::test]
async fn what_waits_too_long_expires_once_and_gives_back_what_it_reserved() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.fleet(&["a"]).await;
    fixture.issued(1).await;
    let mut writes = vec![
        pending(11, one_time_of(&fixture, "c").await),
        pending(12, of_fleet("a")),
        pending(13, renewal(1)),
        pending(14, one_time_of(&fixture, "later").await),
    ];
    let last = writes.last_mut().unwrap();
    last.expires_at = last.expires_at + secs(1);
    for write in writes {
        assert!(recorded(&store.queue(write).await.unwrap()));
    }
    let before = store.counts().await.unwrap().audit_records;
    let end = NOW + 24 * HOUR;
    let expire = |now| store.expire_pending(now, |_| clock_step());
    assert_eq!(expire(end - secs(1)).await.unwrap(), 0);
    assert_eq!(expire(end).await.unwrap(), 3);
    assert_eq!(expire(end).await.unwrap(), 0);
    assert_eq!(store.counts().await.unwrap().audit_records, before + 3);

    let expired = store.list_pending(of(PendingState::Expired)).await;
    let expired: Vec<_> = expired
        .unwrap()
        .rows
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(expired, ["pending 13", "pending 12", "pending 11"]);
    let challenge = find_challenge(store, keyed("c")).await.unwrap();
    assert_eq!(
        (challenge.state, challenge.pending_id),
        (ChallengeState::Open, None)
    );
    assert!(recorded(
        &store.queue(pending(22, of_fleet("a"))).await.unwrap()
    ));
    assert!(recorded(
        &store.queue(pending(23, renewal(1))).await.unwrap()
    ));
}

#[tokio::test]
async fn a_poll_finds_the_latest_request_of_its_transaction() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let key = permit(1, renewal_consume()).transaction;
    let poll = || store.find_polled(key.clone());
    assert_eq!(poll().await.unwrap(), None);

    fixture.issued(1).await;
    assert!(matches!(
        poll().await.unwrap(),
        Some(Polled::Permitted(row)) if row.serial == serial(1)
    ));

    let mut next = pending(1, one_time_of(&fixture, "next").await);
    next.csr_digest = digest("another csr");
    store.queue(next).await.unwrap();
    let Some(Polled::Queued(row)) = poll().await.unwrap() else {
        panic!("the queued request is the later one");
    };
    assert_eq!(row.id, "pending 1");
    store
        .expire_pending(Timestamp::MAX, |_| clock_step())
        .await
        .unwrap();

    let mut last = permit(3, fixture.challenge("last").await);
    last.transaction = key.clone();
    last.now = NOW + secs(1);
    store.permit(last).await.unwrap();
    assert!(matches!(
        poll().await.unwrap(),
        Some(Polled::Permitted(row)) if row.serial == serial(3)
    ));
}

fn renewal_consume() -> Consume {
    Consume::Renewal {
        old: serial(9),
        revoke_after: None,
        challenge: None,
    }
}
