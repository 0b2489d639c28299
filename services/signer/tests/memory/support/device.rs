//! A device: messages and answers.

use assay_proto::v1::pki_operation_reply::Outcome;
use assay_scep::client::{CertRep, PkiMessageBuilder, assemble_csr, new_csr_info};
use assay_scep::{
    Decryptor, Digest, FailInfo, IssuerAndSerial, IssuerAndSubject, KeyTransport, Limits,
    MessageSigner, Nonce, PkiStatus, Secret,
};
use assay_software_token::Ca;
use der::Encode;
use der::asn1::{Ia5String, OctetString};
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, BigNumRef};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, PKey, PKeyRef, Private};
use openssl::rsa::Padding;
use openssl::sign::Signer;
use openssl::x509::{X509, X509Builder, X509NameBuilder, X509NameRef, X509Ref};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use zeroize::Zeroizing;

use super::key;
use super::seams::BEGIN;

pub(crate) const RENEWAL_REQ: &str = "17";
pub(crate) const PKCS_REQ: &str = "19";
const CERT_POLL: &str = "20";
pub(crate) const GET_CERT: &str = "21";
pub(crate) const GET_CRL: &str = "22";

/// A key with the certificate that its messages are signed under: a transient one, or one that was issued.
#[derive(Clone)]
pub(crate) struct Device {
    key: PKey<Private>,
    certificate: Vec<u8>,
    /// Opens the replies where the key cannot decrypt.
    challenge: Option<Secret>,
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

    /// A new key on this curve. Replies are opened by the challenge.
    pub(crate) fn on_curve(curve: Nid, challenge: &str) -> Self {
        let group = EcGroup::from_curve_name(curve).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        Self::with(key).knowing(challenge)
    }

    fn with(key: PKey<Private>) -> Self {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "transient").unwrap();
        let name = name.build();
        // Of its own, as the issuer's name is not: recipients are told apart by the two.
        let serial = openssl::sha::sha256(&key.public_key_to_der().unwrap());
        let serial = BigNum::from_slice(&serial[..8]).unwrap();
        Self {
            certificate: signed_certificate(&name, &name, &serial, &key, &key),
            key,
            challenge: None,
        }
    }

    /// The same device with another challenge to open its replies by.
    pub(crate) fn knowing(&self, challenge: &str) -> Self {
        Self {
            challenge: Some(Secret::new(challenge.to_owned())),
            ..self.clone()
        }
    }

    /// The same key under a certificate of another CA that took the name of `ca`.
    pub(crate) fn forged(&self, ca: &Ca, serial: &BigNumRef) -> Self {
        let name = ca.ca.certificate.subject_name();
        let certificate = signed_certificate(name, name, serial, &self.key, &key("decoy"));
        self.holding(&certificate)
    }

    /// A certificate over its key that the CA signed and the signer has no record of, DER.
    pub(crate) fn hidden(&self, ca: &Ca, serial: u32) -> Vec<u8> {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("O", "Example").unwrap();
        name.append_entry_by_text("CN", "hidden").unwrap();
        let (name, serial) = (name.build(), BigNum::from_u32(serial).unwrap());
        let issuer = ca.ca.certificate.subject_name();
        signed_certificate(&name, issuer, &serial, &self.key, &ca.ca.key)
    }

    /// The certificate that its messages are signed under, DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The same key under the certificate that it was issued.
    pub(crate) fn holding(&self, certificate: &[u8]) -> Self {
        Self {
            certificate: certificate.to_vec(),
            ..self.clone()
        }
    }

    pub(crate) fn csr(&self, subject: &str, challenge: Option<&str>) -> Vec<u8> {
        self.csr_with(subject, challenge, &[])
    }

    /// A CSR with these extensions, each a whole DER Extension.
    pub(crate) fn csr_with(
        &self,
        subject: &str,
        challenge: Option<&str>,
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let subject: Name = subject.parse().unwrap();
        let spki = self.key.public_key_to_der().unwrap();
        let info = new_csr_info(&subject.to_der().unwrap(), &spki, challenge, extensions);
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
        let serial = certificate.serial_number().to_bn().unwrap();
        let issuer = certificate.issuer_name();
        self.query_by(ca, message_type, issuer, &serial).await
    }

    /// GetCert or GetCRL about a serial number of this issuer.
    pub(crate) async fn query_by(
        &self,
        ca: &Ca,
        message_type: &str,
        issuer: &X509NameRef,
        serial: &BigNumRef,
    ) -> Message {
        let content = IssuerAndSerial {
            issuer_der: issuer.to_der().unwrap(),
            serial: serial.to_vec(),
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
        let reply = message.verified(ca, &cert_rep);
        let first = |certificates: Vec<_>| Answer::Issued(certificates.into_iter().next().unwrap());
        match (reply.status(), &self.challenge) {
            (PkiStatus::Failure, _) => Answer::Refused(reply.fail_info().unwrap()),
            (PkiStatus::Pending, _) => Answer::Pending,
            (PkiStatus::Success, Some(challenge)) => {
                first(reply.open_with_password(challenge).unwrap())
            }
            (PkiStatus::Success, None) => {
                match reply.open(self, &self.certificate).await.unwrap() {
                    Ok(certificates) if !certificates.is_empty() => first(certificates),
                    Ok(_) | Err(_) => {
                        let crl = reply.open_crl(self, &self.certificate).await.unwrap();
                        Answer::Crl(crl.unwrap())
                    }
                }
            }
        }
    }

    fn signature(&self, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        Signer::new(MessageDigest::sha256(), &self.key)?.sign_oneshot_to_vec(octets)
    }
}

impl Message {
    /// The CertRep, if it is the answer of this CA's RA to this very message.
    pub(crate) fn verified(&self, ca: &Ca, cert_rep: &[u8]) -> CertRep {
        let reply = CertRep::parse(cert_rep, &Limits::of_replies()).unwrap();
        reply.verify(&ca.ra_sign.der().unwrap()).unwrap();
        assert_eq!(reply.transaction_id().as_str(), self.transaction_id);
        let nonce = reply.recipient_nonce().map(Nonce::as_bytes);
        assert_eq!(nonce, Some(self.nonce.as_slice()));
        reply
    }
}

/// A requested extension, whole: OID, critical flag and the DER of the value.
pub(crate) fn extension(oid: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let extension = Extension {
        extn_id: oid.parse().unwrap(),
        critical,
        extn_value: OctetString::new(value).unwrap(),
    };
    extension.to_der().unwrap()
}

/// subjectAltName with dNSNames, as a requested extension.
pub(crate) fn dns_names(names: &[&str]) -> Vec<u8> {
    let name = |name: &&str| GeneralName::DnsName(Ia5String::new(*name).unwrap());
    let names = SubjectAltName(names.iter().map(name).collect());
    extension("2.5.29.17", false, &names.to_der().unwrap())
}

/// A certificate that names the same recipient and holds a key that the signer has not.
pub(crate) fn of_another_key(certificate: &X509Ref) -> X509 {
    let serial = certificate.serial_number().to_bn().unwrap();
    let (subject, issuer) = (certificate.subject_name(), certificate.issuer_name());
    let decoy = key("decoy");
    let der = signed_certificate(subject, issuer, &serial, &decoy, &decoy);
    X509::from_der(&der).unwrap()
}

/// A certificate over `key`, DER, valid for a day from the beginning.
fn signed_certificate(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    serial: &BigNumRef,
    key: &PKeyRef<impl HasPublic>,
    by: &PKeyRef<Private>,
) -> Vec<u8> {
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    let serial = serial.to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    let at = |seconds| Asn1Time::from_unix(BEGIN.seconds() + seconds).unwrap();
    builder.set_not_before(&at(0)).unwrap();
    builder.set_not_after(&at(86_400)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.sign(by, MessageDigest::sha256()).unwrap();
    builder.build().to_der().unwrap()
}

impl MessageSigner for Device {
    type Error = ErrorStack;

    async fn sign(
        &self,
        _digest: Digest,
        _content: &[u8],
        signed_attributes: &[u8],
    ) -> Result<Vec<u8>, ErrorStack> {
        self.signature(signed_attributes)
    }
}

impl Decryptor for Device {
    type Error = ErrorStack;

    async fn decrypt(
        &self,
        _transport: KeyTransport,
        _length: usize,
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
