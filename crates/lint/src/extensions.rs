//! Lints of the extensions.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION};
use der::asn1::{BitStringRef, OctetStringRef};
use der::{Decode, Tag};

use crate::expected::equal;
use crate::parse::{Key, Tbs, children, hexadecimal};
use crate::{Expectation, Verdict};

const DIGITAL_SIGNATURE: u16 = 1 << 0;
const CONTENT_COMMITMENT: u16 = 1 << 1;
const KEY_ENCIPHERMENT: u16 = 1 << 2;
const DATA_ENCIPHERMENT: u16 = 1 << 3;
const KEY_AGREEMENT: u16 = 1 << 4;
const KEY_CERT_SIGN: u16 = 1 << 5;
const CRL_SIGN: u16 = 1 << 6;
/// basicConstraints with every field at its default: an empty SEQUENCE.
const NOT_A_CA: &[u8] = &[0x30, 0];

pub(crate) fn duplicates(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    for (index, extension) in tbs.extensions.iter().enumerate() {
        if tbs
            .extensions
            .iter()
            .take(index)
            .any(|earlier| earlier.oid == extension.oid)
        {
            return Err(format!(
                "wanted each extension once, got {} twice",
                extension.oid
            ));
        }
    }
    Ok(())
}

pub(crate) fn set(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let mut wanted = expectation.extensions.to_vec();
    let mut got: Vec<_> = tbs
        .extensions
        .iter()
        .map(|extension| (extension.oid, extension.critical))
        .collect();
    wanted.sort();
    got.sort();
    if wanted == got {
        Ok(())
    } else {
        Err(format!("wanted {}, got {}", list(&wanted), list(&got)))
    }
}

/// What this release issues, and so understands.
pub(crate) fn known(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    const KNOWN: [ObjectIdentifier; 9] = [
        oids::ID_CE_BASIC_CONSTRAINTS,
        oids::ID_CE_KEY_USAGE,
        oids::ID_CE_EXT_KEY_USAGE,
        oids::ID_CE_SUBJECT_KEY_IDENTIFIER,
        oids::ID_CE_AUTHORITY_KEY_IDENTIFIER,
        oids::ID_CE_SUBJECT_ALT_NAME,
        oids::ID_CE_CERTIFICATE_POLICIES,
        oids::ID_CE_CRL_DISTRIBUTION_POINTS,
        oids::ID_PE_AUTHORITY_INFO_ACCESS,
    ];
    let mut extensions = tbs.extensions.iter();
    match extensions.find(|extension| !KNOWN.contains(&extension.oid)) {
        None => Ok(()),
        Some(extension) => Err(format!(
            "wanted extensions that are known here, got {}",
            extension.oid
        )),
    }
}

/// X.690 section 11.2.2 for the bits; RFC 5280 says of each list that it holds at least one.
pub(crate) fn encodings(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    for extension in &tbs.extensions {
        let oid = extension.oid;
        let broken = |error: der::Error| format!("{oid}: wanted DER: {error}");
        match oid {
            oids::ID_CE_KEY_USAGE => {
                let bits = BitStringRef::from_der(extension.value).map_err(broken)?;
                if bits.bits().last() != Some(true) {
                    return Err(format!("{oid}: wanted the last bit to be set"));
                }
            }
            oids::ID_CE_EXT_KEY_USAGE
            | oids::ID_CE_SUBJECT_ALT_NAME
            | oids::ID_CE_CERTIFICATE_POLICIES
            | oids::ID_CE_CRL_DISTRIBUTION_POINTS
            | oids::ID_PE_AUTHORITY_INFO_ACCESS => {
                let list = children(extension.value).map_err(broken)?;
                let repeats =
                    |(index, item)| list.iter().take(index).any(|earlier| earlier == item);
                if list.is_empty() || list.iter().enumerate().any(repeats) {
                    return Err(format!("{oid}: wanted a list of one or more, each once"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn criticality(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    for extension in &tbs.extensions {
        let wanted = match extension.oid {
            // Section 4.2.1.3: should be; a key usage that may be overlooked is none.
            oids::ID_CE_KEY_USAGE | oids::ID_CE_BASIC_CONSTRAINTS => true,
            oids::ID_CE_SUBJECT_ALT_NAME => children(tbs.subject).is_ok_and(|rdns| rdns.is_empty()),
            _ => false,
        };
        if extension.critical != wanted {
            return Err(format!(
                "{}: wanted critical = {wanted}, got {}",
                extension.oid, extension.critical
            ));
        }
    }
    Ok(())
}

pub(crate) fn basic_constraints(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    match tbs.extension(&oids::ID_CE_BASIC_CONSTRAINTS) {
        None => Ok(()),
        Some(extension) => equal("BasicConstraints", NOT_A_CA, extension.value),
    }
}

pub(crate) fn key_usage(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let got = key_usage_bits(tbs)?;
    if got & (KEY_CERT_SIGN | CRL_SIGN) != 0 {
        return Err(format!(
            "wanted neither keyCertSign nor cRLSign, got {got:#06x}"
        ));
    }
    if got == expectation.key_usage && got != 0 {
        Ok(())
    } else {
        Err(format!(
            "wanted {:#06x}, got {got:#06x}",
            expectation.key_usage
        ))
    }
}

pub(crate) fn extended_key_usage(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let got = purposes(tbs)?;
    if got.contains(&oids::ANY_EXTENDED_KEY_USAGE) {
        return Err("wanted no anyExtendedKeyUsage".to_owned());
    }
    if got == expectation.extended_key_usage {
        Ok(())
    } else {
        let wanted: Vec<String> = expectation
            .extended_key_usage
            .iter()
            .map(ToString::to_string)
            .collect();
        let got: Vec<String> = got.iter().map(ToString::to_string).collect();
        Err(format!(
            "wanted {}, got {}",
            wanted.join(", "),
            got.join(", ")
        ))
    }
}

pub(crate) fn usage_consistency(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    let usage = key_usage_bits(tbs)?;
    let key =
        Key::parse(tbs.spki).map_err(|error| format!("wanted a SubjectPublicKeyInfo: {error}"))?;
    // RFC 3279 section 2.3.1 and RFC 5480 section 3.
    let impossible = match key.oid {
        RSA_ENCRYPTION => KEY_AGREEMENT,
        ID_EC_PUBLIC_KEY => KEY_ENCIPHERMENT | DATA_ENCIPHERMENT,
        _ => 0,
    };
    if usage & impossible != 0 {
        return Err(format!(
            "wanted no usage that the key cannot serve, got {usage:#06x}"
        ));
    }
    for purpose in purposes(tbs)? {
        // RFC 5280 section 4.2.1.12, the key usages each purpose is consistent with.
        let consistent = match purpose {
            oids::ID_KP_SERVER_AUTH => DIGITAL_SIGNATURE | KEY_ENCIPHERMENT | KEY_AGREEMENT,
            oids::ID_KP_CLIENT_AUTH => DIGITAL_SIGNATURE | KEY_AGREEMENT,
            oids::ID_KP_CODE_SIGNING => DIGITAL_SIGNATURE,
            oids::ID_KP_EMAIL_PROTECTION => {
                DIGITAL_SIGNATURE | CONTENT_COMMITMENT | KEY_ENCIPHERMENT | KEY_AGREEMENT
            }
            _ => continue,
        };
        if usage & consistent == 0 {
            return Err(format!(
                "wanted a key usage that purpose {purpose} is consistent with, got {usage:#06x}"
            ));
        }
    }
    Ok(())
}

pub(crate) fn subject_key_identifier(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    let extension = tbs
        .extension(&oids::ID_CE_SUBJECT_KEY_IDENTIFIER)
        .ok_or_else(|| "wanted one, got none".to_owned())?;
    let unreadable = |error: der::Error| format!("wanted an OCTET STRING: {error}");
    let got = <&OctetStringRef>::from_der(extension.value).map_err(unreadable)?;
    let key = Key::parse(tbs.spki).map_err(unreadable)?;
    equal("identifier", &openssl::sha::sha1(key.bits), got.as_bytes())
}

pub(crate) fn authority_key_identifier(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let extension = tbs
        .extension(&oids::ID_CE_AUTHORITY_KEY_IDENTIFIER)
        .ok_or_else(|| "wanted one, got none".to_owned())?;
    let fields = children(extension.value)
        .map_err(|error| format!("wanted an AuthorityKeyIdentifier: {error}"))?;
    match fields.as_slice() {
        [
            (
                Tag::ContextSpecific {
                    constructed: false,
                    number,
                },
                got,
            ),
        ] if number.0 == 0 => equal("identifier", &expectation.issuer.key_identifier, got),
        _ => Err(format!(
            "wanted keyIdentifier alone, got {}",
            hexadecimal(extension.value)
        )),
    }
}

/// 0 where the extension is absent.
fn key_usage_bits(tbs: &Tbs<'_>) -> Result<u16, String> {
    let Some(extension) = tbs.extension(&oids::ID_CE_KEY_USAGE) else {
        return Ok(0);
    };
    let bits = BitStringRef::from_der(extension.value)
        .map_err(|error| format!("wanted a KeyUsage: {error}"))?;
    let set = bits.bits().enumerate().filter(|(_, set)| *set);
    set.map(|(bit, _)| bit).try_fold(0_u16, |usage, bit| {
        let mask = u32::try_from(bit)
            .ok()
            .and_then(|bit| 1_u16.checked_shl(bit));
        mask.map(|mask| usage | mask)
            .ok_or_else(|| format!("wanted bits 0 to 8, got bit {bit}"))
    })
}

/// Empty where the extension is absent.
fn purposes(tbs: &Tbs<'_>) -> Result<Vec<ObjectIdentifier>, String> {
    let Some(extension) = tbs.extension(&oids::ID_CE_EXT_KEY_USAGE) else {
        return Ok(Vec::new());
    };
    let unreadable = |error: der::Error| format!("wanted an ExtKeyUsageSyntax: {error}");
    children(extension.value)
        .map_err(unreadable)?
        .into_iter()
        .map(|(tag, oid)| {
            tag.assert_eq(Tag::ObjectIdentifier).map_err(unreadable)?;
            ObjectIdentifier::from_bytes(oid).map_err(|error| format!("wanted an OID: {error}"))
        })
        .collect()
}

fn list(extensions: &[(ObjectIdentifier, bool)]) -> String {
    let names: Vec<String> = extensions
        .iter()
        .map(|(oid, critical)| {
            if *critical {
                format!("{oid} (critical)")
            } else {
                oid.to_string()
            }
        })
        .collect();
    names.join(", ")
}
