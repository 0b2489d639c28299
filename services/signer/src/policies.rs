//! The policy in force: one set of profiles at a time, exchanged as a whole.

use std::sync::{Arc, PoisonError, RwLock};

use assay_policy::{Bundle, Profile};

/// A numbered set of policy files.
pub(crate) struct ActivePolicy {
    pub(crate) number: u64,
    bundle: Bundle,
}

/// Where everybody finds the policy in force. A request keeps the one it began with.
pub(crate) struct Policies(RwLock<Arc<Active>>);

/// Before the first activation nothing is in force: every profile is unknown.
type Active = Option<ActivePolicy>;

/// The policy in force as one request sees it, to its end.
#[derive(Clone)]
pub(crate) struct InForce(Arc<Active>);

impl Policies {
    pub(crate) fn new(active: Option<ActivePolicy>) -> Self {
        Self(RwLock::new(Arc::new(active)))
    }

    pub(crate) fn active(&self) -> InForce {
        InForce(Arc::clone(
            &self.0.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// Puts `policy` in force for every request that begins from now on.
    pub(crate) fn activate(&self, policy: ActivePolicy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Some(policy));
    }
}

impl ActivePolicy {
    pub(crate) fn new(number: u64, bundle: Bundle) -> Self {
        Self { number, bundle }
    }
}

impl InForce {
    /// The profile of this name; the default one for no name.
    pub(crate) fn select(&self, name: &str) -> Option<&Profile> {
        let bundle = self.bundle()?;
        match name {
            "" => bundle.default_profile(),
            name => bundle.profiles.get(name),
        }
    }

    pub(crate) fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.bundle()
            .into_iter()
            .flat_map(|bundle| bundle.profiles.values())
    }

    /// 0 before the first activation.
    pub(crate) fn number(&self) -> u64 {
        self.0.as_ref().as_ref().map_or(0, |active| active.number)
    }

    /// SHA-256 over the canonical model; what audit records name.
    pub(crate) fn model_hash(&self) -> Option<[u8; 32]> {
        self.bundle().map(|bundle| bundle.model_hash)
    }

    fn bundle(&self) -> Option<&Bundle> {
        self.0.as_ref().as_ref().map(|active| &active.bundle)
    }
}
