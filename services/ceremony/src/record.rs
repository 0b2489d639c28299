//! One generation's part of the transcript, and its files, as they come to be.

use std::path::{Path, PathBuf};

use openssl::sha::sha256;
use openssl::x509::X509;

use super::generation::Generation;
use super::transcript::{Ca, CertificateEntry, KeyEntry, State, Transcript, now};
use assay_console::failure::{OrFail, Outcome};
use assay_console::files;
use assay_operator::installation::Installation;

const UNREADABLE: &str = "a certificate of the ceremony is unreadable";

/// What is written down of a generation while it is made.
pub(super) struct Record<'a> {
    pub(super) generation: Generation,
    pub(super) installation: &'a Installation,
    pub(super) transcript: &'a mut Transcript,
}

impl<'a> Record<'a> {
    pub(super) fn of(
        generation: Generation,
        installation: &'a Installation,
        transcript: &'a mut Transcript,
    ) -> Self {
        Self {
            generation,
            installation,
            transcript,
        }
    }

    pub(super) fn save(&self) -> Outcome {
        self.transcript.save(self.installation)
    }

    /// Where a file of the generation lies, relative to the installation.
    pub(super) fn file(&self, name: &str) -> String {
        self.generation.file(name)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.installation.path(self.file(name))
    }

    /// Makes the folder of its files.
    pub(super) fn make_dir(&self) -> Outcome {
        files::make_dir(&self.installation.path(self.generation.folder()))
    }

    /// A certificate of the generation that is there, DER.
    pub(super) fn certificate(&self, name: &str) -> Outcome<Vec<u8>> {
        read_der(self.installation, &self.file(name))
    }

    pub(super) fn ca(&self) -> Outcome<&Ca> {
        self.transcript.ca(self.generation)
    }

    pub(super) fn ca_mut(&mut self) -> Outcome<&mut Ca> {
        self.transcript.ca_mut(self.generation)
    }

    pub(super) fn add_key(&mut self, key: KeyEntry) -> Outcome {
        self.ca_mut()?.keys.push(key);
        self.save()
    }

    /// Writes a certificate as PEM and enters it.
    pub(super) fn add_certificate(&mut self, name: &str, der: &[u8]) -> Outcome {
        let entry = entry(self.file(name), der)?;
        files::create(&self.path(name), &pem(der)?, files::PUBLIC)?;
        self.ca_mut()?.certificates.push(entry);
        self.save()
    }

    /// The same over the certificate of that name of before, which it takes the place of.
    pub(super) fn replace_certificate(&mut self, name: &str, der: &[u8]) -> Outcome {
        let entry = entry(self.file(name), der)?;
        files::replace(&self.path(name), &pem(der)?, files::PUBLIC)?;
        let certificates = &mut self.ca_mut()?.certificates;
        certificates.retain(|other| other.file != entry.file);
        certificates.push(entry);
        self.save()
    }

    /// Forgets what an import entered that did not come to its end.
    pub(super) fn forget_certificates(&mut self) -> Outcome {
        self.ca_mut()?.certificates.clear();
        Ok(())
    }

    /// The end of a certificate, as OpenSSL writes it.
    pub(super) fn not_after(&self, name: &str) -> Option<String> {
        let file = self.file(name);
        let mut certificates = self.ca().ok()?.certificates.iter();
        let found = certificates.find(|certificate| certificate.file == file);
        found.map(|certificate| certificate.not_after.clone())
    }

    pub(super) fn set_state(&mut self, state: State) -> Outcome {
        let ca = self.ca_mut()?;
        ca.finished = (state == State::Complete).then(now);
        ca.state = state;
        self.save()
    }
}

/// The certificate in a PEM file.
pub(super) fn read_certificate(path: &Path) -> Outcome<X509> {
    X509::from_pem(&files::read(path)?)
        .or_fail(format!("{} holds no PEM certificate", path.display()))
}

/// The same of a file of the installation, DER.
pub(super) fn read_der(installation: &Installation, file: &str) -> Outcome<Vec<u8>> {
    read_certificate(&installation.path(file))?
        .to_der()
        .or_fail(UNREADABLE)
}

fn pem(der: &[u8]) -> Outcome<Vec<u8>> {
    X509::from_der(der)
        .and_then(|certificate| certificate.to_pem())
        .or_fail(UNREADABLE)
}

fn entry(file: String, der: &[u8]) -> Outcome<CertificateEntry> {
    let certificate = X509::from_der(der).or_fail(UNREADABLE)?;
    let serial = certificate.serial_number().to_bn().or_fail(UNREADABLE)?;
    Ok(CertificateEntry {
        file,
        subject: name(certificate.subject_name()),
        issuer: name(certificate.issuer_name()),
        serial: hex::encode(serial.to_vec()),
        not_before: certificate.not_before().to_string(),
        not_after: certificate.not_after().to_string(),
        sha256: hex::encode(sha256(der)),
    })
}

/// `O=Example, CN=Issuing CA`, in the order of the DER.
fn name(name: &openssl::x509::X509NameRef) -> String {
    name.entries()
        .map(|entry| {
            let kind = entry.object().nid().short_name().unwrap_or("?");
            let value = entry.data().to_string();
            format!("{kind}={}", value.unwrap_or_default())
        })
        .collect::<Vec<_>>()
        .join(", ")
}
