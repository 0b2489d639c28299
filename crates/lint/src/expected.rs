//! Lints of the fixed fields.

use crate::parse::{Tbs, hexadecimal};
use crate::{Expectation, Verdict};

/// `v3(2)`.
const VERSION_3: &[u8] = &[2];
const MAX_SERIAL: usize = 20;
/// 128 bits, none of them lost to a leading zero octet.
const MIN_SERIAL: usize = 16;
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
