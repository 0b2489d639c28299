//! ALG and KEY: hashes of the request's signatures, and the key to certify.

use assay_types::{Curve, Digest};

use super::{Case, Verdict, list};
use crate::key::{KeyAlgorithm, weakness};

/// FIPS 186-5 section 5.4 (e): an exponent is below 2^256; bounds the cost of every verification to come.
const MAX_EXPONENT_OCTETS: usize = 32;
const MIN_EXPONENT: u64 = 65_537;

pub(super) fn message_digest(case: &Case<'_>) -> Verdict {
    listed_digest(
        "message digest",
        &case.profile.message_digests(case.facts.now),
        case.facts.message_digest,
    )
}

pub(super) fn csr_digest(case: &Case<'_>) -> Verdict {
    listed_digest(
        "CSR digest",
        &case.profile.csr_digests(case.facts.now),
        case.facts.csr_digest,
    )
}

pub(super) fn algorithm(case: &Case<'_>) -> Verdict {
    let rules = &case.profile.keys;
    let key = case.facts.key.algorithm();
    let allowed = match key {
        KeyAlgorithm::Rsa { .. } => rules.rsa.is_some(),
        KeyAlgorithm::Ec { curve, .. } => {
            rules.curves.iter().any(|allowed| allowed.oid() == *curve)
        }
        KeyAlgorithm::Other { .. } => false,
    };
    if allowed {
        return Ok(());
    }
    let rsa = rules.rsa.map(|_| "RSA".to_owned());
    let curves = rules.curves.iter().map(|curve| format!("EC {curve}"));
    Err(format!(
        "key: wanted {}, got {}",
        list(rsa.into_iter().chain(curves)),
        key.describe()
    ))
}

pub(super) fn rsa_length(case: &Case<'_>) -> Verdict {
    match (case.facts.key.algorithm(), case.profile.keys.rsa) {
        (KeyAlgorithm::Rsa { bits, .. }, Some(rule))
            if !(rule.min_bits..=rule.max_bits).contains(bits) =>
        {
            Err(format!(
                "key: wanted {} to {} bits, got {bits}",
                rule.min_bits, rule.max_bits
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn rsa_exponent(case: &Case<'_>) -> Verdict {
    let KeyAlgorithm::Rsa { exponent, .. } = case.facts.key.algorithm() else {
        return Ok(());
    };
    let low = exponent.iter().fold(0_u64, |value, octet| {
        value.saturating_mul(256).saturating_add(u64::from(*octet))
    });
    let odd = exponent.last().is_some_and(|octet| octet % 2 == 1);
    if odd && low >= MIN_EXPONENT && exponent.len() <= MAX_EXPONENT_OCTETS {
        Ok(())
    } else {
        Err(format!(
            "key: wanted an odd exponent from 65537 to 2^256, got 0x{}",
            hex::encode(exponent)
        ))
    }
}

pub(super) fn rsa_factors(case: &Case<'_>) -> Verdict {
    rsa_modulus(case, |modulus| match weakness::small_factor(modulus) {
        None => Ok(()),
        Some(factor) => Err(format!(
            "key: wanted a modulus without small factors, got one divisible by {factor}"
        )),
    })
}

pub(super) fn rsa_roca(case: &Case<'_>) -> Verdict {
    rsa_modulus(case, |modulus| {
        if weakness::has_roca_fingerprint(modulus) {
            Err("key: wanted a modulus without the ROCA fingerprint (CVE-2017-15361), got one with it".to_owned())
        } else {
            Ok(())
        }
    })
}

pub(super) fn rsa_close_primes(case: &Case<'_>) -> Verdict {
    rsa_modulus(case, |modulus| {
        if weakness::has_close_primes(modulus) {
            Err(
                "key: wanted primes that lie apart, got a modulus that Fermat's method splits"
                    .to_owned(),
            )
        } else {
            Ok(())
        }
    })
}

pub(super) fn ec_point(case: &Case<'_>) -> Verdict {
    let KeyAlgorithm::Ec { curve, point } = case.facts.key.algorithm() else {
        return Ok(());
    };
    match Curve::from_oid(curve) {
        Some(curve) if weakness::is_point_on_curve(curve, point) => Ok(()),
        Some(_) | None => {
            Err("key: wanted an uncompressed point on its curve, got another".to_owned())
        }
    }
}

fn rsa_modulus(case: &Case<'_>, check: impl Fn(&[u8]) -> Verdict) -> Verdict {
    match case.facts.key.algorithm() {
        KeyAlgorithm::Rsa { modulus, .. } => check(modulus),
        KeyAlgorithm::Ec { .. } | KeyAlgorithm::Other { .. } => Ok(()),
    }
}

fn listed_digest(field: &str, allowed: &[Digest], got: Digest) -> Verdict {
    if allowed.contains(&got) {
        Ok(())
    } else {
        Err(format!("{field}: wanted {}, got {got}", list(allowed)))
    }
}
