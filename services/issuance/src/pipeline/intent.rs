//! Step 10: what was decided becomes durable, with everything that it uses up.

use assay_audit::{Event, Issuance};
use assay_policy::{Permit, Profile, Tbs};
use assay_store::{NewIntent, PermitWrite, QuotaCharge, TransactionKey};
use assay_types::{Hash, Serial, Timestamp};

use super::enrol::Enrolment;
use super::finish::AtWork;
use super::issue::Candidate;
use super::lint::Linted;
use super::rule::settle;
use super::source::{self, Superseded};
use super::{End, RequestContext};
use crate::generation::Generation;

/// Quotas are counted in windows of this many seconds.
const QUOTA_WINDOW: i64 = 3_600;

/// A certificate that may be signed: it is on disk, and a crash ends in it. Made by [`Enrolment::open_intent`] only.
pub(crate) struct Intent {
    pub(super) serial: Serial,
    pub(super) tbs: Vec<u8>,
    pub(super) tbs_digest: Hash,
    pub(super) issuance: Issuance,
    pub(super) supersedes: Option<Superseded>,
    pub(super) not_after: Timestamp,
    pub(super) _at_work: AtWork,
}

/// The intent stands, or an equal request was faster.
pub(super) enum Opening {
    Opened(Box<Intent>),
    AlreadyIssued(Serial),
}

/// What the store's index shows of the certificate.
pub(super) struct Names {
    pub(super) subject: String,
    pub(super) sans: Vec<String>,
}

impl Names {
    pub(super) fn of(permit: &Permit) -> Self {
        Self {
            subject: permit.subject().to_string(),
            sans: permit.sans().iter().map(ToString::to_string).collect(),
        }
    }
}

impl Enrolment {
    /// One transaction: transaction bound, authorisation used up, quotas charged, TBS stored, record written. A profile that
    /// the HSM service has no form for gets no intent, as nothing would be signed for it; nor does any while the state may
    /// be one that was put back, or the clock jumped.
    pub(super) async fn open_intent(
        &self,
        profile: &Profile,
        candidate: Candidate,
        names: Names,
        tbs: Tbs,
        linted: &Linted,
        context: &RequestContext,
    ) -> Result<Opening, End> {
        context.generation.cover(profile).map_err(End::deferred)?;
        self.unlogged.check().map_err(End::deferred)?;
        self.recorder.check_clock().map_err(End::deferred)?;
        let Generation { ca, token, .. } = &*context.generation;
        let now = self.recorder.timestamp();
        let serial = Serial::try_from(tbs.serial()).map_err(End::deferred)?;
        let issuance = Issuance {
            serial: serial.to_string().into(),
            tbs_digest: linted.digest(),
            key_id: ca.key_id.as_str().into(),
            token_serial: token.token_serial().into(),
        };
        let event = Event::IntentOpened {
            request: context.request(),
            issuance: issuance.clone(),
            evidence: None,
        };
        let evidence = candidate
            .kept
            .permit(&candidate.facts, &tbs, &ca.certificate)?;
        let supersedes = Superseded::by(profile, candidate.facts.grant.as_ref())?;
        // Before the row can be seen: recovery must not take it for abandoned.
        let at_work = self
            .finish
            .claim(&serial)
            .ok_or_else(|| End::deferred("a serial was drawn twice"))?;
        let outcome = self
            .store
            .permit(PermitWrite {
                transaction: TransactionKey {
                    ca_id: ca.id.clone(),
                    signer_spki_sha256: candidate.signer_spki_sha256,
                    transaction_id: context.transaction_id.clone().unwrap_or_default(),
                },
                request_digest: context.request_digest,
                csr_digest: candidate.csr_sha256,
                renewal: source::renewal_terms(profile),
                quotas: quotas(profile, &device(&names.subject, &names.sans), now),
                intent: NewIntent {
                    serial: serial.clone(),
                    tbs: tbs.der().to_vec(),
                    tbs_digest: linted.digest(),
                    profile: profile.name().to_string(),
                    subject: names.subject,
                    sans: names.sans,
                    not_before: tbs.not_before().into(),
                    not_after: tbs.not_after().into(),
                    policy_hash: context.policy_hash.unwrap_or(Hash::ZERO),
                    expires_at: now + self.intent_ttl,
                    request: context.request(),
                },
                consume: candidate.consume,
                now,
                retransmit_since: self.retransmit_since(),
                audit: vec![
                    self.recorder
                        .draft(context.policy_hash, event)
                        .with_evidence(evidence),
                ],
            })
            .await?;
        Ok(match settle(outcome)? {
            Some(earlier) => Opening::AlreadyIssued(earlier),
            None => Opening::Opened(Box::new(Intent {
                serial,
                tbs: tbs.der().to_vec(),
                tbs_digest: linted.digest(),
                issuance,
                supersedes,
                not_after: tbs.not_after().into(),
                _at_work: at_work,
            })),
        })
    }
}

/// What counts as one device: its subject, or its alternative names where it has none, without regard to case, so that
/// names which are equal under any comparison share a quota.
fn device(subject: &str, sans: &[String]) -> String {
    if !subject.is_empty() {
        return subject.to_ascii_lowercase();
    }
    let mut sans: Vec<String> = sans.iter().map(|name| name.to_ascii_lowercase()).collect();
    sans.sort();
    sans.join(", ")
}

fn quotas(profile: &Profile, device: &str, now: Timestamp) -> Vec<QuotaCharge> {
    let seconds = now.seconds();
    let window_start = Timestamp::from_seconds(seconds - seconds.rem_euclid(QUOTA_WINDOW));
    let name = profile.name();
    let limits = profile.quotas();
    vec![
        QuotaCharge {
            key: format!("profile {name}"),
            window_start,
            limit: limits.profile_per_hour,
        },
        QuotaCharge {
            key: format!("profile {name}, name {device}"),
            window_start,
            limit: limits.name_per_hour,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::device;

    #[test]
    fn one_device_has_one_quota_however_its_names_are_spelt_or_ordered() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let wanted = device("", &names(&["dns:a.example.org", "dns:b.example.org"]));
        for other in [
            ["dns:a.example.org", "dns:B.example.org"],
            ["dns:B.example.org", "dns:A.example.org"],
            ["dns:b.example.org", "dns:a.example.org"],
        ] {
            assert_eq!(device("", &names(&other)), wanted, "{other:?}");
        }
        assert_ne!(device("", &names(&["dns:c.example.org"])), wanted);
        assert_eq!(
            device("CN=R1", &names(&["dns:x.org"])),
            device("CN=r1", &[])
        );
    }
}
