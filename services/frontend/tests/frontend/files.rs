//! The CRL as relying parties fetch it, with the caching of RFC 9110 and RFC 9111.

use assay_types::Timestamp;

use crate::stand::{Answer, CRL, Stand, answers, exchange};

const PATH: &str = "/crl/ca.crl";
const MODIFIED: &str = "Mon, 13 Nov 2023 00:00:00 GMT";

async fn ask(stand: &Stand, method: &str, condition: &str) -> Answer {
    let request = format!("{method} {PATH} HTTP/1.1\r\n{condition}Connection: close\r\n\r\n");
    exchange(stand.http, request.as_bytes()).await
}

#[tokio::test]
async fn a_crl_is_served_with_what_caches_need() {
    let stand = Stand::start("").await;
    let answer = ask(&stand, "GET", "").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, CRL));
    for (name, value) in [
        ("content-type", "application/pkix-crl"),
        ("cache-control", "public, max-age=300"),
        ("last-modified", MODIFIED),
        ("content-length", "22"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let metrics = stand.metrics().await;
    let line = "assay_http_requests_total{operation=\"file\",profile=\"none\",outcome=\"ok\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_head_tells_the_same_without_the_content() {
    let stand = Stand::start("").await;
    let (get, head) = (ask(&stand, "GET", "").await, ask(&stand, "HEAD", "").await);
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in [
        "content-type",
        "content-length",
        "cache-control",
        "etag",
        "last-modified",
    ] {
        assert!(get.header(name).is_some(), "{name}");
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[tokio::test]
async fn what_a_cache_holds_is_not_sent_again() {
    let stand = Stand::start("").await;
    let tag = ask(&stand, "GET", "")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    for (condition, status) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{tag}\r\n"), 304),
        (
            format!("If-None-Match: \"x\"\r\nIf-None-Match: {tag}\r\n"),
            304,
        ),
        ("If-None-Match: *\r\n".to_owned(), 304),
        ("If-None-Match: \"x\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {MODIFIED}\r\n"), 304),
        (
            "If-Modified-Since: Monday, 13-Nov-23 00:00:01 GMT\r\n".to_owned(),
            304,
        ),
        (
            "If-Modified-Since: Sun, 12 Nov 2023 23:59:59 GMT\r\n".to_owned(),
            200,
        ),
        ("If-Modified-Since: yesterday\r\n".to_owned(), 200),
        // The tag counts alone where there is one.
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {MODIFIED}\r\n"),
            200,
        ),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&stand, method, &condition).await;
            assert_eq!(answer.status, status, "{method} {condition}");
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
            assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
            if status == 304 {
                assert!(answer.body.is_empty());
                assert_eq!(answer.header("content-type"), None);
            }
        }
    }
}

#[tokio::test]
async fn only_files_that_the_signer_named_are_there_and_only_to_read() {
    let stand = Stand::start("").await;
    for path in [
        "/crl/other.crl",
        "/crl/ca.crl/",
        "//crl/ca.crl",
        "/crl/../crl/ca.crl",
        "/crl/CA.crl",
        "/aia/ca.cer",
    ] {
        assert_eq!(stand.get(path).await.status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let answer = ask(&stand, method, "").await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_new_crl_replaces_the_old_and_survives_the_signer() {
    let mut stand = Stand::without_signer("", "").await;
    assert_eq!(ask(&stand, "GET", "").await.status, 503);
    stand.start_signer().await;
    stand.ready().await;
    let old = ask(&stand, "GET", "").await;
    let known = format!("If-None-Match: {}\r\n", old.header("etag").unwrap());

    stand
        .signer
        .publish_crl("one more", Timestamp::from_seconds(1_699_920_000));
    let answer = answers("the new list", async || {
        let answer = ask(&stand, "GET", &known).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.text(), "one more");
    assert_eq!(
        answer.header("last-modified"),
        Some("Tue, 14 Nov 2023 00:00:00 GMT")
    );

    stand.stop_signer().await;
    assert_eq!(ask(&stand, "GET", "").await.text(), "one more");
}
