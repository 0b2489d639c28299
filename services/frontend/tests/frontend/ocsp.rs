//! OCSP as relying parties ask for it: RFC 6960 appendix A, RFC 5019 sections 5 and 6.

use std::time::{Duration, SystemTime};

use assay_proto::v1::{OcspHash, OcspIssuer, OcspSigned};
use assay_types::Timestamp;

use crate::stand::{Answer, Stand, answers, exchange};

const SHA1: &[u8] = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
const SERIAL: &[u8] = &[0x12, 0x34, 0x56];
const RESPONSE: &[u8] = b"a signed response";
/// Mon, 13 Nov 2023 00:00:00 GMT
const THIS_UPDATE: Timestamp = Timestamp::from_seconds(1_699_833_600);
const MALFORMED: &[u8] = &[0x30, 3, 0x0a, 1, 1];
const TRY_LATER: &[u8] = &[0x30, 3, 0x0a, 1, 3];
const UNAUTHORIZED: &[u8] = &[0x30, 3, 0x0a, 1, 6];

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

/// A Request of RFC 6960 about a serial of the CA whose hashes are all `of`.
fn single(of: u8, serial: &[u8]) -> Vec<u8> {
    let hash = tlv(0x04, &[&[of; 20]]);
    let id = tlv(0x30, &[SHA1, &hash, &hash, &tlv(0x02, &[serial])]);
    tlv(0x30, &[&id])
}

fn request(singles: &[&[u8]], extensions: &[u8]) -> Vec<u8> {
    let list = tlv(0x30, singles);
    tlv(0x30, &[&tlv(0x30, &[&list, extensions])])
}

fn about(serial: &[u8]) -> Vec<u8> {
    request(&[&single(7, serial)], &[])
}

fn in_seconds(seconds: u64) -> Timestamp {
    Timestamp::from(SystemTime::now()) + Duration::from_secs(seconds)
}

fn signed(next_update: Timestamp) -> OcspSigned {
    OcspSigned {
        response: RESPONSE.to_vec(),
        this_update: Some(THIS_UPDATE.into()),
        next_update: Some(next_update.into()),
        max_age_seconds: 300,
    }
}

/// A frontend whose signer has one response.
async fn stand(next_update: Timestamp) -> Stand {
    let stand = Stand::start("").await;
    stand.signer.sign(SERIAL, signed(next_update));
    stand.signer.answer_for(&[OcspIssuer {
        hash: OcspHash::Sha1.into(),
        name_hash: vec![7; 20],
        key_hash: vec![7; 20],
    }]);
    answers("the responder's path", async || {
        (stand.get("/ocsp").await.status != 404).then_some(())
    })
    .await;
    stand
}

async fn get(stand: &Stand, request: &[u8]) -> Answer {
    stand.get(&path(request)).await
}

/// Of a GET (RFC 6960, appendix A.1).
fn path(request: &[u8]) -> String {
    let text = openssl::base64::encode_block(request);
    let text = text
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    format!("/ocsp/{text}")
}

#[tokio::test]
async fn get_and_post_give_the_response_with_what_caches_need() {
    let next_update = in_seconds(86_400);
    let stand = stand(next_update).await;
    let (post, get) = (
        stand.post("/ocsp", &about(SERIAL)).await,
        get(&stand, &about(SERIAL)).await,
    );
    let expires = next_update.into();
    for answer in [&post, &get] {
        assert_eq!((answer.status, answer.body.as_slice()), (200, RESPONSE));
        for (name, value) in [
            ("content-type", "application/ocsp-response"),
            (
                "cache-control",
                "max-age=300, public, no-transform, must-revalidate",
            ),
            ("last-modified", "Mon, 13 Nov 2023 00:00:00 GMT"),
            ("expires", &httpdate::fmt_http_date(expires)),
            ("content-length", "17"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        assert!(answer.header("date").is_some());
    }
    let asked = stand.signer.asked();
    assert_eq!(asked.len(), 1, "the second answer is from memory");
    assert_eq!(asked[0].serial, SERIAL);
    let metrics = stand.metrics().await;
    let line = "assay_http_requests_total{operation=\"ocsp\",profile=\"none\",outcome=\"ok\"} 2";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_known_response_is_not_sent_twice_and_a_head_has_no_content() {
    let stand = stand(in_seconds(86_400)).await;
    let path = path(&about(SERIAL));
    let etag = stand.get(&path).await.header("etag").unwrap().to_owned();
    let ask = async |method: &str, condition: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\n{condition}Connection: close\r\n\r\n");
        exchange(stand.http, request.as_bytes()).await
    };
    let known = ask("GET", &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let head = ask("HEAD", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("etag"), Some(etag.as_str()));
    let put = ask("PUT", "").await;
    assert_eq!(put.header("allow"), Some("GET, HEAD, POST"));
}

#[tokio::test]
async fn no_cache_keeps_a_response_beyond_its_end() {
    let stand = stand(in_seconds(100)).await;
    let answer = stand.post("/ocsp", &about(SERIAL)).await;
    let control = answer.header("cache-control").unwrap();
    let age = control.strip_prefix("max-age=").unwrap();
    let age: u64 = age.split(',').next().unwrap().parse().unwrap();
    assert!((1..=100).contains(&age), "{control}");
}

#[tokio::test]
async fn what_is_not_answered_has_its_own_status_and_is_kept_by_nobody() {
    let stand = stand(in_seconds(86_400)).await;
    let one = single(7, SERIAL);
    for (what, request, wanted) in [
        ("nothing", Vec::new(), MALFORMED),
        ("no DER", b"status, please".to_vec(), MALFORMED),
        ("no certificate", request(&[], &[]), MALFORMED),
        ("several", request(&[&one, &one], &[]), UNAUTHORIZED),
        (
            "another issuer",
            request(&[&single(8, SERIAL)], &[]),
            UNAUTHORIZED,
        ),
        ("another serial", about(&[0x55]), UNAUTHORIZED),
    ] {
        let answer = stand.post("/ocsp", &request).await;
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, wanted),
            "{what}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        let content_type = answer.header("content-type");
        assert_eq!(content_type, Some("application/ocsp-response"), "{what}");
    }
    for path in ["/ocsp/", "/ocsp/%%%", "/ocsp/AAAA"] {
        assert_eq!(stand.get(path).await.body, MALFORMED, "{path}");
    }
    // Only the one serial of our CA was worth a question.
    assert_eq!(stand.signer.asked().len(), 1);
}

#[tokio::test]
async fn a_nonce_is_passed_over_and_what_is_larger_than_4096_octets_refused() {
    let stand = stand(in_seconds(86_400)).await;
    let of = |octets: usize| {
        let nonce = tlv(0x04, &[&vec![9; octets]]);
        let extension = tlv(
            0x30,
            &[
                b"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x02",
                &tlv(0x04, &[&nonce]),
            ],
        );
        let extensions = tlv(0xa2, &[&tlv(0x30, &[&extension])]);
        request(&[&single(7, SERIAL)], &extensions)
    };
    let with_nonce = of(32);
    assert_eq!(stand.post("/ocsp", &with_nonce).await.body, RESPONSE);
    assert_eq!(get(&stand, &with_nonce).await.body, RESPONSE);
    let largest = of(4_000 + 4_096 - of(4_000).len());
    assert_eq!(largest.len(), 4_096);
    assert_eq!(stand.post("/ocsp", &largest).await.body, RESPONSE);
    let larger = [largest, vec![0]].concat();
    assert_eq!(stand.post("/ocsp", &larger).await.status, 413);
    let long = format!("/ocsp/{}", "%41".repeat(6_000));
    assert_eq!(stand.get(&long).await.status, 414);
}

#[tokio::test]
async fn without_a_responder_there_is_no_such_path() {
    let stand = Stand::start("").await;
    assert_eq!(stand.post("/ocsp", &about(SERIAL)).await.status, 404);
    assert_eq!(get(&stand, &about(SERIAL)).await.status, 404);
    assert!(stand.signer.asked().is_empty());
}

#[tokio::test]
async fn while_the_signer_is_away_what_is_in_memory_is_told_and_the_rest_later() {
    let mut stand = stand(in_seconds(86_400)).await;
    assert_eq!(stand.post("/ocsp", &about(SERIAL)).await.body, RESPONSE);
    stand.stop_signer().await;
    assert_eq!(stand.post("/ocsp", &about(SERIAL)).await.body, RESPONSE);
    assert_eq!(stand.post("/ocsp", &about(&[0x55])).await.body, TRY_LATER);
}

#[tokio::test]
async fn a_response_that_has_ended_is_not_told() {
    // Where the machine is so slow that the response ends before it was first served, the next one lasts twice as long.
    let mut lasting = (1..).map(|attempt| in_seconds(2_u64.pow(attempt)));
    let (stand, end) = loop {
        let end = lasting.next().unwrap();
        let stand = stand(end).await;
        if stand.post("/ocsp", &about(SERIAL)).await.body == RESPONSE {
            break (stand, end);
        }
    };
    stand.signer.sign(
        SERIAL,
        OcspSigned {
            response: b"the next".to_vec(),
            ..signed(in_seconds(86_400))
        },
    );
    let next = answers("the end of the response", async || {
        let asked = in_seconds(0);
        let answer = stand.post("/ocsp", &about(SERIAL)).await;
        assert!(asked <= end || answer.body != RESPONSE);
        (answer.body != RESPONSE).then_some(answer)
    })
    .await;
    assert_eq!(next.body, b"the next");
}
