//! How the frontend behaves while its signer, its load and its own life change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::stand::{
    Answer, CAPABILITIES, Stand, answers, exchange, frontend_command, post, read_all,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn public_answers_survive_the_signer() {
    let mut stand = Stand::without_signer("", "").await;
    let readiness = stand.readiness().await;
    assert_eq!(readiness.status, 503);
    assert!(readiness.text().contains("signer"), "{}", readiness.text());
    for answer in [
        stand.get("/scep?operation=GetCACaps").await,
        stand.post("/scep", b"message").await,
    ] {
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("5"))
        );
    }

    stand.start_signer().await;
    stand.ready().await;
    assert_eq!(
        stand.post("/scep", b"message").await.text(),
        "devices:message"
    );

    stand.stop_signer().await;
    let away = stand.post("/scep", b"message").await;
    assert_eq!((away.status, away.header("retry-after")), (503, Some("5")));
    assert_eq!(
        stand.get("/scep?operation=GetCACaps").await.text(),
        CAPABILITIES
    );
    assert_eq!(
        stand.get("/scep/fleet?operation=GetCACert").await.text(),
        "certificates of fleet"
    );
    assert_eq!(stand.readiness().await.status, 200);

    stand.start_signer().await;
    // The channel connects anew by itself; until it has, 503 is right.
    let answer = answers("the channel", async || {
        let answer = stand.post("/scep", b"again").await;
        assert!([200, 503].contains(&answer.status), "{}", answer.status);
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.text(), "devices:again");
}

#[tokio::test]
async fn a_profile_is_served_once_it_is_activated() {
    let stand = Stand::start("").await;
    assert_eq!(stand.get("/scep/new?operation=GetCACert").await.status, 404);
    stand.signer.activate("new");
    let answer = answers("the new profile", async || {
        let answer = stand.get("/scep/new?operation=GetCACert").await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.text(), "certificates of new");
    // The CRL is the same, and was not sent again.
    assert_eq!(stand.signer.contents(), 1);
}

#[tokio::test]
async fn overload_is_told_before_any_work() {
    let stand = Stand::start("concurrency = 1").await;
    let address = stand.http;
    let first = tokio::spawn(async move { exchange(address, &post("/scep", b"hang")).await });
    stand.signer.has_seen(1).await;
    let refused = stand.post("/scep", b"message").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("2"))
    );
    assert_eq!(stand.get("/scep?operation=GetCACaps").await.status, 200);
    assert_eq!(stand.signer.seen().len(), 1);
    stand.signer.release();
    assert_eq!(first.await.unwrap().text(), "released");
    assert_eq!(stand.post("/scep", b"next").await.status, 200);
}

#[tokio::test]
async fn a_connection_at_work_is_kept_and_an_idle_one_gives_way() {
    let stand = Stand::start("connections = 1").await;
    let mut first = TcpStream::connect(stand.http).await.unwrap();
    let length = "hang".len();
    let request = format!("POST /scep HTTP/1.1\r\nContent-Length: {length}\r\n\r\nhang");
    first.write_all(request.as_bytes()).await.unwrap();
    stand.signer.has_seen(1).await;
    let mut second = TcpStream::connect(stand.http).await.unwrap();
    assert!(read_all(&mut second).await.is_empty());
    assert!(
        stand
            .metrics()
            .await
            .contains(r#"assay_connections_refused_total{listener="scep"} 1"#)
    );
    stand.signer.release();
    first.read_u8().await.unwrap();
    // It is kept alive between two requests, and idle.
    let answer = answers("a place", async || {
        let mut third = TcpStream::connect(stand.http).await.unwrap();
        let request = b"GET /scep?operation=GetCACaps HTTP/1.0\r\n\r\n";
        third.write_all(request).await.unwrap();
        let answer = read_all(&mut third).await;
        (!answer.is_empty()).then(|| Answer::parse(&answer))
    })
    .await;
    assert_eq!(answer.text(), CAPABILITIES);
    assert!(read_all(&mut first).await.ends_with(b"released"));
}

#[tokio::test]
async fn an_old_connection_is_closed() {
    let stand = Stand::start("connection_age = \"100ms\"\nheader_timeout = \"1h\"").await;
    let request = b"GET /scep?operation=GetCACaps HTTP/1.1\r\n\r\n";
    // A connection that is too old before its request has arrived is closed without an answer: then another one is made.
    let answer = answers("an answer before the end", async || {
        let mut stream = TcpStream::connect(stand.http).await.unwrap();
        stream.write_all(request).await.ok()?;
        let read = read_all(&mut stream).await;
        (!read.is_empty()).then_some(read)
    })
    .await;
    assert_eq!(Answer::parse(&answer).text(), CAPABILITIES);
}

#[tokio::test]
async fn a_device_that_hangs_up_does_not_stop_its_enrolment() {
    let stand = Stand::start("concurrency = 1").await;
    let mut device = TcpStream::connect(stand.http).await.unwrap();
    device.write_all(&post("/scep", b"hang")).await.unwrap();
    stand.signer.has_seen(1).await;
    drop(device);
    assert_eq!(stand.post("/scep", b"next").await.status, 503);
    stand.signer.release();
    stand.signer.has_finished(1).await;
}

#[tokio::test]
async fn a_drain_finishes_what_was_begun() {
    let mut stand = Stand::start("").await;
    let mut idle = TcpStream::connect(stand.http).await.unwrap();
    idle.write_all(b"GET /scep?operation=GetCACaps HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    let mut device = TcpStream::connect(stand.http).await.unwrap();
    device
        .write_all(b"POST /scep HTTP/1.1\r\nContent-Length: 4\r\n\r\nhang")
        .await
        .unwrap();
    stand.signer.has_seen(1).await;
    stand.terminate();
    // The idle connection ends at once; nobody else is let in.
    read_all(&mut idle).await;
    while TcpStream::connect(stand.http).await.is_ok() {}
    stand.signer.release();
    let answer = Answer::parse(&read_all(&mut device).await);
    assert_eq!((answer.status, answer.text().as_str()), (200, "released"));
    assert!(stand.exit().await.success());
}

#[tokio::test]
async fn a_drain_has_a_deadline() {
    let mut stand = Stand::start("drain_timeout = \"50ms\"").await;
    let mut device = TcpStream::connect(stand.http).await.unwrap();
    device.write_all(&post("/scep", b"hang")).await.unwrap();
    stand.signer.has_seen(1).await;
    stand.terminate();
    assert!(stand.exit().await.success());
}

#[tokio::test]
async fn tls_towards_devices_asks_for_no_certificate() {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};

    let web = crate::stand::pki::Anchor::new("web");
    let folder = tempfile::tempdir().unwrap();
    let files = web.files(folder.path(), "web", &[], &web);
    let table = format!(
        "[http.tls]\ncertificate = {:?}\nprivate_key = {:?}\n",
        files.certificate, files.private_key
    );
    let mut stand = Stand::without_signer("", &table).await;
    stand.start_signer().await;
    stand.ready().await;

    let mut roots = rustls::RootCertStore::empty();
    let anchors = CertificateDer::pem_file_iter(&files.trust_anchors).unwrap();
    roots.add_parsable_certificates(anchors.map(Result::unwrap));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let asked = Arc::new(Asked::default());
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_client_cert_resolver(Arc::clone(&asked) as _);
        let stream = TcpStream::connect(stand.http).await.unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("host.example").unwrap(), stream)
            .await
            .unwrap();
        stream
            .write_all(b"GET /scep?operation=GetCACaps HTTP/1.0\r\n\r\n")
            .await
            .unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        assert_eq!(Answer::parse(&bytes).text(), CAPABILITIES);
        assert!(!asked.0.load(Ordering::Relaxed), "{version:?}");
    }
}

/// Notes whether a server asked for a client certificate.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl rustls::client::ResolvesClientCert for Asked {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_in_one_line() {
    let stand = Stand::without_signer("", "").await;
    let good = std::fs::read_to_string(stand.folder.path().join("frontend.toml")).unwrap();
    let path = stand.folder.path().join("wrong.toml");
    for (from, to, told) in [
        (
            "listen",
            "listn",
            "wrong.toml:2:1: unknown key `listn` in [http]; did you mean `listen`?",
        ),
        (
            "[limits]",
            "[limits]\nconcurrency = 0",
            "`limits.concurrency`: 0 is not within 1 to 974",
        ),
        (
            "assay://signer/main",
            "assay://operator/a",
            "`signer.identity`: must be assay://signer/NAME",
        ),
        (
            "\"frontend.key\"",
            "\"missing.key\"",
            "missing.key: cannot be read",
        ),
        (
            "\"frontend.pem\"",
            "\"signer.pem\"",
            "is assay://signer/main, but a certificate of role frontend",
        ),
    ] {
        std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let output = frontend_command()
            .arg("--config")
            .arg(&path)
            .arg("--check")
            .output()
            .await
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(stderr.contains(told), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let fine = frontend_command()
        .arg("--config")
        .arg(stand.folder.path().join("frontend.toml"))
        .arg("--check")
        .output()
        .await
        .unwrap();
    assert!(fine.status.success());
}

#[test]
fn the_example_holds_every_default() {
    let text = include_str!("../../frontend.toml.example");
    let example = assay_frontend::FrontendConfig::parse("frontend.toml.example", text).unwrap();
    assert_eq!(example.limits, assay_frontend::LimitsConfig::default());
    assert_eq!(example.log, assay_runtime::telemetry::LogConfig::default());
    // What is commented out parses too.
    let all: String = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let all = assay_frontend::FrontendConfig::parse("frontend.toml.example", &all).unwrap();
    assert!(all.http.tls.is_some());
}
