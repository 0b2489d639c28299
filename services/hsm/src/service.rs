//! The keys at work: a thread for each session, each with the handles of all keys. An operation is checked in
//! [`SessionThread::attempt`], signed in [`SessionThread::sign`], and leaves in [`SessionThread::answer`]. A CRL that is longer
//! than a frame comes in parts, which the thread of its connection puts together ([`CrlStream`]).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use assay_hsm::wire::{
    self, AHEAD, Answer, CaInfo, Fingerprint, JournalInfo, LogInfo, MAX_UNLOGGED, Message, Octets,
    Operation, Outcome, Request, Usage, Welcome, WireError,
};
use assay_hsm::{Digest, KeyRole};
use assay_journal::{
    Admission, CertificateRequest, CheckpointRequest, Counter, CrlRequest, Error, Journal,
    Recorded, State, Status, StatusRequest,
};
use assay_pkcs11::{CallError, KeyHandle, Module, Remedy, Session, Token, verify};
use assay_shape::{CertRep, Reserved};
use assay_types::{Hash, KeyTransport, Serial, Timestamp};
use openssl::base64;
use openssl::sha::sha256;
use zeroize::Zeroizing;

use crate::client::{Client, Output};
use crate::crl_stream::{CrlSlots, CrlStream, CutOff, NO_PLACE};
use crate::error::StartError;
use crate::journal::now;
use crate::lines::{CONNECTIONS, REFUSALS};
use crate::orders::said;
use crate::pin::{self, Marker};
use crate::preflight::{self, CheckedKey};
use crate::queue::Queue;
use crate::rules::{self, CaRules};
use crate::secret::Secret;
use crate::settings::{CaSettings, Settings};
use crate::substitute::Substitute;
use crate::transport;
use crate::watchdog::{self, Call, Watchdog};

/// Operations that wait for a session, at most: what eight clients may have outstanding with 64 sessions.
const QUEUE: usize = 8 * (64 * AHEAD + 1);

/// A client's frame on its way to a session.
pub(crate) struct Task {
    pub(crate) client: Arc<Client>,
    pub(crate) frame: Zeroizing<Vec<u8>>,
    /// The parts that came before, of a CRL that is longer than a frame.
    pub(crate) crl: Option<CrlStream>,
}

/// A logged-in token with every key checked, and the threads that serve it.
pub(crate) struct Service {
    token: Token,
    keys: Vec<ServiceKey>,
    cas: Vec<ServiceCa>,
    /// Names, keys and serial numbers that no leaf may have.
    reserved: Reserved,
    journal: Arc<Journal>,
    substitute: Substitute,
    /// CertReps and OCSP responses signed and not yet in the journal.
    uncounted: [AtomicU64; 2],
    origin: Option<String>,
    welcome: Welcome,
    queue: Queue<Task>,
    /// Places for CRLs that come in parts.
    crl_slots: Arc<CrlSlots>,
    watchdog: Arc<Watchdog>,
    deadline: Duration,
    /// Operations that were refused.
    refused: AtomicU64,
    /// The threads of the sessions.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// One CA and whom its keys answer as.
struct ServiceCa {
    certificate: Fingerprint,
    rules: CaRules,
}

struct ServiceKey {
    checked: CheckedKey,
    /// The place of its CA; `None` for log-sign and the probe.
    ca: Option<usize>,
    /// Operations done with it. Counted here, where a compromised client cannot reach.
    count: AtomicU64,
}

impl Service {
    /// Logs in, checks every key and starts the threads, whose calls are watched from `place` on.
    pub(crate) fn start(
        settings: &Settings,
        journal: &Arc<Journal>,
        state_key: &Secret,
        warnings: Vec<String>,
        place: usize,
        watchdog: &Arc<Watchdog>,
    ) -> Result<Arc<Self>, StartError> {
        let all = || {
            let of_cas = settings.cas.iter().enumerate();
            let of_cas = of_cas.flat_map(|(ca, of)| of.keys.iter().map(move |key| (Some(ca), key)));
            of_cas.chain(settings.keys.iter().map(|key| (None, key)))
        };
        let uri = all().next().map(|(_, key)| key.uri.token().clone());
        let uri = uri.ok_or(StartError::Certificate {
            certificate: "keys",
            right: "name at least one",
        })?;
        let module = Module::load(&settings.module)?;
        let token = pin::log_in(&module, &uri, &Marker::in_directory(&settings.state))?;
        let session = token.session()?;
        let mut keys = Vec::new();
        for (ca, key) in all() {
            keys.push(ServiceKey {
                checked: preflight::check(&token, &session, key)?,
                ca,
                count: AtomicU64::new(0),
            });
        }
        drop(session);
        let checked: Vec<&CheckedKey> = keys.iter().map(|key| &key.checked).collect();
        preflight::check_distinct(&checked)?;
        let log = preflight::log_key(&checked)?;
        let mut cas = Vec::new();
        let mut told = Vec::new();
        for (place, ca) in settings.cas.iter().enumerate() {
            let own: Vec<&CheckedKey> = keys
                .iter()
                .filter(|key| key.ca == Some(place))
                .map(|key| &key.checked)
                .collect();
            let (held, info) = ServiceCa::of(settings, ca, &own)?;
            let recorded = held.rules.record_ceremony(journal, now());
            recorded.map_err(|error| StartError::Journal(error.to_string()))?;
            cas.push(held);
            told.push(info);
        }
        let reserved = rules::reserved(settings, &checked)?;
        let welcome = Welcome {
            threads: u32::try_from(settings.threads).unwrap_or(1),
            operation_deadline: settings.operation_deadline,
            token_label: token.identity().label.clone(),
            token_serial: token.identity().serial.clone(),
            cas: told,
            log: log
                .zip(settings.origin.clone())
                .map(|(key, origin)| LogInfo { origin, key }),
            journal: JournalInfo::default(),
            state_key: (**state_key).into(),
            warnings,
        };
        let service = Arc::new(Self {
            token,
            keys,
            cas,
            reserved,
            journal: Arc::clone(journal),
            substitute: Substitute::open(&settings.state)?,
            uncounted: Default::default(),
            origin: settings.origin.clone(),
            welcome,
            queue: Queue::new(QUEUE),
            crl_slots: Arc::default(),
            watchdog: Arc::clone(watchdog),
            deadline: settings.operation_deadline,
            refused: AtomicU64::new(0),
            threads: Mutex::default(),
        });
        for number in 0..settings.threads {
            let session = SessionThread::open(Arc::clone(&service), place + number)?;
            let thread = thread::Builder::new()
                .name(format!("session-{number}"))
                .spawn(move || session.run())
                .map_err(|error: io::Error| StartError::System {
                    action: "starting a thread",
                    reason: error.to_string(),
                })?;
            service.threads().push(thread);
        }
        Ok(service)
    }

    /// The greeting of a client that comes now.
    pub(crate) fn welcome(&self) -> Welcome {
        let cas = &self.cas;
        let journal = self.journal.read(|state| JournalInfo {
            identity: *state.head().identity.as_bytes(),
            log_size: state.tree().size(),
            log_root: *state.root().as_bytes(),
            newest_entry: state.clock().seconds(),
            crl_numbers: cas
                .iter()
                .map(|ca| state.last_crl(&ca.rules.key).map(|crl| crl.number))
                .collect(),
            unlogged: state
                .unlogged(MAX_UNLOGGED)
                .map(|(serial, tbs)| (serial.as_bytes().to_vec(), *tbs.as_bytes()))
                .collect(),
        });
        Welcome {
            journal,
            ..self.welcome.clone()
        }
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Number of CAs.
    pub(crate) fn cas(&self) -> usize {
        self.cas.len()
    }

    /// Operations that one client may have outstanding: those ahead of the sessions, and a probe.
    pub(crate) fn window(&self) -> usize {
        let threads = usize::try_from(self.welcome.threads).unwrap_or(1);
        threads.saturating_mul(AHEAD).saturating_add(1)
    }

    /// The places for CRLs that come in parts.
    pub(crate) fn crl_slots(&self) -> &Arc<CrlSlots> {
        &self.crl_slots
    }

    /// Hands an operation to the next free session; false once the service stops.
    pub(crate) fn give(&self, task: Task) -> bool {
        self.queue.push(task)
    }

    /// Lets the sessions finish their operations and ends their threads. It has no limit of its own: the caller's watchdog
    /// ends the process where a library hangs. A thread that merely said it was done may still be in the library's own
    /// cleanup, which the exit of the process must not overtake.
    pub(crate) fn stop(&self) {
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            // A panic has been written to the log already.
            let _ = thread.join();
        }
        if let Err(error) = self.record_counts() {
            tracing::error!(%error, "the last counts are not in the journal");
        }
    }

    /// Writes to the journal how many CertReps and OCSP responses were signed since this was last done.
    fn record_counts(&self) -> Result<(), Error> {
        for (counter, count) in [Counter::CertReps, Counter::Statuses]
            .into_iter()
            .zip(&self.uncounted)
        {
            let count = u32::try_from(count.swap(0, Ordering::Relaxed)).unwrap_or(u32::MAX);
            if count > 0 {
                self.journal.counted(counter, count, now())?.wait()?;
            }
        }
        Ok(())
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ca(&self, certificate: &Fingerprint) -> Result<(usize, &ServiceCa), Verdict> {
        let mut cas = self.cas.iter().enumerate();
        cas.find(|(_, ca)| ca.certificate == *certificate)
            .ok_or_else(|| Verdict::Refused("no CA of that certificate is configured".to_owned()))
    }

    /// Operations that were refused so far.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Operations that wait for a session.
    pub(crate) fn queue_length(&self) -> usize {
        self.queue.len()
    }

    /// Operations so far, by the role of their key, and CPU time.
    pub(crate) fn usage(&self) -> Usage {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let mut operations: Vec<(KeyRole, u64)> = Vec::new();
        for key in &self.keys {
            let (role, count) = (key.checked.role, key.count.load(Ordering::Relaxed));
            match operations.iter_mut().find(|(of, _)| *of == role) {
                Some((_, sum)) => *sum += count,
                None => operations.push((role, count)),
            }
        }
        Usage {
            operations,
            cpu_nanoseconds: Duration::try_from(cpu)
                .ok()
                .and_then(|cpu| u64::try_from(cpu.as_nanos()).ok())
                .unwrap_or_default(),
        }
    }
}

impl ServiceCa {
    /// The CA and its part of the greeting; `keys` are its own, checked.
    fn of(
        settings: &Settings,
        ca: &CaSettings,
        keys: &[&CheckedKey],
    ) -> Result<(Self, CaInfo), StartError> {
        let certificate = sha256(&ca.certificate);
        let algorithm = |role| {
            let key = keys.iter().find(|key| key.role == role);
            key.and_then(|key| key.algorithm.signature_algorithm())
        };
        let signature = algorithm(KeyRole::CaSign).ok_or(StartError::Certificate {
            certificate: "keys",
            right: "one must have the role ca-sign",
        })?;
        let rules = CaRules::of(settings, ca, signature)?;
        let of = |role| ca.certificate_of(role).map(sha256);
        let info = CaInfo {
            certificate,
            signature,
            ra_decrypt: of(KeyRole::RaDecrypt).unwrap_or_default(),
            ra_sign: of(KeyRole::RaSign).unwrap_or_default(),
            ra_single: of(KeyRole::RaSingle),
            key_transports: transport::common(keys),
            ocsp: of(KeyRole::OcspSign).zip(algorithm(KeyRole::OcspSign)),
            forms: rules
                .forms()
                .iter()
                .map(|form| form.form().clone())
                .collect(),
        };
        Ok((Self { certificate, rules }, info))
    }
}

/// One session and its thread.
struct SessionThread {
    service: Arc<Service>,
    session: Session,
    /// Handles by the order of `Service::keys`, as this session found them.
    handles: Vec<KeyHandle>,
    /// Where its calls are watched.
    place: usize,
    output: Output,
}

impl SessionThread {
    fn open(service: Arc<Service>, place: usize) -> Result<Self, StartError> {
        Ok(Self {
            session: service.token.session()?,
            handles: service.keys.iter().map(|key| key.checked.handle).collect(),
            service,
            place,
            output: Output::default(),
        })
    }

    fn run(mut self) {
        while let Some(task) = self.service.queue.pop() {
            let Task { client, frame, crl } = task;
            if client.is_gone() {
                continue;
            }
            if let Err(reason) = self.take(&client, &frame, crl) {
                CONNECTIONS
                    .write(|| tracing::warn!(client = client.number, %reason, "client cut off"));
                client.hang_up();
            }
        }
    }

    fn take(
        &mut self,
        client: &Client,
        frame: &[u8],
        mut crl: Option<CrlStream>,
    ) -> Result<(), CutOff> {
        let (id, message) = wire::read_message(frame)?;
        let Message::Request(mut request) = message else {
            return Err(WireError::Malformed.into());
        };
        if let (Some(crl), Operation::SignCrl { tbs, .. }) = (&mut crl, &mut request.operation) {
            let Some(whole) = crl.with_last(tbs.0)? else {
                self.answer(client, id, &request, &Verdict::NotNow(NO_PLACE.to_owned()));
                return Ok(());
            };
            *tbs = Octets(whole);
        }
        let verdict = self.perform(&request.operation);
        self.answer(client, id, &request, &verdict);
        Ok(())
    }

    /// The one place where anything leaves.
    fn answer(&mut self, client: &Client, id: u64, request: &Request<'_>, verdict: &Verdict) {
        let request_id = request.request_id;
        tracing::debug!(
            request_id,
            operation = request.operation.name(),
            "operation done"
        );
        let ca = request.operation.ca();
        let ca = ca.and_then(|ca| self.service.ca(&ca).ok());
        let ca = ca.map(|(place, _)| place);
        if let (Verdict::Signature(_), KeyRole::CaSign, Some(ca)) =
            (verdict, request.operation.role(), ca)
        {
            client.count_ca_signature(ca);
        }
        let mut broken = None;
        let outcome = match verdict {
            Verdict::Key(key) => Outcome::Key(Octets(key)),
            Verdict::Signature(signature) | Verdict::Stored(signature) => {
                Outcome::Signature(Octets(signature))
            }
            Verdict::Checkpoint(extension, signature) => Outcome::Checkpoint {
                extension,
                signature: Octets(signature),
            },
            Verdict::Journalled(is_journalled) => Outcome::Journalled(*is_journalled),
            Verdict::Probed => Outcome::Probed(self.service.usage()),
            Verdict::Refused(reason) => {
                self.service.refused.fetch_add(1, Ordering::Relaxed);
                REFUSALS.write(|| tracing::warn!(request_id, reason, "operation refused"));
                Outcome::Refused(reason)
            }
            Verdict::NotNow(reason) => {
                REFUSALS.write(|| tracing::warn!(request_id, reason, "operation refused for now"));
                Outcome::NotNow(reason)
            }
            Verdict::Lost(reason) => Outcome::Broken(broken.insert(reason.clone())),
        };
        let payload = match &outcome {
            Outcome::Key(octets) | Outcome::Signature(octets) => octets.0.len(),
            Outcome::Checkpoint {
                extension,
                signature,
            } => extension.len() + signature.0.len(),
            Outcome::Refused(text) | Outcome::NotNow(text) | Outcome::Broken(text) => text.len(),
            Outcome::Journalled(_) | Outcome::Probed(_) => 0,
        };
        let answer = Answer {
            id,
            ca_signatures: ca.map_or(0, |ca| client.ca_signatures(ca)),
            outcome,
        };
        self.output.send(client, payload, &answer);
        if let Verdict::Lost(reason) = verdict {
            // The library finds a lost token only after a new C_Initialize, in a new process.
            watchdog::end(reason);
        }
    }

    /// Performs an operation, once more on a new session if the old one was lost.
    fn perform(&mut self, operation: &Operation<'_>) -> Verdict {
        match self.attempt(operation) {
            Err(Stop::Failed(error)) if error.remedy() == Remedy::NewSession => {
                tracing::warn!(%error, "session lost, opening another");
                match self.reopen() {
                    Ok(()) => self.attempt(operation).unwrap_or_else(Verdict::from),
                    Err(reason) => Verdict::lost_token(&reason),
                }
            }
            Err(stop) => stop.into(),
            Ok(verdict) => verdict,
        }
    }

    /// Checks an operation and has the token do it.
    fn attempt(&self, operation: &Operation<'_>) -> Result<Verdict, Stop> {
        let now = now();
        match operation {
            Operation::UnwrapKey {
                transport,
                length,
                ciphertext,
                ..
            } => self.unwrap_key(operation, *transport, *length, ciphertext.0, now),
            Operation::SignCertRep {
                ca,
                digest,
                content,
                signed_attributes,
                ..
            } => {
                let (place, _) = self.service.ca(ca)?;
                CertRep::check(content.0, signed_attributes.0, *digest)
                    .map_err(|refusal| Verdict::refused(&refusal))?;
                let [cert_reps, _] = &self.service.uncounted;
                cert_reps.fetch_add(1, Ordering::Relaxed);
                let signature =
                    self.sign(operation.role(), Some(place), |session, _, handle| {
                        session.sign_rsa(handle, *digest, signed_attributes.0)
                    })?;
                Ok(Verdict::Signature(signature))
            }
            Operation::SignNextCa {
                ca,
                content,
                signed_attributes,
                ..
            } => {
                let (place, ca) = self.service.ca(ca)?;
                let none = || Verdict::Refused("no next CA is configured".to_owned());
                let next = ca.rules.next.as_ref().ok_or_else(none)?;
                next.check(content.0, signed_attributes.0)
                    .map_err(|refusal| Verdict::refused(&refusal))?;
                let signature =
                    self.sign(operation.role(), Some(place), |session, _, handle| {
                        session.sign_rsa(handle, Digest::Sha256, signed_attributes.0)
                    })?;
                Ok(Verdict::Signature(signature))
            }
            Operation::SignCertificate { ca, tbs } => self.sign_certificate(ca, tbs.0, now),
            Operation::SignCrl { ca, tbs } => {
                let (place, ca) = self.service.ca(ca)?;
                let crl = ca.rules.crl(tbs.0, now);
                let crl = crl.map_err(|refusal| Verdict::refused(&refusal))?;
                let request = CrlRequest {
                    issuer: ca.rules.key,
                    number: crl.number,
                    this_update: crl.this_update,
                    next_update: crl.next_update,
                    digest: crl.digest,
                    listed: &rules::listed(crl.entries),
                };
                let pending = self.service.journal.may_sign_crl(&request, now)?;
                let signature = self.sign_whole(operation.role(), Some(place), tbs.0)?;
                pending.wait()?;
                Ok(Verdict::Signature(signature))
            }
            Operation::SignOcsp { ca, response_data } => {
                let (place, ca) = self.service.ca(ca)?;
                let no_key = || Verdict::no_key(KeyRole::OcspSign);
                let responder = ca.rules.responder.as_ref().ok_or_else(no_key)?;
                let response = responder
                    .check(response_data.0, now)
                    .map_err(|refusal| Verdict::refused(&refusal))?;
                let status = match response.status {
                    assay_shape::Status::Good => Status::Good,
                    assay_shape::Status::Revoked { at, reason } => Status::Revoked {
                        reason: rules::reason(reason),
                        date: at,
                    },
                };
                let request = StatusRequest {
                    issuer: ca.rules.key,
                    serial: &response.serial,
                    status,
                };
                self.service.journal.may_sign_status(&request, now)?;
                let [_, statuses] = &self.service.uncounted;
                statuses.fetch_add(1, Ordering::Relaxed);
                let signature = self.sign_whole(operation.role(), Some(place), response_data.0)?;
                Ok(Verdict::Signature(signature))
            }
            Operation::SignCheckpoint { size, root, leaves } => {
                self.sign_checkpoint(*size, Hash::from(*root), leaves.0, now)
            }
            Operation::IsJournalled { ca, serial } => {
                let (_, ca) = self.service.ca(ca)?;
                let serial = Serial::try_from(serial.0);
                let serial = serial.map_err(|error| Verdict::Refused(error.to_string()))?;
                let key = ca.rules.key;
                let known = |state: &State| state.not_after(&key, &serial).is_some();
                Ok(Verdict::Journalled(self.service.journal.read(known)))
            }
            Operation::Probe => self.probe(),
        }
    }

    /// A key of the length asked for, whatever the ciphertext. The substitute is made in any case, so that this service does the
    /// same work for a bad ciphertext; how long the token takes for one is the token's own.
    fn unwrap_key(
        &self,
        operation: &Operation<'_>,
        transport: KeyTransport,
        length: u8,
        ciphertext: &[u8],
        now: Timestamp,
    ) -> Result<Verdict, Stop> {
        let ca = operation.ca().unwrap_or_default();
        let (place, _) = self.service.ca(&ca)?;
        let (key, handle) = self.key(operation.role(), Some(place))?;
        let substitute = self.service.substitute.key(operation, length);
        let substitute = substitute.map_err(Verdict::Refused)?;
        self.service.journal.may_decrypt(now)?.wait()?;
        // Counted also where it fails: each call is one use of the key.
        key.count.fetch_add(1, Ordering::Relaxed);
        let decrypted = {
            let _call = self.watch();
            self.session.decrypt(handle, transport, ciphertext)
        };
        match decrypted {
            Ok(key) if key.len() == usize::from(length) => Ok(Verdict::Key(key)),
            Ok(_) => Ok(Verdict::Key(substitute)),
            Err(error) if error.is_bad_ciphertext() => Ok(Verdict::Key(substitute)),
            Err(error) => Err(error.into()),
        }
    }

    /// The TBS reaches the disk while the token signs, and the signature before it leaves: a certificate without a signature in
    /// the journal is one that nobody was given.
    fn sign_certificate(
        &self,
        ca: &Fingerprint,
        tbs: &[u8],
        now: Timestamp,
    ) -> Result<Verdict, Stop> {
        let (place, ca) = self.service.ca(ca)?;
        let journal = &self.service.journal;
        let leaf = ca.rules.leaf(tbs, &self.service.reserved, now);
        let leaf = leaf.map_err(|refusal| Verdict::refused(&refusal))?;
        let request = CertificateRequest {
            issuer: ca.rules.key,
            serial: &leaf.serial,
            not_after: leaf.not_after,
            form: &leaf.form,
            tbs,
        };
        let (certificate, pending) = match journal.may_sign_certificate(&request, now)? {
            Admission::Sign {
                certificate,
                pending,
            } => (certificate, pending),
            Admission::Signed(signature) => return Ok(Verdict::Stored(signature)),
        };
        let signature = self.sign_whole(KeyRole::CaSign, Some(place), tbs)?;
        pending.wait()?;
        match journal.signed(certificate, &signature, crate::journal::now())? {
            Recorded::First(pending) => {
                pending.wait()?;
                Ok(Verdict::Signature(signature))
            }
            Recorded::Earlier(signature) => Ok(Verdict::Signature(signature)),
        }
    }

    /// Signs a checkpoint (C2SP tlog-checkpoint) of this service's own log, and verifies what the token made of it.
    fn sign_checkpoint(
        &self,
        size: u64,
        root: Hash,
        leaves: &[u8],
        now: Timestamp,
    ) -> Result<Verdict, Stop> {
        let no_log = || Verdict::Refused("no log is configured".to_owned());
        let origin = self.service.origin.as_ref().ok_or_else(no_log)?;
        let (hashes, []) = leaves.as_chunks() else {
            return Err(
                Verdict::Refused("the leaf hashes are not of 32 octets each".into()).into(),
            );
        };
        let leaves: Vec<Hash> = hashes.iter().map(|hash| Hash::from(*hash)).collect();
        let request = CheckpointRequest {
            size,
            root,
            leaves: &leaves,
        };
        let pending = self.service.journal.may_sign_checkpoint(&request, now)?;
        // With new leaves alone, which have a ceiling: a repetition adds nothing to the journal.
        if pending.is_new() {
            self.service.record_counts()?;
        }
        let head = pending.wait()?;
        let root = base64::encode_block(root.as_bytes());
        let text = format!("{origin}\n{size}\n{root}\n{head}\n");
        let signature = self.sign_whole(KeyRole::LogSign, None, text.as_bytes())?;
        let (key, _) = self.key(KeyRole::LogSign, None)?;
        let CheckedKey {
            public_key,
            algorithm,
            ..
        } = &key.checked;
        let is_right = verify(public_key, *algorithm, text.as_bytes(), &signature);
        Ok(match is_right {
            Ok(true) => Verdict::Checkpoint(head.to_string(), signature),
            Ok(false) | Err(_) => Verdict::lost_token("its signature with the log key is wrong"),
        })
    }

    fn sign_whole(&self, role: KeyRole, ca: Option<usize>, data: &[u8]) -> Result<Vec<u8>, Stop> {
        self.sign(role, ca, |session, key, handle| {
            session.sign(handle, key.algorithm, data)
        })
    }

    /// A call into the library begins, which ends the process if it does not return in time.
    fn watch(&self) -> Option<Call<'_>> {
        self.service
            .watchdog
            .call(self.place, self.service.deadline)
    }

    /// The one place where the token signs what a client asked for.
    fn sign(
        &self,
        role: KeyRole,
        ca: Option<usize>,
        sign: impl FnOnce(&Session, &CheckedKey, KeyHandle) -> Result<Vec<u8>, CallError>,
    ) -> Result<Vec<u8>, Stop> {
        let (key, handle) = self.key(role, ca)?;
        // Before the signature, so that none leaves uncounted.
        key.count.fetch_add(1, Ordering::Relaxed);
        let _call = self.watch();
        Ok(sign(&self.session, &key.checked, handle)?)
    }

    /// Finds the probe key anew, signs and verifies: session information stays fine when a token
    /// is gone.
    fn probe(&self) -> Result<Verdict, Stop> {
        let (key, _) = self.key(KeyRole::Probe, None)?;
        let _call = self.watch();
        let public_key = &key.checked.public_key;
        let handle = match self.session.private_keys(&key.checked.uri).as_deref() {
            Ok([handle]) => *handle,
            Ok(found) => {
                let reason = format!("the token shows {} probe keys instead of one", found.len());
                return Ok(Verdict::lost_token(&reason));
            }
            Err(error) => {
                let reason = format!("cannot look for the probe key: {error}");
                return Ok(Verdict::lost_token(&reason));
            }
        };
        let Ok(challenge) = preflight::random() else {
            return Ok(Verdict::Lost("the system has no random numbers".to_owned()));
        };
        key.count.fetch_add(1, Ordering::Relaxed);
        let algorithm = key.checked.algorithm;
        let signature = self.session.sign(handle, algorithm, &challenge)?;
        match verify(public_key, algorithm, &challenge, &signature) {
            Ok(true) => Ok(Verdict::Probed),
            Ok(false) | Err(_) => Ok(Verdict::lost_token(
                "its signature with the probe key is wrong",
            )),
        }
    }

    fn reopen(&mut self) -> Result<(), String> {
        let service = Arc::clone(&self.service);
        let _call = service.watchdog.call(self.place, service.deadline);
        self.session = self
            .service
            .token
            .session()
            .map_err(|error| error.to_string())?;
        let mut handles = Vec::with_capacity(self.service.keys.len());
        for key in &self.service.keys {
            match self.session.private_keys(&key.checked.uri).as_deref() {
                Ok([handle]) => handles.push(*handle),
                Ok(_) => return Err(format!("the {} key is gone", key.checked.role)),
                Err(error) => return Err(error.to_string()),
            }
        }
        self.handles = handles;
        Ok(())
    }

    /// The key of a role: of this CA, or of none.
    fn key(&self, role: KeyRole, ca: Option<usize>) -> Result<(&ServiceKey, KeyHandle), Verdict> {
        self.service
            .keys
            .iter()
            .zip(&self.handles)
            .find(|(key, _)| key.checked.role == role && key.ca == ca)
            .map(|(key, handle)| (key, *handle))
            .ok_or_else(|| Verdict::no_key(role))
    }
}

/// The result of an operation.
enum Verdict {
    Key(Zeroizing<Vec<u8>>),
    Signature(Vec<u8>),
    /// A signature that the journal had.
    Stored(Vec<u8>),
    /// The extension line of a checkpoint, and its signature.
    Checkpoint(String, Vec<u8>),
    Journalled(bool),
    Probed,
    /// The answer stays the same when it is asked again.
    Refused(String),
    /// It may be signed later.
    NotNow(String),
    /// The token or the journal cannot serve this process any longer.
    Lost(String),
}

impl Verdict {
    fn no_key(role: KeyRole) -> Self {
        Self::Refused(format!("no key is configured for {role}"))
    }

    fn refused(reason: &impl ToString) -> Self {
        Self::Refused(reason.to_string())
    }

    fn lost_token(reason: &str) -> Self {
        Self::Lost(format!("the token is lost: {reason}"))
    }
}

/// Why an operation went no further.
enum Stop {
    /// It is decided.
    Decided(Verdict),
    /// A call failed.
    Failed(CallError),
}

impl From<Verdict> for Stop {
    fn from(verdict: Verdict) -> Self {
        Self::Decided(verdict)
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Failed(error)
    }
}

/// A refusal that has to do with the moment may be over later; a journal that failed is over with this process.
impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        let Error::Refused(refusal) = error else {
            return Self::Decided(Verdict::Lost(said(&error)));
        };
        let reason = refusal.to_string();
        Self::Decided(match refusal.is_temporary() {
            true => Verdict::NotNow(reason),
            false => Verdict::Refused(reason),
        })
    }
}

impl From<Stop> for Verdict {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Decided(verdict) => verdict,
            Stop::Failed(error) if error.remedy() == Remedy::Permanent => Self::refused(&error),
            Stop::Failed(error) => Self::lost_token(&error.to_string()),
        }
    }
}
