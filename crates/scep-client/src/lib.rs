//! A SCEP client: the device's side, with a software key that belongs to the device.

mod ca;
mod connection;
mod credential;
mod key;
mod reply;
mod request;

use std::time::Duration;

use assay_policy::{Dn, SubjectAltName};
use hyper::body::Bytes;

pub(crate) use ca::CaCertificates;
pub(crate) use connection::{Connection, Url};
pub(crate) use credential::Credential;
pub(crate) use key::{DeviceKey, KeyType};
pub(crate) use reply::{Enrolled, Verdict};
pub(crate) use request::{Prepared, transient_certificate};

use crate::failure::Outcome;

/// Longest wait for any one answer: the frontend answers 503 long before.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// What a device asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) subject: Dn,
    pub(crate) sans: Vec<SubjectAltName>,
    pub(crate) challenge: String,
}

/// A connection to a server whose certificates are known.
pub(crate) struct Session {
    connection: Connection,
    pub(crate) ca: CaCertificates,
}

impl Session {
    /// Connects and fetches the certificates; refuses a CA other than the one expected, if one is.
    pub(crate) async fn open(url: &Url, expected_ca: Option<[u8; 32]>) -> Outcome<Self> {
        let mut connection = Connection::open(url).await?;
        let ca = CaCertificates::parse(&connection.get("GetCACert").await?)?;
        ca.check(expected_ca)?;
        Ok(Self { connection, ca })
    }

    /// The next CA's certificates, as the present RA announces them.
    pub(crate) async fn next_ca(&mut self) -> Outcome<CaCertificates> {
        let body = self.connection.get(connection::NEXT_CA).await?;
        self.ca.parse_next(&body)
    }

    /// Goes over to the next CA: from here on requests are enveloped to its RA.
    pub(crate) async fn go_over(&mut self) -> Outcome {
        self.ca = self.next_ca().await?;
        Ok(())
    }

    /// Asks for a certificate.
    pub(crate) async fn enrol(&mut self, wish: &Wish, key: &DeviceKey) -> Outcome<Verdict> {
        let request = Prepared::new(wish, key, &self.ca.encryption).await?;
        self.ask(&request, key).await
    }

    /// Sends a PKCSReq, RenewalReq or CertPoll for a certificate over `key`.
    pub(crate) async fn ask(&mut self, request: &Prepared, key: &DeviceKey) -> Outcome<Verdict> {
        let reply = self.send(request).await?;
        request.read_reply(&reply, &self.ca, key).await
    }

    pub(crate) async fn send(&mut self, request: &Prepared) -> Outcome<Bytes> {
        self.connection.post(request.message.clone()).await
    }
}
