//! A device that can be made to say what no client would: our own SCEP client code with a software key of the device.

use anyhow::{Context, Result, bail, ensure};
use assay_scep::client::{CertRep, PkiMessageBuilder, assemble_csr, new_csr_info};
use assay_scep::{
    Decryptor, Digest, FailInfo, KeyTransport, Limits, MessageSigner, Nonce, PkiStatus, Secret,
    SignerCertificate,
};
use der::Encode;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::Signer;
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use x509_cert::name::Name;
use zeroize::Zeroizing;

use crate::http;
use crate::installation::{Installation, pem};

const KEY_BITS: u32 = 2048;
const SERIAL_BITS: i32 = 64;

/// The certificates that a device knows of its CA before it asks for its own.
#[derive(Clone, Debug)]
pub struct Anchors {
    /// Requests are enveloped to this one.
    pub ra_enc: Vec<u8>,
    /// Replies are signed with this one.
    pub ra_sign: Vec<u8>,
}

impl Anchors {
    /// Those of an installation, DER.
    ///
    /// # Errors
    ///
    /// When they are not there.
    pub fn of(installation: &Installation) -> Result<Self> {
        let ready = installation.ready();
        Ok(Self {
            ra_enc: pem(&ready.ra_enc_pem)?,
            ra_sign: pem(&ready.ra_sign_pem)?,
        })
    }
}

/// A CA with its RA, as devices learn of them over SCEP.
#[derive(Clone, Debug)]
pub struct KnownCa {
    /// What requests are enveloped to and replies signed with.
    pub anchors: Anchors,
    /// The issuing CA, DER.
    pub ca: Vec<u8>,
}

impl KnownCa {
    /// The one that GetCACert names.
    ///
    /// # Errors
    ///
    /// When there is no list of an RA of two certificates and a CA.
    pub async fn present(url: &str) -> Result<Self> {
        let response = http::get(&format!("{url}?operation=GetCACert")).await?;
        ensure!(response.status == 200, "HTTP {}", response.status);
        Self::of(assay_scep::parse_ca_certificates(&response.body)?)
    }

    /// The one that takes over, as the present RA announces it by GetNextCACert.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not signed by the RA that `self` knows.
    pub async fn next(&self, url: &str) -> Result<Self> {
        let response = http::get(&format!("{url}?operation=GetNextCACert")).await?;
        ensure!(response.status == 200, "HTTP {}", response.status);
        let ra = SignerCertificate::parse(&self.anchors.ra_sign).context("the RA")?;
        Self::of(assay_scep::parse_next_ca_certificates(&response.body, &ra)?)
    }

    /// RA certificates, then the issuing CA.
    fn of(certificates: Vec<Vec<u8>>) -> Result<Self> {
        let mut certificates = certificates.into_iter();
        let mut next = || certificates.next().context("too few certificates");
        let (ra_enc, ra_sign, ca) = (next()?, next()?, next()?);
        let anchors = Anchors { ra_enc, ra_sign };
        Ok(Self { anchors, ca })
    }

    /// Whether its CA's key signed the certificate, DER.
    ///
    /// # Errors
    ///
    /// When one of them is none.
    pub fn has_issued(&self, certificate: &[u8]) -> Result<bool> {
        let ca = X509::from_der(&self.ca)?.public_key()?;
        Ok(X509::from_der(certificate)?.verify(&ca)?)
    }
}

/// A key, and the transient self-signed certificate of RFC 8894 section 2.3.
#[derive(Debug)]
pub struct Device {
    key: PKey<Private>,
    certificate: Vec<u8>,
    /// What replies are opened by where the key cannot decrypt.
    challenge: Option<Secret>,
}

/// A pkiMessage and what its reply must refer to.
#[derive(Clone, Debug)]
pub struct Message {
    /// As it goes over the wire.
    pub bytes: Vec<u8>,
    transaction_id: String,
    sender_nonce: Vec<u8>,
}

impl Message {
    /// What a client polls by.
    pub fn transaction_id(&self) -> &str {
        &self.transaction_id
    }

    /// The CertRep, if it is the RA's answer to this very message (RFC 8894 section 3.2.1).
    ///
    /// # Errors
    ///
    /// When the signature, the transactionID or the nonce is not the right one.
    pub fn verified(&self, anchors: &Anchors, cert_rep: &[u8]) -> Result<CertRep> {
        let reply = CertRep::parse(cert_rep, &Limits::of_replies())?;
        reply.verify(&anchors.ra_sign)?;
        ensure!(
            reply.transaction_id().as_str() == self.transaction_id,
            "another transactionID"
        );
        let nonce = reply.recipient_nonce().map(Nonce::as_bytes);
        ensure!(nonce == Some(&self.sender_nonce), "another recipientNonce");
        Ok(reply)
    }
}

/// What an attacker changes in a message before he signs it.
#[derive(Clone, Debug, Default)]
pub struct Twist<'a> {
    /// messageType, as the text of the attribute.
    pub message_type: Option<&'a str>,
    /// transactionID, in place of a fresh one.
    pub transaction_id: Option<&'a str>,
    /// The certificates that come with the message, in place of the signer's alone.
    pub bag: Option<Vec<&'a [u8]>>,
}

/// What a CertRep says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// SUCCESS: certificates, DER, the issued one first.
    Issued(Vec<Vec<u8>>),
    /// FAILURE.
    Refused(FailInfo),
    /// PENDING.
    Pending,
}

impl Answer {
    /// The issued certificate, DER.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn certificate(&self) -> Result<&[u8]> {
        match self {
            Self::Issued(certificates) => Ok(certificates
                .first()
                .context("SUCCESS without a certificate")?),
            Self::Refused(_) | Self::Pending => bail!("not issued: {self:?}"),
        }
    }
}

impl Device {
    /// A device with a new RSA-2048 key.
    ///
    /// # Errors
    ///
    /// When OpenSSL fails.
    pub fn new() -> Result<Self> {
        Self::with_key_of(KEY_BITS)
    }

    /// A device with a new RSA key of this length.
    ///
    /// # Errors
    ///
    /// When OpenSSL fails.
    pub fn with_key_of(bits: u32) -> Result<Self> {
        Self::of_key(PKey::from_rsa(Rsa::generate(bits)?)?)
    }

    /// A device with a new key on this curve, which opens its replies by this challenge.
    ///
    /// # Errors
    ///
    /// When OpenSSL fails.
    pub fn on_curve(curve: Nid, challenge: &str) -> Result<Self> {
        let group = EcGroup::from_curve_name(curve)?;
        let device = Self::of_key(PKey::from_ec_key(EcKey::generate(&group)?)?)?;
        Ok(Self {
            challenge: Some(Secret::new(challenge.to_owned())),
            ..device
        })
    }

    fn of_key(key: PKey<Private>) -> Result<Self> {
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", "transient")?;
        let name = name.build();
        // Of its own, as the issuer's name is not: recipients are told apart by the two.
        let mut serial = BigNum::new()?;
        serial.rand(SERIAL_BITS, MsbOption::ONE, false)?;
        let serial = serial.to_asn1_integer()?;
        let (begin, end) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(1)?);
        let mut builder = X509Builder::new()?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_serial_number(&serial)?;
        builder.set_not_before(&begin)?;
        builder.set_not_after(&end)?;
        builder.set_pubkey(&key)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let certificate = builder.build().to_der()?;
        Ok(Self {
            key,
            certificate,
            challenge: None,
        })
    }

    /// The same key with another certificate in place of the transient one: the one that it was issued, for a renewal.
    #[must_use]
    pub fn holding(&self, certificate: &[u8]) -> Self {
        Self {
            key: self.key.clone(),
            certificate: certificate.to_vec(),
            challenge: self.challenge.clone(),
        }
    }

    /// The certificate that signs the messages, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Public key, DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// When OpenSSL fails.
    pub fn spki(&self) -> Result<Vec<u8>> {
        Ok(self.key.public_key_to_der()?)
    }

    /// The private key, for clients of others.
    ///
    /// # Errors
    ///
    /// When OpenSSL fails.
    pub fn private_key_pem(&self) -> Result<Vec<u8>> {
        Ok(self.key.private_key_to_pem_pkcs8()?)
    }

    /// A CSR for an RFC 4514 subject; `extensions` are whole DER Extensions.
    ///
    /// # Errors
    ///
    /// When the subject is none.
    pub fn csr(
        &self,
        subject: &str,
        challenge: Option<&str>,
        extensions: &[Vec<u8>],
    ) -> Result<Vec<u8>> {
        // The parser takes no empty name, which is one all the same.
        let subject: Name = match subject {
            "" => Name::default(),
            subject => subject.parse()?,
        };
        let info = new_csr_info(&subject.to_der()?, &self.spki()?, challenge, extensions);
        Ok(assemble_csr(
            &info,
            Digest::Sha256,
            &self.signature(Digest::Sha256, &info)?,
        ))
    }

    /// A PKCSReq with a CSR, whoever's it is.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub async fn pkcs_req(&self, anchors: &Anchors, csr: &[u8]) -> Result<Message> {
        self.message(anchors, csr, Twist::default()).await
    }

    /// A pkiMessage with any content and a twist.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub async fn message(
        &self,
        anchors: &Anchors,
        content: &[u8],
        twist: Twist<'_>,
    ) -> Result<Message> {
        let sender_nonce = Nonce::random()?.as_bytes().to_vec();
        // Fresh for each message, so that none is taken for a retransmission of another.
        let transaction_id = twist
            .transaction_id
            .map_or_else(|| hex::encode(&sender_nonce), str::to_owned);
        let mut builder = PkiMessageBuilder::new(
            &self.certificate,
            &anchors.ra_enc,
            &transaction_id,
            &sender_nonce,
        );
        if let Some(message_type) = twist.message_type {
            builder.message_type = message_type;
        }
        builder.certificates = twist.bag;
        let bytes = builder.build(content, self).await?;
        Ok(Message {
            bytes,
            transaction_id,
            sender_nonce,
        })
    }

    /// Builds and posts a PKCSReq.
    ///
    /// # Errors
    ///
    /// When no CertRep comes back, or one that is not the answer to this request.
    pub async fn enrol(
        &self,
        url: &str,
        anchors: &Anchors,
        subject: &str,
        challenge: &str,
    ) -> Result<Answer> {
        let csr = self.csr(subject, Some(challenge), &[])?;
        let message = self.pkcs_req(anchors, &csr).await?;
        self.post(url, anchors, &message).await
    }

    /// Posts a message and reads the CertRep.
    ///
    /// # Errors
    ///
    /// When no CertRep comes back, or one that is not the answer to this message.
    pub async fn post(&self, url: &str, anchors: &Anchors, message: &Message) -> Result<Answer> {
        let response = http::post(url, &message.bytes).await?;
        ensure!(
            response.status == 200,
            "HTTP {}: {}",
            response.status,
            response.text()
        );
        ensure!(
            response.header("content-type") == Some("application/x-pki-message"),
            "Content-Type is {:?}",
            response.header("content-type"),
        );
        self.read(anchors, message, &response.body).await
    }

    /// Verifies a CertRep as a client must, RFC 8894 section 3.2.1, and opens it.
    ///
    /// # Errors
    ///
    /// When the signature, the transactionID or the nonce is not the right one, or it does not open.
    pub async fn read(
        &self,
        anchors: &Anchors,
        message: &Message,
        cert_rep: &[u8],
    ) -> Result<Answer> {
        let reply = message.verified(anchors, cert_rep)?;
        Ok(match reply.status() {
            PkiStatus::Success => Answer::Issued(match &self.challenge {
                Some(challenge) => reply.open_with_password(challenge)?,
                None => reply.open(self, &self.certificate).await??,
            }),
            PkiStatus::Failure => {
                Answer::Refused(reply.fail_info().context("FAILURE without failInfo")?)
            }
            PkiStatus::Pending => Answer::Pending,
        })
    }

    fn signature(&self, digest: Digest, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        Signer::new(digest.into(), &self.key)?.sign_oneshot_to_vec(octets)
    }
}

impl MessageSigner for Device {
    type Error = ErrorStack;

    async fn sign(
        &self,
        digest: Digest,
        _content: &[u8],
        signed_attributes: &[u8],
    ) -> Result<Vec<u8>, ErrorStack> {
        self.signature(digest, signed_attributes)
    }
}

impl Decryptor for Device {
    type Error = ErrorStack;

    async fn decrypt(
        &self,
        transport: KeyTransport,
        _length: usize,
        encrypted_key: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, ErrorStack> {
        let padding = match transport {
            KeyTransport::Pkcs1v15 => Padding::PKCS1,
            KeyTransport::Oaep { .. } => Padding::PKCS1_OAEP,
        };
        let key = self.key.rsa()?;
        let mut plaintext =
            Zeroizing::new(vec![0; usize::try_from(key.size()).unwrap_or_default()]);
        let Ok(length) = key.private_decrypt(encrypted_key, &mut plaintext, padding) else {
            return Ok(None);
        };
        plaintext.truncate(length);
        Ok(Some(plaintext))
    }
}

/// A requested extension, whole: OID, critical flag and the value's DER.
///
/// # Errors
///
/// When the value cannot be encoded.
pub fn extension(oid: &str, critical: bool, value: &[u8]) -> Result<Vec<u8>> {
    let extension = x509_cert::ext::Extension {
        extn_id: oid.parse()?,
        critical,
        extn_value: der::asn1::OctetString::new(value)?,
    };
    Ok(extension.to_der()?)
}

/// subjectAltName with dNSNames, as a requested extension.
///
/// # Errors
///
/// When a name is no IA5String.
pub fn dns_names(names: &[&str]) -> Result<Vec<u8>> {
    use x509_cert::ext::pkix::SubjectAltName;
    use x509_cert::ext::pkix::name::GeneralName;
    let names: Result<Vec<_>, der::Error> = names
        .iter()
        .map(|name| Ok(GeneralName::DnsName(der::asn1::Ia5String::new(name)?)))
        .collect();
    extension("2.5.29.17", false, &SubjectAltName(names?).to_der()?)
}
