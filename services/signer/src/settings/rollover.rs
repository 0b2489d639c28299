//! `[rollover]`: the CA that takes over, and whether that can go well.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay_issuance::{
    Certificates, GenerationSettings, OcspSchedule, ResponderSettings, RolloverSettings,
};
use assay_runtime::config::{ConfigError, Document};
use der::Decode;
use x509_cert::Certificate;

use super::generation::{read_certificate, read_certificates};
use crate::config::RolloverConfig;

const TABLE: &str = "rollover.certificates";
/// Longest that the RA before is answered: past it nobody could say who still trusts what.
const MAX_OVERLAP: Duration = Duration::from_secs(2 * 366 * 86_400);

/// What of the rest of the file the next CA shares, and what it has to go with.
pub(super) struct First<'a> {
    pub(super) certificates: &'a Certificates,
    pub(super) ocsp: Option<&'a ResponderSettings>,
}

/// # Errors
/// Where the next CA is incomplete, shares a key with the first, or could not take over at that time; by key.
pub(super) fn read_rollover(
    document: &Document,
    config: RolloverConfig,
    first: &First<'_>,
) -> Result<RolloverSettings, ConfigError> {
    let RolloverConfig {
        switch_at,
        overlap,
        certificates,
        ocsp,
    } = config;
    let certificates = read_certificates(document, TABLE, &certificates)?;
    if first.certificates.ra_single.is_some() && certificates.ra_single.is_none() {
        return Err(document.error(
            TABLE,
            "the next CA is incomplete: certificates.ra_single has no counterpart; name \
             rollover.certificates.ra_single (`assay-ceremony next` makes it)",
        ));
    }
    let responder = match (ocsp, first.ocsp) {
        (Some(next), Some(ResponderSettings { schedule, .. })) => {
            let key = "rollover.ocsp.certificate";
            let certificate = read_certificate(document, key, &next.certificate)?;
            Some(ResponderSettings {
                certificate,
                schedule: OcspSchedule::clone(schedule),
            })
        }
        (None, Some(_)) => {
            return Err(document.error(
                "rollover",
                "the next CA is incomplete: there is [ocsp] and no [rollover.ocsp] (`assay-ceremony next` makes its \
                 key and certificate)",
            ));
        }
        (Some(_), None) => {
            return Err(document.error(
                "rollover.ocsp",
                "there is no [ocsp], whose schedule it would follow: add that table, or take this one out",
            ));
        }
        (None, None) => None,
    };
    check_keys(document, first, &certificates, responder.as_ref())?;
    check_times(
        document,
        first.certificates,
        &certificates,
        switch_at,
        overlap,
    )?;
    Ok(RolloverSettings {
        next: GenerationSettings {
            certificates,
            ocsp: responder,
        },
        switch_at,
        overlap,
    })
}

/// The key of every certificate, which the HSM service proves to be the one in the token, is a key of its own.
fn check_keys(
    document: &Document,
    first: &First<'_>,
    next: &Certificates,
    responder: Option<&ResponderSettings>,
) -> Result<(), ConfigError> {
    let mut seen = keys_of(document, first.certificates, first.ocsp, "ocsp")?;
    for (name, spki) in keys_of(document, next, responder, "rollover.ocsp")? {
        if let Some((other, _)) = seen.iter().find(|(_, other)| *other == spki) {
            return Err(document.error(
                &name,
                format!("is over the key of {other}: a next CA has keys of its own (`assay-ceremony next`)"),
            ));
        }
        seen.push((name, spki));
    }
    Ok(())
}

type NamedKey = (String, Vec<u8>);

fn keys_of(
    document: &Document,
    certificates: &Certificates,
    responder: Option<&ResponderSettings>,
    responder_table: &str,
) -> Result<Vec<NamedKey>, ConfigError> {
    let responder = responder.map(|responder| {
        let name = format!("{responder_table}.certificate");
        (name, responder.certificate.as_slice())
    });
    named(certificates)
        .into_iter()
        .chain(responder)
        .map(|(name, der)| {
            let spki = openssl::x509::X509::from_der(der)
                .and_then(|certificate| certificate.public_key()?.public_key_to_der())
                .map_err(|error| document.error(&name, error))?;
            Ok((name, spki))
        })
        .collect()
}

/// CA and RA certificates with their names in the file.
fn named(certificates: &Certificates) -> Vec<(String, &[u8])> {
    let Certificates {
        table,
        ca,
        ra_enc,
        ra_sign,
        ra_single,
        chain: _,
    } = certificates;
    let single = ra_single.iter().map(|der| ("ra_single", der));
    [("ca", ca), ("ra_enc", ra_enc), ("ra_sign", ra_sign)]
        .into_iter()
        .chain(single)
        .map(|(key, der)| (format!("{table}.{key}"), der.as_slice()))
        .collect()
}

/// At the switch both CAs and both RAs are valid.
fn check_times(
    document: &Document,
    first: &Certificates,
    next: &Certificates,
    switch_at: SystemTime,
    overlap: Duration,
) -> Result<(), ConfigError> {
    const KEY: &str = "rollover.switch_at";
    let text = |time| humantime::format_rfc3339_seconds(time);
    if overlap > MAX_OVERLAP {
        return Err(document.error("rollover.overlap", "is longer than two years"));
    }
    for (name, der) in named(first).into_iter().chain(named(next)) {
        let (from, until) = validity(der).map_err(|error| document.error(&name, error))?;
        if switch_at < from {
            return Err(document.error(
                KEY,
                format!(
                    "{} is before {name} is valid: {}",
                    text(switch_at),
                    text(from)
                ),
            ));
        }
        if switch_at >= until {
            return Err(document.error(
                KEY,
                format!(
                    "{} is after the end of {name}: {}",
                    text(switch_at),
                    text(until)
                ),
            ));
        }
    }
    Ok(())
}

fn validity(der: &[u8]) -> Result<(SystemTime, SystemTime), der::Error> {
    let certificate = Certificate::from_der(der)?;
    let validity = certificate.tbs_certificate().validity();
    Ok((
        UNIX_EPOCH + validity.not_before.to_unix_duration(),
        UNIX_EPOCH + validity.not_after.to_unix_duration(),
    ))
}
