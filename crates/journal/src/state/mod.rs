mod crl;
mod request;
mod status;

use std::collections::HashMap;
use std::time::Duration;

use assay_types::{Hash, Serial, Timestamp};

use crate::ceiling::{Ceilings, Kind, Limit, Limits, Usage};
use crate::certificates::{Certificate, Certificates, Key, key};
use crate::entry::{
    Body, Counter, Entry, Event, Fault, Known, Origin, Reason, Start, chain, decode_known,
    decode_leaves, encode_known, is_name, origin,
};
use crate::error::Refusal;
use crate::export::Item;
use crate::files::{BODIES_START, ENTRIES_START, FRAME};
use crate::{Frontier, Head};

pub use request::{
    CertificateRequest, CheckpointRequest, CrlRequest, LastCrl, Listed, Status, StatusRequest,
};

/// How far the clock may be behind the journal: entries of several threads are not in the order of their times.
const MAX_BEHIND: Duration = Duration::from_secs(5 * 60);
/// How long a service may be down, or have nothing to record, before its clock has to be vouched for.
const MAX_DOWNTIME: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How long nothing is pruned or dropped after a jump of the clock was accepted.
const SETTLING: Duration = Duration::from_secs(24 * 3_600);
/// Decryptions that are counted ahead of their use, so that a crash loses none. A ceiling is exceeded by this at most.
const LEASE: u32 = 64;
/// Issuers of one journal: two CA generations and those before them.
const MAX_ISSUERS: usize = 64;

/// What to append, or that nothing is.
#[derive(Debug)]
pub(crate) enum Verdict {
    Append(Draft),
    /// This is in the journal already, at this number, and may be signed again.
    Again(u64),
    /// The signature is in the journal: offset of its entry.
    Signed(u64),
}

/// An entry that is to be appended, with its body.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) entry: Entry,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
struct Issuer {
    key: Hash,
    crl: Option<LastCrl>,
    /// Serial numbers that are or were revoked. A hold that was released is removed.
    revoked: HashMap<Key, Revoked>,
    /// End of validity of the certificates that the service did not sign.
    known: HashMap<Key, Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Revoked {
    reason: Reason,
    date: Timestamp,
    /// It is on the last CRL. Otherwise it was dropped after the certificate had expired.
    is_listed: bool,
}

/// The state that follows from the entries of a journal: everything that decides whether something may be signed.
#[derive(Debug)]
pub struct State {
    head: Head,
    /// End of the file of entries.
    pub(crate) entries_end: u64,
    /// End of the file of bodies.
    pub(crate) bodies_end: u64,
    /// Latest time of an entry since the last accepted jump.
    clock: Timestamp,
    accepted: Option<Timestamp>,
    certificates: Certificates,
    issuers: Vec<Issuer>,
    tree: Frontier,
    root: Hash,
    checkpoint: Option<u64>,
    /// The entry of the checkpoint before the last one.
    checkpoint_before: Option<u64>,
    ceilings: Ceilings,
    /// Decryptions counted and not yet used, and the entry that counted them. It is not derived: a start begins without.
    lease: (u32, u64),
    is_suspended: bool,
    start: Option<Start>,
    pruned: (Timestamp, u64),
}

impl State {
    /// The state of a journal with this identity before its first entry.
    #[must_use]
    pub fn new(identity: Hash) -> Self {
        Self::with_capacity(identity, 0)
    }

    /// `certificates` are made room for.
    pub(crate) fn with_capacity(identity: Hash, certificates: usize) -> Self {
        let tree = Frontier::default();
        Self {
            head: Head {
                identity,
                size: 0,
                hash: origin(&identity),
            },
            entries_end: ENTRIES_START,
            bodies_end: BODIES_START,
            clock: Timestamp::MIN,
            accepted: None,
            certificates: Certificates::with_capacity(certificates),
            issuers: Vec::new(),
            root: tree.root(),
            tree,
            checkpoint: None,
            checkpoint_before: None,
            ceilings: Ceilings::new(Limits::unlimited()),
            lease: (0, 0),
            is_suspended: false,
            start: None,
            pruned: (Timestamp::MIN, 0),
        }
    }

    /// Identity, number of entries, and chain.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Number of certificates in the journal.
    #[must_use]
    pub fn certificates(&self) -> usize {
        self.certificates.len()
    }

    /// Whether the certificate with this serial number is in the journal or is known from a ceremony or recovery: the end of
    /// its validity.
    #[must_use]
    pub fn not_after(&self, issuer: &Hash, serial: &Serial) -> Option<Timestamp> {
        let (place, issuer) = self.issuer(issuer)?;
        self.end_of(place, issuer, &key(serial))
    }

    /// The last CRL of an issuer, a floor included.
    #[must_use]
    pub fn last_crl(&self, issuer: &Hash) -> Option<LastCrl> {
        self.issuer(issuer)?.1.crl
    }

    /// The last CRL of each issuer.
    pub fn crls(&self) -> impl Iterator<Item = (Hash, LastCrl)> {
        self.issuers
            .iter()
            .filter_map(|issuer| Some((issuer.key, issuer.crl?)))
    }

    /// Everything that the last CRL of an issuer lists, by serial number.
    #[must_use]
    pub fn listed(&self, issuer: &Hash) -> Vec<Listed> {
        let found = self.issuer(issuer).into_iter();
        let revoked = found.flat_map(|(_, issuer)| &issuer.revoked);
        let listed = revoked.filter(|(_, revoked)| revoked.is_listed);
        let mut listed: Vec<_> = listed.collect();
        listed.sort_unstable_by_key(|(serial, _)| **serial);
        let listed = listed.into_iter().filter_map(|(serial, revoked)| {
            Some(Listed {
                serial: Serial::try_from(serial.as_slice()).ok()?,
                reason: revoked.reason,
                date: revoked.date,
            })
        });
        listed.collect()
    }

    /// Whether an issuer was asked for this certificate: its serial number, and the digest of its TBSCertificate.
    #[must_use]
    pub fn has_certificate(&self, serial: &Serial, tbs: &Hash) -> bool {
        let serial = key(serial);
        (0..)
            .zip(&self.issuers)
            .filter_map(|(place, _)| self.certificates.find(place, &serial))
            .any(|found| found.tbs == *tbs)
    }

    /// The tree of the last checkpoint.
    #[must_use]
    pub fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// Root of [`State::tree`].
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root
    }

    /// Number of the entry of the last checkpoint.
    #[must_use]
    pub fn last_checkpoint(&self) -> Option<u64> {
        self.checkpoint
    }

    /// The newest certificates, at most `limit`, newest first: serial number and digest of the TBSCertificate. All that were asked for since the
    /// checkpoint before the last one, because a tree is read before its checkpoint is asked for.
    pub fn unlogged(&self, limit: usize) -> impl Iterator<Item = (Serial, Hash)> {
        let covered = self.checkpoint_before;
        let newest = self.certificates.newest();
        let newest =
            newest.take_while(move |it| covered.is_none_or(|at| u64::from(it.number) > at));
        newest
            .take(limit)
            .filter_map(|it| Some((it.serial()?, it.tbs)))
    }

    /// Whether certificates are suspended.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.is_suspended
    }

    /// The last start or reload.
    #[must_use]
    pub fn start(&self) -> Option<&Start> {
        self.start.as_ref()
    }

    /// Latest time of the journal, which an accepted jump of the clock starts from.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Bodies of certificates that need not be kept after this time may be gone.
    #[must_use]
    pub fn pruned_until(&self) -> Timestamp {
        self.pruned.0
    }

    pub(crate) fn pruned_certificates(&self) -> u64 {
        self.pruned.1
    }

    /// How much of each ceiling is used at `now`.
    #[must_use]
    pub fn usage(&self, now: Timestamp) -> [Usage; 9] {
        Limit::ALL.map(|limit| self.ceilings.usage(limit, now))
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.ceilings.limits = limits;
    }

    /// Whether the clock agrees with the journal. `is_synchronised` allows that it is far ahead.
    ///
    /// # Errors
    /// [`Refusal::ClockBehind`] and [`Refusal::ClockAhead`].
    pub fn check_clock(&self, now: Timestamp, is_synchronised: bool) -> Result<(), Refusal> {
        let last = self.clock;
        if now + MAX_BEHIND < last {
            return Err(Refusal::ClockBehind { now, last });
        }
        if now > last + MAX_DOWNTIME && !is_synchronised && self.head.size > 0 {
            return Err(Refusal::ClockAhead { now, last });
        }
        Ok(())
    }

    pub(crate) fn may_start(
        &self,
        start: Start,
        is_reload: bool,
        is_synchronised: bool,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        self.check_clock(now, is_synchronised)?;
        check_name(&start.version)?;
        let event = match is_reload {
            false => Event::Started(start),
            true => Event::Reloaded(start),
        };
        let mut draft = self.draft(now, event)?;
        draft.entry.time = now;
        Ok(draft)
    }

    /// Rules 3, 10 and 31. A TBS that was signed before costs nothing, also while certificates are suspended.
    pub(crate) fn may_sign_certificate(
        &self,
        request: &CertificateRequest<'_>,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        let serial = key(request.serial);
        let tbs = self.body(request.tbs)?;
        let mut again = None;
        if let Some((place, issuer)) = self.issuer(&request.issuer) {
            match self.certificates.find(place, &serial) {
                Some(found) if found.tbs != tbs.digest => {
                    let serial = request.serial.clone();
                    return Err(Refusal::SerialTaken { serial });
                }
                Some(found) if found.signed != 0 => return Ok(Verdict::Signed(found.signed)),
                Some(found) => again = Some(found.number),
                None if issuer.known.contains_key(&serial) => {
                    let serial = request.serial.clone();
                    return Err(Refusal::SerialKnown { serial });
                }
                None => {}
            }
        }
        self.check_clock(now, false)?;
        if self.is_suspended {
            return Err(Refusal::Suspended);
        }
        if let Some(number) = again {
            return Ok(Verdict::Again(number.into()));
        }
        self.check_ceilings(Kind::Certificates, 1, now)?;
        check_name(request.form)?;
        let event = Event::Certificate {
            issuer: request.issuer,
            serial: request.serial.clone(),
            not_after: request.not_after,
            form: request.form.to_owned(),
            tbs,
        };
        let mut draft = self.draft(now, event)?;
        draft.body = request.tbs.to_owned();
        Ok(Verdict::Append(draft))
    }

    /// A second signature over the same TBS is not recorded: the first is the one that is handed out. Nor is one that was made
    /// while certificates were being suspended, which therefore nobody is given.
    pub(crate) fn may_record_signature(
        &self,
        certificate: u64,
        signature: &[u8],
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        let found = self.certificates.by_number(certificate);
        let found = found.ok_or(Refusal::NoCertificate { certificate })?;
        if found.signed != 0 {
            return Ok(Verdict::Signed(found.signed));
        }
        if self.is_suspended {
            return Err(Refusal::Suspended);
        }
        let event = Event::Signed {
            certificate,
            not_after: found.not_after,
            signature: self.body(signature)?,
        };
        let mut draft = self.draft(now, event)?;
        draft.body = signature.to_owned();
        Ok(Verdict::Append(draft))
    }

    /// Rules 10 and 31, and that the tree continues the last one. The last tree may be signed again.
    pub(crate) fn may_sign_checkpoint(
        &self,
        request: &CheckpointRequest<'_>,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        self.check_clock(now, false)?;
        let (size, leaves) = (request.size, request.leaves);
        let last = self.tree.size();
        if let Some(number) = self.checkpoint
            && size == last
            && request.root == self.root
        {
            return Ok(Verdict::Again(number));
        }
        if last.checked_add(leaves.len() as u64) != Some(size) {
            let leaves = leaves.len();
            return Err(Refusal::TreeSize { size, leaves, last });
        }
        let mut tree = self.tree.clone();
        for leaf in leaves {
            tree.push(*leaf);
        }
        if tree.root() != request.root {
            return Err(Refusal::TreeRoot { size });
        }
        self.check_ceilings(Kind::Leaves, leaves.len() as u64, now)?;
        let body: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
        let event = Event::Checkpoint {
            tree,
            root: request.root,
            leaves: self.body(&body)?,
        };
        let mut draft = self.draft(now, event)?;
        draft.body = body;
        Ok(Verdict::Append(draft))
    }

    /// Rule 9. Uses one decryption of the lease, or asks for the next lease.
    pub(crate) fn may_decrypt(&mut self, now: Timestamp) -> Result<Verdict, Refusal> {
        self.check_clock(now, false)?;
        let (left, entry) = self.lease;
        if let Some(left) = left.checked_sub(1) {
            self.lease.0 = left;
            return Ok(Verdict::Again(entry));
        }
        self.check_ceilings(Kind::Decryptions, 1, now)?;
        let room = |limit| {
            let usage = self.ceilings.usage(limit, now);
            usage.ceiling.saturating_sub(usage.used)
        };
        let room = room(Limit::DecryptionsPerHour).min(room(Limit::DecryptionsPerDay));
        let count = LEASE.min(u32::try_from(room).unwrap_or(LEASE));
        self.may_count(Counter::Decryptions, count, now)
            .map(Verdict::Append)
    }

    pub(crate) fn may_count(
        &self,
        what: Counter,
        count: u32,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        self.draft(now, Event::Counted { what, count })
    }

    pub(crate) fn may_set_suspended(
        &self,
        suspended: bool,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        let event = match suspended {
            true => Event::Suspended,
            false => Event::Resumed,
        };
        self.draft(now, event)
    }

    pub(crate) fn may_lift(
        &self,
        limit: Limit,
        to: u64,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        self.check_clock(now, false)?;
        self.draft(now, Event::Lifted { limit, to, until })
    }

    /// Those of `certificates` that are not recorded like this; `None` if all are.
    pub(crate) fn may_record_known(
        &self,
        origin: Origin,
        issuer: Hash,
        certificates: &[Known],
        now: Timestamp,
    ) -> Result<Option<Draft>, Refusal> {
        let mut new = Vec::new();
        for known in certificates {
            let serial = key(&known.serial);
            if let Some((place, issuer)) = self.issuer(&issuer) {
                if self.certificates.find(place, &serial).is_some() {
                    let serial = known.serial.clone();
                    return Err(Refusal::SerialTaken { serial });
                }
                if issuer.known.get(&serial) == Some(&known.not_after) {
                    continue;
                }
            }
            new.push(known.clone());
        }
        if new.is_empty() {
            return Ok(None);
        }
        let body = encode_known(&new);
        let event = Event::Known {
            origin,
            issuer,
            certificates: self.body(&body)?,
        };
        let mut draft = self.draft(now, event)?;
        draft.body = body;
        Ok(Some(draft))
    }

    /// Rule 31: `from` is [`State::clock`] and `to` is the clock, within five minutes.
    pub(crate) fn may_accept_clock(
        &self,
        from: Timestamp,
        to: Timestamp,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        let last = self.clock;
        if from != last || to.abs_diff(now) > MAX_BEHIND {
            return Err(Refusal::OtherJump {
                from,
                to,
                now,
                last,
            });
        }
        self.draft(now, Event::ClockAccepted { from, to })
    }

    /// Rules 15 and 31.
    pub(crate) fn may_prune(&self, certificates: u64, now: Timestamp) -> Result<Draft, Refusal> {
        self.check_clock(now, false)?;
        self.check_settled(now)?;
        let until = now.max(self.pruned.0);
        self.draft(
            now,
            Event::Pruned {
                until,
                certificates,
            },
        )
    }

    /// Adds an entry of an export that was read in order.
    ///
    /// # Errors
    /// A sentence about why the entry cannot follow the ones before it. The state must not be used any more then.
    pub fn follow(&mut self, item: &Item) -> Result<(), &'static str> {
        let after = chain(&self.head.hash, &item.payload);
        let length = item.payload.len();
        self.apply(&item.entry, length, after, item.body.as_deref())
            .map_err(|fault| fault.0)
    }

    /// Adds an entry whose payload has this length and after which the chain is `after`. `body` may be absent where the state does not depend on it; the leaf hashes of a checkpoint are used
    /// where they are there.
    pub(crate) fn apply(
        &mut self,
        entry: &Entry,
        length: usize,
        after: Hash,
        body: Option<&[u8]>,
    ) -> Result<(), Fault> {
        if let Some(place) = entry.event.body()
            && place.offset != self.bodies_end
        {
            return Err(Fault("the body does not follow the one before"));
        }
        let number = self.head.size;
        if matches!(entry.event, Event::Created { .. }) != (number == 0) {
            return Err(Fault("the creation is the first entry and no other"));
        }
        let time = entry.time;
        self.clock = self.clock.max(time);
        match &entry.event {
            Event::Created { identity, log } => {
                if *identity != self.head.identity {
                    return Err(Fault("the identity is not that of the header"));
                }
                self.tree = log.clone();
                self.root = log.root();
            }
            Event::Started(start) | Event::Reloaded(start) => self.start = Some(start.clone()),
            Event::Certificate {
                issuer,
                serial,
                not_after,
                form: _,
                tbs,
            } => {
                let place = self.place_of(issuer)?;
                let is_new = self.certificates.insert(Certificate {
                    serial: key(serial),
                    issuer: place,
                    number: u32::try_from(number).map_err(|_| Fault("too many entries"))?,
                    tbs: tbs.digest,
                    not_after: *not_after,
                    signed: 0,
                });
                if !is_new {
                    return Err(Fault("the serial number is that of an earlier certificate"));
                }
                self.ceilings.add(Kind::Certificates, time, 1);
            }
            Event::Signed {
                certificate,
                not_after,
                signature: _,
            } => {
                let found = self.certificates.by_number_mut(*certificate);
                let found = found.ok_or(Fault("the signature is not of a certificate"))?;
                if found.signed != 0 {
                    return Err(Fault("the certificate has a signature already"));
                }
                if found.not_after != *not_after {
                    return Err(Fault("notAfter is not that of the certificate"));
                }
                found.signed = self.entries_end;
            }
            Event::Crl { .. } => self.apply_crl(entry, number, body)?,
            Event::Checkpoint { tree, root, .. } => {
                if tree.size() < self.tree.size() {
                    return Err(Fault("the tree is smaller than the last one"));
                }
                let count = tree.size() - self.tree.size();
                if let Some(body) = body {
                    for leaf in decode_leaves(body)? {
                        self.tree.push(leaf);
                    }
                    if self.tree != *tree || tree.root() != *root {
                        return Err(Fault("the tree does not follow from the leaf hashes"));
                    }
                }
                self.tree = tree.clone();
                self.root = *root;
                self.checkpoint_before = self.checkpoint.replace(number);
                self.ceilings.add(Kind::Leaves, time, count);
            }
            Event::Counted { what, count } => {
                if *what == Counter::Decryptions {
                    self.ceilings
                        .add(Kind::Decryptions, time, u64::from(*count));
                }
            }
            Event::Suspended => self.is_suspended = true,
            Event::Resumed => self.is_suspended = false,
            Event::Lifted { limit, to, until } => self.ceilings.lift(*limit, *to, *until),
            Event::Known { issuer, .. } => {
                let known = body.ok_or(Fault("the list of certificates is missing"))?;
                let known = decode_known(known)?;
                let place = self.place_of(issuer)?;
                let certificates = &self.certificates;
                let is_ours = |known: &Known| certificates.find(place, &key(&known.serial));
                if known.iter().any(|known| is_ours(known).is_some()) {
                    return Err(Fault("a known certificate is one of the journal's own"));
                }
                let known = known
                    .iter()
                    .map(|known| (key(&known.serial), known.not_after));
                if let Some(issuer) = self.issuers.get_mut(usize::from(place)) {
                    issuer.known.extend(known);
                }
            }
            Event::ClockAccepted { from, to } => {
                self.accepted = Some(*to);
                self.clock = *to;
                self.ceilings.clock_moved(*from, *to);
                // Otherwise no CRL could be signed until the time of the last one has come.
                for crl in self.issuers.iter_mut().filter_map(|i| i.crl.as_mut()) {
                    crl.this_update = crl.this_update.min(*to);
                }
            }
            Event::Pruned {
                until,
                certificates,
            } => {
                if *until < self.pruned.0 {
                    return Err(Fault("pruned until an earlier time than before"));
                }
                if *until > time.max(self.pruned.0) {
                    return Err(Fault("pruned until a time that had not come"));
                }
                self.pruned = (*until, *certificates);
            }
        }
        self.bodies_end += entry.event.body().map_or(0, |body| u64::from(body.length));
        self.entries_end += FRAME + length as u64;
        self.head.size += 1;
        self.head.hash = after;
        Ok(())
    }

    /// Decryptions may use what the entry just applied has counted; one is used.
    pub(crate) fn take_lease(&mut self, count: u32) {
        self.lease = (count.saturating_sub(1), self.head.size.saturating_sub(1));
    }

    fn draft(&self, now: Timestamp, event: Event) -> Result<Draft, Refusal> {
        if self.head.size >= u64::from(u32::MAX) {
            return Err(Refusal::Exhausted { what: "entries" });
        }
        if self.issuers.len() >= MAX_ISSUERS
            && let Event::Certificate { issuer, .. }
            | Event::Crl { issuer, .. }
            | Event::Known { issuer, .. } = &event
            && self.issuer(issuer).is_none()
        {
            return Err(Refusal::Exhausted { what: "issuers" });
        }
        // A time that has not been accepted must not become the journal's.
        let time = self.check_clock(now, false).map_or(self.clock, |()| now);
        Ok(Draft {
            entry: Entry { time, event },
            body: Vec::new(),
        })
    }

    fn body(&self, bytes: &[u8]) -> Result<Body, Refusal> {
        let length = bytes.len();
        Body::at(self.bodies_end, bytes).ok_or(Refusal::TooLarge { length })
    }

    fn check_ceilings(&self, kind: Kind, more: u64, now: Timestamp) -> Result<(), Refusal> {
        match self.ceilings.exceeded(kind, more, now) {
            Some(usage) => Err(Refusal::Ceiling(usage)),
            None => Ok(()),
        }
    }

    fn check_settled(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.accepted {
            Some(accepted) if now < accepted + SETTLING => Err(Refusal::Settling { accepted }),
            Some(_) | None => Ok(()),
        }
    }

    fn issuer(&self, key: &Hash) -> Option<(u16, &Issuer)> {
        let mut issuers = (0..).zip(&self.issuers);
        issuers.find(|(_, issuer)| issuer.key == *key)
    }

    fn place_of(&mut self, key: &Hash) -> Result<u16, Fault> {
        if let Some((place, _)) = self.issuer(key) {
            return Ok(place);
        }
        let place = u16::try_from(self.issuers.len()).map_err(|_| Fault("too many issuers"))?;
        if self.issuers.len() >= MAX_ISSUERS {
            return Err(Fault("too many issuers"));
        }
        self.issuers.push(Issuer {
            key: *key,
            crl: None,
            revoked: HashMap::new(),
            known: HashMap::new(),
        });
        Ok(place)
    }

    fn end_of(&self, place: u16, issuer: &Issuer, serial: &Key) -> Option<Timestamp> {
        match self.certificates.find(place, serial) {
            Some(found) => Some(found.not_after),
            None => issuer.known.get(serial).copied(),
        }
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if is_name(name) {
        Ok(())
    } else {
        let name = name.chars().take(80).collect();
        Err(Refusal::Name { name })
    }
}
