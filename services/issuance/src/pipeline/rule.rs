//! The signer's own rules: what is refused outside of `assay_policy::decide`. policy/RULES.md lists them beside the
//! policy's.

use assay_scep::FailInfo;
use assay_store::PermitOutcome;
use assay_types::Serial;

use super::End;

/// A rule that the signer itself holds a request to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignerRule {
    PolicyExpired,
    ProfileStopped,
    MessageType,
    ChallengeSpent,
    ChallengeRevoked,
    ChallengeExpired,
    ChallengeUnknown,
    Reserved,
    InventoryUsed,
    InventoryUnknown,
    RenewalSigner,
    RenewalInForce,
    RenewalChallenge,
    OtherProfile,
    Approved,
    Quota,
    UnknownCertificate,
    UnknownRequest,
    Uniform,
    EcPending,
    EcChallenge,
    EcOneTime,
    LongCrl,
    RenewedOnce,
}

impl SignerRule {
    #[cfg(test)]
    const ALL: [Self; 24] = [
        Self::PolicyExpired,
        Self::ProfileStopped,
        Self::MessageType,
        Self::ChallengeSpent,
        Self::ChallengeRevoked,
        Self::ChallengeExpired,
        Self::ChallengeUnknown,
        Self::Reserved,
        Self::InventoryUsed,
        Self::InventoryUnknown,
        Self::RenewalSigner,
        Self::RenewalInForce,
        Self::RenewalChallenge,
        Self::OtherProfile,
        Self::Approved,
        Self::Quota,
        Self::UnknownCertificate,
        Self::UnknownRequest,
        Self::Uniform,
        Self::EcPending,
        Self::EcChallenge,
        Self::EcOneTime,
        Self::LongCrl,
        Self::RenewedOnce,
    ];

    /// As records and logs name it.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::PolicyExpired => "POL-03",
            Self::ProfileStopped => "POL-04",
            Self::MessageType => "SIG-01",
            Self::ChallengeSpent => "SIG-02",
            Self::ChallengeRevoked => "SIG-03",
            Self::ChallengeExpired => "SIG-04",
            Self::ChallengeUnknown => "SIG-05",
            Self::Reserved => "SIG-06",
            Self::InventoryUsed => "SIG-07",
            Self::InventoryUnknown => "SIG-08",
            Self::RenewalSigner => "SIG-09",
            Self::RenewalInForce => "SIG-10",
            Self::RenewalChallenge => "SIG-11",
            Self::OtherProfile => "SIG-12",
            Self::Approved => "SIG-13",
            Self::Quota => "SIG-14",
            Self::UnknownCertificate => "SIG-15",
            Self::UnknownRequest => "SIG-16",
            Self::Uniform => "SIG-17",
            Self::EcPending => "SIG-18",
            Self::EcChallenge => "SIG-19",
            Self::EcOneTime => "SIG-20",
            Self::LongCrl => "SIG-21",
            Self::RenewedOnce => "SIG-22",
        }
    }

    /// What must hold, in one line.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::PolicyExpired => "the version of the policy has not expired",
            Self::ProfileStopped => "the profile is not stopped",
            Self::MessageType => "messageType is one of 17, 19, 20, 21 and 22",
            Self::ChallengeSpent => "a one-time challenge was not used before",
            Self::ChallengeRevoked => "the challenge was not revoked",
            Self::ChallengeExpired => "the challenge has not expired when it is used up",
            Self::ChallengeUnknown => "the challenge was issued by this signer",
            Self::Reserved => {
                "no other request that waits for approval holds the challenge, the name or the renewal"
            }
            Self::InventoryUsed => "a static challenge issues once for each name",
            Self::InventoryUnknown => "the name is in the inventory when it is used up",
            Self::RenewalSigner => {
                "a renewal is signed by a certificate of this CA, to the last byte"
            }
            Self::RenewalInForce => {
                "the certificate that signs a renewal is unrevoked, not on hold, and unexpired or within the profile's grace"
            }
            Self::RenewalChallenge => {
                "a challenge that comes with a renewal is known and not revoked"
            }
            Self::OtherProfile => {
                "what was answered or queued under one profile is not asked for under another"
            }
            Self::Approved => "a request of a profile with approval is approved before it expires",
            Self::Quota => "the hour's quota of the profile and of the name has room",
            Self::UnknownCertificate => {
                "GetCert and GetCRL come from a holder and name a certificate of this CA"
            }
            Self::UnknownRequest => "CertPoll names a request that the same key sent",
            Self::Uniform => "the envelope opens, its content decodes, and its key signed it",
            Self::EcPending => "an elliptic-curve key asks under a profile without approval",
            Self::EcChallenge => {
                "an elliptic-curve key brings a challenge, under which its reply is enveloped"
            }
            Self::EcOneTime => {
                "an elliptic-curve key's challenge is a one-time one, and fresh where it renews"
            }
            Self::LongCrl => {
                "the CRL that GetCRL asks for has at most 512 KiB; a longer one is at its distribution point"
            }
            Self::RenewedOnce => {
                "under a profile with one renewal no other renewal of the certificate is issued or at work"
            }
        }
    }

    pub(super) fn fail_info(self) -> FailInfo {
        match self {
            Self::UnknownCertificate | Self::UnknownRequest => FailInfo::BadCertId,
            Self::PolicyExpired
            | Self::ProfileStopped
            | Self::MessageType
            | Self::ChallengeSpent
            | Self::ChallengeRevoked
            | Self::ChallengeExpired
            | Self::ChallengeUnknown
            | Self::Reserved
            | Self::InventoryUsed
            | Self::InventoryUnknown
            | Self::RenewalSigner
            | Self::RenewalInForce
            | Self::RenewalChallenge
            | Self::OtherProfile
            | Self::Approved
            | Self::Quota
            | Self::Uniform
            | Self::EcPending
            | Self::EcChallenge
            | Self::EcOneTime
            | Self::LongCrl
            | Self::RenewedOnce => FailInfo::BadRequest,
        }
    }

    /// The end of a request that does not keep this rule; `detail` says what came, never a secret.
    pub(super) fn refusal(self, detail: &str) -> End {
        let title = self.title();
        let detail = if detail.is_empty() {
            format!("wanted: {title}")
        } else {
            format!("wanted: {title}; got: {detail}")
        };
        End::refused(self.fail_info(), self.id(), detail)
    }
}

/// What became of a permit or of a place in the queue: `None` where it is on disk, or the serial that an equal request got
/// meanwhile. Anything else stood in the way, as the store found it in the very transaction: since the decision another
/// request may have been faster.
pub(super) fn settle(outcome: PermitOutcome) -> Result<Option<Serial>, End> {
    let refuse = |rule: SignerRule, detail: &str| Err(rule.refusal(detail));
    match outcome {
        PermitOutcome::Recorded { sequence: _ } => Ok(None),
        PermitOutcome::AlreadyIssued { serial } => Ok(Some(serial)),
        PermitOutcome::InProgress { serial } => Err(End::deferred(format!(
            "certificate {serial} is made for an equal request"
        ))),
        PermitOutcome::AlreadyQueued { id } => {
            Err(End::deferred(format!("an equal request waits as {id}")))
        }
        PermitOutcome::Reserved { id } => refuse(SignerRule::Reserved, &format!("held by {id}")),
        PermitOutcome::ChallengeSpent => refuse(SignerRule::ChallengeSpent, ""),
        PermitOutcome::ChallengeRevoked => refuse(SignerRule::ChallengeRevoked, ""),
        PermitOutcome::ChallengeExpired => refuse(SignerRule::ChallengeExpired, ""),
        PermitOutcome::ChallengeUnknown => refuse(SignerRule::ChallengeUnknown, ""),
        PermitOutcome::InventoryUsed { serial } => {
            let detail = format!("{serial} for this name; `assay inventory reset` allows one more");
            refuse(SignerRule::InventoryUsed, &detail)
        }
        PermitOutcome::InventoryUnknown => refuse(SignerRule::InventoryUnknown, ""),
        PermitOutcome::OldUnknown => refuse(SignerRule::RenewalSigner, ""),
        PermitOutcome::OldRevoked | PermitOutcome::OldExpired => {
            refuse(SignerRule::RenewalInForce, "")
        }
        PermitOutcome::OldRenewed { serial } => {
            refuse(SignerRule::RenewedOnce, &format!("renewed by {serial}"))
        }
        PermitOutcome::PendingUnknown => refuse(SignerRule::Approved, "no such request"),
        PermitOutcome::NotApproved { state } => {
            refuse(SignerRule::Approved, &format!("{state:?}").to_lowercase())
        }
        PermitOutcome::Stopped => refuse(SignerRule::ProfileStopped, ""),
        PermitOutcome::PolicyChanged => Err(End::deferred(
            "another version of the policy came into force since the decision",
        )),
        PermitOutcome::QuotaExceeded { key } => refuse(SignerRule::Quota, &key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_types::MAX_SCEP_CRL;

    #[test]
    fn the_longest_crl_is_the_one_that_the_rule_names() {
        let named = format!("at most {} KiB", MAX_SCEP_CRL >> 10);
        assert!(SignerRule::LongCrl.title().contains(&named));
    }

    #[test]
    fn every_rule_of_the_signer_is_listed_with_its_title() {
        let listed = include_str!("../../../../policy/RULES.md");
        for rule in SignerRule::ALL {
            let heading = format!("### {}: {}\n", rule.id(), rule.title());
            assert!(
                listed.contains(&heading),
                "policy/RULES.md lacks: {heading}"
            );
        }
    }
}
