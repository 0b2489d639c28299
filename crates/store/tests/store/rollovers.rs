use assay_audit::{Draft, Event};
use assay_store::RolloverRow;
use assay_types::{Hash, Timestamp};

use crate::support::*;

const NEXT: &str = "next";

fn record(switch_at: Timestamp) -> Vec<Draft> {
    vec![draft(Event::CaAnnounced {
        ca_sha256: Hash::of(b"next"),
        predecessor_sha256: Hash::of(b"first"),
        switch_at,
        answered_until: switch_at + secs(1),
    })]
}

async fn announce(fixture: &Fixture, switch_at: Timestamp, now: Timestamp) -> bool {
    let record = record(switch_at);
    let announced = fixture
        .store
        .announce_rollover(NEXT.to_owned(), switch_at, now, record);
    announced.await.unwrap()
}

async fn switch(fixture: &Fixture, now: Timestamp) -> bool {
    let switched = fixture
        .store
        .switch_rollover(NEXT.to_owned(), now, record(NOW));
    switched.await.unwrap()
}

#[tokio::test]
async fn an_announcement_is_kept_and_may_move_until_the_switch_which_stands() {
    let fixture = Fixture::new();
    let kept = |fixture: &Fixture| {
        let store = fixture.store.clone();
        async move { store.find_rollover(NEXT.to_owned()).await.unwrap() }
    };
    let records = |fixture: &Fixture| {
        let store = fixture.store.clone();
        async move { store.counts().await.unwrap().audit_records }
    };
    let before = records(&fixture).await;
    assert_eq!(kept(&fixture).await, None);
    assert!(!switch(&fixture, NOW).await, "nobody was told");

    assert!(announce(&fixture, NOW + secs(100), NOW).await);
    assert!(
        !announce(&fixture, NOW + secs(100), NOW + secs(1)).await,
        "once"
    );
    assert!(
        announce(&fixture, NOW + secs(50), NOW + secs(2)).await,
        "moved"
    );
    assert!(!switch(&fixture, NOW + secs(49)).await, "too early");
    assert!(switch(&fixture, NOW + secs(51)).await);
    assert!(!switch(&fixture, NOW + secs(52)).await, "once");
    assert!(
        !announce(&fixture, NOW + secs(500), NOW + secs(60)).await,
        "it stands"
    );

    let fixture = fixture.reopen();
    let row = RolloverRow {
        switch_at: NOW + secs(50),
        announced_at: NOW,
        switched_at: Some(NOW + secs(51)),
    };
    assert_eq!(kept(&fixture).await, Some(row));
    assert_eq!(records(&fixture).await - before, 3, "a record each");
}
