//! Lints of the fixed fields and of the key.

use const_oid::db::rfc5912::{
    ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1,
};
use der::Tag;
use openssl::bn::BigNumContext;
use openssl::ec::{EcGroup, EcPoint};
use openssl::nid::Nid;

use crate::parse::{Key, Tbs, children, hexadecimal};
use crate::{Expectation, Verdict};

/// `v3(2)`.
const VERSION_3: &[u8] = &[2];
const MAX_SERIAL: usize = 20;
/// 128 bits, none of them lost to a leading zero octet.
const MIN_SERIAL: usize = 16;
const MIN_RSA_OCTETS: usize = 256;
const MAX_RSA_OCTETS: usize = 1024;
const TOP_BIT: u8 = 0x80;

pub(crate) fn version(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    if tbs.version == Some(VERSION_3) {
        Ok(())
    } else {
        Err("wanted v3".to_owned())
    }
}

pub(crate) fn serial_positive(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    match tbs.serial {
        [] | [0] => Err("wanted a positive serial number, got zero".to_owned()),
        [first, ..] if first & TOP_BIT != 0 => {
            Err("wanted a positive serial number, got a negative one".to_owned())
        }
        // X.690 section 8.3.2: a leading zero octet only where it keeps the sign.
        [0, second, ..] if second & TOP_BIT == 0 => {
            Err("wanted the shortest form, got a leading zero".to_owned())
        }
        _ => Ok(()),
    }
}

pub(crate) fn serial_length(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    if tbs.serial.len() <= MAX_SERIAL {
        Ok(())
    } else {
        Err(format!(
            "wanted at most {MAX_SERIAL} octets, got {}",
            tbs.serial.len()
        ))
    }
}

pub(crate) fn serial_entropy(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    if tbs.serial.len() >= MIN_SERIAL {
        Ok(())
    } else {
        Err(format!(
            "wanted at least {MIN_SERIAL} octets, got {}",
            tbs.serial.len()
        ))
    }
}

pub(crate) fn signature(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    equal(
        "AlgorithmIdentifier",
        expectation.signature_algorithm_der,
        tbs.signature,
    )
}

pub(crate) fn issuer(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    equal("Name", &expectation.issuer.subject_der, tbs.issuer)
}

pub(crate) fn key(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    equal("SubjectPublicKeyInfo", expectation.spki_der, tbs.spki)
}

pub(crate) fn unique_identifiers(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    if tbs.unique_identifiers == 0 {
        Ok(())
    } else {
        Err("wanted none after the key but extensions".to_owned())
    }
}

pub(crate) fn key_strength(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    let key =
        Key::parse(tbs.spki).map_err(|error| format!("wanted a SubjectPublicKeyInfo: {error}"))?;
    if key.oid == RSA_ENCRYPTION {
        return rsa_strength(key.bits);
    }
    if key.oid == ID_EC_PUBLIC_KEY {
        return ec_strength(&key);
    }
    Err(format!("wanted RSA or EC, got algorithm {}", key.oid))
}

pub(crate) fn equal(what: &str, wanted: &[u8], got: &[u8]) -> Verdict {
    if wanted == got {
        Ok(())
    } else {
        Err(format!(
            "wanted the {what} {}, got {}",
            hexadecimal(wanted),
            hexadecimal(got)
        ))
    }
}

fn rsa_strength(key: &[u8]) -> Verdict {
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

fn ec_strength(key: &Key<'_>) -> Verdict {
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
