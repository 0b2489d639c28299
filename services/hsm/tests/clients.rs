//! Who may connect, and what becomes of those who break the protocol: one line in the log each, nothing signed, and the
//! service continues.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use assay_hsm::wire::{
    self, AHEAD, FrameBuffer, Greeting, Hello, MAX_FRAME, Octets, Operation, PROTOCOL, Request,
    Welcome,
};
use assay_hsm::{Digest, Hsm, KeyRole, OperationError, RaKeys, StartError, Token, User};
use support::reply::{self, Message};
use support::{Config, Installation, PATIENCE, Service, der};

/// A client that writes whatever it likes.
struct Raw {
    stream: UnixStream,
    input: FrameBuffer,
}

impl Raw {
    fn connect(config: &Config) -> Self {
        let stream = UnixStream::connect(config.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            input: FrameBuffer::default(),
        }
    }

    fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets)
    }

    /// The next frame; `None` once the service has closed the connection.
    fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = self.input.next_frame().unwrap() {
                return Some(frame.to_vec());
            }
            match self.stream.read(self.input.room()) {
                Ok(0) => return None,
                Ok(count) => self.input.filled(count),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn greet(&mut self, protocol: u32) -> Greeting {
        let hello = Hello {
            protocol,
            program: "raw".to_owned(),
        };
        let mut frame = Vec::new();
        wire::encode(&hello, &mut frame).unwrap();
        self.send(&frame).unwrap();
        wire::decode(&self.frame().expect("no greeting")).unwrap()
    }

    fn welcome(&mut self) -> Welcome {
        match self.greet(PROTOCOL) {
            Greeting::Welcome(welcome) => *welcome,
            Greeting::Rejected { reason } => panic!("{reason}"),
        }
    }
}

fn probe(id: u64) -> Vec<u8> {
    let request = Request {
        request_id: "raw",
        operation: Operation::Probe,
    };
    let request = request.encode().unwrap().concat();
    [wire::frame_header(id, &request).as_slice(), &request].concat()
}

/// The service works, and says in its log what it made of somebody.
async fn goes_on(service: &Service, logged: &str) {
    reply::send(service).await.unwrap();
    let said = async {
        while !service.log().contains(logged) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let said = tokio::time::timeout(PATIENCE, said).await;
    said.unwrap_or_else(|_| panic!("{logged:?} is not in {}", service.log()));
}

#[tokio::test]
async fn a_client_of_another_version_is_told_so() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    let mut raw = Raw::connect(&config);
    let Greeting::Rejected { reason } = raw.greet(PROTOCOL + 1) else {
        panic!("it was welcomed");
    };
    let theirs = format!("speaks version {}", PROTOCOL + 1);
    assert!(reason.contains(&theirs), "{reason}");
    assert_eq!(raw.frame(), None);
    goes_on(&service, &theirs).await;
    service.shutdown().await;
}

#[tokio::test]
async fn frames_that_are_malformed_or_too_large_end_the_connection() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    let too_large = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes();
    for (first, logged) in [
        (&b"\x00\x00\x00\x00"[..], "malformed"),
        (&b"\x00\x00\x00\x02\xff\xff"[..], "malformed"),
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "exceeds"),
        (&too_large[..], "exceeds"),
    ] {
        let mut raw = Raw::connect(&config);
        raw.send(first).unwrap();
        while let Some(frame) = raw.frame() {
            let greeting: Greeting = wire::decode(&frame).unwrap();
            assert!(matches!(greeting, Greeting::Rejected { .. }), "{first:?}");
        }
        goes_on(&service, logged).await;
    }
    for (further, logged) in [
        (&b"\x00\x00\x00\x03abc"[..], "malformed"),
        (
            &b"\x00\x00\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x01\x00\xff"[..],
            "malformed",
        ),
        (&too_large[..], "exceeds"),
    ] {
        let mut raw = Raw::connect(&config);
        raw.welcome();
        raw.send(further).unwrap();
        assert_eq!(raw.frame(), None);
        goes_on(&service, logged).await;
    }
    assert_eq!(service.health().borrow().reconnections, 0);
    service.shutdown().await;
}

#[tokio::test]
async fn a_client_without_a_word_is_cut_off() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    let mut silent = Raw::connect(&config);
    assert_eq!(silent.frame(), None);
    goes_on(&service, "sent no first frame within 5 s").await;
    service.shutdown().await;
}

#[tokio::test]
async fn a_flood_is_cut_off_at_its_window() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    let mut raw = Raw::connect(&config);
    let welcome = raw.welcome();
    assert_eq!(welcome.threads, 2);
    let flood: Vec<u8> = (0..10_000).flat_map(probe).collect();
    // It is cut off while it still writes, or when it is done.
    let _ = raw.send(&flood);
    let mut answers = 0;
    while raw.frame().is_some() {
        answers += 1;
    }
    assert!(answers < 10_000, "all were answered");
    let logged = format!("more than {} operations", 2 * AHEAD + 1);
    goes_on(&service, &logged).await;
    service.shutdown().await;
}

/// Lines with this message in the log of a service that has ended, and those that it says were left out.
fn counted(log: &str, message: &str, kind: &str) -> (u64, u64) {
    let lines = log.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(line["fields"].clone())
    });
    lines.fold((0, 0), |(written, left_out), fields| {
        let is_line = fields["message"] == message;
        let more = (fields["kind"] == kind).then(|| fields["left_out"].as_u64().unwrap());
        (
            written + u64::from(is_line),
            left_out + more.unwrap_or_default(),
        )
    })
}

#[tokio::test]
async fn refusals_do_not_fill_the_log_and_are_counted() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    let mut raw = Raw::connect(&config);
    raw.welcome();
    let request = Request {
        request_id: "raw",
        operation: Operation::SignCertificate {
            ca: [0; 32],
            tbs: Octets(b""),
        },
    };
    let request = request.encode().unwrap().concat();
    let frame = [wire::frame_header(1, &request).as_slice(), &request].concat();
    for _ in 0..1000 {
        raw.send(&frame).unwrap();
        let answer = raw.frame().unwrap();
        let answer: wire::Answer<'_> = wire::decode(&answer).unwrap();
        assert!(matches!(answer.outcome, wire::Outcome::Refused(_)));
    }
    // An honest name is short.
    for _ in 0..100 {
        let mut raw = Raw::connect(&config);
        let hello = Hello {
            protocol: PROTOCOL,
            program: "x".repeat(100_000),
        };
        let mut frame = Vec::new();
        wire::encode(&hello, &mut frame).unwrap();
        raw.send(&frame).unwrap();
        let greeting = wire::decode(&raw.frame().unwrap()).unwrap();
        assert!(matches!(greeting, Greeting::Rejected { .. }));
    }
    let file = config.directory.join("log");
    service.shutdown().await;
    let log = fs::read_to_string(file).unwrap();
    let (written, left_out) = counted(&log, "operation refused", "operations refused");
    assert!(written < 1000, "{written}");
    assert_eq!(written + left_out, 1000);
    assert!(!log.contains("xxxx"));
    assert!(
        log.contains("\"kind\":\"connections of the peer\""),
        "{log}"
    );
}

#[tokio::test]
async fn strangers_do_not_fill_the_log_and_are_counted() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    config.peer = Some(User::find("daemon").unwrap().uid());
    config.create_journal();
    let (file, log) = (config.write(), config.directory.join("log"));
    let process = support::restarted::Restarted::start(move || {
        let log = fs::File::options().create(true).append(true).open(&log);
        let mut command = std::process::Command::new(support::PROGRAM);
        command.arg("--config").arg(&file).stderr(log.unwrap());
        command
    });
    let process = process.unwrap();
    let mut turned_away = 0;
    let all = async {
        while turned_away < 200 {
            if let Ok(stream) = UnixStream::connect(config.socket()) {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let input = FrameBuffer::default();
                let greeting = Raw { stream, input }.frame().unwrap();
                let greeting: Greeting = wire::decode(&greeting).unwrap();
                assert!(matches!(greeting, Greeting::Rejected { .. }));
                turned_away += 1;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    assert!(process.stop().unwrap().success());
    let log = fs::read_to_string(config.directory.join("log")).unwrap();
    let kind = "processes turned away that are not the peer";
    let (written, left_out) = counted(&log, "client turned away", kind);
    assert!(written < 200, "{written}");
    assert_eq!(written + left_out, 200);
}

#[tokio::test]
async fn there_is_room_for_a_few_clients_and_again_once_one_has_left() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    // One is the service's own connection here.
    let mut clients: Vec<Raw> = (1..8).map(|_| Raw::connect(&config)).collect();
    for client in &mut clients {
        client.welcome();
    }
    let mut late = Raw::connect(&config);
    let Greeting::Rejected { reason } = wire::decode(&late.frame().unwrap()).unwrap() else {
        panic!("a ninth client was welcomed");
    };
    assert!(reason.contains("8 clients"), "{reason}");
    goes_on(&service, "8 clients").await;
    clients.clear();
    let again = async {
        let hello = Hello {
            protocol: PROTOCOL,
            program: "again".to_owned(),
        };
        let mut first = Vec::new();
        wire::encode(&hello, &mut first).unwrap();
        loop {
            let mut raw = Raw::connect(&config);
            if raw.send(&first).is_ok()
                && let Some(frame) = raw.frame()
                && let Ok(Greeting::Welcome(_)) = wire::decode(&frame)
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    service.shutdown().await;
}

#[tokio::test]
async fn only_the_configured_user_is_served_and_only_by_the_configured_user() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    let daemon = User::find("daemon").unwrap();
    let mut client = config.client();
    client.user = daemon;
    let refused = Hsm::connect(client).await.unwrap_err();
    assert!(matches!(refused, StartError::OtherUser { .. }), "{refused}");
    service.shutdown().await;

    let file = config.write();
    let text = fs::read_to_string(&file).unwrap();
    let (_, rest) = text.split_once("allow_same_user = true\n").unwrap();
    let head = "socket = \"run/hsm.sock\"\nstate = \"state\"\npeer = \"daemon\"\n";
    fs::write(&file, format!("{head}{rest}")).unwrap();
    let process = support::restarted::Restarted::start(move || {
        let mut command = std::process::Command::new(support::PROGRAM);
        command.arg("--config").arg(&file);
        command.stderr(std::process::Stdio::null());
        command
    });
    let process = process.unwrap();
    let greeting = async {
        loop {
            if let Ok(stream) = UnixStream::connect(config.socket()) {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut raw = Raw {
                    stream,
                    input: FrameBuffer::default(),
                };
                if let Some(frame) = raw.frame() {
                    return wire::decode::<Greeting>(&frame).unwrap();
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let greeting = tokio::time::timeout(PATIENCE, greeting).await.unwrap();
    let Greeting::Rejected { reason } = greeting else {
        panic!("another user was welcomed");
    };
    assert!(reason.contains("is not the configured peer"), "{reason}");
    assert!(process.stop().unwrap().success());
}

#[tokio::test]
async fn one_user_for_both_is_refused_unless_it_is_allowed_and_then_it_is_a_warning() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    let warnings = service.health().borrow().warnings.clone();
    assert!(warnings[0].contains("allow_same_user"), "{warnings:?}");
    service.shutdown().await;

    let file = config.write();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("allow_same_user = true\n", "")).unwrap();
    let ended = std::process::Command::new(support::PROGRAM)
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("a user of its own"), "{said}");
}

#[tokio::test]
async fn the_socket_lies_where_nobody_else_can_put_one() {
    let installation = Installation::new().await;
    let config = installation.config();
    let run = config.directory.join("run");
    fs::create_dir(&run).unwrap();
    fs::set_permissions(&run, Permissions::from_mode(0o775)).unwrap();
    let refused = config.refusal();
    assert!(refused.contains("mode 0775"), "{refused}");

    fs::set_permissions(&run, Permissions::from_mode(0o755)).unwrap();
    fs::write(config.socket(), "").unwrap();
    let refused = config.refusal();
    assert!(refused.contains("is not a socket"), "{refused}");

    // The socket of a service that was killed is replaced.
    fs::remove_file(config.socket()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(config.socket()).unwrap());
    let service = config.start().await;
    let mut second = config.clone();
    second.threads = 1;
    let refused = second.refusal();
    assert!(refused.contains("held by another HSM service"), "{refused}");
    goes_on(&service, "serving").await;
    service.shutdown().await;
    assert!(!config.socket().exists());

    fs::set_permissions(
        config.directory.join("state"),
        Permissions::from_mode(0o750),
    )
    .unwrap();
    let refused = config.refusal();
    assert!(refused.contains("mode 0750"), "{refused}");
}

/// A service with two CAs, of which the first one may announce the next one.
struct TwoCas {
    installation: Installation,
    config: Config,
    next: Config,
}

impl TwoCas {
    async fn new() -> Self {
        let installation = Installation::new().await;
        let config = installation.config();
        let next = Config {
            keys: installation.another_ca(&der::name("Next CA")),
            name: "next".to_owned(),
            ..config.clone()
        };
        let config = Config {
            next: Some("next".to_owned()),
            more: next.ca_table(),
            ..config
        };
        Self {
            installation,
            config,
            next,
        }
    }

    /// The list of GetCACert for a CA: RA certificates, then the CA's.
    fn certificates(config: &Config) -> Vec<Vec<u8>> {
        let of = |role| config.key(role).unwrap().certificate.clone().unwrap();
        [KeyRole::RaDecrypt, KeyRole::RaSign, KeyRole::CaSign]
            .map(of)
            .to_vec()
    }
}

#[tokio::test]
async fn one_service_holds_two_cas_and_keeps_their_keys_apart() {
    let TwoCas {
        installation,
        config,
        next,
    } = TwoCas::new().await;
    let service = config.start().await;
    let next_ca = openssl::x509::X509::from_der(&TwoCas::certificates(&next)[2]).unwrap();
    let key_id = next_ca.subject_key_id().unwrap().as_slice().to_vec();
    let next = next.ca(&service.hsm);
    let of_first = installation.tbs();
    let signature = next.ca_signature_algorithm().to_der();
    let of_next = der::leaf(&der::name("Next CA"), &key_id, signature);
    service
        .sign_certificate("r1", &of_first.der())
        .await
        .unwrap();
    next.sign_certificate("r2", &of_next.der()).await.unwrap();
    for (keys, tbs) in [(&service.keys, &of_next), (&next, &of_first)] {
        let refused = keys.sign_certificate("r3", &tbs.der()).await;
        assert!(matches!(refused, Err(OperationError::Refused { .. })));
    }
    // One serial number for a certificate of each: they are of two issuers.
    let mut same_serial = der::leaf(&der::name("Next CA"), &key_id, signature);
    same_serial.serial = of_first.serial;
    next.sign_certificate("r4", &same_serial.der())
        .await
        .unwrap();
    let of_first = reply::send(&service).await.unwrap();
    assert_ne!(of_first, reply::send(&next).await.unwrap());
    let counts = [service.runs(), next.runs()].map(|runs| runs[0].ca_signatures);
    assert_eq!(counts, [1, 2]);
    assert_ne!(service.runs()[0].id, next.runs()[0].id);
    service.shutdown().await;
}

#[tokio::test]
async fn an_ra_announces_the_configured_next_ca_and_no_other() {
    let TwoCas {
        installation: _installation,
        config,
        next,
    } = TwoCas::new().await;
    let service = config.start().await;
    let announce = async |keys: &assay_hsm::CaKeys, message: &Message| {
        keys.sign_next_ca(RaKeys::Pair, &message.content, &message.attributes)
            .await
    };
    let good = reply::next_ca(&TwoCas::certificates(&next)).await;
    let own = reply::next_ca(&TwoCas::certificates(&config)).await;
    let part = reply::next_ca(&TwoCas::certificates(&next)[1..]).await;
    let as_reply = reply::by_hand(b"0", &good.content, Digest::Sha256);
    let as_success = reply::success(Digest::Sha256).await;
    for (what, message, reason) in [
        ("the present CA", &own, "next CA"),
        ("a part of the list", &part, "next CA"),
        ("SCEP attributes", &as_reply, "does not belong"),
        ("a reply", &as_success, "next CA"),
    ] {
        let error = announce(&service, message).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{what}: {error}");
        assert!(error.is_permanent(), "{what}");
    }
    // The announcement is not signed as a reply either.
    for message in [&good, &as_reply] {
        let refused = message.sign(&service, RaKeys::Pair, Digest::Sha256).await;
        assert!(refused.unwrap_err().is_permanent());
    }
    // Nothing follows the next CA.
    let refused = announce(&next.ca(&service.hsm), &good).await.unwrap_err();
    assert!(refused.to_string().contains("no next CA"), "{refused}");
    announce(&service, &good).await.unwrap();
    service.counted(KeyRole::RaSign, 1).await;
    service.shutdown().await;
}

#[tokio::test]
async fn certificates_that_the_service_does_not_have_are_refused_by_name() {
    let installation = Installation::new().await;
    let service = installation.start().await;
    let config = installation.config();
    let of = |index: usize| config.keys[index].certificate.as_deref().unwrap();
    let certificates = |ca: usize, sign: usize| assay_hsm::CaCertificates {
        ca: of(ca),
        ra_decrypt: of(1),
        ra_sign: of(sign),
        ra_single: None,
        ocsp: None,
    };
    let refused = service.hsm.ca(&certificates(1, 2)).unwrap_err();
    assert!(matches!(refused, StartError::UnknownCa { .. }), "{refused}");
    let refused = service.hsm.ca(&certificates(0, 1)).unwrap_err();
    assert!(refused.to_string().contains("for ra-sign"), "{refused}");
    let with_ocsp = assay_hsm::CaCertificates {
        ocsp: Some(of(2)),
        ..certificates(0, 2)
    };
    let refused = service.hsm.ca(&with_ocsp).unwrap_err();
    assert!(
        refused.to_string().contains("none for ocsp-sign"),
        "{refused}"
    );
    service.shutdown().await;
}
