//! The policy in force: one set of profiles at a time, exchanged as a whole; and the profiles that are stopped.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use assay_policy::{Approved, Bundle, Profile};
use assay_store::Stop;
use assay_types::{Hash, Timestamp};
use tokio::sync::{Mutex, MutexGuard};

use crate::terms::Approval;

/// A numbered set of policy files.
pub struct ActivePolicy {
    number: u64,
    bundle: Bundle,
    /// When it ceases to be in force.
    expires: Timestamp,
    approval: Approval,
}

/// Where everybody finds the policy in force. A request keeps the one it began with; what it decided is recorded only
/// while that one is the newest still.
pub struct Policies {
    active: RwLock<Arc<Active>>,
    stops: RwLock<BTreeMap<String, Stop>>,
    changing: Mutex<()>,
}

/// Before the first activation nothing is in force: every profile is unknown.
type Active = Option<ActivePolicy>;

/// The right to change the policy in force and the stops, held by one task at a time.
pub struct Changing<'a> {
    _held: MutexGuard<'a, ()>,
}

/// An approval is of other files than those that are to come into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotApproved {
    /// The files differ.
    #[error("the files are not those that were approved")]
    Files,
    /// The files mean something else to this release than to the one that proposed them.
    #[error("the files mean something else in this release")]
    Model,
}

/// The policy in force as one request sees it, to its end.
#[derive(Clone)]
pub struct InForce(Arc<Active>);

impl Policies {
    pub(crate) fn new(active: Option<ActivePolicy>, stops: Vec<Stop>) -> Self {
        Self {
            active: RwLock::new(Arc::new(active)),
            stops: RwLock::new(by_profile(stops)),
            changing: Mutex::new(()),
        }
    }

    /// The policy in force now.
    pub fn active(&self) -> InForce {
        InForce(Arc::clone(
            &self.active.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// Held from the change in the store to the change here, so that both see changes in one order.
    pub async fn change(&self) -> Changing<'_> {
        Changing {
            _held: self.changing.lock().await,
        }
    }

    /// Puts `policy` in force for every request that begins from now on.
    pub fn activate(&self, policy: ActivePolicy, _changing: &Changing<'_>) {
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Some(policy));
    }

    /// Takes what the store says over.
    pub fn set_stops(&self, stops: Vec<Stop>, _changing: &Changing<'_>) {
        *self.stops.write().unwrap_or_else(PoisonError::into_inner) = by_profile(stops);
    }

    /// The profiles that are stopped, by name.
    pub fn stops(&self) -> Vec<Stop> {
        let stops = self.stops.read().unwrap_or_else(PoisonError::into_inner);
        stops.values().cloned().collect()
    }

    pub(crate) fn is_stopped(&self, profile: &str) -> bool {
        self.stops
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(profile)
    }
}

impl ActivePolicy {
    /// The version that was approved; `bundle` is its files.
    ///
    /// # Errors
    /// [`NotApproved`] where `bundle` is of other files.
    pub fn new(
        approved: &Approved,
        bundle: Bundle,
        approval: Approval,
    ) -> Result<Self, NotApproved> {
        let proposal = approved.proposal();
        if proposal.files != bundle.file_hash() {
            return Err(NotApproved::Files);
        }
        if proposal.model != bundle.model_hash() {
            return Err(NotApproved::Model);
        }
        Ok(Self {
            number: proposal.number,
            bundle,
            expires: proposal.expires,
            approval,
        })
    }
}

impl InForce {
    /// The profile of this name; the default one for no name.
    pub fn select(&self, name: &str) -> Option<&Profile> {
        let bundle = self.bundle()?;
        match name {
            "" => bundle.default_profile(),
            name => bundle.profile(name),
        }
    }

    /// Its profiles, by name.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.bundle()
            .into_iter()
            .flat_map(|bundle| bundle.profiles().values())
    }

    /// 0 before the first activation.
    pub fn number(&self) -> u64 {
        self.0.as_ref().as_ref().map_or(0, |active| active.number)
    }

    /// When it ceases to be in force; `None` before the first activation.
    pub fn expires(&self) -> Option<Timestamp> {
        self.0.as_ref().as_ref().map(|active| active.expires)
    }

    /// Whether the CA that takes over is approved, and its time.
    pub fn approves_next_ca(&self) -> bool {
        self.0
            .as_ref()
            .as_ref()
            .is_some_and(|active| active.approval == Approval::OfBoth)
    }

    /// SHA-256 over the canonical model; what audit records name.
    pub fn model_hash(&self) -> Option<Hash> {
        self.bundle().map(|bundle| bundle.model_hash())
    }

    pub(crate) fn bundle(&self) -> Option<&Bundle> {
        self.0.as_ref().as_ref().map(|active| &active.bundle)
    }
}

fn by_profile(stops: Vec<Stop>) -> BTreeMap<String, Stop> {
    stops
        .into_iter()
        .map(|stop| (stop.profile.clone(), stop))
        .collect()
}
