//! A CA, devices, and a desk that decides as the signer does.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use assay_decision::{Ca, Evidence, Permitted, Verdict, facts};
use assay_policy::{
    Bundle, ClaimedNames, Dn, Grant, InventoryEntry, PublicKeyFacts, Renewed, StringEncoding,
    SubjectAltName, decide, tbs,
};
use assay_scep::client::{assemble_csr, new_csr_info};
use assay_scep::{Csr, Limits};
use assay_types::{Digest, Hash, TimestampMillis};
use der::Encode;
use der::asn1::OctetString;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};
use openssl::x509::{X509Builder, X509NameBuilder};
use x509_cert::ext::Extension;

use crate::rsa::rsa;

/// 2026-11-22T00:00:00.123Z: every shipped profile is in force.
pub(crate) const NOW: TimestampMillis = TimestampMillis::from_millis(1_795_305_600_123);

pub(crate) const CHALLENGE: &str = "correct-horse-battery-staple";

pub(crate) fn bundle(directory: &str) -> Bundle {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy");
    let files = Bundle::read_dir(&policies.join(directory)).unwrap();
    Bundle::load(&files).unwrap()
}

/// A shipped bundle whose profile `name` says `to` in place of `from`.
pub(crate) fn changed(directory: &str, name: &str, from: &str, to: &str) -> Bundle {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy");
    let mut files = Bundle::read_dir(&policies.join(directory)).unwrap();
    let file = files
        .iter_mut()
        .find(|file| file.name == format!("{name}.toml"))
        .unwrap();
    let text = String::from_utf8(file.content.clone()).unwrap();
    assert_eq!(text.matches(from).count(), 1, "`{from}` must occur once");
    file.content = text.replace(from, to).into_bytes();
    Bundle::load(&files).unwrap()
}

pub(crate) fn ca() -> Ca {
    static DER: OnceLock<Vec<u8>> = OnceLock::new();
    Ca::from_der(DER.get_or_init(|| ca_certificate("Example CA"))).unwrap()
}

pub(crate) fn ca_certificate(name: &str) -> Vec<u8> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    let year = 31_536_000;
    let seconds = NOW.seconds().seconds();
    for (at, end) in [(seconds - year, false), (seconds + 10 * year, true)] {
        let time = Asn1Time::from_unix(at).unwrap();
        if end {
            builder.set_not_after(&time).unwrap();
        } else {
            builder.set_not_before(&time).unwrap();
        }
    }
    let constraints = BasicConstraints::new().critical().ca().build().unwrap();
    builder.append_extension(constraints).unwrap();
    let usage = KeyUsage::new().critical().key_cert_sign().build().unwrap();
    builder.append_extension(usage).unwrap();
    let context = builder.x509v3_context(None, None);
    let identifier = SubjectKeyIdentifier::new().build(&context).unwrap();
    builder.append_extension(identifier).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    builder.build().to_der().unwrap()
}

/// The device's key: 3072 bits, which every shipped profile takes.
pub(crate) fn key() -> PKey<Private> {
    rsa(3072)
}

pub(crate) fn pin() -> Hash {
    PublicKeyFacts::from_spki(&key().public_key_to_der().unwrap()).spki_sha256()
}

pub(crate) fn csr(subject: &str, sans: &[&str], challenge: Option<&str>) -> Csr {
    let subject = dn(subject).to_der(StringEncoding::Utf8).unwrap();
    let extensions = if sans.is_empty() {
        Vec::new()
    } else {
        let value = SubjectAltName::list_to_der(&names(sans)).unwrap();
        let extension = Extension {
            extn_id: "2.5.29.17".parse().unwrap(),
            critical: false,
            extn_value: OctetString::new(value).unwrap(),
        };
        vec![extension.to_der().unwrap()]
    };
    let spki = key().public_key_to_der().unwrap();
    let info = new_csr_info(&subject, &spki, challenge, &extensions);
    let mut signer = Signer::new(MessageDigest::sha256(), &key()).unwrap();
    let signature = signer.sign_oneshot_to_vec(&info).unwrap();
    let der = assemble_csr(&info, Digest::Sha256, &signature);
    Csr::parse(&der, &Limits::default()).unwrap()
}

pub(crate) fn dn(text: &str) -> Dn {
    Dn::parse_rfc4514(text).unwrap()
}

pub(crate) fn names(texts: &[&str]) -> Vec<SubjectAltName> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(crate) fn later(seconds: u64) -> SystemTime {
    (NOW.seconds() + Duration::from_secs(seconds)).into()
}

fn claimed(subject: &str, sans: &[&str]) -> ClaimedNames {
    ClaimedNames {
        subject: dn(subject),
        sans: names(sans),
    }
}

pub(crate) fn one_time(profile: &str, subject: &str, sans: &[&str]) -> Option<Grant> {
    let (id, profile) = ("c-1".to_owned(), profile.to_owned());
    let names = claimed(subject, sans);
    Some(Grant::one_time(id, profile, names, later(60)))
}

pub(crate) fn inventory(profile: &str, name: &str, pin: Option<Hash>) -> Option<Grant> {
    let entry = InventoryEntry {
        name: name.to_owned(),
        spki_sha256: pin,
        already_issued: false,
    };
    let (id, profile) = ("s-1".to_owned(), profile.to_owned());
    Some(Grant::shared(id, profile, Some(entry)))
}

pub(crate) fn renewal(profile: &str, subject: &str, sans: &[&str]) -> Option<Grant> {
    let renewed = Renewed {
        serial: "4a".repeat(17),
        spki_sha256: [1; 32].into(),
        successor: None,
    };
    let names = claimed(subject, sans);
    let not_after = later(20 * 86_400);
    Some(Grant::renewal(
        renewed,
        profile.to_owned(),
        names,
        not_after,
        None,
    ))
}

/// One request at the desk.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) directory: &'static str,
    pub(crate) profile: &'static str,
    pub(crate) csr: Csr,
    pub(crate) grant: Option<Grant>,
    pub(crate) pending_id: Option<String>,
    /// Only queued, where it is permitted.
    pub(crate) queued: bool,
}

impl Case {
    /// What the signer would keep of it.
    pub(crate) fn evidence(&self) -> Evidence {
        let bundle = bundle(self.directory);
        let profile = bundle.profile(self.profile).unwrap();
        let facts = facts(
            &self.csr,
            self.profile,
            NOW.into(),
            Digest::Sha256,
            self.grant.clone(),
        );
        let ca = ca();
        let verdict = match decide(profile, &facts) {
            Err(refusal) => Verdict::Refusal {
                rule: refusal.rule.to_string(),
            },
            Ok(_) if self.queued => Verdict::Pending,
            Ok(permit) => {
                let (not_before, not_after) = profile.validity(facts.now, &ca.issuer);
                let serial = [0x5a; 17];
                let tbs = tbs(profile, permit, &ca.issuer, &serial, not_before, not_after);
                Verdict::Permit(Permitted::new(&tbs.unwrap(), ca.sha256))
            }
        };
        Evidence::new(
            &facts,
            self.csr.without_challenge(),
            Hash::of(self.csr.der()),
            self.pending_id.clone(),
            verdict,
        )
    }
}

/// One permit of each shipped profile, of each kind of source.
pub(crate) fn permits() -> Vec<Case> {
    let case = |what, directory, profile, subject, sans: &[&str], challenge, grant| Case {
        what,
        directory,
        profile,
        csr: csr(subject, sans, challenge),
        grant,
        pending_id: None,
        queued: false,
    };
    let device = ("CN=device-1,O=Example", ["dns:a.example.com"]);
    let wifi = (
        "CN=sn-17,OU=Wireless,O=Example GmbH,C=DE",
        ["dns:sn-17.wifi.example.com"],
    );
    let gateway = (
        "OU=VPN+CN=gw1.example.com,O=Example GmbH",
        ["dns:gw1.example.com"],
    );
    let server = ["ip:192.0.2.7", "dns:www.example.com"];
    let person = ("CN=Jo Doe,O=Example GmbH", ["email:jo@example.com"]);
    let secret = Some(CHALLENGE);
    let wireless = "wifi-device";
    let approved = |queued| Case {
        pending_id: Some("0011223344556677".to_owned()),
        queued,
        ..case(
            "approval",
            "examples",
            "smime",
            person.0,
            &person.1,
            secret,
            one_time("smime", person.0, &person.1),
        )
    };
    vec![
        case(
            "one-time",
            "demo",
            "devices",
            device.0,
            &device.1,
            secret,
            one_time("devices", device.0, &device.1),
        ),
        case(
            "renewal",
            "demo",
            "devices",
            device.0,
            &device.1,
            None,
            renewal("devices", device.0, &device.1),
        ),
        case(
            "static",
            "demo",
            "fleet",
            device.0,
            &[],
            secret,
            inventory("fleet", "device-1", None),
        ),
        case(
            "joined name",
            "examples",
            wireless,
            wifi.0,
            &wifi.1,
            secret,
            one_time(wireless, wifi.0, &wifi.1),
        ),
        case(
            "pinned key",
            "examples",
            "vpn-gateway",
            gateway.0,
            &gateway.1,
            secret,
            inventory("vpn-gateway", "gw1.example.com", Some(pin())),
        ),
        case(
            "empty subject",
            "examples",
            "tls-server",
            "",
            &server,
            secret,
            one_time("tls-server", "", &server),
        ),
        approved(true),
        approved(false),
    ]
}

/// The same requests for another name: a refusal of each shipped profile.
pub(crate) fn refusals() -> Vec<Case> {
    permits()
        .into_iter()
        .map(|case| Case {
            csr: csr("CN=intruder,O=Example", &["dns:evil.example.com"], None),
            queued: false,
            pending_id: None,
            ..case
        })
        .collect()
}
