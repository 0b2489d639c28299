use std::path::PathBuf;

use openssl::error::ErrorStack;

use crate::Refusal;

/// What lies behind an error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a device did not get what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is not `http://HOST[:PORT]/PATH`.
    #[error("{0} is not a URL that this client can use")]
    Url(String),
    /// No connection, or no answer within 30 s.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// As it was given.
        url: String,
        /// What the connection failed with; nothing where the time ran out.
        source: Option<Cause>,
    },
    /// The server answered with another HTTP status than 200.
    #[error("{url} answers {operation} with {status}{}", suffix(.reason))]
    Status {
        /// As it was given.
        url: String,
        /// The SCEP operation (RFC 8894 section 4.1).
        operation: String,
        /// HTTP status code.
        status: hyper::StatusCode,
        /// The body, as text.
        reason: String,
        /// Seconds of the Retry-After header.
        retry_after: Option<String>,
    },
    /// The HTTP request cannot be built, or the body of the answer cannot be read.
    #[error("{operation} failed")]
    Exchange {
        /// The SCEP operation (RFC 8894 section 4.1).
        operation: String,
        /// What it failed with.
        source: Cause,
    },
    /// GetCACert was not answered with certificates.
    #[error("GetCACert gave no certificates")]
    CaCertificates(#[source] Cause),
    /// The certificates lack a CA, or an RA that encrypts and signs.
    #[error("the server gave no usable set of RA and CA certificates")]
    NoRa,
    /// GetNextCACert was answered with something that the present RA did not sign.
    #[error("GetNextCACert gave nothing that can be believed")]
    NextCa(#[source] Cause),
    /// The CA is not the one whose fingerprint was given.
    #[error("the server's CA is another one: its SHA-256 fingerprint is {fingerprint}")]
    OtherCa {
        /// SHA-256 of the CA certificate that the server gave, hex.
        fingerprint: String,
    },
    /// A certificate or a CRL is not of the CA.
    #[error("a {0} from the server is not signed by its CA")]
    NotSigned(&'static str),
    /// A certificate that signatures are to be verified under cannot be read or used.
    #[error("cannot verify under the CA certificate")]
    Verify(#[source] ErrorStack),
    /// No key was generated.
    #[error("cannot make the device's key")]
    Generate(#[source] ErrorStack),
    /// A key cannot be encoded or decoded.
    #[error("the key cannot be encoded or decoded")]
    Encoding(#[source] ErrorStack),
    /// A file of the device cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What reading failed with.
        source: std::io::Error,
    },
    /// The file does not contain an unencrypted RSA or elliptic-curve key.
    #[error("{} holds no usable key", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Cause,
    },
    /// The file does not contain a certificate.
    #[error("{} holds no PEM certificate", .path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ErrorStack,
    },
    /// Certificate and key do not belong together.
    #[error("{} is not the key of {}", .key.display(), .certificate.display())]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A query is answered in an envelope that only an RSA key can open.
    #[error("an elliptic-curve key cannot open the answer to a query")]
    CannotDecrypt,
    /// The message cannot be built.
    #[error("cannot build the request")]
    Build(#[source] Cause),
    /// Signature, transaction, nonce, key or issuer of the answer is wrong.
    #[error("the server's answer is not a CertRep that can be trusted")]
    Untrusted(#[source] Cause),
    /// The server answered FAILURE.
    #[error("the server refused the request: {0}")]
    Refused(Refusal),
    /// The server answered PENDING where a certificate was needed.
    #[error("the request waits for an operator's approval")]
    Pending,
}

impl Error {
    pub(crate) fn build(source: impl Into<Cause>) -> Self {
        Self::Build(source.into())
    }

    pub(crate) fn untrusted(source: impl Into<Cause>) -> Self {
        Self::Untrusted(source.into())
    }

    pub(crate) fn ca_certificates(source: impl Into<Cause>) -> Self {
        Self::CaCertificates(source.into())
    }

    /// Whether the server was away or busy, so that it has decided nothing and may be asked again.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Status {
                    status: hyper::StatusCode::SERVICE_UNAVAILABLE,
                    ..
                }
        )
    }
}

fn suffix(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}
