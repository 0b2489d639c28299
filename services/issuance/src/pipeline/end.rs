//! How a request ends when it does not end in a certificate, and what the device is told.

use assay_audit::Attachment;
use assay_scep::FailInfo;

/// Why a request went no further.
#[derive(Debug)]
pub(crate) enum End {
    /// HTTP 404.
    UnknownProfile,
    /// HTTP 400: no CertRep can be built.
    Malformed(String),
    /// A CertRep FAILURE whose cause is public or was authenticated.
    Refused(Refused),
    /// The one uniform failure of unwrapping, decoding and proving possession. It carries nothing, so that nothing can
    /// tell its causes apart.
    Undecipherable,
    /// The like for GetCert and GetCRL, badCertId: from unwrapping to the serial number that is not found.
    Unanswered,
    /// HTTP 503: too much did not open of late, and nobody knows the signer of this message. Nothing was decrypted.
    NotOpened,
    /// HTTP 503: the token, the store or a budget has no room now.
    Deferred(Deferred),
}

/// A refusal in words for the log; the device sees the failInfo, and the text where its profile says so.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) fail_info: FailInfo,
    pub(crate) rule: String,
    pub(crate) detail: String,
    /// What a rule of the policy was judged on.
    pub(crate) evidence: Option<Box<Attachment>>,
}

/// Why nothing could be answered now.
#[derive(Debug)]
pub(crate) struct Deferred {
    pub(crate) cause: String,
    /// The terminal record is there, or recovery writes it when it finishes the certificate.
    pub(crate) has_record: bool,
}

impl End {
    pub(crate) fn refused(
        fail_info: FailInfo,
        rule: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self::Refused(Refused {
            fail_info,
            rule: rule.into(),
            detail: detail.into(),
            evidence: None,
        })
    }

    pub(crate) fn deferred(cause: impl std::fmt::Display) -> Self {
        Self::Deferred(Deferred {
            cause: cause.to_string(),
            has_record: false,
        })
    }

    /// A label for metrics; one of a closed set.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::UnknownProfile => "unknown-profile",
            Self::Malformed(_) => "malformed",
            Self::Refused(_) | Self::Undecipherable | Self::Unanswered => "refused",
            Self::NotOpened | Self::Deferred(_) => "deferred",
        }
    }
}

/// RFC 8894 section 3.2.1.4: a message of ours with its failInfo.
impl From<assay_scep::Refusal> for End {
    fn from(refusal: assay_scep::Refusal) -> Self {
        Self::refused(
            refusal.fail_info,
            format!("SCEP:{}", refusal.reason),
            refusal.reason,
        )
    }
}

/// Policy refusals are badRequest.
impl From<assay_policy::Refusal> for End {
    fn from(refusal: assay_policy::Refusal) -> Self {
        Self::refused(
            FailInfo::BadRequest,
            refusal.rule.to_string(),
            refusal.detail,
        )
    }
}

impl From<assay_hsm::OperationError> for End {
    fn from(error: assay_hsm::OperationError) -> Self {
        Self::deferred(error)
    }
}

impl From<assay_store::StoreError> for End {
    fn from(error: assay_store::StoreError) -> Self {
        Self::deferred(assay_runtime::telemetry::chain(&error))
    }
}

impl From<openssl::error::ErrorStack> for End {
    fn from(_: openssl::error::ErrorStack) -> Self {
        Self::deferred("OpenSSL failed")
    }
}
