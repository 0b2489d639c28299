//! Before recovery signs: the TBS of an open intent is compared with the record of its permit, and linted again.

use std::sync::Arc;

use assay_audit::{Event, Record};
use assay_decision::{Deviation, Evidence, EvidenceError, lint_again};
use assay_policy::{Bundle, PolicyFile};
use assay_store::{OpenIntent, Store, StoreError};
use assay_types::{CanonicalError, Hash};

use crate::issuing_ca::IssuingCa;
use crate::policies::Policies;

/// Why the TBS of an open intent is not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenedRecordError {
    #[error("the log has no intent.opened of this serial; restore the state from a backup")]
    Missing,
    #[error("the intent.opened of this serial cannot be read")]
    Form(#[from] CanonicalError),
    #[error("the TBS differs from what its intent.opened names; nothing was signed")]
    Digest,
    #[error("the evidence of the permit was removed; restore the state from a backup")]
    NoEvidence,
    #[error("the evidence of the permit cannot be read")]
    Evidence(#[from] EvidenceError),
    #[error("the version of the policy that permitted it, {0}, is not in the state")]
    NoPolicy(Hash),
    #[error("the version of the policy that permitted it does not load in this release: {0}")]
    Policy(String),
    #[error("the TBS does not pass its lints; nothing was signed")]
    Lint(#[source] Deviation),
    #[error("the state cannot be read")]
    Store(#[from] StoreError),
}

impl OpenedRecordError {
    /// Trying again cannot help: the TBS itself is wrong.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Digest | Self::Lint(_) => true,
            Self::Missing
            | Self::Form(_)
            | Self::NoEvidence
            | Self::Evidence(_)
            | Self::NoPolicy(_)
            | Self::Policy(_)
            | Self::Store(_) => false,
        }
    }
}

/// Holds `intent` to its record, and its TBS to the lints under the policy that permitted it.
pub(super) async fn check(
    store: &Store,
    policies: &Arc<Policies>,
    ca: &IssuingCa,
    intent: &OpenIntent,
) -> Result<(), OpenedRecordError> {
    let opened = store.opened_record(intent.serial.clone()).await?;
    let opened = opened.ok_or(OpenedRecordError::Missing)?;
    let record = Record::from_canonical(&opened.record)?;
    let Event::IntentOpened {
        issuance, evidence, ..
    } = record.draft.event
    else {
        return Err(OpenedRecordError::Missing);
    };
    if issuance.tbs_digest != Hash::of(&intent.tbs) {
        return Err(OpenedRecordError::Digest);
    }
    let kept = evidence.zip(opened.evidence);
    let (hash, (salt, content)) = kept.ok_or(OpenedRecordError::NoEvidence)?;
    let evidence = Evidence::open(&salt, &content, &hash)?;
    let lint = |bundle: &Bundle| {
        lint_again(&evidence, bundle, &ca.lint_issuer, &ca.issuer, &intent.tbs)
            .map_err(OpenedRecordError::Lint)
    };
    let in_force = policies.active();
    if in_force.model_hash() == Some(intent.policy_hash)
        && let Some(bundle) = in_force.bundle()
    {
        return lint(bundle);
    }
    lint(&former(store, intent.policy_hash).await?)
}

/// The files of a version that is not in force any more.
async fn former(store: &Store, model: Hash) -> Result<Bundle, OpenedRecordError> {
    let policy = store.policy_of_model(model).await?;
    let policy = policy.ok_or(OpenedRecordError::NoPolicy(model))?;
    let file = |(name, content)| PolicyFile { name, content };
    let files: Vec<PolicyFile> = policy.files.into_iter().map(file).collect();
    let bundle = Bundle::load(&files).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        OpenedRecordError::Policy(errors.join("; "))
    })?;
    if bundle.model_hash() != model {
        return Err(OpenedRecordError::Policy(
            "the files mean something else".to_owned(),
        ));
    }
    Ok(bundle)
}
