//! What probes and scrapers see.

#![allow(clippy::unwrap_used, reason = "helpers of tests may, like tests")]

use std::time::Duration;

use assay_runtime::drain::{Drained, Shutdown};
use assay_runtime::ops::{Ops, OpsConfig, Readiness};
use assay_runtime::ready::Ready;
use assay_runtime::telemetry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn get(address: std::net::SocketAddr, method: &str, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn readiness_tells_its_causes_and_metrics_are_scraped() {
    let handle = telemetry::metrics("assay-test", "1.2.3").unwrap();
    let ops = Ops::bind(&OpsConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
    })
    .unwrap();
    let address = ops.local_addr();
    let (readiness, shutdown) = (Readiness::waiting_for(&["signer"]), Shutdown::new());
    ops.serve(handle, readiness.clone(), &shutdown).unwrap();

    assert!(
        get(address, "GET", "/healthz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let waiting = get(address, "GET", "/readyz").await;
    assert!(waiting.starts_with("HTTP/1.1 503"), "{waiting}");
    assert!(
        waiting.ends_with("{\"causes\":[\"signer: starting\"],\"ready\":false}\n"),
        "{waiting}"
    );

    readiness.clear("signer");
    readiness.ready().await;
    assert!(
        get(address, "GET", "/readyz")
            .await
            .starts_with("HTTP/1.1 200")
    );

    readiness.set_cause("token", "gone");
    assert!(!readiness.is_ready());
    assert!(get(address, "GET", "/readyz").await.contains("token: gone"));
    readiness.clear("token");

    metrics::histogram!("assay_example_seconds").record(0.003);
    let scraped = get(address, "GET", "/metrics").await;
    assert!(
        scraped.contains("assay_build_info{service=\"assay-test\",version=\"1.2.3\"} 1"),
        "{scraped}"
    );
    assert!(
        scraped.contains("assay_example_seconds_bucket{le=\"0.005\"} 1"),
        "{scraped}"
    );
    assert!(
        scraped.contains("assay_example_seconds_bucket{le=\"0.0025\"} 0"),
        "{scraped}"
    );

    assert!(
        get(address, "POST", "/metrics")
            .await
            .contains("allow: GET, HEAD")
    );
    assert!(get(address, "GET", "/").await.starts_with("HTTP/1.1 404"));

    shutdown.request();
    assert!(
        get(address, "GET", "/readyz")
            .await
            .contains("shutdown: the service is stopping")
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_work_but_not_for_ever() {
    let shutdown = Shutdown::new();
    let token = shutdown.token();
    shutdown.spawn(async move { token.cancelled().await });
    assert_eq!(
        shutdown.drain(Duration::from_secs(1)).await,
        Drained::Abandoned(1)
    );
    shutdown.request();
    assert_eq!(shutdown.drain(Duration::from_secs(1)).await, Drained::Clean);
}

#[test]
fn a_ready_file_reads_as_it_was_written_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ready.json");
    let mut ready = Ready::this_process();
    ready.http = Some("127.0.0.1:8080".parse().unwrap());
    ready.write(&path).unwrap();
    assert_eq!(Ready::read(&path).unwrap(), ready);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_address_that_is_taken_is_named_with_its_key() {
    let bind = |listen| Ops::bind(&OpsConfig { listen });
    let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = first.local_addr();
    let refused = bind(address).unwrap_err().to_string();
    let said = format!("[ops] listen = \"{address}\": Address already in use");
    assert!(refused.starts_with(&said), "{refused}");
}

#[tokio::test]
async fn half_open_requests_keep_no_probe_out() {
    let handle = telemetry::metrics("assay-test", "1.2.3").unwrap();
    let ops = Ops::bind(&OpsConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
    })
    .unwrap();
    let address = ops.local_addr();
    ops.serve(handle, Readiness::waiting_for(&[]), &Shutdown::new())
        .unwrap();
    let mut half_open = Vec::new();
    for _ in 0..600 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\n")
            .await
            .unwrap();
        half_open.push(stream);
    }
    // Earlier than the 10 s after which a half-open request is ended by itself.
    let probe = get(address, "GET", "/metrics");
    let scraped = tokio::time::timeout(Duration::from_secs(9), probe).await;
    let shed = r#"assay_connections_shed_total{listener="ops"} "#;
    assert!(scraped.unwrap().contains(shed));
}
