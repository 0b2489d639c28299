//! What of HTTP belongs to SCEP (RFC 8894 §4): operations, content types and the `message` of a GET.
//!
//! It knows nothing of messages themselves, so that a frontend that uses it has no parser of them.

use std::str::FromStr;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use thiserror::Error;

/// Content-Type of GetCACaps.
pub const CAPABILITIES_TYPE: &str = "text/plain";
/// Content-Type of GetCACert with one certificate.
pub const CA_CERTIFICATE_TYPE: &str = "application/x-x509-ca-cert";
/// Content-Type of GetCACert with several certificates.
pub const CA_RA_CERTIFICATES_TYPE: &str = "application/x-x509-ca-ra-cert";
/// Content-Type of GetNextCACert.
pub const NEXT_CA_CERTIFICATE_TYPE: &str = "application/x-x509-next-ca-cert";
/// Content-Type of PKIOperation.
pub const PKI_MESSAGE_TYPE: &str = "application/x-pki-message";

/// The `operation` of a SCEP URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// GetCACaps.
    GetCaCaps,
    /// GetCACert.
    GetCaCert,
    /// GetNextCACert.
    GetNextCaCert,
    /// PKIOperation.
    PkiOperation,
}

impl Operation {
    /// The name as it stands in the URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::GetCaCaps => "GetCACaps",
            Operation::GetCaCert => "GetCACert",
            Operation::GetNextCaCert => "GetNextCACert",
            Operation::PkiOperation => "PKIOperation",
        }
    }
}

/// Not an operation of RFC 8894.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the operation is to be GetCACaps, GetCACert, GetNextCACert or PKIOperation")]
pub struct UnknownOperation;

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [
            Operation::GetCaCaps,
            Operation::GetCaCert,
            Operation::GetNextCaCert,
            Operation::PkiOperation,
        ]
        .into_iter()
        .find(|operation| operation.as_str() == name)
        .ok_or(UnknownOperation)
    }
}

/// A `message` that is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the message is to be base64, percent-escaped")]
pub struct NotBase64;

/// Standard alphabet; the padding may be missing, its `=` are lost where a client did not escape them.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes the value of `message=` as it stands in the URL (RFC 8894 §4.1).
///
/// Clients were seen to leave `+ / =` unescaped (macOS, jscep), to send a space for `+` (iOS 11), and to break lines
/// (strongSwan, sscep, Cisco).
///
/// # Errors
/// It is not base64 for all that.
pub fn decode_get_message(query_value: &[u8]) -> Result<Vec<u8>, NotBase64> {
    let mut text = Vec::with_capacity(query_value.len());
    let mut rest = query_value;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        let octet = match (octet, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                (hex_digit(*high)? << 4) | hex_digit(*low)?
            }
            (b'%', _) => return Err(NotBase64),
            _ => octet,
        };
        match octet {
            b'\r' | b'\n' | b'\t' => {}
            b' ' => text.push(b'+'),
            _ => text.push(octet),
        }
    }
    LENIENT.decode(&text).map_err(|_| NotBase64)
}

fn hex_digit(digit: u8) -> Result<u8, NotBase64> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(NotBase64),
    }
}
