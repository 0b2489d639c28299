//! Makes audit records: what is the same for all records of this run, and the time.

use std::time::SystemTime;

use assay_audit::{Context, Draft, Event};
use assay_store::{Store, StoreError};
use assay_types::{Hash, Timestamp, TimestampMillis};
use openssl::error::ErrorStack;

use crate::clock::{ClockJumped, ClockState, NotAccepted, SignerClock};
use crate::random::Random;
use crate::record_budget::Now;

/// Random bytes of a boot id.
const BOOT_ID_BYTES: usize = 8;

/// Why a jump of the clock was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptClockError {
    /// There is no such jump.
    #[error(transparent)]
    Jump(#[from] NotAccepted),
    /// It is not recorded.
    #[error("the jump is not accepted, as that cannot be recorded")]
    Store(#[from] StoreError),
}

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

    /// Now; never earlier than before, unless somebody accepted a jump of the clock backwards.
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

    /// Refuses while the wall clock is not believed: nothing is issued, signed with a time, or done by schedule then.
    ///
    /// # Errors
    /// The jump, as it has to be named to be accepted.
    pub fn check_clock(&self) -> Result<(), ClockJumped> {
        self.clock.check()
    }

    /// The clock as a person sees it.
    pub fn clock(&self) -> ClockState {
        self.clock.show()
    }

    /// After an accepted jump, entries of certificates that expired at this time or later stay on the CRL.
    pub(crate) fn keep_since(&self, at: Timestamp) -> Option<Timestamp> {
        self.clock.keep_since(at)
    }

    /// The boot of the machine, if this run knows how the time before it continues.
    pub(crate) fn known_boot(&self) -> Option<(Hash, TimestampMillis)> {
        self.clock.known_boot()
    }

    /// Accepts a jump of the clock, which has to be named exactly, and records that. The time of the record is the accepted one.
    ///
    /// # Errors
    /// Where there is no such jump, or the record cannot be written.
    pub async fn accept_clock(
        &self,
        store: &Store,
        policy_hash: Option<Hash>,
        actor: &str,
        jump: ClockJumped,
    ) -> Result<ClockState, AcceptClockError> {
        let ClockJumped { from, to } = jump;
        let moment = self.clock.may_accept(from, to)?;
        let event = Event::ClockAccepted {
            actor: actor.into(),
            from,
            to,
        };
        let draft = Draft {
            moment,
            ..self.draft(policy_hash, event)
        };
        store.append_audit(vec![draft]).await?;
        self.clock.accepted(jump, moment);
        Ok(self.clock.show())
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
