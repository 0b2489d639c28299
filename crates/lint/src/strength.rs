//! Lints of keys and of the signature to come.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{
    ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1,
};
use der::Tag;
use openssl::bn::BigNumContext;
use openssl::ec::{EcGroup, EcPoint};
use openssl::nid::Nid;

use crate::parse::{Key, Tbs, children, hexadecimal};
use crate::{Expectation, Verdict};

const MIN_RSA_OCTETS: usize = 256;
const MAX_RSA_OCTETS: usize = 1024;
const TOP_BIT: u8 = 0x80;

/// DER AlgorithmIdentifiers, each with the algorithm of the key that makes such a signature: SHA-256, SHA-384 and
/// SHA-512 with RSA have NULL for parameters (RFC 4055 section 5), with ECDSA none (RFC 5758 section 3.2).
const SIGNATURES: [(ObjectIdentifier, &[u8]); 6] = [
    (
        RSA_ENCRYPTION,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
    ),
    (
        RSA_ENCRYPTION,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00",
    ),
    (
        RSA_ENCRYPTION,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00",
    ),
    (
        ID_EC_PUBLIC_KEY,
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
    ),
    (
        ID_EC_PUBLIC_KEY,
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
    ),
    (
        ID_EC_PUBLIC_KEY,
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04",
    ),
];

pub(crate) fn key(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    of_key(tbs.spki)
}

pub(crate) fn key_parameters(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    let key = parsed(tbs.spki)?;
    match key.oid {
        RSA_ENCRYPTION if key.parameters_der != b"\x05\x00" => Err(format!(
            "wanted NULL for an RSA key, got {}",
            hexadecimal(key.parameters_der)
        )),
        ID_EC_PUBLIC_KEY if key.parameters.is_none() => Err(format!(
            "wanted a named curve, got {}",
            hexadecimal(key.parameters_der)
        )),
        _ => Ok(()),
    }
}

pub(crate) fn key_not_issuer(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    if tbs.spki == expectation.issuer.spki_der {
        Err("wanted a key of the subject's own, got the issuer's".to_owned())
    } else {
        Ok(())
    }
}

pub(crate) fn signature(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let issuer_key = parsed(&expectation.issuer.spki_der)?;
    if SIGNATURES
        .iter()
        .any(|(key, der)| *key == issuer_key.oid && *der == tbs.signature)
    {
        Ok(())
    } else {
        Err(format!(
            "wanted SHA-256, SHA-384 or SHA-512 with the issuer's {}, got {}",
            issuer_key.oid,
            hexadecimal(tbs.signature)
        ))
    }
}

/// Whether a SubjectPublicKeyInfo is of a kind and size that is still worth signing for.
pub(crate) fn of_key(spki: &[u8]) -> Verdict {
    let key = parsed(spki)?;
    match key.oid {
        RSA_ENCRYPTION => rsa(key.bits),
        ID_EC_PUBLIC_KEY => ec(&key),
        other => Err(format!("wanted RSA or EC, got algorithm {other}")),
    }
}

fn parsed(spki: &[u8]) -> Result<Key<'_>, String> {
    Key::parse(spki).map_err(|error| format!("wanted a SubjectPublicKeyInfo: {error}"))
}

fn rsa(key: &[u8]) -> Verdict {
    let parts = children(key).map_err(|error| format!("wanted an RSAPublicKey: {error}"))?;
    let [(Tag::Integer, modulus), (Tag::Integer, exponent)] = parts.as_slice() else {
        return Err("wanted an RSAPublicKey of modulus and exponent".to_owned());
    };
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let full = modulus.first().is_some_and(|first| first & TOP_BIT != 0);
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    // 2047 bits have 256 octets too, hence the top bit.
    let long = modulus.len() > MIN_RSA_OCTETS || (modulus.len() == MIN_RSA_OCTETS && full);
    if !long || modulus.len() > MAX_RSA_OCTETS || !odd(modulus) {
        return Err("wanted an odd modulus of 2048 to 8192 bits".to_owned());
    }
    let at_least_f4 = match exponent {
        [] | [_] | [_, _] => false,
        [0, rest @ ..] => rest.len() > 2,
        [_, ..] => true,
    };
    if at_least_f4 && odd(exponent) {
        Ok(())
    } else {
        Err("wanted an odd exponent of at least 65537".to_owned())
    }
}

fn ec(key: &Key<'_>) -> Verdict {
    let curve = match key.parameters {
        Some(SECP_256_R_1) => Nid::X9_62_PRIME256V1,
        Some(SECP_384_R_1) => Nid::SECP384R1,
        Some(SECP_521_R_1) => Nid::SECP521R1,
        _ => return Err("wanted P-256, P-384 or P-521".to_owned()),
    };
    // OpenSSL refuses octets that are no point of the curve.
    let on_curve = EcGroup::from_curve_name(curve).and_then(|group| {
        let mut context = BigNumContext::new()?;
        EcPoint::from_bytes(&group, key.bits, &mut context)
    });
    on_curve
        .map(|_| ())
        .map_err(|_| "wanted a point on its curve".to_owned())
}
