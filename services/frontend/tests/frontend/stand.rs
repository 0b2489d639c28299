//! The real frontend process before a signer that does what its messages say.
//!
//! The signer here is the Enrolment contract and nothing more: these tests are about HTTP. Enrolments against the real
//! signer are tested with all processes together.

#[path = "../../../runtime/tests/pki/mod.rs"]
pub(crate) mod pki;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_proto::v1::enrolment_server::{Enrolment, EnrolmentServer};
use assay_proto::v1::ocsp_response_reply::Outcome as OcspOutcome;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_proto::v1::{
    Busy, FileContentPart, FileContentRequest, Malformed, OcspIssuer, OcspResponseReply,
    OcspResponseRequest, OcspSigned, OcspUnknown, PkiOperationReply, PkiOperationRequest,
    ProfileInfo, PublicFile, PublicInfoReply, PublicInfoRequest, UnknownProfile,
};
use assay_runtime::drain::Shutdown;
use assay_runtime::identity::{Identity, Role};
use assay_runtime::mtls::{AllowList, CallLimits, Server, TlsFiles};
use assay_runtime::ready::Ready;
use assay_types::Timestamp;
use openssl::sha::sha256;
use pki::Anchor;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

const SIGNER: &str = "assay://signer/main";
const FRONTEND: &str = "assay://frontend/dmz1";

/// Far above what anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const LOG: &str = "frontend.log";
const POLL: Duration = Duration::from_millis(10);

pub(crate) const CAPABILITIES: &str = "AES\nPOSTPKIOperation\nSCEPStandard\nSHA-256";

pub(crate) const CRL: &str = "a list of certificates";
/// Mon, 13 Nov 2023 00:00:00 GMT
const CRL_TIME: Timestamp = Timestamp::from_seconds(1_699_833_600);

/// Wide enough for all that these tests ask of the signer.
const LIMITS: CallLimits = CallLimits {
    calls: 256,
    calls_of: &[],
    received: 16 << 20,
    unsent: 16 << 20,
    request_time: PATIENCE,
    answer_time: PATIENCE,
    reply_time: PATIENCE,
};

/// The signer of this stand.
#[derive(Clone, Default)]
pub(crate) struct Signer(Arc<State>);

struct State {
    profiles: Mutex<Vec<&'static str>>,
    crl: Mutex<Crl>,
    ocsp: Mutex<Ocsp>,
    seen: Mutex<Vec<PkiOperationRequest>>,
    finished: Mutex<usize>,
    /// Contents of files that were asked for.
    contents: Mutex<usize>,
    /// A message `hang` waits for a permit.
    release: Semaphore,
}

/// A responder that has signed all that it ever will.
#[derive(Default)]
struct Ocsp {
    issuers: Vec<OcspIssuer>,
    signed: HashMap<Vec<u8>, OcspSigned>,
    asked: Vec<OcspResponseRequest>,
}

#[derive(Clone, Copy)]
struct Crl {
    content: &'static str,
    last_modified: Timestamp,
}

impl Default for State {
    fn default() -> Self {
        Self {
            profiles: Mutex::new(vec!["devices", "fleet"]),
            crl: Mutex::new(Crl {
                content: CRL,
                last_modified: CRL_TIME,
            }),
            ocsp: Mutex::default(),
            seen: Mutex::default(),
            finished: Mutex::default(),
            contents: Mutex::default(),
            release: Semaphore::new(0),
        }
    }
}

impl Signer {
    pub(crate) fn activate(&self, profile: &'static str) {
        self.0.profiles.lock().unwrap().push(profile);
    }

    pub(crate) fn publish_crl(&self, content: &'static str, last_modified: Timestamp) {
        *self.0.crl.lock().unwrap() = Crl {
            content,
            last_modified,
        };
    }

    pub(crate) fn answer_for(&self, issuers: &[OcspIssuer]) {
        self.0.ocsp.lock().unwrap().issuers = issuers.to_vec();
    }

    pub(crate) fn sign(&self, serial: &[u8], signed: OcspSigned) {
        let mut ocsp = self.0.ocsp.lock().unwrap();
        ocsp.signed.insert(serial.to_vec(), signed);
    }

    pub(crate) fn asked(&self) -> Vec<OcspResponseRequest> {
        self.0.ocsp.lock().unwrap().asked.clone()
    }

    pub(crate) fn seen(&self) -> Vec<PkiOperationRequest> {
        self.0.seen.lock().unwrap().clone()
    }

    pub(crate) async fn has_seen(&self, count: usize) {
        eventually("requests at the signer", || self.seen().len() >= count).await;
    }

    pub(crate) async fn has_finished(&self, count: usize) {
        eventually("finished requests", || {
            *self.0.finished.lock().unwrap() >= count
        })
        .await;
    }

    pub(crate) fn contents(&self) -> usize {
        *self.0.contents.lock().unwrap()
    }

    pub(crate) fn release(&self) {
        self.0.release.add_permits(1);
    }
}

#[tonic::async_trait]
impl Enrolment for Signer {
    async fn pki_operation(
        &self,
        request: Request<PkiOperationRequest>,
    ) -> Result<Response<PkiOperationReply>, Status> {
        let request = request.into_inner();
        let message = request.pki_message.clone();
        let profile = request.profile.clone();
        self.0.seen.lock().unwrap().push(request);
        let outcome = match message.as_slice() {
            b"busy" => Outcome::Busy(Busy {
                retry_after_seconds: 7,
            }),
            b"malformed" => Outcome::Malformed(Malformed {
                reason: "two signers".to_owned(),
            }),
            b"gone" => Outcome::UnknownProfile(UnknownProfile {}),
            b"denied" => return Err(Status::permission_denied("not you")),
            b"hang" => {
                self.0.release.acquire().await.unwrap().forget();
                Outcome::CertRep(b"released".to_vec())
            }
            message => Outcome::CertRep([profile.as_bytes(), b":", message].concat()),
        };
        *self.0.finished.lock().unwrap() += 1;
        Ok(Response::new(PkiOperationReply {
            outcome: Some(outcome),
        }))
    }

    async fn public_info(
        &self,
        request: Request<PublicInfoRequest>,
    ) -> Result<Response<PublicInfoReply>, Status> {
        let names = self.0.profiles.lock().unwrap().clone();
        let crl = *self.0.crl.lock().unwrap();
        let ocsp_issuers = self.0.ocsp.lock().unwrap().issuers.clone();
        let revision = format!("{},{},{}", names.join(","), crl.content, ocsp_issuers.len());
        let (profiles, files) = if request.into_inner().known_revision == revision {
            (Vec::new(), Vec::new())
        } else {
            let profiles = names.iter().map(|name| info(name)).collect();
            (profiles, vec![crl.file()])
        };
        Ok(Response::new(PublicInfoReply {
            revision,
            profiles,
            files,
            ocsp_issuers,
        }))
    }

    type FileContentStream = Pin<Box<dyn Stream<Item = Result<FileContentPart, Status>> + Send>>;

    async fn file_content(
        &self,
        request: Request<FileContentRequest>,
    ) -> Result<Response<Self::FileContentStream>, Status> {
        let content = self.0.crl.lock().unwrap().content.as_bytes();
        assert_eq!(request.into_inner().sha256, sha256(content));
        *self.0.contents.lock().unwrap() += 1;
        let parts = content.chunks(5).map(|part| {
            Ok(FileContentPart {
                content: part.to_vec(),
            })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn ocsp_response(
        &self,
        request: Request<OcspResponseRequest>,
    ) -> Result<Response<OcspResponseReply>, Status> {
        let request = request.into_inner();
        let mut ocsp = self.0.ocsp.lock().unwrap();
        let outcome = match ocsp.signed.get(&request.serial) {
            Some(signed) => OcspOutcome::Signed(signed.clone()),
            None => OcspOutcome::Unknown(OcspUnknown {}),
        };
        ocsp.asked.push(request);
        Ok(Response::new(OcspResponseReply {
            outcome: Some(outcome),
        }))
    }
}

impl Crl {
    fn file(self) -> PublicFile {
        PublicFile {
            path: "crl/ca.crl".to_owned(),
            content_type: "application/pkix-crl".to_owned(),
            sha256: sha256(self.content.as_bytes()).to_vec(),
            size: self.content.len() as u64,
            max_age_seconds: 300,
            last_modified: Some(self.last_modified.into()),
            further_paths: Vec::new(),
        }
    }
}

fn info(name: &str) -> ProfileInfo {
    ProfileInfo {
        profile: name.to_owned(),
        capabilities: CAPABILITIES.to_owned(),
        ca_certificates: format!("certificates of {name}").into_bytes(),
        ca_certificates_type: "application/x-x509-ca-ra-cert".to_owned(),
        is_default: name == "devices",
        // A CA takes over for all profiles but that one.
        next_ca_certificates: match name {
            "devices" => Vec::new(),
            _ => format!("next certificates of {name}").into_bytes(),
        },
    }
}

/// A folder with credentials, a signer's address, and perhaps a running frontend and signer.
pub(crate) struct Stand {
    pub(crate) folder: TempDir,
    pub(crate) signer: Signer,
    pub(crate) http: SocketAddr,
    pub(crate) ops: SocketAddr,
    signer_address: SocketAddr,
    signer_files: TlsFiles,
    running: Option<Shutdown>,
    frontend: Child,
}

impl Stand {
    /// Frontend and signer, with the given lines under `[limits]`; ready.
    pub(crate) async fn start(limits: &str) -> Self {
        let mut stand = Self::without_signer(limits, "").await;
        stand.start_signer().await;
        stand.ready().await;
        stand
    }

    /// A frontend whose signer is away.
    pub(crate) async fn without_signer(limits: &str, http: &str) -> Self {
        Self::configured(limits, http, "").await
    }

    /// The same with lines under `[signer]`.
    pub(crate) async fn configured(limits: &str, http: &str, signer: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (frontends, signers) = (Anchor::new("frontends"), Anchor::new("signers"));
        let signer_files = signers.files(folder.path(), "signer", &[SIGNER], &frontends);
        frontends.files(folder.path(), "frontend", &[FRONTEND], &signers);
        let signer_address = free_address();
        let config = folder.path().join("frontend.toml");
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n{http}\n\
             [signer]\naddress = \"{signer_address}\"\nidentity = \"{SIGNER}\"\n\
             certificate = \"frontend.pem\"\nprivate_key = \"frontend.key\"\n\
             trust_anchors = \"frontend-anchors.pem\"\nrefresh_interval = \"100ms\"\n\
             {signer}\n\
             [limits]\n{limits}\n[ops]\nlisten = \"127.0.0.1:0\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let ready_file = folder.path().join("ready.json");
        let frontend = frontend_command()
            .arg("--config")
            .arg(&config)
            .arg("--ready-file")
            .arg(&ready_file)
            .stderr(std::fs::File::create(folder.path().join(LOG)).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("the ready file", || ready_file.exists()).await;
        let ready = Ready::read(&ready_file).unwrap();
        Self {
            folder,
            signer: Signer::default(),
            http: ready.http.unwrap(),
            ops: ready.ops.unwrap(),
            signer_address,
            signer_files,
            running: None,
            frontend,
        }
    }

    pub(crate) async fn start_signer(&mut self) {
        let allow =
            AllowList::new([Identity::parse(FRONTEND).unwrap()], &[Role::Frontend]).unwrap();
        let server = Server::bind(self.signer_address, &self.signer_files, allow, LIMITS).unwrap();
        let shutdown = Shutdown::new();
        let service = EnrolmentServer::new(self.signer.clone());
        server.serve("enrolment", service, &shutdown).unwrap();
        self.running = Some(shutdown);
    }

    pub(crate) async fn stop_signer(&mut self) {
        let shutdown = self.running.take().unwrap();
        shutdown.request();
        shutdown.drain(PATIENCE).await;
    }

    pub(crate) async fn ready(&self) {
        let until = tokio::time::Instant::now() + PATIENCE;
        while self.readiness().await.status != 200 {
            assert!(tokio::time::Instant::now() < until, "not ready in time");
            tokio::time::sleep(POLL).await;
        }
    }

    /// The frontend's log lines that have been written for requests.
    pub(crate) fn request_lines(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join(LOG)).unwrap();
        let lines = log
            .lines()
            .filter(|line| line.contains(r#""message":"request""#));
        lines.map(str::to_owned).collect()
    }

    pub(crate) async fn readiness(&self) -> Answer {
        exchange(
            self.ops,
            b"GET /readyz HTTP/1.1\r\nConnection: close\r\n\r\n",
        )
        .await
    }

    pub(crate) async fn metrics(&self) -> String {
        exchange(
            self.ops,
            b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n",
        )
        .await
        .text()
    }

    /// A request of HTTP/1.1 without a Host, as some clients send it.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        exchange(
            self.http,
            format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await
    }

    pub(crate) async fn post(&self, target: &str, body: &[u8]) -> Answer {
        exchange(self.http, &post(target, body)).await
    }

    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.frontend.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.frontend.wait())
            .await
            .unwrap()
            .unwrap()
    }
}

pub(crate) fn frontend_command() -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_assay-frontend")));
    command.stdin(Stdio::null());
    command
}

pub(crate) fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST {target} HTTP/1.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            head,
            status,
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// A header's value, whole.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// A connection from another address of loopback.
pub(crate) async fn connect_from(source: &str, address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket
        .bind((source.parse::<IpAddr>().unwrap(), 0).into())
        .unwrap();
    socket.connect(address).await.unwrap()
}

/// Sends bytes as they are and reads until the server closes.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    exchange_over(TcpStream::connect(address).await.unwrap(), request).await
}

/// The same over a connection that is there.
pub(crate) async fn exchange_over(mut stream: TcpStream, request: &[u8]) -> Answer {
    stream.write_all(request).await.unwrap();
    Answer::parse(&read_all(&mut stream).await)
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset after the answer is as good an end as any.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    bytes
}

pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    answers(what, async || condition().then_some(())).await;
}

/// Asks again until there is a value, or fails once the deadline of a hung run has passed.
pub(crate) async fn answers<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < until, "in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
