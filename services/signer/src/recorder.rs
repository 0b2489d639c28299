//! Makes audit records: what is the same for all records of this run, and the time.

use assay_audit::{Context, Draft, Event, Hash};
use openssl::error::ErrorStack;

use crate::clock::SignerClock;
use crate::random::Random;

/// Random bytes of a boot id.
const BOOT_ID_BYTES: usize = 8;

/// Stamps events with this run's identity and the time.
pub(crate) struct Recorder {
    context: Context,
    pub(crate) clock: SignerClock,
}

impl Recorder {
    pub(crate) fn new(
        config_hash: [u8; 32],
        clock: SignerClock,
        random: &dyn Random,
    ) -> Result<Self, ErrorStack> {
        let mut boot_id = [0; BOOT_ID_BYTES];
        random.fill(&mut boot_id)?;
        Ok(Self {
            context: Context {
                boot_id: hex::encode(boot_id).into(),
                binary: env!("CARGO_PKG_VERSION").into(),
                config_hash: Hash::from(config_hash),
                policy_hash: None,
            },
            clock,
        })
    }

    pub(crate) fn boot_id(&self) -> &str {
        self.context.boot_id.as_str()
    }

    /// `event`, as it happens now under the policy of this model hash.
    pub(crate) fn draft(&self, policy_hash: Option<[u8; 32]>, event: Event) -> Draft {
        Draft {
            context: Context {
                policy_hash: policy_hash.map(Hash::from),
                ..self.context.clone()
            },
            moment: self.clock.moment(),
            event,
            attachment: None,
        }
    }
}
