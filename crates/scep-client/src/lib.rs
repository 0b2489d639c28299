//! A SCEP client (RFC 8894) over HTTP: a device with a software key that enrols, polls, renews and queries.
//!
//! [`Session::open`] connects and fetches the server's certificates; [`Session::enrol`] asks for a certificate. Whatever
//! the server answers is verified before it is used.

mod ca;
mod connection;
mod credential;
mod error;
mod key;
mod reply;
mod request;

use std::time::Duration;

use assay_types::Hash;
use hyper::body::Bytes;

pub use ca::CaCertificates;
pub use connection::{Connection, Url};
pub use credential::Credential;
pub use error::{Cause, Error};
pub use key::{DeviceKey, KeyType};
pub use reply::{Enrolled, Refusal, Verdict};
pub use request::{Prepared, transient_certificate};

/// What each step of the client ends with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Longest wait for any one answer: the frontend answers 503 long before.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// What a device asks for.
#[derive(Clone, Debug)]
pub struct EnrolmentRequest {
    /// The subject, a DER Name.
    pub subject: Vec<u8>,
    /// The subject alternative names, DER GeneralNames, if there are any.
    pub subject_alt_names: Option<Vec<u8>>,
    /// The challengePassword.
    pub challenge: String,
}

/// A connection to a server whose certificates are known.
pub struct Session {
    connection: Connection,
    /// The server's certificates; requests are enveloped to its RA.
    pub ca: CaCertificates,
}

impl Session {
    /// Connects and fetches the certificates; refuses a CA other than the one whose SHA-256 fingerprint is given.
    ///
    /// # Errors
    /// The server cannot be reached, or its certificates cannot be used.
    pub async fn open(url: &Url, expected_ca: Option<Hash>) -> Result<Self> {
        let mut connection = Connection::open(url).await?;
        let ca = CaCertificates::fetch(&mut connection).await?;
        ca.check(expected_ca)?;
        Ok(Self { connection, ca })
    }

    /// The next CA's certificates, as the present RA announces them.
    ///
    /// # Errors
    /// There is no next CA, or the present RA did not sign the announcement.
    pub async fn next_ca(&mut self) -> Result<CaCertificates> {
        let body = self.connection.get(connection::NEXT_CA).await?;
        self.ca.parse_next(&body)
    }

    /// Switches to the next CA: from here on requests are enveloped to its RA.
    ///
    /// # Errors
    /// As for [`Session::next_ca`].
    pub async fn go_over(&mut self) -> Result<()> {
        self.ca = self.next_ca().await?;
        Ok(())
    }

    /// Asks for a certificate.
    ///
    /// # Errors
    /// The request cannot be built or sent, or the answer cannot be trusted.
    pub async fn enrol(&mut self, wanted: &EnrolmentRequest, key: &DeviceKey) -> Result<Verdict> {
        let request = Prepared::new(wanted, key, &self.ca.encryption).await?;
        self.ask(&request, key).await
    }

    /// Sends a PKCSReq, RenewalReq or CertPoll for a certificate over `key`.
    ///
    /// # Errors
    /// The request cannot be sent, or the answer cannot be trusted.
    pub async fn ask(&mut self, request: &Prepared, key: &DeviceKey) -> Result<Verdict> {
        let reply = self.send(request).await?;
        request.read_reply(&reply, &self.ca, key).await
    }

    /// Sends any message, and returns the answer unread.
    ///
    /// # Errors
    /// The server cannot be reached, or answers with an HTTP error.
    pub async fn send(&mut self, request: &Prepared) -> Result<Bytes> {
        self.connection.post(request.message.clone()).await
    }
}
