//! Steps 11 to 14, for a request at work and for what a crash left: compare, sign, verify, make durable, deliver.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use assay_audit::{Event, Issuance};
use assay_hsm::OperationError;
use assay_policy::Profile;
use assay_scep::{Outcome, ReplyError};
use assay_store::{Completion, OpenIntent, Store, StoreError};
use assay_types::{Hash, Serial, Timestamp};

use super::RequestContext;
use super::intent::Intent;
use super::lint::Linted;
use super::reply::{self, SignError};
use super::reply_recipient::ReplyRecipient;
use super::source::Superseded;
use crate::app::Parts;
use crate::generation::Generation;
use crate::issuing_ca::AssembleError;
use crate::metrics;
use crate::recorder::Recorder;
use crate::rollover::Generations;

/// The request id of recovery's token operations.
const RECOVERY: &str = "recovery";

/// The only holder of the CA's signing operation.
pub(crate) struct Finish {
    store: Store,
    generations: Arc<Generations>,
    recorder: Arc<Recorder>,
    at_work: Arc<Mutex<HashSet<Serial>>>,
}

/// Why an intent stays open, or had to be given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FinishError {
    #[error("the TBS differs from what was linted and recorded; nothing was signed")]
    Digest,
    #[error("its CA is not in signer.toml any more: put it back to have it finished")]
    ForeignCa,
    #[error("the certificate was not signed")]
    Sign(#[from] OperationError),
    #[error("the certificate was signed and thrown away")]
    Assemble(#[from] AssembleError),
    #[error("the result is not durable")]
    Store(#[from] StoreError),
    #[error(
        "the certificate is issued, its reply could not be built; the device gets it by asking again"
    )]
    Reply(#[from] ReplyError<SignError>),
}

/// What recovery made of an open intent.
#[derive(Debug)]
pub(crate) enum Recovered {
    /// A request in this process has it.
    AtWork,
    Issued,
    /// Closed as issued and revoked; its challenge was given back once.
    Abandoned,
}

impl Finish {
    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            generations: Arc::clone(&parts.generations),
            recorder: Arc::clone(&parts.recorder),
            at_work: Arc::default(),
        }
    }

    /// Issues the certificate of `intent` and returns its CertRep.
    pub(super) async fn issue(
        &self,
        intent: Intent,
        linted: &Linted,
        profile: &Profile,
        recipient: ReplyRecipient<'_>,
        context: &RequestContext,
    ) -> Result<Vec<u8>, FinishError> {
        // 11 and 12: signed, and verified in software.
        if intent.tbs_digest != linted.digest() {
            return Err(FinishError::Digest);
        }
        let Generation { ca, token, .. } = &*context.generation;
        let certificate = sign(
            &context.generation,
            &intent.tbs,
            &intent.tbs_digest,
            &context.request_id,
        )
        .await?;

        // 12 and 13: the CertRep is part of the result, so that the same bytes get the same answer every time.
        let now = self.recorder.now();
        let chain = profile.quirks_at(now).chain_in_reply;
        let outcome = Outcome::Success {
            certificates: ca.with_chain(certificate.clone(), chain),
        };
        let algorithms = reply::algorithms(profile, token.key_transports(), now);
        let built = reply::build(&**token, &algorithms, recipient, &outcome, context).await;
        let issued_at = self.recorder.timestamp();
        let event = Event::RequestIssued {
            request: context.request(),
            issuance: intent.issuance,
            certificate_sha256: Hash::of(&certificate),
            recovered: false,
        };
        let superseded = intent
            .supersedes
            .map(|old| old.event(&intent.serial, issued_at));
        let renewal = superseded.is_some();
        let audit = std::iter::once(event)
            .chain(superseded)
            .map(|event| self.recorder.draft(context.policy_hash, event))
            .collect();
        self.store
            .complete(Completion {
                serial: intent.serial,
                certificate,
                cert_rep: built.as_ref().ok().cloned(),
                issued_at,
                audit,
            })
            .await?;

        // 14: delivered.
        metrics::issued(profile.name().as_str(), renewal);
        metrics::request_ended(context, "issued");
        Ok(built?)
    }

    /// Finishes an intent that a crash or an outage left open: the very TBS, the same serial, by the key of its CA.
    pub(crate) async fn recover(
        &self,
        intent: OpenIntent,
        now: Timestamp,
    ) -> Result<Recovered, FinishError> {
        let Some(_at_work) = self.claim(&intent.serial) else {
            return Ok(Recovered::AtWork);
        };
        let ca_id = &intent.transaction.ca_id;
        let generation = self.generations.of(ca_id).ok_or(FinishError::ForeignCa)?;
        match sign(generation, &intent.tbs, &intent.tbs_digest, RECOVERY).await {
            Ok(certificate) => {
                self.close_issued(generation, intent, certificate, now)
                    .await
            }
            Err(error) if error.is_permanent() || intent.expires_at <= now => {
                self.close_abandoned(generation, intent, &error, now).await
            }
            Err(error) => Err(error),
        }
    }

    async fn close_issued(
        &self,
        generation: &Generation,
        intent: OpenIntent,
        certificate: Vec<u8>,
        now: Timestamp,
    ) -> Result<Recovered, FinishError> {
        let (profile, renewal) = (intent.profile.clone(), intent.renewal_of.is_some());
        let superseded = intent.renewal_of.clone().map(|serial| {
            let revoke_after = intent.revoke_after;
            Superseded {
                serial,
                revoke_after,
            }
            .event(&intent.serial, now)
        });
        let event = Event::RequestIssued {
            issuance: issuance(generation, &intent),
            request: intent.request,
            certificate_sha256: Hash::of(&certificate),
            recovered: true,
        };
        let audit = std::iter::once(event)
            .chain(superseded)
            .map(|event| self.recorder.draft(Some(intent.policy_hash), event))
            .collect();
        self.store
            .complete(Completion {
                serial: intent.serial,
                certificate,
                cert_rep: None,
                issued_at: now,
                audit,
            })
            .await?;
        metrics::issued(&profile, renewal);
        Ok(Recovered::Issued)
    }

    async fn close_abandoned(
        &self,
        generation: &Generation,
        intent: OpenIntent,
        error: &FinishError,
        now: Timestamp,
    ) -> Result<Recovered, FinishError> {
        // What the journal does not have was never signed, and no CRL may list it.
        let is_journalled = generation.token.is_journalled(&intent.serial).await?;
        let event = Event::IntentAbandoned {
            issuance: issuance(generation, &intent),
            request: intent.request,
            detail: assay_runtime::telemetry::chain(error).into(),
        };
        let draft = self.recorder.draft(Some(intent.policy_hash), event);
        self.store
            .fail_intent(intent.serial, now, is_journalled, vec![draft])
            .await?;
        Ok(Recovered::Abandoned)
    }

    /// The right to work on this serial, unless another task has it.
    pub(super) fn claim(&self, serial: &Serial) -> Option<AtWork> {
        let mut all = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(serial.clone()).then(|| AtWork {
            serial: serial.clone(),
            all: Arc::clone(&self.at_work),
        })
    }
}

/// Steps 11 and 12 on the stored bytes.
async fn sign(
    generation: &Generation,
    tbs: &[u8],
    digest: &Hash,
    request_id: &str,
) -> Result<Vec<u8>, FinishError> {
    if Hash::of(tbs) != *digest {
        return Err(FinishError::Digest);
    }
    let signature = generation.token.sign_certificate(request_id, tbs).await?;
    Ok(generation.ca.assemble(tbs, &signature)?)
}

pub(crate) fn issuance(generation: &Generation, intent: &OpenIntent) -> Issuance {
    Issuance {
        serial: intent.serial.to_string().into(),
        tbs_digest: intent.tbs_digest,
        key_id: generation.ca.key_id.as_str().into(),
        token_serial: generation.token.token_serial().into(),
    }
}

impl FinishError {
    /// Trying again cannot help.
    fn is_permanent(&self) -> bool {
        match self {
            Self::Digest => true,
            Self::ForeignCa => false,
            Self::Sign(error) => error.is_permanent(),
            Self::Assemble(_) | Self::Store(_) | Self::Reply(_) => false,
        }
    }
}

/// One task has this serial; given back when dropped. Two signatures over one TBS would be two certificates of one serial.
pub(crate) struct AtWork {
    serial: Serial,
    all: Arc<Mutex<HashSet<Serial>>>,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.serial);
    }
}
