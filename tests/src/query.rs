//! What a device sends besides its first PKCSReq: renewals, polls and queries (RFC 8894 sections 3.3.1 to 3.3.5).

use anyhow::{Result, ensure};
use assay_scep::client::CertRep;
use assay_scep::{IssuerAndSerial, IssuerAndSubject, PkiStatus};
use der::Decode;
use openssl::x509::X509;

use crate::device::{Anchors, Device, Message, Twist};
use crate::http;

/// messageType of a renewal.
pub const RENEWAL_REQ: &str = "17";
/// messageType of a first enrolment, and of a renewal where the issued certificate signs it.
pub const PKCS_REQ: &str = "19";
const CERT_POLL: &str = "20";
const GET_CERT: &str = "21";
const GET_CRL: &str = "22";

impl Device {
    /// A message of any type with this content.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub async fn of_type(
        &self,
        anchors: &Anchors,
        message_type: &str,
        content: &[u8],
    ) -> Result<Message> {
        let twist = Twist {
            message_type: Some(message_type),
            ..Twist::default()
        };
        self.message(anchors, content, twist).await
    }

    /// CertPoll for an earlier transaction.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub async fn poll(
        &self,
        anchors: &Anchors,
        issuer: &X509,
        transaction_id: &str,
    ) -> Result<Message> {
        let signer = X509::from_der(self.certificate())?;
        let content = IssuerAndSubject {
            issuer_der: issuer.subject_name().to_der()?,
            subject_der: signer.subject_name().to_der()?,
        };
        let twist = Twist {
            message_type: Some(CERT_POLL),
            transaction_id: Some(transaction_id),
            ..Twist::default()
        };
        self.message(anchors, &content.to_der(), twist).await
    }

    /// GetCert for a serial number (content octets of the INTEGER) under an issuer.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub async fn get_cert(
        &self,
        anchors: &Anchors,
        issuer: &X509,
        serial: &[u8],
    ) -> Result<Message> {
        let content = issued_by(issuer, serial)?;
        self.of_type(anchors, GET_CERT, &content).await
    }

    /// GetCRL for the list that a serial number would stand in.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub async fn get_crl(
        &self,
        anchors: &Anchors,
        issuer: &X509,
        serial: &[u8],
    ) -> Result<Message> {
        let content = issued_by(issuer, serial)?;
        self.of_type(anchors, GET_CRL, &content).await
    }

    /// Posts a GetCRL; the CRL, DER.
    ///
    /// # Errors
    ///
    /// When the answer is none to this message, or brings no CRL.
    pub async fn fetch_crl(
        &self,
        url: &str,
        anchors: &Anchors,
        message: &Message,
    ) -> Result<Vec<u8>> {
        let response = http::post(url, &message.bytes).await?;
        ensure!(response.status == 200, "HTTP {}", response.status);
        let reply: CertRep = message.verified(anchors, &response.body)?;
        ensure!(
            reply.status() == PkiStatus::Success,
            "{:?}",
            reply.fail_info()
        );
        Ok(reply.open_crl(self, self.certificate()).await??)
    }
}

/// Content octets of a certificate's serial number.
///
/// # Errors
///
/// When it is no certificate.
pub fn serial(certificate: &[u8]) -> Result<Vec<u8>> {
    let certificate = x509_cert::Certificate::from_der(certificate)?;
    Ok(certificate
        .tbs_certificate()
        .serial_number()
        .as_bytes()
        .to_vec())
}

/// A serial number as operators write it: hex.
///
/// # Errors
///
/// When it is no certificate.
pub fn serial_hex(certificate: &[u8]) -> Result<String> {
    Ok(hex::encode(serial(certificate)?))
}

fn issued_by(issuer: &X509, serial: &[u8]) -> Result<Vec<u8>> {
    let query = IssuerAndSerial {
        issuer_der: issuer.subject_name().to_der()?,
        serial: serial.to_vec(),
    };
    Ok(query.to_der())
}
