//! What authorises a request, and what of it a certificate uses up.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay_audit::Event;
use assay_policy::{
    Authority, Dn, Facts, InventoryEntry, Profile, PublicKeyFacts, Refusal, SubjectAltName,
    Supersede, decide,
};
use assay_scep::SignerCertificate;
use assay_store::{CertificateRow, Consume, InventoryRow, Serial};

use super::End;

/// What a certificate under the authority in `facts` uses up; `fresh` goes with a renewal.
///
/// # Errors
/// Where nothing is there to be used up: what `refuse` makes of the refusal that the policy gives for it.
pub(super) fn consume(
    profile: &Profile,
    facts: &Facts,
    fresh: Option<String>,
    refuse: impl Fn(Refusal) -> End,
) -> Result<Consume, End> {
    match &facts.authority {
        Authority::OneTimeChallenge { id, .. } => Ok(Consume::OneTime { id: id.clone() }),
        Authority::StaticChallenge {
            id,
            inventory: Some(entry),
            ..
        } => Ok(Consume::Static {
            id: id.clone(),
            name: entry.name.clone(),
        }),
        Authority::Renewal { serial, .. } => Ok(Consume::Renewal {
            old: Serial::from_str(serial).map_err(End::deferred)?,
            revoke_after: revoke_after(profile),
            challenge: fresh,
        }),
        Authority::StaticChallenge {
            inventory: None, ..
        }
        | Authority::None => Err(decide(profile, facts).map_or_else(refuse, |_| {
            End::deferred("the policy permits what nothing authorises")
        })),
    }
}

/// A certificate that gets a successor.
#[derive(Debug, Clone)]
pub(super) struct Superseded {
    pub(super) serial: Serial,
    /// Seconds from the successor's issue to its own revocation; `None` keeps it.
    pub(super) revoke_after: Option<i64>,
}

impl Superseded {
    /// What a certificate under `authority` supersedes.
    pub(super) fn by(profile: &Profile, authority: &Authority) -> Result<Option<Self>, End> {
        match authority {
            Authority::Renewal { serial, .. } => Ok(Some(Self {
                serial: Serial::from_str(serial).map_err(End::deferred)?,
                revoke_after: revoke_after(profile),
            })),
            Authority::OneTimeChallenge { .. }
            | Authority::StaticChallenge { .. }
            | Authority::None => Ok(None),
        }
    }

    /// Tells of it when `successor` is issued at `issued_at`, Unix seconds.
    pub(super) fn event(&self, successor: &Serial, issued_at: i64) -> Event {
        Event::CertificateSuperseded {
            serial: self.serial.to_string().into(),
            successor: successor.to_string().into(),
            revoke_at: self
                .revoke_after
                .map(|seconds| issued_at.saturating_add(seconds)),
        }
    }
}

/// Seconds until the old certificate of a renewal is revoked.
fn revoke_after(profile: &Profile) -> Option<i64> {
    match profile.renewal()?.supersede {
        Supersede::Keep => None,
        Supersede::RevokeAfter(grace) => i64::try_from(grace.as_secs()).ok(),
    }
}

/// What the issued record of a certificate authorises: the same names once more, under the policy of today.
pub(super) fn renewal(
    old: &CertificateRow,
    inventory: Option<InventoryRow>,
) -> Result<Authority, End> {
    let certificate = old
        .der
        .as_deref()
        .and_then(SignerCertificate::parse)
        .ok_or_else(|| End::deferred("the index lost a certificate"))?;
    Ok(Authority::Renewal {
        serial: old.serial.to_string(),
        profile: old.profile.clone(),
        subject: subject(&old.subject)?,
        sans: sans(&old.sans)?,
        not_after: unix(old.not_after),
        old_spki_sha256: PublicKeyFacts::from_spki(certificate.spki_der()).spki_sha256(),
        inventory: inventory.map(entry),
    })
}

/// An inventory's row in the terms of policy.
pub(super) fn entry(row: InventoryRow) -> InventoryEntry {
    InventoryEntry {
        name: row.name,
        spki_sha256: row.spki_sha256,
        already_issued: row.serial.is_some(),
    }
}

/// A subject as it was kept.
pub(super) fn subject(text: &str) -> Result<Dn, End> {
    Dn::parse_rfc4514(text).map_err(End::deferred)
}

/// Subject alternative names as they were kept.
pub(super) fn sans(texts: &[String]) -> Result<Vec<SubjectAltName>, End> {
    texts
        .iter()
        .map(|text| SubjectAltName::from_str(text))
        .collect::<Result<_, _>>()
        .map_err(End::deferred)
}

pub(super) fn unix(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}
