//! What the store knows of an opened request: whether it came before, and what its challenge allows.

use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use assay_policy::{Authority, Dn, Facts, InventoryEntry, Profile, SubjectAltName};
use assay_scep::FailInfo;
use assay_store::{
    CertificateRow, ChallengeKind, ChallengeRow, ChallengeState, EvidenceQuery, InventoryRow,
};

use super::opened::Opened;
use super::{End, Pipeline, Trail};

/// The answer of one read.
pub(super) struct Evidence {
    /// The same key sent an equal CSR within the retransmit window.
    pub(super) retransmitted: Option<CertificateRow>,
    challenge: Option<ChallengeRow>,
    inventory: Option<InventoryRow>,
}

impl Pipeline {
    pub(super) async fn evidence(
        &self,
        profile: &Profile,
        facts: &Facts,
        opened: &Opened,
    ) -> Result<Evidence, End> {
        let lookup = opened
            .csr
            .challenge_password()
            .map(|challenge| self.challenge_key.lookup(challenge.expose().as_bytes()))
            .transpose()?;
        let name = profile.inventory_name(&facts.subject);
        let found = self
            .store
            .evidence(EvidenceQuery {
                ca_id: self.authority.id.clone(),
                signer_spki_sha256: opened.signer.spki_sha256(),
                csr_digest: opened.csr_sha256,
                retransmit_since: self.retransmit_since(),
                challenge: lookup,
                inventory: name.map(|name| (profile.name().to_string(), name)),
            })
            .await?;
        Ok(Evidence {
            retransmitted: found.retransmitted,
            challenge: found.challenge,
            inventory: found.inventory,
        })
    }

    pub(super) fn retransmit_since(&self) -> i64 {
        let window = i64::try_from(self.limits.retransmit_window.as_secs()).unwrap_or(i64::MAX);
        self.recorder.clock.now_seconds().saturating_sub(window)
    }
}

impl Evidence {
    /// What the challenge authorises. Whether that is what was asked for, the policy decides.
    pub(super) fn authority(self, trail: &mut Trail) -> Result<Authority, End> {
        let Some(challenge) = self.challenge else {
            return Ok(Authority::None);
        };
        trail.challenge_id = Some(challenge.id.clone());
        match challenge.state {
            ChallengeState::Open => {}
            ChallengeState::Reserved => {
                return Err(refuse(
                    "CHA:reserved",
                    "the challenge is kept for a request that waits for an operator",
                ));
            }
            ChallengeState::Spent => {
                return Err(refuse("CHA:spent", "the challenge was used before"));
            }
            ChallengeState::Revoked => {
                return Err(refuse("CHA:revoked", "the challenge was revoked"));
            }
        }
        let ChallengeRow {
            id,
            profile,
            subject,
            sans,
            expires_at,
            ..
        } = challenge;
        Ok(match challenge.kind {
            ChallengeKind::OneTime => Authority::OneTimeChallenge {
                id,
                profile,
                subject: Dn::parse_rfc4514(&subject).map_err(End::deferred)?,
                sans: sans
                    .iter()
                    .map(|san| SubjectAltName::from_str(san))
                    .collect::<Result<_, _>>()
                    .map_err(End::deferred)?,
                expires: seconds(expires_at.unwrap_or_default()),
            },
            ChallengeKind::Static => Authority::StaticChallenge {
                id,
                profile,
                inventory: self.inventory.map(|row| InventoryEntry {
                    name: row.name,
                    spki_sha256: row.spki_sha256,
                    already_issued: row.serial.is_some(),
                }),
            },
        })
    }
}

fn refuse(rule: &str, detail: &str) -> End {
    End::refused(FailInfo::BadRequest, rule, detail)
}

fn seconds(unix: i64) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix).unwrap_or_default())
}
