//! GetCert and GetCRL (RFC 8894 sections 3.3.4 and 3.3.5): what this CA issued, for whoever holds a certificate of it.
//!
//! Nothing inside the envelope is signed by its own key, so who may ask is settled before anything is decrypted.

use std::sync::Arc;

use assay_audit::{Event, RequestClass};
use assay_policy::Profile;
use assay_scep::{Envelope, IssuerAndSerial, Outcome, Request};
use assay_store::{CertificateRow, CertificateState, Store};
use assay_types::{MAX_SCEP_CRL, Serial};

use super::opened::Opener;
use super::reply_recipient::{self, ReplyRecipient};
use super::requester::{is_in_force, issued_to};
use super::rule::SignerRule;
use super::{End, EndRecords, RequestContext, Standing, reply};
use crate::app::Parts;
use crate::generation::Generation;
use crate::metrics;
use crate::recorder::Recorder;
use crate::rollover::Generations;

/// What a holder of a certificate may ask.
pub(super) struct Query {
    generations: Arc<Generations>,
    store: Store,
    recorder: Arc<Recorder>,
    opener: Arc<Opener>,
    end_records: EndRecords,
}

impl Query {
    pub(super) fn new(parts: &Parts, opener: Arc<Opener>) -> Self {
        Self {
            generations: Arc::clone(&parts.generations),
            store: parts.store.clone(),
            recorder: Arc::clone(&parts.recorder),
            opener,
            end_records: EndRecords::new(parts),
        }
    }

    /// The certificate of the serial number asked for; badCertId where there is none.
    pub(super) async fn get_cert(
        &self,
        profile: &Profile,
        request: &Request,
        envelope: &Envelope,
        context: &mut RequestContext,
    ) -> Result<Vec<u8>, End> {
        let query = self.open_query(profile, request, envelope, context).await?;
        let (row, _) = self.asked_for(&query).await?;
        let certificate = match (row.state, row.der) {
            (CertificateState::Issued, Some(der)) => der,
            (
                CertificateState::Issued
                | CertificateState::Intent
                | CertificateState::Abandoned
                | CertificateState::Imported
                | CertificateState::Recovered,
                _,
            ) => {
                return Err(End::Unanswered);
            }
        };
        let event = Event::RequestQueried {
            request: context.request(),
            serial: Some(row.serial.to_string().into()),
            crl_number: None,
        };
        let outcome = Outcome::Success {
            certificates: vec![certificate],
        };
        self.answer_query(profile, request, &outcome, event, context)
            .await
    }

    /// The latest CRL of the CA that is asked for, alone.
    pub(super) async fn get_crl(
        &self,
        profile: &Profile,
        request: &Request,
        envelope: &Envelope,
        context: &mut RequestContext,
    ) -> Result<Vec<u8>, End> {
        let query = self.open_query(profile, request, envelope, context).await?;
        let (_, generation) = self.asked_for(&query).await?;
        let latest = generation
            .revocation
            .latest()
            .ok_or_else(|| End::deferred("the first CRL is not signed yet"))?;
        if latest.der.len() > MAX_SCEP_CRL {
            let detail = format!("CRL {} of {} bytes", latest.number, latest.der.len());
            return Err(SignerRule::LongCrl.refusal(&detail));
        }
        let event = Event::RequestQueried {
            request: context.request(),
            serial: None,
            crl_number: Some(latest.number),
        };
        let outcome = Outcome::Crl {
            crl: latest.der.clone(),
        };
        self.answer_query(profile, request, &outcome, event, context)
            .await
    }

    async fn open_query(
        &self,
        profile: &Profile,
        request: &Request,
        envelope: &Envelope,
        context: &mut RequestContext,
    ) -> Result<IssuerAndSerial, End> {
        reply_recipient::check_query(request.signer()?)?;
        let own = self.holder(request).await?;
        context.standing = Standing::of_certificate(&own);
        if own.profile != profile.name().as_str() {
            return Err(SignerRule::OtherProfile.refusal(&own.profile));
        }
        // From here to the serial number that is found there is one failure: a holder of a certificate could enclose
        // somebody else's ciphertext, and must not learn what is in it.
        let content = self.opener.unwrap(envelope, context).await?;
        content
            .ok()
            .and_then(|content| IssuerAndSerial::parse(&content))
            .ok_or(End::Unanswered)
    }

    /// The record of the very certificate that signed the message, in force.
    async fn holder(&self, request: &Request) -> Result<CertificateRow, End> {
        issued_to(&self.store, request.signer()?)
            .await?
            .filter(|row| is_in_force(row, self.recorder.timestamp()))
            .ok_or_else(|| {
                SignerRule::UnknownCertificate.refusal("a signer that holds none in force")
            })
    }

    /// The record that a query names, and the CA that it is of.
    async fn asked_for(
        &self,
        query: &IssuerAndSerial,
    ) -> Result<(CertificateRow, &Generation), End> {
        let serial = Serial::try_from(query.serial.as_slice()).map_err(|_| End::Unanswered)?;
        let row = self.store.find_certificate(serial).await?;
        let row = row.ok_or(End::Unanswered)?;
        let issuer = self.generations.issuer_of(&row, &query.issuer_der);
        let issuer = issuer.ok_or(End::Unanswered)?;
        Ok((row, issuer))
    }

    async fn answer_query(
        &self,
        profile: &Profile,
        request: &Request,
        outcome: &Outcome,
        event: Event,
        context: &RequestContext,
    ) -> Result<Vec<u8>, End> {
        let (recipient, now) = (ReplyRecipient::by_key(request), self.recorder.now());
        let cert_rep = reply::of(profile, recipient, outcome, context, now).await?;
        let class = RequestClass::Queried;
        self.end_records.end(class, event, None, context).await?;
        metrics::request_ended(context, "queried");
        Ok(cert_rep)
    }
}
