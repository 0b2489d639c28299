use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

/// CRLReason of RFC 5280 section 5.3.1, but for `removeFromCRL`, which only delta CRLs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CrlReason {
    /// No reason: its code is left out of a CRL.
    Unspecified = 0,
    /// The subject's key is in other hands.
    KeyCompromise = 1,
    /// The issuer's key is in other hands.
    CaCompromise = 2,
    /// The subject's name or other content changed.
    AffiliationChanged = 3,
    /// It has a successor.
    Superseded = 4,
    /// It is no longer needed.
    CessationOfOperation = 5,
    /// On hold, and may be released.
    CertificateHold = 6,
    /// A privilege was withdrawn.
    PrivilegeWithdrawn = 9,
    /// The key of an attribute authority is in other hands.
    AaCompromise = 10,
}

/// Not a reason to revoke a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the code is not that of a reason to revoke a certificate (RFC 5280 section 5.3.1)")]
pub struct BadReason;

impl CrlReason {
    const ALL: [Self; 9] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The ENUMERATED value.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// As operators write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::CertificateHold => "certificate-hold",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
            Self::AaCompromise => "aa-compromise",
        }
    }
}

impl TryFrom<u8> for CrlReason {
    type Error = BadReason;

    fn try_from(code: u8) -> Result<Self, BadReason> {
        let mut all = Self::ALL.into_iter();
        all.find(|reason| reason.code() == code).ok_or(BadReason)
    }
}

impl ToSql for CrlReason {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.code().into())
    }
}

impl FromSql for CrlReason {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::try_from(u8::column_result(value)?).map_err(FromSqlError::other)
    }
}
