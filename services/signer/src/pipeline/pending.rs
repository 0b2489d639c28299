//! Requests that wait for an operator: queued, polled for, and issued once they are approved.

use assay_audit::Event;
use assay_policy::{Approval, Authority, Facts, Profile};
use assay_scep::{Csr, Outcome, Request};
use assay_store::{
    Consume, PendingRow, PendingState, PendingWrite, Polled, Reserve, TransactionKey,
};

use super::asker::{self, Asker};
use super::issue::Candidate;
use super::kept::Kept;
use super::opened::Opened;
use super::rule::{SignerRule, settle};
use super::{End, Pipeline, Trail, facts, source};
use crate::metrics;

/// Random bytes of a waiting request's id.
const ID_BYTES: usize = 8;

impl Pipeline {
    /// Queues what the policy would permit now; the CertRep is PENDING.
    pub(super) async fn queue(
        &self,
        profile: &Profile,
        approval: &Approval,
        asker: Asker<'_>,
        opened: &Opened,
        candidate: Candidate,
        trail: &Trail,
    ) -> Result<Vec<u8>, End> {
        let permit = candidate.decide(profile)?;
        let mut id = [0; ID_BYTES];
        openssl::rand::rand_bytes(&mut id)?;
        let id = hex::encode(id);
        let cert_rep = self.reply(profile, asker, &Outcome::Pending, trail).await?;
        let now = self.recorder.clock.now_seconds();
        let lifetime = i64::try_from(approval.expires.as_secs()).unwrap_or(i64::MAX);
        let expires_at = now.saturating_add(lifetime);
        let evidence = candidate.kept.pending(&candidate.facts, &id, expires_at)?;
        let event = Event::RequestPending {
            request: trail.request(),
            pending_id: id.as_str().into(),
            evidence: None,
        };
        let outcome = self
            .store
            .queue(PendingWrite {
                id: id.clone(),
                transaction: transaction(opened.signer.spki_sha256(), trail),
                request_digest: trail.request_digest,
                csr_digest: opened.csr_sha256,
                csr: opened.csr.without_challenge(),
                signer_certificate: opened.signer.der().to_vec(),
                message_hash: candidate.facts.message_digest.as_str().to_owned(),
                csr_hash: candidate.facts.csr_digest.as_str().to_owned(),
                profile: profile.name().to_string(),
                subject: permit.subject().to_string(),
                sans: permit.sans().iter().map(ToString::to_string).collect(),
                key_info: candidate.facts.key.algorithm().describe(),
                evidence: claims(&candidate.facts.authority),
                reserve: reserve(candidate.consume)?,
                request: trail.request(),
                cert_rep: Some(cert_rep.clone()),
                created_at: now,
                expires_at,
                retransmit_since: self.retransmit_since(),
                audit: vec![
                    self.recorder
                        .draft(trail.policy_hash, event)
                        .with_evidence(evidence),
                ],
            })
            .await?;
        if let Some(serial) = settle(outcome)? {
            return self.issued_before(profile, asker, serial, trail).await;
        }
        tracing::info!(
            request_id = trail.request_id,
            profile = trail.profile,
            id,
            "request waits for approval"
        );
        metrics::request_ended(trail, "pending");
        Ok(cert_rep)
    }

    /// CertPoll (RFC 8894 section 3.3.3): by transactionID and the key that signed the first request. The names in its
    /// envelope are signed by nobody and differ between clients, so they decide nothing and are not decrypted.
    pub(super) async fn poll(
        &self,
        profile: &Profile,
        request: &Request,
        trail: &Trail,
    ) -> Result<Vec<u8>, End> {
        let signer = request.signer()?;
        asker::check_query(signer)?;
        let asker = Asker::by_key(request);
        let mut key = transaction(signer.spki_sha256(), trail);
        let mut polled = self.store.find_polled(key.clone()).await?;
        // A device that learns of a rollover while it waits polls by the RA that it knows by then.
        for generation in self.generations.all() {
            if polled.is_none() && generation.ca.id != trail.generation.ca.id {
                key.ca_id.clone_from(&generation.ca.id);
                polled = self.store.find_polled(key.clone()).await?;
            }
        }
        let polled = polled.ok_or_else(|| {
            SignerRule::UnknownRequest.refusal("another transactionID or another key")
        })?;
        match polled {
            Polled::Queued(row) => self.progress(profile, asker, *row, trail).await,
            Polled::Permitted(bound) => {
                self.issued_before(profile, asker, bound.serial, trail)
                    .await
            }
        }
    }

    /// What has become of a waiting request. An approved one is issued to whoever asks next: its device.
    pub(super) async fn progress(
        &self,
        profile: &Profile,
        asker: Asker<'_>,
        row: PendingRow,
        trail: &Trail,
    ) -> Result<Vec<u8>, End> {
        if row.profile != profile.name().as_str() {
            return Err(SignerRule::OtherProfile.refusal(""));
        }
        match (row.state, &row.serial) {
            (PendingState::Waiting, _) => self.still_pending(profile, asker, &row, trail).await,
            (PendingState::Approved, _) => {
                let candidate = self.approved(profile, row).await?;
                self.issue(profile, asker, candidate, trail).await
            }
            (PendingState::Issued, Some(serial)) => {
                self.issued_before(profile, asker, serial.clone(), trail)
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
        asker: Asker<'_>,
        row: &PendingRow,
        trail: &Trail,
    ) -> Result<Vec<u8>, End> {
        let cert_rep = self.reply(profile, asker, &Outcome::Pending, trail).await?;
        let event = Event::RequestPolled {
            request: trail.request(),
            pending_id: row.id.as_str().into(),
        };
        self.record(trail.policy_hash, event).await?;
        metrics::request_ended(trail, "pending");
        Ok(cert_rep)
    }

    /// The candidate of an approved request: its CSR read again, its authority as it is today.
    async fn approved(&self, profile: &Profile, row: PendingRow) -> Result<Candidate, End> {
        let facts = self.pending_facts(profile, &row).await?;
        let csr = self.pending_csr(&row)?;
        Ok(Candidate {
            facts,
            kept: Kept::of_approved(&row, &csr, self.audit.keep_evidence),
            signer_spki_sha256: row.transaction.signer_spki_sha256,
            csr_sha256: row.csr_digest,
            consume: Consume::Approved { id: row.id },
        })
    }

    /// What policy would look at if the request were decided now.
    pub(crate) async fn pending_facts(
        &self,
        profile: &Profile,
        row: &PendingRow,
    ) -> Result<Facts, End> {
        let csr = self.pending_csr(row)?;
        let mut facts = assay_decision::facts(
            &csr,
            profile.name().as_str(),
            self.recorder.clock.now(),
            facts::named_hash(&row.message_hash)?,
            Authority::None,
        );
        facts.authority = self.reserved_authority(profile, &facts, row).await?;
        Ok(facts)
    }

    pub(crate) fn pending_csr(&self, row: &PendingRow) -> Result<Csr, End> {
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

fn transaction(signer_spki_sha256: [u8; 32], trail: &Trail) -> TransactionKey {
    TransactionKey {
        ca_id: trail.generation.ca.id.clone(),
        signer_spki_sha256,
        transaction_id: trail.transaction_id.clone().unwrap_or_default(),
    }
}

/// What a reserved one-time challenge is bound to.
#[derive(serde::Serialize, serde::Deserialize, Default)]
struct Claims {
    subject: String,
    sans: Vec<String>,
}

fn claims(authority: &Authority) -> String {
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

fn reserve(consume: Consume) -> Result<Reserve, End> {
    match consume {
        Consume::OneTime { id } => Ok(Reserve::OneTime { id }),
        Consume::Static { id, name } => Ok(Reserve::Static { id, name }),
        // Nobody who brings a challenge to a renewal is queued.
        Consume::Renewal {
            old,
            revoke_after,
            challenge: None,
        } => Ok(Reserve::Renewal { old, revoke_after }),
        Consume::Renewal {
            challenge: Some(_), ..
        } => Err(End::deferred(
            "what is enveloped under a challenge does not wait",
        )),
        Consume::Approved { .. } => Err(End::deferred("what was approved waits no more")),
    }
}
