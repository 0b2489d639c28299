//! What is issued besides names and key.

use super::words::{durations, moved, order, ordered_set, set};
use super::{Bearing, DiffLine, Differences};
use crate::algorithm::extended_key_usage_name;
use crate::profile::CertificateRules;

pub(super) fn certificate(old: &CertificateRules, new: &CertificateRules, found: &mut Differences) {
    let CertificateRules {
        validity,
        backdate,
        key_usage,
        extended_key_usage,
        policies,
        crl_distribution_points,
        ca_issuers,
        ocsp,
    } = new;
    found.about(&["certificate.validity"], || {
        vec![moved("validity", old.validity, *validity, true, durations)]
    });
    found.about(&["certificate.backdate"], || {
        vec![moved("backdate", old.backdate, *backdate, true, durations)]
    });
    found.about(&["certificate.key_usage"], || {
        set(&old.key_usage, key_usage, |usage| {
            format!("key usage {usage}")
        })
    });
    found.about(&["certificate.extended_key_usage"], || {
        ordered_set(
            "extended key usages",
            &old.extended_key_usage,
            extended_key_usage,
            |oid| format!("extended key usage {}", extended_key_usage_name(oid)),
        )
    });
    found.about(&["certificate.policies"], || {
        ordered_set("certificate policies", &old.policies, policies, |oid| {
            format!("certificate policy {oid}")
        })
    });
    for (path, field, old, new) in [
        (
            "certificate.crl_distribution_points",
            "place of the CRL",
            &old.crl_distribution_points,
            crl_distribution_points,
        ),
        (
            "certificate.ca_issuers",
            "place of the CA certificate",
            &old.ca_issuers,
            ca_issuers,
        ),
        (
            "certificate.ocsp",
            "place of the OCSP responder",
            &old.ocsp,
            ocsp,
        ),
    ] {
        found.about(&[path], || places(field, old, new));
    }
}

/// Places are reported to relying parties: they permit nothing.
fn places(field: &str, old: &[String], new: &[String]) -> Vec<DiffLine> {
    let line = |place: &String, way: &str| {
        DiffLine::changed(Bearing::Neither, format!("{field} {place} {way}"))
    };
    let added = new.iter().filter(|place| !old.contains(place));
    let removed = old.iter().filter(|place| !new.contains(place));
    added
        .map(|place| line(place, "added"))
        .chain(removed.map(|place| line(place, "removed")))
        .chain(order(field, old, new, Clone::clone))
        .collect()
}
