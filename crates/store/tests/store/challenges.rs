use assay_store::{
    ChallengeQuery, ChallengeState, ChallengeStatus, MAX_ROWS, Revocation, StoreError,
};
use assay_types::Timestamp;

use crate::support::*;

#[tokio::test]
async fn a_thousand_challenges_are_kept_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let mut challenges: Vec<_> = (0..1000)
        .map(|number| one_time(&number.to_string()))
        .collect();
    let audit: Vec<_> = challenges.iter().map(|_| clock_step()).collect();
    let sequence = fixture
        .store
        .insert_challenges(challenges.clone(), audit)
        .await
        .unwrap();
    assert_eq!(sequence, 1000);

    challenges.iter_mut().for_each(|challenge| {
        challenge.id.insert(0, 'x');
        challenge.lookup = keyed(&challenge.id);
    });
    challenges.last_mut().unwrap().id = "0".to_owned();
    fixture
        .store
        .insert_challenges(challenges, vec![clock_step()])
        .await
        .unwrap_err();
    assert_eq!(find_challenge(&fixture.store, keyed("x0")).await, None);
    assert_eq!(fixture.store.counts().await.unwrap().audit_records, 1000);
}

#[tokio::test]
async fn a_challenge_comes_back_as_it_was_given() {
    let fixture = Fixture::new();
    fixture.challenge("c").await;
    let row = find_challenge(&fixture.store, keyed("c")).await.unwrap();
    let given = one_time("c");
    assert_eq!((row.id, row.profile), (given.id, given.profile));
    assert_eq!(row.subject, given.subject);
    assert_eq!((row.sans, row.expires_at), (given.sans, given.expires_at));
    assert_eq!((row.state, row.serial), (ChallengeState::Open, None));
    assert_eq!(find_challenge(&fixture.store, keyed("d")).await, None);
}

#[tokio::test]
async fn only_an_open_challenge_is_revoked_and_only_that_is_recorded() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.challenge("c").await;
    let before = store.counts().await.unwrap().audit_records;
    let revoke = |id: &str| store.revoke_challenge(id.to_owned(), vec![clock_step()]);
    assert_eq!(revoke("c").await.unwrap(), Revocation::Revoked);
    let again = revoke("c").await.unwrap();
    assert_eq!(again, Revocation::Unchanged(ChallengeState::Revoked));
    assert_eq!(revoke("d").await.unwrap(), Revocation::Unknown);
    assert_eq!(store.counts().await.unwrap().audit_records, before + 1);
}

#[tokio::test]
async fn challenges_are_listed_by_profile_and_state() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    for name in ["a", "b", "c"] {
        fixture.challenge(name).await;
    }
    store
        .insert_challenges(vec![static_challenge("s")], vec![])
        .await
        .unwrap();
    store
        .revoke_challenge("b".to_owned(), vec![])
        .await
        .unwrap();
    let list = |query| {
        let page = store.list_challenges(query);
        async {
            let page = page.await.unwrap();
            let ids: Vec<_> = page.rows.into_iter().map(|row| row.id).collect();
            (ids, page.next)
        }
    };
    let all = ChallengeQuery {
        now: NOW,
        ..ChallengeQuery::default()
    };
    let ids = async |query| list(query).await.0;
    assert_eq!(ids(all.clone()).await, ["s", "c", "b", "a"]);
    let of = |status| ChallengeQuery {
        status: Some(status),
        ..all.clone()
    };
    let open = ChallengeQuery {
        profile: Some("devices".to_owned()),
        ..of(ChallengeStatus::Open)
    };
    assert_eq!(ids(open.clone()).await, ["c", "a"]);
    assert_eq!(ids(of(ChallengeStatus::Revoked)).await, ["b"]);

    // Nothing but the time makes an open one an expired one; a static one without an end stays.
    assert_eq!(ids(of(ChallengeStatus::Expired)).await, [""; 0]);
    let later = |query| ChallengeQuery {
        now: Timestamp::MAX,
        ..query
    };
    assert_eq!(ids(later(of(ChallengeStatus::Expired))).await, ["c", "a"]);
    assert_eq!(ids(later(of(ChallengeStatus::Open))).await, ["s"]);
    assert_eq!(ids(later(open)).await, [""; 0]);

    // The last page is known to be the last, also where it is full.
    let mut paged = ChallengeQuery { rows: 2, ..all };
    let (first, next) = list(paged.clone()).await;
    assert_eq!(first, ["s", "c"]);
    paged.before = next;
    assert_eq!(
        list(paged.clone()).await,
        (vec!["b".to_owned(), "a".to_owned()], None)
    );
    paged.rows = MAX_ROWS + 1;
    let refused = store.list_challenges(paged).await;
    assert!(matches!(
        refused,
        Err(StoreError::TooManyRows { asked: 1_001 })
    ));
}
