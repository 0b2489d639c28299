//! What the server answered. Signature, transaction, nonce, key and issuer are all checked.

use std::fmt;

use assay_scep::client::{CertRep, CertRepError};
use assay_scep::{FailInfo, Nonce, PkiStatus};
use openssl::error::ErrorStack;
use openssl::x509::{X509, X509Crl};

use crate::{CaCertificates, DeviceKey, Error, Prepared, Result};

/// What a device got.
#[derive(Debug)]
pub struct Enrolled {
    /// Signed by the CA, over the device's key.
    pub certificate: X509,
    /// The transaction that it ended.
    pub transaction_id: String,
}

/// How the server decided.
#[derive(Debug)]
pub enum Verdict {
    /// The certificate was issued.
    Issued(Enrolled),
    /// Nothing was issued, and nothing will be in this transaction.
    Refused(Refusal),
    /// The request waits for an operator's approval.
    Pending,
}

/// Why a server refused (RFC 8894 section 3.2.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason by its number, if the server gave one.
    pub fail_info: Option<FailInfo>,
    /// The reason as text, if the server gave one.
    pub text: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fail_info {
            Some(info) => write!(f, "{info}")?,
            None => f.write_str("without a reason")?,
        }
        match &self.text {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

impl Prepared {
    /// The answer to a PKCSReq, RenewalReq or CertPoll; the certificate must be over `key`.
    ///
    /// # Errors
    /// The answer is not that of this server to this message, or the certificate is not the one asked for.
    pub async fn read_reply(
        &self,
        reply: &[u8],
        ca: &CaCertificates,
        key: &DeviceKey,
    ) -> Result<Verdict> {
        let reply = self.check(reply, ca)?;
        match reply.status() {
            PkiStatus::Success => {}
            PkiStatus::Failure => return Ok(Verdict::Refused(refusal(&reply))),
            PkiStatus::Pending => return Ok(Verdict::Pending),
        }
        let certificate = self.first_certificate(&reply, ca).await?;
        let certified = certificate.public_key().map_err(Error::untrusted)?;
        if !certified.public_eq(key.public()) {
            return Err(Error::untrusted("the certificate is over another key"));
        }
        Ok(Verdict::Issued(Enrolled {
            certificate,
            transaction_id: self.transaction_id.clone(),
        }))
    }

    /// The answer to a GetCert.
    ///
    /// # Errors
    /// The server refused, or the answer is not that of this server to this message.
    pub async fn read_certificate(&self, reply: &[u8], ca: &CaCertificates) -> Result<X509> {
        let reply = self.granted(reply, ca)?;
        self.first_certificate(&reply, ca).await
    }

    /// The answer to a GetCRL.
    ///
    /// # Errors
    /// The server refused, or the answer is not that of this server to this message.
    pub async fn read_crl(&self, reply: &[u8], ca: &CaCertificates) -> Result<X509Crl> {
        let reply = self.granted(reply, ca)?;
        let der = opened(
            reply
                .open_crl(&self.signer.key, &self.signer.certificate)
                .await,
        )?;
        let crl = X509Crl::from_der(&der).map_err(Error::untrusted)?;
        ca.verify_crl(&crl)?;
        Ok(crl)
    }

    /// The CertRep of this server to this very message.
    fn check(&self, reply: &[u8], ca: &CaCertificates) -> Result<CertRep> {
        let reply =
            CertRep::parse(reply, &assay_scep::Limits::of_replies()).map_err(Error::untrusted)?;
        reply.verify(&ca.signature).map_err(Error::untrusted)?;
        if reply.transaction_id().as_str() != self.transaction_id
            || reply.recipient_nonce().map(Nonce::as_bytes) != Some(self.nonce.as_slice())
        {
            return Err(Error::untrusted("it answers another request"));
        }
        Ok(reply)
    }

    /// The SUCCESS of this server to this very message, not yet opened.
    ///
    /// # Errors
    /// The server refused, or the answer is not that of this server to this message.
    pub fn granted(&self, reply: &[u8], ca: &CaCertificates) -> Result<CertRep> {
        let reply = self.check(reply, ca)?;
        match reply.status() {
            PkiStatus::Success => Ok(reply),
            PkiStatus::Failure => Err(Error::Refused(refusal(&reply))),
            PkiStatus::Pending => Err(Error::untrusted("a query is never pending")),
        }
    }

    async fn first_certificate(&self, reply: &CertRep, ca: &CaCertificates) -> Result<X509> {
        let certificates = match &self.password {
            Some(password) => reply
                .open_with_password(password)
                .map_err(Error::untrusted)?,
            None => opened(reply.open(&self.signer.key, &self.signer.certificate).await)?,
        };
        let der = certificates
            .first()
            .ok_or_else(|| Error::untrusted("it holds no certificate"))?;
        let certificate = X509::from_der(der).map_err(Error::untrusted)?;
        ca.verify(&certificate)?;
        Ok(certificate)
    }
}

impl Verdict {
    /// The certificate.
    ///
    /// # Errors
    /// The request was refused, or waits for approval.
    pub fn issued(self) -> Result<Enrolled> {
        match self {
            Self::Issued(enrolled) => Ok(enrolled),
            Self::Refused(refusal) => Err(Error::Refused(refusal)),
            Self::Pending => Err(Error::Pending),
        }
    }
}

fn opened<T>(result: Result<Result<T, CertRepError>, ErrorStack>) -> Result<T> {
    result.map_err(Error::untrusted)?.map_err(Error::untrusted)
}

fn refusal(reply: &CertRep) -> Refusal {
    Refusal {
        fail_info: reply.fail_info(),
        text: reply.fail_info_text().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use assay_scep::{Cipher, Digest, Limits, Outcome as Answer, ReplyContext, Request, cert_rep};
    use der::Encode;
    use x509_cert::name::Name;

    use super::*;
    use crate::{EnrolmentRequest, KeyType, transient_certificate};

    const BITS: u32 = 2_048;

    fn name(text: &str) -> Vec<u8> {
        text.parse::<Name>().unwrap().to_der().unwrap()
    }

    fn server() -> (DeviceKey, CaCertificates) {
        let key = DeviceKey::generate(KeyType::Rsa(BITS)).unwrap();
        let spki = key.spki_der().unwrap();
        let certificate = transient_certificate(&key, &name("CN=CA,O=Example"), &spki).unwrap();
        (key, CaCertificates::parse(&certificate).unwrap())
    }

    async fn ask(key: &DeviceKey, ca: &CaCertificates) -> Prepared {
        let wanted = EnrolmentRequest {
            subject: name("CN=box-1,O=Example"),
            subject_alt_names: None,
            challenge: "challenge".to_owned(),
        };
        Prepared::new(&wanted, key, &ca.encryption).await.unwrap()
    }

    async fn pending(asked: &Prepared, key: &DeviceKey, ca: &CaCertificates) -> Vec<u8> {
        let request = Request::parse(&asked.message, &Limits::default()).unwrap();
        request.verify().unwrap();
        let context = ReplyContext {
            request: &request,
            ra_certificate: &ca.signature,
            digest: Digest::Sha256,
            cipher: Cipher::Aes128Cbc,
            password: None,
        };
        cert_rep(&context, &Answer::Pending, key).await.unwrap()
    }

    /// RFC 8894 section 3.2.1.5. The transactionID comes of the key, so the nonce alone tells the requests apart.
    #[tokio::test]
    async fn an_answer_to_another_request_is_not_taken() {
        let (ca_key, ca) = server();
        let device = DeviceKey::generate(KeyType::Rsa(BITS)).unwrap();
        let (first, second) = (ask(&device, &ca).await, ask(&device, &ca).await);
        assert_eq!(first.transaction_id, second.transaction_id);
        let reply = pending(&first, &ca_key, &ca).await;

        let taken = first.read_reply(&reply, &ca, &device).await.unwrap();
        assert!(matches!(taken, Verdict::Pending));
        let refused = second.read_reply(&reply, &ca, &device).await.unwrap_err();
        let Error::Untrusted(why) = refused else {
            panic!("{refused}");
        };
        assert!(why.to_string().contains("another request"), "{why}");
    }
}
