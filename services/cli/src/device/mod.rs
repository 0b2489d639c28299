//! A SCEP client: the device's side of an enrolment, with a software key that belongs to the device.

mod ca;
mod connection;
mod key;
mod request;

use std::time::Duration;

use assay_policy::{Dn, SubjectAltName};
use assay_scep::PkiStatus;
use assay_scep::client::CertRep;
use openssl::x509::X509;

pub(crate) use ca::CaCertificates;
pub(crate) use connection::{Connection, Url};
pub(crate) use key::DeviceKey;
pub(crate) use request::Prepared;

use crate::failure::{Failure, OrFail, Outcome};

/// Longest wait for any one answer: the frontend answers 503 long before.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// What a device asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) subject: Dn,
    pub(crate) sans: Vec<SubjectAltName>,
    pub(crate) challenge: String,
}

/// What it got.
#[derive(Debug)]
pub(crate) struct Enrolled {
    pub(crate) certificate: X509,
    pub(crate) transaction_id: String,
}

/// How the server decided.
#[derive(Debug)]
pub(crate) enum Verdict {
    Issued(Enrolled),
    /// Nothing was issued: the key is of no use to anyone.
    Refused(Failure),
    Pending,
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

    /// Asks for a certificate.
    pub(crate) async fn enrol(&mut self, wish: &Wish, key: &DeviceKey) -> Outcome<Verdict> {
        let request = Prepared::new(wish, key, &self.ca.encryption).await?;
        let reply = self.connection.post(request.message.clone()).await?;
        request.read_reply(&reply, &self.ca, key).await
    }
}

impl Prepared {
    /// Takes nothing on trust: signature, transaction, nonce, key and issuer are all checked.
    pub(crate) async fn read_reply(
        &self,
        reply: &[u8],
        ca: &CaCertificates,
        key: &DeviceKey,
    ) -> Outcome<Verdict> {
        let what = "the server's answer is no CertRep to be trusted";
        let reply = CertRep::parse(reply, &assay_scep::Limits::default()).or_fail(what)?;
        reply.verify(&ca.signature).or_fail(what)?;
        if reply.transaction_id().as_str() != self.transaction_id
            || reply.recipient_nonce().map(assay_scep::Nonce::as_bytes)
                != Some(self.nonce.as_slice())
        {
            return Err(Failure::failed(what).because("it answers another request"));
        }
        match reply.status() {
            PkiStatus::Success => {}
            PkiStatus::Failure => return Ok(Verdict::Refused(refused(&reply))),
            PkiStatus::Pending => return Ok(Verdict::Pending),
        }
        let opened = reply
            .open(key, &self.signer_certificate)
            .await
            .or_fail(what)?
            .or_fail(what)?;
        let certificate = opened
            .first()
            .ok_or_else(|| Failure::failed(what).because("it holds no certificate"))?;
        let certificate = X509::from_der(certificate).or_fail(what)?;
        let certified = certificate.public_key().or_fail(what)?;
        if !certified.public_eq(key.public()) {
            return Err(Failure::failed(what).because("the certificate is over another key"));
        }
        ca.verify(&certificate)?;
        Ok(Verdict::Issued(Enrolled {
            certificate,
            transaction_id: self.transaction_id.clone(),
        }))
    }
}

impl Verdict {
    /// The certificate, or why there is none.
    pub(crate) fn issued(self) -> Outcome<Enrolled> {
        match self {
            Self::Issued(enrolled) => Ok(enrolled),
            Self::Refused(failure) => Err(failure),
            Self::Pending => Err(Failure::failed("the request waits for a decision")
                .next("see `assay audit list`; this profile was not meant to ask for one")),
        }
    }
}

fn refused(reply: &CertRep) -> Failure {
    let info = reply
        .fail_info()
        .map_or_else(|| "without a reason".to_owned(), |info| info.to_string());
    let text = reply
        .fail_info_text()
        .map(|text| format!(" ({text})"))
        .unwrap_or_default();
    Failure::failed(format!("the server refused the request: {info}{text}"))
        .next("`assay audit list --kind request.refused` names the rule")
}
