//! The keys at work: a thread for each session, each with the handles of all keys. An operation is checked in
//! [`SessionThread::attempt`], signed in [`SessionThread::sign`], and leaves in [`SessionThread::answer`].

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use assay_hsm::KeyRole;
use assay_hsm::wire::{
    self, AHEAD, Answer, CaInfo, Fingerprint, LogInfo, Octets, Operation, Outcome, Request, Usage,
    Welcome,
};
use assay_pkcs11::{CallError, KeyHandle, Module, Remedy, Session, Token, verify};
use openssl::sha::sha256;
use zeroize::Zeroizing;

use crate::client::{Client, Output};
use crate::error::StartError;
use crate::ocsp::Responder;
use crate::pin::{self, Marker};
use crate::preflight::{self, CheckedKey};
use crate::queue::Queue;
use crate::settings::{CaSettings, KeySettings, Settings};
use crate::structure::{Issuer, check_certificate, check_list, check_signed_attributes};
use crate::watchdog::{self, Watchdog};
use crate::{checkpoint, transport};

/// Operations that wait for a session, at most: what eight clients may have outstanding with 64 sessions.
const QUEUE: usize = 8 * (64 * AHEAD + 1);

/// A client's frame on its way to a session.
pub(crate) struct Task {
    pub(crate) client: Arc<Client>,
    pub(crate) frame: Zeroizing<Vec<u8>>,
}

/// A logged-in token with every key checked, and the threads that serve it.
pub(crate) struct Service {
    token: Token,
    keys: Vec<ServiceKey>,
    cas: Vec<ServiceCa>,
    origin: Option<String>,
    welcome: Welcome,
    queue: Queue<Task>,
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
    issuer: Issuer,
    responder: Option<Responder>,
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
            let (held, info) = ServiceCa::of(ca, &own)?;
            cas.push(held);
            told.push(info);
        }
        let welcome = Welcome {
            threads: u32::try_from(settings.threads).unwrap_or(1),
            operation_deadline: settings.operation_deadline,
            token_label: token.identity().label.clone(),
            token_serial: token.identity().serial.clone(),
            cas: told,
            log: log
                .zip(settings.origin.clone())
                .map(|(key, origin)| LogInfo { origin, key }),
            warnings,
        };
        let service = Arc::new(Self {
            token,
            keys,
            cas,
            origin: settings.origin.clone(),
            welcome,
            queue: Queue::new(QUEUE),
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

    pub(crate) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Operations that one client may have outstanding: those ahead of the sessions, and a probe.
    pub(crate) fn window(&self) -> usize {
        let threads = usize::try_from(self.welcome.threads).unwrap_or(1);
        threads.saturating_mul(AHEAD).saturating_add(1)
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
    fn of(settings: &CaSettings, keys: &[&CheckedKey]) -> Result<(Self, CaInfo), StartError> {
        let certificate = sha256(&settings.certificate);
        let issuer = keys.iter().find_map(|key| key.issuer.clone());
        let issuer = issuer.ok_or(StartError::Certificate {
            certificate: "keys",
            right: "one must have the role ca-sign",
        })?;
        let of = |role: KeyRole| settings.keys.iter().find(move |key| key.role == role);
        let fingerprint = |key: &KeySettings| key.certificate.as_deref().map(sha256);
        let needed = |role| of(role).and_then(fingerprint).unwrap_or_default();
        let algorithm = |role| {
            let key = keys.iter().find(|key| key.role == role);
            key.and_then(|key| key.algorithm.signature_algorithm())
        };
        let info = CaInfo {
            certificate,
            signature: issuer.algorithm,
            ra_decrypt: needed(KeyRole::RaDecrypt),
            ra_sign: needed(KeyRole::RaSign),
            ra_single: of(KeyRole::RaSingle).and_then(fingerprint),
            key_transports: transport::common(keys),
            ocsp: of(KeyRole::OcspSign)
                .and_then(fingerprint)
                .zip(algorithm(KeyRole::OcspSign)),
        };
        let held = Self {
            certificate,
            issuer,
            responder: Responder::of(settings)?,
        };
        Ok((held, info))
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
        while let Some(Task { client, frame }) = self.service.queue.pop() {
            if client.is_gone() {
                continue;
            }
            match wire::read_request(&frame) {
                Ok((id, request)) => self.answer(&client, id, &request),
                Err(reason) => {
                    tracing::warn!(client = client.number, %reason, "client cut off");
                    client.hang_up();
                }
            }
        }
    }

    /// Has an operation done, and is the one place where anything leaves.
    fn answer(&mut self, client: &Client, id: u64, request: &Request<'_>) {
        let request_id = request.request_id;
        let verdict = self.perform(&request.operation);
        tracing::debug!(
            request_id,
            operation = request.operation.name(),
            "operation done"
        );
        let ca = request.operation.ca();
        let ca = ca.and_then(|ca| self.service.ca(&ca).ok());
        let ca = ca.map(|(place, _)| place);
        if let (Verdict::Signature(_), KeyRole::CaSign, Some(ca)) =
            (&verdict, request.operation.role(), ca)
        {
            client.count_ca_signature(ca);
        }
        let mut broken = None;
        let outcome = match &verdict {
            Verdict::Plaintext(plaintext) => Outcome::Plaintext(Octets(plaintext)),
            Verdict::BadCiphertext => Outcome::BadCiphertext,
            Verdict::Signature(signature) => Outcome::Signature(Octets(signature)),
            Verdict::Probed => Outcome::Probed(self.service.usage()),
            Verdict::Refused(reason) => {
                self.service.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(request_id, reason, "operation refused");
                Outcome::Refused(reason)
            }
            Verdict::Lost(reason) => Outcome::Broken(broken.insert(reason.clone())),
        };
        let payload = match &outcome {
            Outcome::Plaintext(octets) | Outcome::Signature(octets) => octets.0.len(),
            Outcome::Refused(text) | Outcome::Broken(text) => text.len(),
            Outcome::BadCiphertext | Outcome::Probed(_) => 0,
        };
        let answer = Answer {
            id,
            ca_signatures: ca.map_or(0, |ca| client.ca_signatures(ca)),
            outcome,
        };
        self.output.send(client, payload, &answer);
        if let Verdict::Lost(reason) = &verdict {
            // The library finds a lost token only after a new C_Initialize, in a new process.
            watchdog::end(&format!("the token is lost: {reason}"));
        }
    }

    /// Performs an operation, once more on a new session if the old one was lost.
    fn perform(&mut self, operation: &Operation<'_>) -> Verdict {
        let watchdog = Arc::clone(&self.service.watchdog);
        let _call = watchdog.call(self.place, self.service.deadline);
        match self.attempt(operation) {
            Err(Stop::Failed(error)) if error.remedy() == Remedy::NewSession => {
                tracing::warn!(%error, "session lost, opening another");
                match self.reopen() {
                    Ok(()) => self.attempt(operation).unwrap_or_else(Verdict::from),
                    Err(reason) => Verdict::Lost(reason),
                }
            }
            Err(stop) => stop.into(),
            Ok(verdict) => verdict,
        }
    }

    /// Checks an operation and has the token do it.
    fn attempt(&self, operation: &Operation<'_>) -> Result<Verdict, Stop> {
        match operation {
            Operation::Decrypt {
                ca,
                transport,
                ciphertext,
                ..
            } => {
                let (ca, _) = self.service.ca(ca)?;
                let (key, handle) = self.key(operation.role(), Some(ca))?;
                // Counted also where it fails: each call is one use of the key.
                key.count.fetch_add(1, Ordering::Relaxed);
                match self.session.decrypt(handle, *transport, ciphertext.0) {
                    Ok(plaintext) => Ok(Verdict::Plaintext(plaintext)),
                    Err(error) if error.is_bad_ciphertext() => Ok(Verdict::BadCiphertext),
                    Err(error) => Err(error.into()),
                }
            }
            Operation::SignReply {
                ca,
                digest,
                signed_attributes,
                ..
            } => {
                let (ca, _) = self.service.ca(ca)?;
                check_signed_attributes(signed_attributes.0)
                    .map_err(|refusal| Verdict::refused(&refusal))?;
                self.sign(operation.role(), Some(ca), |session, _, handle| {
                    session.sign_rsa(handle, *digest, signed_attributes.0)
                })
            }
            Operation::SignCertificate { ca, tbs } => {
                let (place, ca) = self.service.ca(ca)?;
                check_certificate(tbs.0, &ca.issuer)
                    .map_err(|refusal| Verdict::refused(&refusal))?;
                self.sign_whole(operation.role(), Some(place), tbs.0)
            }
            Operation::SignCrl { ca, tbs } => {
                let (place, ca) = self.service.ca(ca)?;
                check_list(tbs.0, &ca.issuer).map_err(|refusal| Verdict::refused(&refusal))?;
                self.sign_whole(operation.role(), Some(place), tbs.0)
            }
            Operation::SignOcsp { ca, response_data } => {
                let (place, ca) = self.service.ca(ca)?;
                let no_key = || Verdict::no_key(KeyRole::OcspSign);
                let responder = ca.responder.as_ref().ok_or_else(no_key)?;
                responder
                    .check(response_data.0)
                    .map_err(|refusal| Verdict::refused(&refusal))?;
                self.sign_whole(operation.role(), Some(place), response_data.0)
            }
            Operation::SignCheckpoint { text, leaves: _ } => self.sign_checkpoint(text.0),
            Operation::Probe => self.probe(),
        }
    }

    /// Signs a checkpoint of this service's own log, and verifies what the token made of it.
    fn sign_checkpoint(&self, text: &[u8]) -> Result<Verdict, Stop> {
        let no_log = || Verdict::Refused("no log is configured".to_owned());
        let origin = self.service.origin.as_ref().ok_or_else(no_log)?;
        checkpoint::check(text, origin).map_err(|refusal| Verdict::refused(&refusal))?;
        let verdict = self.sign_whole(KeyRole::LogSign, None, text)?;
        let (key, _) = self.key(KeyRole::LogSign, None)?;
        let CheckedKey {
            public_key,
            algorithm,
            ..
        } = &key.checked;
        match &verdict {
            Verdict::Signature(signature)
                if !verify(public_key, *algorithm, text, signature).unwrap_or(false) =>
            {
                Ok(Verdict::Lost(
                    "the token's signature with the log key is wrong".to_owned(),
                ))
            }
            Verdict::Plaintext(_)
            | Verdict::BadCiphertext
            | Verdict::Signature(_)
            | Verdict::Probed
            | Verdict::Refused(_)
            | Verdict::Lost(_) => Ok(verdict),
        }
    }

    fn sign_whole(&self, role: KeyRole, ca: Option<usize>, data: &[u8]) -> Result<Verdict, Stop> {
        self.sign(role, ca, |session, key, handle| {
            session.sign(handle, key.algorithm, data)
        })
    }

    /// The one place where the token signs what a client asked for.
    fn sign(
        &self,
        role: KeyRole,
        ca: Option<usize>,
        sign: impl FnOnce(&Session, &CheckedKey, KeyHandle) -> Result<Vec<u8>, CallError>,
    ) -> Result<Verdict, Stop> {
        let (key, handle) = self.key(role, ca)?;
        // Before the signature, so that none leaves uncounted.
        key.count.fetch_add(1, Ordering::Relaxed);
        Ok(Verdict::Signature(sign(
            &self.session,
            &key.checked,
            handle,
        )?))
    }

    /// Finds the probe key anew, signs and verifies: session information stays fine when a token
    /// is gone.
    fn probe(&self) -> Result<Verdict, Stop> {
        let (key, _) = self.key(KeyRole::Probe, None)?;
        let public_key = &key.checked.public_key;
        let handle = match self.session.private_keys(&key.checked.uri).as_deref() {
            Ok([handle]) => *handle,
            Ok(found) => {
                let reason = format!("the token shows {} probe keys instead of one", found.len());
                return Ok(Verdict::Lost(reason));
            }
            Err(error) => {
                let reason = format!("cannot look for the probe key: {error}");
                return Ok(Verdict::Lost(reason));
            }
        };
        let Ok(challenge) = preflight::random() else {
            return Ok(Verdict::Lost("no random numbers".to_owned()));
        };
        key.count.fetch_add(1, Ordering::Relaxed);
        let algorithm = key.checked.algorithm;
        let signature = self.session.sign(handle, algorithm, &challenge)?;
        match verify(public_key, algorithm, &challenge, &signature) {
            Ok(true) => Ok(Verdict::Probed),
            Ok(false) | Err(_) => Ok(Verdict::Lost(
                "the token's signature with the probe key is wrong".to_owned(),
            )),
        }
    }

    fn reopen(&mut self) -> Result<(), String> {
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
    Plaintext(Zeroizing<Vec<u8>>),
    BadCiphertext,
    Signature(Vec<u8>),
    Probed,
    /// The answer stays the same when it is asked again.
    Refused(String),
    /// The token cannot serve this process any longer.
    Lost(String),
}

impl Verdict {
    fn no_key(role: KeyRole) -> Self {
        Self::Refused(format!("no key is configured for {role}"))
    }

    fn refused(reason: &impl ToString) -> Self {
        Self::Refused(reason.to_string())
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

impl From<Stop> for Verdict {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Decided(verdict) => verdict,
            Stop::Failed(error) if error.remedy() == Remedy::Permanent => Self::refused(&error),
            Stop::Failed(error) => Self::Lost(error.to_string()),
        }
    }
}
