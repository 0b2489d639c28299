//! The values of the SCEP attributes (RFC 8894 §3.2.1).

use std::fmt;

/// messageType (RFC 8894 §3.2.1.2), closed: 18 UpdateReq and every other value are not listed on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// The answer to any of the others.
    CertRep = 3,
    /// Renewal, signed with the certificate to renew.
    RenewalReq = 17,
    /// Enrolment, signed with a self-signed certificate.
    PkcsReq = 19,
    /// Poll for a pending request.
    CertPoll = 20,
    /// Fetch an issued certificate.
    GetCert = 21,
    /// Fetch the CRL.
    GetCrl = 22,
}

impl MessageType {
    /// The value as it stands in the attribute: decimal digits, no sign, no leading zero.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MessageType::CertRep => "3",
            MessageType::RenewalReq => "17",
            MessageType::PkcsReq => "19",
            MessageType::CertPoll => "20",
            MessageType::GetCert => "21",
            MessageType::GetCrl => "22",
        }
    }

    /// The type of an attribute value, if it is a listed one.
    #[must_use]
    pub fn from_value(value: &str) -> Option<Self> {
        [
            MessageType::CertRep,
            MessageType::RenewalReq,
            MessageType::PkcsReq,
            MessageType::CertPoll,
            MessageType::GetCert,
            MessageType::GetCrl,
        ]
        .into_iter()
        .find(|listed| listed.as_str() == value)
    }
}

/// pkiStatus (RFC 8894 §3.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PkiStatus {
    /// Granted; the certificates are in the envelope.
    Success = 0,
    /// Refused; failInfo says why.
    Failure = 2,
    /// Waiting for a decision: poll.
    Pending = 3,
}

impl PkiStatus {
    /// The value as it stands in the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PkiStatus::Success => "0",
            PkiStatus::Failure => "2",
            PkiStatus::Pending => "3",
        }
    }

    pub(crate) fn from_value(value: &str) -> Option<Self> {
        [PkiStatus::Success, PkiStatus::Failure, PkiStatus::Pending]
            .into_iter()
            .find(|listed| listed.as_str() == value)
    }
}

/// failInfo (RFC 8894 §3.2.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailInfo {
    /// Unrecognised or refused algorithm.
    BadAlg = 0,
    /// The CMS signature did not verify.
    BadMessageCheck = 1,
    /// The transaction is not permitted or not supported.
    BadRequest = 2,
    /// The signing time was not close enough to the system's.
    BadTime = 3,
    /// No certificate matches the criteria.
    BadCertId = 4,
}

impl FailInfo {
    /// The value as it stands in the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FailInfo::BadAlg => "0",
            FailInfo::BadMessageCheck => "1",
            FailInfo::BadRequest => "2",
            FailInfo::BadTime => "3",
            FailInfo::BadCertId => "4",
        }
    }

    /// The name in RFC 8894, for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FailInfo::BadAlg => "badAlg",
            FailInfo::BadMessageCheck => "badMessageCheck",
            FailInfo::BadRequest => "badRequest",
            FailInfo::BadTime => "badTime",
            FailInfo::BadCertId => "badCertId",
        }
    }

    pub(crate) fn from_value(value: &str) -> Option<Self> {
        [
            FailInfo::BadAlg,
            FailInfo::BadMessageCheck,
            FailInfo::BadRequest,
            FailInfo::BadTime,
            FailInfo::BadCertId,
        ]
        .into_iter()
        .find(|listed| listed.as_str() == value)
    }
}

impl fmt::Display for FailInfo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// transactionID (RFC 8894 §3.2.1.1): visible ASCII and spaces, echoed as it came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransactionId(String);

impl TransactionId {
    /// Takes the value if it is one to [`Limits::transaction_id`](crate::Limits) printable ASCII characters.
    #[must_use]
    pub fn new(value: &str, limits: &crate::Limits) -> Option<Self> {
        let printable = value
            .bytes()
            .all(|byte| byte == b' ' || byte.is_ascii_graphic());
        (printable && !value.is_empty() && value.len() <= limits.transaction_id)
            .then(|| TransactionId(value.to_owned()))
    }

    /// The text. It came from a client: it names a transaction only together with the signer's key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// senderNonce or recipientNonce (RFC 8894 §3.2.1.5): 16 octets, 1 to 64 accepted and echoed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nonce(Vec<u8>);

impl Nonce {
    /// Octets of a nonce that follows the RFC.
    pub const LENGTH: usize = 16;
    /// Octets of the longest nonce that is echoed; clients with other lengths than 16 were seen.
    pub const MAX_LENGTH: usize = 64;

    /// Takes a nonce of 1 to [`Nonce::MAX_LENGTH`] octets.
    #[must_use]
    pub fn new(octets: &[u8]) -> Option<Self> {
        (1..=Self::MAX_LENGTH)
            .contains(&octets.len())
            .then(|| Nonce(octets.to_vec()))
    }

    /// A fresh nonce of 16 random octets.
    ///
    /// # Errors
    /// The random generator failed.
    pub fn random() -> Result<Self, openssl::error::ErrorStack> {
        let mut octets = vec![0; Self::LENGTH];
        openssl::rand::rand_bytes(&mut octets)?;
        Ok(Nonce(octets))
    }

    /// The octets as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
