use std::time::Duration;

use assay_types::{Hash, MAX_CRL_ENTRIES, Serial, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::Frontier;
use crate::ceiling::Limit;
use crate::files::RESERVE;

/// Largest [`Change`] in bytes: action, serial number with its length, reason and date.
const MAX_CHANGE: usize = 1 + (1 + 20) + 1 + 8;

/// Largest body in bytes: the changes of a CRL that drops every entry of the longest list and has as many new ones.
pub const MAX_BODY: usize = 2 * MAX_CRL_ENTRIES as usize * MAX_CHANGE;

/// A CRL can be signed while the file system is full.
const _: () = assert!(MAX_BODY as u64 <= RESERVE);

/// Largest payload of an entry in bytes, which its length field can express. The largest entry has the 64 nodes of a
/// frontier.
pub const MAX_PAYLOAD: usize = 4_096;

/// Longest name of a form or version in bytes.
pub const MAX_NAME: usize = 64;

/// How long the body of a certificate's entry is kept at least.
const LEAST_KEPT: Duration = Duration::from_secs(365 * 24 * 3_600);

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was appended.
    pub time: Timestamp,
    /// The event.
    pub event: Event,
}

/// Where the bytes that an entry speaks of are in the file of bodies, and what they hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    /// Offset in the file of bodies.
    pub offset: u64,
    /// Length in bytes.
    pub length: u32,
    /// SHA-256.
    pub digest: Hash,
}

/// The event that an entry records. Issuers are named by the SHA-256 of their SubjectPublicKeyInfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// First entry of a journal.
    Created {
        /// Random; names this journal in the log.
        identity: Hash,
        /// The log as it was cosigned before this journal existed. Empty for a new log.
        log: Frontier,
    },
    /// The service started.
    Started(Start),
    /// The service reads its configuration again.
    Reloaded(Start),
    /// A certificate is about to be signed.
    Certificate {
        /// Who issues it.
        issuer: Hash,
        /// Its serial number.
        serial: Serial,
        /// End of its validity.
        not_after: Timestamp,
        /// Name of the form that it fits.
        form: String,
        /// The TBSCertificate.
        tbs: Body,
    },
    /// A certificate was signed.
    Signed {
        /// Number of the certificate's entry.
        certificate: u64,
        /// End of the certificate's validity.
        not_after: Timestamp,
        /// The signature, as the certificate contains it.
        signature: Body,
    },
    /// A CRL is about to be signed.
    Crl {
        /// Who issues it.
        issuer: Hash,
        /// Its cRLNumber.
        number: u64,
        /// Its thisUpdate.
        this_update: Timestamp,
        /// Its nextUpdate.
        next_update: Timestamp,
        /// SHA-256 of the TBSCertList; of the whole CRL if `is_floor`.
        digest: Hash,
        /// Whether this is the last CRL of a CA that was used before the journal existed.
        is_floor: bool,
        /// How it differs from the CRL before: a list of [`Change`].
        changes: Body,
    },
    /// A checkpoint is about to be signed.
    Checkpoint {
        /// The tree, of which a checkpoint states size and root.
        tree: Frontier,
        /// Root of the tree.
        root: Hash,
        /// The leaf hashes since the last checkpoint, 32 bytes each.
        leaves: Body,
    },
    /// Operations are counted, those with a ceiling before they happen.
    Counted {
        /// Which.
        what: Counter,
        /// How many.
        count: u32,
    },
    /// Certificates are refused from now on.
    Suspended,
    /// Certificates are signed again.
    Resumed,
    /// A ceiling was raised for some time.
    Lifted {
        /// Which.
        limit: Limit,
        /// To which number.
        to: u64,
        /// Until when.
        until: Timestamp,
    },
    /// Certificates exist that the service did not sign.
    Known {
        /// Where they come from.
        origin: Origin,
        /// Who issued them.
        issuer: Hash,
        /// A list of [`Known`].
        certificates: Body,
    },
    /// A jump of the clock was accepted on the service's host.
    ClockAccepted {
        /// Latest time of the journal before.
        from: Timestamp,
        /// Time of the clock when it was accepted.
        to: Timestamp,
    },
    /// The bodies of certificates were dropped that need not be kept after this time.
    Pruned {
        /// The bodies of a certificate's two entries are kept until the later of its notAfter and one year after the entry;
        /// if that is before `until`, they may be gone.
        until: Timestamp,
        /// Number of certificates whose bodies have been dropped in all.
        certificates: u64,
    },
}

/// The program and the configuration of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// SHA-256 of its configuration.
    pub configuration: Hash,
    /// Whether the signer may be the service's own user.
    pub allow_same_user: bool,
    /// Version of the program.
    pub version: String,
}

/// Operations with a count of their own. The other ceilings are counted by the entries that they limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counter {
    /// Decryptions with an RA key.
    Decryptions,
    /// CertReps signed.
    CertReps,
    /// OCSP responses signed.
    Statuses,
}

/// Where a certificate comes from that the service did not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A ceremony.
    Ceremony,
    /// A recovery, or the last CRL of a CA that was used.
    Recovery,
}

/// CRLReason of RFC 5280 section 5.3.1 without removeFromCRL, which only delta CRLs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of RFC 5280")]
pub enum Reason {
    Unspecified = 0,
    KeyCompromise = 1,
    CaCompromise = 2,
    AffiliationChanged = 3,
    Superseded = 4,
    CessationOfOperation = 5,
    CertificateHold = 6,
    PrivilegeWithdrawn = 9,
    AaCompromise = 10,
}

impl Reason {
    const ALL: [Self; 9] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The ENUMERATED value.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The reason with this ENUMERATED value.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// How a CRL differs from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened to the serial number.
    pub action: Action,
    /// Which one.
    pub serial: Serial,
    /// Its reason code, the last one if it was removed.
    pub reason: Reason,
    /// Its revocationDate.
    pub date: Timestamp,
}

/// What happened to a serial number on a CRL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is listed and was not before.
    Added,
    /// It is no longer listed.
    Removed,
    /// It was on hold and is revoked for good.
    Changed,
}

/// A certificate that the service did not sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its serial number.
    pub serial: Serial,
    /// End of its validity; [`Timestamp::LAST`] if it is not known.
    pub not_after: Timestamp,
}

/// Why bytes are not an entry, or why an entry cannot follow the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) &'static str);

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.0.to_owned()
    }
}

impl Body {
    /// The body `bytes` at `offset`; `None` if it is larger than [`MAX_BODY`].
    pub(crate) fn at(offset: u64, bytes: &[u8]) -> Option<Self> {
        let length = (bytes.len() <= MAX_BODY).then_some(bytes.len())?;
        Some(Self {
            offset,
            length: u32::try_from(length).ok()?,
            digest: Hash::of(bytes),
        })
    }

    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.length.into())
    }

    pub(crate) fn length(&self) -> usize {
        self.length as usize
    }
}

impl Event {
    /// The body that the entry refers to.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        match self {
            Self::Certificate { tbs: body, .. }
            | Self::Signed {
                signature: body, ..
            }
            | Self::Crl { changes: body, .. }
            | Self::Checkpoint { leaves: body, .. }
            | Self::Known {
                certificates: body, ..
            } => Some(body),
            Self::Created { .. }
            | Self::Started(_)
            | Self::Reloaded(_)
            | Self::Counted { .. }
            | Self::Suspended
            | Self::Resumed
            | Self::Lifted { .. }
            | Self::ClockAccepted { .. }
            | Self::Pruned { .. } => None,
        }
    }

    /// Whether the state depends on the body, so that each start reads it.
    pub(crate) fn is_body_state(&self) -> bool {
        matches!(self, Self::Crl { .. } | Self::Known { .. })
    }
}

impl Entry {
    /// Until when the body of a certificate's entry is kept: the later of its notAfter and one year after the entry. Other
    /// bodies are kept forever.
    #[must_use]
    pub fn kept_until(&self) -> Option<Timestamp> {
        match self.event {
            Event::Certificate { not_after, .. } | Event::Signed { not_after, .. } => {
                Some(not_after.max(self.time + LEAST_KEPT))
            }
            Event::Created { .. }
            | Event::Started(_)
            | Event::Reloaded(_)
            | Event::Crl { .. }
            | Event::Checkpoint { .. }
            | Event::Counted { .. }
            | Event::Suspended
            | Event::Resumed
            | Event::Lifted { .. }
            | Event::Known { .. }
            | Event::ClockAccepted { .. }
            | Event::Pruned { .. } => None,
        }
    }

    /// The one encoding of this entry, which the chain covers.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder(Vec::with_capacity(160));
        let time = self.time;
        match &self.event {
            Event::Created { identity, log } => {
                to.head(1, time).hash(identity).frontier(log);
            }
            Event::Started(start) => to.head(2, time).start(start),
            Event::Reloaded(start) => to.head(3, time).start(start),
            Event::Certificate {
                issuer,
                serial,
                not_after,
                form,
                tbs,
            } => {
                let to = to.head(4, time).hash(issuer).short(serial.as_bytes());
                to.time(*not_after).short(form.as_bytes()).body(tbs);
            }
            Event::Signed {
                certificate,
                not_after,
                signature,
            } => {
                let to = to.head(5, time).long(*certificate);
                to.time(*not_after).body(signature);
            }
            Event::Crl {
                issuer,
                number,
                this_update,
                next_update,
                digest,
                is_floor,
                changes,
            } => {
                let to = to.head(6, time).hash(issuer).long(*number);
                let to = to.time(*this_update).time(*next_update).hash(digest);
                to.byte((*is_floor).into()).body(changes);
            }
            Event::Checkpoint { tree, root, leaves } => {
                to.head(7, time).frontier(tree).hash(root).body(leaves);
            }
            Event::Counted { what, count } => {
                to.head(8, time).byte(what.code());
                to.0.extend(count.to_be_bytes());
            }
            Event::Suspended => {
                to.head(9, time);
            }
            Event::Resumed => {
                to.head(10, time);
            }
            Event::Lifted {
                limit,
                to: number,
                until,
            } => {
                let to = to.head(11, time).byte(limit.code());
                to.long(*number).time(*until);
            }
            Event::Known {
                origin,
                issuer,
                certificates,
            } => {
                let to = to.head(12, time).byte(origin.code());
                to.hash(issuer).body(certificates);
            }
            Event::ClockAccepted { from, to: until } => {
                to.head(13, time).time(*from).time(*until);
            }
            Event::Pruned {
                until,
                certificates,
            } => {
                to.head(14, time).time(*until).long(*certificates);
            }
        }
        to.0
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Fault> {
        let from = &mut Decoder(payload);
        let kind = from.byte()?;
        let time = from.time()?;
        let event = match kind {
            1 => Event::Created {
                identity: from.hash()?,
                log: from.frontier()?,
            },
            2 => Event::Started(from.start()?),
            3 => Event::Reloaded(from.start()?),
            4 => Event::Certificate {
                issuer: from.hash()?,
                serial: from.serial()?,
                not_after: from.time()?,
                form: from.name()?,
                tbs: from.body()?,
            },
            5 => Event::Signed {
                certificate: from.long()?,
                not_after: from.time()?,
                signature: from.body()?,
            },
            6 => Event::Crl {
                issuer: from.hash()?,
                number: from.long()?,
                this_update: from.time()?,
                next_update: from.time()?,
                digest: from.hash()?,
                is_floor: from.boolean()?,
                changes: from.body()?,
            },
            7 => Event::Checkpoint {
                tree: from.frontier()?,
                root: from.hash()?,
                leaves: from.body()?,
            },
            8 => Event::Counted {
                what: Counter::from_code(from.byte()?).ok_or(Fault("unknown counter"))?,
                count: u32::from_be_bytes(from.array()?),
            },
            9 => Event::Suspended,
            10 => Event::Resumed,
            11 => Event::Lifted {
                limit: Limit::from_code(from.byte()?).ok_or(Fault("unknown ceiling"))?,
                to: from.long()?,
                until: from.time()?,
            },
            12 => Event::Known {
                origin: Origin::from_code(from.byte()?).ok_or(Fault("unknown origin"))?,
                issuer: from.hash()?,
                certificates: from.body()?,
            },
            13 => Event::ClockAccepted {
                from: from.time()?,
                to: from.time()?,
            },
            14 => Event::Pruned {
                until: from.time()?,
                certificates: from.long()?,
            },
            _ => return Err(Fault("unknown kind of entry")),
        };
        from.end()?;
        Ok(Self { time, event })
    }
}

/// SHA-256(`before` || `payload`): the chain after an entry.
pub(crate) fn chain(before: &Hash, payload: &[u8]) -> Hash {
    let hash = Sha256::new()
        .chain_update(before.as_bytes())
        .chain_update(payload);
    <[u8; 32]>::from(hash.finalize()).into()
}

/// The chain before the first entry: SHA-256(SHA-256(`"assay-journal 1\n"`) || `identity`).
pub(crate) fn origin(identity: &Hash) -> Hash {
    chain(&Hash::of(crate::files::MAGIC), identity.as_bytes())
}

pub(crate) fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let mut to = Encoder(Vec::new());
    for change in changes {
        let action = match change.action {
            Action::Added => 1,
            Action::Removed => 2,
            Action::Changed => 3,
        };
        let to = to.byte(action).short(change.serial.as_bytes());
        to.byte(change.reason.code()).time(change.date);
    }
    to.0
}

impl Change {
    /// Reads the body of a CRL's entry.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read_all(body: &[u8]) -> Result<Vec<Self>, &'static str> {
        decode_changes(body).map_err(|fault| fault.0)
    }
}

pub(crate) fn decode_changes(body: &[u8]) -> Result<Vec<Change>, Fault> {
    let from = &mut Decoder(body);
    let mut changes = Vec::new();
    while !from.0.is_empty() {
        changes.push(Change {
            action: match from.byte()? {
                1 => Action::Added,
                2 => Action::Removed,
                3 => Action::Changed,
                _ => return Err(Fault("unknown change of a CRL")),
            },
            serial: from.serial()?,
            reason: Reason::from_code(from.byte()?).ok_or(Fault("unknown reason code"))?,
            date: from.time()?,
        });
    }
    Ok(changes)
}

pub(crate) fn encode_known(certificates: &[Known]) -> Vec<u8> {
    let mut to = Encoder(Vec::new());
    for known in certificates {
        to.short(known.serial.as_bytes()).time(known.not_after);
    }
    to.0
}

impl Known {
    /// Reads the body of an entry about certificates that the service did not sign.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read_all(body: &[u8]) -> Result<Vec<Self>, &'static str> {
        decode_known(body).map_err(|fault| fault.0)
    }
}

pub(crate) fn decode_known(body: &[u8]) -> Result<Vec<Known>, Fault> {
    let from = &mut Decoder(body);
    let mut certificates = Vec::new();
    while !from.0.is_empty() {
        certificates.push(Known {
            serial: from.serial()?,
            not_after: from.time()?,
        });
    }
    Ok(certificates)
}

pub(crate) fn decode_leaves(body: &[u8]) -> Result<impl Iterator<Item = Hash>, Fault> {
    let (hashes, rest) = body.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(Fault("leaf hashes are not 32 bytes each"));
    }
    Ok(hashes.iter().copied().map(Hash::from))
}

impl Counter {
    fn code(self) -> u8 {
        match self {
            Self::Decryptions => 1,
            Self::CertReps => 2,
            Self::Statuses => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Decryptions, Self::CertReps, Self::Statuses]
            .into_iter()
            .find(|counter| counter.code() == code)
    }
}

impl Origin {
    fn code(self) -> u8 {
        match self {
            Self::Ceremony => 1,
            Self::Recovery => 2,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Ceremony, Self::Recovery]
            .into_iter()
            .find(|origin| origin.code() == code)
    }
}

/// Numbers are big-endian.
struct Encoder(Vec<u8>);

impl Encoder {
    fn head(&mut self, kind: u8, time: Timestamp) -> &mut Self {
        self.byte(kind).time(time)
    }

    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    fn long(&mut self, number: u64) -> &mut Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn time(&mut self, time: Timestamp) -> &mut Self {
        self.0.extend(time.seconds().to_be_bytes());
        self
    }

    fn hash(&mut self, hash: &Hash) -> &mut Self {
        self.0.extend(hash.as_bytes());
        self
    }

    /// Serial numbers and names, which are bounded where they are made; what is too long would not be decoded.
    fn short(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        self.0.extend(bytes);
        self
    }

    fn body(&mut self, body: &Body) {
        self.long(body.offset);
        self.0.extend(body.length.to_be_bytes());
        self.hash(&body.digest);
    }

    fn frontier(&mut self, frontier: &Frontier) -> &mut Self {
        self.long(frontier.size());
        for node in frontier.nodes() {
            self.hash(node);
        }
        self
    }

    fn start(&mut self, start: &Start) {
        self.hash(&start.configuration)
            .byte(start.allow_same_user.into())
            .short(start.version.as_bytes());
    }
}

struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(Fault("the entry ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(Fault("the entry ends early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn boolean(&mut self) -> Result<bool, Fault> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Fault("a yes or no is neither 0 nor 1")),
        }
    }

    fn long(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_be_bytes)
    }

    fn time(&mut self) -> Result<Timestamp, Fault> {
        let seconds = self.array().map(i64::from_be_bytes)?;
        Ok(Timestamp::from_seconds(seconds))
    }

    fn hash(&mut self) -> Result<Hash, Fault> {
        self.array::<32>().map(Hash::from)
    }

    fn short(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.byte()?;
        self.take(length.into())
    }

    fn serial(&mut self) -> Result<Serial, Fault> {
        let bytes = self.short()?;
        let serial = Serial::try_from(bytes).map_err(|_| Fault("not a serial number"))?;
        if serial.as_bytes() != bytes {
            return Err(Fault("a serial number is not in its one form"));
        }
        Ok(serial)
    }

    fn name(&mut self) -> Result<String, Fault> {
        let name = std::str::from_utf8(self.short()?).map_err(|_| Fault("a name is not UTF-8"))?;
        if is_name(name) {
            Ok(name.to_owned())
        } else {
            Err(Fault("a name is too long or not printable"))
        }
    }

    fn body(&mut self) -> Result<Body, Fault> {
        let body = Body {
            offset: self.long()?,
            length: u32::from_be_bytes(self.array()?),
            digest: self.hash()?,
        };
        if body.length() > MAX_BODY {
            return Err(Fault("a body is too large"));
        }
        Ok(body)
    }

    fn frontier(&mut self) -> Result<Frontier, Fault> {
        let size = self.long()?;
        let mut nodes = Vec::with_capacity(size.count_ones() as usize);
        for _ in 0..size.count_ones() {
            nodes.push(self.hash()?);
        }
        Frontier::new(size, nodes).map_err(|_| Fault("not the frontier of a tree"))
    }

    fn start(&mut self) -> Result<Start, Fault> {
        Ok(Start {
            configuration: self.hash()?,
            allow_same_user: self.boolean()?,
            version: self.name()?,
        })
    }

    fn end(&self) -> Result<(), Fault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Fault("the entry has bytes after its end"))
        }
    }
}

/// Names are printable ASCII, at most [`MAX_NAME`] bytes.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME && name.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
