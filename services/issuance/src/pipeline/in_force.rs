//! Whether anything is issued under a profile at this moment: said before any private-key operation.

use assay_policy::Profile;

use super::rule::SignerRule;
use super::{End, Pipeline};
use crate::policies::InForce;

impl Pipeline {
    /// A version that expired permits nothing, and a stopped profile neither, whatever is asked of it. The store asks
    /// about the stop once more when it records a permit.
    pub(super) fn check_in_force(&self, policy: &InForce, profile: &Profile) -> Result<(), End> {
        let now = self.recorder.timestamp();
        if policy.expires().is_none_or(|expires| expires <= now) {
            let detail = format!("version {}, which expired", policy.number());
            return Err(SignerRule::PolicyExpired.refusal(&detail));
        }
        if self.policies.is_stopped(profile.name().as_str()) {
            return Err(SignerRule::ProfileStopped.refusal(""));
        }
        Ok(())
    }
}
