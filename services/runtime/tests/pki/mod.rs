//! Throw-away certificates for both sides of mutual TLS.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use assay_runtime::mtls::TlsFiles;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

pub(crate) struct Anchor {
    key: PKey<Private>,
    certificate: X509,
}

impl Anchor {
    pub(crate) fn new(name: &str) -> Self {
        let key = key();
        let mut builder = builder(name, &key);
        builder.set_issuer_name(&subject(name)).unwrap();
        builder
            .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
            .unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self {
            certificate: builder.build(),
            key,
        }
    }

    /// A certificate with these URI SANs, and its key.
    pub(crate) fn issue(&self, uris: &[&str]) -> (X509, PKey<Private>) {
        let key = key();
        let mut builder = builder("leaf", &key);
        builder
            .set_issuer_name(self.certificate.subject_name())
            .unwrap();
        let usage = ExtendedKeyUsage::new()
            .client_auth()
            .server_auth()
            .build()
            .unwrap();
        builder.append_extension(usage).unwrap();
        let mut san = SubjectAlternativeName::new();
        san.dns("host.example");
        for uri in uris {
            san.uri(uri);
        }
        let san = san
            .build(&builder.x509v3_context(Some(&self.certificate), None))
            .unwrap();
        builder.append_extension(san).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        (builder.build(), key)
    }

    /// Writes a certificate with these URI SANs under `folder`, trusting `peers`.
    pub(crate) fn files(
        &self,
        folder: &Path,
        name: &str,
        uris: &[&str],
        peers: &Anchor,
    ) -> TlsFiles {
        let (certificate, key) = self.issue(uris);
        let write = |file: String, bytes: Vec<u8>| -> PathBuf {
            let path = folder.join(file);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        TlsFiles {
            certificate: write(format!("{name}.pem"), certificate.to_pem().unwrap()),
            private_key: write(
                format!("{name}.key"),
                key.private_key_to_pem_pkcs8().unwrap(),
            ),
            trust_anchors: write(
                format!("{name}-anchors.pem"),
                peers.certificate.to_pem().unwrap(),
            ),
        }
    }
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn subject(name: &str) -> X509Name {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    subject.build()
}

fn builder(name: &str, key: &PKey<Private>) -> X509Builder {
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial
        .rand(120, openssl::bn::MsbOption::MAYBE_ZERO, false)
        .unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&subject(name)).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    builder.set_pubkey(key).unwrap();
    builder
}
