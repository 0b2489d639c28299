//! Floods from one address, and a signer that stays away.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::stand::{Stand, answers, connect_from, exchange_over, post, read_all};

const OTHER: &str = "127.0.0.2";
const CAPS: &[u8] = b"GET /scep?operation=GetCACaps HTTP/1.1\r\nConnection: close\r\n\r\n";
const HALF: &[u8] = b"GET /scep?operation=GetCACaps HTTP/1.1\r\nX-Slow: ";

#[tokio::test]
async fn half_open_requests_of_one_address_keep_nobody_out() {
    let stand = Stand::start("header_timeout = \"10m\"").await;
    let mut half_open = Vec::new();
    for _ in 0..600 {
        let mut stream = TcpStream::connect(stand.http).await.unwrap();
        stream.write_all(HALF).await.unwrap();
        half_open.push(stream);
    }
    // Neither another address, nor the same one.
    let other = connect_from(OTHER, stand.http).await;
    assert_eq!(exchange_over(other, CAPS).await.status, 200);
    assert_eq!(stand.get("/scep?operation=GetCACaps").await.status, 200);
    let shed = r#"assay_connections_shed_total{listener="scep"}"#;
    assert!(stand.metrics().await.contains(shed));
}

/// Each address is within its limits, and all together have more connections than there are.
#[tokio::test]
async fn half_sent_messages_of_many_addresses_keep_nobody_out() {
    let stand = Stand::start("body_timeout = \"10m\"").await;
    let mut half_sent = Vec::new();
    for last in 10..30 {
        for _ in 0..40 {
            let mut stream = connect_from(&format!("127.0.0.{last}"), stand.http).await;
            let head: &[u8] =
                b"POST /scep?operation=PKIOperation HTTP/1.1\r\nContent-Length: 4096\r\n\r\nx";
            stream.write_all(head).await.unwrap();
            half_sent.push(stream);
        }
    }
    for _ in 0..20 {
        let other = connect_from(OTHER, stand.http).await;
        assert_eq!(exchange_over(other, CAPS).await.status, 200);
        let other = connect_from(OTHER, stand.http).await;
        let answer = exchange_over(other, &post("/scep", b"message")).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn an_address_past_its_connections_gives_up_its_own() {
    let stand = Stand::start("address_connections = 2\nheader_timeout = \"10m\"").await;
    let mut lone = TcpStream::connect(stand.http).await.unwrap();
    lone.write_all(HALF).await.unwrap();
    let mut many = Vec::new();
    for _ in 0..10 {
        many.push(connect_from(OTHER, stand.http).await);
    }
    for mut oldest in many.drain(..8) {
        assert!(read_all(&mut oldest).await.is_empty());
    }
    lone.write_all(b"1\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(read_all(&mut lone).await.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn requests_at_work_are_bounded_for_each_address() {
    let stand = Stand::start("address_concurrency = 1").await;
    let hanging = tokio::spawn({
        let stream = TcpStream::connect(stand.http).await.unwrap();
        async move { exchange_over(stream, &post("/scep", b"hang")).await }
    });
    stand.signer.has_seen(1).await;
    let refused = stand.post("/scep", b"message").await;
    assert_eq!(
        (refused.status, refused.header("retry-after").is_some()),
        (503, true)
    );
    let other = connect_from(OTHER, stand.http).await;
    let other = exchange_over(other, &post("/scep", b"message")).await;
    assert_eq!(other.status, 200);
    stand.signer.release();
    assert_eq!(hanging.await.unwrap().status, 200);
    assert_eq!(stand.post("/scep", b"message").await.status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_names_its_client_and_nobody_else_can() {
    let proxies = format!("[http.proxies]\naddresses = [\"{OTHER}\"]\nclient = \"proxy-protocol\"");
    let mut stand = Stand::without_signer("address_connections = 2", &proxies).await;
    stand.start_signer().await;
    stand.ready().await;
    let header: &[u8] = b"PROXY TCP4 198.51.100.7 192.0.2.1 9 80\r\n";
    let request = [header, CAPS].concat();
    // More than one address may have: a proxy has the connections of all its clients.
    let mut idle = Vec::new();
    for _ in 0..5 {
        idle.push(connect_from(OTHER, stand.http).await);
    }
    let trusted = connect_from(OTHER, stand.http).await;
    assert_eq!(exchange_over(trusted, &request).await.status, 200);
    let line = stand.request_lines().pop().unwrap();
    assert!(line.contains("198.51.100.7:9"), "{line}");
    let foreign = TcpStream::connect(stand.http).await.unwrap();
    assert_eq!(exchange_over(foreign, &request).await.status, 400);
    let mut silent = connect_from(OTHER, stand.http).await;
    silent.write_all(CAPS).await.unwrap();
    assert!(read_all(&mut silent).await.is_empty());
    // The clients of a proxy are bounded by themselves.
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = connect_from(OTHER, stand.http).await;
        client.write_all(header).await.unwrap();
        clients.push(client);
    }
    let [a, b, c] = &mut clients[..] else {
        panic!("three");
    };
    let closed = tokio::select! {
        bytes = read_all(a) => bytes,
        bytes = read_all(b) => bytes,
        bytes = read_all(c) => bytes,
    };
    assert!(closed.is_empty());
}

#[tokio::test]
async fn a_frontend_whose_signer_stays_away_is_not_ready_and_says_why() {
    let mut stand = Stand::configured("", "", "unready_after = \"100ms\"").await;
    stand.start_signer().await;
    stand.ready().await;
    stand.stop_signer().await;
    let cause = answers("not ready", async || {
        let readiness = stand.readiness().await;
        (readiness.status == 503).then(|| readiness.text())
    })
    .await;
    assert!(cause.contains("signer: not heard from for"), "{cause}");
    // It still answers all that it can answer by itself.
    assert_eq!(stand.get("/scep?operation=GetCACaps").await.status, 200);
    stand.start_signer().await;
    stand.ready().await;
}
