//! What the server answered. Nothing is taken on trust: signature, transaction, nonce, key and issuer are all checked.

use assay_scep::client::{CertRep, CertRepError};
use assay_scep::{Nonce, PkiStatus};
use openssl::error::ErrorStack;
use openssl::x509::{X509, X509Crl};

use super::{CaCertificates, DeviceKey, Prepared};
use crate::failure::{Exit, Failure, OrFail, Outcome};

const UNTRUSTED: &str = "the server's answer is no CertRep to be trusted";

/// What a device got.
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

impl Prepared {
    /// The answer to a PKCSReq, RenewalReq or CertPoll; the certificate is to be over `key`.
    pub(crate) async fn read_reply(
        &self,
        reply: &[u8],
        ca: &CaCertificates,
        key: &DeviceKey,
    ) -> Outcome<Verdict> {
        let reply = self.check(reply, ca)?;
        match reply.status() {
            PkiStatus::Success => {}
            PkiStatus::Failure => return Ok(Verdict::Refused(refused(&reply))),
            PkiStatus::Pending => return Ok(Verdict::Pending),
        }
        let certificate = self.first_certificate(&reply, ca).await?;
        let certified = certificate.public_key().or_fail(UNTRUSTED)?;
        if !certified.public_eq(key.public()) {
            return Err(Failure::failed(UNTRUSTED).because("the certificate is over another key"));
        }
        Ok(Verdict::Issued(Enrolled {
            certificate,
            transaction_id: self.transaction_id.clone(),
        }))
    }

    /// The answer to a GetCert.
    pub(crate) async fn read_certificate(
        &self,
        reply: &[u8],
        ca: &CaCertificates,
    ) -> Outcome<X509> {
        let reply = self.granted(reply, ca)?;
        self.first_certificate(&reply, ca).await
    }

    /// The answer to a GetCRL.
    pub(crate) async fn read_crl(&self, reply: &[u8], ca: &CaCertificates) -> Outcome<X509Crl> {
        let reply = self.granted(reply, ca)?;
        let der = opened(
            reply
                .open_crl(&self.signer.key, &self.signer.certificate)
                .await,
        )?;
        let crl = X509Crl::from_der(&der).or_fail(UNTRUSTED)?;
        ca.verify_crl(&crl)?;
        Ok(crl)
    }

    /// A CertRep of this server's to this very message.
    fn check(&self, reply: &[u8], ca: &CaCertificates) -> Outcome<CertRep> {
        let reply = CertRep::parse(reply, &assay_scep::Limits::default()).or_fail(UNTRUSTED)?;
        reply.verify(&ca.signature).or_fail(UNTRUSTED)?;
        if reply.transaction_id().as_str() != self.transaction_id
            || reply.recipient_nonce().map(Nonce::as_bytes) != Some(self.nonce.as_slice())
        {
            return Err(Failure::failed(UNTRUSTED).because("it answers another request"));
        }
        Ok(reply)
    }

    /// A SUCCESS of this server's to this very message, not yet opened.
    pub(crate) fn granted(&self, reply: &[u8], ca: &CaCertificates) -> Outcome<CertRep> {
        let reply = self.check(reply, ca)?;
        match reply.status() {
            PkiStatus::Success => Ok(reply),
            PkiStatus::Failure => Err(refused(&reply)),
            PkiStatus::Pending => {
                Err(Failure::failed(UNTRUSTED).because("a query is never pending"))
            }
        }
    }

    async fn first_certificate(&self, reply: &CertRep, ca: &CaCertificates) -> Outcome<X509> {
        let certificates = match &self.password {
            Some(password) => reply.open_with_password(password).or_fail(UNTRUSTED)?,
            None => opened(reply.open(&self.signer.key, &self.signer.certificate).await)?,
        };
        let der = certificates
            .first()
            .ok_or_else(|| Failure::failed(UNTRUSTED).because("it holds no certificate"))?;
        let certificate = X509::from_der(der).or_fail(UNTRUSTED)?;
        ca.verify(&certificate)?;
        Ok(certificate)
    }
}

impl Verdict {
    /// The certificate, or why there is none.
    pub(crate) fn issued(self) -> Outcome<Enrolled> {
        match self {
            Self::Issued(enrolled) => Ok(enrolled),
            Self::Refused(failure) => Err(failure),
            Self::Pending => Err(Failure::new(
                Exit::Pending,
                "the request waits for an operator's approval",
            )
            .next("see `assay request list`")),
        }
    }
}

fn opened<T>(result: Result<Result<T, CertRepError>, ErrorStack>) -> Outcome<T> {
    result.or_fail(UNTRUSTED)?.or_fail(UNTRUSTED)
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

#[cfg(test)]
mod tests {
    use assay_policy::Dn;
    use assay_scep::{Cipher, Digest, Limits, Outcome as Answer, ReplyContext, Request, cert_rep};

    use super::super::{Wish, transient_certificate};
    use super::*;

    const BITS: u32 = 2_048;

    fn server() -> (DeviceKey, CaCertificates) {
        let key = DeviceKey::generate(BITS).unwrap();
        let subject = Dn::parse_rfc4514("CN=CA,O=Example").unwrap();
        let subject = subject.to_der(assay_policy::StringEncoding::Utf8).unwrap();
        let certificate = transient_certificate(&key, &subject, &key.spki_der().unwrap()).unwrap();
        (key, CaCertificates::parse(&certificate).unwrap())
    }

    async fn ask(key: &DeviceKey, ca: &CaCertificates) -> Prepared {
        let wish = Wish {
            subject: Dn::parse_rfc4514("CN=box-1,O=Example").unwrap(),
            sans: Vec::new(),
            challenge: "challenge".to_owned(),
        };
        Prepared::new(&wish, key, &ca.encryption).await.unwrap()
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
        let device = DeviceKey::generate(BITS).unwrap();
        let (first, second) = (ask(&device, &ca).await, ask(&device, &ca).await);
        assert_eq!(first.transaction_id, second.transaction_id);
        let reply = pending(&first, &ca_key, &ca).await;

        let taken = first.read_reply(&reply, &ca, &device).await.unwrap();
        assert!(matches!(taken, Verdict::Pending));
        let refused = second.read_reply(&reply, &ca, &device).await.unwrap_err();
        assert!(refused.to_string().contains("another request"), "{refused}");
    }
}
