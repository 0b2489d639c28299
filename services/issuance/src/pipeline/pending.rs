//! Requests that wait for an operator: queued, polled for, and issued once they are approved.

use assay_audit::{Event, RequestClass};
use assay_policy::{Approval, Profile};
use assay_scep::{Outcome, Request};
use assay_store::{Consume, PendingRow, PendingState, PendingWrite, Polled, TransactionKey};
use assay_types::Hash;

use super::enrol::Enrolment;
use super::issue::Candidate;
use super::opened::Opened;
use super::reply_recipient::{self, ReplyRecipient};
use super::retained_evidence::RetainedEvidence;
use super::rule::{SignerRule, settle};
use super::{End, RequestContext, Standing, reply, source};
use crate::metrics;

/// Random bytes of a waiting request's id.
const ID_BYTES: usize = 8;

impl Enrolment {
    /// Queues what the policy would permit now; the CertRep is PENDING.
    pub(super) async fn queue(
        &self,
        profile: &Profile,
        approval: &Approval,
        recipient: ReplyRecipient<'_>,
        opened: &Opened,
        candidate: Candidate,
        context: &RequestContext,
    ) -> Result<Vec<u8>, End> {
        let permit = candidate.decide(profile)?;
        let mut id = [0; ID_BYTES];
        self.random.fill(&mut id)?;
        let id = hex::encode(id);
        let cert_rep = self.pending(profile, recipient, context).await?;
        let now = self.recorder.timestamp();
        let expires_at = now + approval.expires;
        let evidence = candidate.kept.pending(&candidate.facts, &id, expires_at)?;
        let event = Event::RequestPending {
            request: context.request(),
            pending_id: id.as_str().into(),
            evidence: None,
        };
        let outcome = self
            .store
            .queue(PendingWrite {
                id: id.clone(),
                transaction: transaction(opened.signer.spki_sha256(), context),
                request_digest: context.request_digest,
                csr_digest: opened.csr_sha256,
                csr: opened.csr.without_challenge(),
                signer_certificate: opened.signer.der().to_vec(),
                message_hash: candidate.facts.message_digest.as_str().to_owned(),
                csr_hash: candidate.facts.csr_digest.as_str().to_owned(),
                profile: profile.name().to_string(),
                subject: permit.subject().to_string(),
                sans: permit.sans().iter().map(ToString::to_string).collect(),
                key_info: candidate.facts.key.algorithm().describe(),
                evidence: source::keep_names(candidate.facts.grant.as_ref()),
                reserve: source::reserve(candidate.consume)?,
                renewal: source::renewal_terms(profile),
                request: context.request(),
                cert_rep: Some(cert_rep.clone()),
                created_at: now,
                expires_at,
                retransmit_since: self.retransmit_since(),
                audit: vec![
                    self.recorder
                        .draft(context.policy_hash, event)
                        .with_evidence(evidence),
                ],
            })
            .await?;
        if let Some(serial) = settle(outcome)? {
            return self
                .issued_before(profile, recipient, serial, context)
                .await;
        }
        tracing::info!(
            request_id = context.request_id,
            profile = context.profile,
            id,
            "request waits for approval"
        );
        metrics::request_ended(context, "pending");
        Ok(cert_rep)
    }

    /// CertPoll (RFC 8894 section 3.3.3): by transactionID and the key that signed the first request. The names in its
    /// envelope are signed by nobody and differ between clients, so they decide nothing and are not decrypted.
    pub(super) async fn poll(
        &self,
        profile: &Profile,
        request: &Request,
        context: &mut RequestContext,
    ) -> Result<Vec<u8>, End> {
        let signer = request.signer()?;
        reply_recipient::check_query(signer)?;
        let recipient = ReplyRecipient::by_key(request);
        let mut key = transaction(signer.spki_sha256(), context);
        let mut polled = self.store.find_polled(key.clone()).await?;
        // A device that learns of a rollover while it waits polls by the RA that it knows by then.
        for generation in self.generations.all() {
            if polled.is_none() && generation.ca.id != context.generation.ca.id {
                key.ca_id.clone_from(&generation.ca.id);
                polled = self.store.find_polled(key.clone()).await?;
            }
        }
        let polled = polled.ok_or_else(|| {
            SignerRule::UnknownRequest.refusal("another transactionID or another key")
        })?;
        match polled {
            Polled::Queued(row) => {
                context.standing = Standing::of_waiting(&row.id);
                self.progress(profile, recipient, *row, context).await
            }
            Polled::Permitted(bound) => {
                self.issued_before(profile, recipient, bound.serial, context)
                    .await
            }
        }
    }

    /// What has become of a waiting request. An approved one is issued to whoever asks next: its device.
    pub(super) async fn progress(
        &self,
        profile: &Profile,
        recipient: ReplyRecipient<'_>,
        row: PendingRow,
        context: &RequestContext,
    ) -> Result<Vec<u8>, End> {
        if row.profile != profile.name().as_str() {
            return Err(SignerRule::OtherProfile.refusal(""));
        }
        match (row.state, &row.serial) {
            (PendingState::Waiting, _) => {
                self.still_pending(profile, recipient, &row, context).await
            }
            // The policy came to want more operators since: it waits for them.
            (PendingState::Approved, _) if !has_approvals(profile, &row) => {
                self.still_pending(profile, recipient, &row, context).await
            }
            (PendingState::Approved, _) => {
                let candidate = self.approved(profile, row).await?;
                self.issue(profile, recipient, candidate, context).await
            }
            (PendingState::Issued, Some(serial)) => {
                self.issued_before(profile, recipient, serial.clone(), context)
                    .await
            }
            (PendingState::Issued, None) => Err(End::deferred("the queue lost a serial")),
            (PendingState::Denied, _) => Err(SignerRule::Approved.refusal("denied")),
            (PendingState::Expired, _) => Err(SignerRule::Approved.refusal("expired")),
        }
    }

    async fn still_pending(
        &self,
        profile: &Profile,
        recipient: ReplyRecipient<'_>,
        row: &PendingRow,
        context: &RequestContext,
    ) -> Result<Vec<u8>, End> {
        let cert_rep = self.pending(profile, recipient, context).await?;
        let event = Event::RequestPolled {
            request: context.request(),
            pending_id: row.id.as_str().into(),
        };
        let class = RequestClass::Polled;
        self.end_records.end(class, event, None, context).await?;
        metrics::request_ended(context, "pending");
        Ok(cert_rep)
    }

    async fn pending(
        &self,
        profile: &Profile,
        recipient: ReplyRecipient<'_>,
        context: &RequestContext,
    ) -> Result<Vec<u8>, End> {
        reply::of(
            profile,
            recipient,
            &Outcome::Pending,
            context,
            self.recorder.now(),
        )
        .await
    }

    /// The candidate of an approved request: its CSR read again, its grant as it is today.
    async fn approved(&self, profile: &Profile, row: PendingRow) -> Result<Candidate, End> {
        let facts = self.waiting.facts(profile, &row).await?;
        let csr = self.waiting.csr(&row)?;
        Ok(Candidate {
            facts,
            kept: RetainedEvidence::of_approved(&row, &csr, self.keep_evidence, &*self.random)?,
            signer_spki_sha256: row.transaction.signer_spki_sha256,
            csr_sha256: row.csr_digest,
            consume: Consume::Approved { id: row.id },
        })
    }
}

/// Whether as many operators approved as the profile wants now.
fn has_approvals(profile: &Profile, row: &PendingRow) -> bool {
    let wanted = profile.approval().map_or(1, Approval::operators);
    row.approvals.len() >= wanted as usize
}

fn transaction(signer_spki_sha256: Hash, context: &RequestContext) -> TransactionKey {
    TransactionKey {
        ca_id: context.generation.ca.id.clone(),
        signer_spki_sha256,
        transaction_id: context.transaction_id.clone().unwrap_or_default(),
    }
}
