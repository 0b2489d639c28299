//! What authorises a request, and what of it a certificate uses up.

use std::str::FromStr;
use std::time::Duration;

use assay_audit::Event;
use assay_policy::{
    ClaimedNames, Dn, Facts, Grant, InventoryEntry, Profile, PublicKeyFacts, Refusal, Renewed,
    Source, SubjectAltName, Supersede, decide,
};
use assay_scep::SignerCertificate;
use assay_store::{
    CertificateRow, ChallengeKind, ChallengeRow, Consume, InventoryRow, PendingRow, RenewalTerms,
    Reserve, Store,
};
use assay_types::{Serial, Timestamp};

use super::End;

/// What a certificate uses up that is issued by the grant in `facts`; `fresh` goes with a renewal.
///
/// # Errors
/// Where nothing is there to be used up: what `refuse` makes of the refusal that the policy gives for it.
pub(super) fn consume(
    profile: &Profile,
    facts: &Facts,
    fresh: Option<String>,
    refuse: impl Fn(Refusal) -> End,
) -> Result<Consume, End> {
    let nothing = || {
        Err(decide(profile, facts).map_or_else(refuse, |_| {
            End::deferred("the policy permits what nothing authorises")
        }))
    };
    let Some(grant) = &facts.grant else {
        return nothing();
    };
    match grant.source() {
        Source::OneTimeChallenge { id } => Ok(Consume::OneTime { id: id.clone() }),
        Source::StaticChallenge { id } => match &grant.claims().inventory {
            Some(entry) => Ok(Consume::Static {
                id: id.clone(),
                name: entry.name.clone(),
            }),
            None => nothing(),
        },
        Source::Renewal(renewed) => {
            let Superseded {
                serial,
                revoke_after,
            } = Superseded::of(profile, renewed)?;
            Ok(Consume::Renewal {
                old: serial,
                revoke_after,
                challenge: fresh,
            })
        }
    }
}

/// On which terms a certificate of the profile is renewed.
pub(super) fn renewal_terms(profile: &Profile) -> RenewalTerms {
    profile
        .renewal()
        .map_or_else(RenewalTerms::default, |renewal| RenewalTerms {
            once: renewal.once,
            grace: renewal.grace,
        })
}

/// What is kept for a request that waits.
///
/// # Errors
/// Where it cannot wait.
pub(super) fn reserve(consume: Consume) -> Result<Reserve, End> {
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

/// What authorises a request that waits. The challenge stays what it was when it was reserved; inventory and old
/// certificate are asked again, so that a device struck off meanwhile gets nothing.
pub(super) async fn reserved(
    store: &Store,
    profile: &Profile,
    facts: &Facts,
    row: &PendingRow,
) -> Result<Grant, End> {
    let inventory = match profile.inventory_name(&facts.subject) {
        Some(name) => {
            store
                .find_inventory(profile.name().to_string(), name)
                .await?
        }
        None => None,
    };
    let issued_for = row.profile.clone();
    match &row.reserve {
        Reserve::OneTime { id } => {
            let kept: KeptNames = serde_json::from_str(&row.evidence).map_err(End::deferred)?;
            let names = names(&kept.subject, &kept.sans)?;
            // While it is reserved its own expiry rests; the request's counts.
            let expires = row.expires_at.into();
            Ok(Grant::one_time(id.clone(), issued_for, names, expires))
        }
        Reserve::Static { id, name: _ } => {
            Ok(Grant::shared(id.clone(), issued_for, inventory.map(entry)))
        }
        Reserve::Renewal { old, .. } => {
            let old = store.find_certificate(old.clone()).await?;
            let old = old.ok_or_else(|| End::deferred("the index lost a certificate"))?;
            renewal(&old, inventory)
        }
    }
}

/// The names that a challenge is bound to, while a request waits for which it is reserved.
#[derive(serde::Serialize, serde::Deserialize, Default)]
struct KeptNames {
    subject: String,
    sans: Vec<String>,
}

/// What of a grant is kept with a request that waits, for [`reserved`].
pub(super) fn keep_names(grant: Option<&Grant>) -> String {
    let names = grant.and_then(|grant| grant.claims().names.as_ref());
    let kept = names.map(|names| KeptNames {
        subject: names.subject.to_string(),
        sans: names.sans.iter().map(ToString::to_string).collect(),
    });
    serde_json::json!(kept.unwrap_or_default()).to_string()
}

/// A certificate that gets a successor.
#[derive(Debug, Clone)]
pub(super) struct Superseded {
    pub(super) serial: Serial,
    /// From the successor's issue to its own revocation; `None` keeps it.
    pub(super) revoke_after: Option<Duration>,
}

impl Superseded {
    fn of(profile: &Profile, renewed: &Renewed) -> Result<Self, End> {
        Ok(Self {
            serial: Serial::from_str(&renewed.serial).map_err(End::deferred)?,
            revoke_after: revoke_after(profile),
        })
    }

    /// What a certificate supersedes that is issued by `grant`.
    pub(super) fn by(profile: &Profile, grant: Option<&Grant>) -> Result<Option<Self>, End> {
        grant
            .and_then(|grant| grant.source().renewed())
            .map(|renewed| Self::of(profile, renewed))
            .transpose()
    }

    /// Tells of it when `successor` is issued at `issued_at`.
    pub(super) fn event(&self, successor: &Serial, issued_at: Timestamp) -> Event {
        Event::CertificateSuperseded {
            serial: self.serial.to_string().into(),
            successor: successor.to_string().into(),
            revoke_at: self.revoke_after.map(|after| issued_at + after),
        }
    }
}

/// How long the old certificate of a renewal stays in force.
fn revoke_after(profile: &Profile) -> Option<Duration> {
    match profile.renewal()?.supersede {
        Supersede::Keep => None,
        Supersede::RevokeAfter(grace) => Some(grace),
    }
}

/// What a challenge authorises.
pub(super) fn challenge(row: ChallengeRow, inventory: Option<InventoryRow>) -> Result<Grant, End> {
    let ChallengeRow {
        id,
        kind,
        profile,
        subject,
        sans,
        expires_at,
        ..
    } = row;
    Ok(match kind {
        ChallengeKind::OneTime => {
            let expires = expires_at.unwrap_or_default().into();
            Grant::one_time(id, profile, names(&subject, &sans)?, expires)
        }
        ChallengeKind::Static => Grant::shared(id, profile, inventory.map(entry)),
    })
}

/// What the issued record of a certificate authorises: the same names once more, under the policy of today.
pub(super) fn renewal(old: &CertificateRow, inventory: Option<InventoryRow>) -> Result<Grant, End> {
    let certificate = old
        .der
        .as_deref()
        .and_then(SignerCertificate::parse)
        .ok_or_else(|| End::deferred("the index lost a certificate"))?;
    let renewed = Renewed {
        serial: old.serial.to_string(),
        spki_sha256: PublicKeyFacts::from_spki(certificate.spki_der()).spki_sha256(),
        successor: old.superseded_by.as_ref().map(Serial::to_string),
    };
    Ok(Grant::renewal(
        renewed,
        old.profile.clone(),
        names(&old.subject, &old.sans)?,
        old.not_after.into(),
        inventory.map(entry),
    ))
}

/// An inventory's row in the terms of policy.
fn entry(row: InventoryRow) -> InventoryEntry {
    InventoryEntry {
        name: row.name,
        spki_sha256: row.spki_sha256,
        already_issued: row.serial.is_some(),
    }
}

/// Names as they were kept.
pub(super) fn names(subject: &str, sans: &[String]) -> Result<ClaimedNames, End> {
    Ok(ClaimedNames {
        subject: Dn::parse_rfc4514(subject).map_err(End::deferred)?,
        sans: sans
            .iter()
            .map(|text| SubjectAltName::from_str(text))
            .collect::<Result<_, _>>()
            .map_err(End::deferred)?,
    })
}
