//! What strangers send to `/ocsp`: each gets the answer that fits, at no cost to the token, and the next is served.

use anyhow::{Context, Result};
use assay_tests::http::{self, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use openssl::hash::MessageDigest;
use openssl::ocsp::{OcspCertId, OcspRequest};
use openssl::x509::X509;

use crate::Scene;
use crate::load::counted;

const OCSP: &str = "application/ocsp-request";
const MALFORMED: &[u8] = &[0x30, 3, 0x0a, 1, 1];
const UNAUTHORIZED: &[u8] = &[0x30, 3, 0x0a, 1, 6];
/// Octets of a request at most.
const MOST: usize = 4_096;
/// AlgorithmIdentifier of SHA-1, with the head of the issuerNameHash that comes after it (RFC 6960 section 4.1.1).
const BEFORE_NAME_HASH: &[u8] = b"\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";
const HASH: usize = 20;
const HEAD: usize = 2;

#[tokio::test]
async fn each_bad_request_has_its_answer_and_none_costs_the_token_anything() -> Result<()> {
    let scene = Scene::set().await?;
    let device = scene.enrolled("pump-1").await?;
    let good = scene.responder.request(&device)?;
    let name_hash = find(&good, BEFORE_NAME_HASH)? + BEFORE_NAME_HASH.len();
    let key_hash = name_hash + HASH + HEAD;
    let before = counted(&scene).await?.0;

    let flipped = |at: usize| {
        let mut request = good.clone();
        if let Some(octet) = request.get_mut(at) {
            *octet ^= 1;
        }
        request
    };
    let cut = good.get(..good.len() - 1).context("no request")?.to_vec();
    let indefinite = [&[0x30, 0x80], good.get(2..).unwrap_or_default(), &[0, 0]].concat();
    for (what, request, wanted) in [
        ("nothing", Vec::new(), MALFORMED),
        ("text", b"is this certificate good?".to_vec(), MALFORMED),
        ("a request that is cut", cut, MALFORMED),
        ("an octet after it", [&good[..], &[0]].concat(), MALFORMED),
        ("BER of indefinite length", indefinite, MALFORMED),
        (
            "a list of none",
            b"\x30\x04\x30\x02\x30\x00".to_vec(),
            MALFORMED,
        ),
        (
            "a response",
            scene.responder.get(&device).await?.body,
            MALFORMED,
        ),
        ("only zeros", vec![0; MOST], MALFORMED),
        ("nested to the limit", vec![0x30; MOST], MALFORMED),
        (
            "several certificates",
            several(&scene, &device)?,
            UNAUTHORIZED,
        ),
        ("another issuer's name", flipped(name_hash), UNAUTHORIZED),
        ("another issuer's key", flipped(key_hash), UNAUTHORIZED),
        ("an unknown serial", flipped(good.len() - 1), UNAUTHORIZED),
    ] {
        let answer = http::post_as(scene.responder.url(), OCSP, &request).await?;
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, wanted),
            "{what}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    }
    let larger = http::post_as(scene.responder.url(), OCSP, &vec![0x30; MOST + 1]).await?;
    assert_eq!(larger.status, 413);

    assert_eq!(counted(&scene).await?.0, before);
    assert_eq!(scene.responder.status(&device).await?, "good");
    Ok(())
}

#[tokio::test]
async fn a_get_is_read_as_clients_write_it_and_what_is_no_base64_is_malformed() -> Result<()> {
    let scene = Scene::set().await?;
    let device = scene.enrolled("pump-1").await?;
    let request = scene.responder.request(&device)?;
    let response = scene.responder.get(&device).await?.body;
    let plain = STANDARD.encode(&request);
    let escaped: String = plain.bytes().map(|octet| format!("%{octet:02x}")).collect();
    let lines = plain.replacen('M', "M%0D%0A", 1);
    for (what, path) in [
        ("as it is", format!("/{plain}")),
        ("after two slashes", format!("//{plain}")),
        (
            "without padding",
            format!("/{}", STANDARD_NO_PAD.encode(&request)),
        ),
        ("each character escaped", format!("/{escaped}")),
        ("broken into lines", format!("/{lines}")),
    ] {
        let answer = get(&scene, &path).await?;
        assert_eq!((answer.status, &answer.body), (200, &response), "{what}");
    }
    let cut = plain.get(..plain.len() / 2).context("no request")?;
    for (what, path) in [
        ("nothing", "/".to_owned()),
        ("no base64", "/*!*".to_owned()),
        ("the alphabet of URLs", "/-_-_".to_owned()),
        ("padding alone", "/====".to_owned()),
        ("an escape of no hex", format!("/{plain}%zz")),
        ("an escape that is cut", format!("/{plain}%4")),
        ("a request that is cut", format!("/{cut}")),
        ("a request and another", format!("/{plain}{plain}")),
        ("base64 of nothing useful", "/AAAA".to_owned()),
    ] {
        let answer = get(&scene, &path).await?;
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, MALFORMED),
            "{what}"
        );
    }
    let long = get(&scene, &format!("/{}", "A".repeat(5 * MOST))).await?;
    assert_eq!(long.status, 414);
    Ok(())
}

/// What was sent tells what it is; and a nonce changes nothing, since responses are signed before anybody asks.
#[tokio::test]
async fn neither_the_content_type_nor_a_nonce_changes_the_answer() -> Result<()> {
    let scene = Scene::set().await?;
    let device = scene.enrolled("pump-1").await?;
    let url = scene.responder.url();
    let request = scene.responder.request(&device)?;
    let response = http::post_as(url, OCSP, &request).await?.body;
    for content_type in [
        "text/plain",
        "application/octet-stream",
        "no type",
        "a/b; c=\"",
    ] {
        let answer = http::post_as(url, content_type, &request).await?;
        assert_eq!(
            (answer.status, &answer.body),
            (200, &response),
            "{content_type}"
        );
        let answered_as = answer.header("content-type");
        assert_eq!(answered_as, Some("application/ocsp-response"));
    }

    let file = scene.installation.scratch().join("nonce.der");
    let more = ["-nonce", "-reqout", file.to_str().unwrap_or_default()];
    let said = scene.responder.openssl(&[&device], &more).await?;
    let said = said.succeeded()?.all();
    assert!(said.contains("WARNING: no nonce in response"), "{said}");
    let with_nonce = std::fs::read(&file)?;
    assert!(with_nonce.len() > request.len());
    let answer = http::post_as(url, OCSP, &with_nonce).await?;
    assert_eq!(answer.body, response);
    Ok(())
}

async fn get(scene: &Scene, path: &str) -> Result<Response> {
    http::get(&format!("{}{path}", scene.responder.url())).await
}

/// The same certificate twice, in one request.
fn several(scene: &Scene, device: &[u8]) -> Result<Vec<u8>> {
    let issuer = X509::from_pem(&std::fs::read(&scene.installation.ready().ca_pem)?)?;
    let device = X509::from_der(device)?;
    let mut request = OcspRequest::new()?;
    for _ in 0..2 {
        let id = OcspCertId::from_cert(MessageDigest::sha1(), &device, &issuer)?;
        request.add_id(id)?;
    }
    Ok(request.to_der()?)
}

fn find(octets: &[u8], part: &[u8]) -> Result<usize> {
    octets
        .windows(part.len())
        .position(|window| window == part)
        .context("it is not there")
}
