//! OCSPResponse (RFC 6960 section 4.2.1) and the BasicOCSPResponse that it carries.

use const_oid::db::rfc6960::ID_PKIX_OCSP_BASIC;
use der::asn1::{Any, BitString, ObjectIdentifier, OctetString};
use der::{Decode, Encode, Enumerated, Sequence};

use crate::Error;

/// Maximum length of a response in octets. One with an RSA-4096 signature and its responder's certificate has about 3,000.
pub const MAX_RESPONSE: usize = 16 * 1_024;

/// What a responder answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// A signed status.
    Successful(BasicResponse),
    /// No status, and no signature.
    Unsuccessful(Unsuccessful),
}

/// Why a responder gives no status (RFC 5019 section 2.2.3). The other two statuses of RFC 6960, `internalError` and
/// `sigRequired`, are not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsuccessful {
    /// The request is not an OCSPRequest.
    MalformedRequest,
    /// The status is not available at the moment.
    TryLater,
    /// The responder does not answer for this certificate.
    Unauthorized,
}

/// A signed ResponseData. The parts are DER, but for the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicResponse {
    /// The ResponseData: see [`crate::ResponseData`].
    pub data: Vec<u8>,
    /// The AlgorithmIdentifier of the signature.
    pub algorithm: Vec<u8>,
    /// The content of the signature's BIT STRING.
    pub signature: Vec<u8>,
    /// The responder's certificate, where it is included.
    pub certificate: Option<Vec<u8>>,
}

#[derive(Sequence)]
struct ResponseDer {
    status: StatusCode,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    bytes: Option<ResponseBytes>,
}

#[derive(Clone, Copy, Enumerated)]
#[repr(u8)]
enum StatusCode {
    Successful = 0,
    MalformedRequest = 1,
    TryLater = 3,
    Unauthorized = 6,
}

#[derive(Sequence)]
struct ResponseBytes {
    response_type: ObjectIdentifier,
    response: OctetString,
}

#[derive(Sequence)]
struct BasicResponseDer {
    data: Any,
    algorithm: Any,
    signature: BitString,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    certificates: Option<Vec<Any>>,
}

impl Response {
    /// Reads DER. The signature and the status inside are not looked at.
    ///
    /// # Errors
    /// The input is not an OCSPResponse, is longer than [`MAX_RESPONSE`], or carries something else than a
    /// BasicOCSPResponse with at most one certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_RESPONSE {
            return Err(Error::Malformed);
        }
        let ResponseDer { status, bytes } =
            ResponseDer::from_der(der).map_err(|_| Error::Malformed)?;
        let unsuccessful = match (status, bytes) {
            (StatusCode::Successful, Some(bytes)) if bytes.response_type == ID_PKIX_OCSP_BASIC => {
                let basic = BasicResponse::from_der(bytes.response.as_bytes())?;
                return Ok(Self::Successful(basic));
            }
            (StatusCode::MalformedRequest, None) => Unsuccessful::MalformedRequest,
            (StatusCode::TryLater, None) => Unsuccessful::TryLater,
            (StatusCode::Unauthorized, None) => Unsuccessful::Unauthorized,
            (StatusCode::Successful, _) | (_, Some(_)) => return Err(Error::Malformed),
        };
        Ok(Self::Unsuccessful(unsuccessful))
    }
}

impl Unsuccessful {
    /// The DER of the OCSPResponse.
    #[must_use]
    pub fn to_der(self) -> [u8; 5] {
        let code = match self {
            Self::MalformedRequest => StatusCode::MalformedRequest,
            Self::TryLater => StatusCode::TryLater,
            Self::Unauthorized => StatusCode::Unauthorized,
        };
        [0x30, 3, 0x0a, 1, code as u8]
    }
}

impl BasicResponse {
    /// Reads DER.
    ///
    /// # Errors
    /// The input is not a BasicOCSPResponse with at most one certificate, or is longer than [`MAX_RESPONSE`].
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_RESPONSE {
            return Err(Error::Malformed);
        }
        let malformed = |_| Error::Malformed;
        let basic = BasicResponseDer::from_der(der).map_err(malformed)?;
        let certificate = match basic.certificates.as_deref() {
            None => None,
            Some([one]) => Some(one.to_der().map_err(malformed)?),
            Some([] | [_, _, ..]) => return Err(Error::Malformed),
        };
        Ok(Self {
            data: basic.data.to_der().map_err(malformed)?,
            algorithm: basic.algorithm.to_der().map_err(malformed)?,
            signature: basic.signature.as_bytes().ok_or(Error::Malformed)?.to_vec(),
            certificate,
        })
    }

    /// The DER of the BasicOCSPResponse.
    ///
    /// # Errors
    /// A part that is to be DER is not.
    pub fn to_der(&self) -> Result<Vec<u8>, Error> {
        self.encode().map_err(|_| Error::Unencodable)
    }

    /// The DER of the OCSPResponse that carries it, as it is sent.
    ///
    /// # Errors
    /// A part that is to be DER is not.
    pub fn to_response(&self) -> Result<Vec<u8>, Error> {
        let encode = || {
            let bytes = ResponseBytes {
                response_type: ID_PKIX_OCSP_BASIC,
                response: OctetString::new(self.encode()?)?,
            };
            ResponseDer {
                status: StatusCode::Successful,
                bytes: Some(bytes),
            }
            .to_der()
        };
        encode().map_err(|_| Error::Unencodable)
    }

    fn encode(&self) -> der::Result<Vec<u8>> {
        BasicResponseDer {
            data: Any::from_der(&self.data)?,
            algorithm: Any::from_der(&self.algorithm)?,
            signature: BitString::from_bytes(&self.signature)?,
            certificates: self
                .certificate
                .as_deref()
                .map(|certificate| Ok::<_, der::Error>(vec![Any::from_der(certificate)?]))
                .transpose()?,
        }
        .to_der()
    }
}
