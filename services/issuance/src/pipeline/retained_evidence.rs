//! What is kept of a decision, so that it can be made again: evidence beside its record, under a salted hash.

use std::time::Duration;

use assay_audit::Attachment;
use assay_decision::{Evidence, Permitted, Verdict};
use assay_policy::{Facts, Refusal, Tbs};
use assay_scep::{Csr, FailInfo};
use assay_store::PendingRow;
use assay_types::{CanonicalError, Hash, Timestamp};
use openssl::error::ErrorStack;

use super::End;
use super::opened::Opened;
use crate::random::Random;

const SALT_BYTES: usize = 32;

/// The request as it is kept: nothing of it is secret.
pub(super) struct RetainedEvidence {
    /// DER, without its challengePassword.
    csr: Vec<u8>,
    csr_sha256: Hash,
    /// The waiting request that was approved.
    pending_id: Option<String>,
    /// Goes into the hash of the evidence.
    salt: [u8; SALT_BYTES],
    keep: Duration,
}

impl RetainedEvidence {
    pub(super) fn of(
        opened: &Opened,
        keep: Duration,
        random: &dyn Random,
    ) -> Result<Self, ErrorStack> {
        Ok(Self {
            csr: opened.csr.without_challenge(),
            csr_sha256: opened.csr_sha256,
            pending_id: None,
            salt: salt(random)?,
            keep,
        })
    }

    pub(super) fn of_approved(
        row: &PendingRow,
        csr: &Csr,
        keep: Duration,
        random: &dyn Random,
    ) -> Result<Self, ErrorStack> {
        Ok(Self {
            csr: csr.without_challenge(),
            csr_sha256: row.csr_digest,
            pending_id: Some(row.id.clone()),
            salt: salt(random)?,
            keep,
        })
    }

    /// Of a certificate: kept beyond its end.
    pub(super) fn permit(&self, facts: &Facts, tbs: &Tbs, ca: &[u8]) -> Result<Attachment, End> {
        let permitted = Permitted::new(tbs, Hash::of(ca));
        let until = tbs.not_after().into();
        let pending_id = self.pending_id.clone();
        self.seal(facts, pending_id, Verdict::Permit(permitted), until)
            .map_err(unkept)
    }

    /// Of a place in the queue, as `id`: kept beyond `expires_at`.
    pub(super) fn pending(
        &self,
        facts: &Facts,
        id: &str,
        expires_at: Timestamp,
    ) -> Result<Attachment, End> {
        self.seal(facts, Some(id.to_owned()), Verdict::Pending, expires_at)
            .map_err(unkept)
    }

    /// A refusal by the policy, with its evidence where something authorised the request: what anybody can send is not
    /// kept, and what is too long to be kept is refused all the same.
    pub(super) fn refusal(&self, facts: &Facts, refusal: Refusal) -> End {
        let verdict = Verdict::Refusal {
            rule: refusal.rule.to_string(),
        };
        let mut end = End::from(refusal);
        if let End::Refused(refused) = &mut end
            && facts.grant.is_some()
        {
            let pending_id = self.pending_id.clone();
            let sealed = self.seal(facts, pending_id, verdict, facts.now.into());
            refused.evidence = sealed.ok().map(Box::new);
        }
        end
    }

    fn seal(
        &self,
        facts: &Facts,
        pending_id: Option<String>,
        verdict: Verdict,
        until: Timestamp,
    ) -> Result<Attachment, CanonicalError> {
        let evidence = Evidence::new(
            facts,
            self.csr.clone(),
            self.csr_sha256,
            pending_id,
            verdict,
        );
        let (attachment, _) = evidence.seal(self.salt, until + self.keep)?;
        Ok(attachment)
    }
}

fn salt(random: &dyn Random) -> Result<[u8; SALT_BYTES], ErrorStack> {
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt)?;
    Ok(salt)
}

/// Nothing is permitted that could not be checked again.
fn unkept(cause: CanonicalError) -> End {
    if matches!(cause, CanonicalError::TooLong { .. }) {
        return End::refused(
            FailInfo::BadRequest,
            "SCEP:csr-length",
            "the CSR is longer than what is kept of a decision",
        );
    }
    End::deferred(cause)
}
