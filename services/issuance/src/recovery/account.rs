//! The parts of an exported journal of the HSM service that go beyond a restored state.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use assay_journal::{Action, Event, ExportReader, Head, Item, LastCrl, Listed, Reason, State};
use assay_store::{Store, StoreError};
use assay_types::{Hash, Serial, Timestamp};

/// Certificates that one recovery takes up at most: the backup of a day of many enrolments is behind by fewer.
const MAX_CERTIFICATES: usize = 100_000;
/// Records that one recovery takes up at most, 128 MiB of hashes.
const MAX_LOST: usize = 4 << 20;
/// Certificates that are looked up at once, with their TBSCertificates in memory.
const BATCH: usize = 1_000;

/// Why an export says nothing that a state could be recovered by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error(
        "entry {entry}: the export of the journal is damaged or cut; export it again with `assay-hsm journal export`"
    )]
    Damaged {
        entry: u64,
        #[source]
        source: assay_journal::Error,
    },
    #[error(
        "entry {entry} of the export cannot follow those before it: {why}; export the journal again with `assay-hsm journal export`"
    )]
    Rules { entry: u64, why: &'static str },
    #[error(
        "the journal begins with a log of {begins} records and the restored state has {restored}: the hashes of those between are not in it; restore a newer backup"
    )]
    TooOld { begins: u64, restored: u64 },
    #[error("the journal has more than {0} that the restored state lacks; restore a newer backup")]
    TooMany(&'static str),
    #[error("the state cannot be read")]
    Store(#[from] StoreError),
}

/// A certificate that the service was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) entry: u64,
    /// SHA-256 of the SubjectPublicKeyInfo of the issuer.
    pub(crate) issuer: Hash,
    pub(crate) serial: Serial,
    tbs_digest: Hash,
    /// `None` if it was pruned.
    pub(crate) tbs: Option<Vec<u8>>,
    pub(crate) signature: Option<Vec<u8>>,
}

/// The last CRL of an issuer.
#[derive(Debug)]
pub(crate) struct Crl {
    pub(crate) last: LastCrl,
    pub(crate) listed: Vec<Listed>,
    /// Since when each certificate that is no longer on hold was on hold.
    pub(crate) released: Vec<(Serial, Timestamp)>,
}

/// The content of an export, proven to its end.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) head: Head,
    /// Leaves of the last tree that was signed.
    pub(crate) log_size: u64,
    pub(crate) log_root: Hash,
    /// Leaf hashes of the records after those of the restored state.
    pub(crate) lost: Vec<Hash>,
    /// Certificates that the state does not have, or of which it has an open intent.
    pub(crate) certificates: Vec<Asked>,
    state: State,
    /// By issuer and serial number.
    released: BTreeMap<(Hash, Serial), Timestamp>,
}

/// An export that is being read.
struct Reading<'a> {
    store: &'a Store,
    restored: u64,
    state: State,
    lost: Vec<Hash>,
    /// Serial numbers of open intents.
    open: BTreeSet<Serial>,
    /// Not looked up yet.
    batch: BTreeMap<u64, Asked>,
    unknown: BTreeMap<u64, Asked>,
    released: BTreeMap<(Hash, Serial), Timestamp>,
}

impl Account {
    /// Reads an export beside a state of `restored` records.
    pub(crate) async fn read(
        export: impl Read,
        store: &Store,
        restored: u64,
    ) -> Result<Self, AccountError> {
        let damaged = |entry, source| AccountError::Damaged { entry, source };
        let mut export = ExportReader::new(export).map_err(|error| damaged(0, error))?;
        let open = store.open_serials().await?;
        let mut reading = Reading {
            store,
            restored,
            state: State::new(export.head().identity),
            lost: Vec::new(),
            open: open.into_iter().collect(),
            batch: BTreeMap::new(),
            unknown: BTreeMap::new(),
            released: BTreeMap::new(),
        };
        while let Some(item) = export.next() {
            let item = item.map_err(|error| damaged(export.head().size, error))?;
            let before = reading.state.tree().size();
            reading
                .state
                .follow(&item)
                .map_err(|why| AccountError::Rules {
                    entry: item.number,
                    why,
                })?;
            reading.take(item, before).await?;
        }
        reading.look_up().await?;
        let Reading {
            state,
            lost,
            unknown,
            released,
            ..
        } = reading;
        Ok(Self {
            head: state.head(),
            log_size: state.tree().size(),
            log_root: state.root(),
            lost,
            certificates: unknown.into_values().collect(),
            released,
            state,
        })
    }

    /// The last CRL of the issuer that rows of the store name so.
    pub(crate) fn crl(&self, ca_id: &str) -> Option<Crl> {
        let mut crls = self.state.crls();
        let (issuer, last) = crls.find(|(issuer, _)| issuer.to_string() == ca_id)?;
        let released = self.released.iter();
        let released = released.filter(|((of, _), _)| *of == issuer);
        Some(Crl {
            last,
            listed: self.state.listed(&issuer),
            released: released
                .map(|((_, serial), since)| (serial.clone(), *since))
                .collect(),
        })
    }

    /// Whether the journal has this certificate.
    pub(crate) fn has(&self, serial: &Serial, tbs_digest: &Hash) -> bool {
        self.state.has_certificate(serial, tbs_digest)
    }

    /// The last CRL of each issuer, which is named as rows of the store name a CA.
    pub(crate) fn crls(&self) -> Vec<(String, LastCrl)> {
        let crls = self.state.crls();
        crls.map(|(issuer, crl)| (issuer.to_string(), crl))
            .collect()
    }
}

impl Reading<'_> {
    /// The next entry; the tree of the journal had `before` leaves before it.
    async fn take(&mut self, item: Item, before: u64) -> Result<(), AccountError> {
        match item.entry.event {
            Event::Created { log, .. } if log.size() > self.restored => {
                return Err(AccountError::TooOld {
                    begins: log.size(),
                    restored: self.restored,
                });
            }
            Event::Checkpoint { .. } => {
                let leaves = item.body.unwrap_or_default();
                let (leaves, _) = leaves.as_chunks::<32>();
                let known = self.restored.saturating_sub(before);
                let known = usize::try_from(known).unwrap_or(usize::MAX);
                let lost = leaves.iter().skip(known);
                if self.lost.len() + lost.len() > MAX_LOST {
                    return Err(AccountError::TooMany("records"));
                }
                self.lost.extend(lost.map(|leaf| Hash::from(*leaf)));
            }
            Event::Certificate {
                issuer,
                serial,
                tbs,
                ..
            } => {
                let asked = Asked {
                    entry: item.number,
                    issuer,
                    serial,
                    tbs_digest: tbs.digest,
                    tbs: item.body,
                    signature: None,
                };
                self.batch.insert(item.number, asked);
                if self.batch.len() >= BATCH {
                    self.look_up().await?;
                }
            }
            Event::Signed { certificate, .. } => {
                let asked = self.batch.get_mut(&certificate);
                if let Some(asked) = asked.or_else(|| self.unknown.get_mut(&certificate)) {
                    asked.signature = item.body;
                }
            }
            Event::Crl { issuer, .. } => {
                let changes = item.body.unwrap_or_default();
                for change in assay_journal::Change::read_all(&changes).unwrap_or_default() {
                    let place = (issuer, change.serial);
                    if change.action == Action::Removed && change.reason == Reason::CertificateHold
                    {
                        self.released.insert(place, change.date);
                    } else {
                        self.released.remove(&place);
                    }
                }
            }
            Event::Created { .. }
            | Event::Started(_)
            | Event::Reloaded(_)
            | Event::Counted { .. }
            | Event::Suspended
            | Event::Resumed
            | Event::Lifted { .. }
            | Event::Known { .. }
            | Event::ClockAccepted { .. }
            | Event::Pruned { .. } => {}
        }
        Ok(())
    }

    /// Keeps those of the batch that the state does not have.
    async fn look_up(&mut self) -> Result<(), AccountError> {
        let batch = std::mem::take(&mut self.batch);
        let named = batch.values();
        let named = named.map(|asked| (asked.serial.clone(), asked.tbs_digest));
        let unknown = self.store.without_permit(named.collect()).await?;
        let unknown: BTreeSet<Serial> = unknown.into_iter().collect();
        for (entry, asked) in batch {
            if unknown.contains(&asked.serial) || self.open.contains(&asked.serial) {
                self.unknown.insert(entry, asked);
            }
        }
        if self.unknown.len() > MAX_CERTIFICATES {
            return Err(AccountError::TooMany("certificates"));
        }
        Ok(())
    }
}
