//! A request that waits, read back from the store: for its device, which polls, and for whoever decides it.

use std::sync::Arc;

use assay_policy::{Authority, Facts, Profile};
use assay_scep::{Csr, Limits};
use assay_store::{PendingRow, Reserve, Store};

use super::{End, facts, source};
use crate::app::Parts;
use crate::recorder::Recorder;

/// Reads waiting requests.
pub(crate) struct Waiting {
    store: Store,
    recorder: Arc<Recorder>,
    message_limits: Limits,
}

impl Waiting {
    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            recorder: Arc::clone(&parts.recorder),
            message_limits: Limits::default(),
        }
    }

    /// What policy would look at if the request were decided now.
    pub(crate) async fn facts(&self, profile: &Profile, row: &PendingRow) -> Result<Facts, End> {
        let csr = self.csr(row)?;
        let mut facts = assay_decision::facts(
            &csr,
            profile.name().as_str(),
            self.recorder.now(),
            facts::named_hash(&row.message_hash)?,
            Authority::None,
        );
        facts.authority = self.reserved_authority(profile, &facts, row).await?;
        Ok(facts)
    }

    pub(crate) fn csr(&self, row: &PendingRow) -> Result<Csr, End> {
        Csr::parse(&row.csr, &self.message_limits).map_err(End::deferred)
    }

    /// The challenge stays what it was when it was reserved; inventory and old certificate are asked again, so that a
    /// device struck off meanwhile gets nothing.
    async fn reserved_authority(
        &self,
        profile: &Profile,
        facts: &Facts,
        row: &PendingRow,
    ) -> Result<Authority, End> {
        let name = profile.inventory_name(&facts.subject);
        let inventory = match name {
            Some(name) => {
                self.store
                    .find_inventory(profile.name().to_string(), name)
                    .await?
            }
            None => None,
        };
        match &row.reserve {
            Reserve::OneTime { id } => {
                let claims: Claims = serde_json::from_str(&row.evidence).map_err(End::deferred)?;
                Ok(Authority::OneTimeChallenge {
                    id: id.clone(),
                    profile: row.profile.clone(),
                    subject: source::subject(&claims.subject)?,
                    sans: source::sans(&claims.sans)?,
                    // While it is reserved its own expiry rests; the request's counts.
                    expires: source::unix(row.expires_at),
                })
            }
            Reserve::Static { id, name: _ } => Ok(Authority::StaticChallenge {
                id: id.clone(),
                profile: row.profile.clone(),
                inventory: inventory.map(source::entry),
            }),
            Reserve::Renewal { old, .. } => {
                let old = self.store.find_certificate(old.clone()).await?;
                let old = old.ok_or_else(|| End::deferred("the index lost a certificate"))?;
                source::renewal(&old, inventory)
            }
        }
    }
}

/// What a reserved one-time challenge is bound to.
#[derive(serde::Serialize, serde::Deserialize, Default)]
struct Claims {
    subject: String,
    sans: Vec<String>,
}

/// What is kept of a one-time challenge with the request that reserves it.
pub(super) fn claims(authority: &Authority) -> String {
    let claims = match authority {
        Authority::OneTimeChallenge { subject, sans, .. } => Claims {
            subject: subject.to_string(),
            sans: sans.iter().map(ToString::to_string).collect(),
        },
        Authority::StaticChallenge { .. } | Authority::Renewal { .. } | Authority::None => {
            Claims::default()
        }
    };
    serde_json::json!(claims).to_string()
}
