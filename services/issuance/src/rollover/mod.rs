//! CA rollover (RFC 8894 section 4.7): a second CA with its RA beside the first, which takes over at a set time.
//!
//! Both sign for as long as they are configured, whatever the time: CRLs, OCSP responses, and what recovery finishes. Which
//! of them a request gets its certificate from is decided by the RA that it is enveloped to; which RAs there are for it, and
//! which of them GetCACert names, by time and by what the policy in force approves.

mod next_ca;
mod plan;
mod watch;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use assay_policy::{Profile, Quirks};
use assay_scep::Request;
use assay_store::{CertificateRow, RolloverRow, Store, StoreError};

use crate::generation::{Generation, UncoveredProfile};
use crate::issuing_ca::IssuingCa;
use crate::ra::{NoSingleRa, Ra};
use next_ca::NextCa;
pub use plan::{PlannedCa, PlannedStep, RolloverPlan};
pub(crate) use watch::Rollover;

/// The CAs of this signer: one, or two.
pub struct Generations {
    first: Arc<Generation>,
    next: Option<Next>,
}

/// The CA that takes over, and when.
pub(crate) struct Next {
    generation: Arc<Generation>,
    switch_at: SystemTime,
    overlap: Duration,
    /// The body of GetNextCACert.
    announcement: NextCa,
}

/// How far the rollover is at a moment, under the policy of that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is no next CA, or it is not approved: nobody hears of it.
    Single,
    /// Devices are told of the next CA; requests to its RA are answered, as are those to the first's.
    Announced,
    /// The next CA has taken over; requests to the old RA are still answered.
    Overlap,
    /// The old CA signs CRLs and OCSP responses, and no certificate.
    Over,
}

/// Why the next CA cannot be served, or cannot take over at its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RolloverError {
    #[error(
        "rollover.switch_at: {0} is past, and this signer never announced the next CA: no device could learn of it; set a \
         time to come"
    )]
    NeverAnnounced(humantime::Rfc3339Timestamp),
    #[error(
        "rollover.switch_at: the next CA has taken over at {kept}, which cannot be undone by {now}; put {kept} back"
    )]
    Switched {
        kept: humantime::Rfc3339Timestamp,
        now: humantime::Rfc3339Timestamp,
    },
    #[error(
        "rollover.switch_at: {now} is past, and devices were told {kept}; put that back, or set another time to come"
    )]
    MovedIntoThePast {
        kept: humantime::Rfc3339Timestamp,
        now: humantime::Rfc3339Timestamp,
    },
}

impl Generations {
    pub(crate) fn single(first: Generation) -> Self {
        Self {
            first: Arc::new(first),
            next: None,
        }
    }

    pub(crate) fn with_next(
        first: Generation,
        next: Generation,
        switch_at: SystemTime,
        overlap: Duration,
    ) -> Self {
        Self {
            first: Arc::new(first),
            next: Some(Next {
                generation: Arc::new(next),
                switch_at,
                overlap,
                announcement: NextCa::default(),
            }),
        }
    }

    /// How things stand at `now`, where the policy approves the next CA or does not.
    pub fn stage(&self, approved: bool, now: SystemTime) -> Stage {
        match &self.next {
            Some(next) if approved => next.stage(now),
            Some(_) | None => Stage::Single,
        }
    }

    /// The CA that GetCACert names.
    pub fn current(&self, stage: Stage) -> &Arc<Generation> {
        match (stage, &self.next) {
            (Stage::Overlap | Stage::Over, Some(next)) => &next.generation,
            (Stage::Overlap | Stage::Over | Stage::Single | Stage::Announced, _) => &self.first,
        }
    }

    /// Those whose RA is answered, the current one first.
    fn answering(&self, stage: Stage) -> impl Iterator<Item = &Arc<Generation>> {
        let current = self.current(stage);
        let other = match stage {
            Stage::Single | Stage::Over => None,
            Stage::Announced => self.next.as_ref().map(|next| &next.generation),
            Stage::Overlap => Some(&self.first),
        };
        std::iter::once(current).chain(other)
    }

    /// The CA whose RA the request is enveloped to, and that RA. A request for none of them is refused by the one that
    /// GetCACert names.
    pub(crate) fn addressed(
        &self,
        stage: Stage,
        request: &Request,
        quirks: Quirks,
    ) -> (&Arc<Generation>, &Arc<Ra>) {
        let found = self.answering(stage).find_map(|generation| {
            let ra = generation.ca.addressed(request, quirks)?;
            Some((generation, ra))
        });
        found.unwrap_or_else(|| {
            let current = self.current(stage);
            (current, current.ca.ra(quirks))
        })
    }

    /// All of them, in the order in which they came.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Generation>> {
        let next = self.next.as_ref().map(|next| &next.generation);
        std::iter::once(&self.first).chain(next)
    }

    /// The one that was there first; its keys are served with the key of the log.
    pub fn first(&self) -> &Arc<Generation> {
        &self.first
    }

    /// The CA of this id, as the store's rows have it; `None` for one of a rollover that is finished.
    pub fn of(&self, ca_id: &str) -> Option<&Arc<Generation>> {
        self.all().find(|generation| generation.ca.id == ca_id)
    }

    /// Whether a certificate with this issuer, DER, claims to be of a CA here.
    pub(crate) fn issues_as(&self, issuer_der: &[u8]) -> bool {
        self.all()
            .any(|generation| generation.ca.issuer.subject_der == issuer_der)
    }

    /// The CA of an issued certificate, if `issuer_der` is its name.
    pub(crate) fn issuer_of(
        &self,
        row: &CertificateRow,
        issuer_der: &[u8],
    ) -> Option<&Arc<Generation>> {
        self.of(&row.ca_id)
            .filter(|generation| generation.ca.issuer.subject_der == issuer_der)
    }

    /// Whether there is all that a profile asks for.
    ///
    /// # Errors
    /// The first thing that there is not.
    pub(crate) fn serve(&self, profile: &Profile, now: SystemTime) -> Result<(), NoSingleRa> {
        self.all()
            .try_for_each(|generation| generation.ca.serves(profile, now))
    }

    /// Why no version can be activated that has the next CA take over at its time, if there is a reason.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn untimely(
        &self,
        store: &Store,
        now: SystemTime,
    ) -> Result<Option<String>, StoreError> {
        let Some(next) = &self.next else {
            return Ok(None);
        };
        let kept = store.find_rollover(next.ca().id.clone()).await?;
        let untimely = check_time(next.switch_at, kept, now).err();
        Ok(untimely.map(|error| error.to_string()))
    }

    /// The CAs whose certificates have no form that covers a profile. In a rollover both have to have one.
    pub(crate) fn uncovered(&self, profile: &Profile) -> impl Iterator<Item = UncoveredProfile> {
        self.all()
            .filter_map(|generation| generation.cover(profile).err())
    }

    /// Everything that a profile asks of the CAs and that they cannot give, a line each.
    pub fn unserved(&self, profile: &Profile, now: SystemTime) -> Vec<String> {
        let mut problems: Vec<String> = self
            .all()
            .filter_map(|generation| generation.ca.serves(profile, now).err())
            .map(|error: NoSingleRa| error.to_string())
            .collect();
        problems.dedup();
        problems.extend(self.uncovered(profile).map(|error| error.to_string()));
        if self.next.is_some()
            && let Some(url) = profile.names_one_ca()
        {
            problems.push(format!(
                "profile `{}`: {url} is one place for what two CAs sign: write {{ca}} in it, which stands for the key \
                 identifier of the one that issues",
                profile.name()
            ));
        }
        problems
    }
}

impl Next {
    fn stage(&self, now: SystemTime) -> Stage {
        if now < self.switch_at {
            Stage::Announced
        } else if now < self.answered_until() {
            Stage::Overlap
        } else {
            Stage::Over
        }
    }

    /// When the old RA is not answered any more.
    fn answered_until(&self) -> SystemTime {
        self.switch_at
            .checked_add(self.overlap)
            .unwrap_or(self.switch_at)
    }

    fn ca(&self) -> &IssuingCa {
        &self.generation.ca
    }
}

/// Holds the configured time to what devices were told, which is `kept`.
///
/// # Errors
/// Where it takes that back, or leaves no device the time to learn.
pub(crate) fn check_time(
    switch_at: SystemTime,
    kept: Option<RolloverRow>,
    now: SystemTime,
) -> Result<(), RolloverError> {
    let text = humantime::format_rfc3339_seconds;
    let past = switch_at <= now;
    match kept {
        None if past => Err(RolloverError::NeverAnnounced(text(switch_at))),
        None => Ok(()),
        Some(kept) => {
            let told = SystemTime::from(kept.switch_at);
            if told == switch_at {
                Ok(())
            } else if kept.switched_at.is_some() || told <= now {
                Err(RolloverError::Switched {
                    kept: text(told),
                    now: text(switch_at),
                })
            } else if past {
                Err(RolloverError::MovedIntoThePast {
                    kept: text(told),
                    now: text(switch_at),
                })
            } else {
                Ok(())
            }
        }
    }
}
