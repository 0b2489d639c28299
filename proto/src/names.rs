use crate::v1::{
    CertificateState, ChallengeKind, ChallengeState, InventoryState, RequestState,
    RevocationReason, RolloverStage,
};

/// An enum of the contract whose values people read and write by name.
pub trait Named: Copy + Into<i32> + TryFrom<i32> + 'static {
    /// The values that have a meaning, in the order of the contract.
    const ALL: &'static [Self];

    /// In lower case with hyphens; `unspecified` for a value that is not set.
    fn as_str(self) -> &'static str;

    /// The value with this name.
    fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|value| value.as_str() == name)
    }

    /// All names, for a text that says what would be right.
    fn names() -> String {
        let names: Vec<&str> = Self::ALL.iter().map(|value| value.as_str()).collect();
        names.join(", ")
    }
}

/// The match has no arm for what is not listed, so that a new value of the contract cannot be forgotten here.
macro_rules! names {
    ($type:ident { $([$unset:ident])? $($variant:ident = $name:literal),+ $(,)? }) => {
        impl Named for $type {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$unset => "unspecified",)?
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

names!(RolloverStage {
    [Unspecified]
    None = "none",
    Unapproved = "unapproved",
    Announced = "announced",
    Overlap = "overlap",
    Over = "over",
});

names!(ChallengeKind {
    [Unspecified]
    OneTime = "one-time",
    Static = "static",
});

names!(ChallengeState {
    [Unspecified]
    Open = "open",
    Reserved = "reserved",
    Spent = "spent",
    Revoked = "revoked",
    Expired = "expired",
});

names!(InventoryState {
    [Unspecified]
    Unused = "unused",
    Reserved = "reserved",
    Used = "used",
});

names!(CertificateState {
    [Unspecified]
    Intent = "intent",
    Issued = "issued",
    Held = "held",
    Revoked = "revoked",
    Abandoned = "abandoned",
    Imported = "imported",
    Recovered = "recovered",
});

// Unspecified is a reason of RFC 5280.
names!(RevocationReason {
    Unspecified = "unspecified",
    KeyCompromise = "key-compromise",
    CaCompromise = "ca-compromise",
    AffiliationChanged = "affiliation-changed",
    Superseded = "superseded",
    CessationOfOperation = "cessation-of-operation",
    CertificateHold = "certificate-hold",
    PrivilegeWithdrawn = "privilege-withdrawn",
    AaCompromise = "aa-compromise",
});

names!(RequestState {
    [Unspecified]
    Pending = "pending",
    Approved = "approved",
    Issued = "issued",
    Denied = "denied",
    Expired = "expired",
});

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use super::*;

    #[test]
    fn a_name_is_found_again_and_another_is_not() {
        for state in ChallengeState::ALL {
            assert_eq!(ChallengeState::named(state.as_str()), Some(*state));
        }
        assert_eq!(ChallengeState::named("unspecified"), None);
        assert_eq!(ChallengeState::named("Open"), None);
        assert_eq!(
            RevocationReason::named("unspecified"),
            Some(RevocationReason::Unspecified)
        );
        assert_eq!(InventoryState::names(), "unused, reserved, used");
    }
}
