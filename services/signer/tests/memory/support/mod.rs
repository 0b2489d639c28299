//! A signer with one CA or two, its people and its devices.

mod device;
mod journal;
mod ocsp;
mod people;
mod seams;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use assay_hsm::wire::JournalInfo;
use assay_hsm::{OperationError, Token};
use assay_issuance::{Environment, GenerationSettings, Prepared, StartFailure};
use assay_proto::v1::enrolment_server::Enrolment;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_proto::v1::{
    FileContentRequest, PkiOperationRequest, PublicFile, PublicInfoReply, PublicInfoRequest,
};
use assay_runtime::drain::Shutdown;
use assay_runtime::identity::{Identity, Role};
use assay_runtime::mtls::Peer;
use assay_scep::FailInfo;
use assay_signer::{Settings, Signer};
use assay_software_token::{Ca, ORIGIN, People, SoftToken, write, write_ca};
use assay_store::{CertificateRow, Options, Store};
use assay_types::{Hash, Serial, Timestamp};
use der::Decode;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use tempfile::TempDir;
use tokio_stream::StreamExt;
use tonic::{Request, Status};
use x509_cert::crl::CertificateList;

pub(crate) use assay_software_token::Proposed;
pub(crate) use device::{
    Answer, Device, GET_CERT, GET_CRL, Message, PKCS_REQ, RENEWAL_REQ, dns_names, extension,
    of_another_key,
};
pub(crate) use journal::Exported;
pub(crate) use ocsp::CertStatus;
pub(crate) use seams::BEGIN;
use seams::{ManualClock, Seeded};

/// One challenge a device.
pub(crate) const DEVICES: &str = include_str!("../../../../../policy/demo/devices.toml");
/// A shared challenge and an inventory.
pub(crate) const FLEET: &str = include_str!("../../../../../policy/demo/fleet.toml");

/// The longest time between two attempts to finish an open intent.
pub(crate) const BACK_OFF: Duration = Duration::from_secs(60);

const FRONTEND: &str = "dmz";

/// The key pair of this name in the folder `keys`.
fn key(name: &str) -> PKey<Private> {
    let path = format!(
        "{}/tests/memory/keys/{name}.pem",
        env!("CARGO_MANIFEST_DIR")
    );
    PKey::private_key_from_pem(&std::fs::read(path).unwrap()).unwrap()
}

/// When the certificates of CAs and people are valid.
fn validity() -> assay_software_token::Validity {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    BEGIN - YEAR..BEGIN + YEAR * 10
}

/// A CA of this name; `prefix` names the keys of its RA among those of the folder.
fn new_ca(name: &str, prefix: &str) -> Ca {
    let key = |role: &str| key(&format!("{prefix}{role}"));
    Ca::new(name, key("ra-decrypt"), key("ra-sign"), &validity()).unwrap()
}

/// The second CA, and when it takes over.
struct Next {
    ca: Arc<Ca>,
    token: Arc<SoftToken>,
    switch_at: Timestamp,
    overlap: Duration,
}

/// How a signer is set up.
#[derive(Default)]
pub(crate) struct Setup {
    /// When a second CA takes over, and the overlap.
    pub(crate) rollover: Option<(Timestamp, Duration)>,
    /// Whether the first CA has a key for both uses of the RA.
    pub(crate) single_ra: bool,
    /// Further lines of the table `[ocsp]`, where there is a responder.
    pub(crate) ocsp: Option<&'static str>,
    /// Profiles, by name, in place of `devices`.
    pub(crate) profiles: Option<Vec<(&'static str, String)>>,
    /// Whether the state is in a file, and everything that the HSM service signs in a journal.
    pub(crate) durable: bool,
}

/// Everything around the signer that outlives it, and the signer.
pub(crate) struct Stand {
    folder: TempDir,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    random: Arc<Seeded>,
    pub(crate) ca: Arc<Ca>,
    pub(crate) token: Arc<SoftToken>,
    next: Option<Next>,
    people: People,
    shutdown: Shutdown,
    signer: Signer,
    /// The journal that the HSM service has at the next start.
    pub(crate) journal: Option<JournalInfo>,
}

impl Stand {
    /// One CA, with `devices` in force.
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        Self::start(setup).await.unwrap()
    }

    pub(crate) async fn start(setup: Setup) -> Result<Self, StartFailure> {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new());
        let random = Arc::new(Seeded::new());
        let store = if setup.durable {
            let path = folder.path().join("state.db");
            Store::create(&path, &journal::state_key(), &Options::default())
        } else {
            Store::in_memory(&Options::default())
        };
        let store = store.unwrap();
        let people = People::new(&validity()).unwrap();
        let log = PKey::generate_ed25519().unwrap();
        let mut ca = new_ca("First CA", "");
        if setup.single_ra {
            let single = ca.with_single_ra(key("ra-single"), &validity());
            ca = single.unwrap();
        }
        let ca = Arc::new(ca);
        let token = Arc::new(SoftToken::new(Arc::clone(&ca), log.clone(), ORIGIN).unwrap());
        if setup.durable {
            *token.signed.lock().unwrap() = Some(Vec::new());
        }
        let next = setup.rollover.map(|(switch_at, overlap)| {
            let ca = Arc::new(new_ca("Next CA", "next-"));
            Next {
                token: Arc::new(SoftToken::new(Arc::clone(&ca), log, ORIGIN).unwrap()),
                ca,
                switch_at,
                overlap,
            }
        });
        write_files(&folder, &ca, next.as_ref(), &people);
        if let Some(lines) = setup.ocsp {
            write_responder(&folder, &ca, lines);
        }
        let shutdown = Shutdown::new();
        let tokens = Tokens {
            first: &token,
            next: next.as_ref(),
        };
        let environment = Environment {
            store: store.clone(),
            clock: clock.clone(),
            random: random.clone(),
            shutdown: shutdown.clone(),
            journal: None,
        };
        let signer = start(&folder, environment, &tokens).await?;
        let stand = Self {
            folder,
            store,
            clock,
            random,
            ca,
            token,
            next,
            people,
            shutdown,
            signer,
            journal: None,
        };
        let devices = || vec![("devices", DEVICES.to_owned())];
        let profiles = setup.profiles.unwrap_or_else(devices);
        let proposed = stand.propose(&profiles).await;
        stand.activate(&proposed).await.unwrap();
        stand.tend().await;
        Ok(stand)
    }

    /// Another signer over the same state, as after a crash.
    pub(crate) async fn restart(&mut self) -> Result<(), StartFailure> {
        let tokens = Tokens {
            first: &self.token,
            next: self.next.as_ref(),
        };
        let environment = Environment {
            store: self.store.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            shutdown: self.shutdown.clone(),
            journal: self.journal.clone(),
        };
        self.signer = start(&self.folder, environment, &tokens).await?;
        Ok(())
    }

    /// Another signer over the same state, which has a responder.
    pub(crate) async fn restart_with_responder(&mut self) {
        write_responder(&self.folder, &self.ca, "");
        self.restart().await.unwrap();
    }

    /// Another signer over the same state, which has no key for both uses.
    pub(crate) async fn restart_without_single_ra(&mut self) -> Result<(), StartFailure> {
        let file = self.folder.path().join("signer.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let of_single = |line: &&str| line.starts_with("ra_single");
        let others: Vec<_> = text.lines().filter(|line| !of_single(line)).collect();
        std::fs::write(file, others.join("\n")).unwrap();
        self.restart().await
    }

    /// Everything that is due is done.
    pub(crate) async fn tend(&self) {
        self.try_to_tend().await.unwrap();
    }

    /// As [`Stand::tend`], where the log may stay without a checkpoint.
    pub(crate) async fn try_to_tend(&self) -> Result<(), StartFailure> {
        self.signer.issuance().tend().await
    }

    /// Why the signer is not ready.
    pub(crate) fn causes(&self) -> Vec<String> {
        self.signer.issuance().readiness().causes()
    }

    /// The journal after the last checkpoint, if the HSM service signed all of them.
    pub(crate) fn journal_as_signed(&self) -> JournalInfo {
        let (log_size, root) = self.token.tree.lock().unwrap().unwrap();
        JournalInfo {
            log_size,
            log_root: *root.as_bytes(),
            ..JournalInfo::default()
        }
    }

    /// Time passes, and then everything that is due is done.
    pub(crate) async fn after(&self, time: Duration) {
        self.clock.advance(time);
        self.tend().await;
    }

    pub(crate) fn next_ca(&self) -> &Ca {
        &self.next.as_ref().unwrap().ca
    }

    pub(crate) fn next_token(&self) -> &SoftToken {
        &self.next.as_ref().unwrap().token
    }

    /// No certificate, no CRL and no OCSP response is signed from now on, or again.
    pub(crate) fn break_ca_key(&self, broken: bool) {
        self.token
            .set_refusal(broken.then_some(OperationError::Deadline));
    }

    /// The state file takes no new row of this table from now on, or again, as on a full disk.
    pub(crate) async fn refuse_rows(&self, table: &str, refuse: bool) {
        let sql = if refuse {
            format!(
                "CREATE TEMP TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
        } else {
            "DROP TRIGGER temp.full".to_owned()
        };
        self.store.alter_file(sql, Vec::new()).await.unwrap();
    }

    /// Warnings of what will be in the way if nobody acts.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.signer.issuance().readiness().warnings()
    }

    /// No CRL is signed from now on, or again.
    pub(crate) fn break_crl(&self, broken: bool) {
        self.token.signs_no_crl.store(broken, Ordering::Relaxed);
    }

    /// The HSM service has this journal from now on.
    pub(crate) fn set_journal(&self, identity: &[u8]) {
        *self.token.journal.lock().unwrap() = Some(Hash::of(identity));
    }

    pub(crate) fn decryptions(&self) -> u64 {
        self.token.decryptions.load(Ordering::Relaxed)
    }

    pub(crate) fn ocsp_signatures(&self) -> u64 {
        self.token.ocsp_signatures.load(Ordering::Relaxed)
    }

    pub(crate) fn tbs_signatures(&self) -> u64 {
        self.token.tbs_signatures.load(Ordering::Relaxed)
    }

    /// Has a message answered; the reply as it came.
    pub(crate) async fn post(&self, profile: &str, message: &Message) -> Outcome {
        let request = by(
            Role::Frontend,
            FRONTEND,
            PkiOperationRequest {
                pki_message: message.bytes.clone(),
                profile: profile.to_owned(),
                request_id: "request".to_owned(),
                client_address: String::new(),
            },
        );
        let reply = self.signer.enrolment().pki_operation(request).await;
        reply.unwrap().into_inner().outcome.unwrap()
    }

    /// Has a message to the RA of the first CA answered.
    pub(crate) async fn send(&self, device: &Device, message: &Message) -> Answer {
        self.send_to("devices", &self.ca, device, message).await
    }

    pub(crate) async fn send_to(
        &self,
        profile: &str,
        ca: &Ca,
        device: &Device,
        message: &Message,
    ) -> Answer {
        let outcome = self.post(profile, message).await;
        device.read(ca, message, outcome).await
    }

    /// A certificate for this subject under a new challenge.
    pub(crate) async fn enrol(&self, device: &Device, subject: &str) -> Vec<u8> {
        let challenge = self.challenge(subject).await;
        let message = device.pkcs_req(&self.ca, subject, &challenge).await;
        self.send(device, &message).await.certificate()
    }

    /// The message is refused by this rule of RULES.md, and nothing is issued.
    pub(crate) async fn refused(
        &self,
        profile: &str,
        device: &Device,
        message: &Message,
        rule: &str,
    ) -> FailInfo {
        let before = self.store.counts().await.unwrap().certificates;
        let refusals = self.records("request.refused").await.len();
        let answer = self.send_to(profile, &self.ca, device, message).await;
        let Answer::Refused(fail_info) = answer else {
            panic!("{rule} did not refuse: {answer:?}");
        };
        let records = self.records("request.refused").await;
        assert_eq!(records.len(), refusals + 1);
        assert_eq!(records[refusals]["rule"], rule);
        let digest = hex::encode(openssl::sha::sha256(&message.bytes));
        assert_eq!(records[refusals]["request_digest"], digest);
        assert_eq!(self.store.counts().await.unwrap().certificates, before);
        fail_info
    }

    /// The CRL that frontends serve.
    pub(crate) async fn crl(&self) -> CertificateList {
        self.crl_in(self.public_info().await).await
    }

    /// The CRL that a frontend serves of this.
    pub(crate) async fn crl_in(&self, public: PublicInfoReply) -> CertificateList {
        let paths = |file: &PublicFile| file.further_paths.contains(&"crl/ca.crl".to_owned());
        let file = public.files.into_iter().find(paths).unwrap();
        CertificateList::from_der(&self.content(&file).await).unwrap()
    }

    /// The content of a file, in the parts that a frontend gets.
    pub(crate) async fn content(&self, file: &PublicFile) -> Vec<u8> {
        let request = FileContentRequest {
            sha256: file.sha256.clone(),
        };
        let request = by(Role::Frontend, FRONTEND, request);
        let reply = self.signer.enrolment().file_content(request).await;
        let parts: Vec<_> = reply.unwrap().into_inner().collect().await;
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| part.unwrap().content)
            .collect();
        let content = parts.concat();
        assert_eq!(content.len() as u64, file.size);
        assert_eq!(openssl::sha::sha256(&content)[..], file.sha256);
        content
    }

    pub(crate) async fn public_info(&self) -> PublicInfoReply {
        self.try_public_info().await.unwrap()
    }

    pub(crate) async fn try_public_info(&self) -> Result<PublicInfoReply, Status> {
        let request = by(Role::Frontend, FRONTEND, PublicInfoRequest::default());
        let reply = self.signer.enrolment().public_info(request).await;
        reply.map(tonic::Response::into_inner)
    }

    /// The newest audit record of a kind, as JSON.
    pub(crate) async fn last(&self, kind: &str) -> serde_json::Value {
        let records = self.records(kind).await;
        let last = records.into_iter().next_back();
        last.unwrap_or_else(|| panic!("no record of {kind}"))
    }

    /// All audit records of a kind, as JSON.
    pub(crate) async fn records(&self, kind: &str) -> Vec<serde_json::Value> {
        let page = self.store.list_audit(assay_store::AuditQuery {
            kind: Some(kind.to_owned()),
            ..assay_store::AuditQuery::default()
        });
        let rows = page.await.unwrap().rows;
        let read = |row: assay_store::AuditRow| serde_json::from_slice(&row.record).unwrap();
        // Listed newest first.
        rows.into_iter().rev().map(read).collect()
    }

    /// As [`Stand::records`], past the first page too.
    pub(crate) async fn all_records(&self, kind: &str) -> Vec<serde_json::Value> {
        let mut all = Vec::new();
        let mut before = None;
        loop {
            let page = self.store.list_audit(assay_store::AuditQuery {
                kind: Some(kind.to_owned()),
                before,
                ..assay_store::AuditQuery::default()
            });
            let page = page.await.unwrap();
            let read = |row: &assay_store::AuditRow| serde_json::from_slice(&row.record).unwrap();
            all.extend(page.rows.iter().map(read));
            before = page.next;
            if before.is_none() {
                return all;
            }
        }
    }

    /// The row of an issued certificate.
    pub(crate) async fn row(&self, certificate: &[u8]) -> CertificateRow {
        let row = self.store.find_certificate(serial(certificate)).await;
        row.unwrap().unwrap()
    }
}

pub(crate) fn serial(certificate: &[u8]) -> Serial {
    let certificate = X509::from_der(certificate).unwrap();
    let serial = certificate.serial_number().to_bn().unwrap().to_vec();
    Serial::try_from(serial.as_slice()).unwrap()
}

/// The subject of a device of this name.
pub(crate) fn subject(name: &str) -> String {
    format!("CN={name},O=Example")
}

/// `base` with these tables and keys in place of its own.
pub(crate) fn changed(base: &str, changes: &str) -> String {
    fn merge(into: &mut toml::Table, changes: toml::Table) {
        for (key, value) in changes {
            match (into.get_mut(&key), value) {
                (Some(toml::Value::Table(into)), toml::Value::Table(changes)) => {
                    merge(into, changes);
                }
                (_, value) => drop(into.insert(key, value)),
            }
        }
    }
    let mut profile: toml::Table = base.parse().unwrap();
    profile.remove("default");
    merge(&mut profile, changes.parse().unwrap());
    toml::to_string(&profile).unwrap()
}

/// A call by somebody who was authenticated.
fn by<T>(role: Role, name: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let identity = Identity::new(role, name).unwrap();
    let peer = Peer::authenticated(identity, ([127, 0, 0, 1], 1).into());
    request.extensions_mut().insert(peer);
    request
}

/// What opens the token of a CA: that of the certificate over its key.
struct Tokens<'a> {
    first: &'a Arc<SoftToken>,
    next: Option<&'a Next>,
}

async fn start(
    folder: &TempDir,
    environment: Environment,
    tokens: &Tokens<'_>,
) -> Result<Signer, StartFailure> {
    let settings = Settings::load(&folder.path().join("signer.toml"))?;
    let prepared = Prepared::new(settings.issuance, environment, false).await?;
    let issuance = prepared
        .start(async |ca: &GenerationSettings| {
            let next = tokens.next;
            let next =
                next.filter(|next| Some(&ca.certificates.ca) == next.ca.ca.der().ok().as_ref());
            let token = next.map_or(tokens.first, |next| &next.token);
            Ok(Arc::clone(token) as Arc<dyn Token>)
        })
        .await?;
    Ok(Signer::new(issuance))
}

/// The configuration and the certificates that it names.
fn write_files(folder: &TempDir, ca: &Ca, next: Option<&Next>, people: &People) {
    let mut rollover = String::new();
    if let Some(next) = next {
        let at = next.switch_at;
        let overlap = next.overlap.as_secs();
        rollover = format!("[rollover]\nswitch_at = \"{at}\"\noverlap = \"{overlap}s\"\n");
        let files = write_ca(folder.path(), &next.ca, "next-", "rollover.");
        rollover.push_str(&files.unwrap());
    }
    write(folder.path(), ca, people, &[7; 32], &rollover).unwrap();
}

/// Adds the table `[ocsp]`, with further lines, to the configuration.
fn write_responder(folder: &TempDir, ca: &Ca, lines: &str) {
    let pem = ca.ocsp.certificate.to_pem().unwrap();
    std::fs::write(folder.path().join("ocsp.pem"), pem).unwrap();
    let file = folder.path().join("signer.toml");
    let table = format!("[ocsp]\ncertificate = \"ocsp.pem\"\n{lines}");
    let text = std::fs::read_to_string(&file).unwrap() + &table;
    std::fs::write(file, text).unwrap();
}
