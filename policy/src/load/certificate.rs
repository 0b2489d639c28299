//! The table `certificate`: what every certificate of the profile carries.

use std::time::Duration;

use const_oid::ObjectIdentifier;

use super::place;
use super::reader::{Item, Reader, Section};
use super::sections::positive_duration;
use crate::algorithm::{EXTENDED_KEY_USAGES, KeyUsageBit};
use crate::profile::{CertificateRules, KeyRules, NameCase};

/// Ten years, for devices that cannot renew.
pub(super) const MAX_VALIDITY: Duration = Duration::from_secs(3650 * 24 * 3600);
/// Device clocks were seen nine hours slow; two days cover any time zone mistaken for UTC.
pub(super) const MAX_BACKDATE: Duration = Duration::from_secs(48 * 3600);

pub(super) fn read(
    section: &mut Section<'_>,
    keys: Option<&KeyRules>,
    reader: &mut Reader<'_>,
) -> Option<CertificateRules> {
    let validity = section
        .required("validity", reader)
        .and_then(|item| positive_duration(&item, MAX_VALIDITY, reader));
    let backdate = section
        .required("backdate", reader)
        .and_then(|item| item.duration(reader, MAX_BACKDATE));
    let key_usage = section
        .required("key_usage", reader)
        .and_then(|item| key_usage(&item, keys, reader));
    let extended_key_usage = section
        .required("extended_key_usage", reader)
        .and_then(|item| item.nonempty_set(reader, extended_key_usage));
    let name_case = match section.optional("name_case") {
        Some(item) => item.word(reader, NameCase::ALL, NameCase::as_str),
        None => Some(NameCase::Lower),
    };
    let policies = optional_set(section, "policies", reader, oid);
    let crl_distribution_points =
        optional_set(section, "crl_distribution_points", reader, place::of_ca);
    let ca_issuers = optional_set(section, "ca_issuers", reader, place::of_ca);
    let ocsp = optional_set(section, "ocsp", reader, place::of_responder);
    Some(CertificateRules {
        validity: validity?,
        backdate: backdate?,
        key_usage: key_usage?,
        extended_key_usage: extended_key_usage?,
        name_case: name_case?,
        policies: policies?,
        crl_distribution_points: crl_distribution_points?,
        ca_issuers: ca_issuers?,
        ocsp: ocsp?,
    })
}

fn key_usage(
    item: &Item<'_>,
    keys: Option<&KeyRules>,
    reader: &mut Reader<'_>,
) -> Option<Vec<KeyUsageBit>> {
    let usages = item.nonempty_set(reader, |item, reader| {
        item.word(reader, KeyUsageBit::ALL, KeyUsageBit::as_str)
    })?;
    let has = |usage| usages.contains(&usage);
    let only = has(KeyUsageBit::EncipherOnly) || has(KeyUsageBit::DecipherOnly);
    if only && !has(KeyUsageBit::KeyAgreement) {
        return item.refuse(
            reader,
            "encipherOnly and decipherOnly need keyAgreement (RFC 5280 section 4.2.1.3)",
        );
    }
    if let Some(keys) = keys {
        let encipherment = has(KeyUsageBit::KeyEncipherment) || has(KeyUsageBit::DataEncipherment);
        if encipherment && !keys.curves.is_empty() {
            return item.refuse(
                reader,
                "an EC key cannot encipher (RFC 5480 section 3); list it in a profile for RSA keys",
            );
        }
        if has(KeyUsageBit::KeyAgreement) && keys.rsa.is_some() {
            return item.refuse(reader, "an RSA key cannot agree on keys (RFC 3279 section 2.3.1); list it in a profile for EC keys");
        }
    }
    Some(usages)
}

fn extended_key_usage(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<ObjectIdentifier> {
    let text = item.text(reader)?;
    let known = EXTENDED_KEY_USAGES
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, oid)| *oid);
    match known.or_else(|| ObjectIdentifier::new(text).ok()) {
        Some(const_oid::db::rfc5280::ANY_EXTENDED_KEY_USAGE) => item.refuse(
            reader,
            "anyExtendedKeyUsage allows everything; list the purposes",
        ),
        Some(const_oid::db::rfc5280::ID_KP_OCSP_SIGNING) => item.refuse(
            reader,
            "OCSPSigning makes a responder of this CA, which only `assay-ceremony ocsp` certifies",
        ),
        Some(oid) => Some(oid),
        None => {
            let names: Vec<&str> = EXTENDED_KEY_USAGES.iter().map(|(name, _)| *name).collect();
            item.refuse(
                reader,
                format!(
                    "wanted a dotted OID or one of {}, got \"{text}\"",
                    names.join(", ")
                ),
            )
        }
    }
}

fn oid(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<ObjectIdentifier> {
    let text = item.text(reader)?;
    ObjectIdentifier::new(text)
        .ok()
        .or_else(|| item.refuse(reader, format!("wanted a dotted OID, got \"{text}\"")))
}

fn optional_set<T: PartialEq>(
    section: &mut Section<'_>,
    key: &'static str,
    reader: &mut Reader<'_>,
    read: impl Fn(&Item<'_>, &mut Reader<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    section.optional(key).map_or(Some(Vec::new()), |item| {
        item.set(reader, |item, reader| read(item, reader))
    })
}
