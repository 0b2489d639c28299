use assay_store::{
    CertificateState, ChallengeState, Consume, CrlReason, DecideOutcome, EvidenceQuery,
    PendingDecision, PendingState, PendingVerdict, PermitOutcome, PermitWrite, Polled, Reserve,
    Store, StoreError,
};
use assay_types::Timestamp;
use tokio::task::JoinSet;

use crate::support::*;

fn decision(number: u64, approver: &str, verdict: PendingVerdict) -> PendingDecision {
    PendingDecision {
        id: format!("pending {number}"),
        approver: format!("assay://operator/{approver}"),
        verdict,
        four_eyes: true,
        at: NOW + secs(1),
    }
}

fn approve(number: u64, approver: &str) -> PendingDecision {
    decision(number, approver, PendingVerdict::Approve)
}

async fn decide(store: &Store, decision: PendingDecision) -> DecideOutcome {
    store
        .decide_pending(decision, |_| clock_step())
        .await
        .unwrap()
}

async fn approved(store: &Store, number: u64) {
    let alone = PendingDecision {
        four_eyes: false,
        ..approve(number, "a")
    };
    assert_eq!(
        decide(store, alone).await,
        DecideOutcome::Approved { approvals: 1 }
    );
}

async fn queue(fixture: &Fixture, number: u64) {
    let id = format!("reserved {number}");
    fixture.challenge(&id).await;
    let write = pending(number, Reserve::OneTime { id });
    let outcome = fixture.store.queue(write).await.unwrap();
    assert!(matches!(outcome, PermitOutcome::Recorded { .. }));
}

/// The permit of the request that waited under the same number.
fn of_approval(number: u64) -> PermitWrite {
    let id = format!("pending {number}");
    permit(number, Consume::Approved { id })
}

async fn challenge_state(fixture: &Fixture, number: u64) -> ChallengeState {
    let lookup = keyed(&format!("reserved {number}"));
    let row = find_challenge(&fixture.store, lookup).await;
    row.unwrap().state
}

#[tokio::test]
async fn four_eyes_are_two_operators_and_one_operator_is_one() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    queue(&fixture, 1).await;
    let before = store.counts().await.unwrap().audit_records;
    let first = decide(store, approve(1, "a")).await;
    assert_eq!(first, DecideOutcome::AwaitsAnother { approvals: 1 });
    let again = decide(store, approve(1, "a")).await;
    assert_eq!(again, DecideOutcome::Repeated);
    let early = store.permit(of_approval(1)).await.unwrap();
    assert_eq!(
        early,
        PermitOutcome::NotApproved {
            state: PendingState::Waiting
        }
    );
    let second = decide(store, approve(1, "b")).await;
    assert_eq!(second, DecideOutcome::Approved { approvals: 2 });
    let late = decide(store, approve(1, "c")).await;
    assert_eq!(late, DecideOutcome::Closed(PendingState::Approved));
    assert_eq!(store.counts().await.unwrap().audit_records, before + 2);

    let row = store.find_pending_by_id("pending 1".to_owned()).await;
    assert_eq!(
        row.unwrap().unwrap().approvals,
        ["assay://operator/a", "assay://operator/b"]
    );
    let deciders = store.list_deciders("pending 1".to_owned()).await.unwrap();
    assert_eq!(deciders, ["assay://operator/a", "assay://operator/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parallel_approvals_of_one_operator_are_one() {
    let fixture = Fixture::new();
    queue(&fixture, 1).await;
    let mut decisions = JoinSet::new();
    for _ in 0..100 {
        let store = fixture.store.clone();
        decisions.spawn(async move { decide(&store, approve(1, "a")).await });
    }
    let outcomes = decisions.join_all().await;
    let counted = |wanted| {
        let equal = outcomes.iter().filter(|outcome| **outcome == wanted);
        equal.count()
    };
    assert_eq!(counted(DecideOutcome::AwaitsAnother { approvals: 1 }), 1);
    assert_eq!(counted(DecideOutcome::Repeated), 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parallel_operators_approve_once() {
    let fixture = Fixture::new();
    queue(&fixture, 1).await;
    let before = fixture.store.counts().await.unwrap().audit_records;
    let mut decisions = JoinSet::new();
    for number in 0..100 {
        let store = fixture.store.clone();
        let decision = approve(1, &number.to_string());
        decisions.spawn(async move { decide(&store, decision).await });
    }
    let outcomes = decisions.join_all().await;
    let counted = |wanted| {
        let equal = outcomes.iter().filter(|outcome| **outcome == wanted);
        equal.count()
    };
    assert_eq!(counted(DecideOutcome::AwaitsAnother { approvals: 1 }), 1);
    assert_eq!(counted(DecideOutcome::Approved { approvals: 2 }), 1);
    assert_eq!(counted(DecideOutcome::Closed(PendingState::Approved)), 98);
    let after = fixture.store.counts().await.unwrap().audit_records;
    assert_eq!(after, before + 2);
}

#[tokio::test]
async fn a_denial_closes_and_frees_the_challenge_once() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    queue(&fixture, 1).await;
    decide(store, approve(1, "a")).await;
    let denial = || decision(1, "a", PendingVerdict::Deny);
    assert_eq!(decide(store, denial()).await, DecideOutcome::Denied);
    assert_eq!(challenge_state(&fixture, 1).await, ChallengeState::Open);

    let direct = Consume::OneTime {
        id: "reserved 1".to_owned(),
    };
    let taken = store.permit(permit(2, direct)).await.unwrap();
    assert!(matches!(taken, PermitOutcome::Recorded { .. }));
    let again = decide(store, denial()).await;
    assert_eq!(again, DecideOutcome::Closed(PendingState::Denied));
    let expired = store.expire_pending(Timestamp::MAX, |_| clock_step()).await;
    assert_eq!(expired.unwrap(), 0);
    assert_eq!(challenge_state(&fixture, 1).await, ChallengeState::Spent);
    let refused = store.permit(of_approval(1)).await.unwrap();
    assert_eq!(
        refused,
        PermitOutcome::NotApproved {
            state: PendingState::Denied
        }
    );
    let row = store.find_pending_by_id("pending 1".to_owned()).await;
    assert_eq!(row.unwrap().unwrap().state, PendingState::Denied);
    let deciders = store.list_deciders("pending 1".to_owned()).await.unwrap();
    assert_eq!(deciders, ["assay://operator/a"]);
}

#[tokio::test]
async fn a_decision_after_its_time_or_on_nothing_changes_nothing() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    queue(&fixture, 1).await;
    let before = store.counts().await.unwrap();
    let late = PendingDecision {
        at: NOW + 24 * HOUR,
        ..approve(1, "a")
    };
    assert_eq!(
        decide(store, late).await,
        DecideOutcome::Closed(PendingState::Expired)
    );
    assert_eq!(decide(store, approve(9, "a")).await, DecideOutcome::Unknown);
    assert_eq!(store.counts().await.unwrap(), before);
}

#[tokio::test]
async fn without_its_audit_record_nothing_is_decided_or_expired() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    queue(&fixture, 1).await;
    fixture.break_log();
    for verdict in [PendingVerdict::Approve, PendingVerdict::Deny] {
        let refused = store.decide_pending(decision(1, "a", verdict), |_| clock_step());
        assert!(matches!(refused.await, Err(StoreError::Altered(_))));
    }
    let refused = store.expire_pending(Timestamp::MAX, |_| clock_step()).await;
    assert!(matches!(refused, Err(StoreError::Altered(_))));
    let row = store.find_pending_by_id("pending 1".to_owned()).await;
    let row = row.unwrap().unwrap();
    assert_eq!((row.state, row.approvals.len()), (PendingState::Waiting, 0));
    assert_eq!(challenge_state(&fixture, 1).await, ChallengeState::Reserved);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parallel_polls_of_an_approved_request_record_one_intent() {
    let fixture = Fixture::new();
    queue(&fixture, 1).await;
    approved(&fixture.store, 1).await;
    let mut polls = JoinSet::new();
    for number in 0..100 {
        let store = fixture.store.clone();
        let mut write = of_approval(1);
        write.request_digest = digest(&format!("poll {number}"));
        write.intent.serial = serial(number);
        polls.spawn(async move { store.permit(write).await.unwrap() });
    }
    let outcomes = polls.join_all().await;
    let recorded = |outcome: &&PermitOutcome| matches!(outcome, PermitOutcome::Recorded { .. });
    let running = |outcome: &&PermitOutcome| matches!(outcome, PermitOutcome::InProgress { .. });
    assert_eq!(outcomes.iter().filter(recorded).count(), 1);
    assert_eq!(outcomes.iter().filter(running).count(), 99);
    assert_eq!(fixture.store.counts().await.unwrap().open_intents, 1);
}

#[tokio::test]
async fn an_approved_request_becomes_a_certificate_past_its_challenges_time() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    queue(&fixture, 1).await;
    approved(store, 1).await;
    let mut late = of_approval(1);
    late.now = NOW + 2 * HOUR;
    let outcome = store.permit(late.clone()).await.unwrap();
    assert!(matches!(outcome, PermitOutcome::Recorded { .. }));
    assert_eq!(challenge_state(&fixture, 1).await, ChallengeState::Spent);
    let intent = store.open_intents(None).await.unwrap();
    assert_eq!(
        intent.first().unwrap().pending_id.as_deref(),
        Some("pending 1")
    );
    store.complete(completion(1)).await.unwrap();

    let row = store.find_pending_by_id("pending 1".to_owned()).await;
    let row = row.unwrap().unwrap();
    assert_eq!(
        (row.state, row.serial),
        (PendingState::Issued, Some(serial(1)))
    );
    let polled = store.find_polled(late.transaction.clone()).await.unwrap();
    assert!(matches!(
        polled,
        Some(Polled::Permitted(row)) if row.state == CertificateState::Issued
    ));
    late.retransmit_since = NOW + HOUR;
    late.intent.serial = serial(2);
    let again = store.permit(late).await.unwrap();
    assert_eq!(again, PermitOutcome::AlreadyIssued { serial: serial(1) });
}

#[tokio::test]
async fn an_approval_is_for_what_was_approved() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    queue(&fixture, 1).await;
    approved(store, 1).await;
    let changes: [fn(&mut PermitWrite); 4] = [
        |write| write.csr_digest = digest("another csr"),
        |write| write.transaction.signer_spki_sha256 = digest("another key"),
        |write| write.transaction.transaction_id.push('x'),
        |write| write.intent.profile.push('x'),
    ];
    for change in changes {
        let mut write = of_approval(1);
        change(&mut write);
        let outcome = store.permit(write).await.unwrap();
        assert_eq!(outcome, PermitOutcome::PendingUnknown);
    }
    let mut late = of_approval(1);
    late.now = NOW + 24 * HOUR;
    assert_eq!(
        store.permit(late).await.unwrap(),
        PermitOutcome::NotApproved {
            state: PendingState::Expired
        }
    );
    assert_eq!(challenge_state(&fixture, 1).await, ChallengeState::Reserved);
}

#[tokio::test]
async fn what_was_approved_is_issued_under_the_ca_that_has_taken_over_meanwhile() {
    let fixture = Fixture::new();
    queue(&fixture, 1).await;
    approved(&fixture.store, 1).await;
    let mut write = of_approval(1);
    write.transaction.ca_id.push('x');
    let outcome = fixture.store.permit(write).await.unwrap();
    assert!(
        matches!(outcome, PermitOutcome::Recorded { .. }),
        "{outcome:?}"
    );
    assert_eq!(challenge_state(&fixture, 1).await, ChallengeState::Spent);
}

#[tokio::test]
async fn a_static_challenge_revoked_meanwhile_authorises_nothing_approved() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.fleet(&["a", "b"]).await;
    for (number, name) in [(1, "a"), (2, "b")] {
        let reserve = Reserve::Static {
            id: "fleet".to_owned(),
            name: name.to_owned(),
        };
        store.queue(pending(number, reserve)).await.unwrap();
        approved(store, number).await;
    }
    let fleet = |number| {
        let mut write = of_approval(number);
        write.intent.profile = "fleet".to_owned();
        write
    };
    let first = store.permit(fleet(1)).await.unwrap();
    assert!(matches!(first, PermitOutcome::Recorded { .. }));
    let used = store
        .find_inventory("fleet".to_owned(), "a".to_owned())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((used.serial, used.pending_id), (Some(serial(1)), None));
    store
        .revoke_challenge("fleet".to_owned(), vec![])
        .await
        .unwrap();
    let second = store.permit(fleet(2)).await.unwrap();
    assert_eq!(second, PermitOutcome::ChallengeRevoked);
    let row = store.find_pending_by_id("pending 2".to_owned()).await;
    assert_eq!(row.unwrap().unwrap().state, PendingState::Approved);
}

#[tokio::test]
async fn an_approved_renewal_is_judged_again_and_supersedes() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    for (old, new) in [(1, 11), (2, 12)] {
        fixture.issued(old).await;
        let reserve = Reserve::Renewal {
            old: serial(old),
            revoke_after: Some(HOUR),
        };
        store.queue(pending(new, reserve)).await.unwrap();
        approved(store, new).await;
    }
    store
        .revoke(serial(2), CrlReason::KeyCompromise, NOW, vec![])
        .await
        .unwrap();
    let struck_off = store.permit(of_approval(12)).await.unwrap();
    assert_eq!(struck_off, PermitOutcome::OldRevoked);
    store.permit(of_approval(11)).await.unwrap();
    store.complete(completion(11)).await.unwrap();
    let old = fixture.certificate(1).await;
    assert_eq!(
        (old.superseded_by, old.revoke_at),
        (Some(serial(11)), Some(NOW + HOUR))
    );
}

#[tokio::test]
async fn a_failed_intent_gives_its_approval_back_once() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    queue(&fixture, 1).await;
    approved(store, 1).await;
    for (number, state, challenge) in [
        (1, PendingState::Approved, ChallengeState::Reserved),
        (2, PendingState::Issued, ChallengeState::Spent),
    ] {
        let mut write = of_approval(1);
        write.intent.serial = serial(number);
        let outcome = store.permit(write).await.unwrap();
        assert!(matches!(outcome, PermitOutcome::Recorded { .. }));
        store
            .fail_intent(serial(number), NOW, true, vec![])
            .await
            .unwrap();
        let row = store.find_pending_by_id("pending 1".to_owned()).await;
        assert_eq!(row.unwrap().unwrap().state, state);
        assert_eq!(challenge_state(&fixture, 1).await, challenge);
    }
    let mut third = of_approval(1);
    third.intent.serial = serial(3);
    assert_eq!(
        store.permit(third).await.unwrap(),
        PermitOutcome::AlreadyIssued { serial: serial(2) }
    );
}

#[tokio::test]
async fn evidence_tells_of_a_waiting_request_for_an_equal_csr() {
    let fixture = Fixture::new();
    queue(&fixture, 1).await;
    let write = of_approval(1);
    let query = EvidenceQuery {
        ca_id: write.transaction.ca_id,
        signer_spki_sha256: write.transaction.signer_spki_sha256,
        csr_digest: write.csr_digest,
        retransmit_since: NOW - HOUR,
        challenge: None,
        inventory: None,
    };
    let evidence = fixture.store.evidence(query).await.unwrap();
    assert_eq!(evidence.queued.unwrap().id, "pending 1");
    assert_eq!(evidence.retransmitted, None);
}
