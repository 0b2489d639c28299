use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use assay_types::{Hash, Timestamp};

use crate::ceiling::{Limit, Limits};
use crate::entry::{Body, Counter, Entry, Event, Known, Origin, Start, chain};
use crate::error::{Error, Refusal};
use crate::files::{Cut, Files, Mark, RESERVE, Room, Which};
use crate::load::{load, mark};
use crate::scan::{Scan, frame, read_at, read_body_or_hole};
use crate::state::{
    CertificateRequest, CheckpointRequest, CrlRequest, Draft, Listed, State, StatusRequest, Verdict,
};
use crate::{Frontier, Head};

/// Bytes that wait for the disk. A thread that appends beyond it waits too.
pub(crate) const MAX_QUEUED: usize = 8 << 20;

/// A certificate that a healthy journal has room for: bytes of its entry and of its TBS.
const ENTRY_ROOM: u64 = 256;
const BODY_ROOM: u64 = 4_096;

/// Settings of a journal.
#[derive(Debug, Clone)]
pub struct Options {
    /// The ceilings.
    pub limits: Limits,
    /// Bytes that each of the two files keeps allocated for what is signed while the file system is full.
    pub reserve: u64,
}

impl Options {
    /// These ceilings, and [`RESERVE`].
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let reserve = RESERVE;
        Self { limits, reserve }
    }
}

/// Where a journal begins whose CA was used before.
#[derive(Debug, Clone, Default)]
pub struct Floors {
    /// The last CRL of each issuer.
    pub crls: Vec<CrlFloor>,
    /// The log.
    pub log: Option<LogFloor>,
}

/// The last CRL of an issuer.
#[derive(Debug, Clone)]
pub struct CrlFloor {
    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub issuer: Hash,
    /// Its cRLNumber.
    pub number: u64,
    /// Its thisUpdate.
    pub this_update: Timestamp,
    /// Its nextUpdate.
    pub next_update: Timestamp,
    /// SHA-256 of the CRL.
    pub digest: Hash,
    /// Everything that it lists.
    pub listed: Vec<Listed>,
}

/// A tree of the log that was cosigned.
#[derive(Debug, Clone)]
pub struct LogFloor {
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
    /// The nodes of its [`Frontier`], which the root confirms.
    pub frontier: Vec<Hash>,
}

/// Whether a certificate is to be signed.
#[derive(Debug)]
pub enum Admission {
    /// Sign it, and hand the signature out once `pending` and what [`Journal::signed`] returns are durable.
    Sign {
        /// Number of the certificate's entry.
        certificate: u64,
        /// The certificate's entry.
        pending: Pending,
    },
    /// It was signed before, with this signature.
    Signed(Vec<u8>),
}

/// Whether a signature is the first over its TBS.
#[derive(Debug)]
pub enum Recorded {
    /// It is recorded once this is durable.
    First(Pending),
    /// Another thread was first: this is the signature to hand out.
    Earlier(Vec<u8>),
}

/// Whether the journal can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Why everything is refused.
    pub failed: Option<String>,
    /// Whether certificates are refused because the file system is full.
    pub is_disk_full: bool,
}

/// An entry on its way to the disk.
#[derive(Debug)]
#[must_use]
pub struct Pending {
    shared: Arc<Shared>,
    number: u64,
    is_new: bool,
}

impl Pending {
    /// Number of the entry.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether it was added now; otherwise the request repeats an earlier one.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns when the entry is durable: a head of the journal that covers it.
    ///
    /// # Errors
    /// [`Error::Failed`] if it could not be made durable.
    pub fn wait(&self) -> Result<Head, Error> {
        let mut inner = self.shared.inner();
        while inner.synced.head.size <= self.number {
            inner.check()?;
            inner = self.shared.wait(inner);
        }
        Ok(inner.synced.head)
    }
}

/// A journal that is open for appending. Threads share it by reference; entries are written and synced in groups by a
/// thread of its own. Dropping it waits until everything is on disk.
///
/// Each method decides and appends under one lock, so that no two requests are decided on the same state. Its answer must
/// not leave the service before [`Pending::wait`] has returned.
#[derive(Debug)]
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    pub(crate) pruning: Mutex<()>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) files: Files,
    inner: Mutex<Inner>,
    /// There is something to write, or the journal is closed.
    work: Condvar,
    /// Something was written, or the journal failed.
    progress: Condvar,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) state: State,
    rooms: [Room; 2],
    queue: Queue,
    pub(crate) synced: Mark,
    failed: Option<Arc<str>>,
    is_closing: bool,
}

#[derive(Debug, Default)]
struct Queue {
    entries: Vec<u8>,
    bodies: Vec<u8>,
}

impl Queue {
    fn len(&self) -> usize {
        self.entries.len() + self.bodies.len()
    }
}

/// Creates a journal with a random identity in a directory of mode 0700, which is made if it is not there.
///
/// # Errors
/// [`Error::Exists`] if there is one, and [`Refusal::Floor`] if the floors do not hold.
pub fn create(dir: &Path, floors: &Floors, now: Timestamp) -> Result<Head, Error> {
    let log = match &floors.log {
        None => Frontier::default(),
        Some(floor) => {
            let problem = "the nodes of the frontier do not have the root of the cosigned tree";
            let tree = Frontier::new(floor.size, floor.frontier.clone());
            let tree = tree.ok().filter(|tree| tree.root() == floor.root);
            tree.ok_or(Refusal::Floor { problem })?
        }
    };
    let mut identity = [0; 32];
    let filled = rustix::rand::getrandom(&mut identity, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::io("draw an identity for", dir)(errno.into()))?;
    if filled != identity.len() {
        let short = std::io::Error::other("too few random bytes");
        return Err(Error::io("draw an identity for", dir)(short));
    }
    let identity = Hash::from(identity);
    let mut state = State::new(identity);
    let mut queue = Queue::default();
    let event = Event::Created { identity, log };
    let entry = Entry { time: now, event };
    let body = Vec::new();
    add(&mut state, &mut queue, &Draft { entry, body })?;
    for floor in &floors.crls {
        if state.last_crl(&floor.issuer).is_some() {
            let problem = "an issuer has two CRLs; give the last one";
            return Err(Refusal::Floor { problem }.into());
        }
        let request = CrlRequest {
            issuer: floor.issuer,
            number: floor.number,
            this_update: floor.this_update,
            next_update: floor.next_update,
            digest: floor.digest,
            listed: &floor.listed,
        };
        let draft = state.crl_floor(&request, now)?;
        add(&mut state, &mut queue, &draft)?;
    }
    let files = Files::create(dir, identity)?;
    write_group(&files, &queue, &mark(&state))?;
    files.sync(Which::Entries)?;
    files.sync_directory()?;
    Ok(state.head())
}

impl Journal {
    /// Opens a journal and rebuilds the state from its entries. The bodies of certificates are not read.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Directory`], [`Error::Locked`], and [`Error::Damaged`] for everything that does not hold
    /// but an unanswered tail.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Option<Cut>), Error> {
        Self::open_files(Files::open(dir)?, options)
    }

    pub(crate) fn open_files(files: Files, options: Options) -> Result<(Self, Option<Cut>), Error> {
        let (mut state, cut) = load(&files)?;
        state.set_limits(options.limits);
        let (entries, bodies) = (state.entries_end, state.bodies_end);
        let inner = Inner {
            rooms: [
                Room::open(&files, Which::Entries, entries, options.reserve)?,
                Room::open(&files, Which::Bodies, bodies, options.reserve)?,
            ],
            queue: Queue::default(),
            synced: Mark {
                entries,
                bodies,
                head: state.head(),
            },
            state,
            failed: None,
            is_closing: false,
        };
        let shared = Arc::new(Shared {
            files,
            inner: Mutex::new(inner),
            work: Condvar::new(),
            progress: Condvar::new(),
        });
        let writer = std::thread::Builder::new().name("journal".to_owned());
        let writer = writer
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.write()
            })
            .map_err(Error::io("start the writer of", &shared.files.dir))?;
        let journal = Self {
            shared,
            writer: Some(writer),
            pruning: Mutex::new(()),
        };
        Ok((journal, cut))
    }

    /// Records a start. `is_synchronised` is whether the kernel says that the clock is synchronised.
    ///
    /// # Errors
    /// [`Refusal::ClockBehind`] and [`Refusal::ClockAhead`].
    pub fn started(
        &self,
        start: Start,
        is_synchronised: bool,
        now: Timestamp,
    ) -> Result<Pending, Error> {
        self.append(|state| state.may_start(start, false, is_synchronised, now))
    }

    /// Records that the configuration was read again, and applies its ceilings.
    ///
    /// # Errors
    /// As for [`Journal::started`].
    pub fn reloaded(&self, start: Start, limits: Limits, now: Timestamp) -> Result<Pending, Error> {
        let mut inner = self.shared.lock()?;
        let draft = inner.state.may_start(start, true, false, now)?;
        let pending = self.shared.append(&mut inner, &draft)?;
        inner.state.set_limits(limits);
        Ok(pending)
    }

    /// Whether a certificate may be signed; if so, it is in the journal from now on.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn may_sign_certificate(
        &self,
        request: &CertificateRequest<'_>,
        now: Timestamp,
    ) -> Result<Admission, Error> {
        let mut inner = self.shared.lock()?;
        let pending = match inner.state.may_sign_certificate(request, now)? {
            Verdict::Append(draft) => self.shared.append(&mut inner, &draft)?,
            Verdict::Again(number) => self.shared.pending(number),
            Verdict::Signed(offset) => {
                return Ok(Admission::Signed(self.stored(inner, offset)?));
            }
        };
        Ok(Admission::Sign {
            certificate: pending.number,
            pending,
        })
    }

    /// Records the signature of a certificate by the number of its entry.
    ///
    /// # Errors
    /// [`Refusal::NoCertificate`], [`Refusal::Suspended`], and those of the journal.
    pub fn signed(
        &self,
        certificate: u64,
        signature: &[u8],
        now: Timestamp,
    ) -> Result<Recorded, Error> {
        let mut inner = self.shared.lock()?;
        let verdict = inner
            .state
            .may_record_signature(certificate, signature, now)?;
        match verdict {
            Verdict::Append(draft) => {
                let pending = self.shared.append(&mut inner, &draft)?;
                Ok(Recorded::First(pending))
            }
            Verdict::Again(number) => Ok(Recorded::First(self.shared.pending(number))),
            Verdict::Signed(offset) => Ok(Recorded::Earlier(self.stored(inner, offset)?)),
        }
    }

    /// Whether a CRL may be signed; if so, it is the last one from now on. The last one may be signed again.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn may_sign_crl(&self, request: &CrlRequest<'_>, now: Timestamp) -> Result<Pending, Error> {
        self.decide(|state| state.may_sign_crl(request, now))
    }

    /// Whether an OCSP response may be signed. Nothing is recorded.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn may_sign_status(
        &self,
        request: &StatusRequest<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        Ok(self.shared.lock()?.state.may_sign_status(request, now)?)
    }

    /// Whether a checkpoint may be signed; if so, its tree is the last one from now on. The last one may be signed again.
    /// [`Pending::wait`] returns the head for the checkpoint's extension line, which covers the checkpoint's own entry.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn may_sign_checkpoint(
        &self,
        request: &CheckpointRequest<'_>,
        now: Timestamp,
    ) -> Result<Pending, Error> {
        self.decide(|state| state.may_sign_checkpoint(request, now))
    }

    /// Whether an RA key may decrypt once. Decryptions are counted 64 at a time and before they happen, so that a crash loses
    /// none: the wait is short for all but the first of them.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn may_decrypt(&self, now: Timestamp) -> Result<Pending, Error> {
        let mut inner = self.shared.lock()?;
        match inner.state.may_decrypt(now)? {
            Verdict::Append(draft) => {
                let pending = self.shared.append(&mut inner, &draft)?;
                if let Event::Counted { count, .. } = draft.entry.event {
                    inner.state.take_lease(count);
                }
                Ok(pending)
            }
            Verdict::Again(number) | Verdict::Signed(number) => Ok(self.shared.pending(number)),
        }
    }

    /// Records how many operations without a ceiling there were.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn counted(&self, what: Counter, count: u32, now: Timestamp) -> Result<Pending, Error> {
        self.append(|state| state.may_count(what, count, now))
    }

    /// Refuses certificates from now on, those that are being signed too. CRLs, statuses and checkpoints are signed as before.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn suspend(&self, now: Timestamp) -> Result<Pending, Error> {
        self.append(|state| state.may_set_suspended(true, now))
    }

    /// Ends [`Journal::suspend`].
    ///
    /// # Errors
    /// Those of the journal.
    pub fn resume(&self, now: Timestamp) -> Result<Pending, Error> {
        self.append(|state| state.may_set_suspended(false, now))
    }

    /// Raises a ceiling to `to` before `until`.
    ///
    /// # Errors
    /// Those of the clock and of the journal.
    pub fn lift(
        &self,
        limit: Limit,
        to: u64,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Pending, Error> {
        self.append(|state| state.may_lift(limit, to, until, now))
    }

    /// Records certificates that the service did not sign; those that are recorded already are left out.
    ///
    /// # Errors
    /// [`Refusal::SerialTaken`] if one of them is a certificate of the journal.
    pub fn record_known(
        &self,
        origin: Origin,
        issuer: Hash,
        certificates: &[Known],
        now: Timestamp,
    ) -> Result<Option<Pending>, Error> {
        let mut inner = self.shared.lock()?;
        let draft = inner
            .state
            .may_record_known(origin, issuer, certificates, now)?;
        draft
            .map(|draft| self.shared.append(&mut inner, &draft))
            .transpose()
    }

    /// Accepts a jump of the clock, named exactly: `from` is [`State::clock`], and `to` is the clock within five minutes.
    ///
    /// # Errors
    /// [`Refusal::OtherJump`].
    pub fn accept_clock(
        &self,
        from: Timestamp,
        to: Timestamp,
        now: Timestamp,
    ) -> Result<Pending, Error> {
        self.append(|state| state.may_accept_clock(from, to, now))
    }

    /// The head that is on disk.
    #[must_use]
    pub fn head(&self) -> Head {
        self.shared.inner().synced.head
    }

    /// Reads the state. Nothing is signed meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.shared.inner().state)
    }

    /// Gives each entry that is on disk to `each`, in order and with its number: the head after the last one. Others may append
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub fn entries(&self, mut each: impl FnMut(u64, &Entry)) -> Result<Head, Error> {
        let synced = self.shared.inner().synced;
        let mut scan = Scan::new(&self.shared.files, synced.entries);
        while let Some(record) = scan.next()? {
            each(record.number, &record.entry);
        }
        Ok(synced.head)
    }

    /// The bytes that an entry on disk refers to; `None` if they were pruned.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub fn body(&self, body: &Body) -> Result<Option<Vec<u8>>, Error> {
        read_body_or_hole(&self.shared.files, body)
    }

    /// Whether it can be written.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut inner = self.shared.inner();
        let failed = inner.check().err().map(|error| error.to_string());
        let has_room = inner.has_room(&self.shared.files, ENTRY_ROOM, BODY_ROOM, false);
        Health {
            failed,
            is_disk_full: !has_room.unwrap_or(false),
        }
    }

    fn append(
        &self,
        decide: impl FnOnce(&State) -> Result<Draft, Refusal>,
    ) -> Result<Pending, Error> {
        let mut inner = self.shared.lock()?;
        let draft = decide(&inner.state)?;
        self.shared.append(&mut inner, &draft)
    }

    fn decide(
        &self,
        decide: impl FnOnce(&State) -> Result<Verdict, Refusal>,
    ) -> Result<Pending, Error> {
        let mut inner = self.shared.lock()?;
        match decide(&inner.state)? {
            Verdict::Append(draft) => self.shared.append(&mut inner, &draft),
            Verdict::Again(number) | Verdict::Signed(number) => Ok(self.shared.pending(number)),
        }
    }

    /// The signature whose entry is at `offset`, once that is on disk.
    fn stored(&self, mut inner: MutexGuard<'_, Inner>, offset: u64) -> Result<Vec<u8>, Error> {
        while inner.synced.entries <= offset {
            inner.check()?;
            inner = self.shared.wait(inner);
        }
        drop(inner);
        // One damaged signature is no reason to sign nothing else.
        let lost = |error: Error| {
            let problem = if let Error::Damaged {
                file,
                offset,
                problem,
            } = error
            {
                let file = file.display();
                format!("{file} is damaged at offset {offset}: {problem}")
            } else {
                chain_of(&error)
            };
            Refusal::SignatureLost { problem }
        };
        let files = &self.shared.files;
        let Event::Signed {
            certificate,
            signature,
            ..
        } = read_at(files, offset).map_err(lost)?.event
        else {
            let problem = "the entry is not that of a signature";
            let error = Error::damaged(&files.path(Which::Entries), offset, problem);
            return Err(lost(error).into());
        };
        let found = read_body_or_hole(files, &signature).map_err(lost)?;
        Ok(found.ok_or(Refusal::SignaturePruned { certificate })?)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.inner().is_closing = true;
        self.shared.work.notify_all();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has marked the journal as failed.
            let _ = writer.join();
        }
        // An entry that is still waited for does not keep the directory locked.
        self.shared.files.unlock();
    }
}

impl Inner {
    fn check(&self) -> Result<(), Error> {
        match &self.failed {
            Some(cause) => Err(Error::Failed(Arc::clone(cause))),
            None => Ok(()),
        }
    }

    fn has_room(
        &mut self,
        files: &Files,
        entry: u64,
        body: u64,
        may_use_reserve: bool,
    ) -> Result<bool, Error> {
        let [entries, bodies] = &mut self.rooms;
        let state = &self.state;
        Ok(
            entries.has(files, state.entries_end, entry, may_use_reserve)?
                && bodies.has(files, state.bodies_end, body, may_use_reserve)?,
        )
    }
}

impl Shared {
    /// A panic while the lock was held may have left the state half changed.
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .unwrap_or_else(|poisoned| fail(poisoned.into_inner()))
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.progress
            .wait(inner)
            .unwrap_or_else(|poisoned: PoisonError<_>| fail(poisoned.into_inner()))
    }

    /// The state, if the journal works and the queue has room.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        let mut inner = self.inner();
        loop {
            inner.check()?;
            if inner.queue.len() < MAX_QUEUED {
                return Ok(inner);
            }
            inner = self.wait(inner);
        }
    }

    fn pending(self: &Arc<Self>, number: u64) -> Pending {
        Pending {
            shared: Arc::clone(self),
            number,
            is_new: false,
        }
    }

    /// Nothing changes unless both files have room: CRLs, checkpoints and what people do may use the reserve.
    pub(crate) fn append(
        self: &Arc<Self>,
        inner: &mut Inner,
        draft: &Draft,
    ) -> Result<Pending, Error> {
        let is_certificate = matches!(draft.entry.event, Event::Certificate { .. });
        let length = crate::files::FRAME + draft.entry.encode().len() as u64;
        let body = draft.body.len() as u64;
        if !inner.has_room(&self.files, length, body, !is_certificate)? {
            return Err(match is_certificate {
                true => Refusal::DiskFull.into(),
                false => Refusal::ReserveUsed.into(),
            });
        }
        let number = inner.state.head().size;
        let Inner { state, queue, .. } = inner;
        if let Err(error) = add(state, queue, draft) {
            inner.failed = Some(error.to_string().into());
            self.progress.notify_all();
            return Err(error);
        }
        self.work.notify_one();
        let pending = self.pending(number);
        Ok(Pending {
            is_new: true,
            ..pending
        })
    }

    /// The writer's thread.
    fn write(&self) {
        loop {
            let mut inner = self.inner();
            while inner.queue.len() == 0 && !inner.is_closing {
                inner = self
                    .work
                    .wait(inner)
                    .unwrap_or_else(|poisoned: PoisonError<_>| fail(poisoned.into_inner()));
            }
            if inner.queue.len() == 0 {
                drop(inner);
                // The last mark is durable too; without it the next start looks at the last group again.
                let _ = self.files.sync(Which::Entries);
                return;
            }
            let queue = std::mem::take(&mut inner.queue);
            let mark = mark(&inner.state);
            drop(inner);

            let written = write_group(&self.files, &queue, &mark);
            let mut inner = self.inner();
            match written {
                Ok(()) => inner.synced = mark,
                Err(error) => inner.failed = Some(chain_of(&error).into()),
            }
            let is_failed = inner.failed.is_some();
            drop(inner);
            self.progress.notify_all();
            if is_failed {
                return;
            }
        }
    }
}

fn fail(mut inner: MutexGuard<'_, Inner>) -> MutexGuard<'_, Inner> {
    let cause = || "a thread panicked while it changed the state".into();
    inner.failed.get_or_insert_with(cause);
    inner
}

/// Applies an entry and queues its bytes.
fn add(state: &mut State, queue: &mut Queue, draft: &Draft) -> Result<(), Error> {
    let payload = draft.entry.encode();
    let offset = state.entries_end;
    let after = chain(&state.head().hash, &payload);
    state
        .apply(&draft.entry, payload.len(), after, Some(&draft.body))
        .map_err(|fault| Error::damaged(Path::new("new entry"), offset, fault))?;
    queue.entries.extend(frame(&payload, &after));
    queue.bodies.extend(&draft.body);
    Ok(())
}

/// Bodies are durable before the entries that refer to them. The mark is written before anyone is answered.
fn write_group(files: &Files, queue: &Queue, mark: &Mark) -> Result<(), Error> {
    if !queue.bodies.is_empty() {
        let offset = mark.bodies - queue.bodies.len() as u64;
        files.write(Which::Bodies, &queue.bodies, offset)?;
        files.sync(Which::Bodies)?;
    }
    let offset = mark.entries - queue.entries.len() as u64;
    files.write(Which::Entries, &queue.entries, offset)?;
    files.sync(Which::Entries)?;
    files.write_mark(mark)
}

fn chain_of(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
