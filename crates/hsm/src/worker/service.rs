//! The service: a thread a session, each with the handles of all keys.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use assay_pkcs11::{Access, CallError, KeyHandle, Module, Remedy, Session, Token, verify};
use zeroize::{Zeroize, Zeroizing};

use super::ocsp::Responder;
use super::preflight::{self, CheckedKey};
use super::queue::Queue;
use super::structure::{check_signed_attributes, check_tbs};
use super::{checkpoint, transport};
use crate::wire::{self, Answer, Octets, Operation, Outcome, Ready, Request, Setup, Usage};
use crate::{KeyRole, KeyUri, StartError};

/// Frames that wait for a session; the parent sends fewer than this ahead.
const QUEUE: usize = 64;

/// Octets of an answer beside its payload: id, tag and lengths.
const ANSWER_OVERHEAD: usize = 64;

/// How long threads may take to finish once the parent is gone.
const DRAIN: Duration = Duration::from_secs(2);

/// A logged-in token with every key checked, and the threads that serve it.
pub(super) struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    token: Token,
    keys: Vec<ServiceKey>,
    log_origin: Option<String>,
    /// Signatures of the CA key that the token gave out, each counted before it leaves this process.
    ca_signatures: AtomicU64,
    /// Whom ocsp-sign answers as, and for.
    responder: Option<Responder>,
    queue: Queue<Zeroizing<Vec<u8>>>,
    output: Mutex<UnixStream>,
    running: Running,
}

struct ServiceKey {
    checked: CheckedKey,
    /// Operations done with it. Counted here, where a compromised parent cannot reach.
    count: AtomicU64,
}

impl Service {
    /// Logs in, checks every key and starts the threads.
    pub(super) fn start(setup: &Setup, output: UnixStream) -> Result<(Self, Ready), StartError> {
        let first = setup.keys.first().ok_or_else(|| StartError::Config {
            field: "keys".to_owned(),
            right: "name at least one".to_owned(),
        })?;
        let uri = KeyUri::parse(&first.uri).map_err(|error| StartError::Config {
            field: format!("URI of the {} key", first.role),
            right: error.to_string(),
        })?;
        let token = Module::load(setup.module.as_ref())?.open(uri.token(), Access::ReadOnly)?;
        let session = token.session()?;
        let mut keys = Vec::with_capacity(setup.keys.len());
        for key in &setup.keys {
            keys.push(ServiceKey {
                checked: preflight::check(&token, &session, key)?,
                count: AtomicU64::new(0),
            });
        }
        let checked: Vec<&CheckedKey> = keys.iter().map(|key| &key.checked).collect();
        preflight::check_distinct(&checked)?;
        let ca_signature = checked
            .iter()
            .find_map(|key| key.issuer.as_ref())
            .map(|issuer| issuer.algorithm)
            .ok_or_else(|| StartError::Config {
                field: "keys".to_owned(),
                right: "one must have the role ca-sign".to_owned(),
            })?;
        let responder = Responder::of(setup)?;
        let ocsp_signature = keys
            .iter()
            .find(|key| key.checked.role == KeyRole::OcspSign)
            .and_then(|key| key.checked.algorithm.signature_algorithm());
        let ready = Ready {
            token: token.identity().clone(),
            ca_signature,
            ocsp_signature,
            key_transports: transport::common(&checked),
            log_key: preflight::log_key(&checked)?,
        };
        let shared = Arc::new(Shared {
            token,
            keys,
            log_origin: setup.log_origin.clone(),
            ca_signatures: AtomicU64::new(0),
            responder,
            queue: Queue::new(QUEUE),
            output: Mutex::new(output),
            running: Running::default(),
        });
        for number in 0..setup.threads {
            let session = SessionThread::open(Arc::clone(&shared))?;
            shared.running.add();
            thread::Builder::new()
                .name(format!("session-{number}"))
                .spawn(move || session.run())
                .map_err(|error| StartError::Worker {
                    reason: format!("cannot start a thread: {error}"),
                })?;
        }
        Ok((Self { shared }, ready))
    }

    /// Hands a frame to the next free session.
    pub(super) fn serve(&self, frame: &[u8]) {
        self.shared.queue.push(Zeroizing::new(frame.to_vec()));
    }

    /// Lets the threads finish what they do, but waits no longer than [`DRAIN`] for a library
    /// that hangs.
    pub(super) fn stop(&self) {
        self.shared.queue.close();
        self.shared.running.wait(DRAIN);
    }
}

/// One session and its thread.
struct SessionThread {
    shared: Arc<Shared>,
    session: Session,
    /// Handles by the order of `Shared::keys`, as this session found them.
    handles: Vec<KeyHandle>,
    frame: Zeroizing<Vec<u8>>,
}

impl SessionThread {
    fn open(shared: Arc<Shared>) -> Result<Self, StartError> {
        Ok(Self {
            session: shared.token.session()?,
            handles: shared.keys.iter().map(|key| key.checked.handle).collect(),
            shared,
            frame: Zeroizing::default(),
        })
    }

    fn run(mut self) {
        while let Some(request) = self.shared.queue.pop() {
            match wire::decode::<Request<'_>>(&request) {
                Ok(request) => self.answer(&request),
                // The parent is this very program; a frame that cannot be read is a fault that
                // no answer repairs.
                Err(error) => {
                    tracing::error!(%error, "request not understood");
                    break;
                }
            }
        }
        self.shared.queue.close();
        self.shared.running.done();
    }

    fn answer(&mut self, request: &Request<'_>) {
        let verdict = self.perform(&request.operation);
        tracing::debug!(
            request_id = request.request_id,
            operation = request.operation.name(),
            "operation done"
        );
        let text;
        let outcome = match &verdict {
            Verdict::Plaintext(plaintext) => Outcome::Plaintext(Octets(plaintext)),
            Verdict::BadCiphertext => Outcome::BadCiphertext,
            Verdict::Signature(signature) => Outcome::Signature(Octets(signature)),
            Verdict::Probed => Outcome::Probed(self.shared.usage()),
            Verdict::Refused(reason) => {
                tracing::warn!(request_id = request.request_id, reason, "operation refused");
                Outcome::Refused(reason)
            }
            Verdict::Failed(error) if error.remedy() == Remedy::Permanent => {
                tracing::warn!(request_id = request.request_id, %error, "operation not possible");
                text = error.to_string();
                Outcome::Refused(&text)
            }
            Verdict::Failed(error) => {
                tracing::error!(request_id = request.request_id, %error, "token lost");
                text = error.to_string();
                Outcome::Broken(&text)
            }
            Verdict::Lost(reason) => {
                tracing::error!(request_id = request.request_id, reason, "token lost");
                Outcome::Broken(reason)
            }
        };
        self.send(&Answer {
            id: request.id,
            ca_signatures: self.shared.ca_signatures.load(Ordering::SeqCst),
            outcome,
        });
    }

    /// Performs an operation, once more on a new session if the old one was lost.
    fn perform(&mut self, operation: &Operation<'_>) -> Verdict {
        let verdict = self.attempt(operation);
        match &verdict {
            Verdict::Failed(error) if error.remedy() == Remedy::NewSession => {
                tracing::warn!(%error, "session lost, opening another");
                match self.reopen() {
                    Ok(()) => self.attempt(operation),
                    Err(reason) => Verdict::Lost(reason),
                }
            }
            Verdict::Failed(_)
            | Verdict::Plaintext(_)
            | Verdict::BadCiphertext
            | Verdict::Signature(_)
            | Verdict::Probed
            | Verdict::Refused(_)
            | Verdict::Lost(_) => verdict,
        }
    }

    fn attempt(&self, operation: &Operation<'_>) -> Verdict {
        match operation {
            Operation::Decrypt {
                ra,
                transport,
                ciphertext,
            } => {
                let role = ra.decrypts();
                let Some((key, handle)) = self.key(role) else {
                    return Verdict::no_key(role);
                };
                // Counted whatever comes of it: each call is one use of the key.
                key.count.fetch_add(1, Ordering::Relaxed);
                match self.session.decrypt(handle, *transport, ciphertext.0) {
                    Ok(plaintext) => Verdict::Plaintext(plaintext),
                    Err(error) if error.is_bad_ciphertext() => Verdict::BadCiphertext,
                    Err(error) => Verdict::Failed(error),
                }
            }
            Operation::SignReply {
                ra,
                digest,
                signed_attributes,
            } => {
                if let Err(refusal) = check_signed_attributes(signed_attributes.0) {
                    return Verdict::Refused(refusal.to_string());
                }
                self.sign(ra.signs(), |session, _, handle| {
                    session.sign_rsa(handle, *digest, signed_attributes.0)
                })
            }
            Operation::SignTbs { tbs } => {
                let issuer = self
                    .key(KeyRole::CaSign)
                    .and_then(|(key, _)| key.checked.issuer.as_ref());
                let Some(issuer) = issuer else {
                    return Verdict::no_key(KeyRole::CaSign);
                };
                if let Err(refusal) = check_tbs(tbs.0, issuer) {
                    return Verdict::Refused(refusal.to_string());
                }
                let verdict = self.sign(KeyRole::CaSign, |session, key, handle| {
                    session.sign(handle, key.algorithm, tbs.0)
                });
                if matches!(verdict, Verdict::Signature(_)) {
                    self.shared.ca_signatures.fetch_add(1, Ordering::SeqCst);
                }
                verdict
            }
            Operation::SignCheckpoint { text } => self.sign_checkpoint(text.0),
            Operation::SignOcsp { response_data } => {
                let Some(responder) = &self.shared.responder else {
                    return Verdict::no_key(KeyRole::OcspSign);
                };
                if let Err(refusal) = responder.check(response_data.0) {
                    return Verdict::Refused(refusal.to_string());
                }
                self.sign(KeyRole::OcspSign, |session, key, handle| {
                    session.sign(handle, key.algorithm, response_data.0)
                })
            }
            Operation::Probe => self.probe(),
        }
    }

    /// Signs a checkpoint of this service's own log, and verifies what the token made of it.
    fn sign_checkpoint(&self, text: &[u8]) -> Verdict {
        let Some(origin) = &self.shared.log_origin else {
            return Verdict::Refused("no origin of the log is configured".to_owned());
        };
        if let Err(refusal) = checkpoint::check(text, origin) {
            return Verdict::Refused(refusal.to_string());
        }
        let verdict = self.sign(KeyRole::LogSign, |session, key, handle| {
            session.sign(handle, key.algorithm, text)
        });
        let Verdict::Signature(signature) = &verdict else {
            return verdict;
        };
        let verified = self.key(KeyRole::LogSign).is_some_and(|(key, _)| {
            verify(
                &key.checked.public_key,
                key.checked.algorithm,
                text,
                signature,
            )
            .unwrap_or(false)
        });
        if verified {
            verdict
        } else {
            Verdict::Lost("the token's signature with the log key is wrong".to_owned())
        }
    }

    fn sign(
        &self,
        role: KeyRole,
        sign: impl FnOnce(&Session, &CheckedKey, KeyHandle) -> Result<Vec<u8>, CallError>,
    ) -> Verdict {
        let Some((key, handle)) = self.key(role) else {
            return Verdict::no_key(role);
        };
        // Before the signature, so that none leaves uncounted.
        key.count.fetch_add(1, Ordering::Relaxed);
        match sign(&self.session, &key.checked, handle) {
            Ok(signature) => Verdict::Signature(signature),
            Err(error) => Verdict::Failed(error),
        }
    }

    /// Finds the probe key anew, signs and verifies: session information stays fine when a token
    /// is gone.
    fn probe(&self) -> Verdict {
        let Some((key, _)) = self.key(KeyRole::Probe) else {
            return Verdict::no_key(KeyRole::Probe);
        };
        let public_key = &key.checked.public_key;
        let handle = match self.session.private_keys(&key.checked.uri).as_deref() {
            Ok([handle]) => *handle,
            Ok(found) => {
                return Verdict::Lost(format!(
                    "the token shows {} probe keys instead of one",
                    found.len()
                ));
            }
            Err(error) => return Verdict::Lost(format!("cannot look for the probe key: {error}")),
        };
        let Ok(challenge) = preflight::random() else {
            return Verdict::Lost("no random numbers".to_owned());
        };
        key.count.fetch_add(1, Ordering::Relaxed);
        let algorithm = key.checked.algorithm;
        match self.session.sign(handle, algorithm, &challenge) {
            Ok(signature) => match verify(public_key, algorithm, &challenge, &signature) {
                Ok(true) => Verdict::Probed,
                Ok(false) | Err(_) => {
                    Verdict::Lost("the token's signature with the probe key is wrong".to_owned())
                }
            },
            Err(error) => Verdict::Failed(error),
        }
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.session = self
            .shared
            .token
            .session()
            .map_err(|error| error.to_string())?;
        let mut handles = Vec::with_capacity(self.shared.keys.len());
        for key in &self.shared.keys {
            match self.session.private_keys(&key.checked.uri).as_deref() {
                Ok([handle]) => handles.push(*handle),
                Ok(_) => return Err(format!("the {} key is gone", key.checked.role)),
                Err(error) => return Err(error.to_string()),
            }
        }
        self.handles = handles;
        Ok(())
    }

    fn key(&self, role: KeyRole) -> Option<(&ServiceKey, KeyHandle)> {
        self.shared
            .keys
            .iter()
            .zip(&self.handles)
            .find(|(key, _)| key.checked.role == role)
            .map(|(key, handle)| (key, *handle))
    }

    fn send(&mut self, answer: &Answer<'_>) {
        let payload = match &answer.outcome {
            Outcome::Plaintext(octets) | Outcome::Signature(octets) => octets.0.len(),
            Outcome::Refused(text) | Outcome::Broken(text) => text.len(),
            Outcome::BadCiphertext | Outcome::Probed(_) => 0,
        };
        // Enough at once: a Vec that grows leaves copies behind that nobody wipes.
        self.frame.reserve(payload + ANSWER_OVERHEAD);
        if let Err(error) = wire::encode(answer, &mut self.frame) {
            tracing::error!(%error, "answer not encoded");
        }
        let mut output = self
            .shared
            .output
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A parent that is gone needs no answer; the reading thread ends this process.
        if let Err(error) = output.write_all(&self.frame) {
            tracing::debug!(%error, "answer not sent");
        }
        drop(output);
        self.frame.zeroize();
    }
}

/// What came of an operation.
enum Verdict {
    Plaintext(Zeroizing<Vec<u8>>),
    BadCiphertext,
    Signature(Vec<u8>),
    Probed,
    Refused(String),
    Failed(CallError),
    /// As `Failed`, for what no return code tells.
    Lost(String),
}

impl Verdict {
    fn no_key(role: KeyRole) -> Self {
        Self::Refused(format!("no key is configured for {role}"))
    }
}

impl Shared {
    fn usage(&self) -> Usage {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Usage {
            operations: self
                .keys
                .iter()
                .map(|key| (key.checked.role, key.count.load(Ordering::Relaxed)))
                .collect(),
            cpu_nanoseconds: Duration::try_from(cpu)
                .ok()
                .and_then(|cpu| u64::try_from(cpu.as_nanos()).ok())
                .unwrap_or_default(),
        }
    }
}

/// Counts the threads that run.
#[derive(Default)]
struct Running {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Running {
    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn done(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.changed.notify_all();
    }

    fn wait(&self, limit: Duration) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let _ended = self
            .changed
            .wait_timeout_while(count, limit, |count| *count > 0);
    }
}
