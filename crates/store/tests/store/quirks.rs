use assay_store::{Consume, QuirkQuery};
use assay_types::Timestamp;

use crate::support::*;

/// Issues certificate `number` for `CN=number`; its request needed an exception.
async fn issued_with(fixture: &Fixture, number: u64, consume: Consume, at: Timestamp) {
    let mut write = permit(number, consume);
    write.intent.request.quirks = vec!["allow_sha1".into()];
    write.intent.subject = format!("CN={}", number % 10);
    fixture.store.permit(write).await.unwrap();
    let mut completion = completion(number);
    completion.issued_at = at;
    fixture.store.complete(completion).await.unwrap();
}

#[tokio::test]
async fn certificates_that_needed_an_exception_are_counted_by_device() {
    let fixture = Fixture::new();
    fixture.fleet(&["1"]).await;
    let of_fleet = Consume::Static {
        id: "fleet".to_owned(),
        name: "1".to_owned(),
    };
    for (number, at) in [(2, NOW), (12, NOW + secs(1)), (1, NOW), (22, NOW + secs(2))] {
        let consume = fixture.challenge(&format!("challenge {number}")).await;
        issued_with(&fixture, number, consume, at).await;
    }
    issued_with(&fixture, 31, of_fleet, NOW).await;
    fixture.issued(3).await;

    let fixture = fixture.reopen();
    let list = |profile: Option<&str>, rows, after| {
        fixture.store.list_quirks(QuirkQuery {
            profile: profile.map(str::to_owned),
            after,
            rows,
            ..QuirkQuery::default()
        })
    };
    let rows = list(Some("devices"), 0, None).await.unwrap().rows;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.device.as_str(), row.uses, row.first_at, row.last_at))
        .collect();
    assert_eq!(
        rows,
        [("CN=1", 1, NOW, NOW), ("CN=2", 3, NOW, NOW + secs(2))]
    );
    assert_eq!(list(None, 0, None).await.unwrap().rows.len(), 3);
    let first = list(None, 2, None).await.unwrap();
    assert_eq!(first.rows.len(), 2);
    let rest = list(None, 2, first.next).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (1, None));
}

#[tokio::test]
async fn an_intent_that_becomes_no_certificate_counts_nothing() {
    let fixture = Fixture::new();
    let mut write = permit(1, fixture.challenge("c").await);
    write.intent.request.quirks = vec!["allow_sha1".into()];
    fixture.store.permit(write).await.unwrap();
    fixture
        .store
        .fail_intent(serial(1), NOW, true, vec![])
        .await
        .unwrap();
    assert!(
        fixture
            .store
            .list_quirks(QuirkQuery::default())
            .await
            .unwrap()
            .rows
            .is_empty()
    );
}
