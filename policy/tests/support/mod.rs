//! Requests and keys for the tests. No key here signs anything but itself.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code; not every test uses all of it"
)]

#[path = "../../../tests/shared/rsa.rs"]
mod rsa;

use std::path::Path;
use std::time::{Duration, SystemTime};

use assay_policy::{
    Bundle, ClaimedNames, Claims, Dn, Facts, Grant, InventoryEntry, Issuer, Profile,
    PublicKeyFacts, Renewed, Source, StringEncoding, SubjectAltName,
};
use assay_types::{Digest, Hash};
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ec::{EcGroup, EcKey, PointConversionForm};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;

/// 2026-11-22T00:00:00Z: every shipped profile is in force.
pub(crate) const NOW: Duration = Duration::from_secs(1_795_305_600);

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + NOW
}

pub(crate) fn bundle(directory: &str) -> Bundle {
    let files = Bundle::read_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap();
    Bundle::load(&files).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{}", lines.join("\n"))
    })
}

pub(crate) fn profile(directory: &str, name: &str) -> Profile {
    bundle(directory).profile(name).unwrap().clone()
}

/// A shipped profile whose file says `to` in place of `from`.
pub(crate) fn changed_profile(directory: &str, name: &str, from: &str, to: &str) -> Profile {
    let files = Bundle::read_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap();
    let file_name = format!("{name}.toml");
    let mut file = files
        .into_iter()
        .find(|file| file.name == file_name)
        .unwrap();
    let text = String::from_utf8(file.content).unwrap();
    assert_eq!(text.matches(from).count(), 1, "`{from}` must occur once");
    file.content = text.replace(from, to).into_bytes();
    let bundle = Bundle::load(&[file]).unwrap();
    bundle.profile(name).unwrap().clone()
}

pub(crate) fn issuer() -> Issuer {
    Issuer {
        subject_der: dn("CN=Example CA,O=Example")
            .to_der(StringEncoding::Utf8)
            .unwrap(),
        key_identifier: vec![7; 20],
        not_before: now() - Duration::from_secs(30 * 86_400),
        not_after: now() + Duration::from_secs(3650 * 86_400),
        // ecdsa-with-SHA256.
        signature_algorithm_der: hex::decode("300a06082a8648ce3d040302").unwrap(),
    }
}

pub(crate) fn serial() -> Vec<u8> {
    [&[0x01][..], &[0x5a; 16]].concat()
}

pub(crate) fn dn(text: &str) -> Dn {
    Dn::parse_rfc4514(text).unwrap()
}

pub(crate) fn san(text: &str) -> SubjectAltName {
    text.parse().unwrap()
}

/// A request for `subject` and `sans` under a profile, with this grant.
pub(crate) fn request(
    profile: &str,
    subject: &str,
    sans: &[&str],
    spki: &[u8],
    grant: Option<Grant>,
) -> Facts {
    let subject_der = dn(subject).to_der(StringEncoding::Utf8).unwrap();
    let mut facts = Facts::from_request(
        &subject_der,
        spki,
        &[],
        profile,
        now(),
        Digest::Sha256,
        Digest::Sha256,
        grant,
    );
    if !sans.is_empty() {
        facts.sans = Some(sans.iter().map(|name| san(name)).collect());
    }
    facts
}

fn names(subject: &str, sans: &[&str]) -> ClaimedNames {
    ClaimedNames {
        subject: dn(subject),
        sans: sans.iter().map(|name| san(name)).collect(),
    }
}

pub(crate) fn one_time(profile: &str, subject: &str, sans: &[&str]) -> Option<Grant> {
    Some(Grant::one_time(
        "c-1".to_owned(),
        profile.to_owned(),
        names(subject, sans),
        now() + Duration::from_secs(60),
    ))
}

pub(crate) fn inventory(profile: &str, name: &str, pin: Option<Hash>) -> Option<Grant> {
    let entry = InventoryEntry {
        name: name.to_owned(),
        spki_sha256: pin,
        already_issued: false,
    };
    let id = "s-1".to_owned();
    Some(Grant::shared(id, profile.to_owned(), Some(entry)))
}

/// The grant of a certificate that ends in 30 days, for another key than [`rsa`] gives.
pub(crate) fn renewed(profile: &str, subject: &str, sans: &[&str]) -> Option<Grant> {
    let renewed = Renewed {
        serial: "1f".to_owned(),
        spki_sha256: [1; 32].into(),
        successor: None,
    };
    let not_after = now() + Duration::from_secs(30 * 86_400);
    let names = names(subject, sans);
    let profile = profile.to_owned();
    Some(Grant::renewal(renewed, profile, names, not_after, None))
}

/// Changes what authorises a request.
pub(crate) fn regrant(facts: &mut Facts, change: impl FnOnce(&mut Source, &mut Claims)) {
    let grant = facts.grant.take().unwrap();
    let (mut source, mut claims) = (grant.source().clone(), grant.claims().clone());
    change(&mut source, &mut claims);
    facts.grant = Some(Grant::from_parts(source, claims).unwrap());
}

/// The request that every case of `devices` starts from.
pub(crate) fn device() -> Facts {
    let sans = ["dns:a.example.com", "dns:b.example.com"];
    let subject = "CN=device-1,O=Example";
    request(
        "devices",
        subject,
        &sans,
        &rsa(2048),
        one_time("devices", subject, &sans),
    )
}

/// The request that every case of `fleet` starts from.
pub(crate) fn fleet() -> Facts {
    let grant = inventory("fleet", "device-1", None);
    request("fleet", "CN=device-1,O=Example", &[], &rsa(2048), grant)
}

/// A request for the example `vpn-gateway`: multi-valued RDN, pinned key.
pub(crate) fn gateway() -> Facts {
    let spki = rsa(3072);
    let pin = PublicKeyFacts::from_spki(&spki).spki_sha256();
    let grant = inventory("vpn-gateway", "gw1.example.com", Some(pin));
    let subject = "OU=VPN+CN=gw1.example.com,O=Example GmbH";
    request(
        "vpn-gateway",
        subject,
        &["dns:gw1.example.com"],
        &spki,
        grant,
    )
}

/// A request for the example `tls-server`: empty subject, EC key.
pub(crate) fn server() -> Facts {
    let sans = ["ip:192.0.2.7", "dns:www.example.com"];
    request(
        "tls-server",
        "",
        &sans,
        &ec(),
        one_time("tls-server", "", &sans),
    )
}

/// An RSA key of a length.
pub(crate) fn rsa(bits: u32) -> Vec<u8> {
    rsa::rsa(bits).public_key_to_der().unwrap()
}

pub(crate) fn ec() -> Vec<u8> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap())
        .unwrap()
        .public_key_to_der()
        .unwrap()
}

pub(crate) fn rsa_with(modulus: &BigNumRef, exponent: u32) -> Vec<u8> {
    let exponent = BigNum::from_u32(exponent).unwrap();
    let key = Rsa::from_public_components(modulus.to_owned().unwrap(), exponent).unwrap();
    PKey::from_rsa(key).unwrap().public_key_to_der().unwrap()
}

fn modulus(spki: &[u8]) -> BigNum {
    PKey::public_key_from_der(spki)
        .unwrap()
        .rsa()
        .unwrap()
        .n()
        .to_owned()
        .unwrap()
}

/// A sound modulus under another exponent.
pub(crate) fn rsa_with_exponent(exponent: u32) -> Vec<u8> {
    rsa_with(&modulus(&rsa(2048)), exponent)
}

/// A sound modulus under an exponent of 257 bits.
pub(crate) fn rsa_with_long_exponent() -> Vec<u8> {
    let mut exponent = BigNum::new().unwrap();
    exponent.lshift(&BigNum::from_u32(1).unwrap(), 256).unwrap();
    exponent.add_word(1).unwrap();
    let key = Rsa::from_public_components(modulus(&rsa(2048)), exponent).unwrap();
    PKey::from_rsa(key).unwrap().public_key_to_der().unwrap()
}

/// A modulus of this length that is quickly made: a power of two and one.
pub(crate) fn rsa_of_no_primes(bits: i32) -> Vec<u8> {
    let mut n = BigNum::new().unwrap();
    n.lshift(&BigNum::from_u32(1).unwrap(), bits - 1).unwrap();
    n.add_word(1).unwrap();
    rsa_with(&n, 65_537)
}

/// A modulus of 2048 bits divisible by three.
pub(crate) fn rsa_divisible() -> Vec<u8> {
    let mut n = modulus(&rsa(2048));
    while n.mod_word(3).unwrap() != 0 {
        n.add_word(2).unwrap();
    }
    rsa_with(&n, 65_537)
}

/// A modulus whose primes are neighbours.
pub(crate) fn rsa_close_primes() -> Vec<u8> {
    let mut context = BigNumContext::new().unwrap();
    let mut p = BigNum::new().unwrap();
    p.generate_prime(1024, false, None, None).unwrap();
    let mut q = p.to_owned().unwrap();
    q.add_word(2).unwrap();
    while !q.is_prime(20, &mut context).unwrap() {
        q.add_word(2).unwrap();
    }
    let mut n = BigNum::new().unwrap();
    n.checked_mul(&p, &q, &mut context).unwrap();
    rsa_with(&n, 65_537)
}

/// A modulus with the ROCA fingerprint: a power of 65537 modulo the product of the small primes.
pub(crate) fn rsa_roca() -> Vec<u8> {
    let mut context = BigNumContext::new().unwrap();
    let mut product = BigNum::from_u32(1).unwrap();
    for prime in (3..=167).filter(|n| (2..*n).all(|d| n % d != 0)) {
        product.mul_word(prime).unwrap();
    }
    let mut power = BigNum::new().unwrap();
    let generator = BigNum::from_u32(65_537).unwrap();
    power
        .mod_exp(
            &generator,
            &BigNum::from_u32(1_234_567).unwrap(),
            &product,
            &mut context,
        )
        .unwrap();
    // A multiple of the product keeps the residues; its size makes the length.
    let mut factor = BigNum::new().unwrap();
    factor
        .lshift(&BigNum::from_u32(1).unwrap(), 2047 - product.num_bits() + 1)
        .unwrap();
    let mut n = BigNum::new().unwrap();
    n.checked_mul(&product, &factor, &mut context).unwrap();
    n = &n + &power;
    let has_small_factor = |n: &BigNum| {
        (2..752)
            .filter(|c| (2..*c).all(|d| c % d != 0))
            .any(|prime| n.mod_word(prime).unwrap() == 0)
    };
    while has_small_factor(&n) {
        n = &n + &product;
    }
    rsa_with(&n, 65_537)
}

/// A point of P-256 in the form that RFC 5480 section 2.2 lets nobody rely on.
pub(crate) fn ec_compressed() -> Vec<u8> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = EcKey::generate(&group).unwrap();
    let mut context = BigNumContext::new().unwrap();
    let point = key
        .public_key()
        .to_bytes(&group, PointConversionForm::COMPRESSED, &mut context)
        .unwrap();
    // SEQUENCE of id-ecPublicKey on prime256v1 and a BIT STRING of 33 octets.
    let head = "3039301306072a8648ce3d020106082a8648ce3d030107032200";
    [hex::decode(head).unwrap(), point].concat()
}

/// An uncompressed point that is not on P-256.
pub(crate) fn ec_off_curve() -> Vec<u8> {
    let mut spki = ec();
    *spki.last_mut().unwrap() ^= 1;
    spki
}

/// An RSA key whose AlgorithmIdentifier lacks the NULL of RFC 3279 section 2.3.1.
pub(crate) fn rsa_without_null() -> Vec<u8> {
    let spki = hex::encode(rsa(2048));
    let (head, tail) = (
        "30820122300d06092a864886f70d0101010500",
        "30820120300b06092a864886f70d010101",
    );
    hex::decode(spki.replacen(head, tail, 1)).unwrap()
}
