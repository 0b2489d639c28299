//! pkiMessages ready to be sent (RFC 8894, section 3.3).

use std::time::{Duration, SystemTime};

use assay_scep::client::{
    PkiMessageBuilder, assemble_certificate, assemble_csr, new_csr_info, self_signed_tbs,
};
use assay_scep::{
    Digest, IssuerAndSerial, IssuerAndSubject, MessageType, Nonce, Secret, SignerCertificate,
};
use const_oid::AssociatedOid;
use der::asn1::OctetString;
use der::{Decode, Encode};
use hyper::body::Bytes;
use openssl::sha::{Sha256, sha256};
use x509_cert::Certificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName as SanExtension;

use crate::{CaCertificates, Credential, DeviceKey, EnrolmentRequest, Error, Result};

/// How long the transient certificate says it is valid; nobody runs path validation on it.
const TRANSIENT: Duration = Duration::from_hours(24);
const DIGEST: Digest = Digest::Sha256;

/// The message, and what it takes to recognise its answer and to open it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// DER, as it is posted.
    pub message: Bytes,
    /// RFC 8894 section 3.2.1.1.
    pub transaction_id: String,
    pub(crate) nonce: Vec<u8>,
    /// Who signed the message: the reply is enveloped to it.
    pub signer: Credential,
    /// Where its key cannot decrypt: what the reply is enveloped under.
    pub(crate) password: Option<Secret>,
}

impl Prepared {
    /// PKCSReq: a first certificate, by a challenge, signed with a transient certificate over the new key.
    /// `recipient` is the RA certificate that it is enveloped to, DER.
    ///
    /// # Errors
    /// OpenSSL fails, or the names are not DER.
    pub async fn new(wanted: &EnrolmentRequest, key: &DeviceKey, recipient: &[u8]) -> Result<Self> {
        let subject = &wanted.subject;
        let spki = key.spki_der()?;
        let extensions = san_extension(wanted.subject_alt_names.as_deref())?;
        let csr = csr(key, subject, &spki, Some(&wanted.challenge), &extensions)?;
        let signer = Credential {
            key: key.clone(),
            certificate: transient_certificate(key, subject, &spki)?,
        };
        // Derived from the key, so that a device that asks again finds its transaction again.
        let transaction_id = hex::encode(sha256(&spki));
        Self::build(
            MessageType::PkcsReq,
            &csr,
            Requester::new(signer, Some(&wanted.challenge)),
            transaction_id,
            recipient,
        )
        .await
    }

    /// RenewalReq: the names of a certificate over `key`, signed with that certificate; with a fresh challenge where the
    /// key of that certificate cannot decrypt the reply. `recipient` as for [`Prepared::new`].
    ///
    /// # Errors
    /// OpenSSL fails, or the certificate cannot be read.
    pub async fn renewal(
        old: Credential,
        key: &DeviceKey,
        challenge: Option<&str>,
        recipient: &[u8],
    ) -> Result<Self> {
        let spki = key.spki_der()?;
        let extensions = san_of(&old.certificate)?;
        let csr = csr(key, &old.subject_der()?, &spki, challenge, &extensions)?;
        // Of the certificate too: under the same key it is another transaction than the one before.
        let mut digest = Sha256::new();
        digest.update(&spki);
        digest.update(&old.certificate);
        let transaction_id = hex::encode(digest.finish());
        Self::build(
            MessageType::RenewalReq,
            &csr,
            Requester::new(old, challenge),
            transaction_id,
            recipient,
        )
        .await
    }

    /// CertPoll: what became of the transaction that `signer` began.
    ///
    /// # Errors
    /// OpenSSL fails, or a certificate cannot be read.
    pub async fn poll(
        signer: Credential,
        transaction_id: String,
        ca: &CaCertificates,
    ) -> Result<Self> {
        let content = IssuerAndSubject {
            issuer_der: ca.subject_der()?,
            subject_der: signer.subject_der()?,
        };
        Self::build(
            MessageType::CertPoll,
            &content.to_der(),
            Requester::new(signer, None),
            transaction_id,
            &ca.encryption,
        )
        .await
    }

    /// GetCert: the certificate of the CA with this serial number (content bytes of the INTEGER).
    ///
    /// # Errors
    /// The signer has an elliptic-curve key, which cannot open the answer; or OpenSSL fails.
    pub async fn get_certificate(
        signer: Credential,
        serial: &[u8],
        ca: &CaCertificates,
    ) -> Result<Self> {
        let content = IssuerAndSerial {
            issuer_der: ca.subject_der()?,
            serial: serial.to_vec(),
        };
        Self::query(MessageType::GetCert, &content, signer, ca).await
    }

    /// GetCRL: the CRL that would list the signer's own certificate.
    ///
    /// # Errors
    /// As for [`Prepared::get_certificate`].
    pub async fn get_crl(signer: Credential, ca: &CaCertificates) -> Result<Self> {
        let certificate = signer.parsed()?;
        let content = IssuerAndSerial {
            issuer_der: certificate.issuer_der().to_vec(),
            serial: certificate.serial().to_vec(),
        };
        Self::query(MessageType::GetCrl, &content, signer, ca).await
    }

    async fn query(
        kind: MessageType,
        content: &IssuerAndSerial,
        signer: Credential,
        ca: &CaCertificates,
    ) -> Result<Self> {
        if !signer.key.decrypts() {
            return Err(Error::CannotDecrypt);
        }
        let transaction_id = hex::encode(nonce()?);
        Self::build(
            kind,
            &content.to_der(),
            Requester::new(signer, None),
            transaction_id,
            &ca.encryption,
        )
        .await
    }

    async fn build(
        kind: MessageType,
        content: &[u8],
        Requester { signer, password }: Requester,
        transaction_id: String,
        recipient: &[u8],
    ) -> Result<Self> {
        let nonce = nonce()?;
        let builder = PkiMessageBuilder {
            message_type: kind.as_str(),
            ..PkiMessageBuilder::new(&signer.certificate, recipient, &transaction_id, &nonce)
        };
        let message = builder
            .build(content, &signer.key)
            .await
            .map_err(Error::build)?;
        Ok(Self {
            message: message.into(),
            transaction_id,
            nonce,
            signer,
            password,
        })
    }
}

/// Who asks, and by what the answer is opened.
struct Requester {
    signer: Credential,
    password: Option<Secret>,
}

impl Requester {
    fn new(signer: Credential, challenge: Option<&str>) -> Self {
        let challenge = challenge.filter(|_| !signer.key.decrypts());
        Self {
            password: challenge.map(|challenge| Secret::new(challenge.to_owned())),
            signer,
        }
    }
}

impl Credential {
    fn parsed(&self) -> Result<SignerCertificate> {
        SignerCertificate::parse(&self.certificate)
            .ok_or_else(|| Error::build("the device's certificate is unreadable"))
    }

    fn subject_der(&self) -> Result<Vec<u8>> {
        Ok(self.parsed()?.subject_der().to_vec())
    }
}

fn nonce() -> Result<Vec<u8>> {
    let nonce = Nonce::random().map_err(Error::build)?;
    Ok(nonce.as_bytes().to_vec())
}

fn csr(
    key: &DeviceKey,
    subject: &[u8],
    spki: &[u8],
    challenge: Option<&str>,
    extensions: &[Vec<u8>],
) -> Result<Vec<u8>> {
    let info = new_csr_info(subject, spki, challenge, extensions);
    let signature = key.sign(DIGEST, &info).map_err(Error::build)?;
    Ok(assemble_csr(&info, DIGEST, &signature))
}

fn san_extension(names: Option<&[u8]>) -> Result<Vec<Vec<u8>>> {
    let Some(names) = names else {
        return Ok(Vec::new());
    };
    let extension = Extension {
        extn_id: SanExtension::OID,
        critical: false,
        extn_value: OctetString::new(names).map_err(Error::build)?,
    };
    Ok(vec![extension.to_der().map_err(Error::build)?])
}

/// The extension with the subject alternative names as a certificate has it.
fn san_of(certificate: &[u8]) -> Result<Vec<Vec<u8>>> {
    let certificate = Certificate::from_der(certificate).map_err(Error::build)?;
    let extensions = certificate.tbs_certificate().extensions();
    extensions
        .into_iter()
        .flatten()
        .filter(|extension| extension.extn_id == SanExtension::OID)
        .map(|extension| extension.to_der().map_err(Error::build))
        .collect()
}

/// The self-signed certificate of RFC 8894 section 2.3, DER, over the public key `spki` for the DER Name `subject`.
///
/// # Errors
/// OpenSSL cannot sign, or the arguments are not DER.
pub fn transient_certificate(key: &DeviceKey, subject: &[u8], spki: &[u8]) -> Result<Vec<u8>> {
    let now = SystemTime::now();
    let tbs =
        self_signed_tbs(subject, spki, &[1], DIGEST, now, now + TRANSIENT).map_err(Error::build)?;
    let signature = key.sign(DIGEST, &tbs).map_err(Error::build)?;
    Ok(assemble_certificate(&tbs, DIGEST, &signature))
}
