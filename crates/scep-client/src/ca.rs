//! What GetCACert gave: the CA, and the RA's two certificates, told apart by their key usage.

use assay_scep::SignerCertificate;
use assay_types::Hash;
use der::Decode;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Public};
use openssl::x509::{X509, X509Crl};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use crate::{Cause, Connection, Error, Result};

/// DER certificates by their use.
#[derive(Clone, Debug)]
pub struct CaCertificates {
    /// To encrypt requests to.
    pub encryption: Vec<u8>,
    /// To verify replies with.
    pub signature: Vec<u8>,
    /// The issuing CA.
    pub ca: Vec<u8>,
}

/// What a certificate may be used for.
struct Usage {
    ca: bool,
    encrypts: bool,
    signs: bool,
}

impl CaCertificates {
    /// Asks for them (GetCACert).
    ///
    /// # Errors
    /// The server cannot be reached, or its answer is not a list of certificates.
    pub async fn fetch(connection: &mut Connection) -> Result<Self> {
        Self::parse(&connection.get("GetCACert").await?)
    }

    /// Takes a bare CA certificate, or a list of RA and CA certificates in any order.
    ///
    /// # Errors
    /// `body` is neither, or no RA or no CA is among them.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let certificates =
            assay_scep::parse_ca_certificates(body).map_err(Error::ca_certificates)?;
        Self::of(certificates)
    }

    /// Takes what GetNextCACert gave, once the signature is found to be by the RA of the present ones.
    ///
    /// # Errors
    /// The present RA did not sign `body`, or it contains no usable set of certificates.
    pub fn parse_next(&self, body: &[u8]) -> Result<Self> {
        let ra = SignerCertificate::parse(&self.signature)
            .ok_or_else(|| Error::NextCa("the present RA certificate is unreadable".into()))?;
        let certificates = assay_scep::parse_next_ca_certificates(body, &ra)
            .map_err(|error| Error::NextCa(error.into()))?;
        let next = Self::of(certificates)?;
        next.check(None)?;
        Ok(next)
    }

    fn of(certificates: Vec<Vec<u8>>) -> Result<Self> {
        if let [only] = certificates.as_slice() {
            return Ok(Self {
                encryption: only.clone(),
                signature: only.clone(),
                ca: only.clone(),
            });
        }
        let mut encryption = None;
        let mut signature = None;
        let mut ca = None;
        for certificate in certificates {
            let usage = Usage::of(&certificate).map_err(Error::CaCertificates)?;
            if usage.ca {
                // The issuing CA comes before its chain.
                ca.get_or_insert(certificate);
                continue;
            }
            if usage.encrypts {
                encryption.get_or_insert_with(|| certificate.clone());
            }
            if usage.signs {
                signature.get_or_insert(certificate);
            }
        }
        let (Some(encryption), Some(signature), Some(ca)) = (encryption, signature, ca) else {
            return Err(Error::NoRa);
        };
        Ok(Self {
            encryption,
            signature,
            ca,
        })
    }

    /// The RA is under the CA, and the CA has the SHA-256 fingerprint expected, if one is.
    ///
    /// # Errors
    /// One of the two does not hold.
    pub fn check(&self, expected_ca: Option<Hash>) -> Result<()> {
        for ra in [&self.encryption, &self.signature] {
            if *ra != self.ca {
                self.verify(&X509::from_der(ra).map_err(Error::ca_certificates)?)?;
            }
        }
        match expected_ca {
            Some(expected) if expected != self.fingerprint() => Err(Error::OtherCa {
                fingerprint: self.fingerprint().to_string(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// SHA-256 of the CA certificate.
    pub fn fingerprint(&self) -> Hash {
        Hash::of(&self.ca)
    }

    /// Subject of the CA, DER.
    pub(crate) fn subject_der(&self) -> Result<Vec<u8>> {
        SignerCertificate::parse(&self.ca)
            .map(|ca| ca.subject_der().to_vec())
            .ok_or_else(|| Error::build("the CA certificate is unreadable"))
    }

    /// The CA signed the certificate.
    ///
    /// # Errors
    /// It did not, or a certificate cannot be read.
    pub fn verify(&self, certificate: &X509) -> Result<()> {
        self.signed("certificate", |ca| certificate.verify(ca))
    }

    /// The CA signed the CRL.
    ///
    /// # Errors
    /// It did not, or the CA certificate cannot be read.
    pub fn verify_crl(&self, crl: &X509Crl) -> Result<()> {
        self.signed("CRL", |ca| crl.verify(ca))
    }

    fn signed(
        &self,
        what: &'static str,
        verify: impl FnOnce(&PKey<Public>) -> Result<bool, ErrorStack>,
    ) -> Result<()> {
        let ca = X509::from_der(&self.ca).and_then(|ca| ca.public_key());
        if ca.and_then(|ca| verify(&ca)).map_err(Error::Verify)? {
            return Ok(());
        }
        Err(Error::NotSigned(what))
    }
}

impl Usage {
    fn of(der: &[u8]) -> Result<Self, Cause> {
        let certificate = x509_cert::Certificate::from_der(der)?;
        let tbs = certificate.tbs_certificate();
        let constraints = tbs.get_extension::<BasicConstraints>()?;
        let usage = tbs.get_extension::<KeyUsage>()?;
        Ok(Self {
            ca: constraints.is_some_and(|(_, constraints)| constraints.ca),
            encrypts: usage
                .as_ref()
                .is_some_and(|(_, usage)| usage.key_encipherment()),
            signs: usage
                .as_ref()
                .is_some_and(|(_, usage)| usage.digital_signature()),
        })
    }
}
