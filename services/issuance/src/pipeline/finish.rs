//! Steps 11 to 14, for a request at work and for what a crash left: compare, sign, verify, make durable, deliver.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use assay_audit::{Event, Issuance, Request};
use assay_hsm::OperationError;
use assay_policy::Profile;
use assay_scep::{Outcome, ReplyError};
use assay_store::{Completed, Completion, OpenIntent, Store, StoreError};
use assay_types::{Hash, Serial, Timestamp};

use super::RequestContext;
use super::attempts::{Attempts, Signed};
use super::intent::Intent;
use super::lint::Linted;
use super::opened_record::{self, OpenedRecordError};
use super::reply::{self, SignError};
use super::reply_recipient::ReplyRecipient;
use super::source::Superseded;
use crate::app::Parts;
use crate::generation::Generation;
use crate::issuing_ca::AssembleError;
use crate::metrics;
use crate::policies::Policies;
use crate::recorder::Recorder;
use crate::rollover::Generations;

/// An intent that comes to nothing.
struct Ended {
    serial: Serial,
    issuance: Issuance,
    request: Request,
    not_after: Timestamp,
    policy_hash: Option<Hash>,
}

/// The request id of recovery's token operations.
const RECOVERY: &str = "recovery";

/// The only holder of the CA's signing operation.
pub(crate) struct Finish {
    store: Store,
    generations: Arc<Generations>,
    recorder: Arc<Recorder>,
    policies: Arc<Policies>,
    attempts: Attempts,
    at_work: Arc<Mutex<HashSet<Serial>>>,
}

/// Why an intent stays open, or had to be given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FinishError {
    #[error("the TBS differs from what was linted and recorded; nothing was signed")]
    Digest,
    #[error("the intent does not agree with its record")]
    Record(#[from] OpenedRecordError),
    #[error("the HSM service's signature does not verify, and is not asked for again")]
    Unfit,
    #[error("its CA is not in signer.toml any more: put it back to have it finished")]
    ForeignCa,
    #[error("the certificate was not signed")]
    Sign(#[from] OperationError),
    #[error("the certificate was signed and thrown away")]
    Assemble(#[from] AssembleError),
    #[error("the result is not durable")]
    Store(#[from] StoreError),
    #[error(
        "certificate {0}, which it renews, was revoked or held meanwhile; it was signed and is given up"
    )]
    OldRevoked(Serial),
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
    /// It failed a short time ago and is tried again later.
    Waits,
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
            policies: Arc::clone(&parts.policies),
            attempts: Attempts::default(),
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
        let serial = intent.serial.clone();
        let issued = self.sign_and_keep(intent, linted, profile, recipient, context);
        let issued = issued.await;
        match &issued {
            Ok(_) | Err(FinishError::Reply(_)) => self.attempts.closed(&serial),
            Err(_) => self.put_off(&serial),
        }
        issued
    }

    async fn sign_and_keep(
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
        let certificate = self
            .sign(
                &context.generation,
                &intent.serial,
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
        let issuance = intent.issuance;
        let old = intent.supersedes;
        let superseded = old.as_ref().map(|old| old.event(&intent.serial, issued_at));
        let renewal = superseded.is_some();
        let event = Event::RequestIssued {
            request: context.request(),
            issuance: issuance.clone(),
            certificate_sha256: Hash::of(&certificate),
            renewal_of: old.map(|old| old.serial.to_string().into()),
            recovered: false,
        };
        let audit = std::iter::once(event)
            .chain(superseded)
            .map(|event| self.recorder.draft(context.policy_hash, event))
            .collect();
        let completion = Completion {
            serial: intent.serial.clone(),
            certificate,
            cert_rep: built.as_ref().ok().cloned(),
            issued_at,
            audit,
        };
        if let Completed::OldRevoked { old } = self.store.complete(completion).await? {
            let error = FinishError::OldRevoked(old);
            let ended = Ended {
                serial: intent.serial,
                issuance,
                request: context.request(),
                not_after: intent.not_after,
                policy_hash: context.policy_hash,
            };
            let generation = &context.generation;
            self.give_up(generation, ended, &error).await?;
            return Err(error);
        }

        // 14: delivered.
        metrics::issued(profile.name().as_str(), renewal);
        metrics::request_ended(context, "issued");
        Ok(built?)
    }

    /// Finishes an intent that a crash or an outage left open: the very TBS, the same serial, by the key of its CA. After a
    /// failure it waits, longer each time.
    pub(crate) async fn recover(
        &self,
        intent: OpenIntent,
        now: Timestamp,
    ) -> Result<Recovered, FinishError> {
        let serial = intent.serial.clone();
        let Some(_at_work) = self.claim(&serial) else {
            return Ok(Recovered::AtWork);
        };
        let now_ms = self.recorder.budget_time().monotonic_ms;
        if !self.attempts.is_due(&serial, now_ms) {
            return Ok(Recovered::Waits);
        }
        let recovered = self.close(intent, now).await;
        match &recovered {
            Ok(_) => self.attempts.closed(&serial),
            Err(_) => self.put_off(&serial),
        }
        recovered
    }

    /// The token is there again: what it kept waiting is tried at once.
    pub(crate) fn try_again(&self) {
        self.attempts.all_due();
    }

    fn put_off(&self, serial: &Serial) {
        let now_ms = self.recorder.budget_time().monotonic_ms;
        self.attempts.failed(serial, now_ms);
    }

    async fn close(&self, intent: OpenIntent, now: Timestamp) -> Result<Recovered, FinishError> {
        let ca_id = &intent.transaction.ca_id;
        let generation = self.generations.of(ca_id).ok_or(FinishError::ForeignCa)?;
        match self.sign_again(generation, &intent).await {
            Ok(certificate) => {
                self.close_issued(generation, intent, certificate, now)
                    .await
            }
            Err(error) if error.is_permanent() || intent.expires_at <= now => {
                self.close_abandoned(generation, intent, &error).await
            }
            Err(error) => Err(error),
        }
    }

    async fn sign_again(
        &self,
        generation: &Generation,
        intent: &OpenIntent,
    ) -> Result<Vec<u8>, FinishError> {
        opened_record::check(&self.store, &self.policies, &generation.ca, intent).await?;
        let OpenIntent {
            serial,
            tbs,
            tbs_digest,
            ..
        } = intent;
        self.sign(generation, serial, tbs, tbs_digest, RECOVERY)
            .await
    }

    /// Steps 11 and 12 on the stored bytes. A signed certificate is kept until it is in the store, so that no signature is asked
    /// for twice in a run unless the answer was lost.
    async fn sign(
        &self,
        generation: &Generation,
        serial: &Serial,
        tbs: &[u8],
        digest: &Hash,
        request_id: &str,
    ) -> Result<Vec<u8>, FinishError> {
        if Hash::of(tbs) != *digest {
            return Err(FinishError::Digest);
        }
        match self.attempts.signed(serial) {
            Signed::Certificate(certificate) => return Ok(certificate),
            Signed::Unfit => return Err(FinishError::Unfit),
            Signed::Unknown => {}
        }
        let signature = generation.token.sign_certificate(request_id, tbs).await?;
        let assembled = generation.ca.assemble(tbs, &signature);
        let signed = assembled.as_ref().map_or(Signed::Unfit, |certificate| {
            Signed::Certificate(certificate.clone())
        });
        self.attempts.set_signed(serial, signed);
        Ok(assembled?)
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
            request: intent.request.clone(),
            certificate_sha256: Hash::of(&certificate),
            renewal_of: intent.renewal_of.as_ref().map(|old| old.to_string().into()),
            recovered: true,
        };
        let audit = std::iter::once(event)
            .chain(superseded)
            .map(|event| self.recorder.draft(Some(intent.policy_hash), event))
            .collect();
        let completion = Completion {
            serial: intent.serial.clone(),
            certificate,
            cert_rep: None,
            issued_at: now,
            audit,
        };
        if let Completed::OldRevoked { old } = self.store.complete(completion).await? {
            let error = FinishError::OldRevoked(old);
            return self.close_abandoned(generation, intent, &error).await;
        }
        metrics::issued(&profile, renewal);
        Ok(Recovered::Issued)
    }

    async fn close_abandoned(
        &self,
        generation: &Generation,
        intent: OpenIntent,
        error: &FinishError,
    ) -> Result<Recovered, FinishError> {
        let ended = Ended {
            issuance: issuance(generation, &intent),
            serial: intent.serial,
            request: intent.request,
            not_after: intent.not_after,
            policy_hash: Some(intent.policy_hash),
        };
        self.give_up(generation, ended, error).await?;
        Ok(Recovered::Abandoned)
    }

    /// Closes an intent without a certificate. If one was signed, the next CRL lists it.
    async fn give_up(
        &self,
        generation: &Generation,
        ended: Ended,
        error: &FinishError,
    ) -> Result<(), FinishError> {
        // A TBS that the journal does not have was never signed, and no CRL may list it.
        let is_journalled = generation.token.is_journalled(&ended.serial).await?;
        let event = Event::IntentAbandoned {
            issuance: ended.issuance,
            request: ended.request,
            listed_until: is_journalled.then_some(ended.not_after),
            detail: assay_runtime::telemetry::chain(error).into(),
        };
        let draft = self.recorder.draft(ended.policy_hash, event);
        self.store
            .fail_intent(
                ended.serial,
                draft.moment.wall_ms.seconds(),
                is_journalled,
                vec![draft],
            )
            .await?;
        if is_journalled {
            generation.revocation.want();
        }
        Ok(())
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
            Self::ForeignCa | Self::Unfit => false,
            Self::Record(error) => error.is_permanent(),
            Self::Sign(error) => error.is_permanent(),
            Self::Assemble(_) | Self::Store(_) | Self::OldRevoked(_) | Self::Reply(_) => false,
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
