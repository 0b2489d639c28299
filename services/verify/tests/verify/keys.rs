//! Keys of a log, a witness, a CA and people, made by OpenSSL once for all tests.

use std::sync::OnceLock;

use assay_audit::note::VerifierKey;
use assay_policy::{Approver, Approvers, sign_proposal};
use assay_types::Hash;
use assay_verify::Trust;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sha::sha256;
use openssl::sign::Signer;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

use crate::maker::NOW_MS;
use crate::rsa::rsa;

/// Signs checkpoints: the log, or a witness.
pub(crate) struct NoteKey {
    name: &'static str,
    algorithm: u8,
    key: PKey<Private>,
}

pub(crate) struct Person {
    pub(crate) name: &'static str,
    key: PKey<Private>,
    certificate: X509,
}

pub(crate) struct Keys {
    pub(crate) log: NoteKey,
    pub(crate) witness: NoteKey,
    pub(crate) root: X509,
    /// By [`FIRST`] and those beside it.
    cas: Vec<(X509, PKey<Private>)>,
    pub(crate) people: Vec<Person>,
    /// Of all devices: what differs is their names.
    pub(crate) device: PKey<Private>,
    /// Brought by renewals.
    pub(crate) new_device: PKey<Private>,
    /// Of people, who need a longer one.
    pub(crate) person: PKey<Private>,
}

/// The CA of most logs here.
pub(crate) const FIRST: usize = 0;
/// The one that takes over from it.
pub(crate) const NEXT: usize = 1;
/// A CA of the same root that is of another installation.
pub(crate) const STRANGER: usize = 2;
/// The first one with another certificate over its key.
pub(crate) const RENEWED: usize = 3;
/// One with an RSA key, which makes one signature over the same bytes.
pub(crate) const RSA_CA: usize = 4;

const ED25519: u8 = 1;
const COSIGNATURE: u8 = 4;
const COSIGNED_AT: u64 = 1_795_400_000;

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let root_key = p256();
        let root = certificate("Example Root", &root_key, None);
        let under_root = |name, key: PKey<Private>| {
            let ca = certificate(name, &key, Some((&root, &root_key)));
            (ca, key)
        };
        let names = ["Example CA", "Example CA G2", "Stranger CA"];
        let mut cas: Vec<_> = names.map(|name| under_root(name, p256())).into();
        // Signed once more, by another random number: another certificate.
        cas.push(under_root(names[FIRST], cas[FIRST].1.clone()));
        assert_ne!(
            cas[FIRST].0.to_der().unwrap(),
            cas[RENEWED].0.to_der().unwrap()
        );
        cas.push(under_root("Example RSA CA", rsa(3072)));
        let person = |name| {
            let key = p256();
            let certificate = certificate(name, &key, None);
            Person {
                name,
                key,
                certificate,
            }
        };
        Keys {
            log: NoteKey::new("log.example.org/assay", ED25519),
            witness: NoteKey::new("witness.example.org", COSIGNATURE),
            people: ["ada", "ben", "cyd", "dan"].map(person).into(),
            device: rsa(2048),
            new_device: rsa(4096),
            person: rsa(3072),
            root,
            cas,
        }
    })
}

impl Keys {
    /// A CA, then the root above it, DER.
    pub(crate) fn chain(&self, ca: usize) -> Vec<Vec<u8>> {
        let (ca, root) = (self.cas[ca].0.to_der(), self.root.to_der());
        vec![ca.unwrap(), root.unwrap()]
    }

    /// The same, PEM.
    pub(crate) fn chain_pem(&self, ca: usize) -> Vec<u8> {
        let (ca, root) = (self.cas[ca].0.to_pem(), self.root.to_pem());
        [ca.unwrap(), root.unwrap()].concat()
    }

    /// SHA-256 of the CA's certificate.
    pub(crate) fn ca_sha256(&self, ca: usize) -> Hash {
        Hash::of(&self.chain(ca)[0])
    }

    /// What an auditor of this installation has pinned; the next CA with the first.
    pub(crate) fn trust(&self) -> Trust {
        self.trust_of(&[FIRST, NEXT])
    }

    /// The same with these CAs.
    pub(crate) fn trust_of(&self, cas: &[usize]) -> Trust {
        let pinned = self.people.iter().map(|person| {
            let der = person.certificate.to_der().unwrap();
            Approver::new(person.name, &der, false).unwrap()
        });
        Trust {
            log_key: self.log.verifier_key(),
            cas: cas.iter().map(|ca| self.chain(*ca)).collect(),
            witnesses: vec![self.witness.verifier_key()],
            journals: Vec::new(),
            approvers: Approvers::new(2, pinned.collect()).unwrap(),
            earlier: None,
        }
    }

    /// SHA-256 of the CA's SubjectPublicKeyInfo.
    pub(crate) fn ca_key_sha256(&self, ca: usize) -> Hash {
        Hash::of(&self.cas[ca].1.public_key_to_der().unwrap())
    }

    /// A CA's signature over a TBSCertificate.
    pub(crate) fn ca_signature(&self, ca: usize, tbs: &[u8]) -> Vec<u8> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.cas[ca].1).unwrap();
        signer.sign_oneshot_to_vec(tbs).unwrap()
    }
}

impl Person {
    pub(crate) fn sign(&self, proposal: &[u8]) -> Vec<u8> {
        sign_proposal(proposal, &self.certificate, &self.key).unwrap()
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }
}

impl NoteKey {
    pub(crate) fn new(name: &'static str, algorithm: u8) -> Self {
        let key = PKey::generate_ed25519().unwrap();
        Self {
            name,
            algorithm,
            key,
        }
    }

    fn public(&self) -> Vec<u8> {
        let mut blob = vec![self.algorithm];
        blob.extend(self.key.raw_public_key().unwrap());
        blob
    }

    fn id(&self) -> [u8; 4] {
        let text = [self.name.as_bytes(), b"\n", &self.public()].concat();
        sha256(&text)[..4].try_into().unwrap()
    }

    pub(crate) fn vkey(&self) -> String {
        let key = STANDARD.encode(self.public());
        format!("{}+{}+{key}", self.name, hex::encode(self.id()))
    }

    pub(crate) fn verifier_key(&self) -> VerifierKey {
        self.vkey().parse().unwrap()
    }

    /// A signature line of the C2SP note with this text.
    pub(crate) fn line(&self, text: &str) -> String {
        let sign = |message: &[u8]| {
            let mut signer = Signer::new_without_digest(&self.key).unwrap();
            signer.sign_oneshot_to_vec(message).unwrap()
        };
        let mut signature = self.id().to_vec();
        if self.algorithm == COSIGNATURE {
            signature.extend(COSIGNED_AT.to_be_bytes());
            let message = format!("cosignature/v1\ntime {COSIGNED_AT}\n{text}");
            signature.extend(sign(message.as_bytes()));
        } else {
            signature.extend(sign(text.as_bytes()));
        }
        format!("— {} {}\n", self.name, STANDARD.encode(signature))
    }
}

fn p256() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn name(text: &str) -> X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", text).unwrap();
    name.build()
}

/// A CA certificate; self-signed where no issuer is given.
fn certificate(text: &str, key: &PKey<Private>, issuer: Option<(&X509, &PKey<Private>)>) -> X509 {
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    let subject = name(text);
    builder.set_subject_name(&subject).unwrap();
    match issuer {
        Some((issuer, _)) => builder.set_issuer_name(issuer.subject_name()).unwrap(),
        None => builder.set_issuer_name(&subject).unwrap(),
    }
    builder.set_pubkey(key).unwrap();
    let (year, now) = (31_536_000, NOW_MS / 1_000);
    let (from, until) = (now - year, now + 10 * year);
    builder
        .set_not_before(&Asn1Time::from_unix(from).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::from_unix(until).unwrap())
        .unwrap();
    let constraints = BasicConstraints::new().critical().ca().build().unwrap();
    builder.append_extension(constraints).unwrap();
    let mut usage = KeyUsage::new();
    usage.critical().key_cert_sign().crl_sign();
    builder.append_extension(usage.build().unwrap()).unwrap();
    let context = builder.x509v3_context(issuer.map(|(issuer, _)| &**issuer), None);
    let identifier = SubjectKeyIdentifier::new().build(&context).unwrap();
    builder.append_extension(identifier).unwrap();
    let signer = issuer.map_or(key, |(_, key)| key);
    builder.sign(signer, MessageDigest::sha256()).unwrap();
    builder.build()
}
