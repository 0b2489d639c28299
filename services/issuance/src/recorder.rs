//! Makes audit records: what is the same for all records of this run, and the time.

use std::time::SystemTime;

use assay_audit::{Context, Draft, Event};
use assay_store::{Store, StoreError};
use assay_types::{Hash, Timestamp, TimestampMillis};
use openssl::error::ErrorStack;

use crate::clock::SignerClock;
use crate::random::Random;
use crate::record_budget::Now;

/// Random bytes of a boot id.
const BOOT_ID_BYTES: usize = 8;

/// Stamps events with this run's identity and the time.
pub struct Recorder {
    context: Context,
    clock: SignerClock,
}

impl Recorder {
    pub(crate) fn new(
        config_hash: Hash,
        clock: SignerClock,
        random: &dyn Random,
    ) -> Result<Self, ErrorStack> {
        let mut boot_id = [0; BOOT_ID_BYTES];
        random.fill(&mut boot_id)?;
        Ok(Self {
            context: Context {
                boot_id: hex::encode(boot_id).into(),
                binary: env!("CARGO_PKG_VERSION").into(),
                config_hash,
                policy_hash: None,
            },
            clock,
        })
    }

    /// Now; never earlier than before.
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// The same in whole seconds.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp_millis().seconds()
    }

    /// The same in milliseconds.
    pub fn timestamp_millis(&self) -> TimestampMillis {
        self.clock.timestamp_millis()
    }

    /// The time for budgets.
    pub(crate) fn budget_time(&self) -> Now {
        let moment = self.clock.moment();
        Now {
            wall: moment.wall_ms,
            monotonic_ms: moment.monotonic_ms,
        }
    }

    /// By how many milliseconds the wall clock was stepped since the last call, if it was.
    pub(crate) fn clock_step(&self) -> Option<i64> {
        self.clock.step()
    }

    /// Tells this run from others.
    pub fn boot_id(&self) -> &str {
        self.context.boot_id.as_str()
    }

    /// `event`, as it happens now under the policy of this model hash.
    pub fn draft(&self, policy_hash: Option<Hash>, event: Event) -> Draft {
        Draft {
            context: Context {
                policy_hash,
                ..self.context.clone()
            },
            moment: self.clock.moment(),
            event,
            attachment: None,
        }
    }

    /// Writes the record of `event`, which happens now under the policy of this model hash.
    pub(crate) async fn append(
        &self,
        store: &Store,
        policy_hash: Option<Hash>,
        event: Event,
    ) -> Result<(), StoreError> {
        let draft = self.draft(policy_hash, event);
        store.append_audit(vec![draft]).await.map(drop)
    }
}
