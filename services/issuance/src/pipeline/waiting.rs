//! A request that waits, read back from the store: for its device, which polls, and for whoever decides it.

use std::sync::Arc;

use assay_policy::{Facts, Profile};
use assay_scep::{Csr, Limits};
use assay_store::{PendingRow, Store};

use super::{End, facts, source};
use crate::app::Parts;
use crate::recorder::Recorder;

/// Reads waiting requests.
#[derive(Clone)]
pub struct Waiting {
    store: Store,
    recorder: Arc<Recorder>,
    message_limits: Limits,
}

impl Waiting {
    /// Reads from the store of `parts`.
    pub fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            recorder: Arc::clone(&parts.recorder),
            message_limits: Limits::default(),
        }
    }

    /// The CSR and what policy would look at if the request were decided now; `None` where it cannot be read any more.
    pub async fn read(&self, profile: &Profile, row: &PendingRow) -> Option<(Csr, Facts)> {
        let facts = self.facts(profile, row).await.ok()?;
        Some((self.csr(row).ok()?, facts))
    }

    /// What policy would look at if the request were decided now.
    pub(super) async fn facts(&self, profile: &Profile, row: &PendingRow) -> Result<Facts, End> {
        let csr = self.csr(row)?;
        let mut facts = assay_decision::facts(
            &csr,
            profile.name().as_str(),
            self.recorder.now(),
            facts::named_hash(&row.message_hash)?,
            None,
        );
        facts.grant = Some(source::reserved(&self.store, profile, &facts, row).await?);
        Ok(facts)
    }

    pub(super) fn csr(&self, row: &PendingRow) -> Result<Csr, End> {
        Csr::parse(&row.csr, &self.message_limits).map_err(End::deferred)
    }
}
