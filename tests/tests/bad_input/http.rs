//! Bad HTTP over raw sockets, and base64 as odd clients write it, before the real processes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use assay_tests::device::{Anchors, Device, Message};
use assay_tests::installation::{Installation, set};
use assay_tests::metrics::Metrics;
use assay_tests::tiers::Tiers;
use assay_tests::{http, wait};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SUBJECT: &str = "CN=sensor-1,O=Example";

/// Far below what the slow clients of these tests would need.
const BODY_TIMEOUT: &str = "300ms";

/// An installation, and a good message that nobody has sent yet.
struct Scene {
    installation: Installation,
    anchors: Anchors,
    device: Device,
    message: Message,
}

impl Scene {
    async fn set() -> Result<Self> {
        let installation = Installation::start().await?;
        let anchors = Anchors::of(&installation)?;
        let device = Device::new()?;
        let message = message(&installation, &anchors, &device).await?;
        Ok(Self {
            installation,
            anchors,
            device,
            message,
        })
    }

    /// The good message is answered by a certificate, whatever came before it.
    async fn enrols_at(&self, url: &str) -> Result<()> {
        let answer = self.device.post(url, &self.anchors, &self.message).await?;
        answer.certificate().map(drop)
    }

    async fn key_operations(&self) -> Result<f64> {
        let metrics = Metrics::scrape(&self.installation.ready().metrics.signer).await?;
        let roles = ["ra-decrypt", "ra-sign", "ca-sign"];
        Ok(roles
            .iter()
            .map(|role| format!("role=\"{role}\""))
            .map(|label| metrics.sum("assay_token_operation_seconds_count", &[&label]))
            .sum())
    }
}

async fn message(
    installation: &Installation,
    anchors: &Anchors,
    device: &Device,
) -> Result<Message> {
    let challenge = installation.challenge(SUBJECT, &[]).await?;
    let csr = device.csr(SUBJECT, Some(&challenge), &[])?;
    device.pkcs_req(anchors, &csr).await
}

#[tokio::test]
async fn bad_http_gets_a_status_and_touches_no_key() -> Result<()> {
    let scene = Scene::set().await?;
    let url = scene.installation.url("devices")?;
    let address = authority(url)?;
    let body = &scene.message.bytes;
    let post = |target: &str, fields: &str, body: &[u8]| {
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}Content-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let get = |target: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes()
    };
    let message_of = |text: &str| {
        get(&format!(
            "/scep/devices?operation=PKIOperation&message={text}"
        ))
    };
    let url_safe = URL_SAFE.encode([0xfb; 48]);
    let field = "A".repeat(64 << 10);
    let cases = [
        ("an unknown profile", 404, post("/scep/nobody", "", body)),
        ("an unknown path", 404, post("/est/devices", "", body)),
        ("a path below the profile", 404, post("/scep/devices/more", "", body)),
        ("a path that climbs", 404, post("/scep/../devices", "", body)),
        ("an unknown operation", 400, post("/scep/devices?operation=Enrol", "", body)),
        ("an operation in small letters", 400, post("/scep/devices?operation=pkioperation", "", body)),
        ("an empty operation", 400, post("/scep/devices?operation=", "", body)),
        ("PUT", 405, b"PUT /scep/devices HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ("DELETE", 405, b"DELETE /scep/devices HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec()),
        ("no next CA", 404, get("/scep/devices?operation=GetNextCACert")),
        ("a GET without an operation", 400, get("/scep/devices")),
        ("PKIOperation by GET without a message", 400, get("/scep/devices?operation=PKIOperation")),
        ("an empty message", 400, message_of("")),
        ("a message that is no base64", 400, message_of("not*base64")),
        ("base64url", 400, message_of(&url_safe)),
        ("a broken escape", 400, message_of("MII%2")),
        ("an escape that is no number", 400, message_of("MII%zz")),
        ("padding amid the text", 400, message_of("MI==IA")),
        ("base64 of garbage", 400, message_of("AAAA")),
        ("half of the message by GET", 400, message_of(&STANDARD.encode(&body[..body.len() / 2]).replace('+', "%2B"))),
        ("a body of 128 KiB and one octet", 413, post("/scep/devices", "", &vec![0x30; (128 << 10) + 1])),
        ("a body announced as 4 GiB", 413, b"POST /scep/devices HTTP/1.1\r\nHost: a\r\nContent-Length: 4294967296\r\n\r\n".to_vec()),
        ("a URI of 33 KiB", 414, get(&format!("/scep/devices?operation=GetCACaps&message={}", "A".repeat(33 << 10)))),
        ("a header of 64 KiB", 431, post("/scep/devices", &format!("X: {field}\r\n"), body)),
        ("200 headers", 431, post("/scep/devices", &"X: 1\r\n".repeat(200), body)),
        ("two lengths", 400, post("/scep/devices", "Content-Length: 1\r\n", body)),
        ("a negative length", 400, b"POST /scep/devices HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".to_vec()),
        ("a chunk size that is no number", 400, b"POST /scep/devices HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n".to_vec()),
        ("HTTP/9.9", 400, b"GET /scep/devices HTTP/9.9\r\n\r\n".to_vec()),
        ("a TLS ClientHello", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n".to_vec()),
        ("a line that is no request", 400, b"hello\r\n\r\n".to_vec()),
        ("a header without a colon", 400, b"GET /scep/devices?operation=GetCACaps HTTP/1.1\r\nHost\r\n\r\n".to_vec()),
        ("a NUL in a header", 400, b"GET /scep/devices?operation=GetCACaps HTTP/1.1\r\nX: \0\r\n\r\n".to_vec()),
    ];
    let before = scene.key_operations().await?;
    let mut wrong = Vec::new();
    for (what, expected, request) in &cases {
        let status = status(&exchange(address, request).await.context(*what)?)?;
        if status != *expected {
            wrong.push(format!("{what}: {status}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!((scene.key_operations().await? - before).abs() < f64::EPSILON);
    scene.enrols_at(url).await
}

#[tokio::test]
async fn a_message_by_get_is_read_however_clients_escape_it() -> Result<()> {
    let scene = Scene::set().await?;
    let url = scene.installation.url("devices")?;
    let text = STANDARD.encode(&scene.message.bytes);
    let unpadded = text.trim_end_matches('=');
    let lines = |separator: &str| {
        let lines: Vec<String> = text
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        lines.join(separator)
    };
    let first = http::post(url, &scene.message.bytes).await?;
    ensure!(first.status == 200, "{}", first.text());
    let spent = scene.key_operations().await?;
    for (what, escaped) in [
        ("nothing escaped", text.clone()),
        (
            "all escaped",
            text.replace('+', "%2B")
                .replace('/', "%2F")
                .replace('=', "%3D"),
        ),
        (
            "escaped in small letters",
            text.replace('+', "%2b")
                .replace('/', "%2f")
                .replace('=', "%3d"),
        ),
        ("a space for +", text.replace('+', "%20")),
        ("no padding", unpadded.to_owned()),
        ("lines", lines("%0A")),
        ("lines of Windows", lines("%0D%0A")),
        ("a line break at the end", format!("{text}%0A")),
    ] {
        let get = format!("{url}?operation=PKIOperation&message={escaped}");
        let again = http::get(&get).await?;
        ensure!(again.status == 200, "{what}: {}", again.text());
        ensure!(again.body == first.body, "{what}: another reply");
    }
    // A message that comes again gets the stored reply.
    assert!((scene.key_operations().await? - spent).abs() < f64::EPSILON);
    Ok(())
}

#[tokio::test]
async fn pipelined_messages_are_answered_in_order() -> Result<()> {
    let scene = Scene::set().await?;
    let url = scene.installation.url("devices")?;
    let second = message(&scene.installation, &scene.anchors, &scene.device).await?;
    let mut requests = Vec::new();
    for body in [&scene.message.bytes[..], b"no message", &second.bytes] {
        let head = format!(
            "POST /scep/devices HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        requests.extend(head.into_bytes());
        requests.extend(body);
    }
    requests.extend(
        b"GET /scep/devices?operation=GetCACaps HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );

    let mut rest = &exchange(authority(url)?, &requests).await?[..];
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let (answer, after) = take_answer(rest)?;
        answers.push(answer);
        rest = after;
    }
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 400, 200, 200]);
    for (message, nth) in [(&scene.message, 0), (&second, 2)] {
        let reply = &answers[nth].1;
        let answer = scene.device.read(&scene.anchors, message, reply).await?;
        answer.certificate()?;
    }
    assert!(answers[3].1.starts_with(b"AES\n"));
    Ok(())
}

#[tokio::test]
async fn half_requests_and_slow_bodies_hold_nobody_up() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.installation.stop().await?;
    let config = scene.installation.path("frontend.toml");
    set(&config, &["limits", "body_timeout"], BODY_TIMEOUT)?;
    set(&config, &["limits", "header_timeout"], BODY_TIMEOUT)?;
    let tiers = Tiers::start(&scene.installation).await?;
    let url = tiers.url("devices");
    let address = authority(&url)?;
    let length = scene.message.bytes.len();
    let head = format!(
        "POST /scep/devices HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let half = [head.as_bytes(), &scene.message.bytes[..length / 2]].concat();

    // Each keeps its connection open and says no more.
    let mut connections = Vec::new();
    for (what, said, answer) in [
        ("nothing", &b""[..], None),
        ("half a request line", b"POST /sc", None),
        ("half a head", b"POST /scep/devices HTTP/1.1\r\nHost: a\r\nContent-", None),
        ("a head alone", head.as_bytes(), Some(408)),
        ("half a body", &half, Some(408)),
        ("half a chunk", b"POST /scep/devices HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc", Some(408)),
    ] {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(said).await?;
        connections.push((what, stream, answer));
    }
    // One that hangs up in the middle of its body.
    let mut gone = TcpStream::connect(address).await?;
    gone.write_all(&half).await?;
    drop(gone);

    scene.enrols_at(&url).await?;
    for (what, mut stream, expected) in connections {
        let heard = read_to_end(&mut stream).await.context(what)?;
        let heard = if heard.is_empty() {
            None
        } else {
            Some(status(&heard)?)
        };
        assert_eq!(heard, expected, "{what}");
    }

    // A slow body that arrives whole in time is a message like any other.
    let mut slow = TcpStream::connect(address).await?;
    slow.set_nodelay(true)?;
    slow.write_all(head.as_bytes()).await?;
    for piece in scene.message.bytes.chunks(200) {
        slow.write_all(piece).await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(status(&read_to_end(&mut slow).await?)?, 200);
    Ok(())
}

fn authority(url: &str) -> Result<&str> {
    let rest = url.strip_prefix("http://").context("no HTTP URL")?;
    Ok(rest
        .split_once('/')
        .map_or(rest, |(authority, _)| authority))
}

/// Writes what the server will take of `request`, and reads until it closes.
async fn exchange(address: &str, request: &[u8]) -> Result<Vec<u8>> {
    let (mut reader, mut writer) = TcpStream::connect(address).await?.into_split();
    let send = async {
        // It may have answered and closed before it read everything.
        let _ = writer.write_all(request).await;
    };
    let (heard, ()) = tokio::join!(read_to_end(&mut reader), send);
    heard
}

async fn read_to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(wait::REACTION, stream.read_to_end(&mut heard)).await;
    match ended.context("the connection stays open")? {
        // Reset after the answer, where something of the request was left unread.
        Err(_) if !heard.is_empty() => {}
        ended => drop(ended?),
    }
    Ok(heard)
}

fn status(answer: &[u8]) -> Result<u16> {
    let text = String::from_utf8_lossy(answer);
    let status = text
        .split(' ')
        .nth(1)
        .with_context(|| format!("no answer: {text}"))?;
    Ok(status.parse()?)
}

/// Status and body.
type Answer = (u16, Vec<u8>);

/// The first of several answers, and what follows it.
fn take_answer(answers: &[u8]) -> Result<(Answer, &[u8])> {
    let end = answers.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, rest) = answers.split_at(end.context("no end of the head")? + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .context("no Content-Length")?;
    let (body, rest) = rest
        .split_at_checked(length.parse()?)
        .context("cut short")?;
    Ok(((status(head.as_bytes())?, body.to_vec()), rest))
}
