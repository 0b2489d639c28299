//! Requests that came before: the stored CertRep for the same bytes, the same certificate for an equal CSR.

use std::sync::Arc;

use assay_audit::{Answer, Event, RequestClass};
use assay_policy::{Profile, Quirk};
use assay_scep::Outcome;
use assay_store::{CertificateRow, CertificateState, PendingState, Reply};
use assay_types::Serial;

use super::enrol::Enrolment;
use super::reply_recipient::ReplyRecipient;
use super::rule::SignerRule;
use super::{End, RequestContext, reply};
use crate::issuing_ca::IssuingCa;
use crate::metrics;

impl Enrolment {
    /// The stored CertRep of a byte-identical message; no key is used. It is enveloped to the device, so that nobody
    /// else gains by it.
    pub(super) async fn identical_request(
        &self,
        profile: &Profile,
        context: &RequestContext,
    ) -> Result<Option<Vec<u8>>, End> {
        let Some(stored) = self.store.find_reply(context.request_digest).await? else {
            return self.identical_waiting(profile, context).await;
        };
        let issued = self.store.find_certificate(stored.serial.clone()).await?;
        let Some(issued) = issued.filter(|issued| issued.profile == profile.name().as_str()) else {
            return Err(other_profile());
        };
        if issued.revoked_at.is_some() {
            return Ok(None);
        }
        let event = replayed(context, Answer::StoredReply, &stored);
        let class = RequestClass::Replayed;
        self.end_records.end(class, event, None, context).await?;
        metrics::request_ended(context, "replayed");
        Ok(Some(stored.cert_rep))
    }

    /// The stored PENDING of a byte-identical message whose request still waits. Once it is decided there is news, and
    /// the message is opened again.
    async fn identical_waiting(
        &self,
        profile: &Profile,
        context: &RequestContext,
    ) -> Result<Option<Vec<u8>>, End> {
        let now = self.recorder.timestamp();
        let waiting = self
            .store
            .find_pending_by_request(context.request_digest)
            .await?
            .filter(|row| row.state == PendingState::Waiting && row.expires_at > now);
        let Some(row) = waiting else {
            return Ok(None);
        };
        if row.profile != profile.name().as_str() {
            return Err(other_profile());
        }
        let Some(cert_rep) = row.cert_rep else {
            return Ok(None);
        };
        let event = Event::RequestPolled {
            request: context.request(),
            pending_id: row.id.into(),
        };
        let class = RequestClass::Polled;
        self.end_records.end(class, event, None, context).await?;
        metrics::request_ended(context, "pending");
        Ok(Some(cert_rep))
    }

    /// The same certificate in a fresh CertRep, for a device that lost the first one and asks anew.
    pub(super) async fn equal_csr(
        &self,
        profile: &Profile,
        recipient: ReplyRecipient<'_>,
        earlier: CertificateRow,
        context: &RequestContext,
    ) -> Result<Vec<u8>, End> {
        if earlier.profile != profile.name().as_str() {
            return Err(other_profile());
        }
        // A poll may come by the RA of another CA than the one that issued.
        let issuer = self.generations.of(&earlier.ca_id);
        let issuer = Arc::clone(issuer.unwrap_or(&context.generation));
        let certificate = match (earlier.state, earlier.der) {
            (CertificateState::Issued, Some(certificate)) => certificate,
            (
                CertificateState::Issued
                | CertificateState::Intent
                | CertificateState::Abandoned
                | CertificateState::Imported
                | CertificateState::Recovered,
                _,
            ) => {
                return Err(End::deferred(
                    "the certificate of an earlier equal request is being finished",
                ));
            }
        };
        let mut context = context.clone();
        let cert_rep = self
            .success(profile, recipient, certificate, &issuer.ca, &mut context)
            .await?;
        // Who asks again and again in new messages gets the certificate, and no reply of theirs is kept.
        let class = RequestClass::Replayed;
        if self.end_records.is_single(class, &context) {
            let stored = Reply {
                serial: earlier.serial,
                cert_rep: cert_rep.clone(),
            };
            let event = replayed(&context, Answer::SameCertificate, &stored);
            let draft = self.recorder.draft(context.policy_hash, event);
            let now = self.recorder.timestamp();
            self.store
                .store_reply(context.request_digest, stored, now, vec![draft])
                .await?;
        }
        metrics::request_ended(&context, "replayed");
        Ok(cert_rep)
    }

    /// As [`Enrolment::equal_csr`], by serial.
    pub(super) async fn issued_before(
        &self,
        profile: &Profile,
        recipient: ReplyRecipient<'_>,
        serial: Serial,
        context: &RequestContext,
    ) -> Result<Vec<u8>, End> {
        let row = self.store.find_certificate(serial).await?;
        let row = row.ok_or_else(|| End::deferred("the index lost a certificate"))?;
        self.equal_csr(profile, recipient, row, context).await
    }

    async fn success(
        &self,
        profile: &Profile,
        recipient: ReplyRecipient<'_>,
        certificate: Vec<u8>,
        issuer: &IssuingCa,
        context: &mut RequestContext,
    ) -> Result<Vec<u8>, End> {
        let chain = profile.quirks_at(self.recorder.now()).chain_in_reply;
        context.needs(chain.then_some(Quirk::ChainInReply));
        let outcome = Outcome::Success {
            certificates: issuer.with_chain(certificate, chain),
        };
        let now = self.recorder.now();
        reply::of(profile, recipient, &outcome, context, now).await
    }
}

fn replayed(context: &RequestContext, answer: Answer, stored: &Reply) -> Event {
    Event::RequestReplayed {
        request: context.request(),
        answer,
        serial: stored.serial.to_string().into(),
    }
}

fn other_profile() -> End {
    SignerRule::OtherProfile.refusal("")
}
