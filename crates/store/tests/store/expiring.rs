use std::ops::RangeInclusive;
use std::time::Duration;

use assay_store::{CertificateRow, Consume, CrlReason, ExpiringQuery, ExpirySpan, PermitWrite};
use assay_types::Timestamp;

use crate::support::*;

const DAY: Duration = secs(86_400);

fn ending(number: u64, profile: &str, not_after: Timestamp, consume: Consume) -> PermitWrite {
    let mut write = permit(number, consume);
    write.intent.profile = profile.to_owned();
    write.intent.not_after = not_after;
    write
}

async fn issue(fixture: &Fixture, number: u64, profile: &str, not_after: Timestamp) {
    let consume = fixture.challenge(&format!("challenge {number}")).await;
    let write = ending(number, profile, not_after, consume);
    fixture.store.permit(write).await.unwrap();
    fixture.store.complete(completion(number)).await.unwrap();
}

/// Certificate `number` for `old`, which ends in a year.
async fn renew(fixture: &Fixture, number: u64, old: u64) {
    let consume = Consume::Renewal {
        old: serial(old),
        revoke_after: None,
        challenge: None,
    };
    let write = ending(number, "devices", NOW + 365 * DAY, consume);
    fixture.store.permit(write).await.unwrap();
    fixture.store.complete(completion(number)).await.unwrap();
}

fn within(span: RangeInclusive<Timestamp>) -> ExpiringQuery {
    ExpiringQuery {
        profile: None,
        subject: None,
        san: None,
        span,
        renewed: false,
        after: None,
        rows: 0,
    }
}

async fn list(fixture: &Fixture, query: ExpiringQuery) -> Vec<CertificateRow> {
    fixture.store.list_expiring(query).await.unwrap().rows
}

/// The numbers of the certificates.
async fn numbers(fixture: &Fixture, query: ExpiringQuery) -> Vec<u64> {
    let rows = list(fixture, query).await;
    let number = |row: &CertificateRow| row.subject.trim_start_matches("CN=").parse().unwrap();
    rows.iter().map(number).collect()
}

/// 1 to 6 end within days of their number; 2 is renewed, 3 revoked, 4 on hold, 7 never issued, 8 given up.
async fn fixture() -> Fixture {
    let fixture = Fixture::new();
    for number in [6, 1, 5, 2, 4, 3] {
        let profile = if number == 5 { "fleet" } else { "devices" };
        issue(&fixture, number, profile, NOW + secs(number * 86_400)).await;
    }
    renew(&fixture, 20, 2).await;
    let store = &fixture.store;
    let revoked = store.revoke(serial(3), CrlReason::KeyCompromise, NOW, vec![]);
    revoked.await.unwrap();
    store.hold(serial(4), NOW, vec![]).await.unwrap();
    for number in [7, 8] {
        let consume = fixture.challenge(&format!("challenge {number}")).await;
        let write = ending(number, "devices", NOW + DAY, consume);
        store.permit(write).await.unwrap();
    }
    store
        .fail_intent(serial(8), NOW, true, vec![])
        .await
        .unwrap();
    fixture
}

#[tokio::test]
async fn what_is_relied_upon_and_has_no_successor_is_told_soonest_first() {
    let fixture = fixture().await;
    let month = NOW..=NOW + 30 * DAY;
    assert_eq!(numbers(&fixture, within(month.clone())).await, [1, 5, 6]);
    let mut all = within(month.clone());
    all.renewed = true;
    assert_eq!(numbers(&fixture, all.clone()).await, [1, 2, 5, 6]);
    let rows = list(&fixture, all).await;
    let successors: Vec<_> = rows.iter().map(|row| row.superseded_by.clone()).collect();
    assert_eq!(successors, [None, Some(serial(20)), None, None]);

    fixture.store.release(serial(4), vec![]).await.unwrap();
    assert_eq!(numbers(&fixture, within(month.clone())).await, [1, 4, 5, 6]);
    let mut of_fleet = within(month);
    of_fleet.profile = Some("fleet".to_owned());
    assert_eq!(numbers(&fixture, of_fleet).await, [5]);
}

#[tokio::test]
async fn a_span_holds_its_first_second_and_its_last() {
    let fixture = fixture().await;
    let first = NOW + DAY;
    let last = NOW + 6 * DAY;
    assert_eq!(numbers(&fixture, within(first..=last)).await, [1, 5, 6]);
    let inner = within(first + secs(1)..=last - secs(1));
    assert_eq!(numbers(&fixture, inner).await, [5]);
    #[allow(clippy::reversed_empty_ranges, reason = "what a caller may give")]
    let none = within(last..=first);
    assert_eq!(numbers(&fixture, none).await, [0; 0]);
}

#[tokio::test]
async fn pages_leave_none_out_and_tell_none_twice_where_many_end_at_once() {
    let fixture = Fixture::new();
    for number in 1..=7 {
        issue(&fixture, number, "devices", NOW + DAY).await;
    }
    for number in [2, 5] {
        renew(&fixture, 20 + number, number).await;
    }
    let mut query = within(NOW..=NOW + 2 * DAY);
    query.rows = 2;
    for (renewed, wanted) in [(false, vec![1, 3, 4, 6, 7]), (true, (1..=7).collect())] {
        query.renewed = renewed;
        query.after = None;
        let mut found = Vec::new();
        loop {
            let page = fixture.store.list_expiring(query.clone()).await.unwrap();
            assert!((1..=2).contains(&page.rows.len()));
            found.extend(page.rows.into_iter().map(|row| row.position));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn the_counts_are_those_of_the_lists_by_profile() {
    let fixture = fixture().await;
    let span = |renewed, span| ExpirySpan { span, renewed };
    let spans = vec![
        span(false, NOW..=NOW + DAY),
        span(false, NOW..=NOW + 30 * DAY),
        span(true, NOW..=NOW + 30 * DAY),
        span(false, NOW - DAY..=NOW - secs(1)),
    ];
    let store = &fixture.store;
    let counted = store.count_expiring(None, spans.clone()).await.unwrap();
    let devices = ("devices".to_owned(), vec![1, 2, 1, 0]);
    assert_eq!(counted, [devices, ("fleet".to_owned(), vec![0, 1, 0, 0])]);
    let later = vec![span(false, NOW..=NOW + DAY)];
    let none = store.count_expiring(Some("none".to_owned()), later);
    assert_eq!(none.await.unwrap(), [("none".to_owned(), vec![0])]);
}
