//! OCSPRequest (RFC 6960 section 4.1). Signatures, requestor names and extensions, a nonce among them, are skipped:
//! responses are signed in advance and are the same for everybody (RFC 5019 section 2.2.3).

use der::asn1::Any;
use der::{Decode, Encode, Sequence};

use crate::cert_id::CertIdDer;
use crate::{CertId, Error};

/// Maximum length of a request in octets: one certificate, a nonce and a signature with certificates are shorter.
pub const MAX_REQUEST: usize = 4_096;

#[derive(Sequence)]
struct RequestDer {
    tbs: TbsRequest,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    signature: Option<Any>,
}

#[derive(Sequence)]
struct TbsRequest {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    requestor: Option<Any>,
    /// Bounded by the length of the request.
    requests: Vec<SingleRequest>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Any>,
}

#[derive(Sequence)]
struct SingleRequest {
    id: CertIdDer,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Any>,
}

impl CertId {
    /// Reads the certificate that an OCSPRequest is about.
    ///
    /// # Errors
    /// The input is not an OCSPRequest of version 1, is longer than [`MAX_REQUEST`], is about several certificates, or
    /// names the issuer by a hash algorithm that this crate does not know.
    pub fn from_request(request: &[u8]) -> Result<Self, Error> {
        if request.len() > MAX_REQUEST {
            return Err(Error::Malformed);
        }
        let tbs = RequestDer::from_der(request)
            .map_err(|_| Error::Malformed)?
            .tbs;
        if tbs.version.is_some_and(|version| version != 0) {
            return Err(Error::Malformed);
        }
        match tbs.requests.as_slice() {
            [one] => CertId::try_from(&one.id),
            [] => Err(Error::Malformed),
            [_, _, ..] => Err(Error::SeveralCertificates),
        }
    }

    /// The DER of the OCSPRequest about this certificate, unsigned and without a nonce.
    ///
    /// # Errors
    /// The serial number is empty.
    pub fn to_request(&self) -> Result<Vec<u8>, Error> {
        let request = RequestDer {
            tbs: TbsRequest {
                version: None,
                requestor: None,
                requests: vec![SingleRequest {
                    id: CertIdDer::try_from(self)?,
                    extensions: None,
                }],
                extensions: None,
            },
            signature: None,
        };
        request.to_der().map_err(|_| Error::Unencodable)
    }
}
