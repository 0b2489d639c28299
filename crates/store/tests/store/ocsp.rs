use assay_store::{CrlReason, DueResponse, OcspFound, SignedResponse};
use assay_types::{CertIdHash, Hash, Timestamp};

use crate::support::*;

const CA: &str = "ca";
const RESPONDER: Hash = Hash::ZERO;

async fn fixture() -> Fixture {
    let fixture = Fixture::new();
    enable(&fixture).await;
    fixture
}

async fn enable(fixture: &Fixture) {
    let enabled = fixture
        .store
        .enable_ocsp(CA.to_owned(), RESPONDER, b"responder".to_vec());
    enabled.await.unwrap();
}

async fn due(fixture: &Fixture, now: Timestamp) -> Vec<DueResponse> {
    let due = fixture.store.due_ocsp(CA.to_owned(), now, 100);
    due.await.unwrap()
}

fn signed(due: &DueResponse, at: Timestamp) -> SignedResponse {
    SignedResponse {
        serial: due.serial.clone(),
        version: due.version,
        sha1: format!("sha1 at {at}").into_bytes(),
        sha256: None,
        this_update: at,
        next_update: at + 3 * HOUR,
        refresh_at: at + HOUR,
    }
}

/// Signs all that is due, and says how many that were.
async fn sign(fixture: &Fixture, at: Timestamp) -> usize {
    let due = due(fixture, at).await;
    let responses = due.iter().map(|due| signed(due, at)).collect();
    let kept = fixture.store.keep_ocsp(RESPONDER, responses).await.unwrap();
    assert_eq!(kept, due.len());
    kept
}

async fn find(fixture: &Fixture, number: u64, now: Timestamp) -> OcspFound {
    let found = fixture
        .store
        .find_ocsp(CA.to_owned(), serial(number), CertIdHash::Sha1, now);
    found.await.unwrap()
}

fn response(found: OcspFound) -> Vec<u8> {
    match found {
        OcspFound::Signed(row) => row.response,
        other @ (OcspFound::Unknown | OcspFound::Waiting) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_waits_for_a_response_from_its_issue_on() {
    let fixture = fixture().await;
    let intent = fixture.challenge("open").await;
    fixture.store.permit(permit(1, intent)).await.unwrap();
    assert_eq!(find(&fixture, 1, NOW).await, OcspFound::Unknown);
    fixture.store.complete(completion(1)).await.unwrap();
    assert_eq!(find(&fixture, 1, NOW).await, OcspFound::Waiting);
    assert_eq!(sign(&fixture, NOW).await, 1);
    let found = find(&fixture, 1, NOW).await;
    assert_eq!(response(found), format!("sha1 at {NOW}").into_bytes());
    assert_eq!(due(&fixture, NOW + HOUR - secs(1)).await, []);
    assert_eq!(due(&fixture, NOW + HOUR).await.len(), 1);
    let other = fixture
        .store
        .find_ocsp("other".to_owned(), serial(1), CertIdHash::Sha1, NOW);
    assert_eq!(other.await.unwrap(), OcspFound::Unknown);
}

#[tokio::test]
async fn nothing_waits_without_a_responder_and_all_of_before_once_there_is_one() {
    let fixture = Fixture::new();
    for number in 1..=3 {
        fixture.issued(number).await;
    }
    assert_eq!(due(&fixture, NOW).await, []);
    enable(&fixture).await;
    fixture.issued(4).await;
    // Its turn is yet to come, and it is known all the same.
    assert_eq!(find(&fixture, 1, NOW).await, OcspFound::Waiting);
    assert_eq!(find(&fixture, 9, NOW).await, OcspFound::Unknown);
    let mut after = Some(0);
    while let Some(position) = after {
        let seeded = fixture.store.seed_ocsp(CA.to_owned(), position, NOW);
        after = seeded.await.unwrap();
    }
    assert_eq!(sign(&fixture, NOW).await, 4);
    let again = fixture.store.seed_ocsp(CA.to_owned(), 0, NOW);
    again.await.unwrap();
    assert_eq!(due(&fixture, NOW).await, [], "those signed are left");
    fixture.store.disable_ocsp().await.unwrap();
    fixture.issued(5).await;
    assert_eq!(find(&fixture, 1, NOW).await, OcspFound::Unknown);
    assert_eq!(find(&fixture, 5, NOW).await, OcspFound::Unknown);
}

#[tokio::test]
async fn a_change_of_status_withdraws_the_response_at_once_and_goes_first() {
    let fixture = fixture().await;
    for number in 1..=2 {
        fixture.issued(number).await;
    }
    sign(&fixture, NOW).await;
    fixture.issued(3).await;
    let store = &fixture.store;
    let held = store.hold(serial(2), NOW + secs(5), vec![]);
    held.await.unwrap();
    assert_eq!(find(&fixture, 2, NOW).await, OcspFound::Waiting);
    let list = due(&fixture, NOW + 2 * HOUR).await;
    let order: Vec<_> = list.iter().map(|due| due.serial.clone()).collect();
    assert_eq!(order, [serial(2), serial(3), serial(1)]);
    let hold = Some((NOW + secs(5), CrlReason::CertificateHold));
    assert_eq!(list[0].revoked, hold);

    sign(&fixture, NOW + secs(6)).await;
    store.release(serial(2), vec![]).await.unwrap();
    assert_eq!(find(&fixture, 2, NOW).await, OcspFound::Waiting);
    let of_it = store.due_ocsp_of(serial(2)).await.unwrap().unwrap();
    assert_eq!(of_it.revoked, None);
}

#[tokio::test]
async fn a_response_of_the_status_before_is_not_kept() {
    let fixture = fixture().await;
    fixture.issued(1).await;
    let before = due(&fixture, NOW).await;
    let revoked = fixture
        .store
        .revoke(serial(1), CrlReason::KeyCompromise, NOW, vec![]);
    revoked.await.unwrap();
    let late = before.iter().map(|due| signed(due, NOW)).collect();
    assert_eq!(fixture.store.keep_ocsp(RESPONDER, late).await.unwrap(), 0);
    assert_eq!(find(&fixture, 1, NOW).await, OcspFound::Waiting);
    let list = due(&fixture, NOW).await;
    assert_eq!(list[0].revoked, Some((NOW, CrlReason::KeyCompromise)));
}

#[tokio::test]
async fn an_intent_that_was_given_up_is_told_of_as_revoked() {
    let fixture = fixture().await;
    let intent = fixture.challenge("open").await;
    fixture.store.permit(permit(1, intent)).await.unwrap();
    let failed = fixture
        .store
        .fail_intent(serial(1), NOW + secs(7), true, vec![]);
    failed.await.unwrap();
    let list = due(&fixture, NOW + secs(7)).await;
    assert_eq!(
        list[0].revoked,
        Some((NOW + secs(7), CrlReason::Unspecified))
    );
}

#[tokio::test]
async fn a_response_is_for_its_hash_algorithm_and_ends_with_next_update_and_certificate() {
    let fixture = fixture().await;
    fixture.issued(1).await;
    sign(&fixture, NOW).await;
    let sha256 = fixture
        .store
        .find_ocsp(CA.to_owned(), serial(1), CertIdHash::Sha256, NOW);
    assert_eq!(sha256.await.unwrap(), OcspFound::Unknown);
    let stale = NOW + 3 * HOUR;
    assert_eq!(find(&fixture, 1, stale).await, OcspFound::Waiting);
    let expired = NOW + 24 * HOUR + secs(1);
    assert_eq!(find(&fixture, 1, expired).await, OcspFound::Unknown);
    assert_eq!(due(&fixture, expired).await, []);
    assert_eq!(fixture.store.prune_ocsp(expired).await.unwrap(), 1);
    let counts = fixture.store.count_ocsp(CA.to_owned(), NOW).await.unwrap();
    assert_eq!(counts.all, 0);
}

#[tokio::test]
async fn the_counts_tell_what_waits_and_what_runs_out_first() {
    let fixture = fixture().await;
    for number in 1..=2 {
        fixture.issued(number).await;
    }
    sign(&fixture, NOW).await;
    fixture.issued(3).await;
    let put_off = due(&fixture, NOW).await.remove(0);
    fixture
        .store
        .defer_ocsp(put_off, NOW + secs(60))
        .await
        .unwrap();
    let counts = |now| fixture.store.count_ocsp(CA.to_owned(), now);
    let now = counts(NOW).await.unwrap();
    assert_eq!((now.all, now.waiting, now.due), (3, 1, 0));
    assert_eq!(now.next_update, Some(NOW + 3 * HOUR));
    let later = counts(NOW + HOUR).await.unwrap();
    assert_eq!((later.all, later.waiting, later.due), (3, 1, 3));
}
