use std::path::Path;
use std::sync::Arc;

use assay_audit::note::Note;
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const NOTE: &str = "log\n1\nroot\n\n\u{2014} log AAAAAAAA\n";

#[test]
fn a_url_of_a_witness_has_a_prefix_at_most() {
    for (text, add_checkpoint) in [
        ("http://w.example", "http://w.example/add-checkpoint"),
        ("https://w.example/", "https://w.example/add-checkpoint"),
        ("http://[::1]:81/w/a/", "http://[::1]:81/w/a/add-checkpoint"),
    ] {
        assert_eq!(Url::parse(text).unwrap().add_checkpoint, add_checkpoint);
    }
    for text in ["ftp://w.example", "w.example", "http://w.example/?a=b", ""] {
        assert!(Url::parse(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn an_https_witness_is_known_by_its_anchor_and_by_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (own, other) = (dir.path().join("own.pem"), dir.path().join("other.pem"));
    let (certificate, key) = certificate(&own);
    self::certificate(&other);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let url = Url::parse(&url).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let serve = tokio::spawn(async move {
        let mut served = 0;
        for _ in 0..3 {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut octets = [0; 4096];
            assert_ne!(stream.read(&mut octets).await.unwrap(), 0);
            let answer = "HTTP/1.1 409 Conflict\r\ncontent-type: text/x.tlog.size\r\ncontent-length: 2\r\n\r\n7\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            served += 1;
        }
        served
    });
    let note: Note = NOTE.parse().unwrap();
    let submission = Submission {
        old: 0,
        proof: Vec::new(),
        note,
    };
    let ask = async |anchors| {
        let client = Client::new(anchors).unwrap();
        client.submit(&url, &submission).await
    };
    for anchors in [Some(&*other), None] {
        let failure = ask(anchors).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Unreachable);
    }
    let verdict = ask(Some(&*own)).await.unwrap();
    assert!(matches!(verdict, Verdict::OtherSize(7)), "{verdict:?}");
    assert_eq!(serve.await.unwrap(), 1);
}

#[test]
fn what_holds_no_anchor_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("anchors.pem");
    for text in [
        "",
        "no PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&file, text).unwrap();
        assert!(Client::new(Some(&file)).is_err(), "{text}");
    }
    assert!(Client::new(Some(&dir.path().join("none"))).is_err());
}

/// A certificate for 127.0.0.1 that signs itself, also as a file.
fn certificate(file: &Path) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "witness").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    let (begin, end) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
    builder.set_not_before(&begin.unwrap()).unwrap();
    builder.set_not_after(&end.unwrap()).unwrap();
    let names = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .build(&builder.x509v3_context(None, None))
        .unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build();
    std::fs::write(file, certificate.to_pem().unwrap()).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.private_key_to_pkcs8().unwrap());
    (
        CertificateDer::from(certificate.to_der().unwrap()),
        key.into(),
    )
}
