//! A service with two CA generations, and structures written byte by byte, without the crate's own types.

use std::sync::LazyLock;
use std::time::Duration;

use assay_shape::{Form, Forms, Issuer, Leaf, LeafRefusal, LeafRules, Reserved};
use assay_types::Timestamp;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sha::sha1;
use openssl::sign::Signer;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// ecdsa-with-SHA256.
pub(crate) const ALGORITHM: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";

/// 2026-11-22T00:00:00Z.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_305_600)
}

/// What makes a structure that a rule refuses.
pub(crate) type Change<T> = fn(&mut T);

/// A key with its certificate.
pub(crate) struct Identity {
    pub(crate) key: PKey<Private>,
    pub(crate) certificate: Vec<u8>,
}

pub(crate) fn ec_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Role {
    Ca,
    Ra,
    Responder,
}

/// `O=Example,CN=name`, signed by `issuer` or by itself.
pub(crate) fn identity(name: &str, role: Role, issuer: Option<&Identity>) -> Identity {
    with_key(ec_key(), name, role, issuer)
}

pub(crate) fn rsa_key() -> PKey<Private> {
    PKey::from_rsa(openssl::rsa::Rsa::generate(2_048).unwrap()).unwrap()
}

pub(crate) fn with_key(
    key: PKey<Private>,
    name: &str,
    role: Role,
    issuer: Option<&Identity>,
) -> Identity {
    let mut subject = X509NameBuilder::new().unwrap();
    subject
        .append_entry_by_nid(Nid::ORGANIZATIONNAME, "Example")
        .unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let subject = subject.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial
        .rand(120, openssl::bn::MsbOption::ONE, false)
        .unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&subject).unwrap();
    let parent = issuer.map(|issuer| X509::from_der(&issuer.certificate).unwrap());
    let above = parent
        .as_ref()
        .map_or(&*subject, |parent| parent.subject_name());
    builder.set_issuer_name(above).unwrap();
    builder.set_pubkey(&key).unwrap();
    let time = |at: Timestamp| Asn1Time::from_unix(at.seconds()).unwrap();
    builder.set_not_before(&time(now() - DAY * 30)).unwrap();
    builder.set_not_after(&time(now() + DAY * 3_650)).unwrap();
    let mut basic = BasicConstraints::new();
    let mut usage = KeyUsage::new();
    match role {
        Role::Ca => {
            basic.critical().ca().pathlen(0);
            usage.critical().key_cert_sign().crl_sign();
        }
        Role::Ra | Role::Responder => {
            basic.critical();
            usage.critical().digital_signature();
        }
    }
    builder.append_extension(basic.build().unwrap()).unwrap();
    builder.append_extension(usage.build().unwrap()).unwrap();
    let context = builder.x509v3_context(parent.as_deref(), None);
    let ski = SubjectKeyIdentifier::new().build(&context).unwrap();
    builder.append_extension(ski).unwrap();
    if role == Role::Responder {
        let purpose = ExtendedKeyUsage::new()
            .other("OCSPSigning")
            .build()
            .unwrap();
        builder.append_extension(purpose).unwrap();
        let context = builder.x509v3_context(parent.as_deref(), None);
        let aki = AuthorityKeyIdentifier::new()
            .keyid(true)
            .build(&context)
            .unwrap();
        builder.append_extension(aki).unwrap();
        let oid = openssl::asn1::Asn1Object::from_str("1.3.6.1.5.5.7.48.1.5").unwrap();
        let value = openssl::asn1::Asn1OctetString::new_from_bytes(&[5, 0]).unwrap();
        let nocheck = openssl::x509::X509Extension::new_from_der(&oid, false, &value).unwrap();
        builder.append_extension(nocheck).unwrap();
    }
    let signing = issuer.map_or(&key, |issuer| &issuer.key);
    builder.sign(signing, MessageDigest::sha256()).unwrap();
    let certificate = builder.build().to_der().unwrap();
    Identity { key, certificate }
}

pub(crate) struct Service {
    pub(crate) ca: Identity,
    pub(crate) next: Identity,
    pub(crate) ra: Identity,
    pub(crate) responder: Identity,
    pub(crate) log: PKey<Private>,
    pub(crate) issuer: Issuer,
    pub(crate) reserved: Reserved,
    pub(crate) forms: Forms,
}

/// One form for TLS servers of `example.com`, another for its users.
pub(crate) const FORMS: &str = r#"
[[form]]
name = "server"
extended_key_usage = ["serverAuth"]
key_usage = ["digitalSignature"]
lifetime_min = "1d"
lifetime_max = "90d"
backdate_max = "1h"
sans = ["dns", "ip"]
dns_subtrees = ["example.com"]
keys = { rsa = { min_bits = 3072, max_bits = 4096 }, curves = ["p256", "p384"] }
crl_distribution_points = ["http://pki.example.com/crl/{ca}.crl"]
ca_issuers = ["http://pki.example.com/aia/{ca}.cer"]
ocsp = ["http://ocsp.example.com/"]
policies = ["2.23.140.1.2.1"]

[[form]]
name = "user"
extended_key_usage = ["clientAuth", "emailProtection"]
key_usage = ["digitalSignature"]
lifetime_max = "365d"
backdate_max = "10h"
sans = ["email", "upn", "uri", "other"]
upn_subtrees = ["example.com"]
uri_subtrees = ["example.com"]
other_names = ["1.2.3.4"]
keys = { curves = ["p256"] }
"#;

pub(crate) static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let ca = identity("Straße CA", Role::Ca, None);
    let next = identity("Next CA", Role::Ca, None);
    let ra = identity("Example RA", Role::Ra, Some(&ca));
    let responder = identity("Example OCSP", Role::Responder, Some(&ca));
    let log = ec_key();
    let mut reserved = Reserved::default();
    for identity in [&ca, &next, &ra, &responder] {
        reserved.add(&identity.certificate).unwrap();
    }
    reserved.add_key(&log.public_key_to_der().unwrap()).unwrap();
    Service {
        issuer: Issuer::new(&ca.certificate, ALGORITHM).unwrap(),
        forms: forms(FORMS),
        ca,
        next,
        ra,
        responder,
        log,
        reserved,
    }
});

#[derive(serde::Deserialize)]
pub(crate) struct File {
    pub(crate) form: Vec<Form>,
}

pub(crate) fn forms(text: &str) -> Forms {
    Forms::new(toml::from_str::<File>(text).unwrap().form).unwrap()
}

impl Service {
    pub(crate) fn rules(&self) -> LeafRules<'_> {
        LeafRules {
            issuer: &self.issuer,
            forms: &self.forms,
            reserved: &self.reserved,
            intent_lifetime: Duration::from_secs(3_600),
        }
    }

    pub(crate) fn check(&self, tbs: &[u8]) -> Result<Leaf, LeafRefusal> {
        Leaf::check(tbs, self.rules(), now())
    }

    /// The certificate of a TBSCertificate, or the CRL of a TBSCertList, signed by the CA.
    pub(crate) fn sign(&self, tbs: &[u8]) -> Vec<u8> {
        sign(&self.ca.key, tbs)
    }
}

/// SIGNED of RFC 5280.
pub(crate) fn sign(key: &PKey<Private>, tbs: &[u8]) -> Vec<u8> {
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    let signature = signer.sign_oneshot_to_vec(tbs).unwrap();
    let signature = tlv(3, &[&[0], signature.as_slice()].concat());
    sequence(&[tbs, ALGORITHM, &signature])
}

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut element = vec![tag];
    match length {
        0..0x80 => element.push(length as u8),
        0x80..0x100 => element.extend([0x81, length as u8]),
        0x100..0x1_0000 => element.extend([0x82, (length >> 8) as u8, length as u8]),
        0x1_0000..0x100_0000 => element.extend([
            0x83,
            (length >> 16) as u8,
            (length >> 8) as u8,
            length as u8,
        ]),
        _ => element.extend([&[0x84], &(length as u32).to_be_bytes()[..]].concat()),
    }
    element.extend_from_slice(content);
    element
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn oid(text: &str) -> Vec<u8> {
    let oid = const_oid::ObjectIdentifier::new(text).unwrap();
    tlv(6, oid.as_bytes())
}

/// UTCTime to 2049, GeneralizedTime after.
pub(crate) fn time(at: Timestamp) -> Vec<u8> {
    let text: String = at
        .to_string()
        .chars()
        .filter(|character| character.is_ascii_digit())
        .collect();
    let text = format!("{text}Z");
    if text.as_str() < "2050" {
        tlv(0x17, &text.as_bytes()[2..])
    } else {
        tlv(0x18, text.as_bytes())
    }
}

/// A name of UTF8Strings: types and values, one RDN each.
pub(crate) fn name(attributes: &[(&str, &str)]) -> Vec<u8> {
    let rdns: Vec<Vec<u8>> = attributes
        .iter()
        .map(|(kind, value)| rdn(kind, 0x0c, value.as_bytes()))
        .collect();
    tlv(0x30, &rdns.concat())
}

pub(crate) fn rdn(kind: &str, tag: u8, value: &[u8]) -> Vec<u8> {
    tlv(0x31, &sequence(&[&oid(kind), &tlv(tag, value)]))
}

pub(crate) const CN: &str = "2.5.4.3";
pub(crate) const O: &str = "2.5.4.10";

#[derive(Clone)]
pub(crate) struct Extension {
    pub(crate) oid: &'static str,
    pub(crate) critical: bool,
    pub(crate) value: Vec<u8>,
}

impl Extension {
    pub(crate) fn der(&self) -> Vec<u8> {
        let critical: &[u8] = if self.critical { &[1, 1, 0xff] } else { &[] };
        sequence(&[&oid(self.oid), critical, &tlv(4, &self.value)])
    }
}

pub(crate) fn extension(oid: &'static str, critical: bool, value: Vec<u8>) -> Extension {
    Extension {
        oid,
        critical,
        value,
    }
}

/// The parts of a TBSCertificate.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) version: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) algorithm: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) not_before: Vec<u8>,
    pub(crate) not_after: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    pub(crate) unique: Vec<u8>,
    pub(crate) extensions: Vec<Extension>,
}

pub(crate) const BC: &str = "2.5.29.19";
pub(crate) const KU: &str = "2.5.29.15";
pub(crate) const EKU: &str = "2.5.29.37";
pub(crate) const SKI: &str = "2.5.29.14";
pub(crate) const AKI: &str = "2.5.29.35";
pub(crate) const SAN: &str = "2.5.29.17";
pub(crate) const POLICIES: &str = "2.5.29.32";
pub(crate) const CDP: &str = "2.5.29.31";
pub(crate) const AIA: &str = "1.3.6.1.5.5.7.1.1";

pub(crate) fn dns(name: &str) -> Vec<u8> {
    tlv(0x82, name.as_bytes())
}

/// `www.example.com`, by the form `server`.
pub(crate) fn server() -> Parts {
    let service = &*SERVICE;
    let ca = X509::from_der(&service.ca.certificate).unwrap();
    let key_id = ca.subject_key_id().unwrap().as_slice().to_vec();
    let hex = hex::encode(&key_id);
    let uri = |url: String| tlv(0x86, url.as_bytes());
    let crl = uri(format!("http://pki.example.com/crl/{hex}.crl"));
    let cer = uri(format!("http://pki.example.com/aia/{hex}.cer"));
    let ocsp = uri("http://ocsp.example.com/".to_owned());
    let mut parts = Parts {
        version: b"\xa0\x03\x02\x01\x02".to_vec(),
        serial: tlv(2, &[0x5a; 17]),
        algorithm: ALGORITHM.to_vec(),
        issuer: ca.subject_name().to_der().unwrap(),
        not_before: time(now() - Duration::from_secs(300)),
        not_after: time(now() + DAY * 90),
        subject: name(&[(O, "Example"), (CN, "www")]),
        spki: Vec::new(),
        unique: Vec::new(),
        extensions: vec![
            extension(BC, true, vec![0x30, 0]),
            extension(KU, true, vec![3, 2, 7, 0x80]),
            extension(EKU, false, sequence(&[&oid("1.3.6.1.5.5.7.3.1")])),
            extension(SKI, false, Vec::new()),
            extension(AKI, false, sequence(&[&tlv(0x80, &key_id)])),
            extension(SAN, false, sequence(&[&dns("www.example.com")])),
            extension(
                POLICIES,
                false,
                sequence(&[&sequence(&[&oid("2.23.140.1.2.1")])]),
            ),
            extension(
                CDP,
                false,
                sequence(&[&sequence(&[&tlv(0xa0, &tlv(0xa0, &crl))])]),
            ),
            extension(
                AIA,
                false,
                sequence(&[
                    &sequence(&[&oid("1.3.6.1.5.5.7.48.2"), &cer]),
                    &sequence(&[&oid("1.3.6.1.5.5.7.48.1"), &ocsp]),
                ]),
            ),
        ],
    };
    static KEY: LazyLock<Vec<u8>> = LazyLock::new(|| ec_key().public_key_to_der().unwrap());
    parts.set_key(&KEY);
    parts
}

/// A user, by the form `user`.
pub(crate) fn user(names: &[&[u8]]) -> Parts {
    let mut parts = server();
    parts
        .extensions
        .retain(|extension| ![POLICIES, CDP, AIA].contains(&extension.oid));
    let purposes = [oid("1.3.6.1.5.5.7.3.2"), oid("1.3.6.1.5.5.7.3.4")];
    parts.extension(EKU).value = tlv(0x30, &purposes.concat());
    parts.extension(SAN).value = sequence(names);
    parts
}

impl Parts {
    pub(crate) fn der(&self) -> Vec<u8> {
        let extensions: Vec<Vec<u8>> = self.extensions.iter().map(Extension::der).collect();
        let extensions = tlv(0xa3, &tlv(0x30, &extensions.concat()));
        sequence(&[
            &self.version,
            &self.serial,
            &self.algorithm,
            &self.issuer,
            &sequence(&[&self.not_before, &self.not_after]),
            &self.subject,
            &self.spki,
            &self.unique,
            &extensions,
        ])
    }

    pub(crate) fn extension(&mut self, oid: &str) -> &mut Extension {
        let mut extensions = self.extensions.iter_mut();
        extensions
            .find(|extension| extension.oid == oid)
            .unwrap_or_else(|| panic!("no {oid}"))
    }

    pub(crate) fn remove(&mut self, oid: &str) {
        self.extensions.retain(|extension| extension.oid != oid);
    }

    /// The key with its identifier.
    pub(crate) fn set_key(&mut self, spki: &[u8]) {
        self.spki = spki.to_vec();
        let bits = spki::SubjectPublicKeyInfoRef::try_from(spki).unwrap();
        let bits = bits.subject_public_key.raw_bytes();
        self.extension(SKI).value = tlv(4, &sha1(bits));
    }
}
