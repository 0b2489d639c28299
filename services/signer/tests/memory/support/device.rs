//! A device: messages and answers.

use assay_proto::v1::pki_operation_reply::Outcome;
use assay_scep::client::{CertRep, PkiMessageBuilder, assemble_csr, new_csr_info};
use assay_scep::{
    Decryptor, Digest, FailInfo, IssuerAndSerial, IssuerAndSubject, KeyTransport, Limits,
    MessageSigner, Nonce, PkiStatus,
};
use assay_software_token::Ca;
use der::Encode;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Padding;
use openssl::sign::Signer;
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use x509_cert::name::Name;
use zeroize::Zeroizing;

use super::key;
use super::seams::BEGIN;

pub(crate) const RENEWAL_REQ: &str = "17";
pub(crate) const PKCS_REQ: &str = "19";
pub(crate) const CERT_POLL: &str = "20";
pub(crate) const GET_CERT: &str = "21";
pub(crate) const GET_CRL: &str = "22";

/// An RSA key with the certificate that its messages are signed under: a transient one, or one that was issued.
pub(crate) struct Device {
    key: PKey<Private>,
    certificate: Vec<u8>,
}

/// A pkiMessage, and what its answer must name.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    pub(crate) transaction_id: String,
    nonce: Vec<u8>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Issued(Vec<u8>),
    Crl(Vec<u8>),
    Refused(FailInfo),
    Pending,
    Busy,
    Malformed,
    UnknownProfile,
}

impl Answer {
    pub(crate) fn certificate(self) -> Vec<u8> {
        if let Self::Issued(certificate) = self {
            return certificate;
        }
        panic!("not issued: {self:?}");
    }
}

impl Device {
    pub(crate) fn new() -> Self {
        Self::with(key("device"))
    }

    pub(crate) fn other() -> Self {
        Self::with(key("other-device"))
    }

    fn with(key: PKey<Private>) -> Self {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "transient").unwrap();
        let name = name.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        // Of its own, as the issuer's name is not: recipients are told apart by the two.
        let serial = openssl::sha::sha256(&key.public_key_to_der().unwrap());
        let serial = BigNum::from_slice(&serial[..8]).unwrap();
        let serial = serial.to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        let at = |seconds| Asn1Time::from_unix(BEGIN.seconds() + seconds).unwrap();
        builder.set_not_before(&at(0)).unwrap();
        builder.set_not_after(&at(86_400)).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let certificate = builder.build().to_der().unwrap();
        Self { key, certificate }
    }

    /// The same key under the certificate that it was issued.
    pub(crate) fn holding(&self, certificate: &[u8]) -> Self {
        Self {
            key: self.key.clone(),
            certificate: certificate.to_vec(),
        }
    }

    pub(crate) fn csr(&self, subject: &str, challenge: Option<&str>) -> Vec<u8> {
        let subject: Name = subject.parse().unwrap();
        let spki = self.key.public_key_to_der().unwrap();
        let info = new_csr_info(&subject.to_der().unwrap(), &spki, challenge, &[]);
        assemble_csr(&info, Digest::Sha256, &self.signature(&info).unwrap())
    }

    /// A message of this type to the RA of `ca`.
    pub(crate) async fn message(&self, ca: &Ca, message_type: &str, content: &[u8]) -> Message {
        let nonce = Nonce::random().unwrap().as_bytes().to_vec();
        let transaction_id = hex::encode(&nonce);
        self.within(ca, message_type, content, &transaction_id)
            .await
    }

    async fn within(
        &self,
        ca: &Ca,
        message_type: &str,
        content: &[u8],
        transaction_id: &str,
    ) -> Message {
        let nonce = Nonce::random().unwrap().as_bytes().to_vec();
        let recipient = ca.ra_enc.der().unwrap();
        let mut builder =
            PkiMessageBuilder::new(&self.certificate, &recipient, transaction_id, &nonce);
        builder.message_type = message_type;
        let bytes = builder.build(content, self).await.unwrap();
        Message {
            bytes,
            transaction_id: transaction_id.to_owned(),
            nonce,
        }
    }

    pub(crate) async fn pkcs_req(&self, ca: &Ca, subject: &str, challenge: &str) -> Message {
        let csr = self.csr(subject, Some(challenge));
        self.message(ca, PKCS_REQ, &csr).await
    }

    /// CertPoll for an earlier message.
    pub(crate) async fn poll(&self, ca: &Ca, earlier: &Message) -> Message {
        let own = X509::from_der(&self.certificate).unwrap();
        let content = IssuerAndSubject {
            issuer_der: ca.ca.certificate.subject_name().to_der().unwrap(),
            subject_der: own.subject_name().to_der().unwrap(),
        };
        let content = content.to_der();
        self.within(ca, CERT_POLL, &content, &earlier.transaction_id)
            .await
    }

    /// GetCert or GetCRL about a certificate.
    pub(crate) async fn query(&self, ca: &Ca, message_type: &str, certificate: &[u8]) -> Message {
        let certificate = X509::from_der(certificate).unwrap();
        let serial = certificate.serial_number().to_bn().unwrap().to_vec();
        let content = IssuerAndSerial {
            issuer_der: certificate.issuer_name().to_der().unwrap(),
            serial,
        };
        self.message(ca, message_type, &content.to_der()).await
    }

    /// Verifies and opens an answer.
    pub(crate) async fn read(&self, ca: &Ca, message: &Message, outcome: Outcome) -> Answer {
        let cert_rep = match outcome {
            Outcome::CertRep(cert_rep) => cert_rep,
            Outcome::Malformed(_) => return Answer::Malformed,
            Outcome::UnknownProfile(_) => return Answer::UnknownProfile,
            Outcome::Busy(_) => return Answer::Busy,
        };
        let reply = CertRep::parse(&cert_rep, &Limits::default()).unwrap();
        reply.verify(&ca.ra_sign.der().unwrap()).unwrap();
        assert_eq!(reply.transaction_id().as_str(), message.transaction_id);
        let nonce = reply.recipient_nonce().map(Nonce::as_bytes);
        assert_eq!(nonce, Some(message.nonce.as_slice()));
        match reply.status() {
            PkiStatus::Failure => Answer::Refused(reply.fail_info().unwrap()),
            PkiStatus::Pending => Answer::Pending,
            PkiStatus::Success => match reply.open(self, &self.certificate).await.unwrap() {
                Ok(certificates) if !certificates.is_empty() => {
                    Answer::Issued(certificates.into_iter().next().unwrap())
                }
                Ok(_) | Err(_) => {
                    let crl = reply.open_crl(self, &self.certificate).await.unwrap();
                    Answer::Crl(crl.unwrap())
                }
            },
        }
    }

    fn signature(&self, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        Signer::new(MessageDigest::sha256(), &self.key)?.sign_oneshot_to_vec(octets)
    }
}

impl MessageSigner for Device {
    type Error = ErrorStack;

    async fn sign(&self, _digest: Digest, signed_attributes: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        self.signature(signed_attributes)
    }
}

impl Decryptor for Device {
    type Error = ErrorStack;

    async fn decrypt(
        &self,
        _transport: KeyTransport,
        encrypted_key: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, ErrorStack> {
        let key = self.key.rsa()?;
        let mut octets = Zeroizing::new(vec![0; usize::try_from(key.size()).unwrap()]);
        let opened = key.private_decrypt(encrypted_key, &mut octets, Padding::PKCS1);
        Ok(opened.ok().map(|length| {
            octets.truncate(length);
            octets
        }))
    }
}
