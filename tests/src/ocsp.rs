//! OCSP as relying parties ask for it: by OpenSSL's and GnuTLS's tools, and over plain HTTP.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::ocsp::{OcspCertId, OcspCertStatus, OcspRequest, OcspResponse, OcspRevokedStatus};
use openssl::x509::X509;

use crate::certificate::write_pem;
use crate::http;
use crate::installation::Installation;
use crate::query::serial_hex;
use crate::tool::{self, Ran, command};

/// A frontend whose address the responder is reached at, and the CA that it answers for.
#[derive(Clone, Debug)]
pub struct Responder {
    url: String,
    ca: PathBuf,
    root: PathBuf,
    scratch: PathBuf,
}

impl Responder {
    /// That of an installation which was made with `--ocsp`.
    ///
    /// # Errors
    ///
    /// When it was not.
    pub fn of(installation: &Installation) -> Result<Self> {
        let url = installation.ready().ocsp_url.as_deref();
        Ok(Self::at(url.context("made without --ocsp")?, installation))
    }

    /// The same for what another CA (PEM file) has issued.
    pub fn about(self, ca: &Path) -> Self {
        Self {
            ca: ca.to_owned(),
            ..self
        }
    }

    /// The same at another address.
    pub fn at(url: &str, installation: &Installation) -> Self {
        let ready = installation.ready();
        Self {
            url: url.to_owned(),
            ca: ready.ca_pem.clone(),
            root: ready.root_pem.clone(),
            scratch: installation.scratch().to_owned(),
        }
    }

    /// Where it is asked.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `openssl ocsp` about certificates, DER, with further arguments. OpenSSL sends a nonce and continues without one.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn openssl(&self, certificates: &[&[u8]], more: &[&str]) -> Result<Ran> {
        let mut command = command("openssl", "openssl")?;
        command.args(["ocsp", "-url", &self.url]);
        command.arg("-CAfile").arg(&self.root);
        command.args(more).arg("-issuer").arg(&self.ca);
        for certificate in certificates {
            command.arg("-cert").arg(self.pem(certificate)?);
        }
        tool::run(&mut command, &[]).await
    }

    /// What OpenSSL says of one certificate, once it has verified the response: `good`, or the reason why not.
    ///
    /// # Errors
    ///
    /// When it does not verify, or there is none.
    pub async fn status(&self, certificate: &[u8]) -> Result<String> {
        let ran = self.openssl(&[certificate], &[]).await?.succeeded()?;
        let said = ran.all();
        ensure!(said.contains("Response verify OK"), "{said}");
        ensure!(!said.contains("Status times invalid"), "{said}");
        if said.contains(": good") {
            return Ok("good".to_owned());
        }
        ensure!(said.contains(": revoked"), "{said}");
        let reason = said
            .lines()
            .find_map(|line| line.trim().strip_prefix("Reason: "));
        Ok(reason.unwrap_or("unspecified").to_owned())
    }

    /// What GnuTLS says of it: `good` or `revoked`.
    ///
    /// # Errors
    ///
    /// When it does not verify, or there is none.
    pub async fn gnutls(&self, certificate: &[u8]) -> Result<String> {
        let mut command = command("ocsptool", "gnutls-bin")?;
        command.arg(format!("--ask={}", self.url));
        command.arg("--load-issuer").arg(&self.ca);
        command.arg("--load-trust").arg(&self.ca);
        command.arg("--load-cert").arg(self.pem(certificate)?);
        let said = tool::run(&mut command, &[]).await?.succeeded()?.all();
        ensure!(said.contains("Verifying OCSP Response: Success"), "{said}");
        let status = said
            .lines()
            .find_map(|line| line.trim().strip_prefix("Certificate Status: "));
        Ok(status.context(said.clone())?.to_owned())
    }

    /// The DER request about a certificate.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn request(&self, certificate: &[u8]) -> Result<Vec<u8>> {
        let mut request = OcspRequest::new()?;
        request.add_id(self.id(certificate)?)?;
        Ok(request.to_der()?)
    }

    /// The answer to a GET (RFC 6960 appendix A.1).
    ///
    /// # Errors
    ///
    /// When none comes.
    pub async fn get(&self, certificate: &[u8]) -> Result<http::Response> {
        let request = STANDARD.encode(self.request(certificate)?);
        let request = request
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        http::get(&format!("{}/{request}", self.url)).await
    }

    /// What a response, which must hold at this moment, says of a certificate.
    ///
    /// # Errors
    ///
    /// When it does not verify or hold, or says nothing of it.
    pub fn read(&self, response: &[u8], certificate: &[u8]) -> Result<Said> {
        let basic = OcspResponse::from_der(response)?.basic()?;
        let mut store = openssl::x509::store::X509StoreBuilder::new()?;
        store.add_cert(X509::from_pem(&std::fs::read(&self.root)?)?)?;
        let mut between = openssl::stack::Stack::new()?;
        between.push(self.issuer()?)?;
        basic.verify(&between, &store.build(), openssl::ocsp::OcspFlag::empty())?;
        let id = self.id(certificate)?;
        let status = basic.find_status(&id).context("another certificate")?;
        status.check_validity(0, None)?;
        Ok(Said {
            this_update: status.this_update.to_string(),
            good: status.status == OcspCertStatus::GOOD,
            on_hold: status.reason == OcspRevokedStatus::STATUS_CERTIFICATE_HOLD,
        })
    }

    fn id(&self, certificate: &[u8]) -> Result<OcspCertId> {
        let certificate = X509::from_der(certificate)?;
        let issuer = self.issuer()?;
        Ok(OcspCertId::from_cert(
            MessageDigest::sha1(),
            &certificate,
            &issuer,
        )?)
    }

    fn issuer(&self) -> Result<X509> {
        Ok(X509::from_pem(&std::fs::read(&self.ca)?)?)
    }

    fn pem(&self, certificate: &[u8]) -> Result<PathBuf> {
        let file = self
            .scratch
            .join(format!("{}.pem", serial_hex(certificate)?));
        write_pem(certificate, Path::new(&file))?;
        Ok(file)
    }
}

/// A verified status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// As OpenSSL prints it.
    pub this_update: String,
    /// Whether the certificate stands.
    pub good: bool,
    /// Whether it may stand again.
    pub on_hold: bool,
}
