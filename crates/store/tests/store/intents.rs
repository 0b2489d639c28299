use assay_store::{
    CertificateQuery, CertificateState, CertificateStatus, ChallengeState, Consume, CrlReason,
    EvidenceQuery, OcspFound, PermitOutcome, Reply, Retention, Span, StoreError,
};
use assay_types::{CertIdHash, Timestamp};

use crate::support::*;

#[tokio::test]
async fn a_completed_intent_is_a_certificate_with_its_reply() {
    let fixture = Fixture::new();
    let write = permit(1, fixture.challenge("c").await);
    fixture.store.permit(write.clone()).await.unwrap();
    assert_eq!(
        fixture
            .store
            .find_reply(write.request_digest)
            .await
            .unwrap(),
        None
    );
    fixture.store.complete(completion(1)).await.unwrap();

    let fixture = fixture.reopen();
    let store = &fixture.store;
    let reply = store
        .find_reply(write.request_digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        reply,
        Reply {
            serial: serial(1),
            cert_rep: b"reply 1".to_vec()
        }
    );
    let row = store.find_certificate(serial(1)).await.unwrap().unwrap();
    assert_eq!(row.state, CertificateState::Issued);
    assert_eq!(row.der.as_deref(), Some(b"certificate 1".as_slice()));
    assert_eq!(row.sha256, Some(digest("certificate 1")));
    assert_eq!(row.revoked_at, None);
    assert_eq!(row.sans, ["dns:1.example"]);
    let challenge = find_challenge(store, keyed("c")).await.unwrap();
    assert_eq!(challenge.serial, Some(serial(1)));
    assert!(store.open_intents(None).await.unwrap().is_empty());
    assert_eq!(store.counts().await.unwrap().certificates, 1);
}

#[tokio::test]
async fn an_intent_is_closed_once() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let write = permit(1, fixture.challenge("c").await);
    store.permit(write).await.unwrap();
    let unknown = store.complete(completion(7)).await;
    assert!(matches!(unknown, Err(StoreError::NoOpenIntent(number)) if number == serial(7)));
    store.complete(completion(1)).await.unwrap();
    let before = store.counts().await.unwrap();
    let twice = store.complete(completion(1)).await;
    assert!(matches!(twice, Err(StoreError::NoOpenIntent(_))));
    let failed = store
        .fail_intent(serial(1), NOW, true, vec![clock_step()])
        .await;
    assert!(matches!(failed, Err(StoreError::NoOpenIntent(_))));
    assert_eq!(store.counts().await.unwrap(), before);
}

#[tokio::test]
async fn an_open_intent_holds_all_that_recovery_needs() {
    let fixture = Fixture::new();
    for number in 0..3 {
        let mut write = permit(number, fixture.challenge(&number.to_string()).await);
        write.now = NOW + secs(number);
        fixture.store.permit(write).await.unwrap();
    }
    let fixture = fixture.reopen();
    let store = &fixture.store;
    let open = store.open_intents(None).await.unwrap();
    let serials: Vec<_> = open.iter().map(|intent| intent.serial.clone()).collect();
    assert_eq!(serials, [serial(0), serial(1), serial(2)]);
    let wanted = permit(0, Consume::OneTime { id: "0".to_owned() });
    let intent = open.first().unwrap();
    assert_eq!(intent.tbs, wanted.intent.tbs);
    assert_eq!(intent.tbs_digest, wanted.intent.tbs_digest);
    assert_eq!(intent.transaction, wanted.transaction);
    assert_eq!(intent.request_digest, wanted.request_digest);
    assert_eq!(intent.request, wanted.intent.request);
    assert_eq!(intent.expires_at, wanted.intent.expires_at);
    let old = store.open_intents(Some(NOW + secs(1))).await.unwrap();
    assert_eq!(old.len(), 1);
}

#[tokio::test]
async fn a_recovered_certificate_is_answered_when_the_client_asks_again() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let write = permit(1, fixture.challenge("c").await);
    store.permit(write.clone()).await.unwrap();
    let mut recovered = completion(1);
    recovered.cert_rep = None;
    store.complete(recovered).await.unwrap();
    assert_eq!(store.find_reply(write.request_digest).await.unwrap(), None);

    let query = EvidenceQuery {
        ca_id: write.transaction.ca_id.clone(),
        signer_spki_sha256: write.transaction.signer_spki_sha256,
        csr_digest: write.csr_digest,
        retransmit_since: NOW - HOUR,
        challenge: Some(keyed("c")),
        inventory: None,
    };
    let evidence = store.evidence(query).await.unwrap();
    assert_eq!(evidence.retransmitted.unwrap().serial, serial(1));
    assert_eq!(evidence.challenge.unwrap().state, ChallengeState::Spent);

    let reply = Reply {
        serial: serial(1),
        cert_rep: b"late".to_vec(),
    };
    let keep = |reply: &Reply| {
        store.store_reply(write.request_digest, reply.clone(), NOW, vec![clock_step()])
    };
    keep(&reply).await.unwrap();
    let other = Reply {
        serial: serial(1),
        cert_rep: b"later".to_vec(),
    };
    keep(&other).await.unwrap();
    let kept = store.find_reply(write.request_digest).await.unwrap();
    assert_eq!(
        kept,
        Some(reply),
        "the first reply stays the one that is replayed"
    );
}

#[tokio::test]
async fn an_abandoned_intent_counts_as_revoked_and_frees_its_challenge_once() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let consume = fixture.challenge("c").await;
    store.permit(permit(1, consume.clone())).await.unwrap();
    store
        .fail_intent(serial(1), NOW + secs(5), true, vec![clock_step()])
        .await
        .unwrap();
    let row = store.find_certificate(serial(1)).await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.revoked_at),
        (CertificateState::Abandoned, Some(NOW + secs(5)))
    );

    let mut again = permit(1, consume.clone());
    again.intent.serial = serial(2);
    let outcome = store.permit(again).await.unwrap();
    assert!(
        matches!(outcome, PermitOutcome::Recorded { .. }),
        "{outcome:?}"
    );
    store
        .fail_intent(serial(2), NOW, true, vec![clock_step()])
        .await
        .unwrap();
    let challenge = find_challenge(store, keyed("c")).await.unwrap();
    assert_eq!(challenge.state, ChallengeState::Spent);
    let third = store.permit(permit(3, consume)).await.unwrap();
    assert_eq!(third, PermitOutcome::ChallengeSpent);
}

#[tokio::test]
async fn an_intent_that_cannot_have_been_signed_is_no_certificate_to_anyone() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let responder = store.enable_ocsp("ca".to_owned(), digest("r"), b"r".to_vec());
    responder.await.unwrap();
    let consume = fixture.challenge("c").await;
    store.permit(permit(1, consume.clone())).await.unwrap();
    let given_up = store.fail_intent(serial(1), NOW + secs(5), false, vec![clock_step()]);
    given_up.await.unwrap();
    let row = store.find_certificate(serial(1)).await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.revoked_at),
        (CertificateState::Abandoned, None)
    );
    assert!(
        store
            .revoked_entries("ca".to_owned(), None)
            .await
            .unwrap()
            .entries
            .is_empty()
    );
    let status = store.find_ocsp("ca".to_owned(), serial(1), CertIdHash::Sha1, NOW);
    assert_eq!(status.await.unwrap(), OcspFound::Unknown);
    assert_eq!(
        store.seed_ocsp("ca".to_owned(), 0, NOW).await.unwrap(),
        Some(1)
    );
    assert!(
        store
            .due_ocsp("ca".to_owned(), NOW, 10)
            .await
            .unwrap()
            .is_empty()
    );
    // The same request is permitted again, as if it had not been asked for.
    let mut again = permit(1, consume);
    again.intent.serial = serial(2);
    let outcome = store.permit(again).await.unwrap();
    assert!(
        matches!(outcome, PermitOutcome::Recorded { .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn certificates_are_listed_newest_first_and_page_by_page() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    for number in 0..5 {
        let consume = fixture.challenge(&number.to_string()).await;
        store.permit(permit(number, consume)).await.unwrap();
        if number != 4 {
            store.complete(completion(number)).await.unwrap();
        }
    }
    let list = |query| store.list_certificates(query);
    let all = CertificateQuery {
        rows: 3,
        ..CertificateQuery::default()
    };
    let page = list(all.clone()).await.unwrap();
    let (first, next) = (page.rows, page.next);
    let serials = |rows: &[assay_store::CertificateRow]| -> Vec<_> {
        rows.iter().map(|row| row.serial.clone()).collect()
    };
    assert_eq!(serials(&first), [serial(3), serial(2), serial(1)]);
    assert_eq!(next, Some(first.last().unwrap().position));
    let of_profile = |profile: &str| CertificateQuery {
        profile: Some(profile.to_owned()),
        before: next,
        ..all.clone()
    };
    let rest = list(of_profile("devices")).await.unwrap();
    assert_eq!((serials(&rest.rows), rest.next), (vec![serial(0)], None));
    let other = list(of_profile("fleet")).await.unwrap();
    assert_eq!((other.rows, other.next), (vec![], None));
}

#[tokio::test]
async fn certificates_are_found_by_each_filter_and_by_all_of_them() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    for number in 0..4 {
        fixture.issued(number).await;
    }
    let consume = fixture.challenge("open").await;
    store.permit(permit(4, consume)).await.unwrap();
    let revoke = |number, reason| store.revoke(serial(number), reason, NOW, vec![]);
    revoke(1, CrlReason::Superseded).await.unwrap();
    revoke(2, CrlReason::CertificateHold).await.unwrap();
    let row = fixture.certificate(3).await;
    let found = async |query| {
        let page = store.list_certificates(query).await.unwrap();
        let serials: Vec<_> = page.rows.into_iter().map(|row| row.serial).collect();
        serials
    };
    let of_status = |status| CertificateQuery {
        status: Some(status),
        ..CertificateQuery::default()
    };
    for (status, wanted) in [
        (CertificateStatus::Intent, vec![serial(4)]),
        (CertificateStatus::Issued, vec![serial(3), serial(0)]),
        (CertificateStatus::Held, vec![serial(2)]),
        (CertificateStatus::Revoked, vec![serial(1)]),
        (CertificateStatus::Abandoned, vec![]),
    ] {
        assert_eq!(found(of_status(status)).await, wanted, "{status:?}");
    }
    let all = CertificateQuery {
        profile: Some(row.profile.clone()),
        status: Some(CertificateStatus::Issued),
        subject: Some(row.subject.clone()),
        san: row.sans.first().cloned(),
        serial: Some(serial(3)),
        transaction_id: Some(row.transaction_id.clone()),
        closed: Span {
            from: row.closed_at,
            to: row.closed_at.map(|at| at + secs(1)),
        },
        before: None,
        rows: 0,
    };
    assert_eq!(found(all.clone()).await, [serial(3)]);
    let others: [&dyn Fn(&mut CertificateQuery); 7] = [
        &|query| query.profile = Some("other".to_owned()),
        &|query| query.status = Some(CertificateStatus::Revoked),
        &|query| query.subject = Some("CN=other".to_owned()),
        &|query| query.san = Some("dns:other".to_owned()),
        &|query| query.serial = Some(serial(2)),
        &|query| query.transaction_id = Some("other".to_owned()),
        &|query| query.closed.to = row.closed_at,
    ];
    for other in others {
        let mut query = all.clone();
        other(&mut query);
        assert_eq!(found(query.clone()).await, [], "{query:?}");
    }
}

#[tokio::test]
async fn replies_are_pruned_by_age_and_certificates_stay() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    for number in 0..3 {
        let consume = fixture.challenge(&number.to_string()).await;
        store.permit(permit(number, consume)).await.unwrap();
        let mut done = completion(number);
        done.issued_at = NOW + secs(number);
        store.complete(done).await.unwrap();
    }
    let retention = Retention {
        replies_before: NOW + secs(2),
        quotas_before: NOW + secs(1),
        evidence_until: Timestamp::MIN,
    };
    assert_eq!(store.prune(retention).await.unwrap(), 2 + 1);
    assert_eq!(store.prune(retention).await.unwrap(), 0);
    assert_eq!(store.find_reply(digest("request 1")).await.unwrap(), None);
    assert!(
        store
            .find_reply(digest("request 2"))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(store.counts().await.unwrap().certificates, 3);
}
