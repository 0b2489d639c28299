//! Where values of the contract meet those of the domain: filters, times, and each enum once for each direction.

use std::fmt::Display;
use std::str::FromStr;

use assay_issuance::Stage;
use assay_policy::{Dn, SubjectAltName};
use assay_proto::v1::{
    CertificateState, ChallengeKind, ChallengeState, InventoryState, RequestState,
    RevocationReason, RolloverStage, StoppedProfile, TimeRange,
};
use assay_proto::{Duration, Named, NoTime, Timestamp};
use assay_scep::{Limits, TransactionId};
use assay_store::{
    CertificateStatus, ChallengeStatus, CrlReason, InventoryStatus, PendingState, Span, Stop,
};
use assay_types::Serial;

use super::error::AdminError;

/// A filter by text, or none.
pub(super) fn text(value: String) -> Option<String> {
    Some(value).filter(|value| !value.is_empty())
}

/// A filter by subject, in the one form in which subjects are kept.
pub(super) fn subject(value: &str) -> Result<Option<String>, AdminError> {
    filter(value, "subject", |text| {
        Dn::parse_rfc4514(text).map(|subject| subject.to_string())
    })
}

/// A filter by subject alternative name, in the one form in which they are kept.
pub(super) fn san(value: &str) -> Result<Option<String>, AdminError> {
    filter(value, "SAN", |text| {
        SubjectAltName::from_str(text).map(|san| san.to_string())
    })
}

/// A filter by transaction: a value that a SCEP message can have.
pub(super) fn transaction(value: &str) -> Result<Option<String>, AdminError> {
    filter(value, "transaction", |text| {
        let limits = Limits::default();
        let id = TransactionId::new(text, &limits).map(|id| id.as_str().to_owned());
        id.ok_or_else(|| {
            format!(
                "a transactionID has 1 to {} printable ASCII characters",
                limits.transaction_id
            )
        })
    })
}

/// A filter by serial.
pub(super) fn serial(value: &str) -> Result<Option<Serial>, AdminError> {
    filter(value, "serial", Serial::from_str)
}

fn filter<T, E: Display>(
    value: &str,
    what: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, AdminError> {
    if value.is_empty() {
        return Ok(None);
    }
    let wrong = |error| AdminError::Invalid(format!("{what} `{value}`: {error}"));
    parse(value).map(Some).map_err(wrong)
}

/// A serial that has to be there.
pub(super) fn required_serial(value: &str) -> Result<Serial, AdminError> {
    let wrong = |error| AdminError::Invalid(format!("`{value}`: {error}"));
    value.parse().map_err(wrong)
}

/// A filter by time.
pub(super) fn span<T>(range: Option<TimeRange>) -> Result<Span<T>, AdminError>
where
    T: TryFrom<Timestamp, Error = NoTime> + PartialOrd + Display,
{
    let TimeRange { from, to } = range.unwrap_or_default();
    let read = |time: Option<Timestamp>| time.map(T::try_from).transpose().map_err(no_time);
    let (from, to) = (read(from)?, read(to)?);
    match (from, to) {
        (Some(from), Some(to)) if to <= from => Err(AdminError::Invalid(format!(
            "the range ends at {to}, no later than it begins at {from}"
        ))),
        (from, to) => Ok(Span { from, to }),
    }
}

pub(super) fn no_time(error: NoTime) -> AdminError {
    AdminError::Invalid(error.to_string())
}

/// A duration as it came; `None` where none did.
pub(super) fn duration(value: Option<Duration>) -> Result<Option<std::time::Duration>, AdminError> {
    value
        .map(std::time::Duration::try_from)
        .transpose()
        .map_err(|error| AdminError::Invalid(error.to_string()))
}

fn known<E: Named>(value: i32, what: &str) -> Result<E, AdminError> {
    E::try_from(value).map_err(|_| {
        let names = E::names();
        AdminError::Invalid(format!("{value} is not a {what}; the {what}s are {names}"))
    })
}

/// A filter by the state of a challenge.
pub(super) fn challenge_status(value: i32) -> Result<Option<ChallengeStatus>, AdminError> {
    Ok(match known(value, "state of a challenge")? {
        ChallengeState::Unspecified => None,
        ChallengeState::Open => Some(ChallengeStatus::Open),
        ChallengeState::Reserved => Some(ChallengeStatus::Reserved),
        ChallengeState::Spent => Some(ChallengeStatus::Spent),
        ChallengeState::Revoked => Some(ChallengeStatus::Revoked),
        ChallengeState::Expired => Some(ChallengeStatus::Expired),
    })
}

pub(super) fn challenge_state(status: ChallengeStatus) -> ChallengeState {
    match status {
        ChallengeStatus::Open => ChallengeState::Open,
        ChallengeStatus::Reserved => ChallengeState::Reserved,
        ChallengeStatus::Spent => ChallengeState::Spent,
        ChallengeStatus::Revoked => ChallengeState::Revoked,
        ChallengeStatus::Expired => ChallengeState::Expired,
    }
}

pub(super) fn challenge_kind(kind: assay_store::ChallengeKind) -> ChallengeKind {
    match kind {
        assay_store::ChallengeKind::OneTime => ChallengeKind::OneTime,
        assay_store::ChallengeKind::Static => ChallengeKind::Static,
    }
}

/// A filter by the state of an inventory name.
pub(super) fn inventory_status(value: i32) -> Result<Option<InventoryStatus>, AdminError> {
    Ok(match known(value, "state of a name")? {
        InventoryState::Unspecified => None,
        InventoryState::Unused => Some(InventoryStatus::Unused),
        InventoryState::Reserved => Some(InventoryStatus::Reserved),
        InventoryState::Used => Some(InventoryStatus::Used),
    })
}

pub(super) fn inventory_state(status: InventoryStatus) -> InventoryState {
    match status {
        InventoryStatus::Unused => InventoryState::Unused,
        InventoryStatus::Reserved => InventoryState::Reserved,
        InventoryStatus::Used => InventoryState::Used,
    }
}

/// A filter by the state of a certificate.
pub(super) fn certificate_status(value: i32) -> Result<Option<CertificateStatus>, AdminError> {
    Ok(match known(value, "state of a certificate")? {
        CertificateState::Unspecified => None,
        CertificateState::Intent => Some(CertificateStatus::Intent),
        CertificateState::Issued => Some(CertificateStatus::Issued),
        CertificateState::Held => Some(CertificateStatus::Held),
        CertificateState::Revoked => Some(CertificateStatus::Revoked),
        CertificateState::Abandoned => Some(CertificateStatus::Abandoned),
        CertificateState::Imported => Some(CertificateStatus::Imported),
        CertificateState::Recovered => Some(CertificateStatus::Recovered),
    })
}

pub(super) fn certificate_state(status: CertificateStatus) -> CertificateState {
    match status {
        CertificateStatus::Intent => CertificateState::Intent,
        CertificateStatus::Issued => CertificateState::Issued,
        CertificateStatus::Held => CertificateState::Held,
        CertificateStatus::Revoked => CertificateState::Revoked,
        CertificateStatus::Abandoned => CertificateState::Abandoned,
        CertificateStatus::Imported => CertificateState::Imported,
        CertificateStatus::Recovered => CertificateState::Recovered,
    }
}

pub(super) fn stopped(stop: Stop) -> StoppedProfile {
    let Stop {
        profile,
        reason,
        stopped_at,
        stopped_by,
    } = stop;
    StoppedProfile {
        profile,
        reason,
        stopped_at: Some(stopped_at.into()),
        stopped_by,
    }
}

/// A filter by the state of a request.
pub(super) fn pending_state(value: i32) -> Result<Option<PendingState>, AdminError> {
    Ok(match known(value, "state of a request")? {
        RequestState::Unspecified => None,
        RequestState::Pending => Some(PendingState::Waiting),
        RequestState::Approved => Some(PendingState::Approved),
        RequestState::Issued => Some(PendingState::Issued),
        RequestState::Denied => Some(PendingState::Denied),
        RequestState::Expired => Some(PendingState::Expired),
    })
}

pub(super) fn request_state(state: PendingState) -> RequestState {
    match state {
        PendingState::Waiting => RequestState::Pending,
        PendingState::Approved => RequestState::Approved,
        PendingState::Issued => RequestState::Issued,
        PendingState::Denied => RequestState::Denied,
        PendingState::Expired => RequestState::Expired,
    }
}

/// Why a certificate is to be revoked.
pub(super) fn crl_reason(value: i32) -> Result<CrlReason, AdminError> {
    Ok(match known(value, "reason")? {
        RevocationReason::Unspecified => CrlReason::Unspecified,
        RevocationReason::KeyCompromise => CrlReason::KeyCompromise,
        RevocationReason::CaCompromise => CrlReason::CaCompromise,
        RevocationReason::AffiliationChanged => CrlReason::AffiliationChanged,
        RevocationReason::Superseded => CrlReason::Superseded,
        RevocationReason::CessationOfOperation => CrlReason::CessationOfOperation,
        RevocationReason::CertificateHold => CrlReason::CertificateHold,
        RevocationReason::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
        RevocationReason::AaCompromise => CrlReason::AaCompromise,
    })
}

pub(super) fn revocation_reason(reason: CrlReason) -> RevocationReason {
    match reason {
        CrlReason::Unspecified => RevocationReason::Unspecified,
        CrlReason::KeyCompromise => RevocationReason::KeyCompromise,
        CrlReason::CaCompromise => RevocationReason::CaCompromise,
        CrlReason::AffiliationChanged => RevocationReason::AffiliationChanged,
        CrlReason::Superseded => RevocationReason::Superseded,
        CrlReason::CessationOfOperation => RevocationReason::CessationOfOperation,
        CrlReason::CertificateHold => RevocationReason::CertificateHold,
        CrlReason::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
        CrlReason::AaCompromise => RevocationReason::AaCompromise,
    }
}

/// `None` without a CA that is to take over.
pub(super) fn rollover_stage(stage: Option<Stage>) -> RolloverStage {
    match stage {
        None => RolloverStage::None,
        Some(Stage::Single) => RolloverStage::Unapproved,
        Some(Stage::Announced) => RolloverStage::Announced,
        Some(Stage::Overlap) => RolloverStage::Overlap,
        Some(Stage::Over) => RolloverStage::Over,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use super::*;

    /// What the contract shows of a value is what filters by it.
    #[test]
    fn each_state_is_filtered_by_as_it_is_shown() {
        for shown in ChallengeState::ALL {
            let status = challenge_status((*shown).into()).unwrap().unwrap();
            assert_eq!(challenge_state(status), *shown);
            assert_eq!(status.as_str(), shown.as_str());
        }
        for shown in InventoryState::ALL {
            let status = inventory_status((*shown).into()).unwrap().unwrap();
            assert_eq!(inventory_state(status), *shown);
            assert_eq!(status.as_str(), shown.as_str());
        }
        for shown in CertificateState::ALL {
            let status = certificate_status((*shown).into()).unwrap().unwrap();
            assert_eq!(certificate_state(status), *shown);
            assert_eq!(status.as_str(), shown.as_str());
        }
        for shown in RequestState::ALL {
            let state = pending_state((*shown).into()).unwrap().unwrap();
            assert_eq!(request_state(state), *shown);
        }
        for shown in RevocationReason::ALL {
            let reason = crl_reason((*shown).into()).unwrap();
            assert_eq!(revocation_reason(reason), *shown);
            assert_eq!(reason.as_str(), shown.as_str());
            assert_eq!(i32::from(reason.code()), i32::from(*shown));
        }
    }

    #[test]
    fn a_value_that_is_unknown_is_refused_with_those_that_are() {
        assert_eq!(challenge_status(0).unwrap(), None);
        let refused = challenge_status(99).unwrap_err().to_string();
        assert!(
            refused.ends_with("are open, reserved, spent, revoked, expired"),
            "{refused}"
        );
    }

    #[test]
    fn names_are_filtered_by_in_the_form_in_which_they_are_kept() {
        let found = subject("cn=box-1, o=Example").unwrap();
        assert_eq!(found.as_deref(), Some("CN=box-1,O=Example"));
        assert_eq!(subject("").unwrap(), None);
        assert!(subject("box-1").is_err());
        assert_eq!(
            san("dns:a.example").unwrap().as_deref(),
            Some("dns:a.example")
        );
        assert!(san("a.example").is_err());
        assert!(serial("pump").is_err());
    }

    #[test]
    fn a_range_that_holds_nothing_is_refused() {
        let time = |seconds| Some(assay_types::Timestamp::from_seconds(seconds));
        let range = |from: Option<assay_types::Timestamp>, to: Option<assay_types::Timestamp>| {
            let (from, to) = (from.map(Into::into), to.map(Into::into));
            span::<assay_types::Timestamp>(Some(TimeRange { from, to }))
        };
        let (from, to) = (time(5), time(6));
        assert_eq!(range(from, to).unwrap(), Span { from, to });
        assert_eq!(range(None, None).unwrap(), Span::default());
        let refused = range(to, from).unwrap_err().to_string();
        let both = "ends at 1970-01-01T00:00:05Z, no later than it begins at 1970-01-01T00:00:06Z";
        assert!(refused.contains(both), "{refused}");
        assert!(range(to, to).is_err());
        assert!(range(time(-1), None).is_err());
    }
}
