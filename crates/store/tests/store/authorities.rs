use assay_store::AuthorityRow;

use crate::support::*;

fn authority(ca_id: &str, certificates: &[&str], since: i64) -> AuthorityRow {
    AuthorityRow {
        ca_id: ca_id.to_owned(),
        certificates: certificates
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect(),
        since,
    }
}

#[tokio::test]
async fn a_ca_is_kept_once_and_for_good_in_the_order_of_coming() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    assert_eq!(store.authorities().await.unwrap(), []);
    // Names and hashes of the later one sort before the first.
    let first = authority("bb", &["first", "root"], NOW);
    let second = authority("aa", &["second", "middle", "root"], NOW + 5);
    assert!(store.keep_authority(first.clone()).await.unwrap());
    assert!(store.keep_authority(second.clone()).await.unwrap());
    let again = authority("bb", &["first", "root"], NOW + HOUR);
    assert!(!store.keep_authority(again).await.unwrap());

    let fixture = fixture.reopen();
    let kept = fixture.store.authorities().await.unwrap();
    assert_eq!(kept, [first, second]);
}

#[tokio::test]
async fn a_renewed_certificate_of_a_key_is_kept_beside_the_one_before() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let before = authority("aa", &["certificate", "root"], NOW);
    let renewed = authority("aa", &["renewed", "root"], NOW + HOUR);
    for one in [&before, &renewed] {
        assert!(store.keep_authority(one.clone()).await.unwrap());
    }
    assert_eq!(store.authorities().await.unwrap(), [before, renewed]);
}

#[tokio::test]
async fn what_stands_above_a_ca_is_kept_as_it_is_now() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let others = authority("bb", &["another", "root"], NOW);
    let long = authority("aa", &["certificate", "middle", "root"], NOW);
    let short = authority("aa", &["certificate", "new root"], NOW + HOUR);
    for one in [&others, &long, &short] {
        store.keep_authority(one.clone()).await.unwrap();
    }
    let kept = store.authorities().await.unwrap();
    let now = authority("aa", &["certificate", "new root"], NOW);
    assert_eq!(kept, [others, now]);
}

#[tokio::test]
async fn without_a_certificate_there_is_no_ca() {
    let fixture = Fixture::new();
    let none = authority("aa", &[], NOW);
    assert!(!fixture.store.keep_authority(none).await.unwrap());
    assert_eq!(fixture.store.authorities().await.unwrap(), []);
}
