//! The HTTP of RFC 8894 section 4 as real clients send it, against the real process over real sockets.

use crate::stand::{self, Answer, CAPABILITIES, Stand, exchange, post, read_all};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn every_path_of_a_profile_answers_it() {
    let stand = Stand::start("").await;
    for path in [
        "/scep",
        "/scep/",
        "/scep/pkiclient.exe",
        "/scep/devices",
        "/scep/devices/",
        "/scep/devices/pkiclient.exe",
        "/cgi-bin/pkiclient.exe",
        "/certsrv/mscep/mscep.dll",
        "/certsrv/mscep/mscep.dll/pkiclient.exe",
        "/scep/devices/cgi-bin/pkiclient.exe",
        "/scep/devices/certsrv/mscep/mscep.dll",
        "/scep/devices/certsrv/mscep/mscep.dll/pkiclient.exe",
    ] {
        let answer = stand
            .get(&format!("{path}?operation=GetCACert&message=anything"))
            .await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.text(), "certificates of devices", "{path}");
    }
    for path in [
        "/scep/fleet",
        "/scep/fleet/cgi-bin/pkiclient.exe",
        "/scep/fleet/certsrv/mscep/mscep.dll",
        "/scep/fleet/certsrv/mscep/mscep.dll/pkiclient.exe",
    ] {
        let answer = stand.get(&format!("{path}?operation=GetCACert")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.text(), "certificates of fleet", "{path}");
    }
}

#[tokio::test]
async fn content_types_are_exact_and_nothing_is_stored() {
    let stand = Stand::start("").await;
    let capabilities = stand.get("/scep?operation=GetCACaps").await;
    assert_eq!(capabilities.text(), CAPABILITIES);
    let certificates = stand.get("/scep?operation=GetCACert").await;
    let reply = stand.post("/scep?operation=PKIOperation", b"message").await;
    for (answer, content_type) in [
        (capabilities, "text/plain"),
        (certificates, "application/x-x509-ca-ra-cert"),
        (reply, "application/x-pki-message"),
    ] {
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn http_1_0_gets_a_length_and_no_chunks() {
    let stand = Stand::start("").await;
    let answer = exchange(
        stand.http,
        b"GET /scep?operation=GetCACaps HTTP/1.0\r\n\r\n",
    )
    .await;
    assert!(
        answer.head.starts_with("HTTP/1.0 200 OK\r\n"),
        "{}",
        answer.head
    );
    assert_eq!(
        answer.header("content-length"),
        Some(CAPABILITIES.len().to_string().as_str())
    );
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.text(), CAPABILITIES);

    let message = b"POST /scep/devices HTTP/1.0\r\nContent-Length: 7\r\n\r\nmessage";
    let answer = exchange(stand.http, message).await;
    assert!(
        answer.head.starts_with("HTTP/1.0 200 OK\r\n"),
        "{}",
        answer.head
    );
    assert_eq!(answer.text(), "devices:message");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let stand = Stand::start("").await;
    let mut stream = TcpStream::connect(stand.http).await.unwrap();
    let both = [
        &b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &b"GET /scep/fleet?operation=GetCACert HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"[..],
    ]
    .concat();
    stream.write_all(&both).await.unwrap();
    let bytes = read_all(&mut stream).await;
    let first = Answer::parse(&bytes);
    let second = Answer::parse(&first.body[CAPABILITIES.len()..]);
    assert!(first.body.starts_with(CAPABILITIES.as_bytes()));
    assert_eq!(second.text(), "certificates of fleet");
}

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let stand = Stand::start("").await;
    // Octets whose base64 has `+`, `/` and padding.
    let message = [0xfb, 0xef, 0xbe, 0xff, 0xff, 0xfe, 0x00];
    for value in [
        "++++///+AA==",
        "%2B%2B%2B%2B%2F%2F%2F%2BAA%3D%3D",
        "%20%20%20%20///%20AA==",
        "++++//%0A/+AA==%0A",
    ] {
        let answer = stand
            .get(&format!(
                "/scep/fleet?operation=PKIOperation&message={value}"
            ))
            .await;
        assert_eq!(answer.status, 200, "{value}: {}", answer.head);
        assert_eq!(answer.body, [b"fleet:", &message[..]].concat(), "{value}");
    }
    for target in [
        "/scep?operation=PKIOperation",
        "/scep",
        "/scep?message=ignored",
    ] {
        assert_eq!(
            stand.post(target, &message).await.body,
            [b"devices:", &message[..]].concat(),
            "{target}"
        );
    }
}

#[tokio::test]
async fn what_is_no_scep_request_is_refused_by_status() {
    let stand = Stand::start("").await;
    for (target, status) in [
        ("/", 404),
        ("/scep/nobody?operation=GetCACaps", 404),
        ("/scep/devices/more?operation=GetCACaps", 404),
        ("/scep?operation=GetNextCACert", 404),
        ("/scep?operation=GetCAChain&message=0", 400),
        ("/scep?operation=getcacaps", 400),
        ("/scep", 400),
        ("/scep?operation=PKIOperation", 400),
        ("/scep?operation=PKIOperation&message=", 400),
        ("/scep?operation=PKIOperation&message=%ff%ff", 400),
    ] {
        assert_eq!(stand.get(target).await.status, status, "{target}");
    }
    for method in ["PUT", "DELETE", "HEAD", "BREW"] {
        let request =
            format!("{method} /scep?operation=GetCACaps HTTP/1.1\r\nConnection: close\r\n\r\n");
        let answer = exchange(stand.http, request.as_bytes()).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, POST"));
    }
    assert!(stand.signer.seen().is_empty());
}

#[tokio::test]
async fn the_next_certificates_are_served_as_they_came_with_their_type() {
    let stand = Stand::start("").await;
    let answer = stand.get("/scep/fleet?operation=GetNextCACert").await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-x509-next-ca-cert")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.text(), "next certificates of fleet");
}

#[tokio::test]
async fn what_the_signer_says_becomes_a_status() {
    let stand = Stand::start("").await;
    for (message, status, retry_after) in [
        ("busy", 503, Some("7")),
        ("malformed", 400, None),
        ("gone", 404, None),
        ("denied", 502, None),
        ("else", 200, None),
    ] {
        let answer = stand.post("/scep/fleet", message.as_bytes()).await;
        assert_eq!(answer.status, status, "{message}");
        assert_eq!(answer.header("retry-after"), retry_after, "{message}");
    }
    assert_eq!(
        stand.post("/scep", b"malformed").await.text(),
        "two signers\n"
    );
}

#[tokio::test]
async fn the_signer_learns_profile_address_and_request_id() {
    let stand = Stand::start("").await;
    let answer = stand.post("/scep/", b"message").await;
    let seen = stand.signer.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].profile, "devices");
    assert_eq!(seen[0].client_address, "127.0.0.1");
    assert_eq!(
        answer.header("x-request-id"),
        Some(seen[0].request_id.as_str())
    );
    assert!(seen[0].request_id.len() <= 64);
}

#[tokio::test]
async fn a_body_too_large_is_refused_before_it_is_sent() {
    let stand = Stand::start("max_body = 4096").await;
    let announced = b"POST /scep HTTP/1.1\r\nContent-Length: 4097\r\n\r\n";
    let answer = exchange(stand.http, announced).await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (413, Some("close"))
    );

    let mut chunked = b"POST /scep HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n".to_vec();
    chunked.extend([0; 0x1001]);
    assert_eq!(exchange(stand.http, &chunked).await.status, 413);

    let base64 = "A".repeat(4097 * 4 / 3 + 4);
    let length = base64.len() / 4 * 4;
    let answer = stand
        .get(&format!(
            "/scep?operation=PKIOperation&message={}",
            &base64[..length]
        ))
        .await;
    assert_eq!(answer.status, 413);

    assert!(stand.signer.seen().is_empty());
    assert_eq!(stand.post("/scep", &[0; 4096]).await.status, 200);
}

#[tokio::test]
async fn a_head_too_large_is_refused() {
    let stand = Stand::start("max_uri = 4096").await;
    let uri = "A".repeat(4097);
    assert_eq!(
        stand
            .get(&format!("/scep?operation=PKIOperation&message={uri}"))
            .await
            .status,
        414
    );
    let field = "A".repeat(64 << 10);
    let request = format!("GET /scep?operation=GetCACaps HTTP/1.1\r\nX: {field}\r\n\r\n");
    assert_eq!(exchange(stand.http, request.as_bytes()).await.status, 431);
    let fields = "X: 1\r\n".repeat(200);
    let request = format!("GET /scep?operation=GetCACaps HTTP/1.1\r\n{fields}\r\n");
    assert_eq!(exchange(stand.http, request.as_bytes()).await.status, 431);
}

#[tokio::test]
async fn who_dawdles_is_cut_off() {
    let stand = Stand::start("header_timeout = \"100ms\"\nbody_timeout = \"100ms\"").await;
    let mut slow_head = TcpStream::connect(stand.http).await.unwrap();
    slow_head
        .write_all(b"GET /scep?operation=GetCACaps HTTP/1.1\r\nX: ")
        .await
        .unwrap();
    assert!(read_all(&mut slow_head).await.is_empty());

    let slow_body = exchange(
        stand.http,
        b"POST /scep HTTP/1.1\r\nContent-Length: 7\r\n\r\nmess",
    )
    .await;
    assert_eq!(slow_body.status, 408);

    let mut idle = TcpStream::connect(stand.http).await.unwrap();
    idle.write_all(b"GET /scep?operation=GetCACaps HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(
        Answer::parse(&read_all(&mut idle).await).text(),
        CAPABILITIES
    );
    assert!(stand.signer.seen().is_empty());
}

#[tokio::test]
async fn damaged_http_is_answered_and_does_no_harm() {
    let stand = Stand::start("").await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"POST /scep HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /scep HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /scep HTTP/9.9\r\n\r\n",
    ] {
        assert_eq!(exchange(stand.http, bytes).await.status, 400, "{bytes:?}");
    }
    assert_eq!(stand.get("/scep?operation=GetCACaps").await.status, 200);
}

#[tokio::test]
async fn a_label_of_the_metrics_is_never_the_clients_choice() {
    let stand = Stand::start("").await;
    stand
        .get("/scep/nobody-knows-this?operation=GetCACaps")
        .await;
    stand.get("/scep?operation=invented").await;
    exchange(stand.http, &post("/scep/fleet", b"message")).await;
    let metrics = stand.metrics().await;
    assert!(
        !metrics.contains("nobody") && !metrics.contains("invented"),
        "{metrics}"
    );
    for line in [
        "assay_http_requests_total{operation=\"PKIOperation\",profile=\"fleet\",outcome=\"ok\"} 1",
        "assay_http_requests_total{operation=\"GetCACaps\",profile=\"none\",outcome=\"unknown-profile\"} 1",
        "assay_http_requests_total{operation=\"none\",profile=\"none\",outcome=\"unknown-operation\"} 1",
        "assay_http_requests_in_flight 0",
        "assay_signer_up 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn each_request_is_one_log_line_without_its_message() {
    let stand = Stand::start("").await;
    let path = format!(
        "/scep/fleet?operation=PKIOperation&message={}",
        "QUFB".repeat(8)
    );
    let by_get = stand.get(&path).await;
    let by_post = stand
        .post("/scep?operation=nonsense", b"AAAAAAAAAAAA")
        .await;
    stand::eventually("two lines", || stand.request_lines().len() == 2).await;
    let lines = stand.request_lines();
    for (line, answer) in lines.iter().zip([by_get, by_post]) {
        assert!(
            line.contains(answer.header("x-request-id").unwrap()),
            "{line}"
        );
        assert!(
            line.contains(&format!("\"status\":{}", answer.status)),
            "{line}"
        );
        for secret in ["QUFB", "AAAA", "nonsense", "operation="] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}
