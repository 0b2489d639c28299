use assay_store::IssuerRow;
use assay_types::Timestamp;

use crate::support::*;

fn issuer(ca_id: &str, certificates: &[&str], since: Timestamp) -> IssuerRow {
    IssuerRow {
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
    assert_eq!(store.issuers().await.unwrap(), []);
    // Names and hashes of the later one sort before the first.
    let first = issuer("bb", &["first", "root"], NOW);
    let second = issuer("aa", &["second", "middle", "root"], NOW + secs(5));
    assert!(store.keep_issuer(first.clone()).await.unwrap());
    assert!(store.keep_issuer(second.clone()).await.unwrap());
    let again = issuer("bb", &["first", "root"], NOW + HOUR);
    assert!(!store.keep_issuer(again).await.unwrap());

    let fixture = fixture.reopen();
    let kept = fixture.store.issuers().await.unwrap();
    assert_eq!(kept, [first, second]);
}

#[tokio::test]
async fn a_renewed_certificate_of_a_key_is_kept_beside_the_one_before() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let before = issuer("aa", &["certificate", "root"], NOW);
    let renewed = issuer("aa", &["renewed", "root"], NOW + HOUR);
    for one in [&before, &renewed] {
        assert!(store.keep_issuer(one.clone()).await.unwrap());
    }
    assert_eq!(store.issuers().await.unwrap(), [before, renewed]);
}

#[tokio::test]
async fn what_stands_above_a_ca_is_kept_as_it_is_now() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let others = issuer("bb", &["another", "root"], NOW);
    let long = issuer("aa", &["certificate", "middle", "root"], NOW);
    let short = issuer("aa", &["certificate", "new root"], NOW + HOUR);
    for one in [&others, &long, &short] {
        store.keep_issuer(one.clone()).await.unwrap();
    }
    let kept = store.issuers().await.unwrap();
    let now = issuer("aa", &["certificate", "new root"], NOW);
    assert_eq!(kept, [others, now]);
}

#[tokio::test]
async fn without_a_certificate_there_is_no_ca() {
    let fixture = Fixture::new();
    let none = issuer("aa", &[], NOW);
    assert!(!fixture.store.keep_issuer(none).await.unwrap());
    assert_eq!(fixture.store.issuers().await.unwrap(), []);
}
