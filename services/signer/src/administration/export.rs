//! The log with all that an auditor needs to decide again, as a stream.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assay_proto::v1::export_item::Item;
use assay_proto::v1::{
    ExportHead, ExportInventoryChange, ExportIssuer, ExportItem, ExportLeaf, ExportPolicy,
    ExportRecovery, ExportRequest,
};
use assay_store::{CheckpointRow, ExportRow, Span, Store, StoreError};
use assay_types::TimestampMillis;
use serde::Deserialize;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::error::AdminError;
use super::issuers;
use super::log::whole;
use super::policy::as_proposed;
use super::{AdministrationService, wire};

/// Records of a bundle: a range is rounded outwards to whole ones (C2SP tlog-tiles).
const BUNDLE: u32 = assay_audit::tile::TILE_WIDTH as u32;
/// Items that wait for a slow client. The largest, an inventory change, has 16 MiB; most have a kilobyte.
const AHEAD: usize = 4;
/// A client that takes nothing for so long is gone.
const STALL: Duration = Duration::from_secs(30);
/// Attempts at a read while the readers are busy with requests, and the pause between two.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);
/// The record that says which policy holds: it is told whatever the range.
const ACTIVATION: &str = "policy.activated";

/// What is streamed.
pub(super) type Items = Pin<Box<dyn Stream<Item = Result<ExportItem, Status>> + Send>>;

/// One export at a time, so that none slows what devices ask.
#[derive(Clone)]
pub(super) struct Turn(Arc<Semaphore>);

impl Default for Turn {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// Everything from the head to the last leaf under the newest checkpoint, the newest that a witness cosigned, or the one of a
/// given size.
pub(super) async fn stream(
    service: &AdministrationService,
    actor: &str,
    request: ExportRequest,
) -> Result<Items, AdminError> {
    let ExportRequest {
        recorded,
        cosigned,
        size,
    } = request;
    let wanted = wanted(wire::span(recorded)?);
    let turn = Arc::clone(&service.exports.0)
        .try_acquire_owned()
        .map_err(|_| AdminError::Busy("another export is being made; one is made at a time"))?;
    let checkpoint = checkpoint(&service.store, cosigned, size).await?;
    let size = checkpoint.checkpoint.size;
    tracing::info!(actor, size, range_ms = ?wanted, "the log is exported");
    let (out, items) = channel(AHEAD);
    let stalled = Arc::new(AtomicBool::new(false));
    let export = Export {
        store: service.store.clone(),
        size,
        wanted,
        out,
        stalled: Arc::clone(&stalled),
        _turn: turn,
    };
    let head = ExportHead {
        checkpoint: whole(&checkpoint)?.to_string(),
        size,
        log_key: service.log.key().to_string(),
    };
    let issuers = issuers::present_first(service).await?;
    tokio::spawn(export.run(head, issuers));
    let end = tokio_stream::iter([stalled]).filter_map(|stalled| {
        let late = || Status::deadline_exceeded("the export was taken too slowly and is given up");
        stalled.load(Ordering::Acquire).then(|| Err(late()))
    });
    Ok(Box::pin(ReceiverStream::new(items).chain(end)))
}

async fn checkpoint(store: &Store, cosigned: bool, size: u64) -> Result<CheckpointRow, AdminError> {
    if size > 0 {
        if cosigned {
            let both = "a size and the newest cosigned checkpoint cannot both be asked for; give one of the two";
            return Err(AdminError::Invalid(both.to_owned()));
        }
        return of_size(store, size).await;
    }
    let (found, none) = if cosigned {
        let none = "no witness has cosigned a checkpoint; `assay audit cosign` asks one";
        (store.latest_cosigned_checkpoint(1).await?, none)
    } else {
        let none = "no checkpoint is signed yet; ask again after audit.checkpoint_interval";
        (store.latest_checkpoint().await?, none)
    };
    found.ok_or_else(|| AdminError::WrongState(none.to_owned()))
}

async fn of_size(store: &Store, size: u64) -> Result<CheckpointRow, AdminError> {
    if let Some(found) = store.checkpoint(size).await? {
        return Ok(found);
    }
    let (below, above) = store.checkpoints_around(size).await?;
    let near = match (below, above) {
        (Some(below), Some(above)) => format!("the nearest have {below} and {above}"),
        (Some(below), None) => format!("the newest has {below}"),
        (None, Some(above)) => format!("the oldest has {above}"),
        (None, None) => "none is stored yet".to_owned(),
    };
    Err(AdminError::NotFound(format!(
        "no checkpoint of {size} records is stored; {near}"
    )))
}

/// `None` for all.
fn wanted(Span { from, to }: Span<TimestampMillis>) -> Option<Range<TimestampMillis>> {
    if from.is_none() && to.is_none() {
        return None;
    }
    Some(from.unwrap_or_default()..to.unwrap_or(TimestampMillis::MAX))
}

struct Export {
    store: Store,
    size: u64,
    wanted: Option<Range<TimestampMillis>>,
    out: Sender<Result<ExportItem, Status>>,
    /// Set where the stream ends because nobody took from it.
    stalled: Arc<AtomicBool>,
    _turn: OwnedSemaphorePermit,
}

/// Why an export ends before its last leaf.
enum Ended {
    /// Nobody takes it any more.
    Gone,
    Failed(AdminError),
}

impl From<AdminError> for Ended {
    fn from(error: AdminError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Export {
    async fn run(self, head: ExportHead, issuers: Vec<Vec<Vec<u8>>>) {
        match self.tell(head, issuers).await {
            Ok(()) => {}
            Err(Ended::Gone) => tracing::info!("the export was given up by its client"),
            Err(Ended::Failed(error)) => {
                // A client that is gone as well hears nothing.
                let _ = self.out.send_timeout(Err(error.into()), STALL).await;
            }
        }
    }

    async fn tell(&self, head: ExportHead, issuers: Vec<Vec<Vec<u8>>>) -> Result<(), Ended> {
        self.send(Item::Head(head)).await?;
        for certificates in issuers {
            self.send(Item::Issuer(ExportIssuer { certificates }))
                .await?;
        }
        let extent = self.read(|| self.store.export_extent(self.size)).await?;
        let read = || self.store.policy_numbers(extent.policy);
        for number in self.read(read).await? {
            self.policy(number).await?;
        }
        let read = || self.store.recoveries();
        for recovery in self.read(read).await? {
            if recovery.sequence <= self.size {
                let item = ExportRecovery {
                    sequence: recovery.sequence,
                    restored: recovery.restored,
                    statement: recovery.statement,
                    approvals: recovery.approvals,
                };
                self.send(Item::Recovery(item)).await?;
            }
        }
        for (profile, changes) in extent.inventories {
            self.inventory(profile, changes).await?;
        }
        let mut after = 0;
        while after < self.size {
            after = self.bundle(after).await?;
        }
        Ok(())
    }

    async fn policy(&self, number: u64) -> Result<(), Ended> {
        let read = || self.store.policy(number);
        let policy = self.read(read).await?;
        let policy = policy.ok_or_else(|| lost(&format!("policy {number}")))?;
        let item = ExportPolicy {
            number,
            activated_at: Some(policy.info.activated_at.into()),
            activated_by: policy.info.activated_by.clone(),
            proposal: Some(as_proposed(policy).1),
        };
        self.send(Item::Policy(item)).await
    }

    async fn inventory(&self, profile: String, changes: u64) -> Result<(), Ended> {
        let mut after = 0;
        while after < changes {
            let read = || {
                self.store
                    .inventory_changes(profile.clone(), after, changes, 1)
            };
            let change = self.read(read).await?.into_iter().next();
            let change = change.ok_or_else(|| {
                lost(&format!(
                    "change {} of the inventory of {profile}",
                    after + 1
                ))
            })?;
            after = change.sequence;
            let item = ExportInventoryChange {
                profile: profile.clone(),
                sequence: change.sequence,
                content: change.content,
                hash: change.hash.into(),
            };
            self.send(Item::InventoryChange(item)).await?;
        }
        Ok(())
    }

    /// The leaves of one bundle, whole or as hashes; returns the last one's sequence number.
    async fn bundle(&self, after: u64) -> Result<u64, Ended> {
        let last = (after + u64::from(BUNDLE)).min(self.size);
        if !self.is_held(after, last).await? {
            let read = || self.store.leaf_hashes(after, BUNDLE);
            for (sequence, hash) in (after + 1..=last).zip(self.read(read).await?) {
                let leaf = ExportLeaf {
                    sequence,
                    leaf_hash: hash.as_bytes().to_vec(),
                    ..ExportLeaf::default()
                };
                self.send(Item::Leaf(leaf)).await?;
            }
            return Ok(last);
        }
        let read = || self.store.export_rows(after, last, BUNDLE);
        for row in self.read(read).await? {
            self.send(Item::Leaf(leaf(row))).await?;
        }
        Ok(last)
    }

    async fn is_held(&self, after: u64, last: u64) -> Result<bool, StoreError> {
        let Some(wanted) = &self.wanted else {
            return Ok(true);
        };
        let read = || self.store.audit_after(after, BUNDLE);
        let rows = self.read(read).await?;
        Ok(rows
            .iter()
            .take_while(|row| row.sequence <= last)
            .any(|row| is_wanted(&row.record, wanted)))
    }

    /// Reads again while the readers are busy: an export can wait.
    async fn read<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        read: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        for _ in 1..ATTEMPTS {
            match read().await {
                Err(StoreError::Busy) => tokio::time::sleep(PAUSE).await,
                result => return result,
            }
        }
        read().await
    }

    async fn send(&self, item: Item) -> Result<(), Ended> {
        let item = ExportItem { item: Some(item) };
        self.out
            .send_timeout(Ok(item), STALL)
            .await
            .map_err(|error| {
                if matches!(error, SendTimeoutError::Timeout(_)) {
                    self.stalled.store(true, Ordering::Release);
                }
                Ended::Gone
            })
    }
}

fn is_wanted(record: &[u8], wanted: &Range<TimestampMillis>) -> bool {
    #[derive(Deserialize)]
    struct Head {
        kind: String,
        wall_ms: TimestampMillis,
    }
    // A record that tells no time is told whole: whoever reads it will see what is wrong with it.
    serde_json::from_slice(record).map_or(true, |head: Head| {
        head.kind == ACTIVATION || wanted.contains(&head.wall_ms)
    })
}

fn leaf(row: ExportRow) -> ExportLeaf {
    let ExportRow {
        sequence,
        record,
        leaf_hash,
        evidence,
        certificate,
    } = row;
    let Some(record) = record else {
        return ExportLeaf {
            sequence,
            leaf_hash: leaf_hash.as_bytes().to_vec(),
            ..ExportLeaf::default()
        };
    };
    let (salt, evidence) = evidence
        .map(|(salt, content)| (salt.to_vec(), content))
        .unwrap_or_default();
    ExportLeaf {
        sequence,
        leaf_hash: Vec::new(),
        record,
        evidence_salt: salt,
        evidence,
        certificate: certificate.unwrap_or_default(),
    }
}

/// The log tells of it, and it is not there.
fn lost(what: &str) -> AdminError {
    AdminError::Damaged(format!("{what} is gone, of which the log tells").into())
}
