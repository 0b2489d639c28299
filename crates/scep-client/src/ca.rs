//! What GetCACert gave: the CA, and the RA's two certificates, told apart by their key usage.

use assay_scep::SignerCertificate;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Public};
use openssl::sha::sha256;
use openssl::x509::{X509, X509Crl};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use der::Decode;

use crate::failure::{Failure, Next, OrFail, Outcome};

/// DER certificates by their use.
#[derive(Clone, Debug)]
pub(crate) struct CaCertificates {
    /// To encrypt requests to.
    pub(crate) encryption: Vec<u8>,
    /// To verify replies with.
    pub(crate) signature: Vec<u8>,
    pub(crate) ca: Vec<u8>,
}

/// What a certificate may be used for.
struct Usage {
    ca: bool,
    encrypts: bool,
    signs: bool,
}

impl CaCertificates {
    /// Takes a bare CA certificate, or a list of RA and CA certificates in any order.
    pub(crate) fn parse(body: &[u8]) -> Outcome<Self> {
        let what = "GetCACert gave no certificates";
        let certificates = assay_scep::parse_ca_certificates(body).or_fail(what)?;
        Self::of(certificates)
    }

    /// Takes what GetNextCACert gave, once the signature is found to be by the RA of the present ones.
    pub(crate) fn parse_next(&self, body: &[u8]) -> Outcome<Self> {
        let what = "GetNextCACert gave nothing that can be believed";
        let ra = SignerCertificate::parse(&self.signature).ok_or_else(|| Failure::failed(what))?;
        let certificates = assay_scep::parse_next_ca_certificates(body, &ra)
            .or_fail(what)
            .next("do not use it; see which RA certificates the server names (GetCACert)")?;
        let next = Self::of(certificates)?;
        next.check(None)?;
        Ok(next)
    }

    fn of(certificates: Vec<Vec<u8>>) -> Outcome<Self> {
        let what = "the server gave no certificates";
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
            let usage = Usage::of(&certificate).or_fail(what)?;
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
            return Err(
                Failure::failed("the server gave no usable set of RA and CA certificates")
                    .next("the RA needs keyEncipherment and digitalSignature, the CA CA:TRUE"),
            );
        };
        Ok(Self {
            encryption,
            signature,
            ca,
        })
    }

    /// The RA stands under the CA, and the CA is the one expected, if one is.
    pub(crate) fn check(&self, expected_ca: Option<[u8; 32]>) -> Outcome {
        for ra in [&self.encryption, &self.signature] {
            if *ra != self.ca {
                self.verify(&X509::from_der(ra).or_fail("an RA certificate is unreadable")?)?;
            }
        }
        match expected_ca {
            Some(expected) if expected != self.fingerprint() => Err(Failure::failed(format!(
                "the server's CA is another one: its SHA-256 fingerprint is {}",
                hex::encode(self.fingerprint())
            ))
            .next("do not enrol there, unless the fingerprint you gave is out of date")),
            Some(_) | None => Ok(()),
        }
    }

    /// SHA-256 of the CA certificate.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.ca)
    }

    /// Subject of the CA, DER.
    pub(crate) fn subject_der(&self) -> Outcome<Vec<u8>> {
        SignerCertificate::parse(&self.ca)
            .map(|ca| ca.subject_der().to_vec())
            .ok_or_else(|| Failure::failed("the CA certificate is unreadable"))
    }

    /// Whether the CA signed the certificate.
    pub(crate) fn verify(&self, certificate: &X509) -> Outcome {
        self.signed("certificate", |ca| certificate.verify(ca))
    }

    /// Whether the CA signed the CRL.
    pub(crate) fn verify_crl(&self, crl: &X509Crl) -> Outcome {
        self.signed("CRL", |ca| crl.verify(ca))
    }

    fn signed(
        &self,
        what: &str,
        verify: impl FnOnce(&PKey<Public>) -> Result<bool, ErrorStack>,
    ) -> Outcome {
        let ca = X509::from_der(&self.ca).and_then(|ca| ca.public_key());
        if ca
            .and_then(|ca| verify(&ca))
            .or_fail("cannot verify under the CA certificate")?
        {
            return Ok(());
        }
        Err(
            Failure::failed(format!("a {what} from the server is not signed by its CA"))
                .next("do not use it"),
        )
    }
}

impl Usage {
    fn of(der: &[u8]) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
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
