//! The memory that a caller with valid credentials, or one without any, can make a server hold. The server is a process of its own, so
//! that its memory is its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests may, like tests"
)]

mod pki;

use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use assay_proto::v1;
use assay_proto::v1::enrolment_client::EnrolmentClient;
use assay_proto::v1::enrolment_server::{Enrolment, EnrolmentServer};
use assay_runtime::drain::Shutdown;
use assay_runtime::identity::{Identity, Role};
use assay_runtime::mtls::{self, AllowList, CallLimits, Server, TlsFiles};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use hyper::body::Bytes;
use pki::Anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};

const SIGNER: &str = "assay://signer/main";
const DMZ1: &str = "assay://frontend/dmz1";
const DMZ2: &str = "assay://frontend/dmz2";
/// Far above what anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const MIB: usize = 1 << 20;
/// The largest message, as the signer takes it from a frontend.
const MESSAGE: usize = 256 << 10;
/// The prefix of a gRPC message.
const PREFIX: usize = 5;
const REPLY: usize = MIB;
/// Bytes of one budget, in both directions.
const BUDGET: usize = 8 * MIB;
/// Connections and streams of an attack: 512 MiB of requests, or 2 GiB of replies, if the server took them.
const CONNECTIONS: usize = 8;
const STREAMS: usize = 256;
/// Both budgets, the windows of all connections, and some 30 kB for each call: a tenth of what the attacks ask for.
const MOST: usize = 2 * BUDGET + CONNECTIONS * MIB + CONNECTIONS * STREAMS * (30 << 10);

const LIMITS: CallLimits = CallLimits {
    calls: CONNECTIONS * STREAMS,
    calls_of: &[],
    received: BUDGET,
    unsent: BUDGET,
    request_time: PATIENCE,
    answer_time: PATIENCE,
    reply_time: PATIENCE,
};
/// Between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(100);
const AT_ONCE: Duration = Duration::from_millis(200);

/// Says yes to every request, and has a long public answer.
struct Answering;

#[tonic::async_trait]
impl Enrolment for Answering {
    async fn pki_operation(
        &self,
        request: Request<v1::PkiOperationRequest>,
    ) -> Result<Response<v1::PkiOperationReply>, Status> {
        let cert_rep = request.into_inner().pki_message;
        let outcome = v1::pki_operation_reply::Outcome::CertRep(cert_rep);
        Ok(Response::new(v1::PkiOperationReply {
            outcome: Some(outcome),
        }))
    }

    async fn public_info(
        &self,
        _: Request<v1::PublicInfoRequest>,
    ) -> Result<Response<v1::PublicInfoReply>, Status> {
        Ok(Response::new(v1::PublicInfoReply {
            revision: "r".repeat(REPLY),
            ..v1::PublicInfoReply::default()
        }))
    }

    type FileContentStream =
        Pin<Box<dyn Stream<Item = Result<v1::FileContentPart, Status>> + Send>>;

    async fn file_content(
        &self,
        _: Request<v1::FileContentRequest>,
    ) -> Result<Response<Self::FileContentStream>, Status> {
        let part = || v1::FileContentPart {
            content: vec![7; 64 << 10],
        };
        let parts = (0..16).map(move |_| Ok(part()));
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn ocsp_response(
        &self,
        _: Request<v1::OcspResponseRequest>,
    ) -> Result<Response<v1::OcspResponseReply>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

fn identity(uri: &str) -> Identity {
    Identity::parse(uri).unwrap()
}

fn serve(files: &TlsFiles, limits: CallLimits, shutdown: &Shutdown) -> String {
    let allow = AllowList::new([identity(DMZ1), identity(DMZ2)], &[Role::Frontend]).unwrap();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), files, allow, limits).unwrap();
    let address = server.local_addr().to_string();
    let service = EnrolmentServer::new(Answering).max_decoding_message_size(MESSAGE);
    server.serve("test", service, shutdown).unwrap();
    address
}

const FOLDER: &str = "ASSAY_TEST_FLOOD_SERVER";

/// The process that is attacked. It does nothing where no other test has started it.
#[tokio::test]
async fn server_process() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let files = files(folder, "signer");
    let shutdown = Shutdown::new();
    let address = serve(&files, LIMITS, &shutdown);
    std::fs::write(folder.join("address.new"), address).unwrap();
    std::fs::rename(folder.join("address.new"), folder.join("address")).unwrap();
    std::future::pending::<()>().await;
}

fn files(folder: &Path, name: &str) -> TlsFiles {
    TlsFiles {
        certificate: folder.join(format!("{name}.pem")),
        private_key: folder.join(format!("{name}.key")),
        trust_anchors: folder.join(format!("{name}-anchors.pem")),
    }
}

/// Credentials of a signer and two frontends.
fn credentials() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (frontends, signers) = (Anchor::new("frontends"), Anchor::new("signers"));
    signers.files(folder.path(), "signer", &[SIGNER], &frontends);
    frontends.files(folder.path(), "dmz1", &[DMZ1], &signers);
    frontends.files(folder.path(), "dmz2", &[DMZ2], &signers);
    folder
}

/// A server in another process, which ends with this value.
struct Attacked {
    folder: TempDir,
    address: String,
    process: Child,
}

impl Attacked {
    async fn start() -> Self {
        let folder = credentials();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server_process", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let file = folder.path().join("address");
        let address = eventually("the address", || std::fs::read_to_string(&file).ok()).await;
        Self {
            folder,
            address,
            process,
        }
    }

    /// Largest memory that the process ever had.
    fn peak(&self) -> usize {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib: usize = line
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        kib << 10
    }

    async fn client(&self, name: &str) -> EnrolmentClient<tonic::transport::Channel> {
        client(&self.address, self.folder.path(), name).await
    }
}

impl Drop for Attacked {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn client(
    address: &str,
    folder: &Path,
    name: &str,
) -> EnrolmentClient<tonic::transport::Channel> {
    let channel = mtls::connect(address, &files(folder, name), identity(SIGNER)).await;
    EnrolmentClient::new(channel.unwrap()).max_decoding_message_size(2 * REPLY)
}

async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(tokio::time::Instant::now() < until, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A connection by hand, with a window for replies of the attacker's choice.
struct Attacker {
    connection: SendRequest<Bytes>,
    ended: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Attacker {
    async fn connect(address: &str, folder: &Path, window: u32) -> Self {
        let files = files(folder, "dmz1");
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(
            CertificateDer::pem_file_iter(&files.trust_anchors)
                .unwrap()
                .flatten(),
        );
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                chain.collect::<Result<_, _>>().unwrap(),
                PrivateKeyDer::from_pem_file(&files.private_key).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("host.example").unwrap();
        let tls = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = tls.connect(name, stream).await.unwrap();
        let (connection, driver) = h2::client::Builder::new()
            .initial_window_size(window)
            .initial_max_send_streams(STREAMS)
            .handshake(stream)
            .await
            .unwrap();
        Self {
            connection,
            ended: tokio::spawn(driver),
        }
    }

    /// Begins a call with these bytes of its message.
    async fn begin(
        &mut self,
        method: &str,
        body: Bytes,
        end: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let request = http::Request::post(format!("https://signer/assay.v1.Enrolment/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let mut ready = self.connection.clone().ready().await.unwrap();
        let (response, mut send) = ready.send_request(request, false).unwrap();
        // The server may answer from the headers alone and close the stream before these bytes are sent.
        match send.send_data(body, end) {
            Ok(()) => {}
            Err(error) => assert!(!error.is_io() && !error.is_go_away(), "{error}"),
        }
        (response, send)
    }
}

/// A message that announces `size` bytes and has `sent` of them.
fn message(size: usize, sent: usize) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(size).unwrap().to_be_bytes());
    bytes.resize(5 + sent, 0);
    bytes.into()
}

fn grpc_status(response: &http::Response<RecvStream>) -> Option<&str> {
    response.headers().get("grpc-status")?.to_str().ok()
}

/// Calls that were not refused, once all others were, and the streams that are kept open with them.
async fn held(
    calls: Vec<(ResponseFuture, SendStream<Bytes>)>,
    expected: usize,
    settled: impl Fn(&http::Response<RecvStream>) -> bool,
    bounded: impl Fn(),
) -> Vec<Box<dyn std::any::Any + Send>> {
    let refused = calls.len() - expected;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(calls.len().max(1));
    let mut kept: Vec<Box<dyn std::any::Any + Send>> = Vec::new();
    for (response, send) in calls {
        let sender = sender.clone();
        kept.push(Box::new(send));
        let answered = tokio::spawn(async move { sender.send(response.await).await.is_ok() });
        kept.push(Box::new(answered));
    }
    let mut seen = 0;
    let until = tokio::time::Instant::now() + PATIENCE;
    while seen < refused {
        bounded();
        assert!(
            tokio::time::Instant::now() < until,
            "{seen} of {refused} calls refused"
        );
        let answer = tokio::time::timeout(LOOK, receiver.recv()).await;
        match answer.map(Option::unwrap) {
            Ok(Ok(response)) if settled(&response) => seen += 1,
            Ok(Ok(response)) => kept.push(Box::new(response)),
            Ok(Err(_)) => seen += 1,
            Err(_) => {}
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_without_a_reply_ends_with_its_headers() {
    // gRPC's Trailers-Only: other clients than tonic's do not read the status of a response that continues with empty data.
    let folder = credentials();
    let address = serve(&files(folder.path(), "signer"), LIMITS, &Shutdown::new());
    let mut caller = Attacker::connect(&address, folder.path(), 1 << 20).await;
    for method in ["OcspResponse", "NoSuchMethod"] {
        let (response, _send) = caller.begin(method, message(0, 0), true).await;
        let response = response.await.unwrap();
        assert_eq!(grpc_status(&response), Some("12"), "{method}");
        assert!(response.body().is_end_stream(), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_requests_take_no_more_than_their_budget_and_others_are_served() {
    let server = Attacked::start().await;
    let before = server.peak();
    let bounded = || {
        let grown = server.peak() - before;
        assert!(grown < MOST, "{} MiB", grown / MIB);
        grown
    };
    let mut calls = Vec::new();
    let mut attackers = Vec::new();
    let part = message(MESSAGE, MESSAGE - 1);
    for _ in 0..CONNECTIONS {
        let mut attacker = Attacker::connect(&server.address, server.folder.path(), 65_535).await;
        for _ in 0..STREAMS {
            calls.push(attacker.begin("PkiOperation", part.clone(), false).await);
        }
        attackers.push(attacker);
    }
    let exhausted = Some("8");
    let is_refused = |response: &http::Response<RecvStream>| grpc_status(response) == exhausted;
    let most = BUDGET / (MESSAGE + PREFIX);
    let kept = held(calls, most, is_refused, || _ = bounded()).await;
    eprintln!("grown by {} KiB", bounded() >> 10);

    let mut other = server.client("dmz2").await;
    let served = other.pki_operation(v1::PkiOperationRequest {
        pki_message: vec![1; MESSAGE / 2],
        ..v1::PkiOperationRequest::default()
    });
    served.await.unwrap();
    drop((kept, attackers));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_replies_take_no_more_than_their_budget_and_others_are_served() {
    let server = Attacked::start().await;
    let before = server.peak();
    let bounded = || {
        let grown = server.peak() - before;
        assert!(grown < MOST, "{} MiB", grown / MIB);
        grown
    };
    // Without a window the server has to keep all of a reply; with one of a byte, nearly all.
    for window in [0, 1] {
        let mut calls = Vec::new();
        let mut attackers = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut attacker =
                Attacker::connect(&server.address, server.folder.path(), window).await;
            for _ in 0..STREAMS {
                calls.push(attacker.begin("PublicInfo", message(0, 0), true).await);
            }
            attackers.push(attacker);
        }
        let exhausted = Some("8");
        let is_refused = |response: &http::Response<RecvStream>| grpc_status(response) == exhausted;
        let most = BUDGET / (REPLY + PREFIX);
        let kept = held(calls, most, is_refused, || _ = bounded()).await;
        let other = server.client("dmz2").await;
        let reply = { other }
            .public_info(v1::PublicInfoRequest::default())
            .await
            .unwrap();
        assert_eq!(reply.into_inner().revision.len(), REPLY);
        drop((kept, attackers));
    }
    eprintln!("grown by {} KiB", bounded() >> 10);
}

#[tokio::test]
async fn a_request_that_trickles_in_is_ended_and_gives_back_its_bytes() {
    let (folder, shutdown) = (credentials(), Shutdown::new());
    let limits = CallLimits {
        request_time: AT_ONCE,
        ..LIMITS
    };
    let address = serve(&files(folder.path(), "signer"), limits, &shutdown);
    let mut attacker = Attacker::connect(&address, folder.path(), 65_535).await;
    for _ in 0..2 {
        let part = message(MESSAGE, 1);
        let mut calls = Vec::new();
        for _ in 0..BUDGET / MESSAGE - 1 {
            calls.push(attacker.begin("PkiOperation", part.clone(), false).await);
        }
        for (response, _send) in calls {
            let response = tokio::time::timeout(PATIENCE, response).await.unwrap();
            let status = response.unwrap();
            assert_eq!(grpc_status(&status), Some("4"), "DEADLINE_EXCEEDED");
        }
    }
}

#[tokio::test]
async fn a_reply_that_nobody_reads_ends_the_connection_and_a_reader_gets_all_of_it() {
    let (folder, shutdown) = (credentials(), Shutdown::new());
    let limits = CallLimits {
        reply_time: AT_ONCE,
        ..LIMITS
    };
    let address = serve(&files(folder.path(), "signer"), limits, &shutdown);
    for method in ["PublicInfo", "FileContent"] {
        let mut attacker = Attacker::connect(&address, folder.path(), 1).await;
        let (response, _send) = attacker.begin(method, message(0, 0), true).await;
        let _unread = response.await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, attacker.ended).await;
        // By an error, or by the end of the stream.
        drop(ended.expect(method));
    }
    let address = serve(&files(folder.path(), "signer"), LIMITS, &shutdown);
    let mut client = client(&address, folder.path(), "dmz1").await;
    let parts = client.file_content(v1::FileContentRequest::default()).await;
    let mut parts = parts.unwrap().into_inner();
    let mut read = 0;
    while let Some(part) = parts.message().await.unwrap() {
        read += part.content.len();
    }
    assert_eq!(read, 16 * (64 << 10));
}

#[tokio::test]
async fn calls_of_one_identity_are_bounded_and_of_one_method_more_closely() {
    let (folder, shutdown) = (credentials(), Shutdown::new());
    let limits = CallLimits {
        calls: 3,
        calls_of: &[("/assay.v1.Enrolment/PublicInfo", 1)],
        ..LIMITS
    };
    let address = serve(&files(folder.path(), "signer"), limits, &shutdown);
    let mut attackers = Vec::new();
    let mut calls = Vec::new();
    let mut statuses = Vec::new();
    for method in [
        "PublicInfo",
        "PublicInfo",
        "PkiOperation",
        "PkiOperation",
        "PkiOperation",
    ] {
        let mut attacker = Attacker::connect(&address, folder.path(), 0).await;
        let (response, send) = attacker.begin(method, message(0, 0), true).await;
        let response = response.await.unwrap();
        statuses.push(grpc_status(&response).map(str::to_owned));
        calls.push((response, send));
        attackers.push(attacker);
    }
    let statuses: Vec<_> = statuses.iter().map(Option::as_deref).collect();
    assert_eq!(statuses, [None, Some("8"), None, None, Some("8")]);
}

#[tokio::test]
async fn bare_connections_do_not_keep_a_caller_out() {
    let (folder, shutdown) = (credentials(), Shutdown::new());
    let address = serve(&files(folder.path(), "signer"), LIMITS, &shutdown);
    let mut bare = Vec::new();
    for _ in 0..600 {
        bare.push(TcpStream::connect(&address).await.unwrap());
    }
    let mut client = client(&address, folder.path(), "dmz1").await;
    let served = client.pki_operation(v1::PkiOperationRequest::default());
    tokio::time::timeout(PATIENCE, served)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_identity_gives_up_its_oldest_idle_connection_and_nobody_elses() {
    let (folder, shutdown) = (credentials(), Shutdown::new());
    let address = serve(&files(folder.path(), "signer"), LIMITS, &shutdown);
    let mut other = client(&address, folder.path(), "dmz2").await;
    other
        .pki_operation(v1::PkiOperationRequest::default())
        .await
        .unwrap();
    let mut attackers = Vec::new();
    for _ in 0..20 {
        let mut attacker = Attacker::connect(&address, folder.path(), 65_535).await;
        let (response, _send) = attacker.begin("PkiOperation", message(0, 0), true).await;
        response.await.unwrap();
        attackers.push(attacker);
    }
    for oldest in attackers.drain(..12) {
        // The connection ends, by an error or in order.
        let _ = tokio::time::timeout(PATIENCE, oldest.ended)
            .await
            .expect("the oldest are closed");
    }
    for mut newest in attackers {
        let (response, _send) = newest.begin("PkiOperation", message(0, 0), true).await;
        response.await.unwrap();
    }
    other
        .pki_operation(v1::PkiOperationRequest::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_caller_that_is_not_allowed_is_told_so_before_its_message_is_read() {
    let (folder, shutdown) = (credentials(), Shutdown::new());
    let files_of_signer = files(folder.path(), "signer");
    let allow = AllowList::new([identity(DMZ2)], &[Role::Frontend]).unwrap();
    let server = Server::bind(
        "127.0.0.1:0".parse().unwrap(),
        &files_of_signer,
        allow,
        LIMITS,
    );
    let server = server.unwrap();
    let address = server.local_addr().to_string();
    server
        .serve("test", EnrolmentServer::new(Answering), &shutdown)
        .unwrap();
    let mut attacker = Attacker::connect(&address, folder.path(), 65_535).await;
    let (response, _send) = attacker
        .begin("PkiOperation", message(MESSAGE, 1), false)
        .await;
    let code = i32::from(Code::PermissionDenied).to_string();
    assert_eq!(grpc_status(&response.await.unwrap()), Some(code.as_str()));
}
