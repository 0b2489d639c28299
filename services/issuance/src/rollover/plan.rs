//! The rehearsal: what happens when, who answers at a given moment, and what would go wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay_policy::Profile;
use assay_store::{Census, RolloverRow, Store, StoreError};
use assay_types::Hash;
use der::Decode;
use x509_cert::Certificate;

use super::{Generations, Next, Stage};
use crate::generation::Generation;
use crate::policies::InForce;

/// Devices that look once a day have no chance to learn in less.
const SHORT_NOTICE: Duration = Duration::from_secs(86_400);

/// The rollover as it is planned, from one moment.
pub struct RolloverPlan {
    /// None, or how far it is at that moment.
    pub stage: Option<Stage>,
    /// The CAs, the first of them first.
    pub issuers: Vec<PlannedCa>,
    /// In the order of time.
    pub steps: Vec<PlannedStep>,
    /// What would go wrong, a line each.
    pub warnings: Vec<String>,
}

/// One of the two CAs.
pub struct PlannedCa {
    /// Its name.
    pub subject: String,
    /// Of its DER certificate.
    pub ca_sha256: Hash,
    /// Of its RA's DER certificates.
    pub ra_sha256: Vec<Hash>,
    /// Its certificate's begin.
    pub not_before: SystemTime,
    /// Its certificate's end.
    pub not_after: SystemTime,
    /// Earliest end of its RA's certificates.
    pub ra_not_after: SystemTime,
    /// GetCACert names it.
    pub named: bool,
    /// Requests to its RA are answered.
    pub answers: bool,
    /// Its certificates that are in force now.
    pub census: Census,
}

/// Something that happens.
pub struct PlannedStep {
    /// `None` where it waits for people.
    pub at: Option<SystemTime>,
    /// In words.
    pub what: String,
}

impl Generations {
    /// What happens, and how it is `at` a moment, under the policy in force.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn plan(
        &self,
        store: &Store,
        policy: &InForce,
        now: SystemTime,
        at: SystemTime,
    ) -> Result<RolloverPlan, StoreError> {
        let approved = policy.approves_next_ca();
        let stage = self.stage(approved, at);
        let mut issuers = Vec::new();
        for generation in self.all() {
            let ca_id = generation.ca.id.clone();
            let census = store.census(ca_id, now.into()).await?;
            issuers.push(self.part(generation, stage, census));
        }
        let Some(next) = &self.next else {
            return Ok(RolloverPlan {
                stage: None,
                issuers,
                steps: Vec::new(),
                warnings: Vec::new(),
            });
        };
        let kept = store.find_rollover(next.ca().id.clone()).await?;
        let mut steps = steps(&issuers, next, kept, approved);
        steps.sort_by_key(|step| step.at.unwrap_or(now));
        Ok(RolloverPlan {
            stage: Some(stage),
            warnings: self.warnings(&issuers, next, kept, policy, now),
            issuers,
            steps,
        })
    }

    fn part(&self, generation: &Generation, stage: Stage, census: Census) -> PlannedCa {
        let ca = &generation.ca;
        let ra = ca.all_ra();
        let is = |other: &Generation| other.ca.id == ca.id;
        PlannedCa {
            subject: subject(&ca.certificate),
            ca_sha256: Hash::of(&ca.certificate),
            ra_sha256: ra.iter().map(|der| Hash::of(der)).collect(),
            not_before: ca.issuer.not_before,
            not_after: ca.issuer.not_after,
            ra_not_after: ra
                .iter()
                .filter_map(|der| end(der))
                .min()
                .unwrap_or(ca.issuer.not_after),
            named: is(self.current(stage)),
            answers: self.answering(stage).any(|answering| is(answering)),
            census,
        }
    }

    fn warnings(
        &self,
        parts: &[PlannedCa],
        next: &Next,
        kept: Option<RolloverRow>,
        policy: &InForce,
        now: SystemTime,
    ) -> Vec<String> {
        let text = humantime::format_rfc3339_seconds;
        let (approved, switch_at) = (policy.approves_next_ca(), next.switch_at);
        let mut warnings = Vec::new();
        if !approved {
            warnings.push(
                "no version in force approves the next CA: nobody hears of it, and it takes nothing over; \
                 `assay policy propose`, `approve` and `activate` one"
                    .to_owned(),
            );
        }
        let told = kept.map_or(now, |kept| kept.announced_at.into());
        let notice = switch_at.duration_since(told).unwrap_or_default();
        if notice < SHORT_NOTICE {
            warnings.push(format!(
                "devices have {} from the announcement to the switch to ask for the next certificates",
                humantime::format_duration(Duration::from_secs(notice.as_secs()))
            ));
        }
        let expires = policy.expires().map(SystemTime::from);
        if let Some(expires) = expires.filter(|expires| *expires < switch_at) {
            warnings.push(format!(
                "version {} of the policy expires {}, before the switch: nothing is issued from then on until a new one is \
                 activated",
                policy.number(),
                text(expires)
            ));
        }
        if let [first, _] = parts
            && first.ra_not_after < next.answered_until()
        {
            warnings.push(format!(
                "the old RA's certificate ends {}, before its requests stop to be answered at {}",
                text(first.ra_not_after),
                text(next.answered_until())
            ));
        }
        for profile in policy.profiles() {
            warnings.extend(self.of_profile(profile, next, now));
        }
        warnings
    }

    /// Certificates that are shorter than their profile says, as they end with the old CA.
    fn of_profile(&self, profile: &Profile, next: &Next, now: SystemTime) -> Vec<String> {
        let mut warnings = self.unserved(profile, now);
        let issuer = &self.first.ca.issuer;
        let last = next.switch_at.checked_sub(Duration::from_secs(1));
        let (_, not_after) = profile.validity(last.unwrap_or(now).max(now), issuer);
        if now < next.switch_at && not_after == issuer.not_after {
            warnings.push(format!(
                "profile `{}`: what is issued shortly before the switch ends with the old CA, {}, and is shorter than the \
                 profile says; an earlier switch avoids that",
                profile.name(),
                humantime::format_rfc3339_seconds(issuer.not_after)
            ));
        }
        warnings
    }
}

fn steps(
    parts: &[PlannedCa],
    next: &Next,
    kept: Option<RolloverRow>,
    approved: bool,
) -> Vec<PlannedStep> {
    let step = |at: SystemTime, what: String| PlannedStep { at: Some(at), what };
    let announced = kept.map(|kept| kept.announced_at.into());
    let mut steps = vec![PlannedStep {
        at: announced.filter(|_| approved),
        what: "devices are told: GetNextCACert, signed by the present RA, and its capability; requests to the next RA are \
               answered under the next CA"
            .to_owned(),
    }];
    let [first, taking_over] = parts else {
        return steps;
    };
    let named: Vec<String> = taking_over.ra_sha256.iter().map(short).collect();
    steps.push(step(
        next.switch_at,
        format!(
            "the switch: GetCACert names the RA {} and the CA {}; GetNextCACert is HTTP 404; requests to the old RA are still \
             answered under the old CA",
            named.join(", "),
            short(&taking_over.ca_sha256)
        ),
    ));
    steps.push(step(
        next.answered_until(),
        "the end of the overlap: requests to the old RA are refused; the old CA signs CRLs and OCSP responses alone".to_owned(),
    ));
    if let Some(last) = first.census.last_not_after {
        steps.push(step(
            last.into(),
            format!(
                "the last of {} certificates that the old CA has issued by now ends",
                first.census.in_force
            ),
        ));
    }
    steps.push(step(
        first.not_after,
        "the old CA ends: finish the rollover (`assay-ceremony next finish`)".to_owned(),
    ));
    steps
}

fn short(hash: &Hash) -> String {
    hash.to_string().chars().take(16).collect()
}

fn subject(der: &[u8]) -> String {
    Certificate::from_der(der)
        .map(|certificate| certificate.tbs_certificate().subject().to_string())
        .unwrap_or_default()
}

fn end(der: &[u8]) -> Option<SystemTime> {
    let certificate = Certificate::from_der(der).ok()?;
    let not_after = certificate.tbs_certificate().validity().not_after;
    Some(UNIX_EPOCH + not_after.to_unix_duration())
}
