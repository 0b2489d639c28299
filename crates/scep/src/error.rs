//! Why a message is not answered ([`Malformed`]), is refused ([`Refusal`]), or yields nothing ([`Undecipherable`]).

use thiserror::Error;

use crate::FailInfo;

/// No CertRep can be built for such bytes: the HTTP 400 class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Longer than the budget.
    #[error("the message has more than {limit} octets")]
    TooLong {
        /// Octets allowed.
        limit: usize,
    },
    /// Nested deeper than the budget.
    #[error("the encoding nests more than {limit} levels")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// More elements than the budget.
    #[error("the encoding has more than {limit} elements")]
    TooManyElements {
        /// Elements allowed.
        limit: usize,
    },
    /// More entries in a list than the budget.
    #[error("the message has more than {limit} {what}")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// Entries allowed.
        limit: usize,
    },
    /// Not a well-formed BER encoding.
    #[error("the encoding at octet {offset} is not BER: {expected}")]
    Encoding {
        /// Where, counted from the start of the message.
        offset: usize,
        /// What would be right.
        expected: &'static str,
    },
    /// Octets follow the message.
    #[error("the message is to be one ContentInfo; {octets} octets follow it")]
    TrailingOctets {
        /// How many.
        octets: usize,
    },
    /// A structure is not what RFC 5652 or RFC 8894 defines.
    #[error("{0} is not as defined")]
    Structure(&'static str),
    /// A pkiMessage has exactly one signer.
    #[error("exactly one SignerInfo is expected, found {found}")]
    SignerCount {
        /// SignerInfos found.
        found: usize,
    },
    /// Each signed attribute comes once.
    #[error("a signed attribute comes twice")]
    DuplicateAttribute,
    /// Each signed attribute has one value.
    #[error("a signed attribute is to have exactly one value")]
    AttributeValues,
    /// No transactionID, or not a PrintableString in bounds.
    #[error("transactionID is to be a PrintableString of 1 to 255 characters")]
    TransactionId,
    /// No senderNonce, or not an OCTET STRING in bounds.
    #[error("senderNonce is to be an OCTET STRING of 1 to 64 octets")]
    SenderNonce,
}

/// A refusal with a public cause: a CertRep FAILURE with this failInfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{fail_info}: {reason}")]
pub struct Refusal {
    /// What the client is told.
    pub fail_info: FailInfo,
    /// A short kebab-case cause for logs and metrics; it holds nothing of the message.
    pub reason: &'static str,
}

impl Refusal {
    pub(crate) const fn bad_algorithm(reason: &'static str) -> Self {
        Refusal {
            fail_info: FailInfo::BadAlg,
            reason,
        }
    }

    pub(crate) const fn bad_message_check(reason: &'static str) -> Self {
        Refusal {
            fail_info: FailInfo::BadMessageCheck,
            reason,
        }
    }

    pub(crate) const fn bad_request(reason: &'static str) -> Self {
        Refusal {
            fail_info: FailInfo::BadRequest,
            reason,
        }
    }
}

/// The envelope did not open. It holds no cause, because a cause told apart would be a padding oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the envelope does not open")]
pub struct Undecipherable;
