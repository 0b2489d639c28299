//! The attacker's equipment, and its report.

use std::collections::BTreeMap;
use std::path::PathBuf;

use assay_hsm::{CaCertificates, CaKeys, Hsm, HsmConfig, User};
use openssl::pkey::{PKey, Private, Public};
use openssl::x509::X509;
use serde::{Deserialize, Serialize};

use crate::support::der::{self, EKU, Extension, KU, Parts, SAN, dns, extension, oid};
use crate::support::shape::{AIA, CDP, POLICIES, sequence, tlv};

/// Two forms; neither has any value of the other, so that a mixture is seen.
pub(crate) const FORMS: &str = r#"
[[form]]
name = "device"
extended_key_usage = ["clientAuth"]
key_usage = ["digitalSignature"]
lifetime_max = "90d"
backdate_max = "1h"
sans = ["dns"]
dns_subtrees = ["example.com"]
keys = { rsa = { min_bits = 2048, max_bits = 4096 }, curves = ["p256"] }

[[form]]
name = "server"
extended_key_usage = ["serverAuth"]
key_usage = ["digitalSignature", "keyAgreement"]
lifetime_min = "1d"
lifetime_max = "30d"
backdate_max = "1h"
sans = ["dns"]
dns_subtrees = ["example.org"]
keys = { curves = ["p256"] }
crl_distribution_points = ["http://pki.example.com/crl/{ca}.crl"]
ca_issuers = ["http://pki.example.com/aia/{ca}.cer"]
policies = ["2.23.140.1.2.1"]
"#;

/// Everything that the signer's user can read, and where the rest lies.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Scene {
    pub(crate) dir: PathBuf,
    /// The HSM service's user and process.
    pub(crate) hsm: u32,
    pub(crate) pid: i32,
    pub(crate) origin: String,
    pub(crate) ca: Vec<u8>,
    pub(crate) ra_decrypt: Vec<u8>,
    pub(crate) ra_sign: Vec<u8>,
    pub(crate) responder: Vec<u8>,
    /// The list of GetCACert for the next CA: its RA's certificates, then its own.
    pub(crate) next: Vec<Vec<u8>>,
    /// The attacker's keys, PKCS#8.
    pub(crate) key: Vec<u8>,
    pub(crate) rsa: Vec<u8>,
}

impl Scene {
    pub(crate) fn client(&self) -> HsmConfig {
        HsmConfig {
            socket: self.dir.join("run/hsm.sock"),
            user: User::from_uid(self.hsm).unwrap(),
            queue: 64,
            health_interval: std::time::Duration::from_secs(60),
            program: "hostile".to_owned(),
        }
    }

    pub(crate) fn keys(&self, hsm: &Hsm) -> CaKeys {
        let certificates = CaCertificates {
            ca: &self.ca,
            ra_decrypt: &self.ra_decrypt,
            ra_sign: &self.ra_sign,
            ra_single: None,
            ocsp: Some(&self.responder),
        };
        hsm.ca(&certificates).unwrap()
    }

    pub(crate) fn ca(&self) -> X509 {
        X509::from_der(&self.ca).unwrap()
    }

    pub(crate) fn next_ca(&self) -> X509 {
        X509::from_der(self.next.last().unwrap()).unwrap()
    }

    /// The attacker's own key, which its certificates are over.
    pub(crate) fn key(&self) -> PKey<Private> {
        PKey::private_key_from_der(&self.key).unwrap()
    }

    pub(crate) fn rsa_key(&self) -> PKey<Private> {
        PKey::private_key_from_der(&self.rsa).unwrap()
    }

    pub(crate) fn ca_name(&self) -> Vec<u8> {
        self.ca().subject_name().to_der().unwrap()
    }

    pub(crate) fn ca_key_id(&self) -> Vec<u8> {
        self.ca().subject_key_id().unwrap().as_slice().to_vec()
    }

    pub(crate) fn algorithm() -> &'static [u8] {
        der::signature_algorithm(assay_hsm::KeyAlgorithm::P256)
    }

    /// A certificate of the form `device`, over the attacker's key.
    pub(crate) fn device(&self) -> Parts {
        let mut parts = der::leaf(&self.ca_name(), &self.ca_key_id(), Self::algorithm());
        parts.subject = der::name(&format!("device {}", hex::encode(&parts.serial[2..])));
        parts.set_key(&self.key().public_key_to_der().unwrap());
        parts
    }

    /// A certificate of the form `server`.
    pub(crate) fn server(&self) -> Parts {
        let mut parts = self.device();
        parts.not_after = der::time(der::now() + der::DAY * 30);
        *parts.extension(KU) = der::key_usage(0x88, 3);
        parts.extension(EKU).value = sequence(&[&oid("1.3.6.1.5.5.7.3.1")]);
        parts.extension(SAN).value = sequence(&[&dns("www.example.org")]);
        parts.extensions.extend(self.urls());
        parts
    }

    /// certificatePolicies, cRLDistributionPoints and authorityInfoAccess of the form `server`.
    pub(crate) fn urls(&self) -> [Extension; 3] {
        let id = hex::encode(self.ca_key_id());
        let uri = |url: String| tlv(0x86, url.as_bytes());
        let crl = uri(format!("http://pki.example.com/crl/{id}.crl"));
        let issuer = uri(format!("http://pki.example.com/aia/{id}.cer"));
        let policy = sequence(&[&oid("2.23.140.1.2.1")]);
        let point = sequence(&[&tlv(0xa0, &tlv(0xa0, &crl))]);
        let access = sequence(&[&oid("1.3.6.1.5.5.7.48.2"), &issuer]);
        [
            extension(POLICIES, false, sequence(&[&policy])),
            extension(CDP, false, sequence(&[&point])),
            extension(AIA, false, sequence(&[&access])),
        ]
    }

    /// The public keys that the service holds, with those of the next CA.
    pub(crate) fn service_keys(&self) -> Vec<PKey<Public>> {
        let own = [&self.ca, &self.ra_decrypt, &self.ra_sign, &self.responder];
        own.into_iter()
            .chain(&self.next)
            .map(|der| X509::from_der(der).unwrap().public_key().unwrap())
            .collect()
    }
}

/// The structure that a signature is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Structure {
    Certificate,
    Crl,
    Status,
    CertRep,
    NextCa,
    Checkpoint,
}

/// A signature that the attacker obtained.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Gain {
    pub(crate) kind: String,
    pub(crate) structure: Structure,
    /// The signed structure: a TBS, ResponseData, signed attributes, or the text of a checkpoint.
    #[serde(with = "hex::serde")]
    pub(crate) data: Vec<u8>,
    /// The content of a reply, or the leaf hashes of a checkpoint.
    #[serde(with = "hex::serde")]
    pub(crate) content: Vec<u8>,
    #[serde(with = "hex::serde")]
    pub(crate) signature: Vec<u8>,
}

/// Attacks of one kind.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) tried: usize,
    pub(crate) signed: usize,
}

/// Everything that the attacker brings back.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Loot {
    pub(crate) kinds: BTreeMap<String, Count>,
    /// The signatures that it obtained, in order.
    pub(crate) gains: Vec<Gain>,
    /// Everything that it could reach and must not.
    pub(crate) reached: Vec<String>,
    /// INTEGERs of serial numbers: those that the last CRL revokes, and those of certificates that are in force.
    pub(crate) revoked: Vec<Vec<u8>>,
    pub(crate) in_force: Vec<Vec<u8>>,
    pub(crate) expired: Vec<u8>,
    /// DER of the log's public key, as the service tells it.
    pub(crate) log_key: Vec<u8>,
}

impl Loot {
    /// Counts something that must not be reached.
    pub(crate) fn reach(&mut self, kind: &str, what: String, is_reached: bool) {
        let count = self.kinds.entry(kind.to_owned()).or_default();
        count.tried += 1;
        if is_reached {
            self.reached.push(what);
        }
    }
}
